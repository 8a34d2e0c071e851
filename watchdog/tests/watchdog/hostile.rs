//! Fork mode with programs that do not behave.

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
    sync::Arc,
};

use skep_process::{ProcessTag, kill_tree};

use crate::{
    client::{open, send},
    support::{Watchdog, command, read_log, tagged, wait_until},
};

/// Ways to run a process per request.
const WAYS: [(&str, &str); 3] = [("mode", "fork"), ("mode", "streaming"), ("prefork", "2")];

#[test]
fn a_call_that_takes_too_long_is_408_and_leaves_no_process() {
    for script in [
        "sleep 1000",
        "trap '' TERM; while :; do sleep 1000; done",
        "setsid sleep 1000 & (setsid sh -c 'sleep 1000; true' &); wait",
        "(setsid sh -c 'exec >/dev/null 2>&1 </dev/null; sleep 1000; true' &); sleep 1000",
    ] {
        for way in WAYS {
            // Those that wait do so here, and not in the middle of what they are to be killed for.
            let watchdog = Watchdog::sh(&format!("read line; {script}"), &[("exec_timeout", "300ms"), way]);
            let answer = watchdog.get("/");
            assert_eq!((answer.status, answer.text().as_str()), (408, "Killed process."), "{script}");
            assert_eq!(answer.headers["x-openfaas-internal"], "classic-watchdog");
            wait_until("nothing of the call is left", || watchdog.functions_named("sleep") == 0);
            assert!(watchdog.functions() <= 2, "only those that wait for requests");
        }
    }
}

#[test]
fn x_timeout_shortens_the_limit() {
    let watchdog = Watchdog::fork("sleep 1000", &[("exec_timeout", "10m")]);
    assert_eq!(send(watchdog.address, "GET", "/", &[("X-Timeout", "200ms")], b"").status, 408);
    watchdog.wait_until_no_function_runs();
}

#[test]
fn a_grandchild_that_holds_stdout_open_does_not_hang_the_call() {
    for way in WAYS {
        let watchdog = Watchdog::sh("read line; echo out; sleep 1000 & setsid sleep 1000 &", &[way]);
        let answer = watchdog.get("/");
        assert_eq!((answer.status, answer.text().as_str()), (200, "out\n"));
        wait_until("nothing of the call is left", || watchdog.functions_named("sleep") == 0);
    }
}

#[test]
fn what_a_call_leaves_behind_is_killed_and_reaped() {
    let script = "(setsid sleep 1000 >/dev/null 2>&1 &); (sleep 0 >/dev/null 2>&1 &); \
                  env -i setsid sleep 1000 >/dev/null 2>&1 & echo out";
    let watchdog = Watchdog::sh(script, &[]);
    assert_eq!(watchdog.get("/").text(), "out\n");
    watchdog.wait_until_no_function_runs();
    wait_until("the watchdog has no child", || watchdog.children().is_empty());
}

#[test]
fn a_program_that_does_not_read_its_input_is_fine() {
    let body = vec![b'x'; 32 << 20];
    for way in [("mode", "fork"), ("mode", "streaming")] {
        let unread = Watchdog::fork("echo unread", &[way]).post(&body);
        assert_eq!((unread.status, unread.text().as_str()), (200, "unread\n"));
        assert_eq!(Watchdog::sh("exec <&-; sleep 0.2; echo closed", &[way]).post(&body).text(), "closed\n");
        assert_eq!(Watchdog::sh("head -c 10", &[way]).post(&body).text(), "xxxxxxxxxx");
    }
    assert_eq!(Watchdog::sh("head -c 10; exit 1", &[]).post(&body).text(), "exit status 1\nxxxxxxxxxx");
}

#[test]
fn a_program_that_closes_its_output_early_is_waited_for() {
    let watchdog = Watchdog::sh("echo out; exec >&- 2>&-; sleep 0.2; exit 4", &[]);
    assert_eq!(watchdog.get("/").text(), "exit status 4\nout\n");
}

#[test]
fn a_program_that_ends_while_the_body_still_comes_is_answered_at_once() {
    let watchdog = Watchdog::sh("head -c 4; exit 5", &[]);
    let mut stream = open(watchdog.address, "POST", "/", &[], Some(1000));
    stream.write_all(b"body").unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 500");
}

#[test]
fn a_client_that_goes_away_ends_its_process_tree() {
    let watchdog = Watchdog::sh("setsid sleep 1000 & sleep 1000", &[]);
    let stream = open(watchdog.address, "GET", "/", &[], None);
    wait_until("the processes run", || watchdog.functions() >= 3);
    drop(stream);
    watchdog.wait_until_no_function_runs();
    wait_until("the watchdog has no child", || watchdog.children().is_empty());
}

#[test]
fn a_fork_bomb_within_limits_is_ended() {
    let script = "s='[ $1 -gt 5 ] && exec sleep 1000; setsid sh -c \"$2\" x $(($1+1)) \"$2\" & \
                  setsid sh -c \"$2\" x $(($1+1)) \"$2\" & wait'; sh -c \"$s\" x 0 \"$s\"";
    let watchdog = Watchdog::sh(script, &[("exec_timeout", "500ms")]);
    assert_eq!(watchdog.get("/").status, 408);
    watchdog.wait_until_no_function_runs();
}

#[test]
fn what_an_entry_point_started_before_it_became_the_watchdog_is_left_alone() {
    let tag = ProcessTag::new(None);
    let script = "(exec sleep 1000 >/dev/null 2>&1 &) ; sleep 1000 >/dev/null 2>&1 & exec \"$0\"";
    let command = command(&[("fprocess", "sh -c 'setsid sleep 1000 >/dev/null 2>&1 &'")], &tag);
    let binary = command.get_program().to_owned();
    let mut entry = Command::new("sh");
    entry.args(["-c", script]).arg(binary).stderr(Stdio::piped()).stdin(Stdio::null());
    entry.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = entry.spawn().unwrap();
    let address = read_log(&mut child, &Arc::default());
    wait_until("both programs are started", || tagged(&tag) == 3);
    for _ in 0..2 {
        assert_eq!(send(address, "GET", "/", &[], b"").status, 200);
        wait_until("what the call left is gone and the rest is not", || tagged(&tag) == 3);
    }
    kill_tree(None, &tag);
    child.wait().unwrap();
}
