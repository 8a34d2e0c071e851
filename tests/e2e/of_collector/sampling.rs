//! What is sampled, and what is sent although it is not.

use super::{ALL, PARENT, TRACE, platform, traced};
use crate::harness::{answer_to, metrics_of};

#[tokio::test]
async fn what_is_not_sampled_is_not_sent_and_a_stranger_samples_nothing() {
    let nothing = [("OTEL_TRACES_SAMPLER_ARG", "0"), ("SKEP_TRACE_SLOW", "1h")];
    let (platform, collector) = platform(&nothing, traced(1)).await;
    platform.site.open_gate();
    let call = async |headers: &[(&str, &str)]| {
        let request = platform.gateway.post("/function/traced");
        answer_to(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    };
    let stranger = ("X-Forwarded-For", "192.0.2.1");
    for headers in [&[][..], &[("traceparent", PARENT), stranger], &[("traceparent", "00-bad")]] {
        assert_eq!(call(headers).await.status, 200);
    }
    assert_eq!(platform.gateway.finished(&platform.gateway.queue("traced", "x").await).await["state"], "succeeded");
    let runs = platform.site.runs();
    assert!(runs.iter().all(|run| run.ends_with("-00") && !run.contains(TRACE)), "{runs:?}");
    // A trusted caller decides. Its spans come after all others, which have ended before.
    call(&[("traceparent", PARENT)]).await;
    collector.span("the sampled call", |span| span.trace == TRACE && span.kind == "SERVER").await;
    let spans = collector.spans();
    assert!(spans.iter().all(|span| span.trace == TRACE), "{spans:#?}");
}

#[tokio::test]
async fn a_call_that_fails_or_is_slow_is_sent_although_its_trace_is_not_sampled() {
    let nothing = [("OTEL_TRACES_SAMPLER", "always_off"), ("SKEP_TRACE_SLOW", "1h")];
    let (platform, collector) = platform(&nothing, traced(1)).await;
    assert_eq!(answer_to(platform.gateway.post("/function/traced").body("x")).await.status, 500);
    let call = collector.span("the failed call", |span| span.name == "POST /function/{name}").await;
    assert_eq!((call.status.as_str(), call.attributes["skep.sampled"].as_str()), ("ERROR", "tail"));
    collector.span("its request", |span| span.parent == call.id).await;
    let id = platform.gateway.queue("traced", "x").await;
    assert_eq!(platform.gateway.finished(&id).await["state"], "dead");
    let attempt = collector.span("the dead call", |span| span.kind == "CONSUMER").await;
    assert_eq!(
        (attempt.attributes["skep.outcome"].as_str(), attempt.attributes["skep.sampled"].as_str()),
        ("dead", "tail")
    );
    let metrics = metrics_of(platform.site.admin).await;
    assert!(metrics.contains(r#"skep_spans_total{outcome="dropped"} 0"#), "{metrics}");
    assert!(!metrics.contains(r#"skep_spans_total{outcome="exported"} 0"#), "{metrics}");
}

#[tokio::test]
async fn a_collector_that_takes_compressed_spans_gets_them_so() {
    let gzip = ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip");
    let (platform, collector) = platform(&[ALL, gzip], traced(1)).await;
    platform.site.open_gate();
    assert_eq!(answer_to(platform.gateway.post("/function/traced").body("x")).await.status, 200);
    let call = collector.span("the call's span", |span| span.name == "POST /function/{name}").await;
    assert_eq!(call.resource["service.name"], "skep");
}
