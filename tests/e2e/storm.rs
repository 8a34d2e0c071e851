//! A storm: calls with callbacks and signed webhooks come in all the time, and junk from strangers, while parts are killed with -9 or held still at random; then every 202 is accounted for by its id.
//! Half of the roles that are started again have a clock that is wrong by up to a day.
//!
//! `make storm` runs it for ten minutes; `SKEP_STORM_SECONDS` and `SKEP_STORM_SEED` set how long, and which one again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use fastrand::Rng;
use http::StatusCode;
use rustix::process::Signal;
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    clocks::Clocks,
    harness::{Function, Gateway, Process, Receiver, Roles, Site, number, wait_for, wait_until},
    nats, storm_hooks,
    storm_hooks::Senders,
    strangers::Strangers,
};

const CALLERS: usize = 6;
const SHORT: Duration = Duration::from_secs(12);
/// The receiver is not well at first: enough to be left alone for a while, and each further probe that fails doubles that.
const REFUSALS: usize = 7;
/// One in this many calls is delayed.
const ONE_LATER_IN: u64 = 5;
const LATER: Duration = Duration::from_secs(4);
/// By how much the clocks of two roles may differ that reckon by the server's.
const EARLY: Duration = Duration::from_secs(1);
/// How wrong a clock is at most, in seconds.
const MAX_AHEAD: i64 = 24 * 60 * 60;

#[derive(Clone, Copy, Debug)]
enum Blow {
    KillGateway,
    KillWorker,
    KillController,
    KillNats,
    KillWatchdog,
    HoldWorker,
    HoldNats,
    HoldWatchdog,
}

const BLOWS: [Blow; 8] = [
    Blow::KillGateway,
    Blow::KillWorker,
    Blow::KillController,
    Blow::KillNats,
    Blow::KillWatchdog,
    Blow::HoldWorker,
    Blow::HoldNats,
    Blow::HoldWatchdog,
];

#[tokio::test]
async fn nothing_accepted_is_lost_in_a_storm() {
    let length = number("SKEP_STORM_SECONDS").map_or(SHORT, Duration::from_secs);
    let seed = number("SKEP_STORM_SEED").unwrap_or_else(|| fastrand::u64(..));
    eprintln!("storm of {} s, SKEP_STORM_SEED={seed}", length.as_secs());

    // It takes less than comes in, so that its calls are set aside, too.
    let function = Function::counted().label("com.openfaas.scale.min", "2").env("max_inflight", "1");
    let mut site = Site::new([function]).with_seal_key();
    // Strangers want their answers there.
    site.forbidden_subjects = vec!["skep.control.deploy"];
    let mut roles = Roles::start_at(site).await;
    storm_hooks::declare(&roles.gateway, "counted").await;
    let receiver = Receiver::refusing(REFUSALS, StatusCode::SERVICE_UNAVAILABLE).await;
    let callers = Callers::start(&roles.gateway, &receiver, seed);
    let senders = Senders::start(&roles.gateway, seed);
    let strangers = Strangers::start(&roles.site, seed);
    let blows = rage(&mut roles, length, Rng::with_seed(seed)).await;
    let accepted = callers.end().await;
    let events = senders.end().await;
    let from_strangers = strangers.end().await;
    roles.site.wait_for_functions().await;
    assert!(!accepted.is_empty(), "calls came through");
    drained(&roles.gateway).await;

    for id in &accepted {
        let status = roles.gateway.finished(id).await;
        assert_eq!(status["state"], "succeeded", "{status}");
        let at = |name: &str| OffsetDateTime::parse(status[name].as_str().unwrap(), &Rfc3339).unwrap();
        let waited = at("startedAt") - at("acceptedAt");
        assert!(!is_later(id) || waited >= LATER - EARLY, "it ran before its time: {status}");
        assert!(waited < Duration::from_secs(3600), "the clock of no role decides: {status}");
        assert_eq!(roles.gateway.result(id).await.text(), *id, "the result is the one of this call");
    }
    let of_events = storm_hooks::check(&roles.gateway, &events).await;
    let called_back = || receiver.callbacks().iter().map(|one| one.header("x-call-id").to_owned()).collect();
    wait_until("a callback of each call", async || {
        let called_back: BTreeSet<String> = called_back();
        accepted.is_subset(&called_back)
    })
    .await;
    check_callbacks(&receiver);
    assert_eq!(nats::stream(&roles.site, "SKEP_DEAD").await.get_info().await.unwrap().state.messages, 0);
    let audit = roles.site.client(&["audit", "--json"]).await;
    assert_eq!(audit.code, Some(0), "all adds up: {audit:?}");
    let report: Value = serde_json::from_str(&audit.stdout).unwrap();
    let counted = &report["functions"][0];
    let all = accepted.len() + of_events.calls;
    assert_eq!((&counted["accepted"], &counted["succeeded"]), (&all.into(), &(all - of_events.replaced).into()));
    let source = &report["sources"][0];
    // The ping of the beginning was ignored.
    assert_eq!((&source["routed"], &source["calls"]), (&of_events.events.into(), &of_events.calls.into()), "{source}");
    assert_eq!(roles.site.panics(), Vec::<String>::new());
    eprintln!("{from_strangers} connections of strangers");
    eprintln!("{} events, {} calls of them, {} replaced", of_events.events, of_events.calls, of_events.replaced);
    tell(&roles, &accepted, &blows);
}

/// Waits until no call waits, however many there are, as long as their number changes.
async fn drained(gateway: &Gateway) {
    let depth = async || gateway.function("counted").await.and_then(|function| function["queueDepth"].as_u64());
    let mut last = None;
    while last != Some(0) {
        last = wait_for("the number of calls that wait changes", async || {
            depth().await.map(Some).filter(|now| *now != last)
        })
        .await;
    }
}

/// Callers that send each call until they see a 202, with an id of their own.
struct Callers {
    accepted: Arc<Mutex<BTreeSet<String>>>,
    is_over: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Callers {
    fn start(gateway: &Gateway, receiver: &Receiver, seed: u64) -> Self {
        let accepted: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let is_over: Arc<AtomicBool> = Arc::default();
        let next = Arc::new(AtomicU64::new(1));
        let call = |_| {
            let (gateway, url) = (gateway.clone(), receiver.url.clone());
            let (accepted, is_over, next) = (Arc::clone(&accepted), Arc::clone(&is_over), Arc::clone(&next));
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let later = if number.is_multiple_of(ONE_LATER_IN) { "-later" } else { "" };
                    let id = format!("storm-{seed}-{number}{later}");
                    while !is_accepted(&gateway, &url, &id).await {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    accepted.lock().unwrap().insert(id);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
        };
        let tasks = (0..CALLERS).map(call).collect();
        Self { accepted, is_over, tasks }
    }

    /// Lets each finish its last call.
    async fn end(self) -> BTreeSet<String> {
        self.is_over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        Arc::try_unwrap(self.accepted).unwrap().into_inner().unwrap()
    }
}

/// A caller that sees an error, or nothing, does not know whether its call was stored, and sends it again.
async fn is_accepted(gateway: &Gateway, callback: &str, id: &str) -> bool {
    let request = gateway.post("/async-function/counted").header("X-Call-Id", id).header("X-Callback-Url", callback);
    let request = if is_later(id) { request.header("X-Skep-Delay", format!("{}s", LATER.as_secs())) } else { request };
    let answer = request.body(id.to_owned()).timeout(Duration::from_secs(10)).send().await;
    let Ok(answer) = answer else { return false };
    let status = answer.status().as_u16();
    assert!([202, 404, 429, 503].contains(&status), "{status}");
    status == 202
}

fn is_later(id: &str) -> bool {
    id.ends_with("-later")
}

async fn rage(roles: &mut Roles, length: Duration, mut random: Rng) -> BTreeMap<String, usize> {
    let until = Instant::now() + length;
    let mut blows = BTreeMap::new();
    let clocks = Clocks::new(roles.site.folder());
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(random.u64(200..1500))).await;
        let blow = BLOWS[random.usize(..BLOWS.len())];
        *blows.entry(format!("{blow:?}")).or_default() += 1;
        let ahead = if random.bool() { random.i64(-MAX_AHEAD..MAX_AHEAD) } else { 0 };
        clocks.set(&mut roles.site, ahead);
        if ahead != 0 && matches!(blow, Blow::KillGateway | Blow::KillWorker | Blow::KillController) {
            *blows.entry("WithAWrongClock".to_owned()).or_default() += 1;
        }
        strike(roles, blow, &mut random).await;
    }
    blows
}

async fn strike(roles: &mut Roles, blow: Blow, random: &mut Rng) {
    let hold = Duration::from_millis(random.u64(100..3000));
    match blow {
        Blow::KillGateway => {
            roles.role_gateway.kill();
            roles.role_gateway = roles.site.start_gateway(&[]).await;
        }
        Blow::KillWorker => {
            roles.worker.kill();
            roles.worker = roles.site.start_worker().await;
        }
        Blow::KillController => {
            roles.controller.kill();
            roles.controller = roles.site.start_controller().await;
        }
        Blow::KillNats => {
            roles.nats.kill();
            tokio::time::sleep(hold / 4).await;
            roles.nats = roles.site.start_nats().await;
        }
        Blow::KillWatchdog => {
            if let Some(watchdog) = random.choice(watchdogs(roles)) {
                watchdog.kill();
            }
        }
        Blow::HoldWorker => {
            roles.worker.signal(Signal::STOP);
            tokio::time::sleep(hold).await;
            roles.worker.signal(Signal::CONT);
        }
        Blow::HoldNats => {
            roles.nats.signal(Signal::STOP);
            tokio::time::sleep(hold).await;
            roles.nats.signal(Signal::CONT);
        }
        Blow::HoldWatchdog => {
            if let Some(watchdog) = random.choice(watchdogs(roles)) {
                watchdog.signal(Signal::STOP);
                tokio::time::sleep(hold).await;
                watchdog.signal(Signal::CONT);
            }
        }
    }
}

fn watchdogs(roles: &Roles) -> Vec<Process> {
    roles.site.processes().into_iter().filter(|process| process.is("fwatchdog")).collect()
}

/// Whatever is delivered for one id is always the same answer.
fn check_callbacks(receiver: &Receiver) {
    for callback in receiver.callbacks() {
        assert_eq!(
            (callback.header("x-function-status"), &callback.body[..]),
            ("200", callback.header("x-call-id").as_bytes())
        );
    }
}

/// Says what happened; that some calls ran twice is what kill -9 in the middle of a call means.
fn tell(roles: &Roles, accepted: &BTreeSet<String>, blows: &BTreeMap<String, usize>) {
    let mut runs: HashMap<String, usize> = HashMap::new();
    for id in roles.site.runs() {
        *runs.entry(id).or_default() += 1;
    }
    let again: usize = runs.values().map(|times| times - 1).sum();
    eprintln!(
        "{} calls accepted, 0 lost; {again} runs were repeated; {}",
        accepted.len(),
        Value::from_iter(blows.clone())
    );
}
