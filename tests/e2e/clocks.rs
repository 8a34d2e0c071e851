//! Roles on machines whose clock is wrong: what is due is due by the clock of the NATS server.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use crate::harness::{Function, Program, Site, metrics_of};

/// What lets programs have a clock that is wrong.
pub(crate) struct Clocks {
    library: PathBuf,
}

impl Clocks {
    const AHEAD: &str = "LC_SKEP_CLOCK_AHEAD";
    const PRELOAD: &str = "LD_PRELOAD";

    pub(crate) fn new(folder: &Path) -> Self {
        let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
        let text = format!(
            "#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <stdlib.h>\n#include <time.h>\n\
             int clock_gettime(clockid_t id, struct timespec *at) {{\n\
             int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, \"clock_gettime\");\n\
             int code = real(id, at);\n\
             const char *ahead = getenv(\"{}\");\n\
             if (id == CLOCK_REALTIME && ahead) at->tv_sec += atoll(ahead);\n\
             return code;\n}}\n",
            Self::AHEAD
        );
        std::fs::write(&source, text).unwrap();
        let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl").output();
        let built = built.unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Self { library }
    }

    /// What is started on this site from now on has a clock that is so many seconds ahead.
    pub(crate) fn set(&self, site: &mut Site, ahead: i64) {
        site.environment.retain(|(name, _)| ![Self::AHEAD, Self::PRELOAD].contains(name));
        if ahead != 0 {
            site.environment.push((Self::PRELOAD, self.library.to_str().unwrap().to_owned()));
            site.environment.push((Self::AHEAD, ahead.to_string()));
        }
    }
}

/// A gateway and a worker with a wrong clock, beside a controller and a server with the right one.
async fn start(ahead: i64) -> (Site, [Program; 3], Program) {
    let mut site = Site::new([Function::counted(), Function::failing().attempts(3)]);
    let nats = site.start_nats().await;
    let controller = site.start_controller().await;
    Clocks::new(site.folder()).set(&mut site, ahead);
    let roles = [site.start_gateway(&[]).await, site.start_worker().await, controller];
    for function in &site.functions {
        site.deploy(function).await;
    }
    (site, roles, nats)
}

async fn all_goes_by_the_servers_clock(ahead: i64) {
    let (site, _roles, _nats) = start(ahead).await;
    let metrics = metrics_of(site.admin).await;
    let reported = metrics.lines().find_map(|line| line.strip_prefix("skep_nats_clock_ahead_seconds ")).unwrap();
    let reported: f64 = reported.parse().unwrap();
    assert!((reported + ahead as f64).abs() < 60.0, "{reported}");

    let began = OffsetDateTime::now_utc();
    let later = site.gateway.queue_later("counted", "3s").await;
    let failing = site.gateway.queue("failing", "x").await;
    // It has three attempts, 300 ms apart.
    let dead = site.gateway.state(&failing, "dead").await;
    assert_eq!(site.gateway.finished(&later).await["state"], "succeeded");
    assert_eq!(dead["attempts"], 3);
    let status = site.gateway.call_status(&later).await.unwrap();
    let at = |name: &str| OffsetDateTime::parse(status[name].as_str().unwrap(), &Rfc3339).unwrap();
    assert!(at("startedAt") >= began + Duration::seconds(2), "it ran before its time: {status}");
    assert!(at("acceptedAt") - began < Duration::minutes(10) && at("startedAt") - began < Duration::minutes(10));
}

#[tokio::test]
async fn calls_wait_and_are_tried_again_as_long_as_they_should_where_the_clock_is_an_hour_ahead() {
    all_goes_by_the_servers_clock(3600).await;
}

#[tokio::test]
async fn calls_wait_and_are_tried_again_as_long_as_they_should_where_the_clock_is_an_hour_behind() {
    all_goes_by_the_servers_clock(-3600).await;
}
