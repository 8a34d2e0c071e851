//! Any `traceparent` and `tracestate`: what is taken is passed on as the same context, by headers and by texts.

#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use skep_trace::{Context, TRACEPARENT, TRACESTATE};

fn append(headers: &mut HeaderMap, name: &HeaderName, value: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(value) {
        headers.append(name, value);
    }
}

/// The parts of a header that is nearly well-formed: version, ids, flags, and what follows.
type Parts<'input> = (u8, u128, u64, u8, &'input [u8]);

fuzz_target!(|input: (Option<Parts>, Vec<&[u8]>, Vec<&[u8]>)| {
    let (parts, parents, states) = input;
    let mut headers = HeaderMap::new();
    if let Some((version, trace, span, flags, rest)) = parts {
        let known = format!("{version:02x}-{trace:032x}-{span:016x}-{flags:02x}");
        append(&mut headers, &TRACEPARENT, &[known.as_bytes(), rest].concat());
    }
    parents.iter().for_each(|parent| append(&mut headers, &TRACEPARENT, parent));
    states.iter().for_each(|state| append(&mut headers, &TRACESTATE, state));
    let Some(read) = Context::read(&headers) else { return };
    assert_eq!(headers.get_all(TRACEPARENT).iter().count(), 1);
    let parent = read.traceparent();
    assert_eq!(parent.as_bytes()[3..52], headers[TRACEPARENT].as_bytes()[3..52]);
    let state = read.tracestate();
    assert!(state.is_none_or(|state| state.len() <= 512 && state.split(',').count() >= 1));
    assert_eq!(Context::of_texts(&parent, state).as_ref(), Some(&read));
    read.write(&mut headers);
    assert_eq!(Context::read(&headers), Some(read));
});
