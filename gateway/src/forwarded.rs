//! Where a call came from, as functions see it: only a trusted proxy is believed about it.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use http::{HeaderMap, HeaderName, HeaderValue, header::Entry};
use ipnet::IpNet;
use skep_http::Peer;
use skep_protocol::{headers, remove_forwarding};

/// The proxies whose `X-Forwarded-…`, `X-Real-IP` and `Forwarded` are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl Default for TrustedProxies {
    /// Only a program of this machine comes from loopback, usually the reverse proxy.
    fn default() -> Self {
        Self(skep_networks::loopback())
    }
}

impl FromStr for TrustedProxies {
    type Err = String;

    /// Reads addresses, networks, `loopback` and `private`, separated by commas; or `none`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim() == "none" {
            return Ok(Self(Vec::new()));
        }
        let networks = skep_networks::list(text);
        networks.map(Self).map_err(|wrong| {
            format!("{wrong:?} must be an address, a network as 10.0.0.0/8, loopback, private or none")
        })
    }
}

impl TrustedProxies {
    pub fn networks(&self) -> &[IpNet] {
        &self.0
    }

    fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whose request this is, before anything has been done to its headers: of the addresses that trusted proxies tell, the last one that is not a proxy of ours.
    /// `None` for a program of this machine, and for a proxy that names no address.
    pub(crate) fn caller(&self, peer: &Peer, headers: &HeaderMap) -> Option<IpAddr> {
        let caller = if self.contain(peer.address) { self.forwarded(headers)? } else { peer.address };
        (!caller.is_loopback()).then_some(caller)
    }

    /// The address that a request came from, also if that is of this machine.
    pub(crate) fn sender(&self, peer: &Peer, headers: &HeaderMap) -> IpAddr {
        let client = if self.contain(peer.address) { self.forwarded(headers) } else { None };
        client.unwrap_or(peer.address)
    }

    fn forwarded(&self, headers: &HeaderMap) -> Option<IpAddr> {
        for line in headers.get_all(headers::FORWARDED_FOR).iter().rev() {
            for entry in line.to_str().ok()?.rsplit(',') {
                let address = address_of(entry.trim())?;
                if !self.contain(address) {
                    return Some(address);
                }
            }
        }
        None
    }

    /// Writes into a request's headers where it came from; `has_some` tells that its sender did so.
    pub(crate) fn stamp(&self, headers: &mut HeaderMap, peer: &Peer, host: Option<HeaderValue>, has_some: bool) {
        if has_some && !self.contain(peer.address) {
            remove_forwarding(headers);
        }
        if let Some(host) = host {
            headers.entry(headers::FORWARDED_HOST).or_insert(host);
        }
        append_to_list(headers, headers::FORWARDED_FOR, &peer.ip);
        let scheme = if peer.is_encrypted { "https" } else { "http" };
        headers.entry(headers::FORWARDED_PROTO).or_insert(HeaderValue::from_static(scheme));
    }
}

/// An entry of `X-Forwarded-For`; some proxies write a port behind the address.
fn address_of(entry: &str) -> Option<IpAddr> {
    let address = entry.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let address = address.or_else(|_| entry.parse::<SocketAddr>().map(|address| address.ip()));
    Some(address.ok()?.to_canonical())
}

/// Adds to a comma-separated list; several lines become one, for many functions read only the first.
fn append_to_list(headers: &mut HeaderMap, name: HeaderName, last: &HeaderValue) {
    match headers.entry(name) {
        Entry::Vacant(entry) => {
            entry.insert(last.clone());
        }
        Entry::Occupied(mut entry) => {
            let given: Vec<_> = entry.iter().chain([last]).map(HeaderValue::as_bytes).collect();
            if let Ok(list) = HeaderValue::from_bytes(&given.join(&b", "[..])) {
                entry.insert(list);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The headers that a function gets, of a request that came from an address.
    fn forwarded(trusted: &TrustedProxies, from: &str) -> Vec<(String, String)> {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2"),
            ("x-forwarded-host", "outer"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-port", "443"),
            ("x-real-ip", "1.1.1.1"),
            ("forwarded", "for=1.1.1.1"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let peer = Peer::new(from.parse().unwrap(), false);
        trusted.stamp(&mut headers, &peer, Some(HeaderValue::from_static("inner")), true);
        let mut forwarded: Vec<_> =
            headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        forwarded.sort();
        forwarded
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_added_to_the_list() {
        let believed = [
            ("forwarded", "for=1.1.1.1"),
            ("x-forwarded-for", "1.1.1.1, 2.2.2.2, 10.0.0.7"),
            ("x-forwarded-host", "outer"),
            ("x-forwarded-port", "443"),
            ("x-forwarded-proto", "https"),
            ("x-real-ip", "1.1.1.1"),
        ];
        for trusted in ["10.0.0.7", "private", "192.0.2.1,10.0.0.0/24"] {
            assert_eq!(forwarded(&trusted.parse().unwrap(), "[::ffff:10.0.0.7]:4711"), pairs(&believed), "{trusted}");
        }
    }

    #[test]
    fn nobody_else_is() {
        let replaced =
            |ip| pairs(&[("x-forwarded-for", ip), ("x-forwarded-host", "inner"), ("x-forwarded-proto", "http")]);
        assert_eq!(forwarded(&TrustedProxies::default(), "10.0.0.7:1"), replaced("10.0.0.7"));
        assert_eq!(forwarded(&"none".parse().unwrap(), "127.0.0.1:1"), replaced("127.0.0.1"));
        assert_ne!(forwarded(&TrustedProxies::default(), "[::1]:1"), replaced("::1"));
    }

    #[test]
    fn the_caller_is_the_last_address_that_is_no_proxy() {
        let trusted: TrustedProxies = "loopback,10.0.0.0/8".parse().unwrap();
        let caller = |from: &str, lines: &[&'static str]| {
            let peer = Peer::new(from.parse().unwrap(), false);
            let lines = lines.iter().map(|line| (headers::FORWARDED_FOR, HeaderValue::from_static(line)));
            let mut headers = HeaderMap::new();
            lines.for_each(|(name, value)| _ = headers.append(name, value));
            trusted.caller(&peer, &headers).map(|address| address.to_string())
        };
        for (from, lines, expected) in [
            ("192.0.2.1:1", &[][..], Some("192.0.2.1")),
            ("192.0.2.1:1", &["192.0.2.2"], Some("192.0.2.1")),
            ("127.0.0.1:1", &["192.0.2.2, 192.0.2.3"], Some("192.0.2.3")),
            ("127.0.0.1:1", &["192.0.2.2", "192.0.2.3,10.0.0.1"], Some("192.0.2.3")),
            ("[::ffff:10.0.0.1]:1", &["192.0.2.2", "10.0.0.1, 127.0.0.1"], Some("192.0.2.2")),
            ("10.0.0.1:1", &["192.0.2.2:4711"], Some("192.0.2.2")),
            ("10.0.0.1:1", &["[2001:db8::1]:4711"], Some("2001:db8::1")),
            ("10.0.0.1:1", &["[2001:db8::1]"], Some("2001:db8::1")),
            ("10.0.0.1:1", &["::ffff:192.0.2.2"], Some("192.0.2.2")),
            ("10.0.0.1:1", &["192.0.2.2, unknown"], None),
            ("10.0.0.1:1", &["10.0.0.2, 127.0.0.1"], None),
            ("127.0.0.1:1", &[], None),
            ("[::1]:1", &[""], None),
        ] {
            assert_eq!(caller(from, lines).as_deref(), expected, "{from} {lines:?}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in ["", "10.0.0.0/33", "proxy.example", "none,10.0.0.1", "10.0.0.1,"] {
            assert!(bad.parse::<TrustedProxies>().is_err(), "{bad}");
        }
    }
}
