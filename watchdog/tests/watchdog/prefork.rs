//! Processes that were started before their request.

use std::{
    collections::HashSet,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    client::send,
    support::{Watchdog, free_port, metrics, wait_until, waiting_processes},
};

const PREFORK: (&str, &str) = ("prefork", "4");

/// A function that notes the id of each of its processes in a directory before it does what `script` says.
fn noting(script: &str, settings: &[(&str, &str)]) -> (Watchdog, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let script = format!("echo > {}/$$; {script}", directory.path().display());
    (Watchdog::sh(&script, settings), directory)
}

fn noted(directory: &Path) -> HashSet<String> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_request_goes_to_a_process_that_waits_and_each_serves_one() {
    let port = free_port();
    let (watchdog, directory) = noting("read line; echo $$ $line", &[PREFORK, ("metrics_port", &port.to_string())]);
    let mut served = HashSet::new();
    for _ in 0..20 {
        // A process may have written its note before the watchdog counts it, and the other way round.
        wait_until("a process waits, and each that runs is noted", || {
            waiting_processes(port) > 0 && watchdog.function_ids().is_subset(&noted(directory.path()))
        });
        let before = noted(directory.path());
        let answer = watchdog.post(b"request\n");
        let text = answer.text();
        let (process, line) = text.trim().split_once(' ').unwrap_or_else(|| panic!("{text}"));
        assert_eq!((answer.status, line), (200, "request"));
        assert!(before.contains(process), "{process} is not among {before:?}");
        assert!(served.insert(process.to_owned()), "{process} served twice");
    }
}

#[test]
fn by_default_it_is_on_only_where_no_variables_are_asked_for() {
    let (_on, with) = noting("cat", &[("cgi_headers", "false")]);
    let (off, without) = noting("cat", &[]);
    let (_off, refused) = noting("cat", &[("cgi_headers", "false"), ("prefork", "0")]);
    wait_until("a process waits", || !noted(with.path()).is_empty());
    assert!(noted(without.path()).is_empty() && noted(refused.path()).is_empty());
    assert_eq!(off.post(b"x").text(), "x");
}

#[test]
fn the_facts_of_the_request_are_in_a_file_whoever_serves_it() {
    let (watchdog, directory) = noting("cat \"$SKEP_REQUEST\"; echo; cat", &[PREFORK, ("exec_timeout", "1m")]);
    let ask = || {
        let headers = [("X-Call-Id", "call-1"), ("X-Timeout", "10s"), ("traceparent", "00-1-2-01"), ("Proxy", "evil")];
        let answer = send(watchdog.address, "PUT", "/a%20b?c=d", &headers, b"the body");
        let text = answer.text();
        let (facts, body) = text.split_once('\n').unwrap_or_else(|| panic!("{text}"));
        assert_eq!((answer.status, body), (200, "the body"));
        let facts: serde_json::Value = serde_json::from_str(facts).unwrap();
        assert_eq!((facts["call_id"].as_str(), facts["method"].as_str()), (Some("call-1"), Some("PUT")));
        assert_eq!((facts["path"].as_str(), facts["query"].as_str()), (Some("/a b"), Some("c=d")));
        assert_eq!(facts["headers"]["Traceparent"][0], "00-1-2-01");
        let left = facts["timeout_ms"].as_u64().unwrap();
        assert!((9000..=10_000).contains(&left), "{left}");
        assert!(!text.contains("evil"));
    };
    wait_until("a process waits", || !noted(directory.path()).is_empty());
    // More at a time than wait: some are served by processes that were started for them.
    thread::scope(|scope| (0..12).for_each(|_| drop(scope.spawn(ask))));
}

#[test]
fn a_program_that_does_not_wait_never_gets_a_request_beforehand() {
    for condition in ["", "[ -e GO ] || exit 3; "] {
        let directory = tempfile::tempdir().unwrap();
        let (go, written) = (directory.path().join("go"), directory.path().join("written"));
        fs::create_dir(&written).unwrap();
        let condition = condition.replace("GO", &go.display().to_string());
        let script = format!("{condition}echo early; echo $$; echo > {}/$$; exec cat", written.display());
        let (watchdog, notes) = noting(&script, &[PREFORK]);
        let mut calls = 0;
        fs::write(&go, "").unwrap();
        wait_until("it gives up", || {
            fs::remove_file(&go).unwrap();
            let known = noted(notes.path()).len();
            wait_until("one was started", || {
                noted(notes.path()).len() > known || calls == 0 || watchdog.logged("No more processes")
            });
            wait_until("it has written, or ends", || watchdog.function_ids().is_subset(&noted(&written)));
            let settled = Instant::now();
            wait_until("it had the time to end", || settled.elapsed() > Duration::from_millis(100));
            let before = noted(notes.path());
            fs::write(&go, "").unwrap();
            let text = watchdog.post(b"body").text();
            calls += 1;
            let process = text.lines().nth(1).unwrap_or_else(|| panic!("{text}"));
            assert!(text.starts_with("early\n") && text.contains("body"), "{text}");
            assert!(!before.contains(process), "{process} wrote or ended before it had its request");
            watchdog.logged("the program writes or ends before it reads STDIN")
        });
        watchdog.wait_until_no_function_runs();
    }
}

#[test]
fn a_program_that_cannot_be_started_says_so_for_each_call() {
    let watchdog = Watchdog::fork("/no/such/program", &[PREFORK]);
    wait_until("it gives up", || watchdog.logged("No more processes are started beforehand: the program cannot"));
    assert_eq!(watchdog.get("/").headers["x-skep-error"], "cannot_start");
}

#[test]
fn the_number_that_waits_grows_with_the_load_and_shrinks_without() {
    let port = free_port();
    let watchdog = Watchdog::sh("cat; sleep 0.3", &[PREFORK, ("metrics_port", &port.to_string())]);
    let waiting = || waiting_processes(port);
    wait_until("one waits", || waiting() == 1);
    thread::scope(|scope| (0..10).for_each(|_| drop(scope.spawn(|| assert_eq!(watchdog.post(b"x").text(), "x")))));
    wait_until("as many wait as the setting allows", || waiting() == 4);
    wait_until("one waits again", || waiting() == 1);
    wait_until("the others were killed", || metrics(port).contains(r#"skep_watchdog_kills_total{reason="unused"} 3"#));
}

#[test]
fn waiting_does_not_count_for_the_time_out_and_ends_with_the_watchdog() {
    let (mut watchdog, directory) =
        noting("read line; echo $line; [ $line = stay ] && sleep 1000", &[PREFORK, ("exec_timeout", "3s")]);
    wait_until("a process waits", || !noted(directory.path()).is_empty());
    let since = Instant::now();
    wait_until("it has waited for longer than the timeout", || since.elapsed() > Duration::from_millis(3500));
    assert_eq!(watchdog.post(b"hello\n").text(), "exit status 1\nhello\n");
    assert_eq!(watchdog.post(b"stay\n").status, 408);
    wait_until("a process waits", || watchdog.functions() == 1);
    watchdog.signal("TERM");
    assert!(watchdog.wait_for_exit().success());
    assert_eq!(watchdog.functions(), 0);
}

#[test]
fn what_a_call_leaves_behind_goes_although_others_wait() {
    let watchdog = Watchdog::sh("read line; env -i setsid sleep 1000 >/dev/null 2>&1 & echo out", &[PREFORK]);
    wait_until("a process waits", || watchdog.functions() == 1);
    assert_eq!(watchdog.post(b"x\n").status, 200);
    wait_until("only the one that waits is left", || watchdog.children().len() == 1);
}
