//! What waits for a function: reported, counted, and limited.

use http::Method;

use crate::harness::{Answer, Function, Platform, answer_to, metrics_of, wait_for, wait_until};

/// A platform whose function takes no calls, and some that wait for it.
async fn with_backlog(function: Function, calls: usize) -> Platform {
    let platform = Platform::start([function, Function::counted()]).await;
    platform.gateway.scale("cat", 0).await;
    platform.gateway.wait_for_replicas("cat", 0).await;
    for _ in 0..calls {
        platform.gateway.queue("cat", "x").await;
    }
    platform
}

async fn submit(platform: &Platform) -> Answer {
    answer_to(platform.gateway.post("/async-function/cat").body("x")).await
}

async fn depth(platform: &Platform) -> Option<u64> {
    platform.gateway.function("cat").await.unwrap()["queueDepth"].as_u64()
}

#[tokio::test]
async fn what_waits_is_told_with_each_call_and_of_the_function() {
    let platform = with_backlog(Function::cat(), 7).await;
    wait_until("seven calls wait", async || depth(&platform).await == Some(7)).await;
    let reported = wait_for("a figure that is up to date", async || {
        let delayed = platform.gateway.post("/async-function/cat").header("X-Skep-Delay", "1h");
        let answer = answer_to(delayed.body("x")).await;
        Some(answer).filter(|answer| answer.header("x-skep-queue-depth") == "7")
    });
    assert!(reported.await.header("x-skep-queue-age").parse::<u64>().is_ok());
    let function = platform.gateway.function("cat").await.unwrap();
    assert!(function["queueAgeSeconds"].as_f64() > Some(0.0), "{function}");
    wait_until("the metrics tell", async || {
        metrics_of(platform.site.admin).await.contains("queue_worker_pending_messages{function_name=\"cat\"} 7")
    })
    .await;
    assert!(platform.site.client(&["describe", "cat"]).await.said().contains("7 queued calls"));

    platform.gateway.scale("cat", 1).await;
    wait_until("nothing waits", async || depth(&platform).await == Some(0)).await;
    assert_eq!(platform.gateway.function("cat").await.unwrap()["queueAgeSeconds"], 0.0);
}

#[tokio::test]
async fn a_function_takes_no_more_than_it_allows_and_others_are_not_refused() {
    let platform = with_backlog(Function::cat().annotation("skep.queue.max-depth", "5"), 5).await;
    let refused = wait_for("the limit", async || Some(submit(&platform).await).filter(|answer| answer.status != 202));
    let refused = refused.await;
    refused.assert_refused(429);
    assert_eq!(refused.header("x-skep-error"), "too_many_wait");
    assert!(refused.header("retry-after").parse::<u64>().is_ok_and(|seconds| (1..=60).contains(&seconds)));
    assert!(refused.text().contains("skep.queue.max-depth"), "{refused:?}");
    assert!(!refused.header("x-call-id").is_empty(), "{refused:?}");
    platform.gateway.queue("counted", "x").await;
    platform.gateway.scale("cat", 1).await;
    wait_until("it takes calls again", async || submit(&platform).await.status == 202).await;
}

#[tokio::test]
async fn a_function_whose_first_call_waits_too_long_takes_no_more() {
    let platform = with_backlog(Function::cat().annotation("skep.queue.max-age", "1s"), 1).await;
    let refused = wait_for("the limit", async || Some(submit(&platform).await).filter(|answer| answer.status != 202));
    let refused = refused.await;
    refused.assert_refused(429);
    assert!(refused.text().contains("skep.queue.max-age"), "{refused:?}");
}

#[tokio::test]
async fn a_bad_limit_is_refused_and_named() {
    let platform = Platform::start([]).await;
    for (name, bad) in [("skep.queue.max-depth", "0"), ("skep.queue.max-age", "soon")] {
        let function = Function::cat().annotation(name, bad).deployment(platform.site.folder());
        let answer = platform.gateway.send(Method::POST, "/system/functions", &function).await;
        answer.assert_refused(400);
        assert!(answer.text().contains(name), "{answer:?}");
    }
}
