//! Spans of functions themselves.

use super::{ALL, platform};
use crate::harness::{Function, answer_to, repository};

#[tokio::test]
async fn a_function_that_asks_for_it_sends_its_own_spans_into_the_trace() {
    let function = Function::new("own", "python3 -I -S own-span.py")
        .folder(repository().join("tests/functions"))
        .annotation("skep.trace.export", "on");
    let (platform, collector) = platform(&[ALL], function).await;
    let answer = answer_to(platform.gateway.post("/function/own")).await;
    assert_eq!((answer.status, answer.text().trim()), (200, "200"), "{answer:?}");
    let own = collector.span("the function's span", |span| span.name == "own work").await;
    for (name, value) in [("service.name", "own"), ("service.namespace", "openfaas-fn"), ("faas.name", "own")] {
        assert_eq!(own.resource.get(name).map(String::as_str), Some(value), "{own:#?}");
    }
    let request = collector.span("the request to it", |span| span.id == own.parent).await;
    assert_eq!((request.kind.as_str(), &request.trace), ("CLIENT", &own.trace));
}
