//! What is refused of a filter at deploy.

use serde_json::Value;

use super::{Compiling, Filter, tests::compiled};
use crate::kind::Kind;

fn refused(yaml: &str) -> String {
    let value: Value = serde_saphyr::from_str(yaml).unwrap();
    Filter::compile(&value, &mut Compiling::new(&[], &[], &Kind::Webhook)).unwrap_err().to_string()
}

#[test]
fn errors_name_the_key_and_what_is_allowed() {
    for (yaml, expected) in [
        (
            "body.ref: {startsWith: a}",
            "body.ref.startsWith: unknown operator \"startsWith\" (prefix, suffix, contains, matches",
        ),
        ("ref: a", "ref: \"ref\" is no part of an event (type, id, method, path, verified, header.NAME"),
        ("[a]", "must be a mapping of paths to values"),
        ("a", "must be a mapping of paths to values"),
        ("body.a: {}", "body.a: has no operator (prefix"),
        ("body.a: {ignore_case: true}", "body.a: has no operator (prefix"),
        ("body.a: {in: a}", "body.a.in: must be a list"),
        ("body.a: {prefix: 5}", "body.a.prefix: must be a text"),
        ("body.a: {contains: [1]}", "body.a.contains: must be a text, or an element of an array"),
        ("body.a: {gt: a}", "body.a.gt: \"a\" is neither a number nor a time (2026-11-29T12:00:00Z)"),
        ("body.a: {gt: [1]}", "body.a.gt: must be a number or a time"),
        ("body.a: {exists: yes please}", "body.a.exists: must be true or false"),
        ("body.a: {prefix: a, ignore_case: 1}", "body.a.ignore_case: must be true or false"),
        ("body.a: [[1]]", "body.a[0]: a list holds plain values"),
        ("body.a: {matches: '('}", "body.a.matches: \"(\" is no regular expression that is taken: unclosed group"),
        ("body.a: {matches: 5}", "body.a.matches: must be a regular expression"),
        ("any: {type: a}", "any: must be a list of mappings"),
        ("any: [{type: a}, {b: 1}]", "any[1].b: \"b\" is no part"),
        ("not: [1]", "not: must be a mapping"),
        ("every: {type: a}", "every.type: under every stands a path with [*]"),
        ("every: {body.a: 1}", "every.body.a: under every stands a path with [*]"),
        ("every: {any: [{type: a}]}", "every.any"),
        ("every: []", "every: must be a mapping of paths with [*]"),
    ] {
        let error = refused(yaml);
        assert!(error.starts_with(expected), "{yaml}: {error}");
    }
}

#[test]
fn a_filter_that_cannot_hold_is_refused() {
    for yaml in [
        "body.a: []",
        "body.a: {in: []}",
        "any: []",
        "not: {}",
        "header.x: 5",
        "query.x: true",
        "header.content-length: {gt: 5}",
        "type: Push",
        "type: 'pull request'",
        "method: post",
        "path: github",
        "verified: yes",
        "id: null",
        "method: {exists: false}",
        "body.a: {exists: false, prefix: a}",
        "body.a: {gt: 5, lt: 5}",
        "body.a: {gte: 5, lt: 5}",
        "body.a: {gt: 6, lt: 5}",
        "body.a: {gt: 6, lt: '2026-11-29T12:00:00Z'}",
    ] {
        let error = refused(yaml);
        assert!(error.contains("can never hold") || error.contains("must be a list of mappings"), "{yaml}: {error}");
    }
    // These can.
    for yaml in ["body.a: {gte: 5, lte: 5}", "body.a: {exists: false, not: a}", "type: null", "header.x: '5'"] {
        compiled(yaml);
    }
}

#[test]
fn filters_are_bounded() {
    let deep = format!("{}{{type: a}}{}", "{not: ".repeat(20), "}".repeat(20));
    assert!(refused(&deep).contains("nested deeper than 16"), "{}", refused(&deep));
    let many = format!("any: [{}]", vec!["{type: a}"; 600].join(", "));
    assert!(refused(&many).contains("more than 500 keys"));
    assert!(refused(&format!("body.a: {{matches: '{}'}}", "a".repeat(1001))).contains("longer than 1000 bytes"));
    assert!(refused("body.a: {matches: '\\w{1000}'}").contains("no regular expression that is taken"));
}
