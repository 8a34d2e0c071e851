//! How calls of versions on trial have ended: their callers publish it every second, and the controller subscribes.
//!
//! Nothing is stored: all counts are sent each time, so a message that is lost is missed by nobody.

use futures_util::{Stream, StreamExt};
use skep_protocol::{TrialCounts, TrialReport};

use crate::{Activity, Error, Result};

/// Functions that one message carries; the counts of one take a kilobyte or two.
const MAX_TRIALS: usize = 100;

impl Activity {
    /// Says what this process has counted.
    pub async fn report_trials(&self, process: &str, trials: &[TrialCounts]) {
        for trials in trials.chunks(MAX_TRIALS) {
            let report = TrialReport { process: process.to_owned(), trials: trials.to_vec() };
            let Ok(report) = serde_json::to_vec(&report) else { return };
            // Without a connection it waits for the next one, like all that is published.
            let _ = self.nats.client.publish(self.nats.subjects.trials(), report.into()).await;
        }
    }

    /// What gateways and workers have counted, from now on.
    pub async fn trial_reports(&self) -> Result<impl Stream<Item = TrialReport> + use<>> {
        let messages = self.nats.client.subscribe(self.nats.subjects.trials()).await.map_err(Error::unavailable)?;
        Ok(messages.filter_map(|message| async move { serde_json::from_slice(&message.payload).ok() }))
    }
}
