//! What a function of this machine cannot do, and what it can again without its sandbox.

use std::fs;

use http::Method;
use serde_json::json;

use crate::harness::{Function, Platform, wait_until};

/// A function that runs its body as a script, and answers with all that it says and how it ended.
fn shell(name: &str) -> Function {
    Function::new(name, "sh -c 'sh 2>&1; echo \"ended $?\"'")
}

async fn secret(platform: &Platform, name: &str, value: &str) {
    let body = json!({ "name": name, "value": value });
    assert_eq!(platform.gateway.send(Method::POST, "/system/secrets", &body).await.status, 201);
}

/// A script that the sandbox must not let succeed, and what it would say otherwise.
async fn attacks(platform: &Platform) -> Vec<(String, &'static str)> {
    let (data, skep) = (platform.site.data.display().to_string(), platform.up.id());
    let outside = platform.site.path("../skep-outside-of-the-test").display().to_string();
    vec![
        (format!("cat {data}/secrets/other && echo reached"), "reached"),
        (format!("cat {data}/functions/keeper/secrets/other && echo reached"), "reached"),
        (format!("cd {data}/functions/attacker/secrets && cat ../../../secrets/other && echo reached"), "reached"),
        (format!("cat {data}/nats.conf && echo reached"), "reached"),
        (format!("cat {data}/lock && echo reached"), "reached"),
        (format!("touch {data}/made && echo reached"), "reached"),
        (format!("touch {outside} && rm {outside} && echo reached"), "reached"),
        (format!("kill -0 {skep} && echo reached"), "reached"),
        (format!("prlimit --pid {skep} --nofile=64:64 && echo reached"), "reached"),
        // Neither the terminal of skep nor any other.
        (format!("[ $(cut -d' ' -f6 /proc/self/stat) = $(cut -d' ' -f6 /proc/{skep}/stat) ] && echo reached"), "reached"),
        ("(exec 3<>/dev/ptmx) && echo reached".to_owned(), "reached"),
        ("(exec 3<>/dev/pts/ptmx) && echo reached".to_owned(), "reached"),
        (format!("cat /proc/{skep}/environ && echo reached"), "reached"),
        (format!("ls /proc/{skep}/root/ && echo reached"), "reached"),
        ("for disk in $(ls /dev | grep -E '^(vd|sd|nvme)' | head -1) full-of-nothing; do head -c 1 /dev/$disk; done >/dev/null && echo reached".to_owned(), "reached"),
    ]
}

#[tokio::test]
async fn a_function_reaches_neither_what_is_skep_s_nor_what_is_another_function_s() {
    let platform = Platform::start([]).await;
    secret(&platform, "own", "honey").await;
    secret(&platform, "other", "sting").await;
    platform.site.deploy(&Function::new("keeper", "cat").secret("other")).await;
    platform.site.deploy(&shell("attacker").secret("own")).await;
    for (script, sign) in attacks(&platform).await {
        let text = platform.gateway.call("attacker", script.clone()).await.text();
        assert!(!text.contains(sign), "{script}: {text}");
    }
    let status = platform.gateway.call("attacker", "cat /proc/self/status").await.text();
    for line in
        ["NoNewPrivs:\t1", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "CapBnd:\t0000000000000000"]
    {
        assert!(status.contains(line), "{line}: {status}");
    }

    // What is its own it has, also a new value of its secret.
    let read = platform.gateway.call("attacker", "cat $SKEP_SECRETS_DIR/own").await.text();
    assert!(read.starts_with("honey"), "{read}");
    let body = json!({ "name": "own", "value": "wax" });
    assert_eq!(platform.gateway.send(Method::PUT, "/system/secrets", &body).await.status, 202);
    let script = "cat $SKEP_SECRETS_DIR/own && echo > made && cat made && mktemp && ls / > /dev/null && echo fine";
    let text = platform.gateway.call("attacker", script).await.text();
    assert!(text.starts_with("wax") && text.contains("fine") && text.contains("ended 0"), "{text}");
    assert!(text.contains(&format!("{}/functions/attacker/tmp/", platform.site.data.display())), "{text}");
}

#[tokio::test]
async fn a_function_that_runs_beside_the_data_folder_writes_there_and_does_not_see_it() {
    // It runs in the folder of the stack file, in which the data folder is.
    let platform = Platform::start([shell("beside")]).await;
    secret(&platform, "other", "sting").await;
    let text =
        platform.gateway.call("beside", "echo made > made; cat made; ls data; cat data/secrets/other").await.text();
    assert!(text.starts_with("made") && !text.contains("sting") && !text.contains("nats.conf"), "{text}");
    assert_eq!(fs::read_to_string(platform.site.path("made")).unwrap(), "made\n");
    // A file that is new, or another one by the same name, can be read.
    fs::write(platform.site.path("new"), "new").unwrap();
    assert!(platform.gateway.call("beside", "cat new").await.text().starts_with("new"));
}

#[tokio::test]
async fn the_folder_for_temporary_files_goes_with_its_replica() {
    let platform = Platform::start([]).await;
    platform.site.deploy(&shell("scratch")).await;
    assert!(platform.gateway.call("scratch", "echo x > $TMPDIR/file").await.text().contains("ended 0"));
    let folder = platform.site.data.join("functions/scratch/tmp/scratch-1");
    assert!(folder.join("file").is_file());
    platform.gateway.scale("scratch", 0).await;
    wait_until("the end of the folder", async || !folder.exists()).await;
}

#[tokio::test]
async fn an_annotation_or_a_setting_lifts_the_sandbox() {
    let platform = Platform::start([]).await;
    secret(&platform, "other", "sting").await;
    let script = format!("cat {}/secrets/other; grep NoNewPrivs /proc/self/status", platform.site.data.display());
    platform.site.deploy(&shell("free").annotation("skep.sandbox", "off")).await;
    let text = platform.gateway.call("free", script).await.text();
    assert!(text.contains("sting") && text.contains("NoNewPrivs:\t0"), "{text}");
    let bad = shell("bad").annotation("skep.sandbox", "maybe").deployment(platform.site.folder());
    platform.gateway.send(Method::POST, "/system/functions", &bad).await.assert_refused(400);
    let inside = Function::new("inside", "cat").folder(platform.site.data.clone());
    let inside = inside.deployment(platform.site.folder());
    platform.gateway.send(Method::POST, "/system/functions", &inside).await.assert_refused(400);

    let platform = Platform::start_with(&["--sandbox", "off"], [shell("free")]).await;
    let text = platform.gateway.call("free", "grep NoNewPrivs /proc/self/status").await.text();
    assert!(text.contains("NoNewPrivs:\t0"), "{text}");
}

#[tokio::test]
async fn what_cannot_be_started_is_refused_or_says_why() {
    let platform = Platform::start([]).await;
    let large = Function::new("large", "cat").env("LARGE", &"x".repeat(200_000)).deployment(platform.site.folder());
    let refused = platform.gateway.send(Method::POST, "/system/functions", &large).await;
    refused.assert_refused(400);
    assert!(refused.text().contains("variable LARGE"), "{refused:?}");
    assert!(platform.gateway.function("large").await.is_none());

    let wrong = Function::new("wrong", "cat").env("mode", "no-such-mode").deployment(platform.site.folder());
    assert_eq!(platform.gateway.send(Method::POST, "/system/functions", &wrong).await.status, 202);
    wait_until("the problem is shown", async || {
        let status = platform.gateway.function("wrong").await.unwrap();
        status["problem"].as_str().is_some_and(|problem| problem.contains("exited with code 2"))
    })
    .await;
}
