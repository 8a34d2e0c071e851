//! Any output of a program with `cgi_response`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|output: &[u8]| skep_watchdog::cgi_head::hold(output));
