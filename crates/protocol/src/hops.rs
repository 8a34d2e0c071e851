//! How many events and callbacks led to a call, which bounds functions that trigger each other.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::headers::SKEP_HOPS;

/// A call that more hops led to is not run.
pub const MAX_HOPS: u64 = 16;
/// The same header in a NATS message: the hops of the call that has published it.
pub const HOPS_IN_MESSAGE: HeaderName = HeaderName::from_static("skep-hops");

/// How many hops led to a call; none is said of one that nothing else has caused.
pub fn hops(headers: &HeaderMap) -> Option<u64> {
    headers.get(SKEP_HOPS)?.to_str().ok()?.parse().ok()
}

/// Says how many hops led to a call.
pub fn set_hops(headers: &mut HeaderMap, hops: u64) {
    headers.insert(SKEP_HOPS, HeaderValue::from(hops));
}

/// Why a call that this many hops led to is not run.
pub fn check_hops(hops: u64) -> Result<(), String> {
    if hops <= MAX_HOPS { Ok(()) } else { Err(format!("{hops} hops: functions trigger each other")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_are_read_as_they_were_written_and_end() {
        let mut headers = HeaderMap::new();
        assert_eq!(hops(&headers), None);
        set_hops(&mut headers, 16);
        assert_eq!(hops(&headers), Some(16));
        assert_eq!(check_hops(16), Ok(()));
        assert_eq!(check_hops(17).unwrap_err(), "17 hops: functions trigger each other");
        headers.insert(SKEP_HOPS, HeaderValue::from_static("-1"));
        assert_eq!(hops(&headers), None);
    }
}
