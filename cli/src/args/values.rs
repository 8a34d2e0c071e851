//! How settings are read that are more than a word or a number.

use std::time::Duration;

use skep_protocol::{DefaultNamespace, Subjects};

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let duration = skep_protocol::parse_duration(text).map_err(|error| error.to_string())?;
    if duration.is_zero() {
        return Err("must be more than nothing".to_owned());
    }
    Ok(duration)
}

/// A number with a unit, or of bytes.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit: u64 = match &text[digits.len()..] {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err("its unit must be B, KB, MB, GB, KiB, MiB or GiB".to_owned()),
    };
    let number: u64 =
        digits.trim().parse().map_err(|_| "must be a whole number with a unit, like 512MiB".to_owned())?;
    number.checked_mul(unit).filter(|&bytes| bytes > 0).ok_or_else(|| "is out of range".to_owned())
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
