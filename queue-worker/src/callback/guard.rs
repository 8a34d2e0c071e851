//! Which addresses a callback may be posted to: callers choose the URL, so without a guard they could reach everything that the worker can.
//!
//! The guard checks the dialled address, not the name, so a name that resolves differently the next time gains nothing.
//! Without an allowance only global unicast addresses are dialled (the special-purpose registries of RFC 6890, as IANA keeps them).

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use thiserror::Error;

use super::own::Own;

/// Not reachable from everywhere, so not meant by a caller from elsewhere.
const SPECIAL: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    // Of IPv6 only 2000::/3 is global unicast; these are the exceptions in it: protocol assignments with Teredo, documentation, 6to4.
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
];
const GLOBAL_V6: &str = "2000::/3";
/// Where clouds tell a machine its secrets: only an allowance of that very address opens one.
const METADATA: &[&str] = &["169.254.169.254", "100.100.100.200", "168.63.129.16", "fd00:ec2::254"];

/// An exception from the guard: a network, an address, a host by name, `loopback` or `private`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowance {
    Networks(Vec<IpNet>),
    /// Lower case; with a dot in front all names below it.
    Host(String),
}

#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is no network (10.1.0.0/16), address, host name, \"loopback\" or \"private\"")]
pub struct AllowanceError(String);

impl Allowance {
    /// This machine.
    pub fn loopback() -> Self {
        Self::Networks(skep_networks::loopback())
    }
}

impl FromStr for Allowance {
    type Err = AllowanceError;

    fn from_str(text: &str) -> Result<Self, AllowanceError> {
        let text = text.trim().to_ascii_lowercase();
        match text.as_str() {
            "loopback" => return Ok(Self::loopback()),
            "private" => return Ok(Self::Networks(skep_networks::private())),
            _ => {}
        }
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Networks(vec![network.trunc()]));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Networks(vec![address.to_canonical().into()]));
        }
        let name = text.strip_prefix('*').unwrap_or(&text);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let is_name = name.chars().all(plain) && name.chars().any(|c| c.is_ascii_alphabetic());
        if is_name && (name.len() == text.len()) != name.starts_with('.') {
            return Ok(Self::Host(name.to_owned()));
        }
        Err(AllowanceError(text))
    }
}

/// Who called the function whose answer is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    OfThisMachine,
    Any,
}

/// What is asked for beside an address: for whom, and whether skep listens at the port of the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) caller: Caller,
    pub(crate) is_own_port: bool,
}

/// Why an address is not dialled.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) struct Forbidden {
    pub(crate) host: String,
    pub(crate) address: IpAddr,
    pub(crate) is_own: bool,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, address, is_own } = self;
        write!(formatter, "callbacks to {host}")?;
        if host.trim_matches(['[', ']']) != address.to_string() {
            write!(formatter, " ({address})")?;
        }
        formatter.write_str(match is_own {
            true => " are not allowed: skep itself listens there; skep://NAME calls a function",
            false => " are not allowed: it is no public address; --callback-allow (SKEP_CALLBACK_ALLOW) permits it",
        })
    }
}

/// What may be dialled.
#[derive(Clone)]
pub(crate) struct Guard {
    special: Vec<IpNet>,
    global_v6: Vec<IpNet>,
    metadata: Vec<IpAddr>,
    allowances: Vec<Allowance>,
    /// More of them for callers of this machine.
    local_allowances: Vec<Allowance>,
    own: Own,
}

impl Guard {
    pub(crate) fn new(allowances: Vec<Allowance>, local_allowances: Vec<Allowance>, own: Own) -> Self {
        Self {
            special: skep_networks::table(SPECIAL),
            global_v6: skep_networks::table(&[GLOBAL_V6]),
            metadata: METADATA.iter().filter_map(|address| address.parse().ok()).collect(),
            allowances,
            local_allowances,
            own,
        }
    }

    /// What a callback to this port asks for.
    pub(crate) fn wish(&self, caller: Caller, port: Option<u16>) -> Wish {
        Wish { caller, is_own_port: port.is_some_and(|port| self.own.has_port(port)) }
    }

    /// Judges an address that `host` stands for; an IPv4 address in the clothes of IPv6 is judged as what it is.
    pub(crate) fn check(&self, host: &str, address: IpAddr, wish: Wish) -> Result<(), Forbidden> {
        let dialled = address.to_canonical();
        let is_own = wish.is_own_port && self.own.has_address(dialled);
        let is_public = self.is_global(dialled) && !self.metadata.contains(&dialled);
        if !is_own && (is_public || self.is_allowed(host, dialled, wish.caller)) {
            return Ok(());
        }
        Err(Forbidden { host: host.to_owned(), address, is_own })
    }

    fn is_global(&self, address: IpAddr) -> bool {
        let within = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&address));
        !within(&self.special) && (address.is_ipv4() || within(&self.global_v6))
    }

    fn is_allowed(&self, host: &str, address: IpAddr, caller: Caller) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let is_metadata = self.metadata.contains(&address);
        let local: &[Allowance] = match caller {
            Caller::OfThisMachine => &self.local_allowances,
            Caller::Any => &[],
        };
        self.allowances.iter().chain(local).any(|allowance| match allowance {
            Allowance::Host(name) if name.starts_with('.') => host.ends_with(name.as_str()),
            Allowance::Host(name) => host == *name,
            Allowance::Networks(networks) => networks.iter().any(|network| {
                let is_exact = network.prefix_len() == network.max_prefix_len();
                network.contains(&address) && (is_exact || !is_metadata)
            }),
        })
    }
}

#[cfg(test)]
mod tests;
