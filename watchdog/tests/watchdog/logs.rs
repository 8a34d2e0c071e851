//! What is on STDERR, and what never stops because of it.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::Command,
    thread,
};

use serde_json::Value;
use skep_process::{ProcessTag, kill_tree};

use crate::{
    client::send,
    support::{Watchdog, command, wait_until},
};

const APART: (&str, &str) = ("combine_output", "false");

#[test]
fn stderr_goes_to_the_log_with_the_call_id_when_it_is_not_combined() {
    let script = "echo out; echo err >&2; head -c 100000 /dev/zero | tr '\\0' x >&2";
    let watchdog = Watchdog::sh(script, &[APART, ("log_callid", "true"), ("log_buffer_size", "40000")]);
    let answer = send(watchdog.address, "GET", "/", &[("X-Call-Id", "call-9")], b"");
    assert_eq!(answer.text(), "out\n");
    let stripped = |line: &String| line.split_once("stderr: [call-9] ").map(|(_, text)| text.len());
    wait_until("the whole of STDERR is in the log", || {
        let lengths: Vec<usize> = watchdog.log_lines().iter().filter_map(stripped).collect();
        lengths == [3, 40_000 + 6, 6 + 40_000 + 6, 6 + 20_000]
    });
}

#[test]
fn pieces_of_a_long_line_are_marked_and_any_byte_is_kept() {
    let script = "printf '0123456789\\nabc\\n\\000\\377\\303\\244\\r\\n' >&2";
    let watchdog = Watchdog::sh(script, &[APART, ("log_buffer_size", "5"), ("prefix_logs", "false")]);
    assert_eq!(watchdog.get("/").text(), "");
    let expected = ["01234 [...]", "[...] 56789", "abc", "\0\u{fffd}ä"];
    wait_until("the pieces are in the log", || watchdog.log_lines().windows(4).any(|lines| *lines == expected));
}

#[test]
fn ten_megabytes_on_one_line_are_read_whatever_the_buffer_and_the_rate_are() {
    let script = "head -c 10000000 /dev/zero | tr '\\0' x >&2; echo out";
    let watchdog = Watchdog::sh(script, &[APART, ("log_buffer_size", "16")]);
    assert_eq!(watchdog.get("/").text(), "out\n");
    wait_until("each piece is in the log or counted", || passed_and_dropped(&watchdog, "xxx") == 10_000_000 / 16);
}

#[test]
fn lines_beyond_the_rate_are_told_and_the_answer_is_whole() {
    let script = "yes flood | head -n 20000 >&2; echo out";
    let watchdog = Watchdog::sh(script, &[APART, ("log_rate", "100")]);
    assert_eq!(watchdog.get("/").text(), "out\n");
    wait_until("each line is in the log or counted", || passed_and_dropped(&watchdog, "flood") == 20_000);
    assert!(watchdog.logged("log lines of the function were dropped: more than log_rate (100) per second"));
    wait_until("the end of the call is in the log: own lines are never dropped", || watchdog.logged("Wrote 4 Bytes"));
}

#[test]
fn json_lines_carry_the_call_id_of_calls_that_run_at_the_same_time() {
    let directory = tempfile::tempdir().unwrap();
    let go = directory.path().join("go");
    let script = format!(
        "echo $Http_X_Call_Id first >&2; until [ -e {} ]; do sleep 0.01; done; echo $Http_X_Call_Id last >&2; echo out",
        go.display()
    );
    let watchdog = Watchdog::sh(&script, &[APART, ("log_format", "json"), ("write_debug", "true")]);
    let of_stream = |stream: &str| {
        let mut lines = json_lines(&watchdog);
        lines.retain(|line| line["stream"] == stream);
        lines
    };
    thread::scope(|scope| {
        for call_id in ["one", "two"] {
            let address = watchdog.address;
            scope.spawn(move || send(address, "GET", "/", &[("X-Call-Id", call_id)], b""));
        }
        wait_until("both calls have begun", || of_stream("stderr").len() == 2);
        fs::write(&go, "").unwrap();
    });
    wait_until("all lines are in the log", || of_stream("stderr").len() == 4 && of_stream("stdout").len() == 2);
    let stderr = of_stream("stderr");
    for line in &stderr {
        let (call_id, _) = line["text"].as_str().unwrap().split_once(' ').unwrap();
        assert_eq!(line["call_id"], call_id);
    }
    let mut answered: Vec<Value> = of_stream("stdout").into_iter().map(|mut line| line["call_id"].take()).collect();
    answered.sort_by_key(Value::to_string);
    assert_eq!(answered, ["one", "two"]);
    assert!(of_stream("watchdog").iter().any(|line| line["text"] == "Forking fprocess."));
}

#[test]
fn json_lines_hold_any_bytes_and_say_which_are_partial() {
    let script = "printf '0123456789\\n\"\\\\\\000\\377\\n' >&2";
    let watchdog = Watchdog::sh(script, &[APART, ("log_format", "json"), ("log_buffer_size", "6")]);
    watchdog.get("/");
    let expected = [("012345", true), ("6789", false), ("\"\\\0\u{fffd}", false)];
    wait_until("the pieces are in the log", || {
        let mut lines = json_lines(&watchdog);
        lines.retain(|line| line["stream"] == "stderr" && line.get("call_id").is_none());
        let seen: Vec<_> = lines.iter().map(|line| (line["text"].as_str().unwrap(), line["partial"] == true)).collect();
        seen == expected
    });
}

#[test]
fn a_reader_of_stderr_that_has_stopped_does_not_stop_the_calls() {
    let tag = ProcessTag::new(None);
    let script = shlex::try_join(["sh", "-c", "head -c 500000 /dev/zero | tr '\\0' x >&2; echo out"]).unwrap();
    let mut child = command(&[("fprocess", &script), APART], &tag).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    let address = line.split_once("Listening on ").unwrap().1.trim().parse().unwrap();
    for _ in 0..20 {
        assert_eq!(send(address, "GET", "/", &[], b"").text(), "out\n");
    }
    let reader = thread::spawn(move || {
        let mut rest = Vec::new();
        stderr.read_to_end(&mut rest).unwrap();
        String::from_utf8_lossy(&rest).into_owned()
    });
    // It goes on reading, and learns what it has missed.
    assert_eq!(send(address, "GET", "/", &[], b"").text(), "out\n");
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    wait_until("the watchdog ends", || child.try_wait().unwrap().is_some());
    kill_tree(None, &tag);
    let rest = reader.join().unwrap();
    assert!(rest.contains(" log lines were dropped: STDERR is read too slowly\n"), "{} bytes", rest.len());
}

#[test]
fn headers_are_logged_without_secrets_and_cannot_forge_a_line() {
    let watchdog = Watchdog::fork("cat", &[("debug_headers", "true")]);
    let headers = [
        ("Authorization", "Basic hush"),
        ("Cookie", "session=hush"),
        ("X-Api-Key", "hush"),
        ("X-Hub-Signature-256", "hush"),
        ("X-GitHub-Event", "push"),
        ("X-Forged", "a\u{85}2026/11/24 00:00:00 forged"),
    ];
    send(watchdog.address, "GET", "/", &headers, b"");
    wait_until("the call is in the log", || watchdog.logged("Wrote 0 Bytes"));
    for shown in ["Header authorization: (hidden)", "Header x-github-event: push", "Header x-forged: a\\u{85}2026/"] {
        assert!(watchdog.logged(shown), "{shown} is not in {:?}", watchdog.log_lines());
    }
    assert!(!watchdog.logged("hush"));
}

#[test]
fn a_start_that_fails_is_told_in_json_too() {
    let settings = [("fprocess", "cat 'x"), ("log_format", "json")];
    let output = command(&settings, &ProcessTag::new(None)).output().unwrap();
    let line: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!((&line["stream"], &line["text"]), (&"watchdog".into(), &"fprocess: has a quote without its end".into()));
}

/// How many lines with `text` are in the log, and how many it says were dropped.
fn passed_and_dropped(watchdog: &Watchdog, text: &str) -> usize {
    let lines = watchdog.log_lines();
    let passed = lines.iter().filter(|line| line.contains(text)).count();
    let reported = lines.iter().filter(|line| line.contains("of the function were dropped"));
    passed + reported.map(|line| line.split(' ').nth(2).unwrap().parse::<usize>().unwrap()).sum::<usize>()
}

/// Every line on STDERR is one.
fn json_lines(watchdog: &Watchdog) -> Vec<Value> {
    watchdog.log_lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}
