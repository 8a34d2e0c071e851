//! How the NATS servers are: what `GET /system/nats` answers.

use serde::{Deserialize, Serialize};

/// The servers, as each reports itself, and what is stored on them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NatsHealth {
    /// In the order of `--nats-monitor`; none if it is not known where to ask.
    pub servers: Vec<NatsServer>,
    /// The server that leads the cluster; missing without a cluster, or without a quorum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// The streams of skep, in the order of their names.
    pub streams: Vec<NatsStream>,
    /// What is wrong or worth a look, and what to do.
    pub problems: Vec<NatsProblem>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NatsServer {
    /// Where it was asked.
    pub address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Why it did not answer, if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<String>,
    /// By how many seconds its clock is ahead of the asker's, as far as that can be known.
    #[serde(default)]
    pub clock_ahead_seconds: f64,
    /// Bytes that JetStream stores.
    #[serde(default)]
    pub storage: Used,
    /// Bytes of memory; the limit is that of `GOMEMLIMIT`.
    #[serde(default)]
    pub memory: Used,
    #[serde(default)]
    pub connections: Used,
}

/// How much of something is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    pub used: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NatsStream {
    pub name: String,
    /// How many servers should store it.
    pub replicas: usize,
    /// The server that leads it; missing while none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// Servers that do not have all of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub behind: Vec<NatsReplica>,
    pub bytes: Used,
}

/// A server that does not have all of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatsReplica {
    pub server: String,
    /// By how many operations it is behind.
    pub lag: u64,
    pub offline: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NatsProblem {
    pub what: String,
    /// What to do about it.
    pub fix: String,
    /// Whether something is wrong now, and not only worth a look.
    pub is_wrong: bool,
}

impl Used {
    /// From this percentage on, a limit is worth a look.
    const HIGH: u64 = 80;

    /// How many percent of the limit are used, if that is much.
    pub fn high_percentage(&self) -> Option<u64> {
        let limit = self.limit.filter(|limit| *limit > 0)?;
        Some(self.used.saturating_mul(100) / limit).filter(|percent| *percent >= Self::HIGH)
    }
}

impl NatsHealth {
    /// One line for people.
    pub fn summary(&self) -> String {
        let up = self.servers.iter().filter(|server| server.away.is_none()).count();
        let led = self.streams.iter().filter(|stream| stream.leader.is_some()).count();
        let whole = self.streams.iter().filter(|stream| stream.leader.is_some() && stream.behind.is_empty()).count();
        let leader = match (&self.leader, self.servers.len()) {
            (Some(leader), _) => format!(", {leader} leads"),
            (None, 0 | 1) => String::new(),
            (None, _) => ", none leads".to_owned(),
        };
        let streams = match self.streams.len() {
            0 => String::new(),
            all if whole == all => format!("; all {all} streams are whole"),
            all if led == all => format!("; {whole} of {all} streams are whole"),
            all => format!("; {led} of {all} streams have a leader"),
        };
        format!("{up} of {} servers answer{leader}{streams}", self.servers.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_worth_a_look_from_eighty_percent_on() {
        let high = |used, limit| Used { used, limit }.high_percentage();
        assert_eq!(
            [high(79, Some(100)), high(80, Some(100)), high(9, None), high(9, Some(0))],
            [None, Some(80), None, None]
        );
    }

    #[test]
    fn the_summary_says_who_leads_and_what_lacks() {
        let server = |away: Option<&str>| NatsServer { away: away.map(str::to_owned), ..NatsServer::default() };
        let stream = |leader: Option<&str>, behind: usize| NatsStream {
            leader: leader.map(str::to_owned),
            behind: vec![NatsReplica::default(); behind],
            ..NatsStream::default()
        };
        let mut health = NatsHealth {
            servers: vec![server(None), server(Some("gone")), server(None)],
            leader: Some("nats-1".to_owned()),
            streams: vec![stream(Some("nats-1"), 0), stream(Some("nats-3"), 1)],
            problems: Vec::new(),
        };
        assert_eq!(health.summary(), "2 of 3 servers answer, nats-1 leads; 1 of 2 streams are whole");
        (health.leader, health.streams[0].leader) = (None, None);
        assert_eq!(health.summary(), "2 of 3 servers answer, none leads; 1 of 2 streams have a leader");
        let one =
            NatsHealth { servers: vec![server(None)], streams: vec![stream(Some("x"), 0)], ..NatsHealth::default() };
        assert_eq!(one.summary(), "1 of 1 servers answer; all 1 streams are whole");
    }
}
