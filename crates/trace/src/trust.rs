//! Whose `traceparent` decides anything.

use std::{net::IpAddr, str::FromStr};

use ipnet::IpNet;

/// Whose `traceparent` is gone on with: a call of theirs belongs to their trace, and they decide whether it is sampled.
///
/// Calls of all others begin a trace of their own, which links to theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    All,
    None,
    Networks(Vec<IpNet>),
}

impl Default for Trust {
    /// Programs of this machine.
    fn default() -> Self {
        Self::Networks(skep_networks::loopback())
    }
}

impl Trust {
    /// Whether a request that came from this address is trusted.
    pub fn includes(&self, address: IpAddr) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Networks(networks) => networks.iter().any(|network| network.contains(&address)),
        }
    }

    /// Whether a message on NATS is trusted: its publisher has shown NATS a login.
    pub fn includes_publishers(&self) -> bool {
        *self != Self::None
    }
}

impl FromStr for Trust {
    type Err = String;

    /// Reads `all`, `none`, or addresses, networks, `loopback` and `private`, separated by commas.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "all" => return Ok(Self::All),
            "none" => return Ok(Self::None),
            _ => {}
        }
        let networks = skep_networks::list(text).map_err(|wrong| {
            format!("{wrong:?} must be an address, a network as 10.0.0.0/8, loopback or private, or alone all or none")
        });
        networks.map(Self::Networks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_trusted() {
        let trusts =
            |setting: &str, address: &str| setting.parse::<Trust>().unwrap().includes(address.parse().unwrap());
        assert_eq!("loopback".parse(), Ok(Trust::default()));
        assert!(trusts("loopback", "127.0.0.9") && trusts("loopback", "::1") && !trusts("loopback", "10.0.0.1"));
        assert!(trusts("private, 192.0.2.1", "192.0.2.1") && trusts("private", "10.9.9.9"));
        assert!(trusts("all", "198.51.100.1") && !trusts("none", "127.0.0.1"));
        assert!(Trust::All.includes_publishers() && !Trust::None.includes_publishers());
        for bad in ["", "all,loopback", "10.0.0.0/33", "everybody"] {
            assert!(bad.parse::<Trust>().is_err(), "{bad}");
        }
    }
}
