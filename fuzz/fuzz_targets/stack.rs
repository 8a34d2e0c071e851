//! Any text as a stack file: it is read, or refused on one line.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use skep_protocol::DefaultNamespace;
use skep_stack::parse;

fuzz_target!(|text: &str| {
    let read = || parse(text, Path::new("stack.yml"), &DefaultNamespace::default(), |_| Some("value".to_owned()));
    match read() {
        Ok(stack) => assert_eq!(read().ok(), Some(stack)),
        Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{error}"),
    }
});
