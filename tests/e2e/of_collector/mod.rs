//! Spans as a real collector takes them. `tests/README.md` says what these tests need.

mod functions;
mod origins;
mod sampling;

use serde_json::json;

use crate::{
    harness::{Collector, Function, Platform, Receiver, SeenSpan, Site, answer_to, payload, wait_for},
    nats,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Looks whether the file `gate` is there, writes down the trace that it belongs to, and fails if it was not.
fn traced(attempts: u64) -> Function {
    let script = r#"[ -e gate ] || code=3; echo "$TRACEPARENT" >> runs; cat; exit $code"#;
    Function::new("traced", &format!("sh -c '{script}'")).attempts(attempts)
}

/// The same with two attempts, the first of which fails and opens the gate.
fn failing_once() -> Function {
    let script = r#"[ -e gate ] || code=3; echo "$TRACEPARENT" >> runs; touch gate; cat; exit $code"#;
    Function::new("traced", &format!("sh -c '{script}'")).attempts(2)
}

/// The platform with a collector, which gets its spans soon.
async fn platform(settings: &[(&'static str, &str)], function: Function) -> (Platform, Collector) {
    let mut site = Site::new([function]);
    let collector = Collector::start(site.folder()).await;
    let endpoint = format!("http://{}", collector.address);
    let settings = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "100")]
        .into_iter()
        .chain(settings.iter().copied());
    site.environment.extend(settings.map(|(name, value)| (name, value.to_owned())));
    let up = site.up(&[]).await;
    (Platform { up, gateway: site.gateway.clone(), site }, collector)
}

const ALL: (&str, &str) = ("OTEL_TRACES_SAMPLER", "always_on");

fn header_of(span: &SeenSpan) -> String {
    format!("00-{}-{}-01", span.trace, span.id)
}

/// Checks the span of an accepted call and its resource.
fn assert_accepted(accept: &SeenSpan, id: &str) {
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/async-function/{name}"),
        ("http.response.status_code", "202"),
        ("url.path", "/async-function/traced/a"),
        ("client.address", "127.0.0.1"),
        ("faas.invoked_name", "traced"),
        ("skep.call.id", id),
    ] {
        assert_eq!(accept.attributes.get(name).map(String::as_str), Some(value), "{name}: {accept:#?}");
    }
    for (name, value) in [
        ("service.name", "skep"),
        ("service.namespace", "skep"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("deployment.environment.name", "test"),
    ] {
        assert_eq!(accept.resource.get(name).map(String::as_str), Some(value), "{name}: {accept:#?}");
    }
    assert!(accept.resource.contains_key("service.instance.id") && accept.resource.contains_key("host.name"));
}

#[tokio::test]
async fn a_queued_call_with_two_attempts_and_a_callback_is_one_trace() {
    // On a slow machine an attempt may take long, and would have a span that says so.
    let slow = ("SKEP_TRACE_SLOW", "1h");
    let settings = [ALL, ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"), slow];
    let (platform, collector) = platform(&settings, failing_once()).await;
    let receiver = Receiver::start().await;
    let request = platform.gateway.post("/async-function/traced/a?secret=1").header("X-Callback-Url", &receiver.url);
    let id = answer_to(request.header("traceparent", PARENT).body("honey")).await.header("x-call-id").to_owned();
    let callback = receiver.wait_for(1).await.remove(0);
    let called_back =
        collector.span("the callback's span", |span| header_of(span) == callback.header("traceparent")).await;
    let of_trace = || collector.spans().into_iter().filter(|span| span.trace == TRACE).collect::<Vec<_>>();
    let spans = wait_for("all spans", async || Some(of_trace()).filter(|spans| spans.len() >= 7)).await;
    let named = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();

    let [accept] = named("POST /async-function/{name}")[..] else { panic!("{spans:#?}") };
    assert_eq!((accept.kind.as_str(), accept.parent.as_str()), ("SERVER", "00f067aa0ba902b7"));
    assert_accepted(accept, &id);
    let [publish] = named("publish skep.invoke")[..] else { panic!("{spans:#?}") };
    assert_eq!((publish.kind.as_str(), &publish.parent), ("PRODUCER", &accept.id));
    assert_eq!(
        (publish.attributes["messaging.system"].as_str(), &publish.attributes["messaging.message.id"]),
        ("nats", &id)
    );
    assert_eq!(publish.attributes["messaging.message.body.size"], "5");

    let attempts = named("process skep.invoke");
    assert_eq!(attempts.len(), 2);
    for (attempt, (number, outcome, status)) in
        attempts.iter().zip([("1", "retrying", "ERROR"), ("2", "succeeded", "UNSET")])
    {
        assert_eq!((attempt.kind.as_str(), &attempt.parent), ("CONSUMER", &publish.id));
        assert_eq!(attempt.links, [(TRACE.to_owned(), publish.id.clone())]);
        assert_eq!(
            (attempt.attributes["skep.attempt"].as_str(), attempt.attributes["skep.outcome"].as_str()),
            (number, outcome)
        );
        assert_eq!(attempt.status, status, "{attempt:#?}");
        assert!(attempt.attributes.contains_key("skep.queue.seconds"));
        assert_eq!(attempt.events.len(), usize::from(outcome == "retrying"));
        let is_its_request =
            |span: &&&SeenSpan| span.parent == attempt.id && span.attributes.contains_key("skep.replica");
        let requests = named("POST");
        let post = requests.iter().find(is_its_request).unwrap();
        assert_eq!(post.kind, "CLIENT");
        assert!(platform.site.runs().contains(&header_of(post)), "the function's parent is the request to it");
    }
    assert_eq!((called_back.kind.as_str(), &called_back.parent), ("CLIENT", &attempts[1].id));
    assert!(!format!("{spans:?}").contains("secret"), "a query may hold secrets");
    assert_eq!(platform.gateway.finished(&id).await["traceId"], json!(TRACE));
}

#[tokio::test]
async fn a_synchronous_call_is_a_span_that_ends_with_its_answer() {
    let (platform, collector) = platform(&[ALL], traced(1)).await;
    platform.site.open_gate();
    let answer = answer_to(platform.gateway.post("/function/traced").body("x")).await;
    let span = collector.span("the call's span", |span| span.name == "POST /function/{name}").await;
    assert_eq!((span.kind.as_str(), span.parent.as_str(), span.status.as_str()), ("SERVER", "", "UNSET"));
    assert_eq!(
        (span.attributes["skep.call.id"].as_str(), span.attributes["http.response.status_code"].as_str()),
        (answer.header("x-call-id"), "200")
    );
    let post = collector.span("its request", |one| one.parent == span.id).await;
    assert_eq!(platform.site.runs(), [header_of(&post)]);
    let unknown = answer_to(platform.gateway.post("/function/nobody")).await;
    let refused =
        |one: &SeenSpan| one.attributes.get("skep.call.id").is_some_and(|id| id == unknown.header("x-call-id"));
    let refused = collector.span("the refused call's span", refused).await;
    assert_eq!((refused.attributes["http.response.status_code"].as_str(), refused.status.as_str()), ("404", "UNSET"));
}

#[tokio::test]
async fn a_redrive_is_another_trace_that_links_to_the_one_before() {
    let (platform, collector) = platform(&[ALL], traced(1)).await;
    let request = platform.gateway.post("/async-function/traced").header("traceparent", PARENT);
    let id = answer_to(request).await.header("x-call-id").to_owned();
    assert_eq!(platform.gateway.finished(&id).await["state"], "dead");
    let before = collector.span("its queueing", |span| span.name == "publish skep.invoke").await;
    platform.site.open_gate();
    assert_eq!(answer_to(platform.gateway.post(&format!("/system/dead/{id}/redrive"))).await.status, 202);
    let status = platform.gateway.state(&id, "succeeded").await;
    let redrive = collector.span("the redrive's span", |span| span.name == "redrive").await;
    assert_eq!((redrive.kind.as_str(), &redrive.links[..]), ("PRODUCER", &[(TRACE.to_owned(), before.id)][..]));
    assert_ne!(redrive.trace, TRACE);
    assert_eq!(status["traceId"], json!(redrive.trace));
    collector.span("its attempt", |span| span.parent == redrive.id && span.name == "process skep.invoke").await;
}

#[tokio::test]
async fn a_publisher_s_trace_goes_on_and_a_webhook_s_sender_is_linked_to() {
    let (platform, collector) = platform(&[ALL], traced(1)).await;
    platform.site.open_gate();
    let client = nats::client(&platform.site).await;
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("traceparent", PARENT);
    client.publish_with_headers("skep.publish.traced", headers, "x".into()).await.unwrap();
    let publish = collector.span("the queueing", |span| span.trace == TRACE && span.kind == "PRODUCER").await;
    assert_eq!(publish.parent, "00f067aa0ba902b7");
    collector.span("its attempt", |span| span.parent == publish.id).await;

    let routes = json!([{ "to": "traced", "filter": { "type": "push" } }]);
    platform.gateway.declare("github", json!({ "preset": "github", "routes": routes })).await;
    let push = platform.gateway.webhook("github", "push", "delivery-1", &payload("push"));
    let push = push.header("traceparent", PARENT).header("X-Forwarded-For", "192.0.2.1");
    assert_eq!(answer_to(push).await.status, 202);
    let is_push = |span: &SeenSpan| span.name == "POST /hooks/{source}" && !span.links.is_empty();
    let hook = collector.span("the webhook's span", is_push).await;
    assert_eq!(hook.links, [(TRACE.to_owned(), "00f067aa0ba902b7".to_owned())]);
    assert_ne!(hook.trace, TRACE);
    assert_eq!((hook.attributes["skep.source"].as_str(), hook.kind.as_str()), ("github", "SERVER"));
    let publish = collector.span("the route's call", |span| span.parent == hook.id && span.kind == "PRODUCER").await;
    collector.span("its attempt", |span| span.parent == publish.id && span.kind == "CONSUMER").await;
}
