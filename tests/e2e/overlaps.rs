//! When NATS is killed, it forgets which worker has which call, and delivers them again: they do not run twice at the same time.

use std::{collections::HashMap, fs, time::Duration};

use async_nats::{HeaderMap, jetstream};
use rustix::process::Signal;

use crate::{
    harness::{Function, Program, Relay, Roles, answer_to, free_address, wait_until},
    nats,
};

/// Calls that run or wait whenever NATS is killed.
const CALLS: usize = 120;
/// How long NATS is away each time.
const OUTAGES: [Duration; 3] = [Duration::ZERO, Duration::from_secs(7), Duration::ZERO];

/// Writes a line when it begins and when it ends, and takes a second.
fn timed() -> Function {
    let script = r#"echo "begin $Http_X_Call_Id" >> runs; sleep 1; echo "end $Http_X_Call_Id" >> runs"#;
    Function::new("timed", &format!("sh -c '{script}'")).env("max_inflight", "20")
}

/// Calls of which a run begins while another one has not ended.
fn overlapping(lines: &[String]) -> Vec<String> {
    let mut running: HashMap<&str, usize> = HashMap::new();
    let mut found = Vec::new();
    for line in lines {
        match line.split_once(' ') {
            Some(("begin", id)) => {
                let runs = running.entry(id).or_default();
                *runs += 1;
                if *runs > 1 {
                    found.push(id.to_owned());
                }
            }
            Some(("end", id)) => *running.entry(id).or_default() -= 1,
            _ => {}
        }
    }
    found
}

async fn with_two_workers() -> (Roles, Program) {
    let roles = Roles::start([timed()]).await;
    let second = roles.site.start_worker_with(free_address(), &[]).await;
    (roles, second)
}

#[tokio::test]
async fn a_call_that_a_worker_has_is_not_begun_by_another_when_nats_was_killed() {
    let (mut roles, _second) = with_two_workers().await;
    let mut ids = Vec::new();
    for (kill, outage) in OUTAGES.into_iter().enumerate() {
        for _ in 0..CALLS {
            ids.push(roles.gateway.queue("timed", "x").await);
        }
        let begun = |lines: &[String]| lines.iter().filter(|line| line.starts_with("begin")).count();
        roles.site.wait_for_runs(kill * CALLS * 2 + 20).await;
        roles.nats.signal(Signal::KILL);
        roles.nats.ended().await;
        // Once for longer than a worker may be silent.
        tokio::time::sleep(outage).await;
        roles.nats = roles.site.start_nats().await;
        let path = format!("/system/calls/{}", ids[0]);
        wait_until("the gateway is connected", async || answer_to(roles.gateway.get(&path)).await.status == 200).await;
        for id in &ids {
            assert_eq!(roles.gateway.finished(id).await["state"], "succeeded");
        }
        let lines = roles.site.runs();
        eprintln!("kill {kill}: {} runs of {} calls", begun(&lines), ids.len());
        assert_eq!(overlapping(&lines), Vec::<String>::new(), "after kill {kill}");
        assert_eq!(begun(&lines), ids.len(), "no call runs twice, after kill {kill}");
    }
    // No more is begun once all have their records.
    let lines = fs::read_to_string(roles.site.path("runs")).unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(fs::read_to_string(roles.site.path("runs")).unwrap(), lines);
}

#[tokio::test]
async fn a_call_that_is_cancelled_while_its_worker_is_cut_off_is_not_run_afterwards() {
    let mut roles = Roles::start([Function::gated().env("max_inflight", "1")]).await;
    roles.worker.kill();
    let relay = Relay::start(roles.site.nats).await;
    roles.site.nats_url = format!("nats://{}", relay.address);
    roles.worker = roles.site.start_worker().await;
    let first = roles.gateway.queue("gated", "x").await;
    roles.site.wait_for_runs(1).await;
    let second = roles.gateway.queue("gated", "x").await;
    let backlog = nats::stream(&roles.site, "SKEP_BACKLOG").await;
    let held = async || backlog.consumer_info("gated").await.is_ok_and(|info| info.num_ack_pending == 1);
    wait_until("the worker has it", held).await;
    relay.cut();
    assert_eq!(roles.gateway.cancel(&second).await.status, 202);
    roles.site.open_gate();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let runs = roles.site.runs();
    assert_eq!((runs.len(), &runs[0]), (1, &first), "nothing begins while the worker cannot know better");
    relay.mend();
    assert_eq!(roles.gateway.finished(&first).await["state"], "succeeded");
    let third = roles.gateway.queue("gated", "x").await;
    assert_eq!(roles.gateway.finished(&third).await["state"], "succeeded");
    assert_eq!(roles.site.runs(), [first, third]);
}

#[tokio::test]
async fn an_attempt_that_failed_is_not_run_again_when_nats_forgets_its_delivery() {
    let function = Function::failing().annotation("com.openfaas.retry.min_wait", "1h");
    let mut roles = Roles::start([function.annotation("skep.retry.backoff", "fixed")]).await;
    let mut lane = nats::lane_without_worker(&mut roles, "failing").await;
    let id = roles.gateway.queue("failing", "x").await;
    let stream = nats::stream(&roles.site, "SKEP_INVOKE").await;
    let stored = stream.get_raw_message(stream.get_info().await.unwrap().state.last_sequence).await.unwrap();
    roles.worker = roles.site.start_worker().await;
    roles.gateway.state(&id, "retrying").await;
    let left = async || stream.get_info().await.unwrap().state.messages == 0;
    wait_until("it has left its lane", left).await;
    roles.worker.kill();

    // As if the server had never handed it out, or the worker acknowledged it.
    let headers = stored.headers.iter().filter(|(name, _)| !name.to_string().starts_with("Nats-"));
    let headers: HeaderMap =
        headers.flat_map(|(name, values)| values.iter().map(|value| (name.clone(), value.clone()))).collect();
    let jetstream = jetstream::new(nats::client(&roles.site).await);
    let published = jetstream.publish_with_headers(stored.subject, headers, stored.payload).await;
    published.unwrap().await.unwrap();
    roles.worker = roles.site.start_worker().await;
    let handled = async || {
        let info = lane.info().await.unwrap();
        info.num_pending == 0 && info.num_ack_pending == 0
    };
    wait_until("the delivery is acknowledged", handled).await;
    assert_eq!(roles.site.runs().len(), 1);
    assert_eq!(roles.gateway.call_status(&id).await.unwrap()["state"], "retrying");
}
