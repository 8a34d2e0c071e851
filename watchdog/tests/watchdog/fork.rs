//! Fork mode with programs that behave.

use std::{fs, io::Write, thread};

use crate::{
    client::{open, send},
    support::{Watchdog, wait_until},
};

#[test]
fn cat_echoes_the_body_and_the_answer_tells_call_id_and_duration() {
    let watchdog = Watchdog::fork("cat", &[]);
    let headers = [("X-Call-Id", "call-1"), ("Content-Type", "application/x-test")];
    let answer = send(watchdog.address, "POST", "/", &headers, b"hello");
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert_eq!(answer.headers["x-call-id"], "call-1");
    assert_eq!(answer.headers["content-type"], "application/x-test");
    let duration: f64 = answer.headers["x-duration-seconds"].parse().unwrap();
    assert!(duration > 0.0);
    wait_until("both log lines are there", || {
        watchdog.logged("Forking fprocess.") && watchdog.logged("Wrote 5 Bytes - Duration: ")
    });
}

#[test]
fn the_request_is_in_the_environment_and_the_functions_own_variables_stay() {
    let settings = [("Http_Own", "mine"), ("Http_X_Taken", "mine")];
    let watchdog = Watchdog::fork("env", &settings);
    let headers = [("X-Taken", "theirs"), ("proxy", "http://evil"), ("X-Call-Id", "7"), ("a_b", "odd")];
    let text = send(watchdog.address, "PUT", "/a%20b/c?d=e&f", &headers, b"xyz").text();
    let lines: Vec<&str> = text.lines().collect();
    for expected in [
        "Http_Method=PUT",
        "Http_Path=/a b/c",
        "Http_Query=d=e&f",
        "Http_X_Call_Id=7",
        "Http_ContentLength=3",
        "Http_Content_Length=3",
        "Http_Host=function:8080",
        "Http_Own=mine",
        "Http_X_Taken=mine",
        "fprocess=env",
    ] {
        assert!(lines.contains(&expected), "{expected} is not in {text}");
    }
    assert!(!text.contains("evil") && !text.contains("odd"), "{text}");
}

#[test]
fn cgi_headers_can_be_turned_off() {
    let watchdog = Watchdog::fork("env", &[("cgi_headers", "false")]);
    assert!(!watchdog.get("/").text().contains("Http_"));
}

#[test]
fn a_failing_program_is_500_with_its_exit_status_and_output() {
    let watchdog = Watchdog::sh("echo out; echo err >&2; exit 3", &[]);
    let answer = watchdog.get("/");
    assert_eq!((answer.status, answer.text().as_str()), (500, "exit status 3\nout\nerr\n"));
    assert!(!answer.headers.contains_key("x-skep-error"), "it is the function's error");
    assert_eq!(Watchdog::sh("kill -9 $$", &[]).get("/").text(), "signal: killed\n");
}

#[test]
fn a_program_that_is_not_there_is_500_and_names_it() {
    let watchdog = Watchdog::fork("/no/such/program", &[("write_debug", "true")]);
    let answer = watchdog.get("/");
    assert_eq!(answer.status, 500);
    assert!(answer.text().contains("/no/such/program"), "{}", answer.text());
    assert_eq!(answer.headers["x-skep-error"], "cannot_start");
    assert_eq!(watchdog.get("/_/health").status, 200);
}

#[test]
fn bodies_of_many_sizes_come_back_whole() {
    let watchdog = Watchdog::fork("cat", &[]);
    for size in [0, 1, 65_536, 1 << 20, 64 << 20] {
        let body: Vec<u8> = (0..size).map(|position: u32| (position / 3 % 251) as u8).collect();
        let answer = watchdog.post(&body);
        assert_eq!(answer.status, 200);
        assert!(answer.body == body, "{size} bytes came back as {}", answer.body.len());
    }
}

#[test]
fn chunked_bodies_are_streamed_and_have_no_length() {
    let watchdog = Watchdog::sh("cat; echo; echo $Http_ContentLength $Http_Transfer_Encoding", &[]);
    let mut stream = open(watchdog.address, "POST", "/", &[("Transfer-Encoding", "chunked")], None);
    stream.write_all(b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n").unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.ends_with("\r\n\r\nabcdefg\n-1 chunked\n"), "{answer}");
}

#[test]
fn a_body_that_breaks_off_is_never_taken_for_a_whole_one() {
    let directory = tempfile::tempdir().unwrap();
    let (begun, whole) = (directory.path().join("begun"), directory.path().join("whole"));
    let script = format!("touch {}; cat >/dev/null; touch {}", begun.display(), whole.display());
    let watchdog = Watchdog::sh(&script, &[]);
    let mut stream = open(watchdog.address, "POST", "/", &[], Some(1000));
    stream.write_all(b"only this").unwrap();
    wait_until("the process runs", || fs::exists(&begun).unwrap());
    drop(stream);
    watchdog.wait_until_no_function_runs();
    assert!(!fs::exists(&whole).unwrap());
}

#[test]
fn verbs_of_the_contract_are_served_and_others_are_405() {
    let watchdog = Watchdog::sh("echo $Http_Method", &[]);
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let answer = send(watchdog.address, method, "/", &[], b"");
        assert_eq!((answer.status, answer.text()), (200, format!("{method}\n")));
    }
    let answer = send(watchdog.address, "HEAD", "/", &[], b"");
    assert_eq!((answer.status, answer.headers["content-length"].as_str()), (200, "5"));
    assert_eq!(send(watchdog.address, "TRACE", "/", &[], b"").status, 405);
}

#[test]
fn over_max_inflight_is_429_with_the_openfaas_text_and_not_ready() {
    let directory = tempfile::tempdir().unwrap();
    let go = directory.path().join("go");
    let script = format!("until [ -e {} ]; do sleep 0.05; done; echo done", go.display());
    let watchdog = Watchdog::sh(&script, &[("max_inflight", "1")]);
    thread::scope(|scope| {
        let first = scope.spawn(|| watchdog.get("/"));
        wait_until("the place is taken", || watchdog.get("/_/ready").status == 429);
        let answer = watchdog.get("/");
        assert_eq!(answer.status, 429);
        assert_eq!(answer.text().trim(), "Concurrent request limit exceeded. Max concurrent requests: 1");
        assert_eq!(answer.headers["x-openfaas-internal"], "faas-middleware");
        fs::write(&go, "").unwrap();
        assert_eq!(first.join().unwrap().status, 200);
    });
    assert_eq!((watchdog.get("/_/ready").status, watchdog.get("/").status), (200, 200));
}

#[test]
fn with_max_inflight_wait_a_call_waits_for_its_turn() {
    let directory = tempfile::tempdir().unwrap();
    let go = directory.path().join("go");
    let script = format!("until [ -e {} ]; do sleep 0.05; done; echo done", go.display());
    let limit = ("max_inflight", "1");
    let patient = Watchdog::sh(&script, &[limit, ("max_inflight_wait", "10m")]);
    let hasty = Watchdog::sh(&script, &[limit, ("max_inflight_wait", "200ms")]);
    thread::scope(|scope| {
        let calls: Vec<_> = (0..3).map(|_| scope.spawn(|| patient.get("/"))).collect();
        let _first = open(hasty.address, "GET", "/", &[], None);
        wait_until("the place is taken", || hasty.get("/_/ready").status == 429);
        assert_eq!(hasty.get("/").status, 429);
        fs::write(&go, "").unwrap();
        assert!(calls.into_iter().all(|call| call.join().unwrap().status == 200));
    });
}

#[test]
fn the_process_is_told_its_trace_and_how_long_it_may_run() {
    let watchdog = Watchdog::fork("env", &[("exec_timeout", "1m"), ("cgi_headers", "false"), ("prefork", "0")]);
    let headers = [("traceparent", "00-ab-cd-01"), ("tracestate", "a=b"), ("X-Timeout", "10s")];
    let text = send(watchdog.address, "GET", "/", &headers, b"").text();
    assert!(text.contains("TRACEPARENT=00-ab-cd-01\n") && text.contains("TRACESTATE=a=b\n"), "{text}");
    let left = text.lines().find_map(|line| line.strip_prefix("SKEP_TIMEOUT_MS=")).unwrap();
    assert!((9000..=10_000).contains(&left.parse().unwrap()), "{left}");
    let text = Watchdog::fork("env", &[]).get("/").text();
    assert!(
        !text.contains("TRACEPARENT") && !text.contains("TRACESTATE") && !text.contains("SKEP_TIMEOUT_MS"),
        "{text}"
    );
}

#[test]
fn marshalled_requests_are_one_json_document() {
    let watchdog = Watchdog::fork("cat", &[("marshal_request", "true"), ("content_type", "application/json")]);
    let answer = send(watchdog.address, "POST", "/", &[("X-Call-Id", "7")], b"hi");
    assert_eq!(answer.headers["content-type"], "application/json");
    assert!(answer.text().contains(r#""X-Call-Id":["7"]"#) && answer.text().contains(r#""raw":"aGk=""#));
}

#[test]
fn a_body_that_is_read_whole_has_a_limit() {
    let watchdog = Watchdog::fork("wc -c", &[("marshal_request", "true"), ("input_buffer_size", "1000")]);
    assert_eq!(send(watchdog.address, "POST", "/", &[], &[b'x'; 1000]).status, 200);
    let answer = send(watchdog.address, "POST", "/", &[], &[b'x'; 1001]);
    assert_eq!((answer.status, answer.headers["x-skep-error"].as_str()), (413, "body_too_large"));
    assert_eq!(answer.text(), "the body is larger than input_buffer_size, 1000 bytes\n");
    let streamed = Watchdog::fork("wc -c", &[("input_buffer_size", "1000")]);
    assert_eq!(send(streamed.address, "POST", "/", &[], &[b'x'; 5000]).text(), "5000\n");
}

#[test]
fn no_more_processes_run_than_may_and_further_calls_wait_for_their_turn() {
    let folder = tempfile::tempdir().unwrap();
    // Each sees how many of them there are.
    let script = r#"cd "$FOLDER" && touch $$ && ls | wc -l && sleep 0.05 && rm $$"#;
    let folder_name = folder.path().to_str().unwrap();
    let watchdog = Watchdog::sh(script, &[("max_processes", "2"), ("FOLDER", folder_name)]);
    let counts: Vec<usize> = thread::scope(|scope| {
        let calls: Vec<_> = (0..8).map(|_| scope.spawn(|| watchdog.get("/").text())).collect();
        calls.into_iter().map(|call| call.join().unwrap().trim().parse().unwrap()).collect()
    });
    assert!(counts.iter().all(|count| *count <= 2), "{counts:?}");
}

#[test]
fn health_is_for_get_only() {
    let watchdog = Watchdog::fork("cat", &[]);
    let answer = watchdog.get("/_/health");
    assert_eq!((answer.status, answer.text().as_str()), (200, "OK"));
    assert_eq!(send(watchdog.address, "POST", "/_/health", &[], b"").status, 405);
}

#[test]
fn the_function_gives_way_as_it_is_reported() {
    let niceness = |stat: &str| stat.split(' ').nth(18).unwrap().trim().parse::<i32>().unwrap();
    let own = niceness(&fs::read_to_string("/proc/thread-self/stat").unwrap());
    for (setting, expected) in [("0", own), ("7", own + 7)] {
        let watchdog = Watchdog::fork("cat /proc/self/stat", &[("nice", setting)]);
        assert_eq!(niceness(&watchdog.get("/").text()), expected.min(19), "{setting}");
    }
}
