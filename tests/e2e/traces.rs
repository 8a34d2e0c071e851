//! Contexts of traces on their way, from the caller to the function and its callback, while nothing is exported.

use async_nats::{HeaderMap, jetstream};
use serde_json::json;

use crate::{
    harness::{Function, Gateway, Platform, Receiver, Roles, answer_to, payload, wait_for},
    nats,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Looks whether the file `gate` is there, writes down the trace that it belongs to, and answers with it. It fails if the file was not there.
fn traced() -> Function {
    let script =
        r#"[ -e gate ] || code=3; trace="$TRACEPARENT $TRACESTATE"; echo "$trace" >> runs; echo "$trace"; exit $code"#;
    Function::new("traced", &format!("sh -c '{script}'")).attempts(2)
}

async fn seen_by_function(gateway: &Gateway, headers: &[(&str, &str)]) -> String {
    let request = gateway.post("/function/traced");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    answer_to(request).await.text().trim().to_owned()
}

#[tokio::test]
async fn a_function_sees_the_trace_of_a_caller_who_is_trusted() {
    let platform = Platform::start([traced()]).await;
    platform.site.open_gate();
    let seen = async |headers: &[(&str, &str)]| seen_by_function(&platform.gateway, headers).await;
    assert_eq!(
        seen(&[("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")]).await,
        format!("{PARENT} a=1,b=2")
    );
    assert_eq!(seen(&[("Traceparent", PARENT), ("tracestate", "no state")]).await, PARENT);
    assert_eq!(seen(&[]).await, "");
    let zeros = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
    for malformed in ["", "00", "x\\$(touch evil)", zeros, &PARENT.to_uppercase(), &format!("{PARENT}-more")] {
        assert_eq!(seen(&[("traceparent", malformed), ("tracestate", "a=1")]).await, "", "{malformed}");
    }
    assert_eq!(seen(&[("traceparent", PARENT), ("traceparent", PARENT)]).await, "", "which of the two is it");
    // A proxy of this machine says whom it asks for.
    let stranger = [("traceparent", PARENT), ("x-forwarded-for", "192.0.2.1")];
    assert_eq!(seen(&stranger).await, "", "a stranger decides nothing");
}

#[tokio::test]
async fn nobody_is_trusted_if_the_operator_says_so() {
    let platform = Platform::start_with(&["--trace-trust", "none"], [traced()]).await;
    platform.site.open_gate();
    assert_eq!(seen_by_function(&platform.gateway, &[("traceparent", PARENT)]).await, "");
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", PARENT);
    let client = nats::client(&platform.site).await;
    client.publish_with_headers("skep.publish.traced", headers, "".into()).await.unwrap();
    platform.site.wait_for_runs(2).await;
    assert_eq!(platform.site.runs()[1].trim(), "");
}

#[tokio::test]
async fn a_queued_call_its_attempts_and_its_callback_are_in_one_trace() {
    let platform = Platform::start([traced()]).await;
    let receiver = Receiver::start().await;
    let request = platform.gateway.post("/async-function/traced").header("X-Callback-Url", &receiver.url);
    let request = request.header("traceparent", PARENT).header("tracestate", "a=1");
    let id = answer_to(request.header("X-Skep-Callback-Headers", "tracestate, traceparent")).await;
    let id = id.header("x-call-id").to_owned();
    platform.site.wait_for_runs(1).await;
    platform.site.open_gate();
    let callback = receiver.wait_for(1).await.remove(0);
    assert_eq!((callback.header("traceparent"), callback.header("tracestate")), (PARENT, "a=1"));
    assert_eq!(callback.headers.get_all("traceparent").iter().count(), 1);
    assert_eq!(platform.site.runs(), [format!("{PARENT} a=1"), format!("{PARENT} a=1")]);
    let status = platform.gateway.finished(&id).await;
    assert_eq!((&status["traceId"], &status["traceState"]), (&json!(TRACE), &json!(null)));
    let shown = platform.site.client(&["calls", "show", &id]).await;
    assert!(shown.stdout.contains(TRACE), "{}", shown.stdout);
}

#[tokio::test]
async fn the_message_of_a_call_has_the_headers_that_skep_decided_about_and_so_has_its_dead_letter() {
    let mut roles = Roles::start([traced()]).await;
    nats::lane_without_worker(&mut roles, "traced").await;
    let site = &roles.site;
    let queue = async |parent: &str| {
        let request = site.gateway.post("/async-function/traced").header("traceparent", parent);
        answer_to(request).await.header("x-call-id").to_owned()
    };
    let headers_of = async |stream: &str, id: &str| {
        let stream = nats::stream(site, stream).await;
        wait_for("its message", async || {
            let last = stream.get_info().await.unwrap().state.last_sequence;
            for sequence in (1..=last).rev() {
                let Ok(message) = stream.get_raw_message(sequence).await else { continue };
                if message.subject.as_str().ends_with(id) {
                    return Some(message.headers);
                }
            }
            None
        })
        .await
    };
    let (good, evil) = (queue(PARENT).await, queue("00-evil").await);
    let headers = headers_of("SKEP_INVOKE", &good).await;
    assert_eq!(headers.get("traceparent").unwrap().as_str(), PARENT);
    let names = |headers: &HeaderMap| -> Vec<String> {
        let names = headers.iter().map(|(name, _)| AsRef::<str>::as_ref(name).to_owned());
        names.filter(|name| name.to_lowercase().contains("trace")).collect()
    };
    assert_eq!(names(&headers), ["traceparent"]);
    assert!(names(&headers_of("SKEP_INVOKE", &evil).await).is_empty());
    roles.worker = roles.site.start_worker().await;
    assert_eq!(roles.site.gateway.finished(&good).await["state"], "dead");
    let headers = headers_of("SKEP_DEAD", &good).await;
    assert_eq!((headers.get("traceparent").unwrap().as_str(), names(&headers).len()), (PARENT, 1));
    // What is sent again belongs to no trace that is over.
    roles.site.open_gate();
    let redrive = roles.site.gateway.post(&format!("/system/dead/{good}/redrive"));
    assert_eq!(answer_to(redrive).await.status, 202);
    let status = roles.site.gateway.state(&good, "succeeded").await;
    assert_eq!(status["traceId"], json!(null));
    assert_eq!(roles.site.runs().last().unwrap().trim(), "");
}

#[tokio::test]
async fn a_publisher_s_trace_goes_on_whatever_the_case_of_its_header() {
    let platform = Platform::start([traced()]).await;
    platform.site.open_gate();
    let client = nats::client(&platform.site).await;
    let mut headers = HeaderMap::new();
    headers.insert("Traceparent", PARENT);
    let mut jetstream = jetstream::new(client.clone());
    jetstream.set_timeout(std::time::Duration::from_secs(30));
    jetstream.publish_with_headers("skep.publish.traced", headers.clone(), "".into()).await.unwrap().await.unwrap();
    platform.site.wait_for_runs(1).await;
    assert_eq!(platform.site.runs(), [format!("{PARENT} ")]);
    let answer = client.request_with_headers("skep.call.traced", headers, "".into()).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&answer.payload).trim(), PARENT);
}

#[tokio::test]
async fn an_event_and_a_callback_to_a_function_go_on_in_the_trace() {
    let last = Function::new("last", r#"sh -c 'echo "$TRACEPARENT" >> last; cat'"#);
    let platform = Platform::start([traced(), last]).await;
    platform.site.open_gate();
    let routes = json!([{ "to": "traced", "callback": "skep://last", "filter": { "type": "push" } }]);
    platform.gateway.declare("github", json!({ "preset": "github", "routes": routes })).await;
    let push = platform.gateway.webhook("github", "push", "delivery-1", &payload("push"));
    assert_eq!(answer_to(push.header("traceparent", PARENT)).await.status, 202);
    let last = wait_for("the callback's function", async || {
        std::fs::read_to_string(platform.site.path("last")).ok().filter(|text| text.ends_with('\n'))
    })
    .await;
    assert_eq!(last.trim(), PARENT);
    assert_eq!(platform.site.runs()[0].trim(), PARENT);
}
