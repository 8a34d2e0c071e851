//! The load generator: a closed loop, one task per connection, the same for a figure and its baselines.

use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use hyper::{Method, body::Bytes};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::http::{Requests, Target, with_requests};

/// What every request carries.
pub(crate) const BODY: [u8; 256] = [b'x'; 256];

/// Requests of a run that are sent before anything is counted.
const LEAD: Duration = Duration::from_millis(60);
/// What has not ended so long after it should have hangs.
const HANGS_AFTER: Duration = Duration::from_secs(30);
/// However many requests are sent.
const SENT_WITHIN: Duration = Duration::from_secs(120);

/// Requests that were answered as expected, and how long that took.
pub(crate) struct Answered {
    latency: Histogram<u64>,
    window: Duration,
}

impl Answered {
    pub(crate) fn nothing() -> Result<Self> {
        Ok(Self { latency: Histogram::new(3)?, window: Duration::ZERO })
    }

    pub(crate) fn add(&mut self, other: &Self) -> Result<()> {
        self.latency.add(&other.latency)?;
        self.window += other.window;
        Ok(())
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.latency.len() as f64 / self.window.as_secs_f64()
    }

    pub(crate) fn p50_us(&self) -> f64 {
        self.latency.value_at_quantile(0.5) as f64 / 1000.0
    }
}

/// Keeps `connections` requests in flight and counts those that begin and end within the window.
pub(crate) async fn run(target: &Target, connections: usize, window: Duration) -> Result<Answered> {
    let begin = Instant::now() + LEAD;
    let end = begin + window;
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let target = target.clone();
        tasks.spawn(async move {
            with_requests(&target, async |requests: &mut Requests| count(requests, begin, end).await).await
        });
    }
    let mut latency = Histogram::new(3)?;
    let all = async {
        while let Some(counted) = tasks.join_next().await {
            latency.add(counted??)?;
        }
        anyhow::Ok(())
    };
    timeout(LEAD + window + HANGS_AFTER, all).await.with_context(|| format!("{target:?} hangs"))??;
    Ok(Answered { latency, window })
}

async fn count(requests: &mut Requests, begin: Instant, end: Instant) -> Result<Histogram<u64>> {
    let body = Bytes::from_static(&BODY);
    let mut latency = Histogram::new(3)?;
    loop {
        let sent = Instant::now();
        requests.send(Method::POST, body.clone()).await?;
        let answered = Instant::now();
        if answered >= end {
            return Ok(latency);
        }
        if sent >= begin {
            latency.record(u64::try_from((answered - sent).as_nanos())?)?;
        }
    }
}

/// Sends a number of requests over some connections.
pub(crate) async fn send(target: &Target, connections: usize, number: usize) -> Result<()> {
    let mut tasks = JoinSet::new();
    for connection in 0..connections {
        let share = number / connections + usize::from(connection < number % connections);
        let target = target.clone();
        tasks.spawn(async move {
            with_requests(&target, async |requests: &mut Requests| {
                for _ in 0..share {
                    requests.send(Method::POST, Bytes::from_static(&BODY)).await?;
                }
                Ok(())
            })
            .await
        });
    }
    let all = async {
        while let Some(sent) = tasks.join_next().await {
            sent??;
        }
        anyhow::Ok(())
    };
    timeout(SENT_WITHIN, all).await.with_context(|| format!("{target:?} hangs"))?
}
