//! Callers who note when each of their calls was answered, so that a test can say for how long it was not.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, task::JoinSet};

use super::super::{Gateway, wait_until};

/// How long each waits between two calls.
const PAUSE: Duration = Duration::from_millis(40);
/// A call that takes longer was not served as usual.
const PROMPT: Duration = Duration::from_secs(1);
/// What is lost without a word is noticed within this time.
const NOTICED: Duration = Duration::from_secs(15);
/// How long a caller waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Calling {
    Sync,
    /// Each call that is accepted is asked for through another gateway, which must know it.
    Queue,
}

/// One call.
#[derive(Clone, Debug)]
struct Noted {
    caller: usize,
    begun: Instant,
    ended: Instant,
    /// The call's id, if it is queued and was accepted.
    answer: Result<String, String>,
}

#[derive(Default)]
struct Notes {
    calls: Mutex<Vec<Noted>>,
    looked_up: AtomicUsize,
    unknown: AtomicUsize,
}

/// They call until they are dropped, one through each of the gateways.
pub(crate) struct Callers {
    notes: Arc<Notes>,
    _tasks: JoinSet<()>,
}

/// What an event did to them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outage {
    /// The longest time in which no caller at all got an answer.
    pub(crate) gap: Duration,
    /// When the last call had ended that was refused or slow.
    pub(crate) until_all_prompt: Duration,
    pub(crate) refused: usize,
    pub(crate) calls: usize,
}

impl Callers {
    pub(crate) fn start(calling: Calling, gateways: &[Gateway]) -> Self {
        let notes = Arc::<Notes>::default();
        let mut tasks = JoinSet::new();
        for (number, gateway) in gateways.iter().enumerate() {
            let other = gateways[(number + 1) % gateways.len()].clone();
            let (accepted, ids) = mpsc::unbounded_channel();
            tasks.spawn(call(number, calling, gateway.clone(), accepted, Arc::clone(&notes)));
            // No call waits for an answer about another one.
            tasks.spawn(look_up(other, ids, Arc::clone(&notes)));
        }
        Self { notes, _tasks: tasks }
    }

    /// How many calls were answered well so far.
    pub(crate) fn answered(&self) -> usize {
        self.notes.calls.lock().unwrap().iter().filter(|call| call.answer.is_ok()).count()
    }

    /// Waits until calls are answered as usual again, and returns what has happened since then.
    pub(crate) async fn outage_since(&self, since: Instant) -> Outage {
        let is_over = async || since.elapsed() > NOTICED && self.are_prompt();
        wait_until("each caller is served promptly again", is_over).await;
        let calls = self.notes.calls.lock().unwrap().clone();
        let late: Vec<&Noted> = calls.iter().filter(|call| call.ended > since).collect();
        let mut good: Vec<Instant> = late.iter().filter(|call| call.answer.is_ok()).map(|call| call.ended).collect();
        good.sort();
        let before = [since].into_iter().chain(good.iter().copied());
        let gap = before.zip(&good).map(|(one, next)| *next - one).max().unwrap_or_default();
        let bad = late.iter().filter(|call| call.answer.is_err() || call.ended - call.begun > PROMPT);
        let until_all_prompt = bad.map(|call| call.ended - since).max().unwrap_or_default();
        let refused = late.iter().filter(|call| call.answer.is_err()).count();
        Outage { gap, until_all_prompt, refused, calls: late.len() }
    }

    /// Whether the last calls of each caller were answered in time.
    fn are_prompt(&self) -> bool {
        let calls = self.notes.calls.lock().unwrap();
        let callers = calls.iter().map(|call| call.caller + 1).max().unwrap_or_default();
        (0..callers).all(|caller| {
            let mut last = calls.iter().rev().filter(|call| call.caller == caller);
            let newest = last.next().is_some_and(|call| call.ended.elapsed() < PROMPT);
            newest && last.take(30).all(|call| call.answer.is_ok() && call.ended - call.begun <= PROMPT)
        })
    }

    /// Why calls were refused last.
    pub(crate) fn refusals(&self, since: Instant) -> Vec<String> {
        let calls = self.notes.calls.lock().unwrap();
        calls.iter().filter(|call| call.ended > since).filter_map(|call| call.answer.clone().err()).collect()
    }

    /// How many calls were asked for by their ids, and how many of these a gateway did not know.
    pub(crate) fn looked_up(&self) -> (usize, usize) {
        (self.notes.looked_up.load(Ordering::Relaxed), self.notes.unknown.load(Ordering::Relaxed))
    }

    /// The ids of all calls that were accepted.
    pub(crate) fn accepted(&self) -> Vec<String> {
        self.notes.calls.lock().unwrap().iter().filter_map(|call| call.answer.clone().ok()).collect()
    }
}

async fn call(
    caller: usize,
    calling: Calling,
    gateway: Gateway,
    accepted: mpsc::UnboundedSender<String>,
    notes: Arc<Notes>,
) {
    loop {
        let begun = Instant::now();
        let answer = ask(calling, &gateway).await;
        if let (Calling::Queue, Ok(id)) = (calling, &answer) {
            // The one who looks them up ends only with all callers.
            let _ = accepted.send(id.clone());
        }
        notes.calls.lock().unwrap().push(Noted { caller, begun, ended: Instant::now(), answer });
        tokio::time::sleep(PAUSE).await;
    }
}

async fn look_up(gateway: Gateway, mut ids: mpsc::UnboundedReceiver<String>, notes: Arc<Notes>) {
    while let Some(id) = ids.recv().await {
        if let Ok(answer) = gateway.get(&format!("/system/calls/{id}")).timeout(PATIENCE).send().await
            && answer.status() != 503
        {
            notes.looked_up.fetch_add(1, Ordering::Relaxed);
            notes.unknown.fetch_add(usize::from(answer.status() != 200), Ordering::Relaxed);
        }
    }
}

async fn ask(calling: Calling, gateway: &Gateway) -> Result<String, String> {
    let (path, expected) = match calling {
        Calling::Sync => ("/function/echo", 200),
        Calling::Queue => ("/async-function/echo", 202),
    };
    let sent = gateway.post(path).timeout(PATIENCE).body("x").send().await.map_err(|error| format!("{error:?}"))?;
    let (status, id) = (sent.status(), sent.headers().get("x-call-id").cloned());
    let id = id.and_then(|id| id.to_str().ok().map(str::to_owned)).unwrap_or_default();
    let text = sent.text().await.map_err(|error| format!("{error:?}"))?;
    if status.as_u16() == expected { Ok(id) } else { Err(format!("{status}: {text}")) }
}
