//! Many connections at once, and no more than are set.

use std::{process::Command, time::Duration};

use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

use crate::harness::{DEADLINE, Function, Platform, Site, raw, wait_until};

const REQUEST: &str = "POST /function/cat HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
/// What is open so long and does not answer waits.
const WAITS: Duration = Duration::from_millis(500);

/// A command with so many open files at first, and more that it may ask for.
fn with_files(number: usize, command: &Command) -> Command {
    let mut limited = Command::new("sh");
    limited.arg("-c").arg(format!("ulimit -Sn {number} && exec \"$0\" \"$@\""));
    limited.arg(command.get_program()).args(command.get_args()).env_clear();
    limited.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited.current_dir(command.get_current_dir().unwrap());
    limited
}

async fn answer_over(stream: &mut TcpStream) -> String {
    let mut answer = vec![0; 1024];
    let length = timeout(DEADLINE, stream.read(&mut answer)).await.expect("there is no answer").unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

#[tokio::test]
async fn there_may_be_more_connections_than_files_at_the_start_and_functions_keep_that_limit() {
    let site = Site::new([Function::cat(), Function::new("limit", "sh -c 'ulimit -Sn'")]);
    let up = site.up_by(with_files(128, &site.up_command(&[]))).await;
    let mut connections = Vec::new();
    for _ in 0..200 {
        let mut stream = raw::send(site.listen, REQUEST).await;
        assert!(answer_over(&mut stream).await.starts_with("HTTP/1.1 200 "));
        // Each would come in at last, when idle ones have been closed.
        assert!(!up.stderr().contains("further ones wait"), "{}", up.stderr());
        connections.push(stream);
    }
    assert_eq!(site.gateway.call("limit", "").await.text().trim(), "128");
    assert!(!up.stderr().contains("no connection can be accepted"), "{}", up.stderr());
}

#[tokio::test]
async fn a_connection_beyond_the_most_waits_until_one_is_closed() {
    let platform = Platform::start_with(&["--max-connections", "8"], [Function::cat()]).await;
    let is_told = async || platform.up.stderr().contains("--max-connections");
    let mut open = Vec::new();
    while !is_told().await {
        let mut stream = raw::send(platform.site.listen, REQUEST).await;
        tokio::select! {
            answer = answer_over(&mut stream) => assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}"),
            () = wait_until("the log says that further connections wait", is_told) => {}
        }
        open.push(stream);
        // The client that waited for the functions may hold some as well, and the last one may have had to wait.
        assert!(open.len() <= 9);
    }
    let mut waiting = raw::send(platform.site.listen, REQUEST).await;
    assert!(timeout(WAITS, answer_over(&mut waiting)).await.is_err(), "there is a connection more than may be");
    open.clear();
    assert!(answer_over(&mut waiting).await.starts_with("HTTP/1.1 200 "));
}
