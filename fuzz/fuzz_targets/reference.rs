//! Any text as a reference of a webhook source, and any query and body that it reads.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    // The reference is the first line, the query the second one, the body is the rest.
    let (reference, rest) = input.split_once('\n').unwrap_or((input, ""));
    let (query, body) = rest.split_once('\n').unwrap_or(("", rest));
    skep_sources::laws::reference(reference, query, body.as_bytes());
});
