//! Networks as settings and declarations name them: `10.0.0.0/8`, `192.0.2.1`, `loopback`, `private`.

use std::net::IpAddr;

use ipnet::IpNet;

const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];
const PRIVATE: [&str; 4] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];

/// This machine.
pub fn loopback() -> Vec<IpNet> {
    table(&LOOPBACK)
}

/// The networks of sites.
pub fn private() -> Vec<IpNet> {
    table(&PRIVATE)
}

/// Reads a table that is part of a program; what is no network is left out.
pub fn table(networks: &[&str]) -> Vec<IpNet> {
    networks.iter().filter_map(|network| network.parse().ok()).collect()
}

/// Reads a network, or an address, which is the network of that address alone.
pub fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// Reads addresses, networks, `loopback` and `private`, separated by commas.
///
/// # Errors
///
/// The first part that is none of them.
pub fn list(text: &str) -> Result<Vec<IpNet>, &str> {
    let mut networks = Vec::new();
    for part in text.split(',').map(str::trim) {
        match part {
            "loopback" => networks.extend(loopback()),
            "private" => networks.extend(private()),
            other => networks.push(network(other).ok_or(other)?),
        }
    }
    Ok(networks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_networks_and_words_are_read_from_a_list() {
        let contains = |text: &str, address: &str| {
            list(text).unwrap().iter().any(|network| network.contains(&address.parse::<IpAddr>().unwrap()))
        };
        assert!(contains("loopback", "127.0.0.9") && contains("loopback", "::1") && !contains("loopback", "10.0.0.1"));
        assert!(contains("private, 192.0.2.1", "192.0.2.1") && !contains("private, 192.0.2.1", "192.0.2.2"));
        for inside in ["10.9.9.9", "172.31.0.1", "192.168.0.1", "fd00::1"] {
            assert!(contains("private", inside), "{inside}");
        }
        assert!(!contains("private", "172.32.0.1") && contains("2001:db8::/32", "2001:db8::1"));
        for (text, wrong) in [
            ("", ""),
            ("10.0.0.1,", ""),
            ("10.0.0.0/33", "10.0.0.0/33"),
            ("loopback,proxy.example", "proxy.example"),
            ("192.0.2.1:80", "192.0.2.1:80"),
        ] {
            assert_eq!(list(text), Err(wrong), "{text}");
        }
    }

    #[test]
    fn tables_have_no_errors() {
        assert_eq!((loopback().len(), private().len()), (LOOPBACK.len(), PRIVATE.len()));
    }
}
