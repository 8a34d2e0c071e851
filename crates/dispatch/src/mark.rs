//! How to tell the watchdog's own answers from the function's: they repeat a mark that came with the request.
//!
//! A watchdog never passes the mark to a function, so no function can answer in the platform's name.
//! Other watchdogs repeat nothing, so all their answers count as the function's.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderValue};
use skep_protocol::headers::{SKEP_MARK, remove_platform_words};
use uuid::Uuid;

/// This process's mark. It is static, so that a clone counts nothing.
static MARK: LazyLock<HeaderValue> = LazyLock::new(|| {
    let mark: &'static str = Uuid::new_v4().simple().to_string().leak();
    HeaderValue::from_static(mark)
});

pub(crate) fn put_on(request: &mut HeaderMap) {
    request.insert(SKEP_MARK, MARK.clone());
}

/// Leaves words of the platform in an answer only if the watchdog made it.
pub(crate) fn take_off(answer: &mut HeaderMap) {
    if answer.remove(SKEP_MARK).as_ref() != Some(&*MARK) {
        remove_platform_words(answer);
    }
}

#[cfg(test)]
mod tests {
    use skep_protocol::headers::SKEP_ERROR;

    use super::*;

    #[test]
    fn words_of_the_platform_count_with_the_mark_alone() {
        let said = |mark: Option<HeaderValue>| {
            let mut answer = HeaderMap::new();
            answer.insert(SKEP_ERROR, HeaderValue::from_static("upstream"));
            answer.extend(mark.map(|mark| (SKEP_MARK, mark)));
            take_off(&mut answer);
            assert!(!answer.contains_key(SKEP_MARK), "it stays inside");
            answer.contains_key(SKEP_ERROR)
        };
        let mut request = HeaderMap::new();
        put_on(&mut request);
        assert!(said(request.remove(SKEP_MARK)));
        assert!(!said(None) && !said(Some(HeaderValue::from_static("guessed"))));
    }
}
