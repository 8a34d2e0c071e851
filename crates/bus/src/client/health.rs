//! How the NATS servers are, by what their monitoring ports say: who leads, what is behind, and what is almost full.

use std::{collections::BTreeMap, time::Instant};

use futures_util::future::join_all;
use serde::Deserialize;
use skep_protocol::{NatsHealth, NatsReplica, NatsServer, NatsStream, Subjects, Used};
use time::{Duration, OffsetDateTime};
use url::Url;

use crate::{
    Connection,
    client::{
        judgement,
        monitor::{Monitors, get, http_client},
    },
};

const STREAMS: &str = "jsz?accounts=true&streams=true&config=true";

impl Connection {
    /// How the servers are now.
    pub async fn health(&self) -> NatsHealth {
        self.monitors.health(&self.subjects).await
    }
}

impl Monitors {
    /// Asks all servers how they are; what they do not answer is part of it.
    pub async fn health(&self, subjects: &Subjects) -> NatsHealth {
        let reports = match self {
            Self::At(addresses) => join_all(addresses.iter().map(report_of)).await,
            Self::Own(account) => {
                let asked = Asked::now();
                let server = account.ask::<Varz>("VARZ").await.map(|varz| (asked.ahead(&varz), varz, Vec::new()));
                vec![Report { address: "skep up".to_owned(), answer: server }]
            }
        };
        let cluster = reports
            .iter()
            .filter_map(|report| report.answer.as_ref().ok())
            .find_map(|(_, varz, _)| varz.jetstream.meta.clone().filter(|meta| meta.cluster_size > 1));
        let names = subjects.stream("");
        let mut streams = streams(&reports, |name| name.strip_prefix("KV_").unwrap_or(name).starts_with(&names));
        let servers: Vec<NatsServer> = reports.into_iter().map(Report::server).collect();
        note_offline(&servers, &mut streams);
        let leader = cluster.as_ref().and_then(|cluster| cluster.leader.clone()).filter(|leader| !leader.is_empty());
        let problems = judgement::problems(&servers, cluster.as_ref(), &streams);
        NatsHealth { servers, leader, streams, problems }
    }
}

/// What one server answers.
struct Report {
    address: String,
    answer: Result<(Duration, Varz, Vec<StreamDetail>), String>,
}

#[derive(Deserialize)]
struct Varz {
    server_name: String,
    version: String,
    #[serde(with = "time::serde::rfc3339")]
    now: OffsetDateTime,
    mem: u64,
    #[serde(default)]
    gomemlimit: Option<u64>,
    connections: u64,
    #[serde(default)]
    max_connections: Option<u64>,
    #[serde(default)]
    jetstream: JetStream,
}

#[derive(Default, Deserialize)]
struct JetStream {
    #[serde(default)]
    config: Config,
    #[serde(default)]
    stats: Stats,
    #[serde(default)]
    meta: Option<Meta>,
}

#[derive(Default, Deserialize)]
struct Config {
    #[serde(default)]
    max_storage: Option<u64>,
}

#[derive(Default, Deserialize)]
struct Stats {
    #[serde(default)]
    storage: u64,
}

/// The cluster, as a server sees it.
#[derive(Clone, Default, Deserialize)]
pub(super) struct Meta {
    #[serde(default)]
    pub(super) leader: Option<String>,
    #[serde(default)]
    pub(super) cluster_size: usize,
    #[serde(default)]
    pub(super) quorum_needed: usize,
}

#[derive(Deserialize)]
struct Jsz {
    #[serde(default)]
    account_details: Vec<Account>,
}

#[derive(Deserialize)]
struct Account {
    #[serde(default)]
    stream_detail: Vec<StreamDetail>,
}

#[derive(Deserialize)]
struct StreamDetail {
    name: String,
    #[serde(default)]
    cluster: Option<Cluster>,
    config: StreamConfig,
    state: State,
}

#[derive(Default, Deserialize)]
struct Cluster {
    #[serde(default)]
    leader: Option<String>,
    #[serde(default)]
    replicas: Vec<Replica>,
}

#[derive(Deserialize)]
struct Replica {
    name: String,
    #[serde(default)]
    current: bool,
    #[serde(default)]
    offline: bool,
    #[serde(default)]
    lag: u64,
}

#[derive(Deserialize)]
struct StreamConfig {
    num_replicas: usize,
    #[serde(default)]
    max_bytes: i64,
    #[serde(default)]
    discard: String,
}

#[derive(Deserialize)]
struct State {
    bytes: u64,
}

/// When a server was asked for its time.
struct Asked(OffsetDateTime, Instant);

impl Asked {
    fn now() -> Self {
        Self(OffsetDateTime::now_utc(), Instant::now())
    }

    /// By how much its clock is ahead, beyond what the way of the answer explains.
    fn ahead(&self, said: &Varz) -> Duration {
        let uncertain = Duration::try_from(self.1.elapsed()).unwrap_or(Duration::MAX) / 2;
        let ahead: Duration = said.now - (self.0 + uncertain);
        if ahead.abs() <= uncertain { Duration::ZERO } else { ahead }
    }
}

async fn report_of(address: &Url) -> Report {
    let answer = async {
        let client = http_client()?;
        let asked = Asked::now();
        let varz: Varz = get(&client, address, "varz").await?;
        let ahead = asked.ahead(&varz);
        let jsz: Jsz = get(&client, address, STREAMS).await?;
        Ok((ahead, varz, jsz.account_details.into_iter().flat_map(|account| account.stream_detail).collect()))
    };
    let shown = address.as_str().trim_end_matches('/').trim_start_matches("http://");
    Report { address: shown.to_owned(), answer: answer.await }
}

impl Report {
    fn server(self) -> NatsServer {
        let (ahead, varz) = match self.answer {
            Ok((ahead, varz, _)) => (ahead, varz),
            Err(reason) => return NatsServer { address: self.address, away: Some(reason), ..NatsServer::default() },
        };
        NatsServer {
            address: self.address,
            name: Some(varz.server_name),
            version: Some(varz.version),
            away: None,
            clock_ahead_seconds: ahead.as_seconds_f64(),
            storage: Used { used: varz.jetstream.stats.storage, limit: varz.jetstream.config.max_storage },
            // Without a limit, Go says the largest number.
            memory: Used { used: varz.mem, limit: varz.gomemlimit.filter(|limit| *limit < u64::MAX / 2) },
            connections: Used { used: varz.connections, limit: varz.max_connections },
        }
    }
}

/// Each stream as its leader sees it; one that no leader has reported is known by the others.
fn streams(reports: &[Report], is_ours: impl Fn(&str) -> bool) -> Vec<NatsStream> {
    let mut found: BTreeMap<&str, NatsStream> = BTreeMap::new();
    let answers = reports.iter().filter_map(|report| report.answer.as_ref().ok());
    for (_, varz, details) in answers {
        for detail in details.iter().filter(|detail| is_ours(&detail.name)) {
            let cluster = detail.cluster.as_ref();
            let leads = cluster.is_none_or(|cluster| cluster.leader.as_ref() == Some(&varz.server_name));
            if leads {
                found.insert(&detail.name, seen(detail, Some(varz.server_name.clone())));
            } else {
                let unled = || NatsStream { behind: Vec::new(), ..seen(detail, None) };
                found.entry(&detail.name).or_insert_with(unled);
            }
        }
    }
    found.into_values().collect()
}

/// A leader goes on counting a server that is lost as one that is behind.
fn note_offline(servers: &[NatsServer], streams: &mut [NatsStream]) {
    if servers.iter().all(|server| server.away.is_none()) {
        return;
    }
    for replica in streams.iter_mut().flat_map(|stream| &mut stream.behind) {
        replica.offline |= !servers.iter().any(|server| server.name.as_ref() == Some(&replica.server));
    }
}

fn seen(detail: &StreamDetail, leader: Option<String>) -> NatsStream {
    let StreamDetail { name, cluster, config, state } = detail;
    let replicas = cluster.iter().flat_map(|cluster| &cluster.replicas);
    let behind = replicas.filter(|replica| replica.offline || !replica.current).map(|replica| NatsReplica {
        server: replica.name.clone(),
        lag: replica.lag,
        offline: replica.offline,
    });
    // What drops its oldest messages may be full.
    let limit = u64::try_from(config.max_bytes).ok().filter(|limit| *limit > 0 && config.discard == "new");
    NatsStream {
        name: name.clone(),
        replicas: config.num_replicas,
        leader,
        behind: behind.collect(),
        bytes: Used { used: state.bytes, limit },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(server: &str, leader: &str) -> Report {
        let varz =
            json!({ "server_name": server, "version": "2", "now": "2026-01-01T00:00:00Z", "mem": 1, "connections": 2 });
        let replica = |name: &str, current: bool| json!({ "name": name, "current": current, "lag": 7 });
        let detail = json!({
            "name": "SKEP_INVOKE",
            "cluster": { "leader": leader, "replicas": [replica("b", true), replica("c", false)] },
            "config": { "num_replicas": 3, "max_bytes": 100, "discard": "new" },
            "state": { "bytes": 5 },
        });
        let other = json!({ "name": "SHOP", "config": { "num_replicas": 1 }, "state": { "bytes": 5 } });
        let details = [detail, other].map(|detail| serde_json::from_value(detail).unwrap()).into();
        Report {
            address: server.to_owned(),
            answer: Ok((Duration::ZERO, serde_json::from_value(varz).unwrap(), details)),
        }
    }

    #[test]
    fn a_stream_is_what_its_leader_says_and_those_of_others_do_not_count() {
        let ours = |name: &str| name.starts_with("SKEP_");
        let seen = streams(&[report("b", "a"), report("a", "a"), report("c", "a")], ours);
        let behind = vec![NatsReplica { server: "c".to_owned(), lag: 7, offline: false }];
        assert_eq!(seen.len(), 1);
        assert_eq!((seen[0].leader.as_deref(), &seen[0].behind), (Some("a"), &behind));
        assert_eq!(seen[0].bytes, Used { used: 5, limit: Some(100) });
        let without = streams(&[report("b", "a"), report("c", "")], ours);
        assert_eq!((without[0].leader.as_deref(), without[0].behind.len()), (None, 0));

        let lost = Report { address: "c".to_owned(), answer: Err("refused".to_owned()) };
        let mut seen = streams(&[report("a", "a")], ours);
        note_offline(&[report("a", "a").server(), report("b", "a").server(), lost.server()], &mut seen);
        assert!(seen[0].behind[0].offline, "it is c");
    }
}
