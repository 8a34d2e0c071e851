//! Parsers of settings that are more than a word or a number.

use std::time::Duration;

use skep_protocol::{DefaultNamespace, Subjects};
use url::Url;

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let duration = skep_protocol::parse_duration(text).map_err(|error| error.to_string())?;
    if duration.is_zero() {
        return Err("must be more than nothing".to_owned());
    }
    Ok(duration)
}

/// An address of the gateway; `/hooks/NAME` is written behind it.
pub(super) fn public_url(text: &str) -> Result<Url, String> {
    let url: Option<Url> = text.parse().ok();
    let is_plain = |url: &Url| {
        let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
        is_http && url.query().is_none() && url.fragment().is_none() && url.username().is_empty()
    };
    url.filter(is_plain)
        .ok_or_else(|| "must be an address such as https://hooks.example.com, without a query".to_owned())
}

pub(super) fn replicas(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|replicas| (1..=5).contains(replicas)).ok_or_else(|| "must be from 1 to 5".to_owned())
}

pub(super) fn subjects(text: &str) -> Result<Subjects, String> {
    Subjects::new(text).map_err(|error| error.to_string())
}

pub(super) fn default_namespace(text: &str) -> Result<DefaultNamespace, String> {
    text.parse().map_err(|error: skep_protocol::NameError| error.to_string())
}

pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("must be a whole number from 1".to_owned()),
        Ok(number) => Ok(number),
    }
}

/// A host without a port, as it is compared with a request's `Host`.
pub(super) fn host(text: &str) -> Result<String, String> {
    let is_name = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    let host = text.trim().trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || !(is_name(host) || host.parse::<std::net::IpAddr>().is_ok()) {
        return Err("must be a host name or an address, without a scheme, a port or a path".to_owned());
    }
    Ok(host.to_owned())
}
