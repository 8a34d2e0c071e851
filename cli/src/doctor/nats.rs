//! The NATS servers and the way to them: names, connections, requests, clocks, leaders, replicas, and what is almost full.

use std::{
    fs,
    net::IpAddr,
    time::{Duration, Instant},
};

use skep_bus::{Login, Measured, Monitors, ServerUrls, Way};
use skep_protocol::{NatsHealth, Subjects};
use tokio::{net::lookup_host, time::timeout};
use url::Url;

use crate::swarm::finding::Finding;

const NAME_TIMEOUT: Duration = Duration::from_secs(5);
const SLOW_NAME: Duration = Duration::from_millis(200);
/// From here on, accepting a call takes longer because of the way than because of the disk.
const SLOW_WAY: Duration = Duration::from_millis(20);
/// What a large message may take beyond a small one.
const SLOW_LARGE: Duration = Duration::from_millis(500);
/// Bytes that VXLAN adds to each packet of an overlay network.
const VXLAN: u32 = 50;

pub(super) async fn look(
    servers: &ServerUrls,
    login: Option<&Login>,
    monitors: &[Url],
    subjects: &Subjects,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (host, _) in servers.hosts() {
        findings.extend(name(&host).await);
    }
    let way = Way::measure(servers, login, subjects).await;
    findings.extend(way.greetings.iter().map(|(address, measured)| greeting(address, measured)));
    findings.push(small(&way.small));
    if let Ok(small) = way.small {
        findings.push(large(&way.large, small, &mtus()));
    }
    if monitors.is_empty() {
        findings.push(Finding::note("leaders and replicas are not known without --nats-monitor"));
    } else {
        findings.extend(health(&Monitors::At(monitors.to_vec()).health(subjects).await));
    }
    findings
}

/// How long it takes to find a server by its name; nothing to say of an address.
async fn name(host: &str) -> Option<Finding> {
    if host.parse::<IpAddr>().is_ok() {
        return None;
    }
    let began = Instant::now();
    let found = timeout(NAME_TIMEOUT, lookup_host((host, 0))).await;
    let took = began.elapsed();
    let fix = "look at /etc/resolv.conf and at the name server; a connection that is lost waits for it each time";
    Some(match found {
        Ok(Ok(mut addresses)) => match addresses.next() {
            Some(address) if took < SLOW_NAME => {
                Finding::fine(format!("{host} is {}, found in {took:.1?}", address.ip()))
            }
            Some(address) => Finding::wrong(format!("{host} is {}, found only after {took:.1?}", address.ip()), fix),
            None => Finding::wrong(format!("{host} has no address"), fix),
        },
        Ok(Err(error)) => Finding::wrong(format!("{host} is not found, after {took:.1?}: {error}"), fix),
        Err(_) => Finding::wrong(format!("{host} is not found within {} s", NAME_TIMEOUT.as_secs()), fix),
    })
}

fn greeting(address: &str, measured: &Measured) -> Finding {
    match measured {
        Ok(took) if *took < SLOW_WAY => Finding::fine(format!("{address} answers after {took:.1?}")),
        Ok(took) => Finding::note(format!("{address} answers only after {took:.1?}: it is far away or busy")),
        Err(reason) => Finding::wrong(
            format!("{address} accepts no connection: {reason}"),
            "is it running, and does a firewall let its port pass?",
        ),
    }
}

fn small(measured: &Measured) -> Finding {
    match measured {
        Ok(took) if *took < SLOW_WAY => Finding::fine(format!("a request to NATS takes {took:.1?}")),
        Ok(took) => {
            Finding::note(format!("a request to NATS takes {took:.1?}, and accepting a call takes longer than that"))
        }
        Err(reason) => Finding::wrong(
            format!("a request to NATS is not answered: {reason}"),
            "without a leader of the cluster nothing is answered; else look at the user and the password",
        ),
    }
}

fn large(measured: &Measured, small: Duration, mtus: &str) -> Finding {
    match measured {
        Ok(took) if *took < small + SLOW_LARGE => Finding::fine(format!("a message of 256 KiB takes {took:.1?}{mtus}")),
        Ok(took) => Finding::note(format!("a message of 256 KiB takes {took:.1?}, a small one {small:.1?}{mtus}")),
        Err(reason) => Finding::wrong(
            format!("a message of 256 KiB does not get through, although a small one does: {reason}{mtus}"),
            format!(
                "something on the way drops large packets: the network below an overlay must carry {VXLAN} bytes more than its MTU"
            ),
        ),
    }
}

/// The MTU of each interface, to be read behind something else.
fn mtus() -> String {
    let Ok(interfaces) = fs::read_dir("/sys/class/net") else { return String::new() };
    let mut found: Vec<String> = interfaces
        .flatten()
        .filter(|interface| interface.file_name() != "lo")
        .filter_map(|interface| {
            let mtu = fs::read_to_string(interface.path().join("mtu")).ok()?;
            Some(format!("{} {}", interface.file_name().to_string_lossy(), mtu.trim()))
        })
        .collect();
    found.sort_unstable();
    found.truncate(4);
    if found.is_empty() { String::new() } else { format!("; MTU: {}", found.join(", ")) }
}

pub(super) fn health(health: &NatsHealth) -> Vec<Finding> {
    let summary = health.summary();
    let mut findings: Vec<Finding> = health
        .problems
        .iter()
        .map(|problem| {
            if problem.is_wrong {
                Finding::wrong(&problem.what, &problem.fix)
            } else {
                Finding::note(format!("{}: {}", problem.what, problem.fix))
            }
        })
        .collect();
    let first = if findings.iter().any(Finding::is_wrong) { Finding::note(summary) } else { Finding::fine(summary) };
    findings.insert(0, first);
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(time: u64) -> Measured {
        Ok(Duration::from_millis(time))
    }

    #[test]
    fn a_way_that_drops_large_packets_is_said_to() {
        let small = Duration::from_millis(1);
        let Finding::Wrong { what, fix } = large(&Err("timed out".to_owned()), small, "; MTU: eth0 1500") else {
            panic!()
        };
        assert!(what.contains("although a small one does") && what.contains("eth0 1500") && fix.contains("50 bytes"));
        assert!(matches!(large(&milliseconds(30), small, ""), Finding::Fine(_)));
        assert!(matches!(large(&milliseconds(900), small, ""), Finding::Note(_)));
    }

    #[test]
    fn what_is_slow_is_a_note_and_what_does_not_answer_is_wrong() {
        assert!(matches!(greeting("a:1", &milliseconds(1)), Finding::Fine(_)));
        assert!(matches!(greeting("a:1", &milliseconds(40)), Finding::Note(_)));
        assert!(greeting("a:1", &Err("refused".to_owned())).is_wrong());
        assert!(matches!(small(&milliseconds(40)), Finding::Note(_)));
        assert!(small(&Err("timed out".to_owned())).is_wrong());
    }

    #[tokio::test]
    async fn names_are_looked_up_and_addresses_are_not() {
        assert!(name("127.0.0.1").await.is_none());
        // It may take long on a busy machine.
        let (Finding::Fine(what) | Finding::Note(what) | Finding::Wrong { what, .. }) =
            name("localhost").await.unwrap();
        assert!(what.contains(", found "), "{what}");
        assert!(name("no-such-host.invalid").await.is_some_and(|finding| finding.is_wrong()));
    }
}
