//! Any bytes as the engine's log stream, and a place to cut it.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, &[u8])| skep_provider::log_frames::hold(input.1, usize::from(input.0)));
