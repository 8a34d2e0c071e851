//! Any text as a template and a reference of a webhook source.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| skep_sources::laws::language(text));
