//! How it ends, and that nothing is left then.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    sync::Arc,
    thread,
};

use skep_process::{ProcessTag, kill_tree};

use crate::{
    client::{open, send},
    support::{Watchdog, read_log, tagged, wait_until},
};

#[test]
fn an_idle_watchdog_ends_at_once() {
    let mut watchdog = Watchdog::fork("cat", &[("write_timeout", "10m"), ("healthcheck_interval", "10m")]);
    // Kept alive and idle.
    let _idle = TcpStream::connect(watchdog.address).unwrap();
    watchdog.signal("TERM");
    assert!(watchdog.wait_for_exit().success());
}

#[test]
fn calls_that_are_on_their_way_when_it_ends_are_answered() {
    let mut watchdog = Watchdog::fork("cat", &[("write_timeout", "10m"), ("healthcheck_interval", "10m")]);
    let head = |last: &str| format!("POST / HTTP/1.1\r\nHost: f\r\nContent-Length: 4\r\n{last}\r\nbody");
    let mut kept = TcpStream::connect(watchdog.address).unwrap();
    kept.write_all(head("").as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"body") {
        let mut bytes = [0; 512];
        let read = kept.read(&mut bytes).unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend(&bytes[..read]);
    }
    // All of it is there when the watchdog looks next, as on a busy machine.
    watchdog.signal("STOP");
    let fresh = (0..8).map(|_| TcpStream::connect(watchdog.address).unwrap());
    let mut calls: Vec<TcpStream> = fresh.chain([kept]).collect();
    calls.iter_mut().for_each(|call| call.write_all(head("Connection: close\r\n").as_bytes()).unwrap());
    watchdog.signal("TERM");
    watchdog.signal("CONT");
    for mut call in calls {
        let mut answer = String::new();
        call.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("body"), "{answer:?}");
    }
    assert!(watchdog.wait_for_exit().success());
}

#[test]
fn a_running_call_is_finished_and_health_says_503_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let (begun, go) = (directory.path().join("begun"), directory.path().join("go"));
    fs::create_dir(&begun).unwrap();
    let calls = || fs::read_dir(&begun).unwrap().count();
    let script =
        format!("echo > {}/$$; until [ -e {} ]; do sleep 0.05; done; echo done", begun.display(), go.display());
    let mut watchdog = Watchdog::sh(&script, &[("healthcheck_interval", "10m"), ("write_timeout", "10m")]);
    thread::scope(|scope| {
        let address = watchdog.address;
        let call = scope.spawn(move || send(address, "GET", "/", &[], b""));
        wait_until("the call runs", || calls() == 1);
        assert_eq!(watchdog.get("/_/health").status, 200);
        watchdog.signal("TERM");
        wait_until("health is gone", || watchdog.get("/_/health").status == 503);
        let late = scope.spawn(move || send(address, "GET", "/", &[], b""));
        wait_until("a late call runs as well", || calls() == 2);
        fs::write(&go, "").unwrap();
        assert_eq!(call.join().unwrap().text(), "done\n");
        assert_eq!(late.join().unwrap().text(), "done\n");
    });
    assert!(watchdog.wait_for_exit().success());
}

#[test]
fn a_call_that_outlives_write_timeout_is_killed() {
    let mut watchdog = Watchdog::sh("setsid sleep 1000 & sleep 1000", &[("write_timeout", "200ms")]);
    let _call = open(watchdog.address, "GET", "/", &[], None);
    wait_until("the processes run", || watchdog.functions() >= 3);
    watchdog.signal("TERM");
    watchdog.wait_for_exit();
    assert_eq!(watchdog.functions(), 0);
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut watchdog = Watchdog::sh("sleep 1000", &[("write_timeout", "10m")]);
    let _call = open(watchdog.address, "GET", "/", &[], None);
    wait_until("the process runs", || watchdog.functions() >= 1);
    watchdog.signal("INT");
    wait_until("it shuts down", || watchdog.logged("Shutting down"));
    watchdog.signal("INT");
    watchdog.wait_for_exit();
    assert_eq!(watchdog.functions(), 0);
}

#[test]
fn the_end_of_the_lifeline_ends_everything() {
    let mut watchdog =
        Watchdog::sh("env -i setsid sleep 1000 & setsid sleep 1000 & sleep 1000", &[("lifeline", "stdin")]);
    let _call = open(watchdog.address, "GET", "/", &[], None);
    wait_until("the processes run", || watchdog.functions() >= 3);
    drop(watchdog.take_stdin());
    watchdog.wait_for_exit();
    assert_eq!(tagged(&watchdog.tag), 0);
}

#[test]
fn an_owner_that_is_killed_takes_everything_along() {
    let tag = ProcessTag::new(None);
    let script = "import subprocess, sys; subprocess.Popen(sys.argv[1], stdin=subprocess.PIPE).wait()";
    let mut owner = Command::new("python3")
        .args(["-c", script, env!("CARGO_BIN_EXE_fwatchdog")])
        .env(ProcessTag::VARIABLE, tag.as_str())
        .envs([("port", "0"), ("metrics_port", "0"), ("suppress_lock", "true"), ("lifeline", "stdin")])
        .env("fprocess", "sh -c 'setsid sleep 1000 & sleep 1000'")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut address = read_log(&mut owner, &Arc::default());
    address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    let _call = open(address, "GET", "/", &[], None);
    wait_until("the processes run", || tagged(&tag) >= 5);
    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_until("nothing is left", || tagged(&tag) == 0);
}

#[test]
fn whoever_knows_the_tag_finds_what_a_killed_watchdog_left() {
    let mut watchdog = Watchdog::sh("setsid sleep 1000 & sleep 1000", &[]);
    let _call = open(watchdog.address, "GET", "/", &[], None);
    wait_until("the processes run", || watchdog.functions() >= 3);
    watchdog.child.kill().unwrap();
    watchdog.child.wait().unwrap();
    wait_until("they still run", || tagged(&watchdog.tag) >= 3);
    assert_eq!(kill_tree(None, &watchdog.tag), 0);
    assert_eq!(tagged(&watchdog.tag), 0);
}
