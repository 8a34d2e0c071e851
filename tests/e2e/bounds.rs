//! What a gateway takes on at once is bounded, and what is too much is refused with the name of the setting.

use rustix::process::Signal;

use crate::harness::{Answer, Function, Platform, answer_to, wait_for, wait_until};

#[tokio::test]
async fn calls_beyond_those_that_may_be_under_way_are_429() {
    let arguments = ["--max-inflight-per-function", "2", "--max-inflight", "2"];
    let platform = Platform::start_with(&arguments, [Function::gated(), Function::cat()]).await;
    let running = [(); 2].map(|()| tokio::spawn(answer_to(platform.gateway.post("/function/gated"))));
    platform.site.wait_for_runs(2).await;
    for (function, setting) in [("gated", "--max-inflight-per-function"), ("cat", "(--max-inflight)")] {
        let answer = platform.gateway.call(function, "one more").await;
        answer.assert_refused(429);
        assert_eq!((answer.header("x-skep-error"), answer.header("retry-after")), ("too_many_in_flight", "1"));
        assert!(answer.text().contains(setting), "{answer:?}");
    }
    platform.site.open_gate();
    for running in running {
        assert_eq!(running.await.unwrap().status, 200);
    }
    wait_until("others are served again", async || platform.gateway.call("cat", "x").await.status == 200).await;
    assert_eq!(platform.site.runs().len(), 2, "what was refused did not run");
}

#[tokio::test]
async fn callers_who_wait_for_a_result_are_bounded() {
    let platform = Platform::start_with(&["--max-waiters", "1"], [Function::gated()]).await;
    let id = platform.gateway.queue("gated", "").await;
    let waiting = format!("/system/calls/{id}/result?wait=2m");
    let gateway = platform.gateway.clone();
    let first = tokio::spawn(async move {
        loop {
            // The second one may have been faster.
            let answer = answer_to(gateway.get(&waiting)).await;
            if answer.status != 503 {
                return answer;
            }
        }
    });
    let second = async || answer_to(platform.gateway.get(&format!("/system/calls/{id}/result?wait=20ms"))).await;
    wait_until("the second one is refused", async || second().await.status == 503).await;
    let refused = second().await;
    assert_eq!(refused.header("x-skep-error"), "too_many_waiters");
    assert!(refused.text().contains("--max-waiters"), "{refused:?}");
    let queued = answer_to(platform.gateway.post("/async-function/gated").header("Prefer", "wait=120")).await;
    assert_eq!(queued.status, 202, "the call is accepted all the same");
    platform.site.open_gate();
    assert_eq!(first.await.unwrap().status, 200);
}

#[tokio::test]
async fn callers_who_follow_logs_are_bounded() {
    let platform = Platform::start_with(&["--max-followers", "1"], [Function::cat()]).await;
    let follow = async || platform.gateway.get("/system/logs?name=cat&follow=true").send().await.unwrap();
    let first = follow().await;
    assert_eq!(first.status(), 200);
    let refused = follow().await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["x-skep-error"]),
        (503, &"too_many_followers".parse().unwrap())
    );
    assert!(refused.text().await.unwrap().contains("--max-followers"));
    drop(first);
    wait_until("there is a place again", async || follow().await.status() == 200).await;
}

#[tokio::test]
async fn a_queue_that_holds_as_many_bytes_as_it_may_takes_no_more() {
    let arguments = ["--queue-bytes", "100KB", "--queue-bytes-per-function", "1MB"];
    let platform = Platform::start_with(&arguments, [Function::gated(), Function::cat()]).await;
    // What waits is looked at twice a second, so a few more than the limit allows may come in.
    let fill = async || platform.gateway.post("/async-function/gated").body(vec![b'x'; 10_000]).send().await.unwrap();
    wait_until("the queue is full", async || fill().await.status() == 503).await;
    let queue = async || platform.gateway.post("/async-function/cat").send().await.unwrap();
    let refused = queue().await;
    assert_eq!(refused.headers()["x-skep-error"], "queue_full");
    assert!(refused.headers().contains_key("retry-after"));
    assert!(refused.text().await.unwrap().contains("--queue-bytes"));
    platform.site.open_gate();
    wait_until("what waited has gone", async || queue().await.status() == 202).await;
}

#[tokio::test]
async fn one_function_does_not_fill_the_queue_of_all() {
    // A quarter of it is for one function.
    let platform = Platform::start_with(&["--queue-bytes", "1MB"], [Function::gated(), Function::cat()]).await;
    let mut accepted = 0;
    let refused = loop {
        let answer = fill(&platform, "gated", "0s").await;
        if answer.status != 202 {
            break answer;
        }
        accepted += 1;
        assert!(accepted < 60, "nothing is refused");
    };
    refused.assert_refused(429);
    assert_eq!(refused.header("x-skep-error"), "too_many_wait");
    assert!(refused.text().contains("--queue-bytes-per-function is 250000"), "{refused:?}");
    assert!(refused.headers.contains_key("retry-after"));
    assert!(accepted >= 24, "{accepted} calls are far less than the limit");
    assert_eq!(fill(&platform, "cat", "0s").await.status, 202, "others have room");
    platform.site.open_gate();
    wait_until("what waited has gone", async || fill(&platform, "gated", "0s").await.status == 202).await;
}

#[tokio::test]
async fn bytes_that_wait_for_their_time_count_also_after_a_restart() {
    let limited = Function::cat().annotation("skep.queue.max-bytes", "100KB");
    let platform = Platform::start([limited]).await;
    wait_until("a refusal", async || fill(&platform, "cat", "1h").await.status == 429).await;
    let Platform { mut up, gateway, site } = platform;
    up.signal(Signal::TERM);
    up.ended().await;
    let platform = Platform { up: site.up(&[]).await, gateway, site };
    let mut accepted = Vec::new();
    let refused = wait_for("a refusal after the restart", async || {
        let answer = fill(&platform, "cat", "0s").await;
        if answer.status == 202 {
            accepted.push(answer.header("x-call-id").to_owned());
        }
        Some(answer).filter(|answer| answer.status == 429)
    })
    .await;
    assert!(refused.text().contains("skep.queue.max-bytes is 100000"), "{refused:?}");
    // These bytes wait no longer, so those of the delayed calls are all that count.
    for id in &accepted {
        platform.gateway.finished(id).await;
    }
    assert_eq!(fill(&platform, "cat", "1h").await.status, 429);
    let bad = Function::cat().annotation("skep.queue.max-bytes", "much").deployment(platform.site.folder());
    let refused = platform.gateway.send(http::Method::PUT, "/system/functions", &bad).await;
    refused.assert_refused(400);
    assert!(refused.text().contains("annotation skep.queue.max-bytes"), "{refused:?}");
}

/// Queues a call of 10 kB.
async fn fill(platform: &Platform, function: &str, delay: &str) -> Answer {
    let request = platform.gateway.post(&format!("/async-function/{function}")).header("X-Skep-Delay", delay);
    answer_to(request.body(vec![b'x'; 10_000])).await
}
