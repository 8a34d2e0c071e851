//! Where traces begin: schedules, replays, skep's own events, and what a function's annotation says. What follows from them.

use http::Method;
use serde_json::json;

use super::{ALL, PARENT, TRACE, platform, traced};
use crate::{
    harness::{Function, SeenSpan, answer_to, payload},
    nats,
};

fn is(name: &str, kind: &str) -> impl Fn(&SeenSpan) -> bool {
    move |span| span.name == name && span.kind == kind
}

#[tokio::test]
async fn each_call_of_a_schedule_begins_a_trace() {
    let (platform, collector) = platform(&[ALL], traced(1)).await;
    platform.site.open_gate();
    let schedule = json!({ "name": "ticks", "every": "1s", "overlap": "allow", "routes": [{ "to": "traced" }] });
    assert_eq!(platform.gateway.send(Method::POST, "/system/sources", &schedule).await.status, 201);
    let is_fired = |span: &SeenSpan| is("publish skep.invoke", "PRODUCER")(span) && span.parent.is_empty();
    let first = collector.span("the first call", is_fired).await;
    assert_eq!((first.attributes["faas.trigger"].as_str(), &first.links[..]), ("timer", &[][..]));
    let attempt = collector.span("its attempt", |span| span.parent == first.id).await;
    assert_eq!((attempt.attributes["faas.trigger"].as_str(), &attempt.trace), ("timer", &first.trace));
    collector.span("the next call", |span| is_fired(span) && span.trace != first.trace).await;
}

#[tokio::test]
async fn a_replay_begins_a_trace_that_links_to_that_of_the_event() {
    let (platform, collector) = platform(&[ALL], traced(1)).await;
    platform.site.open_gate();
    let routes = json!([{ "to": "traced", "filter": { "type": "push" } }]);
    platform.gateway.declare("github", json!({ "preset": "github", "routes": routes })).await;
    let push = platform.gateway.webhook("github", "push", "delivery-1", &payload("push"));
    assert_eq!(answer_to(push.header("traceparent", PARENT)).await.status, 202);
    let hook = collector.span("the webhook", |span| span.trace == TRACE && span.kind == "SERVER").await;
    platform.site.wait_for_runs(1).await;
    let asked = json!({ "filter": { "id": "delivery-1" } });
    let replayed = platform.gateway.send(Method::POST, "/system/sources/github/replay", &asked).await;
    assert_eq!((replayed.status, replayed.json()["events"].as_u64()), (200, Some(1)));
    let is_replay = |span: &SeenSpan| is("publish skep.invoke", "PRODUCER")(span) && span.trace != TRACE;
    let replayed = collector.span("the replay", is_replay).await;
    assert_eq!((replayed.parent.as_str(), &replayed.links[..]), ("", &[(TRACE.to_owned(), hook.id)][..]));
    collector.span("its attempt", |span| span.parent == replayed.id && span.kind == "CONSUMER").await;
}

#[tokio::test]
async fn an_event_of_skep_itself_links_to_the_call_that_it_is_about() {
    let (platform, collector) = platform(&[ALL], traced(1)).await;
    let alert = json!({ "name": "platform", "skep": ["dead"], "routes": [{ "to": "traced" }] });
    assert_eq!(platform.gateway.send(Method::POST, "/system/sources", &alert).await.status, 201);
    let request = platform.gateway.post("/async-function/traced").header("traceparent", PARENT);
    let id = answer_to(request).await.header("x-call-id").to_owned();
    assert_eq!(platform.gateway.finished(&id).await["state"], "dead");
    let queued = collector.span("its queueing", |span| span.trace == TRACE && span.kind == "PRODUCER").await;
    let event = collector.span("the event", is("publish skep.event", "PRODUCER")).await;
    assert_eq!((event.parent.as_str(), event.attributes["skep.event"].as_str()), ("", "dead"));
    let [(trace, span)] = &event.links[..] else { panic!("{event:#?}") };
    assert_eq!(trace, TRACE);
    assert_ne!(*span, queued.id, "the attempt is what failed");
    collector.span("the call of the alert", |span| span.parent == event.id).await;
}

#[tokio::test]
async fn a_callback_on_nats_is_a_span_that_its_receiver_goes_on_from() {
    let (platform, collector) = platform(&[ALL], traced(1)).await;
    platform.site.open_gate();
    let client = nats::client(&platform.site).await;
    let mut answers = client.subscribe("callback.traced").await.unwrap();
    client.flush().await.unwrap();
    let request = platform.gateway.post("/async-function/traced").header("X-Callback-Url", "nats://callback.traced");
    let id = answer_to(request.header("traceparent", PARENT)).await.header("x-call-id").to_owned();
    let answer = futures_util::StreamExt::next(&mut answers).await.unwrap();
    let published = collector.span("the callback", is("publish callback", "PRODUCER")).await;
    let attempt = collector.span("the attempt", is("process skep.invoke", "CONSUMER")).await;
    assert_eq!((&published.trace[..], &published.parent), (TRACE, &attempt.id));
    let reported = ["messaging.destination.name", "skep.call.id"].map(|name| published.attributes[name].as_str());
    assert_eq!(reported, ["callback.traced", id.as_str()]);
    let header = answer.headers.unwrap().get("traceparent").unwrap().to_string();
    assert_eq!(header, format!("00-{TRACE}-{}-01", published.id));
}

#[tokio::test]
async fn a_function_s_annotation_decides_about_traces_that_begin_with_its_calls() {
    let quiet = [("OTEL_TRACES_SAMPLER_ARG", "0"), ("SKEP_TRACE_SLOW", "1h")];
    let function = traced(1).annotation("skep.trace", "on");
    let (platform, collector) = platform(&quiet, function).await;
    platform.site.open_gate();
    assert_eq!(platform.gateway.call("traced", "x").await.status, 200);
    collector.span("its synchronous call", is("POST /function/{name}", "SERVER")).await;
    let id = platform.gateway.queue("traced", "x").await;
    assert_eq!(platform.gateway.finished(&id).await["state"], "succeeded");
    collector.span("its queued call", is("process skep.invoke", "CONSUMER")).await;
    let client = nats::client(&platform.site).await;
    client.publish("skep.publish.traced", "x".into()).await.unwrap();
    let published = |span: &SeenSpan| is("publish skep.invoke", "PRODUCER")(span) && span.parent.is_empty();
    collector.span("its published call", published).await;
    platform.site.wait_for_runs(3).await;
    let sampled = platform.site.runs();
    assert!(sampled.iter().all(|run| run.ends_with("-01")), "{sampled:?}");
    // A trusted caller has decided already.
    let unsampled = PARENT.replace("-01", "-00");
    answer_to(platform.gateway.post("/function/traced").header("traceparent", unsampled)).await;
    assert!(platform.site.runs().last().unwrap().ends_with("-00"));
}

#[tokio::test]
async fn a_call_that_takes_long_is_seen_before_it_ends() {
    let waits = Function::new("waits", "sh -c 'until [ -e gate ]; do sleep 0.1; done; cat'");
    // The answer that it is accepted does not take as long.
    let slow = ("SKEP_TRACE_SLOW", "5s");
    let (platform, collector) = platform(&[("OTEL_TRACES_SAMPLER", "always_off"), slow], waits).await;
    let id = platform.gateway.queue("waits", "honey").await;
    let started = collector.span("that it runs", is("started process skep.invoke", "INTERNAL")).await;
    assert_eq!(platform.gateway.call_status(&id).await.unwrap()["state"], "running");
    for (name, value) in [("skep.call.id", id.as_str()), ("faas.invoked_name", "waits"), ("skep.sampled", "tail")] {
        assert_eq!(started.attributes[name], value, "{started:#?}");
    }
    platform.site.open_gate();
    assert_eq!(platform.gateway.finished(&id).await["state"], "succeeded");
    let attempt = collector.span("its attempt", is("process skep.invoke", "CONSUMER")).await;
    assert_eq!((&started.parent, &started.trace), (&attempt.id, &attempt.trace));
    assert_eq!(collector.spans().iter().filter(|span| span.name.starts_with("started ")).count(), 1);
}
