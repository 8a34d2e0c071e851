use std::fs;

use tokio::runtime::Builder;

use super::*;
use crate::config::Settings;

#[test]
fn a_process_that_is_dropped_after_its_runtime_is_killed_at_once() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let spawned = runtime.block_on(async {
        let plan = Settings::read(["fwatchdog".into(), "--fprocess=cat".into()]).unwrap().plan([]).unwrap();
        let log = Log::start(&plan.log).unwrap();
        let processes = Processes::new(&plan, TaskTracker::new(), log, Metrics::new().unwrap()).unwrap();
        processes.spawn(Command::new("sleep").arg("1000")).unwrap()
    });
    let state = format!("/proc/{}/stat", spawned.pid);
    assert!(!fs::read_to_string(&state).unwrap().contains(") Z "));
    drop(runtime);
    drop(spawned);
    // Nobody waits for it any more, so it stays a zombie until this process ends.
    while !fs::read_to_string(&state).is_ok_and(|stat| stat.contains(") Z ")) {
        std::thread::yield_now();
    }
}
