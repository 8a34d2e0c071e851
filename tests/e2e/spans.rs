//! Spans that a collector takes badly or not at all, and settings that cannot be. What is in a span is tested with a real collector (`of_collector`).

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{Router, extract::State, routing::post};
use http::{HeaderMap, StatusCode};
use rustix::process::Signal;
use tokio::net::TcpListener;

use crate::harness::{Function, Platform, Site, answer_to, free_address, metrics_of, wait_until};

/// How a collector that is none answers.
#[derive(Clone, Copy)]
enum Answer {
    Never,
    With(StatusCode),
}

#[derive(Clone)]
struct Fake {
    answer: Answer,
    headers: Arc<Mutex<Vec<HeaderMap>>>,
}

async fn take(State(fake): State<Fake>, headers: HeaderMap) -> StatusCode {
    fake.headers.lock().unwrap().push(headers);
    match fake.answer {
        Answer::Never => std::future::pending().await,
        Answer::With(status) => status,
    }
}

async fn collector(answer: Answer) -> (SocketAddr, Fake) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (address, fake) = (listener.local_addr().unwrap(), Fake { answer, headers: Arc::default() });
    let router = Router::new().route("/v1/traces", post(take)).with_state(fake.clone());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, fake)
}

async fn platform(endpoint: &str, settings: &[(&'static str, &str)]) -> Platform {
    let mut site = Site::new([Function::cat()]);
    let own = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_TRACES_SAMPLER", "always_on"),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ("SKEP_LOG", "debug"),
    ];
    let settings = own.into_iter().chain(settings.iter().copied());
    site.environment.extend(settings.map(|(name, value)| (name, value.to_owned())));
    Platform { up: site.up(&[]).await, gateway: site.gateway.clone(), site }
}

async fn spans(platform: &Platform, outcome: &str) -> u64 {
    let metrics = metrics_of(platform.site.admin).await;
    let wanted = format!(r#"skep_spans_total{{outcome="{outcome}"}} "#);
    metrics.lines().find_map(|line| line.strip_prefix(&wanted)?.parse().ok()).unwrap_or_else(|| panic!("{metrics}"))
}

async fn call(platform: &Platform) {
    let answer = platform.gateway.call("cat", "x").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "x"));
}

#[tokio::test]
async fn a_collector_that_hangs_holds_up_nothing_and_what_is_too_much_is_counted() {
    let (address, fake) = collector(Answer::Never).await;
    let mut platform = platform(&format!("http://{address}"), &[("OTEL_BSP_MAX_QUEUE_SIZE", "20")]).await;
    call(&platform).await;
    wait_until("the collector is asked", async || !fake.headers.lock().unwrap().is_empty()).await;
    // The first batch is under way until the request is given up, so the queue fills.
    wait_until("spans are dropped", async || {
        call(&platform).await;
        spans(&platform, "dropped").await >= 30
    })
    .await;
    assert_eq!(spans(&platform, "exported").await, 0);
    platform.up.signal(Signal::TERM);
    assert!(platform.up.ended().await.success(), "it ends although the last spans are not taken");
}

#[tokio::test]
async fn a_collector_that_refuses_or_is_away_is_counted_and_what_it_is_told_is_not_shown() {
    let (address, fake) = collector(Answer::With(StatusCode::UNAUTHORIZED)).await;
    let secret = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hunter2,x-team=bees");
    let refused = platform(&format!("http://{address}"), &[secret]).await;
    call(&refused).await;
    wait_until("spans have failed", async || spans(&refused, "failed").await >= 2).await;
    let reported = fake.headers.lock().unwrap()[0].clone();
    assert_eq!(
        (&reported["x-team"], &reported["content-type"]),
        (&"bees".parse().unwrap(), &"application/x-protobuf".parse().unwrap())
    );
    assert!(!refused.up.stderr().contains("hunter2"), "{}", refused.up.stderr());
    for path in ["/system/info", "/healthz"] {
        assert!(!answer_to(refused.gateway.get(path)).await.text().contains("hunter2"));
    }
    let away = platform(&format!("http://{}", free_address()), &[]).await;
    call(&away).await;
    wait_until("spans have failed", async || spans(&away, "failed").await >= 2).await;
}

#[tokio::test]
async fn without_an_endpoint_there_are_no_spans_and_no_figures_of_them() {
    let platform = Platform::start([Function::cat()]).await;
    call(&platform).await;
    assert!(!metrics_of(platform.site.admin).await.contains("skep_spans"));
    let mut off = Site::new([Function::cat()]);
    let settings = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"), ("OTEL_SDK_DISABLED", "true")];
    off.environment.extend(settings.map(|(name, value)| (name, value.to_owned())));
    let _up = off.up(&[]).await;
    assert!(!metrics_of(off.admin).await.contains("skep_spans"));
}

#[tokio::test]
async fn a_function_is_told_of_the_collector_only_if_it_asks_for_it() {
    let shows = |name: &str| Function::new(name, "env");
    let asks = shows("asks").annotation("skep.trace.export", "on").env("OTEL_SERVICE_NAME", "mine");
    let mut site = Site::new([shows("quiet"), asks]);
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=hunter2"),
        ("SKEP_FUNCTION_OTLP_ENDPOINT", "http://127.0.0.1:2"),
    ];
    site.environment.extend(settings.map(|(name, value)| (name, value.to_owned())));
    let _up = site.up(&[]).await;
    let variables = async |name: &str| {
        let said = site.gateway.call(name, "").await.text();
        said.lines().filter(|line| line.starts_with("OTEL_")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(variables("quiet").await.is_empty());
    let mut reported = variables("asks").await;
    reported.sort();
    let expected = [
        "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:2",
        "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
        "OTEL_RESOURCE_ATTRIBUTES=service.namespace=openfaas-fn,faas.name=asks",
        "OTEL_SERVICE_NAME=mine",
    ];
    assert_eq!(reported, expected, "and of no headers, which may hold secrets");
}

#[tokio::test]
async fn a_setting_that_cannot_be_is_named_and_shows_no_secret() {
    for (arguments, setting, reason) in [
        (&["--otlp-endpoint", "hunter2"][..], "--otlp-endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        (&["--otlp-endpoint", "ftp://a:hunter2@b/"], "--otlp-endpoint", "http://127.0.0.1:4318"),
        (&["--otlp-endpoint", "http://a:hunter2@b/"], "--otlp-endpoint", "OTEL_EXPORTER_OTLP_HEADERS"),
        (&["--function-otlp-endpoint", "http://a:hunter2@b/"], "--function-otlp-endpoint", "user"),
        (&["--otlp-endpoint", "http://a", "--otlp-protocol", "grpc"], "--otlp-protocol", "http/protobuf"),
        (&["--otlp-endpoint", "http://a", "--trace-sampler", "some"], "--trace-sampler", "parentbased_traceidratio"),
        (&["--otlp-endpoint", "http://a", "--trace-sampler-arg", "2"], "--trace-sampler", "ratio"),
        (&["--trace-trust", "everybody"], "--trace-trust", "none"),
    ] {
        let site = Site::new([]);
        let (code, said) = site.run_to_the_end(site.up_command(arguments)).await;
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(setting) && said.contains(reason) && !said.contains("hunter2"), "{said}");
    }
}
