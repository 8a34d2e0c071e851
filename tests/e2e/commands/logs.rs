//! `skep logs`: of one function or several, past and coming.

use serde_json::Value;

use crate::harness::{Function, Platform, Program, answer_to, wait_for, wait_until};

fn speaker(name: &str) -> Function {
    Function::new(name, r#"sh -c 'echo "said $(cat)" >&2'"#).env("combine_output", "false")
}

#[tokio::test]
async fn lines_of_several_functions_are_told_with_whose_they_are() {
    let platform = Platform::start([speaker("anna"), speaker("berta")]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    for (name, word) in [("anna", "one"), ("berta", "two"), ("anna", "three")] {
        gateway.call(name, word).await;
        // Lines are in the order in which they were read.
        wait_until("its line", async || site.client(&["logs", name]).await.said().contains(&format!("said {word}\n")))
            .await;
    }
    let grep = ["logs", "anna", "berta", "--grep", "said"];
    let said = wait_for("all lines", async || {
        let said = site.client(&grep).await.said();
        Some(said).filter(|said| said.lines().count() == 3)
    })
    .await;
    for (line, (start, end)) in
        said.lines().zip([("anna-1 | ", "said one"), ("berta-1 | ", "said two"), ("anna-1 | ", "said three")])
    {
        assert!(line.starts_with(start) && line.ends_with(end), "in their order and without colours: {said:?}");
    }
    let tail = site.client(&["logs", "anna", "--tail", "1", "--json"]).await.said();
    let line: Value = serde_json::from_str(&tail).unwrap();
    assert_eq!(line["instance"], "anna-1");
    let timed = site.client(&["logs", "anna", "--grep", "three", "--timestamps"]).await.said();
    let time = timed.split(' ').next().unwrap();
    let since = site.client(&["logs", "anna", "--since", time, "--grep", "said"]).await.said();
    assert!(since.lines().count() == 1 && since.ends_with("said three\n"), "{since}");
    assert_eq!(site.client(&["logs", "anna", "--since", "1h", "--grep", "said"]).await.said().lines().count(), 2);
    site.client(&["logs", "nobody"]).await.failed(3, "nobody");
    site.client(&["logs", "anna", "--since", "soon"]).await.failed(2, "--since");
}

#[tokio::test]
async fn lines_are_followed_until_the_gateway_is_gone() {
    let mut platform = Platform::start([speaker("anna"), speaker("berta")]).await;
    platform.gateway.call("anna", "before").await;
    let command = platform.site.client_command(&["logs", "-f", "anna", "berta", "--grep", "said"]);
    let mut following = Program::start("logs", command, platform.site.folder());
    wait_until("the past", async || following.stdout().contains("said before")).await;
    platform.gateway.call("berta", "now").await;
    wait_until("what comes", async || {
        let said = following.stdout();
        said.lines().any(|line| line.starts_with("berta-1 | ") && line.ends_with("said now"))
    })
    .await;
    assert!(following.status().is_none(), "{}", following.stderr());
    platform.up.kill();
    let ended = following.ended().await;
    assert_eq!(ended.code(), Some(1), "{}", following.stderr());
    assert!(following.stderr().contains("does not answer"), "{}", following.stderr());
}

#[tokio::test]
async fn lines_tell_which_call_and_trace_they_are_of_and_a_function_cannot_forge_that() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let script = r#"sh -c 'echo "said $(cat)" >&2; printf "\036forged \036x\n" >&2'"#;
    let platform = Platform::start([Function::new("anna", script).env("combine_output", "false")]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let request = gateway.post("/async-function/anna").header("X-Call-Id", "one").header("traceparent", parent);
    assert_eq!(answer_to(request.body("first")).await.status, 202);
    gateway.finished("one").await;
    gateway.queue_as("two", "anna", "second").await;
    gateway.finished("two").await;
    let of_one = wait_for("its lines", async || {
        let said = site.client(&["logs", "--call", "one", "--json"]).await.said();
        Some(said).filter(|said| said.lines().count() == 2)
    })
    .await;
    for line in of_one.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!((line["callId"].as_str(), line["traceId"].as_str()), (Some("one"), Some(TRACE)), "{of_one}");
    }
    assert!(of_one.contains("said first") && of_one.contains("forged"), "{of_one}");
    let of_two = wait_for("the line of the other one", async || {
        let said = site.client(&["logs", "anna", "--call", "two"]).await.said();
        Some(said).filter(|said| said.contains("said second"))
    })
    .await;
    assert!(!of_two.contains("first"), "{of_two}");
    assert_eq!(site.client(&["logs", "anna", "--call", "forged"]).await.said(), "");
    site.client(&["logs", "--call", "nobody"]).await.failed(3, "nobody");
    site.client(&["logs"]).await.code_is(2);
}

#[tokio::test]
async fn a_line_about_a_call_tells_its_ids_as_json() {
    let dies = Function::new("dies", "sh -c 'exit 3'").annotation("com.openfaas.retry.attempts", "1");
    let platform = Platform::start_with(&["--log-format", "json"], [dies]).await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = platform.gateway.post("/async-function/dies").header("X-Call-Id", "one");
    assert_eq!(answer_to(request.header("traceparent", parent)).await.status, 202);
    platform.gateway.finished("one").await;
    // It comes after the record of the call, and the last line may not be whole yet.
    let line = wait_for("its line", async || {
        let log = platform.up.stderr();
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let mut lines = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.find(|line| line["message"] == "call became a dead letter")
    })
    .await;
    for (name, value) in [("call_id", "one"), ("trace_id", &parent[3..35]), ("function", "dies"), ("level", "WARN")] {
        assert_eq!(line[name], value, "{line}");
    }
}
