//! Answers that are sent as they come.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    thread,
};

use crate::{
    client::{open, send},
    support::{Watchdog, wait_until},
};

const STREAMING: (&str, &str) = ("mode", "streaming");
/// How a chunked body ends that is whole.
const END: &[u8] = b"\r\n0\r\n\r\n";

#[test]
fn output_goes_to_the_client_as_it_comes() {
    let directory = tempfile::tempdir().unwrap();
    let go = directory.path().join("go");
    let script = format!("echo first; until [ -e {} ]; do sleep 0.05; done; echo second", go.display());
    for settings in [[STREAMING], [("output_buffer_size", "0")]] {
        let watchdog = Watchdog::sh(&script, &settings);
        let mut lines = BufReader::new(open(watchdog.address, "GET", "/", &[], None)).lines().map_while(Result::ok);
        assert!(lines.by_ref().any(|line| line == "first"));
        fs::write(&go, "").unwrap();
        assert!(lines.by_ref().any(|line| line == "second"));
        assert_eq!(lines.last().as_deref(), Some(""), "the last chunk");
        wait_until("it is logged", || watchdog.logged("Wrote 13 Bytes"));
        fs::remove_file(&go).unwrap();
    }
}

#[test]
fn bodies_flow_both_ways_at_the_same_time() {
    let watchdog = Watchdog::fork("cat", &[STREAMING]);
    let mut stream = open(watchdog.address, "POST", "/", &[("Transfer-Encoding", "chunked")], None);
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    for word in ["one", "two", "three"] {
        write!(stream, "{:x}\r\n{word}\n\r\n", word.len() + 1).unwrap();
        assert!(lines.any(|line| line == word), "{word} has not come back");
    }
}

#[test]
fn a_failure_after_the_first_byte_breaks_the_answer_off() {
    for (script, expected) in [
        ("echo out; exit 3", "exit status 3"),
        ("echo out; kill -9 $$", "signal: killed"),
        ("echo out; sleep 1000", "took too long, the answer was broken off"),
    ] {
        let watchdog = Watchdog::sh(script, &[STREAMING, ("exec_timeout", "3s")]);
        let raw = read_all(open(watchdog.address, "GET", "/", &[], None));
        let text = String::from_utf8_lossy(&raw);
        assert!(text.starts_with("HTTP/1.1 200") && text.contains("out\n"), "{text}");
        assert!(!raw.ends_with(END), "{script} looks whole");
        wait_until("it is logged", || watchdog.logged(expected));
        watchdog.wait_until_no_function_runs();
    }
}

#[test]
fn a_failure_before_the_first_byte_has_a_status() {
    let watchdog = Watchdog::sh("exit 3", &[STREAMING]);
    assert_eq!((watchdog.get("/").status, watchdog.get("/").text().as_str()), (500, "exit status 3\n"));
    let watchdog = Watchdog::sh("sleep 1000", &[STREAMING, ("exec_timeout", "200ms")]);
    assert_eq!(watchdog.get("/").status, 408);
    let watchdog = Watchdog::sh("true", &[STREAMING]);
    assert_eq!((watchdog.get("/").status, watchdog.get("/").text().as_str()), (200, ""));
}

#[test]
fn a_head_request_runs_the_process_to_its_end() {
    let watchdog = Watchdog::sh("echo out; sleep 0.2; exit 3", &[STREAMING]);
    let answer = send(watchdog.address, "HEAD", "/", &[], b"");
    assert_eq!((answer.status, answer.headers["content-length"].as_str()), (500, "18"));
}

#[test]
fn a_whole_answer_is_held_back_up_to_output_buffer_size() {
    let settings = [("output_buffer_size", "10000")];
    let small = Watchdog::sh("head -c 10000 /dev/zero; exit 4", &settings).get("/");
    assert_eq!((small.status, small.body.len()), (500, "exit status 4\n".len() + 10_000));
    let large = Watchdog::sh("head -c 3000000 /dev/zero", &settings).get("/");
    assert_eq!((large.status, large.body.len()), (200, 3_000_000));
    assert_eq!(large.headers["transfer-encoding"], "chunked");
    let watchdog = Watchdog::sh("head -c 3000000 /dev/zero; exit 4", &settings);
    assert!(!read_all(open(watchdog.address, "GET", "/", &[], None)).ends_with(END));
}

#[test]
fn a_client_of_http_1_0_gets_a_whole_answer_or_an_error() {
    let ask = |script: &str| {
        let watchdog = Watchdog::sh(script, &[STREAMING, ("output_buffer_size", "10000")]);
        let mut stream = TcpStream::connect(watchdog.address).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        String::from_utf8(read_all(stream)).unwrap()
    };
    let whole = ask("echo out");
    assert!(whole.starts_with("HTTP/1.0 200") && whole.ends_with("out\n"), "{whole}");
    let failed = ask("echo out; exit 3");
    assert!(failed.starts_with("HTTP/1.0 500") && failed.ends_with("exit status 3\nout\n"), "{failed}");
    let large = ask("head -c 10001 /dev/zero");
    assert!(large.starts_with("HTTP/1.0 500") && large.contains("output_buffer_size"), "{large}");
}

#[test]
fn a_gigabyte_passes_in_little_memory() {
    let watchdog = Watchdog::sh("head -c 1073741824 /dev/zero", &[]);
    let mut stream = open(watchdog.address, "GET", "/", &[], None);
    let received = std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
    assert!(received > 1 << 30, "{received}");
    let watchdog_in = Watchdog::fork("cat", &[STREAMING]);
    let mut stream = open(watchdog_in.address, "POST", "/", &[], Some(256 << 20));
    let mut writer = stream.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || (0..256).for_each(|_| writer.write_all(&[b'x'; 1 << 20]).unwrap()));
        let received = std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
        assert!(received > 256 << 20, "{received}");
    });
    // What is held back of a whole answer comes on top.
    assert!(watchdog.peak_memory() < 64 << 20, "{}", watchdog.peak_memory());
    assert!(watchdog_in.peak_memory() < 32 << 20, "{}", watchdog_in.peak_memory());
}

#[test]
fn a_client_that_does_not_read_holds_the_process_back_and_not_its_time_out() {
    let watchdog = Watchdog::fork("yes", &[STREAMING, ("exec_timeout", "1s")]);
    let stream = open(watchdog.address, "GET", "/", &[], None);
    wait_until("the answer has begun", || stream.peek(&mut [0]).unwrap() == 1);
    watchdog.wait_until_no_function_runs();
    assert!(watchdog.peak_memory() < 32 << 20, "{}", watchdog.peak_memory());
    drop(stream);
}

#[test]
fn a_client_that_does_not_read_for_write_timeout_is_cut_off() {
    for way in [("mode", "fork"), STREAMING] {
        let watchdog = Watchdog::sh("head -c 16000000 /dev/zero", &[way, ("write_timeout", "300ms")]);
        let before = watchdog.idle_descriptors();
        let stream = open(watchdog.address, "GET", "/", &[], None);
        wait_until("the answer has begun", || stream.peek(&mut [0]).unwrap() == 1);
        wait_until("the connection is closed", || watchdog.descriptors() <= before);
        watchdog.wait_until_no_function_runs();
        assert!(read_all(stream).len() < 16_000_000);
    }
}

#[test]
fn a_client_that_leaves_in_the_middle_ends_the_process() {
    for script in ["setsid sleep 1000 & yes", "echo out; setsid sleep 1000 & sleep 1000"] {
        let watchdog = Watchdog::sh(script, &[STREAMING]);
        let mut stream = open(watchdog.address, "GET", "/", &[], None);
        stream.read_exact(&mut [0; 100]).unwrap();
        drop(stream);
        watchdog.wait_until_no_function_runs();
    }
}

#[test]
fn the_rest_of_an_output_that_others_hold_open_is_sent() {
    let watchdog = Watchdog::sh("head -c 300000 /dev/zero; sleep 1000 & setsid sleep 1000 & exit 0", &[STREAMING]);
    let answer = watchdog.get("/");
    assert_eq!((answer.status, answer.body.len()), (200, 300_000));
    watchdog.wait_until_no_function_runs();
}

fn read_all(mut stream: TcpStream) -> Vec<u8> {
    let mut raw = Vec::new();
    // A reset is a way to break off as well.
    let _ = stream.read_to_end(&mut raw);
    raw
}
