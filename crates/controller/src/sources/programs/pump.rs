//! Makes events of what a program prints, no faster than they are stored, and acknowledges them in the same order.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesOrdered};
use skep_backoff::Backoff;
use skep_bus::{Error, Events, Submitted};
use skep_protocol::error_chain;
use skep_sources::{Message, Messages, Program};
use tokio::{
    io::AsyncReadExt,
    process::{ChildStdin, ChildStdout},
    sync::watch,
    time::{sleep, timeout},
};
use tracing::warn;

use super::{
    Declared,
    acks::{Ack, Acks},
    status::{Outcome, Status},
    task::Shared,
};
use crate::subscriptions::Subscriptions;

/// Events that are stored at once, if they are small.
const WINDOW: u64 = 64;
/// The bytes of events that are stored at once.
const WINDOW_BYTES: u64 = 32 << 20;
const STORE: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
/// A program that does not read what became of its messages in this time, while too much of it waits, is started again.
const ACK_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the last of it may take.
const LAST_ACKS_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) struct Pump {
    store: Arc<Store>,
    messages: Messages,
    acks: Acks,
    window: usize,
}

struct Store {
    events: Events,
    declared: watch::Receiver<Arc<Declared>>,
    status: Arc<Status>,
    subscriptions: Arc<Subscriptions>,
}

impl Pump {
    pub(super) fn new(
        shared: &Shared,
        declared: watch::Receiver<Arc<Declared>>,
        status: Arc<Status>,
        (stdin, are_read): (ChildStdin, bool),
        program: &Program,
    ) -> Self {
        let (events, subscriptions) = (shared.bus.events.clone(), Arc::clone(&shared.subscriptions));
        let window = (WINDOW_BYTES / program.max_body.max(1)).clamp(1, WINDOW);
        Self {
            store: Arc::new(Store { events, declared, status, subscriptions }),
            messages: Messages::new(program),
            acks: Acks::new(stdin, are_read),
            window: usize::try_from(window).unwrap_or(1),
        }
    }

    /// Reads to the end of STDOUT. An error says why the program cannot be read any more.
    ///
    /// The program lives as long as the pump, which has its STDIN.
    pub(super) async fn run(&mut self, mut stdout: ChildStdout) -> Result<(), String> {
        let mut buffer = vec![0; 64 * 1024];
        let (mut printed, mut stored, mut is_open) = (VecDeque::<Message>::new(), FuturesOrdered::new(), true);
        loop {
            while stored.len() < self.window
                && let Some(message) = printed.pop_front()
            {
                let store = Arc::clone(&self.store);
                stored.push_back(async move { store.take(message).await });
            }
            if !is_open && stored.is_empty() {
                break;
            }
            let may_read = is_open && printed.is_empty() && stored.len() < self.window && self.acks.has_room();
            let (is_waiting, is_full) = (!self.acks.is_empty(), !self.acks.has_room());
            tokio::select! {
                count = stdout.read(&mut buffer), if may_read => {
                    let count = count.unwrap_or_default();
                    is_open = count > 0;
                    let read = buffer.get(..count).unwrap_or_default();
                    let pushed = self.messages.push(read, &mut |message| printed.push_back(message));
                    pushed.map_err(|broken| format!("cannot be read: {broken}"))?;
                }
                Some(ack) = stored.next(), if !stored.is_empty() => self.acks.push(ack),
                () = self.acks.write(), if is_waiting => {}
                () = sleep(ACK_TIMEOUT), if is_full => {
                    return Err(format!("has ack: stdin and has not read its STDIN for {} s", ACK_TIMEOUT.as_secs()));
                }
            }
        }
        if let Some(message) = self.messages.end() {
            let ack = self.store.take(message).await;
            self.acks.push(ack);
        }
        let acks = async {
            while !self.acks.is_empty() {
                self.acks.write().await;
            }
        };
        // Without them the program prints these again, which makes no second event of one that has an id.
        let _ = timeout(LAST_ACKS_TIMEOUT, acks).await;
        Ok(())
    }
}

impl Store {
    async fn take(&self, message: Message) -> Ack {
        let number = message.number;
        match self.stored(message).await {
            Ok(name) => Ack::Stored(name.unwrap_or_else(|| number.to_string())),
            Err(reason) => {
                warn!(number, reason, "a program of a source has printed what is no event");
                self.status.refused(format!("message {number}: {reason}"));
                Ack::Refused { number, reason }
            }
        }
    }

    /// Stores the event that a message is, however long that takes; an error says why it is none.
    async fn stored(&self, message: Message) -> Result<Option<String>, String> {
        let body = message.body.map_err(|error| error.to_string())?;
        // A change of routes holds from the next message on.
        let declared = self.declared.borrow().clone();
        let wanted = declared.wanted.as_ref().ok_or("the source wants no program")?;
        let (receiver, now) = (&wanted.receiver, skep_bus::now());
        let subscribers = |topics: &[String]| self.subscriptions.subscribed(topics);
        let printed = receiver.printed(wanted.program.format, &body, now, wanted.paused, &subscribers);
        let printed = printed.map_err(|error| error.to_string())?;
        printed.event.check_calls().map_err(|error| error.to_string())?;
        let (mut delays, mut was_held_up) = (STORE.delays(), false);
        loop {
            match self.events.store(&printed.event, receiver.keep()).await {
                Ok(submitted) => {
                    if was_held_up {
                        self.status.held_up(None);
                    }
                    if submitted == Submitted::Duplicate {
                        self.events.note_duplicate(&printed.event.source, &printed.event.id).await;
                    }
                    self.status.stored(match submitted {
                        Submitted::Accepted => Outcome::Accepted,
                        Submitted::Duplicate => Outcome::Duplicate,
                    });
                    return Ok(printed.name);
                }
                Err(error) if !error.may_pass() => return Err(error.chain()),
                Err(error) => {
                    was_held_up = true;
                    self.hold_up(&error, delays.next_delay()).await;
                }
            }
        }
    }

    async fn hold_up(&self, error: &Error, pause: Duration) {
        warn!(error = error.chain(), "an event that a program printed cannot be stored; trying again");
        self.status.held_up(Some(format!("its events cannot be stored: {}", error_chain(error))));
        sleep(pause).await;
    }
}
