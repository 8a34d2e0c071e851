//! Settings, as the operating system gives them.

use std::{fs, io::Read, process::Command};

use crate::{
    client::{open, send},
    support::{Watchdog, free_port, metrics, wait_until},
};

#[test]
fn a_value_that_cannot_be_stops_the_start_with_one_line_that_names_it() {
    for (setting, value) in [
        ("exec_timeout", "abc"),
        ("read_timeout", "-1"),
        ("write_timeout", ""),
        ("healthcheck_interval", "5 s"),
        ("mode", "afterburn"),
        ("port", "65536"),
        ("write_debug", "maybe"),
        ("max_inflight", "-1"),
        ("fprocess", "cat 'x"),
        ("fprocess", ""),
        ("upstream_url", "ftp://x"),
        ("log_buffer_size", "0"),
        ("lifeline", "tcp"),
        ("nice", "20"),
        ("jwt_auth", "true"),
        ("max_inflight_wait", "1 s"),
        ("output_buffer_size", "-2"),
        ("input_buffer_size", "-2"),
        ("max_processes", "-1"),
        ("prefork", "-1"),
        ("cgi_response", "perhaps"),
        ("listen_address", "x"),
        ("content_type", "a\nb"),
    ] {
        assert_refused(command().env("fprocess", "cat").env(setting, value), setting);
    }
    let mut both = command();
    assert_refused(both.envs([("fprocess", "cat"), ("cgi_headers", "true"), ("prefork", "1")]), "prefork");
    for path in ["/no/such/directory", "/etc/passwd"] {
        assert_refused(command().env("mode", "static").env("static_path", path), "static_path");
    }
}

fn assert_refused(command: &mut Command, setting: &str) {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{command:?}: {text}");
    assert!(text.starts_with(&format!("fwatchdog: {setting}: ")) && text.trim_end().lines().count() == 1, "{text}");
}

#[test]
fn one_dash_is_enough_for_version_and_health_check() {
    let output = command().arg("-version").output().unwrap();
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains(env!("CARGO_PKG_VERSION")));
    let watchdog = Watchdog::fork("cat", &[]);
    let check = |port: u16| {
        let mut command = command();
        command.arg("-run-healthcheck").env("suppress_lock", "true").env("port", port.to_string());
        command.status().unwrap().success()
    };
    assert!(check(watchdog.address.port()));
    assert!(!check(1));
}

#[test]
fn names_and_aliases_of_openfaas_are_understood() {
    let settings =
        [("function_process", "echo 'two  words'"), ("fprocess", "cat"), ("mode", "streaming"), ("exec_timeout", "10")];
    let watchdog = Watchdog::start(&settings);
    assert_eq!(send(watchdog.address, "GET", "/", &[], b"").text(), "two  words\n");
}

#[test]
fn the_modes_of_the_of_watchdog_have_its_defaults() {
    for (mode, body, content_type, limit) in [
        ("fork", "out\nerr\n", "text/plain; charset=utf-8", None),
        ("serializing", "out\n", "application/octet-stream", Some(30_000)),
        ("streaming", "out\n", "application/octet-stream", Some(30_000)),
    ] {
        let watchdog = Watchdog::sh("echo out; echo err >&2", &[("mode", mode)]);
        let answer = watchdog.get("/");
        assert_eq!((answer.text().as_str(), answer.headers["content-type"].as_str()), (body, content_type), "{mode}");
        let reported = Watchdog::sh("echo $SKEP_TIMEOUT_MS", &[("mode", mode)]).get("/").text();
        let reported: Option<u64> = reported.trim().parse().ok();
        assert_eq!(reported.map(|left| left.next_multiple_of(1000)), limit, "{mode}");
    }
}

/// One test, because there is one lock file.
#[test]
fn the_lock_file_is_part_of_health_unless_it_cannot_be_written() {
    const LOCK: &str = "/tmp/.lock";
    let check = |watchdog: &Watchdog| {
        let port = watchdog.address.port().to_string();
        command().arg("-run-healthcheck").env("port", port).status().unwrap().success()
    };
    let mut watchdog = Watchdog::fork("cat", &[("suppress_lock", "false")]);
    wait_until("the lock file is written", || fs::exists(LOCK).unwrap());
    assert!(check(&watchdog));
    assert_eq!(watchdog.get("/_/health").status, 200);
    fs::remove_file(LOCK).unwrap();
    assert!(!check(&watchdog));
    assert_eq!(watchdog.get("/_/health").status, 503);
    fs::write(LOCK, "").unwrap();
    watchdog.signal("TERM");
    watchdog.wait_for_exit();
    assert!(!fs::exists(LOCK).unwrap());

    // A directory in its place stops root too.
    fs::create_dir(LOCK).unwrap();
    let mut watchdog = Watchdog::fork("cat", &[("suppress_lock", "false")]);
    assert_eq!(watchdog.get("/_/health").status, 200);
    assert!(check(&watchdog));
    wait_until("it says why", || watchdog.logged("Cannot write /tmp/.lock: Is a directory"));
    assert!(watchdog.logged("suppress_lock=true"));
    watchdog.signal("TERM");
    watchdog.wait_for_exit();
    assert!(!check(&watchdog));
    fs::remove_dir(LOCK).unwrap();
}

#[test]
fn metrics_have_the_names_of_openfaas() {
    let port = free_port();
    let watchdog = Watchdog::fork("cat", &[("metrics_port", &port.to_string())]);
    watchdog.post(b"x");
    let mut unfinished = open(watchdog.address, "POST", "/", &[("X-Timeout", "100ms")], Some(9));
    let mut head = [0; 12];
    unfinished.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 408");
    let page = metrics(port);
    for line in [
        r#"http_requests_total{code="200",method="post"} 1"#,
        r#"http_request_duration_seconds_count{code="200",method="post"} 1"#,
        "http_requests_in_flight 0",
        "skep_watchdog_process_start_seconds_count 2",
        r#"skep_watchdog_kills_total{reason="timeout"} 1"#,
        r#"skep_watchdog_kills_total{reason="caller_gone"} 0"#,
        "skep_watchdog_waiting_processes 0",
    ] {
        assert!(page.contains(line), "{line} is not in {page}");
    }
}

fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_fwatchdog"))
}
