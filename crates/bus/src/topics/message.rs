//! One message, as it came.

use async_nats::HeaderMap as NatsHeaders;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use skep_protocol::{HOPS_IN_MESSAGE, remove_forged};

use crate::inbound::published::is_of_nats;

/// Headers of a publisher that are taken, and their bytes; what is beyond goes.
const MAX_HEADERS: usize = 100;
const MAX_HEADER_BYTES: usize = 24 * 1024;

/// A message of a topic.
#[derive(Clone, Debug)]
pub struct TopicMessage {
    pub subject: String,
    /// The publisher's headers; those of NATS and of skep stay behind.
    pub headers: HeaderMap,
    /// Headers that were left out, because they are no headers of HTTP or there are too many.
    pub left_out: usize,
    /// What its publisher calls it: `Nats-Msg-Id`.
    pub id: Option<String>,
    /// How many hops led to the call that has published it, if one did.
    pub hops: Option<u64>,
    pub body: Bytes,
}

impl TopicMessage {
    pub(crate) fn of(message: &async_nats::Message) -> Self {
        let given = message.headers.iter().flat_map(NatsHeaders::iter);
        let given = given.flat_map(|(name, values)| values.iter().map(move |value| (name.as_ref(), value.as_str())));
        Self::read(message.subject.as_str(), given, message.payload.clone())
    }

    pub(crate) fn read<'h>(subject: &str, given: impl Iterator<Item = (&'h str, &'h str)>, body: Bytes) -> Self {
        let mut message =
            Self { subject: subject.to_owned(), headers: HeaderMap::new(), left_out: 0, id: None, hops: None, body };
        let mut room = MAX_HEADER_BYTES;
        for (name, value) in given {
            if name.eq_ignore_ascii_case("nats-msg-id") {
                message.id = Some(value.to_owned()).filter(|id| !id.is_empty());
            } else if name.eq_ignore_ascii_case(HOPS_IN_MESSAGE.as_str()) {
                message.hops = value.parse().ok();
            }
            if is_of_nats(name) {
                continue;
            }
            let size = name.len() + value.len();
            let header = name.parse::<HeaderName>().ok().zip(HeaderValue::from_bytes(value.as_bytes()).ok());
            match (header, room.checked_sub(size)) {
                (Some((name, value)), Some(rest)) if message.headers.len() < MAX_HEADERS => {
                    room = rest;
                    message.headers.append(name, value);
                }
                _ => message.left_out += 1,
            }
        }
        remove_forged(&mut message.headers);
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_nats_and_of_skep_stay_behind_and_what_is_too_much_goes() {
        let long = "x".repeat(MAX_HEADER_BYTES);
        let given = [
            ("Nats-Msg-Id", "order-1"),
            ("nats-expected-stream", "S"),
            ("Nmqtt-Pub", "1"),
            ("KV-Operation", "DEL"),
            ("Skep-Hops", "3"),
            ("Skep-Version", "1"),
            ("X-Skep-Verified", "signature"),
            ("ce-id", "ü"),
            ("not a name", "1"),
            ("X-Long", &long),
            ("X-Own", "1"),
            ("X-Own", "2"),
        ];
        let message = TopicMessage::read("a.b", given.into_iter(), Bytes::from_static(b"body"));
        let mut names: Vec<_> = message.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["ce-id", "kv-operation", "x-own"]);
        assert_eq!(message.headers.get_all("x-own").iter().count(), 2);
        assert_eq!((message.id.as_deref(), message.hops, message.left_out), (Some("order-1"), Some(3), 2));
        let many = (0..200).map(|_| ("A", "b"));
        assert_eq!(TopicMessage::read("a", many, Bytes::new()).left_out, 100);
    }
}
