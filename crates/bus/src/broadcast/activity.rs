//! Which functions are in use, and how much: their callers publish it every second, and the controller subscribes.
//!
//! Nothing is stored: use goes on or ends, and the next report shows it.

use futures_util::{Stream, StreamExt};
use serde::Deserialize;
use skep_protocol::{CallFigures, FunctionLoad, FunctionName, LoadReport};

use crate::{Activity, Error, Result};

/// Functions that one message carries.
pub(crate) const MAX_FUNCTIONS: usize = 1000;

impl Activity {
    /// Publishes a report, as several messages if it has very many functions; `seq` is advanced by each.
    pub async fn report(&self, mut report: LoadReport, seq: &mut u64) {
        loop {
            let rest = report.functions.split_off(report.functions.len().min(MAX_FUNCTIONS));
            let message = LoadReport { seq: *seq, last: report.last && rest.is_empty(), ..report };
            *seq += 1;
            let Ok(text) = serde_json::to_vec(&message) else { return };
            // Without a connection it waits for the next one, like all that is published.
            let _ = self.nats.client.publish(self.nats.subjects.activity(), text.into()).await;
            if rest.is_empty() {
                return;
            }
            report = LoadReport { functions: rest, last: report.last, ..message };
        }
    }

    /// Reports of all gateways and workers, from now on.
    pub async fn reports(&self) -> Result<impl Stream<Item = LoadReport> + use<>> {
        let messages = self.nats.client.subscribe(self.nats.subjects.activity()).await.map_err(Error::unavailable)?;
        Ok(messages.filter_map(|message| async move { read(&message.payload) }))
    }
}

fn read(payload: &[u8]) -> Option<LoadReport> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Reported {
        Load(LoadReport),
        /// All that older gateways and workers report.
        Names(Vec<FunctionName>),
    }
    Some(match serde_json::from_slice(payload).ok()? {
        Reported::Load(report) => report,
        Reported::Names(names) => {
            let functions = names.into_iter().map(|name| FunctionLoad { name, calls: CallFigures::default() });
            LoadReport { last: true, functions: functions.collect(), ..LoadReport::default() }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_that_an_older_gateway_reports_are_functions_in_use() {
        let report = read(b"[\"cat\",\"a_dev\"]").unwrap();
        let names: Vec<_> = report.functions.iter().map(|function| function.name.to_string()).collect();
        assert_eq!(names, ["cat", "a.dev"]);
        assert!(report.sender.is_empty() && report.last, "nothing more is known of its sender");
        assert!(read(b"{\"sender\":\"a\",\"seq\":1,\"ms\":1000,\"functions\":[]}").is_some());
        assert!(read(b"{}").is_none() && read(b"[1]").is_none());
    }
}
