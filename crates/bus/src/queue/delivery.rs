//! A message that was handed out and must end in exactly one ack, delayed redelivery or dead letter.

use std::{
    borrow::Cow,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::{
    HeaderMap,
    jetstream::{self, AckKind, message::Acker},
};
use bytes::Bytes;
use skep_protocol::{Call, Event};
use time::OffsetDateTime;
use tokio::sync::oneshot;
use tracing::warn;

use crate::{
    Calls, client::clock, client::connection::LastConnected, queue::ACK_TIMEOUT, queue::run_lease::RunLease,
    wire::Unreadable,
};

/// Where a delivery comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Lane,
    /// A lane for functions that are called very often.
    BulkLane,
    /// What its function could not take.
    Backlog,
    /// The event that it is a call of, which is still delivered; it has no message of its own.
    Event,
    /// It is no call that is to be run now.
    Elsewhere,
}

/// One delivery of something that was read as `T`, or could not be.
pub struct Delivery<T> {
    /// What came, or why it cannot be read.
    pub content: Result<T, Unreadable>,
    /// How often it has been handed out, this time included, as far as the server knows.
    pub delivered: u64,
    /// Whether it may have been worked on before: it was handed out before, or is older than the connection or the consumer.
    pub may_be_repeated: bool,
    pub subject: String,
    pub headers: HeaderMap,
    pub payload: Bytes,
    /// Its number in its stream.
    pub sequence: u64,
    pub place: Place,
    pub(crate) source: Source,
    published: OffsetDateTime,
    acks: Acks,
    /// Stands for it once it runs long.
    run_lease: Mutex<Option<Arc<RunLease>>>,
    /// Its call runs here, so a lease may stand for it. What is looked up or written before and after would meet the lease.
    is_running: AtomicBool,
}

/// Where the end of a delivery goes.
#[expect(clippy::large_enum_variant, reason = "most deliveries are the server's, and a box would cost each of them")]
enum Acks {
    Server(Acker),
    /// To the delivery of an event, which waits for it; what is dropped without an ack goes on from there.
    Event(Mutex<Option<oneshot::Sender<()>>>),
}

/// When the stream and the consumer that a delivery came from were made.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    pub(crate) stream_made: OffsetDateTime,
    pub(crate) consumer_made: OffsetDateTime,
}

impl<T> Delivery<T> {
    /// Reads a message; `None` if it did not come from a stream.
    pub(crate) fn new(
        message: jetstream::Message,
        place: Place,
        source: Source,
        connected: &LastConnected,
        read: impl Fn(&async_nats::Message) -> Result<T, Unreadable>,
    ) -> Option<Self> {
        let info = message.info().ok()?;
        let (delivered, sequence) = (u64::try_from(info.delivered).unwrap_or(1), info.stream_sequence);
        let published = info.published;
        // A recreated consumer does not know what the one before has finished.
        let is_older = connected.is_after(published) || published < source.consumer_made;
        let may_be_repeated = delivered > 1 || is_older;
        let (message, acker) = message.split();
        Some(Self {
            content: read(&message),
            delivered,
            may_be_repeated,
            subject: message.subject.to_string(),
            headers: message.headers.unwrap_or_default(),
            payload: message.payload,
            sequence,
            place,
            source,
            published,
            acks: Acks::Server(acker),
            run_lease: Mutex::default(),
            is_running: AtomicBool::default(),
        })
    }

    /// When it was stored.
    pub fn stored_at(&self) -> OffsetDateTime {
        self.published
    }

    /// How long ago it was stored.
    pub fn age(&self) -> Duration {
        (clock::now() - self.published).try_into().unwrap_or_default()
    }

    /// Acknowledges it. A lost ack means one more delivery, which finds the record.
    pub async fn ack(&self) {
        match self.run_lease() {
            Some(lease) => Box::pin(lease.end()).await,
            None => self.acknowledge(AckKind::Ack).await,
        }
    }

    /// Returns it, to be delivered again after a delay.
    pub async fn again_after(&self, delay: Duration) {
        self.acknowledge(AckKind::Nak(Some(delay))).await;
    }

    /// Runs some work, and keeps the delivery from going to another worker meanwhile, however long it takes.
    pub async fn hold<F: Future>(&self, work: F) -> F::Output {
        let mut extend = tokio::time::interval(ACK_TIMEOUT / 3);
        extend.tick().await;
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                output = &mut work => return output,
                _ = extend.tick() => self.acknowledge(AckKind::Progress).await,
            }
        }
    }

    pub(crate) fn run_lease(&self) -> Option<Arc<RunLease>> {
        self.run_lease.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_run_lease(&self, lease: RunLease) {
        *self.run_lease.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(lease));
    }

    pub(crate) async fn acknowledge(&self, kind: AckKind) {
        let acker = match &self.acks {
            Acks::Server(acker) => acker,
            Acks::Event(settled) => return settle(settled, kind),
        };
        if let Err(error) = acker.ack_with(kind).await {
            warn!(%error, subject = self.subject, "acknowledgement was not sent; the message will be delivered again");
        }
    }
}

impl Delivery<Call> {
    /// Delivers a call straight from its event, which is held meanwhile.
    ///
    /// What is returned is answered when the call has ended or has a message of its own; if it is dropped instead, the call is to be queued.
    pub fn of_event(event: &Delivery<Event>, calls: &Calls, call: Call) -> (Self, oneshot::Receiver<()>) {
        let (settled, is_settled) = oneshot::channel();
        let (headers, payload) = calls.message_of(&call);
        let delivery = Self {
            subject: calls.nats.subjects.invoke(&call.function, &call.call_id),
            content: Ok(call),
            delivered: event.delivered,
            may_be_repeated: event.may_be_repeated,
            headers,
            payload,
            sequence: event.sequence,
            place: Place::Event,
            source: event.source,
            published: event.published,
            acks: Acks::Event(Mutex::new(Some(settled))),
            run_lease: Mutex::default(),
            is_running: AtomicBool::default(),
        };
        (delivery, is_settled)
    }

    /// The call begins to run, so it may get a lease.
    pub fn begin(&self) {
        self.is_running.store(true, Ordering::Relaxed);
    }

    /// The call is looked up again before it goes on, so it does not begin a lease meanwhile.
    pub fn pause(&self) {
        self.is_running.store(false, Ordering::Relaxed);
    }

    /// The call as it is written elsewhere before it is acknowledged here. It gets no lease from now on.
    pub fn leave<'call>(&self, call: &'call Call) -> Cow<'call, Call> {
        self.is_running.store(false, Ordering::Relaxed);
        self.as_leased(call)
    }

    /// The call as far as its lease has come, if it has one.
    pub(crate) fn as_leased<'call>(&self, call: &'call Call) -> Cow<'call, Call> {
        match self.run_lease() {
            Some(_) => Cow::Owned(Call { interruptions: call.interruptions + 1, ..call.clone() }),
            None => Cow::Borrowed(call),
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.is_running.load(Ordering::Relaxed)
    }
}

/// Tells the delivery of an event what became of a call; what is returned is queued, and the event is held anyway.
fn settle(settled: &Mutex<Option<oneshot::Sender<()>>>, kind: AckKind) {
    if matches!(kind, AckKind::Progress) {
        return;
    }
    let settled = settled.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let (Some(settled), AckKind::Ack) = (settled, kind) {
        // The worker may be stopping; then the event is delivered again, and the call is known.
        let _ = settled.send(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_of_an_event_is_settled_by_its_ack_alone_and_otherwise_goes_on_from_the_event() {
        for (kind, is_settled) in [(AckKind::Ack, true), (AckKind::Nak(None), false)] {
            let (settled, answer) = oneshot::channel();
            let settled = Mutex::new(Some(settled));
            settle(&settled, AckKind::Progress);
            assert!(settled.lock().unwrap().is_some(), "it goes on");
            settle(&settled, kind);
            settle(&settled, AckKind::Ack);
            assert_eq!(answer.await.is_ok(), is_settled);
        }
    }
}
