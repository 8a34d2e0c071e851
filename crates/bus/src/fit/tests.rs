//! Each message that a call can become fits, whatever callers and functions send within the limits.

use http::{HeaderName, HeaderValue, Method};
use proptest::{collection::vec, option, prelude::*};
use skep_protocol::{
    Call, CallId, CallState, CallStatus, DeadKind, DeadLetterInfo, Fingerprint, FunctionName, LastAttempt,
    MAX_HEADER_BYTES, MAX_HEADERS, PastAttempt, PastEnd, RETRY_CODES, RETRY_MAX_WAIT, check_headers,
    headers::SKEP_CALLBACK_HEADERS,
};
use time::OffsetDateTime;

use super::*;
use crate::{KEPT_OF_ANSWER, NewDeadLetter, wire::Unreadable};

const LARGEST: usize = 1024 * 1024;
/// Headers for the server that make a schedule or a batch: names, subjects, numbers.
const OF_THE_SERVER: usize = 1024;

/// Headers as few or as many, as short or as long as they may be in a message of NATS, and beyond.
fn any_headers() -> impl Strategy<Value = HeaderMap> {
    let byte = prop_oneof![Just(b'a'), Just(0xFF_u8), Just(b'"')];
    let header = ("[a-z]{1,12}", byte, prop_oneof![0..20_usize, 0..4_000_usize]);
    (vec(header, 0..=MAX_HEADERS), 0..70_000_usize).prop_map(|(headers, long)| {
        let lines = headers.into_iter().enumerate().map(|(number, (name, byte, length))| {
            (HeaderName::try_from(format!("{name}-{number}")).unwrap(), vec![byte; length])
        });
        let long = (HeaderName::from_static("x-long"), vec![b'l'; long]);
        lines.chain([long]).map(|(name, value)| (name, HeaderValue::from_bytes(&value).unwrap())).collect()
    })
}

/// Headers of a call that asks for all of them back with its callback, as large as they may be.
fn headers_of_a_call() -> impl Strategy<Value = HeaderMap> {
    any_headers().prop_map(|all| {
        let mut headers = HeaderMap::new();
        for (name, value) in &all {
            let value = if name == "x-long" { HeaderValue::from_static("") } else { value.clone() };
            headers.append(name, value);
            let names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
            let names = HeaderValue::try_from(names.join(",")).unwrap();
            let before = headers.insert(SKEP_CALLBACK_HEADERS, names);
            if check_headers(&headers, "", None, None).is_err() {
                headers.remove(name);
                if let Some(before) = before {
                    headers.insert(SKEP_CALLBACK_HEADERS, before);
                }
            }
        }
        headers
    })
}

/// A reason with characters that take more bytes than one, in JSON or in UTF-8.
fn any_reason() -> impl Strategy<Value = String> {
    let character = prop_oneof![Just("a"), Just("ü"), Just("\u{1F41D}"), Just("\u{1}"), Just("\n"), Just("\"")];
    (character, 0..3_000_usize).prop_map(|(character, length)| character.repeat(length))
}

prop_compose! {
    fn any_past()(attempts in vec(any_reason(), 0..40), ends in vec(any_reason(), 0..=10))
        -> (Vec<PastAttempt>, Vec<PastEnd>)
    {
        let now = OffsetDateTime::UNIX_EPOCH;
        let mut past_attempts = Vec::new();
        for (number, reason) in (1..).zip(attempts) {
            let replica = Some("x".repeat(80));
            PastAttempt { number, started_at: now, duration_seconds: 1.25, replica, status: Some(503), reason, next_at: now }
                .append_to(&mut past_attempts);
        }
        let past = |reason: String| DeadLetterInfo {
            call_id: "a".parse().unwrap(), function: "f".to_owned(), kind: DeadKind::Call, reason: super::reason(&reason),
            attempts: 10, last_status: Some(500), dead_at: now, sequence: 1,
        }.past();
        (past_attempts, ends.into_iter().map(past).collect())
    }
}

/// How many bytes more a caller may say.
fn room(headers: &HeaderMap, path: &str) -> usize {
    let (mut least, mut most) = (0, MAX_HEADER_BYTES);
    while least < most {
        let middle = (least + most).div_ceil(2);
        match check_headers(headers, path, Some(&"q".repeat(middle)), None) {
            Ok(()) => least = middle,
            Err(_) => most = middle - 1,
        }
    }
    least
}

prop_compose! {
    fn any_call()(
        headers in headers_of_a_call(), (past, history) in any_past(), reason in any_reason(),
        path in 0..40_000_usize, callback in option::of(0..40_000_usize), body in 0..100_000_usize,
    ) -> Call {
        let now = OffsetDateTime::UNIX_EPOCH;
        let path = "/".repeat(path.min(room(&headers, "")));
        let room = room(&headers, &path);
        let callback = callback.filter(|_| room > 64).map(|length| {
            format!("http://user:pass@example.com/?{}", "\\".repeat(length.min((room - 64) / 2))).parse().unwrap()
        });
        let last = LastAttempt { number: 10, status: Some(503), reason, next_at: now, past };
        let function: FunctionName = "f".repeat(63).parse().unwrap();
        let body = Bytes::from(vec![0; body]);
        let fingerprint = Some(Fingerprint::of(&function, &Method::POST, (&path, None), &headers, &body));
        let step = format!("skep://{}.{}/{}", "f".repeat(63), "n".repeat(63), "p".repeat(100)).parse().unwrap();
        let retry = [(RETRY_CODES.to_owned(), "503,".repeat(200)), (RETRY_MAX_WAIT.to_owned(), "3600s".to_owned())].into();
        Call {
            call_id: "c".repeat(128).parse().unwrap(), function, method: Method::POST, path, query: None, headers,
            body: body.into(), callback, callback_authorized: true, accepted_at: now, has_callers_id: true, fingerprint,
            run_at: Some(now), steps: Some(vec![step; 8]), burst: Some("github.0123456789abcdef01234567".parse().unwrap()), retry,
            in_bulk: false, occurrence: None, interruptions: 10, last_attempt: Some(last), history,
            trace: skep_trace::Context::of_texts(&format!("00-{}-{}-01", "1".repeat(32), "1".repeat(16)), Some(&format!("a={0},b={0}", "x".repeat(250)))),
        }
    }
}

fn record_of(call: &Call, headers: HeaderMap, body: usize, reason: Option<String>) -> CallRecord {
    let status = CallStatus { state: CallState::Failed, reason, max_attempts: Some(10), ..call.status() };
    CallRecord { status, headers, body: Bytes::from(vec![0; body]).into(), returned: call.returned_headers() }
}

fn dead_letter_of(kind: DeadKind, headers: &NatsHeaders, payload: &Bytes, reason: &str) -> (NatsHeaders, Bytes) {
    let call_id: CallId = "a".parse().unwrap();
    let last_answer: &[u8] = match kind {
        DeadKind::Call => &[b'x'; KEPT_OF_ANSWER],
        DeadKind::Callback => &[],
    };
    let (attempts, last_status) = (10, Some(503));
    NewDeadLetter {
        kind,
        function: "f",
        call_id: &call_id,
        reason,
        attempts,
        last_status,
        last_answer,
        headers,
        payload,
    }
    .message(LARGEST)
}

fn read_dead_letter(headers: &NatsHeaders, payload: &Bytes) -> Result<Call, Unreadable> {
    wire::read_call(&without(headers, |name| name == wire::ATTEMPTS), payload.clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_call_that_an_entry_point_accepts_fits_wherever_it_waits_and_as_a_dead_letter(call in any_call(), reason in any_reason()) {
        prop_assert_eq!(call.check_headers(), Ok(()));
        let written = wire::call_headers(&call);
        prop_assert!(length(&written) + OF_THE_SERVER <= LARGEST_HEADERS, "{}", length(&written));
        let (letter, payload) = dead_letter_of(DeadKind::Call, &written, call.body.in_message(), &reason);
        prop_assert!(is_fitting(&letter, &payload, 0, LARGEST));
        let read = read_dead_letter(&letter, &payload).unwrap();
        prop_assert_eq!((read.headers, read.path, read.body), (call.headers, call.path, call.body));
    }

    #[test]
    fn a_record_of_any_answer_fits_and_so_does_the_dead_letter_of_its_callback(
        call in any_call(), answer in any_headers(), body in 0..LARGEST, reason in option::of(any_reason()), why in any_reason(),
    ) {
        let given = record_of(&call, answer, body, reason);
        let (fitting, headers) = record(&given, LARGEST).unwrap();
        prop_assert!(is_fitting(&headers, fitting.body.in_message(), ROOM_FOR_A_LETTER, LARGEST), "{}", length(&headers));
        let is_whole = fitting.headers == given.headers && fitting.body == given.body && fitting.returned == given.returned;
        prop_assert!(is_whole || fitting.status.reason.as_ref().is_some_and(|reason| reason.contains("left out")));
        let read = wire::read_record(&headers, fitting.body.in_message().clone()).unwrap();
        prop_assert_eq!((&read, read.status.state), (&*fitting, given.status.state));
        let (letter, payload) = dead_letter_of(DeadKind::Callback, &headers, fitting.body.in_message(), &why);
        prop_assert!(is_fitting(&letter, &payload, 0, LARGEST));
        prop_assert_eq!(&wire::read_record(&letter, payload).unwrap(), &*fitting);
    }

    #[test]
    fn a_dead_letter_of_anything_that_nats_takes_fits(all in any_headers(), body in 0..=LARGEST, reason in any_reason()) {
        let mut headers = NatsHeaders::new();
        for (number, (_, value)) in all.iter().enumerate() {
            let prefix = ["Nats-", "Skep-", "Http-", ""][number % 4];
            let name: async_nats::HeaderName = format!("{prefix}{number}").parse().unwrap();
            let before = headers.clone();
            headers.append(name, "x".repeat(value.len()));
            if length(&headers) > LARGEST_HEADERS {
                headers = before;
            }
        }
        let (letter, payload) = dead_letter_of(DeadKind::Call, &headers, &vec![0; body].into(), &reason);
        prop_assert!(is_fitting(&letter, &payload, 0, LARGEST));
        let reason = wire::text(&letter, wire::REASON).unwrap();
        prop_assert!(payload.len() == body || reason.contains("the body of the request"), "{}", reason);
    }
}
