//! HTTP header names of the contract, and which headers end at one hop.

use http::{HeaderMap, HeaderName, header};

use crate::inbound::is_end_to_end;

/// The id of a call; always on the answer.
pub const CALL_ID: HeaderName = HeaderName::from_static("x-call-id");
/// Unix time in nanoseconds at which a call reached an entry point; appended at each one.
pub const START_TIME: HeaderName = HeaderName::from_static("x-start-time");
/// Where the answer of an asynchronous call is posted.
pub const CALLBACK_URL: HeaderName = HeaderName::from_static("x-callback-url");
/// On a callback: which function ran.
pub const FUNCTION_NAME: HeaderName = HeaderName::from_static("x-function-name");
/// On a callback: the HTTP status that the function answered.
pub const FUNCTION_STATUS: HeaderName = HeaderName::from_static("x-function-status");
/// Seconds that the function ran, with six decimals.
pub const DURATION_SECONDS: HeaderName = HeaderName::from_static("x-duration-seconds");
/// On a request to a function: run it no longer than this; it only shortens the function's own limit.
pub const TIMEOUT: HeaderName = HeaderName::from_static("x-timeout");
/// Names the function when the path does not (`POST /`).
pub const FUNCTION: HeaderName = HeaderName::from_static("x-function");
pub const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// On an answer made by the platform and not by the function: which part made it, as OpenFaaS tells it.
pub const OPENFAAS_INTERNAL: HeaderName = HeaderName::from_static("x-openfaas-internal");
/// On an answer made by the platform and not by the function: a short code that a program can act on.
pub const SKEP_ERROR: HeaderName = HeaderName::from_static("x-skep-error");
/// On a 202: this call id was accepted before and runs once.
pub const SKEP_DUPLICATE: HeaderName = HeaderName::from_static("x-skep-duplicate");
/// On a 202: how many calls wait for the function.
pub const SKEP_QUEUE_DEPTH: HeaderName = HeaderName::from_static("x-skep-queue-depth");
/// On a 202: for how many seconds the first of them waits.
pub const SKEP_QUEUE_AGE: HeaderName = HeaderName::from_static("x-skep-queue-age");
/// On a 202 and on `/healthz`: what the call survives, see [`Tier`](crate::Tier).
pub const SKEP_DURABILITY: HeaderName = HeaderName::from_static("x-skep-durability");
/// On a request to a function: which attempt of an asynchronous call this is, from 1.
pub const SKEP_ATTEMPT: HeaderName = HeaderName::from_static("x-skep-attempt");
/// On a request to a function: how many attempts there are; when it equals the number of this one, this is the last.
pub const SKEP_ATTEMPTS: HeaderName = HeaderName::from_static("x-skep-attempts");
/// On an asynchronous call: run it after this delay (`90s`).
pub const SKEP_DELAY: HeaderName = HeaderName::from_static("x-skep-delay");
/// On an asynchronous call: run it at this time (RFC 3339).
pub const SKEP_RUN_AT: HeaderName = HeaderName::from_static("x-skep-run-at");
/// On a callback: attempts after the first one.
pub const RETRY: HeaderName = HeaderName::from_static("x-retry");
/// On a callback: how many attempts there could have been after the first one; when it equals `X-Retry`, there were no more.
pub const RETRY_MAX: HeaderName = HeaderName::from_static("x-retry-max");

/// On an asynchronous call: names of its headers that come back with the callback, separated by commas.
pub const SKEP_CALLBACK_HEADERS: HeaderName = HeaderName::from_static("x-skep-callback-headers");
/// On a call that is itself a callback (`skep://NAME`): the id of the call whose answer it brings.
pub const SKEP_CALLBACK_OF: HeaderName = HeaderName::from_static("x-skep-callback-of");

/// On a call that an event made: the name of the source.
pub const SKEP_SOURCE: HeaderName = HeaderName::from_static("x-skep-source");
/// On a call that an event made, and on the answer to the event's sender: the event's id.
pub const SKEP_EVENT_ID: HeaderName = HeaderName::from_static("x-skep-event-id");
/// On a call that an event made: what kind of event it is.
pub const SKEP_EVENT_TYPE: HeaderName = HeaderName::from_static("x-skep-event-type");
/// On a call that an event made: when the event came (RFC 3339).
pub const SKEP_RECEIVED_AT: HeaderName = HeaderName::from_static("x-skep-received-at");
/// On a call that an event made: why the event was let in.
pub const SKEP_VERIFIED: HeaderName = HeaderName::from_static("x-skep-verified");
/// On a call that an event made: the name of the route.
pub const SKEP_ROUTE: HeaderName = HeaderName::from_static("x-skep-route");
/// On a call that the replay of an event made: the id of the replay.
pub const SKEP_REPLAY: HeaderName = HeaderName::from_static("x-skep-replay");
/// On a call that one of skep's own events made, and on the callbacks of that: such a call makes no further one.
pub const SKEP_OWN_EVENT: HeaderName = HeaderName::from_static("x-skep-own-event");
/// On a call that an event made, or a callback or message of such a call: how many of them led to it.
pub const SKEP_HOPS: HeaderName = HeaderName::from_static("x-skep-hops");
/// On a call that an event made: OpenFaaS's name for what the event is about.
pub const TOPIC: HeaderName = HeaderName::from_static("x-topic");
/// On a call that an event made: OpenFaaS's name for what brings events.
pub const CONNECTOR: HeaderName = HeaderName::from_static("x-connector");

/// On a call of a schedule: when it was planned for (RFC 3339), with the offset of the schedule's time zone.
pub const SKEP_PLANNED_AT: HeaderName = HeaderName::from_static("x-skep-planned-at");
/// On a call of a schedule that came too late, or runs in the place of others: for how many it runs, itself included.
pub const SKEP_MISSED: HeaderName = HeaderName::from_static("x-skep-missed");

/// In a record: the call came from this machine itself, so its callback may go there. No caller can set it.
pub const SKEP_LOCAL_CALLER: HeaderName = HeaderName::from_static("x-skep-local-caller");

/// Whether a header of a caller or of a function never goes out with a callback.
///
/// It would say to the receiver who asks, or be taken for skep's own word.
pub fn stays_behind(name: &HeaderName) -> bool {
    const OURS: [&str; 3] = ["x-skep-", "x-function-", "webhook-"];
    [header::AUTHORIZATION, header::COOKIE].contains(name) || OURS.iter().any(|ours| name.as_str().starts_with(ours))
}

const SECRET: [HeaderName; 4] =
    [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE, header::SET_COOKIE];
const SECRET_PARTS: [&str; 7] = ["token", "secret", "password", "api-key", "apikey", "signature", "credential"];

/// Whether a header is likely to hold a credential, by its name; such values are not shown.
pub fn is_secret(name: &HeaderName) -> bool {
    let text = name.as_str();
    SECRET.contains(name) || text.ends_with("-key") || SECRET_PARTS.iter().any(|part| text.contains(part))
}

/// Between skep and a watchdog: a value that the watchdog repeats with answers of its own and keeps from the function.
pub const SKEP_MARK: HeaderName = HeaderName::from_static("x-skep-mark");

/// Whether an answer, by its type, goes on for as long as it likes, with pauses as long as it likes.
pub fn is_event_stream(answer: &HeaderMap) -> bool {
    const TYPES: [&str; 3] = ["text/event-stream", "application/x-ndjson", "application/ndjson"];
    let given = answer.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let given = given.split(';').next().unwrap_or_default().trim();
    TYPES.iter().any(|stream| given.eq_ignore_ascii_case(stream))
}

const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

pub(crate) fn is_hop_by_hop(name: &str) -> bool {
    HOP_BY_HOP.iter().any(|hop| hop == name)
}

/// Removes the headers that belong to one connection: the fixed ones and those that `Connection` names (RFC 9110, 7.6.1), unless they are of the whole way.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if !headers.keys().any(|name| is_hop_by_hop(name.as_str())) {
        return;
    }
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().filter(|name| !is_end_to_end(name)) {
        headers.remove(name);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Removes what only the platform says of an answer from what a function said.
pub fn remove_platform_words(answer: &mut HeaderMap) {
    while let Some(name) = answer.keys().find(|name| is_platform_word(name)).cloned() {
        answer.remove(name);
    }
}

fn is_platform_word(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-skep-") || [OPENFAAS_INTERNAL, FUNCTION_NAME, FUNCTION_STATUS].contains(name)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn words_of_the_platform_go_and_others_stay() {
        let mut headers = HeaderMap::new();
        for name in ["x-skep-error", "x-kept", "x-openfaas-internal", "x-skep-anything", "x-function-status"] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("1"));
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("2"));
        }
        remove_platform_words(&mut headers);
        assert_eq!((headers.len(), headers.keys_len()), (2, 1), "{headers:?}");
    }

    #[test]
    fn fixed_and_named_hop_headers_go_and_others_stay() {
        let mut headers = HeaderMap::new();
        for name in ["connection", "keep-alive", "te", "x-private", "x-kept", "upgrade"] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("1"));
        }
        headers.insert(header::CONNECTION, HeaderValue::from_static("close, X-Private"));
        remove_hop_by_hop(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-kept"]);
    }
}
