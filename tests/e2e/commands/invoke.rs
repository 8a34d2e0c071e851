//! `skep invoke`: bodies, queues, streams and exit codes.

use std::{io::Write, os::fd::OwnedFd};

use serde_json::Value;

use crate::harness::{Function, Platform, Program, Ran, Site, wait_until};

#[tokio::test]
async fn a_request_arrives_as_it_was_meant() {
    let platform = Platform::start([Function::echo_http(), Function::cat(), Function::failing()]).await;
    let site = &platform.site;
    let arguments = ["invoke", "echo", "--method", "put", "--path", "/items/7", "--query", "a=1", "--query", "b=2%20"];
    let arguments = [&arguments[..], &["--header", "X-Colour: red", "-H", "Content-Type: text/csv"]].concat();
    let echoed: Value = serde_json::from_str(&site.client_reading("a,b", &arguments).await.said()).unwrap();
    assert_eq!((&echoed["method"], &echoed["path"]), (&"PUT".into(), &"/items/7?a=1&b=2%20".into()));
    assert_eq!(echoed["headers"]["x-colour"], "red", "{echoed}");
    assert_eq!(echoed["body"], "a,b");

    std::fs::write(site.path("photo"), [0_u8, 159, 146, 150]).unwrap();
    let mut cat = Program::start("cat", site.client_command(&["invoke", "cat", "--file", "photo"]), site.folder());
    assert!(cat.ended().await.success());
    site.client_reading("x", &["invoke", "failing"]).await.failed_with(1, "the function answered 500", "sorry");
    site.client(&["invoke", "nobody"]).await.failed(3, "nobody");
    site.client(&["invoke", "cat", "--file", "nowhere"]).await.failed(2, "nowhere");
    site.client(&["invoke", "cat", "--header", "no colon"]).await.code_is(2);
    site.client_reading("x", &["invoke", "cat", "--password-stdin"]).await.failed(2, "--file");
}

#[tokio::test]
async fn a_call_is_queued_or_waited_for() {
    let platform = Platform::start([Function::gated(), Function::failing().answers_once()]).await;
    let site = &platform.site;
    let header = ["--header", "X-Call-Id: order-7"];
    let id = site.client_reading("honey", &[&["invoke", "gated", "--async"], &header[..]].concat()).await.said();
    assert_eq!(id, "order-7\n");
    let waited = site.client_reading("x", &["invoke", "gated", "--wait", "200ms"]).await;
    waited.failed(1, "has not ended");
    site.open_gate();
    assert_eq!(site.client(&["calls", "result", "order-7", "--wait", "60s"]).await.said(), "honey");
    assert_eq!(site.client_reading("wax", &["invoke", "gated", "--wait", "60s"]).await.said(), "wax");
    let id = site.client(&["invoke", "gated", "--async", "--json"]).await.said();
    assert!(serde_json::from_str::<Value>(&id).unwrap()["callId"].is_string(), "{id}");
    std::fs::remove_file(site.path("gate")).unwrap();
    let failed = site.client(&["invoke", "failing", "--wait", "60s"]).await;
    failed.failed_with(1, "the function answered 500", "sorry");
}

#[tokio::test]
async fn a_piece_of_the_answer_is_printed_before_the_next_one_is_there() {
    let platform = Platform::start([Function::upstream()]).await;
    let site = &platform.site;
    let command = site.client_command(&["invoke", "upstream", "--path", "/events", "--method", "GET"]);
    let program = Program::start("invoke", command, site.folder());
    wait_until("the first event", async || program.stdout() == "data: one\n\n").await;
    std::fs::write(site.path("more"), "").unwrap();
    assert_eq!(Ran::of(program).await.said(), "data: one\n\ndata: two\n\n");
}

#[tokio::test]
async fn a_body_has_a_length_unless_it_is_large() {
    let platform = Platform::start([Function::echo_http()]).await;
    let site = &platform.site;
    let headers = |said: String| serde_json::from_str::<Value>(&said).unwrap()["headers"].clone();
    let small = headers(site.client_reading("honey", &["invoke", "echo"]).await.said());
    assert_eq!(small["content-length"], "5", "{small}");
    std::fs::write(site.path("small"), "wax").unwrap();
    let of_file = headers(site.client(&["invoke", "echo", "--file", "small"]).await.said());
    assert_eq!(of_file["content-length"], "3", "{of_file}");
    let large = "x".repeat(2 * 1024 * 1024);
    let large = headers(site.client_reading(&large, &["invoke", "echo"]).await.said());
    assert!(large["content-length"].is_null(), "{large}");
}

#[tokio::test]
async fn a_pipe_that_stays_open_does_not_keep_its_beginning_back() {
    let platform = Platform::start([Function::new("reader", "sh -c 'head -c 5 >begin; cat'")]).await;
    let site = &platform.site;
    let (input, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"bees ").unwrap();
    let command = site.client_command(&["invoke", "reader"]);
    let invoke = Program::start_reading(OwnedFd::from(input).into(), "invoke", command, site.folder());
    let begin = site.path("begin");
    wait_until("the function has the beginning", async || std::fs::read(&begin).is_ok_and(|begin| begin == b"bees "))
        .await;
    writer.write_all(b"and the hive").unwrap();
    drop(writer);
    assert_eq!(Ran::of(invoke).await.said(), "and the hive");
}

#[tokio::test]
async fn only_a_function_that_asks_for_a_login_is_shown_one() {
    let print = r#"sh -c 'echo "got: $Http_Authorization"'"#;
    let closed = Function::new("closed", print).annotation("skep.auth", "required");
    let mut site = Site::new([Function::new("open", print), closed]);
    let _up = site.up_with_password(&[]).await;
    let data = site.data.to_str().unwrap().to_owned();
    let with = async |arguments: &[&str]| site.client(&[arguments, &["--data-dir", &data]].concat()).await.said();
    assert_eq!(with(&["invoke", "open"]).await, "got: \n");
    assert_eq!(with(&["invoke", "closed"]).await, "got: \n", "the gateway keeps it");
    assert!(with(&["invoke", "open", "--with-login"]).await.starts_with("got: Basic "));
    site.client(&["invoke", "closed"]).await.failed(2, "password");
}
