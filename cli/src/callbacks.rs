//! Where callbacks may go: what `skep up` allows by itself, and what skep listens on, where they never go.

use std::{net::SocketAddr, time::Duration};

use skep_bus::{Monitors, ServerUrls};
use skep_queue_worker::{Allowance, CallbackRules};
use tokio::{net::lookup_host, time::timeout};

use crate::nats::Nats;

const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// What somebody must be to have callbacks to this machine from `skep up` without `--callback-allow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loopback {
    /// For every caller: only this machine reaches skep, and changes need a password.
    Anybody,
    /// Callers of this machine: only it reaches skep, but maybe through a proxy.
    LocalCallers,
    Nobody,
}

impl Loopback {
    /// The default of `skep up`, by what it listens on.
    pub(crate) fn of(listeners: &[SocketAddr], has_own_nats: bool, has_password: bool) -> Self {
        match listeners.iter().all(|listener| listener.ip().is_loopback()) && has_own_nats {
            false => Self::Nobody,
            true if has_password => Self::Anybody,
            true => Self::LocalCallers,
        }
    }

    /// The rules with this default.
    pub(crate) fn rules(self, own: Vec<SocketAddr>) -> CallbackRules {
        let loopback = vec![Allowance::loopback()];
        let (allow, local) = match self {
            Self::Anybody => (loopback, Vec::new()),
            Self::LocalCallers => (Vec::new(), loopback),
            Self::Nobody => (Vec::new(), Vec::new()),
        };
        CallbackRules { allow, local, own }
    }

    /// The line about it in the start report.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Anybody => "public addresses and this machine (--callback-allow permits others)",
            Self::LocalCallers => {
                "public addresses, and this machine for calls that come from it (--callback-allow permits others)"
            }
            Self::Nobody => "public addresses (--callback-allow permits others)",
        }
    }
}

/// The addresses of NATS servers and of their monitoring ports; a name that cannot be looked up now is left out.
pub(crate) async fn addresses_of(nats: &Nats) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for host in hosts(&nats.servers, &nats.monitors) {
        if let Ok(Ok(found)) = timeout(LOOKUP_TIMEOUT, lookup_host(host)).await {
            addresses.extend(found);
        }
    }
    addresses
}

fn hosts(servers: &ServerUrls, monitors: &Monitors) -> Vec<(String, u16)> {
    let monitors = monitors.addresses().iter().filter_map(|url| {
        let host = url.host_str()?.trim_matches(['[', ']']);
        Some((host.to_owned(), url.port_or_known_default()?))
    });
    servers.hosts().chain(monitors).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_open_only_while_nobody_else_reaches_skep() {
        let listeners = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let here = listeners(&["127.0.0.1:8080", "[::1]:8082", "127.0.0.1:4222"]);
        assert_eq!(Loopback::of(&here, true, true), Loopback::Anybody);
        assert_eq!(Loopback::of(&here, true, false), Loopback::LocalCallers);
        assert_eq!(Loopback::of(&here, false, true), Loopback::Nobody, "who reaches that server is not known");
        for other in ["0.0.0.0:8080", "[::]:8080", "10.0.0.1:8080"] {
            let all = [here.clone(), listeners(&[other])].concat();
            assert_eq!(Loopback::of(&all, true, true), Loopback::Nobody, "{other}");
        }
        assert!(Loopback::LocalCallers.rules(Vec::new()).allow.is_empty());
        assert!(Loopback::Nobody.rules(Vec::new()).local.is_empty());
    }
}
