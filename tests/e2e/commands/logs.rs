//! `skep logs`: of one function or several, past and coming.

use serde_json::Value;

use crate::harness::{Function, Platform, Program, wait_for, wait_until};

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
