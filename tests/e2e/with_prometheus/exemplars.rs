//! Prometheus takes the page of OpenMetrics, and the traces in it.

use http::header;
use serde_json::{Value, json};

use super::server::Prometheus;
use crate::harness::{
    Function, Platform, Site, answer_to, free_address, http_client, metrics_of, wait_for, wait_until,
};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0";

fn traceparent(trace: &str) -> String {
    format!("00-{trace}-00f067aa0ba902b7-01")
}

/// A platform whose spans go nowhere.
async fn platform() -> Platform {
    let mut site = Site::new([Function::cat()]);
    let endpoint = format!("http://{}", free_address());
    site.environment.push(("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint));
    Platform { up: site.up(&["--trace-sampler", "parentbased_always_off"]).await, gateway: site.gateway.clone(), site }
}

/// The labels of the first exemplar of a series.
async fn exemplar(prometheus: &Prometheus, series: &str) -> Value {
    let found = wait_for("its exemplar", async || prometheus.exemplars(series).await.into_iter().next()).await;
    found["exemplars"][0]["labels"].clone()
}

#[tokio::test]
async fn prometheus_stores_the_traces_of_sampled_calls_beside_their_histograms() {
    let platform = platform().await;
    let (synchronous, queued) = ("4bf92f3577b34da6a3ce929d0e0e4736", "5bf92f3577b34da6a3ce929d0e0e4736");
    let call = platform.gateway.post("/function/cat").header("traceparent", traceparent(synchronous));
    assert_eq!(answer_to(call).await.status, 200);
    let prometheus = Prometheus::start(&[("skep", platform.site.admin)]).await;
    let of_call = exemplar(&prometheus, r#"gateway_functions_seconds_bucket{function_name="cat",code="200"}"#).await;
    assert_eq!(of_call, json!({ "trace_id": synchronous }));
    let call = platform.gateway.post("/async-function/cat").header("traceparent", traceparent(queued));
    let id = answer_to(call).await.header("x-call-id").to_owned();
    assert_eq!(platform.gateway.finished(&id).await["state"], "succeeded");
    let of_wait = exemplar(&prometheus, r#"skep_queue_wait_seconds_bucket{function_name="cat"}"#).await;
    assert_eq!(of_wait, json!({ "trace_id": queued }));
    // Its name stays.
    let started = async || prometheus.values("gateway_function_invocation_started").await == [2.0];
    wait_until("both calls are counted", started).await;
}

#[tokio::test]
async fn a_scraper_that_does_not_ask_for_openmetrics_gets_plain_text_without_exemplars() {
    let platform = platform().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let call = platform.gateway.post("/function/cat").header("traceparent", traceparent(trace));
    assert_eq!(answer_to(call).await.status, 200);
    assert_eq!(platform.gateway.call("cat", "unsampled").await.status, 200);
    let page = metrics_of(platform.site.admin).await;
    assert!(page.contains("gateway_functions_seconds_bucket") && !page.contains(trace) && !page.contains("exemplar"));
    let asked = http_client().get(format!("http://{}/metrics", platform.site.admin)).header("accept", OPENMETRICS);
    let answer = answer_to(asked).await;
    assert_eq!(
        answer.header(header::CONTENT_TYPE.as_str()),
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let page = answer.text();
    assert!(page.contains(&format!("# {{trace_id=\"{trace}\"}} ")) && page.ends_with("\n# EOF\n"), "{page}");
    assert_eq!(page.matches(" # {").count(), 1, "{page}");
}
