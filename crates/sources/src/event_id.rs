//! Which event it is, and which call of it a route makes.

use std::fmt::Write;

use sha2::{Digest, Sha256};
use skep_protocol::EventId;
use url::form_urlencoded;

use crate::Request;

/// The longest id of a sender that is taken as it is.
const MAX_SENDERS_ID: usize = 64;
const EVENT_DIGITS: usize = 40;

/// The id of an event from what the sender calls it: as it is if it can be, else a hash of it.
pub(crate) fn of_sender(text: &[u8]) -> EventId {
    let as_it_is = std::str::from_utf8(text).ok().filter(|text| text.len() <= MAX_SENDERS_ID);
    as_it_is.and_then(|text| text.parse().ok()).unwrap_or_else(|| hashed("h", &[text]))
}

/// A text of skep's own making as an id, or a hash of it if it is too long for one.
pub(crate) fn of_own(text: &str) -> EventId {
    text.parse().unwrap_or_else(|_| hashed("h", &[text.as_bytes()]))
}

/// The same id for the same request: method, path, query and body; parameters of the query that `volatile` names do not count.
pub(crate) fn of_content(request: &Request<'_>, volatile: &[String]) -> EventId {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(request.query.unwrap_or_default().as_bytes()) {
        if !volatile.iter().any(|volatile| *volatile == name) {
            query.append_pair(&name, &value);
        }
    }
    let parts = [request.method.as_str(), request.path.trim_end_matches('/'), &query.finish()];
    let [method, path, query] = parts.map(str::as_bytes);
    hashed("b", &[method, path, query, request.body])
}

/// An id of several texts that are one identity together.
pub(crate) fn of_parts(parts: &[&[u8]]) -> EventId {
    hashed("h", parts)
}

/// Makes an id one of its own, where a source takes repeated events.
pub(crate) fn repeatable(id: &EventId) -> EventId {
    made(&format!("{id}-{}", EventId::generate()))
}

fn hashed(prefix: &str, parts: &[&[u8]]) -> EventId {
    let mut hash = Sha256::new();
    if let [only] = parts {
        hash.update(only);
    } else {
        for part in parts {
            // The length keeps one part apart from the next.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    made(&format!("{prefix}{}", hex(&hash.finalize(), EVENT_DIGITS)))
}

/// What is given is short, and has only letters, digits and hyphens.
fn made(text: &str) -> EventId {
    text.parse().unwrap_or_else(|_| EventId::generate())
}

fn hex(bytes: &[u8], digits: usize) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.truncate(digits);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Sent;

    #[test]
    fn a_senders_id_is_taken_as_it_is_or_hashed() {
        let longest = "x".repeat(64);
        for good in ["evt_1-A", &longest] {
            assert_eq!(of_sender(good.as_bytes()).as_str(), good);
        }
        let longer = "x".repeat(65);
        for other in ["a.b", "a b", "ü", "*", &longer] {
            let id = of_sender(other.as_bytes());
            assert_eq!((id.as_str().len(), &id.as_str()[..1]), (41, "h"), "{other}");
            assert_eq!(id, of_sender(other.as_bytes()));
        }
        assert_ne!(of_sender(b"a.b"), of_sender(b"a-b"));
        assert_ne!(of_sender(b"\xff"), of_sender(b"\xfe"));
    }

    #[test]
    fn the_same_content_has_the_same_id_and_any_other_has_not() {
        let volatile = ["sig".to_owned()];
        let id = |sent: &Sent| of_content(&sent.request(), &volatile);
        let usual = id(&Sent::new("body").path("/a").query("b=1"));
        assert_eq!((usual.as_str().len(), &usual.as_str()[..1]), (41, "b"));
        assert_eq!(usual, id(&Sent::new("body").path("/a/").query("sig=2&b=1").header("date", "now")));
        for other in [
            Sent::new("body ").path("/a").query("b=1"),
            Sent::new("body").path("/b").query("b=1"),
            Sent::new("body").path("/a").query("b=2"),
            Sent::new("body").path("/a"),
            Sent::new("b=1body").path("/a"),
            Sent { method: http::Method::PUT, ..Sent::new("body").path("/a").query("b=1") },
        ] {
            assert_ne!(usual, id(&other));
        }
    }

    #[test]
    fn a_repeatable_id_is_new_each_time_and_fits() {
        let id = of_sender(&[b'x'; 64]);
        let (one, two) = (repeatable(&id), repeatable(&id));
        assert!(one.as_str().starts_with(&format!("{id}-")) && one != two, "{one} {two}");
    }
}
