//! The power of NATS's machine is cut again and again while calls come in; then every 202 is accounted for by its id.
//!
//! `make powercut` does it 50 times; `SKEP_CUTS` and `SKEP_CUTS_SEED` set how often, and which ones again.

use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use fastrand::Rng;

use crate::harness::{DEADLINE, Disk, Function, Gateway, Roles, Site, number, wait_until};

const CALLERS: usize = 8;
const FEW: u64 = 5;

#[tokio::test]
async fn what_the_disk_has_synced_survives_every_power_cut() {
    let cuts = number("SKEP_CUTS").unwrap_or(FEW);
    let cut = cut_again_and_again("deploy/nats.conf", "fsync", cuts).await;
    assert!(cut.accepted > 0, "calls came through");
    assert!(cut.lost.is_empty(), "{} of {} are lost: {:?}", cut.lost.len(), cut.accepted, cut.lost);
}

/// The same with a server that syncs when it pleases; if nothing was lost here, the test above would show nothing.
#[tokio::test]
async fn what_it_has_not_synced_is_lost_and_was_not_promised() {
    let cut = cut_again_and_again("lazy.conf", "memory", 2).await;
    assert!(!cut.lost.is_empty(), "none of {} is lost", cut.accepted);
}

struct Cut {
    accepted: usize,
    lost: Vec<String>,
}

async fn cut_again_and_again(configuration: &str, tier: &'static str, cuts: u64) -> Cut {
    let seed = number("SKEP_CUTS_SEED").unwrap_or_else(|| fastrand::u64(..));
    let mut random = Rng::with_seed(seed);
    let mut disk = Disk::mount();
    let mut site = Site::new([Function::cat()]);
    site.nats_data = disk.folder().join("nats");
    if configuration == "lazy.conf" {
        fs::write(site.path(configuration), "max_payload: 8MB\njetstream {}\n").unwrap();
        site.nats_configuration = site.path(configuration);
    }
    let mut roles = Roles::start_at(site).await;
    // What was there before the calls is on disk in any case.
    disk.sync_all();
    let callers = Callers::start(&roles.gateway, tier, seed);
    for _ in 0..cuts {
        tokio::time::sleep(Duration::from_millis(random.u64(100..1000))).await;
        roles.nats.kill();
        disk.cut();
        roles.nats = roles.site.start_nats().await;
        let before = callers.accepted().len();
        wait_until("calls are accepted again", async || callers.accepted().len() > before + CALLERS).await;
    }
    let accepted = callers.end().await;
    let mut lost = Vec::new();
    for id in &accepted {
        match roles.gateway.call_status(id).await {
            Some(_) => assert_eq!(roles.gateway.finished(id).await["state"], "succeeded"),
            None => lost.push(id.clone()),
        }
    }
    eprintln!("{tier}: {cuts} cuts, SKEP_CUTS_SEED={seed}: {} calls accepted, {} lost", accepted.len(), lost.len());
    Cut { accepted: accepted.len(), lost }
}

/// Callers that send each call until they see a 202, with an id of their own.
struct Callers {
    accepted: Arc<Mutex<BTreeSet<String>>>,
    is_over: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Callers {
    fn start(gateway: &Gateway, tier: &'static str, seed: u64) -> Self {
        let accepted: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let is_over: Arc<AtomicBool> = Arc::default();
        let next = Arc::new(AtomicU64::new(1));
        let call = |_| {
            let (accepted, is_over, next) = (Arc::clone(&accepted), Arc::clone(&is_over), Arc::clone(&next));
            let gateway = gateway.clone();
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let id = format!("cut-{seed}-{}", next.fetch_add(1, Ordering::Relaxed));
                    let give_up = Instant::now() + DEADLINE;
                    while !is_accepted(&gateway, tier, &id).await {
                        assert!(Instant::now() < give_up, "{id} is never accepted");
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    accepted.lock().unwrap().insert(id);
                }
            })
        };
        let tasks = (0..CALLERS).map(call).collect();
        Self { accepted, is_over, tasks }
    }

    fn accepted(&self) -> BTreeSet<String> {
        self.accepted.lock().unwrap().clone()
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

async fn is_accepted(gateway: &Gateway, tier: &str, id: &str) -> bool {
    let answer = gateway.queue_as(id, "cat", id.to_owned()).await;
    assert!([202, 429, 503].contains(&answer.status), "{answer:?}");
    // A server that has just started has not reported yet.
    let promised = answer.header("x-skep-durability");
    assert!(answer.status != 202 || promised == tier || promised == "memory", "{answer:?}");
    answer.status == 202
}
