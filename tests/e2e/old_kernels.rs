//! A kernel without seccomp: functions run all the same, and skep says what their sandbox lacks.
#![cfg(target_os = "linux")]

use std::{collections::BTreeMap, env::consts::ARCH, process::Command, thread};

use nix::libc::{EINVAL, ENOSYS, SYS_seccomp};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use tokio::runtime::Builder;

use crate::harness::{Function, Program, Site};

const GAP: &str = "the kernel has no filter of system calls (seccomp), so functions can change the limits of other processes of the user";

/// Starts something for which `seccomp` fails as it does on a kernel that was built without it: all that the thread starts inherits its filter.
fn without_seccomp<T: Send>(errno: i32, start: impl FnOnce() -> T + Send) -> T {
    let begin = || {
        let failing = SeccompAction::Errno(errno.unsigned_abs());
        let rules = BTreeMap::from([(SYS_seccomp, Vec::new())]);
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, failing, ARCH.try_into().unwrap()).unwrap();
        apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
        start()
    };
    thread::scope(|scope| scope.spawn(begin).join().unwrap())
}

#[tokio::test]
async fn without_seccomp_functions_run_and_the_weaker_sandbox_is_reported() {
    let site = Site::new([Function::new("status", "cat /proc/self/status")]);
    let up =
        without_seccomp(ENOSYS, || Builder::new_current_thread().enable_all().build().unwrap().block_on(site.up(&[])));
    let warnings: Vec<_> =
        up.stderr().lines().filter(|line| line.contains("weaker sandbox")).map(str::to_owned).collect();
    assert!(warnings.iter().any(|line| line.contains(GAP)), "{warnings:?}");
    // The rest of the sandbox is there: one filter is the test's own.
    let status = site.gateway.call("status", "").await.text();
    for line in ["NoNewPrivs:\t1", "CapEff:\t0000000000000000", "Seccomp_filters:\t1\n"] {
        assert!(status.contains(line), "{line}: {status}");
    }
}

fn doctor(site: &Site) -> Command {
    let up = site.up_command(&[]);
    let mut command = Command::new(up.get_program());
    command.arg("doctor").arg("--nats-server").arg(&site.nats_server);
    command
}

#[tokio::test]
async fn the_doctor_tells_of_a_kernel_without_seccomp() {
    let site = Site::new([]);
    for errno in [ENOSYS, EINVAL] {
        let mut asked = without_seccomp(errno, || Program::start("doctor", doctor(&site), site.folder()));
        asked.ended().await;
        let said = asked.stdout();
        assert!(said.contains(&format!("a weaker sandbox: {GAP}")), "{said}{}", asked.stderr());
        assert!(!said.contains("functions can be kept in a sandbox"), "{said}");
    }
    let mut asked = Program::start("doctor", doctor(&site), site.folder());
    asked.ended().await;
    assert!(!asked.stdout().contains("seccomp"), "{}", asked.stdout());
}
