//! Any text as a stack file: it is read, or refused on one line.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use skep_protocol::DefaultNamespace;
use skep_sources::Defaults;
use skep_stack::parse;

fuzz_target!(|text: &str| {
    let namespace = DefaultNamespace::default();
    let read = || parse(text, Path::new("stack.yml"), &Defaults::new(&namespace), |_| Some("value".to_owned()));
    match read() {
        Ok(stack) => assert_eq!(read().ok(), Some(stack)),
        Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{error}"),
    }
});
