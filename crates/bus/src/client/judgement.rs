//! What is wrong with the NATS servers, in words, and what to do about it.

use std::collections::BTreeMap;

use skep_protocol::{NatsProblem, NatsServer, NatsStream, Used};

use crate::client::health::Meta;

/// A larger difference of clocks makes calls due at another time than was asked for.
const MAX_CLOCK_DIFFERENCE: f64 = 2.0;
/// How many names are listed.
const LISTED: usize = 3;

pub(super) fn problems(servers: &[NatsServer], cluster: Option<&Meta>, streams: &[NatsStream]) -> Vec<NatsProblem> {
    let mut problems: Vec<NatsProblem> = servers.iter().filter_map(of_away).collect();
    problems.extend(cluster.and_then(|cluster| of_quorum(cluster, servers)));
    problems.extend(of_streams_without_leader(streams));
    problems.extend(of_replicas(servers.len(), streams));
    problems.extend(of_those_behind(streams));
    problems.extend(servers.iter().flat_map(of_server));
    problems.extend(streams.iter().filter_map(|stream| {
        let what = format!("the stream {} is", stream.name);
        of_use(&what, stream.bytes, "work off what waits, or raise its budget; beyond it, more is refused")
    }));
    problems
}

fn wrong(what: String, fix: &str) -> NatsProblem {
    NatsProblem { what, fix: fix.to_owned(), is_wrong: true }
}

fn note(what: String, fix: &str) -> NatsProblem {
    NatsProblem { is_wrong: false, ..wrong(what, fix) }
}

fn of_away(server: &NatsServer) -> Option<NatsProblem> {
    let reason = server.away.as_ref()?;
    let fix = "start it again; if its machine is gone for good, another has to take its place (docs/operations.md)";
    Some(wrong(format!("the NATS server at {} does not answer: {reason}", server.address), fix))
}

fn of_quorum(cluster: &Meta, servers: &[NatsServer]) -> Option<NatsProblem> {
    if cluster.leader.as_ref().is_some_and(|leader| !leader.is_empty()) {
        return None;
    }
    let (up, all) = (servers.iter().filter(|server| server.away.is_none()).count(), cluster.cluster_size);
    let needed = cluster.quorum_needed.max(all / 2 + 1);
    if up >= needed {
        let fix = "it takes some seconds; if it stays so, look whether the servers reach each other at port 6222";
        return Some(wrong(format!("no NATS server leads the cluster, although {up} of {all} answer"), fix));
    }
    Some(wrong(
        format!("{up} of {all} NATS servers answer, and {needed} are needed: nothing is accepted"),
        "bring one of the others back; what was accepted is safe there. Synchronous calls go on",
    ))
}

fn of_streams_without_leader(streams: &[NatsStream]) -> Option<NatsProblem> {
    let names = streams.iter().filter(|stream| stream.leader.is_none()).map(|stream| stream.name.as_str());
    let names = listed(names)?;
    let fix = "after the loss of a server this takes up to ten seconds; if it stays so, bring the server back";
    Some(wrong(format!("without a leader: {names}"), fix))
}

fn of_replicas(servers: usize, streams: &[NatsStream]) -> Option<NatsProblem> {
    let few = streams.iter().filter(|stream| servers >= 3 && stream.replicas < 3);
    let names = listed(few.map(|stream| stream.name.as_str()))?;
    let fix = "give all roles --nats-replicas 3, and restart the controller";
    Some(wrong(format!("stored on fewer than three servers: {names}"), fix))
}

/// One problem for each server that lacks something.
fn of_those_behind(streams: &[NatsStream]) -> Vec<NatsProblem> {
    let mut servers: BTreeMap<&str, (Vec<&str>, u64, bool)> = BTreeMap::new();
    for stream in streams {
        for replica in &stream.behind {
            let (names, lag, is_offline) = servers.entry(&replica.server).or_default();
            names.push(&stream.name);
            *lag = (*lag).max(replica.lag);
            *is_offline |= replica.offline;
        }
    }
    let problem = |(server, (names, lag, is_offline)): (&str, (Vec<&str>, u64, bool))| {
        let names = listed(names.into_iter()).unwrap_or_default();
        if is_offline {
            let fix = "bring it back or replace it; until then, the loss of another server stops everything";
            return wrong(format!("{server} is offline and lacks what is new in {names}"), fix);
        }
        note(
            format!("{server} is not up to date (up to {lag} behind) in {names}"),
            "it catches up by itself; look again",
        )
    };
    servers.into_iter().map(problem).collect()
}

fn of_server(server: &NatsServer) -> Vec<NatsProblem> {
    let Some(name) = &server.name else { return Vec::new() };
    let mut problems = Vec::new();
    if server.clock_ahead_seconds.abs() > MAX_CLOCK_DIFFERENCE {
        let what = format!("the clock of {name} differs from this machine's by {:.1} s", server.clock_ahead_seconds);
        problems.push(wrong(what, "run NTP on both; the server's clock decides when delayed calls run"));
    }
    let uses = [
        (
            "the storage of",
            server.storage,
            "give it more disk or a larger limit, or keep less (--result-ttl, --dead-ttl)",
        ),
        ("the memory of", server.memory, "raise the limit of its container and GOMEMLIMIT"),
        ("the connections of", server.connections, "raise max_connections in its settings"),
    ];
    problems.extend(uses.into_iter().filter_map(|(what, used, fix)| of_use(&format!("{what} {name} is"), used, fix)));
    problems
}

fn of_use(what: &str, used: Used, fix: &str) -> Option<NatsProblem> {
    used.high_percentage().map(|percent| note(format!("{what} used to {percent} %"), fix))
}

/// The first names, and how many others there are.
fn listed<'name>(names: impl Iterator<Item = &'name str>) -> Option<String> {
    let names: Vec<&str> = names.collect();
    let (first, others) = names.split_at(names.len().min(LISTED));
    match (first, others.len()) {
        ([], _) => None,
        (first, 0) => Some(first.join(", ")),
        (first, others) => Some(format!("{} and {others} more", first.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use skep_protocol::NatsReplica;

    use super::*;

    fn server(name: &str) -> NatsServer {
        NatsServer { name: Some(name.to_owned()), address: format!("{name}:8222"), ..NatsServer::default() }
    }

    fn stream(leader: Option<&str>) -> NatsStream {
        let leader = leader.map(str::to_owned);
        NatsStream { name: "SKEP_INVOKE".to_owned(), replicas: 3, leader, ..NatsStream::default() }
    }

    fn said(servers: &[NatsServer], leader: Option<&str>, streams: &[NatsStream]) -> Vec<(String, bool)> {
        let meta = Meta { leader: leader.map(str::to_owned), cluster_size: 3, quorum_needed: 2 };
        problems(servers, Some(&meta), streams).into_iter().map(|problem| (problem.what, problem.is_wrong)).collect()
    }

    #[test]
    fn a_whole_cluster_has_no_problem_and_a_lost_majority_says_what_it_means() {
        let mut servers = ["a", "b", "c"].map(server);
        assert_eq!(said(&servers, Some("a"), &[stream(Some("b"))]), []);
        for server in &mut servers[1..] {
            (server.name, server.away) = (None, Some("refused".to_owned()));
        }
        let said = said(&servers, None, &[stream(None)]);
        assert!(said[2].0.contains("1 of 3 NATS servers answer, and 2 are needed: nothing is accepted"), "{said:?}");
        assert!(said.len() == 4 && said.iter().all(|(_, is_wrong)| *is_wrong), "{said:?}");
    }

    #[test]
    fn a_replica_that_is_behind_is_a_note_and_one_that_is_offline_is_wrong() {
        let servers = ["a", "b", "c"].map(server);
        let behind = |offline| {
            let replica = NatsReplica { server: "c".to_owned(), lag: 9, offline };
            let streams = vec![NatsStream { behind: vec![replica], ..stream(Some("a")) }; 5];
            said(&servers, Some("a"), &streams).remove(0)
        };
        let names = "SKEP_INVOKE, SKEP_INVOKE, SKEP_INVOKE and 2 more";
        assert_eq!(behind(false), (format!("c is not up to date (up to 9 behind) in {names}"), false));
        assert_eq!(behind(true), (format!("c is offline and lacks what is new in {names}"), true));
    }

    #[test]
    fn what_is_almost_used_up_and_a_clock_that_differs_are_reported() {
        let mut one = server("a");
        one.storage = Used { used: 81, limit: Some(100) };
        one.connections = Used { used: 79, limit: Some(100) };
        one.clock_ahead_seconds = -3.0;
        let said =
            said(&[one], Some("a"), &[NatsStream { bytes: Used { used: 99, limit: Some(100) }, ..stream(Some("a")) }]);
        let said: Vec<&str> = said.iter().map(|(what, _)| what.as_str()).collect();
        let expected = [
            "the clock of a differs from this machine's by -3.0 s",
            "the storage of a is used to 81 %",
            "the stream SKEP_INVOKE is used to 99 %",
        ];
        assert_eq!(said, expected);
    }
}
