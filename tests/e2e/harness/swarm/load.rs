//! Callers who call all the time, through whichever gateway takes the connection, as a load balancer would.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::super::Gateway;

/// Callers at the same time, and how long each waits between two calls.
const CALLERS: usize = 4;
const PAUSE: Duration = Duration::from_millis(25);

pub(crate) struct Load {
    callers: JoinSet<Tally>,
    stop: CancellationToken,
}

/// What came of the calls.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) answered: usize,
    pub(crate) failed: Vec<String>,
}

impl Load {
    /// Calls a function that answers with its input, until it is stopped.
    pub(crate) fn start(gateways: &[Gateway], function: &str) -> Self {
        let stop = CancellationToken::new();
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let (gateways, function, stop) = (gateways.to_vec(), function.to_owned(), stop.clone());
            callers.spawn(async move {
                let mut tally = Tally::default();
                for number in 0.. {
                    let body = format!("call {number} of {caller}");
                    match call(&gateways, number + caller, &function, &body).await {
                        Ok(()) => tally.answered += 1,
                        Err(reason) => tally.failed.push(reason),
                    }
                    if tokio::time::timeout(PAUSE, stop.cancelled()).await.is_ok() {
                        break;
                    }
                }
                tally
            });
        }
        Self { callers, stop }
    }

    pub(crate) async fn stop(self) -> Tally {
        self.stop.cancel();
        let mut all = Tally::default();
        for tally in self.callers.join_all().await {
            all.answered += tally.answered;
            all.failed.extend(tally.failed);
        }
        all
    }
}

/// Calls through one gateway; only if that takes no connection, through the next.
async fn call(gateways: &[Gateway], first: usize, function: &str, body: &str) -> Result<(), String> {
    let mut refused = String::new();
    for number in 0..gateways.len() {
        let gateway = &gateways[(first + number) % gateways.len()];
        let response = match gateway.post(&format!("/function/{function}")).body(body.to_owned()).send().await {
            Err(error) if error.is_connect() => {
                refused = format!("{error:?}");
                continue;
            }
            response => response.map_err(|error| format!("{error:?}"))?,
        };
        let status = response.status();
        let text = response.text().await.map_err(|error| format!("{error:?}"))?;
        return if status == 200 && text == body { Ok(()) } else { Err(format!("{status}: {text}")) };
    }
    Err(refused)
}
