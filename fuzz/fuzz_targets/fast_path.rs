//! Any bytes from a caller: what the fast path takes for a request must be what hyper reads.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| skep_http::properties::check(bytes));
