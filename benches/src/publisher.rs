//! Raw JetStream: what storing the same messages costs without skep.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use async_nats::{
    HeaderMap,
    jetstream::{
        self,
        stream::{Config, Stream},
    },
};
use hdrhistogram::Histogram;
use hyper::body::Bytes;
use tokio::{task::JoinSet, time::Instant};

/// Publishes that wait for their acknowledgement at once.
const IN_FLIGHT: usize = 64;
const LEAD: Duration = Duration::from_millis(200);

/// Publishes copies of one message of skep's to a stream with the settings of skep's.
pub(crate) struct Publisher {
    jetstream: jetstream::Context,
    pub(crate) stream: Stream,
    headers: HeaderMap,
    payload: Bytes,
    /// Makes each subject another one, as skep's are.
    next: Arc<AtomicU64>,
}

impl Publisher {
    /// `like` is a stream that has a message.
    pub(crate) async fn like(jetstream: &jetstream::Context, like: &Stream) -> Result<Self> {
        let info = like.get_info().await?;
        let message = like.direct_get(info.state.last_sequence).await?;
        let config = Config { name: "BENCH".to_owned(), subjects: vec!["bench.>".to_owned()], ..info.config };
        let stream = jetstream.create_stream(config).await?;
        let (jetstream, next) = (jetstream.clone(), Arc::default());
        // What the server acts on is not of the message.
        let is_plain = |name: &async_nats::HeaderName| !name.to_string().starts_with("Nats-");
        let mut headers = HeaderMap::new();
        for (name, values) in message.headers.iter().filter(|(name, _)| is_plain(name)) {
            values.iter().for_each(|value| headers.append(name.clone(), value.clone()));
        }
        Ok(Self { jetstream, stream, headers, payload: message.payload, next })
    }

    /// Acknowledged publishes per second.
    pub(crate) async fn per_second(&self, window: Duration) -> Result<f64> {
        let begin = Instant::now() + LEAD;
        let end = begin + window;
        let counted = Arc::new(AtomicU64::new(0));
        let each = |sent: Instant| {
            let now = Instant::now();
            if sent >= begin && now < end {
                counted.fetch_add(1, Ordering::Relaxed);
            }
            now < end
        };
        self.publish(each).await?;
        Ok(counted.load(Ordering::Relaxed) as f64 / window.as_secs_f64())
    }

    /// How long one publish takes, one after the other.
    pub(crate) async fn p50_us(&self, window: Duration) -> Result<f64> {
        let mut took = Histogram::<u64>::new(3)?;
        let begin = Instant::now();
        while begin.elapsed() < window {
            let sent = self.publish_one().await?;
            took.record(u64::try_from(sent.elapsed().as_nanos())?)?;
        }
        Ok(took.value_at_quantile(0.5) as f64 / 1000.0)
    }

    /// Messages per second in atomic batches of as many as are otherwise in flight, one batch after the other.
    pub(crate) async fn batched_per_second(&self, window: Duration) -> Result<f64> {
        let begin = Instant::now();
        let mut stored = 0;
        while begin.elapsed() < window {
            self.publish_batch().await?;
            stored += IN_FLIGHT;
        }
        Ok(stored as f64 / begin.elapsed().as_secs_f64())
    }

    async fn publish_batch(&self) -> Result<()> {
        let client = self.jetstream.client();
        let id = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        for number in 1..=IN_FLIGHT {
            let mut headers = self.headers.clone();
            headers.insert("Nats-Batch-Id", id.as_str());
            headers.insert("Nats-Batch-Sequence", number.to_string());
            let subject = self.next_subject();
            if number < IN_FLIGHT {
                client.publish_with_headers(subject, headers, self.payload.clone()).await?;
                continue;
            }
            headers.insert("Nats-Batch-Commit", "1");
            let committed = client.request_with_headers(subject, headers, self.payload.clone()).await?;
            ensure!(!committed.payload.windows(7).any(|part| part == b"\"error\""), "{:?}", committed.payload);
        }
        Ok(())
    }

    /// As long as skep's own.
    fn next_subject(&self) -> String {
        format!("bench.lane.noop.{:036}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// The rate at which a number of messages is stored.
    pub(crate) async fn rate_of(&self, number: u64) -> Result<f64> {
        let started = Instant::now();
        let left = AtomicU64::new(number.saturating_sub(IN_FLIGHT as u64));
        let take = |_| left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        self.publish(take).await?;
        Ok(number as f64 / started.elapsed().as_secs_f64())
    }

    /// Keeps publishes in flight; after each acknowledgement `go_on` is asked, with the time it was sent at.
    async fn publish(&self, go_on: impl Fn(Instant) -> bool) -> Result<()> {
        let mut tasks = JoinSet::new();
        for _ in 0..IN_FLIGHT {
            tasks.spawn(self.publish_one());
        }
        while let Some(sent) = tasks.join_next().await {
            if go_on(sent??) {
                tasks.spawn(self.publish_one());
            }
        }
        Ok(())
    }

    /// Stores one message; when it was sent.
    pub(crate) fn publish_one(&self) -> impl Future<Output = Result<Instant>> + Send + use<> {
        let (headers, payload) = (self.headers.clone(), self.payload.clone());
        let (jetstream, subject) = (self.jetstream.clone(), self.next_subject());
        async move {
            let sent = Instant::now();
            jetstream.publish_with_headers(subject, headers, payload).await?.await?;
            Ok(sent)
        }
    }
}
