//! The load generator: a closed loop, one task per connection, the same for a figure and its baselines.

use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use hyper::{Method, body::Bytes};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use crate::http::{Requests, Target, with_requests};

/// What a request carries, unless it is said otherwise.
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

    pub(crate) fn quantile_us(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1000.0
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
            with_requests(&target, async |requests: &mut Requests| count(requests, &target.body, begin, end).await)
                .await
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

async fn count(requests: &mut Requests, body: &Bytes, begin: Instant, end: Instant) -> Result<Histogram<u64>> {
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

/// Offers so many requests a second whatever becomes of them, as long as `connections` suffice: those that were answered as expected, and those refused with 429.
pub(crate) async fn offer(
    target: &Target,
    per_second: f64,
    connections: usize,
    window: Duration,
) -> Result<(Answered, Answered)> {
    let begin = Instant::now() + LEAD;
    let end = begin + window;
    let every = Duration::from_secs_f64(connections as f64 / per_second);
    let mut tasks = JoinSet::new();
    for connection in 0..connections {
        let (target, first) = (target.clone(), begin + every.mul_f64(connection as f64 / connections as f64));
        tasks.spawn(async move {
            with_requests(&target, async |requests: &mut Requests| keep_pace(requests, first, every, end).await).await
        });
    }
    let (mut good, mut refused) = (Answered::nothing()?, Answered::nothing()?);
    while let Some(counted) = tasks.join_next().await {
        let [answered, not_taken] = counted??;
        good.latency.add(answered)?;
        refused.latency.add(not_taken)?;
    }
    (good.window, refused.window) = (window, window);
    Ok((good, refused))
}

async fn keep_pace(
    requests: &mut Requests,
    first: Instant,
    every: Duration,
    end: Instant,
) -> Result<[Histogram<u64>; 2]> {
    let mut counted = [Histogram::new(3)?, Histogram::new(3)?];
    let [good, refused] = &mut counted;
    let mut next = first;
    while next < end {
        sleep_until(next).await;
        let sent = Instant::now();
        let is_good = requests.try_send(Method::POST, Bytes::from_static(&BODY)).await?;
        let latency = if is_good { &mut *good } else { &mut *refused };
        if Instant::now() < end {
            latency.record(u64::try_from(sent.elapsed().as_nanos())?)?;
        }
        next += every;
    }
    Ok(counted)
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
                    requests.send(Method::POST, target.body.clone()).await?;
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
