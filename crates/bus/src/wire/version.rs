//! The version of what is stored, so that work which waits in the queue survives an upgrade, or says why not.
//!
//! A reader takes every message of its own major version: a newer minor version only has headers that it need not know.
//! A newer major version is refused with a clear reason; a queued call becomes a dead letter then, and can be redriven later.

use async_nats::HeaderMap;

use super::{Unreadable, text};

const VERSION: &str = "Skep-Version";
/// What this program writes. The minor version grows with each header that an older reader may pass over.
const CURRENT: &str = "1.0";
const MAJOR: u64 = 1;

pub(crate) fn add(headers: &mut HeaderMap) {
    headers.insert(VERSION, CURRENT);
}

/// Checks that a message can be read. One without a version is from before there were versions, and is read as 1.0.
pub(crate) fn check(headers: &HeaderMap) -> Result<(), Unreadable> {
    let Some(version) = text(headers, VERSION) else { return Ok(()) };
    match version.split_once('.').and_then(|(major, _)| major.parse::<u64>().ok()) {
        Some(major) if major <= MAJOR => Ok(()),
        Some(_) => Err(format!(
            "a newer skep has written it, in version {version} of the format, and this one reads versions up to {MAJOR}.x: upgrade skep, then redrive it"
        )),
        None => Err(format!("{VERSION}: {version:?} is not MAJOR.MINOR")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_minor_version_is_read_and_a_newer_major_one_is_refused() {
        let checked = |version: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(VERSION, version);
            check(&headers)
        };
        assert!(check(&HeaderMap::new()).is_ok());
        assert!(["1.0", "1.7", "0.9"].map(checked).iter().all(Result::is_ok));
        assert!(checked("2.0").unwrap_err().contains("upgrade skep"));
        assert!(["", "1", "x.0", "-1.0", "99999999999999999999.0"].map(checked).iter().all(Result::is_err));
        let mut written = HeaderMap::new();
        add(&mut written);
        assert!(check(&written).is_ok() && CURRENT.starts_with(&format!("{MAJOR}.")));
    }
}
