//! Real programs that try to get away.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test they are how it fails")]

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use skep_process::{ProcessTag, kill_tree};

#[test]
fn a_double_fork_with_its_own_session_is_killed() {
    check("setsid sleep 1001 & (setsid sh -c 'sleep 1002; true' &) ; echo ready; sleep 1003");
}

#[test]
fn a_child_that_cleared_its_environment_is_killed_by_descent() {
    check("env -i setsid --wait sleep 1004 & sleep 0.2; echo ready; wait");
}

#[test]
fn a_tree_that_ignores_sigterm_is_killed() {
    check("trap '' TERM; setsid sleep 1005 & echo ready; while :; do sleep 1006; done");
}

#[test]
fn a_fork_bomb_whose_children_open_sessions_of_their_own_is_killed() {
    check(
        "s='[ $1 -gt 5 ] && exec sleep 1008; setsid sh -c \"$2\" x $(($1+1)) \"$2\" & setsid sh -c \"$2\" x $(($1+1)) \"$2\" & wait'; \
         echo ready; sh -c \"$s\" x 0 \"$s\"",
    );
}

#[test]
fn the_outer_tag_finds_what_carries_an_inner_one() {
    let outer = ProcessTag::new(None);
    let mut child = start("echo ready; sleep 1009", &outer.within());
    assert_eq!(kill_tree(None, &outer), 0);
    wait_for_end(&mut child);
}

fn check(script: &str) {
    let tag = ProcessTag::new(None);
    let other = ProcessTag::new(None);
    let mut bystander = start("echo ready; sleep 1010", &other);
    let mut child = start(script, &tag);
    assert!(alive(&tag) > 0);
    assert_eq!(kill_tree(Some(child.id()), &tag), 0, "{script}");
    assert_eq!(alive(&tag), 0, "{script}");
    wait_for_end(&mut child);
    assert!(bystander.try_wait().unwrap().is_none(), "a process of another tag was hit");
    kill_tree(Some(bystander.id()), &other);
    bystander.wait().unwrap();
}

fn start(script: &str, tag: &ProcessTag) -> Child {
    let mut child = Command::new("sh")
        .args(["-c", script])
        .env(ProcessTag::VARIABLE, tag.as_str())
        .process_group(0)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    child
}

fn wait_for_end(child: &mut Child) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "the leader is still there");
        thread::sleep(Duration::from_millis(5));
    }
}

fn alive(tag: &ProcessTag) -> usize {
    let mark = format!("{}={tag}", ProcessTag::VARIABLE);
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read(entry.unwrap().path().join("environ")).ok())
        .filter(|environment| environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()))
        .count()
}
