//! Each rule of filters: what matches, and what is said of what does not.

use serde_json::{Value, json};

use super::{Compiling, Filter};
use crate::{
    event::{Event, Facts},
    kind::Kind,
    testing::Sent,
};

pub(super) fn compiled(yaml: &str) -> Filter {
    let value: Value = serde_saphyr::from_str(yaml).unwrap();
    Filter::compile(&value, &mut Compiling::new(&[], &[], &Kind::Webhook))
        .unwrap_or_else(|error| panic!("{yaml}: {error}"))
}

fn miss_of(yaml: &str, event: &Event<'_>) -> Option<String> {
    compiled(yaml).miss(&Facts::new(&event.request, None, false), event)
}

/// Whether a filter matches a push event with this body.
fn miss(yaml: &str, body: &Value) -> Option<String> {
    let sent = Sent::new(&body.to_string());
    miss_of(yaml, &sent.event(Some("push")))
}

fn matches(yaml: &str, body: &Value) -> bool {
    miss(yaml, body).is_none()
}

fn push() -> Value {
    json!({
        "ref": "refs/heads/main",
        "amount": 4999,
        "price": 5.0,
        "draft": false,
        "nothing": null,
        "at": "2026-11-29T12:00:00+01:00",
        "sender": {"type": "User", "any key": 1},
        "labels": ["bug", "Help"],
        "commits": [{"author": {"name": "Ann"}, "n": 1}, {"author": {"name": "dependabot[bot]"}, "n": 2}],
        "empty": [],
    })
}

#[test]
fn every_kind_of_path_is_read() {
    let sent = Sent::new("color=red&n=5")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("user-agent", "GitHub-Hookshot/1")
        .path("/a/b")
        .query("hub.mode=subscribe&n=%35");
    let event = sent.event(Some("pull_request.opened"));
    for yaml in [
        "type: pull_request.opened",
        "id: evt_1",
        "method: POST",
        "path: /a/b",
        "verified: signature",
        "verified: [token, signature]",
        "header.user-agent: {prefix: GitHub-Hookshot/}",
        "header.User-Agent: GitHub-Hookshot/1",
        "query.hub.mode: subscribe",
        "query.n: '5'",
        "form.color: red",
        "{form.n: '5', form.absent: null, body.n: null}",
    ] {
        assert_eq!(miss_of(yaml, &event), None, "{yaml}");
    }
    for yaml in [
        "body.ref: refs/heads/main",
        "body.commits[0].author.name: Ann",
        "body.commits[*].n: 2",
        "body.sender[\"any key\"]: 1",
        "body[\"labels\"][1]: Help",
    ] {
        assert_eq!(miss(yaml, &push()), None, "{yaml}");
    }
    assert_eq!(miss("path: /", &json!({})), None, "no path is the path /");
}

#[test]
fn a_star_in_a_path_is_one_element_and_every_is_all() {
    assert!(matches("body.commits[*].author.name: Ann", &push()));
    assert!(matches("body.commits[*].author.name: {not: 'dependabot[bot]'}", &push()));
    assert!(!matches("every: {'body.commits[*].author.name': {not: 'dependabot[bot]'}}", &push()));
    assert!(matches("every: {'body.commits[*].n': {lte: 2}}", &push()));
    assert!(!matches("every: {'body.commits[*].n': {lt: 2}}", &push()));
    // No element is as good as absent.
    assert!(!matches("body.empty[*].n: 1", &push()));
    assert!(!matches("every: {'body.empty[*].n': 1}", &push()));
    assert!(matches("body.empty[*].n: {not: 1}", &push()));
}

#[test]
fn a_plain_value_is_equal_as_json_is() {
    assert!(matches("body.price: 5", &push()));
    assert!(matches("body.amount: 4999.0", &push()));
    assert!(matches("body.draft: false", &push()));
    for yaml in
        ["body.price: '5'", "body.price: 5.1", "body.draft: 'false'", "body.sender: User", "body.ref: Refs/Heads/Main"]
    {
        assert!(!matches(yaml, &push()), "{yaml}");
    }
}

#[test]
fn null_is_null_or_absent() {
    assert!(matches("body.nothing: null", &push()));
    assert!(matches("body.absent.more: null", &push()));
    assert!(!matches("body.ref: null", &push()));
    assert!(matches("body.ref: [null, refs/heads/main]", &push()));
}

#[test]
fn a_list_is_any_of_it() {
    assert!(matches("body.ref: [refs/heads/dev, refs/heads/main]", &push()));
    assert!(matches("body.ref: {in: [refs/heads/dev, refs/heads/main]}", &push()));
    assert!(!matches("body.ref: [refs/heads/dev]", &push()));
    assert!(matches("body.ref: {not: [refs/heads/dev, 5]}", &push()));
}

#[test]
fn a_star_in_a_type_is_any_text() {
    let sent = Sent::new("{}");
    let event = sent.event(Some("pull_request.opened"));
    assert_eq!(miss_of("type: 'pull_request.*'", &event), None);
    assert_eq!(miss_of("type: [push, 'pull_*']", &event), None);
    assert_eq!(miss_of("type: {not: 'issue*'}", &event), None);
    assert!(miss_of("type: {not: 'pull*'}", &event).is_some());
    // Elsewhere it is a star.
    assert!(!matches("body.ref: 'refs/heads/*'", &push()));
    assert!(matches("body.glob: 'a*'", &json!({"glob": "a*"})));
}

#[test]
fn numbers_and_times_are_compared() {
    assert!(matches("body.amount: {gte: 1000, lt: 5000}", &push()));
    assert!(matches("body.amount: {gte: 4999, lte: 4999}", &push()));
    assert!(!matches("body.amount: {gt: 4999}", &push()));
    assert!(!matches("body.amount: {lt: 4999}", &push()));
    assert!(!matches("body.ref: {gt: 1}", &push()), "a text is no number");
    assert!(!matches("body.text: {gt: 1}", &json!({"text": "5"})), "a text is no number");
    // 12:00 at +01:00 is 11:00.
    assert!(matches("body.at: {gt: '2026-11-29T10:59:59Z', lte: '2026-11-29T11:00:00Z'}", &push()));
    assert!(!matches("body.at: {gte: '2026-11-29T11:30:00Z'}", &push()));
    assert!(!matches("body.ref: {gt: '2026-11-29T10:59:59Z'}", &push()), "no time");
    assert!(!matches("body.amount: {gt: '2026-11-29T10:59:59Z'}", &push()), "a number is no time");
}

#[test]
fn texts_begin_end_contain_and_match() {
    for yaml in [
        "body.ref: {prefix: refs/heads/}",
        "body.ref: {suffix: main}",
        "body.ref: {contains: /heads/}",
        "body.ref: {matches: 'heads/m[a-z]+$'}",
        "body.ref: {prefix: refs/, suffix: main}",
        "body.labels: {contains: bug}",
        "body.numbers: {contains: 2}",
    ] {
        let mut body = push();
        body["numbers"] = json!([1, 2.0]);
        assert!(matches(yaml, &body), "{yaml}");
    }
    for yaml in [
        "body.ref: {prefix: heads}",
        "body.ref: {suffix: heads}",
        "body.ref: {contains: dev}",
        "body.ref: {matches: '^heads'}",
        "body.ref: {prefix: refs/, suffix: dev}",
        "body.labels: {contains: bu}",
        "body.labels: {prefix: bug}",
        "body.amount: {contains: 4}",
        "body.amount: {prefix: '4'}",
    ] {
        assert!(!matches(yaml, &push()), "{yaml}");
    }
}

#[test]
fn case_counts_unless_it_is_said() {
    for (yaml, expected) in [
        ("body.ref: {in: [REFS/heads/MAIN]}", false),
        ("body.ref: {in: [REFS/heads/MAIN], ignore_case: true}", true),
        ("body.ref: {not: REFS/heads/MAIN, ignore_case: true}", false),
        ("body.labels[1]: {in: [x, HELP], ignore_case: true}", true),
        ("body.labels[1]: {in: [x, HELP]}", false),
        ("body.ref: {prefix: REFS, ignore_case: true}", true),
        ("body.ref: {suffix: MAIN, ignore_case: true}", true),
        ("body.ref: {contains: HEADS, ignore_case: true}", true),
        ("body.ref: {matches: HEADS, ignore_case: true}", true),
        ("body.ref: {matches: HEADS, ignore_case: false}", false),
        ("body.labels: {contains: help, ignore_case: true}", true),
        ("body.labels: {contains: help}", false),
    ] {
        assert_eq!(matches(yaml, &push()), expected, "{yaml}");
    }
}

#[test]
fn a_field_of_a_form_is_in_a_form_alone() {
    let form = |kind: &str| {
        let sent = Sent::new("a=1").header("content-type", kind);
        miss_of("form.a: '1'", &sent.event(None))
    };
    assert_eq!(form("application/x-www-form-urlencoded"), None);
    assert_eq!(form("application/json").unwrap(), "form.a is absent");
}

#[test]
fn what_is_absent_holds_for_little() {
    for operators in ["{gt: 1}", "{prefix: a}", "{contains: a}", "{matches: '.*'}", "{in: [a]}", "{exists: true}", "a"]
    {
        let yaml = format!("body.absent: {operators}");
        assert!(!matches(&yaml, &push()), "{yaml}");
    }
    for operators in ["{exists: false}", "null", "{not: a}", "{not: {prefix: a}}", "{not: {exists: true}}"] {
        for path in ["body.absent", "body.nothing", "header.absent", "query.absent", "form.absent"] {
            let yaml = format!("{path}: {operators}");
            assert!(matches(&yaml, &push()), "{yaml}");
        }
    }
    assert!(matches("body.ref: {exists: true}", &push()));
    assert!(matches("not: {body.absent: a}", &push()));
}

#[test]
fn any_is_or_and_not_is_none_of_it() {
    let any = "any: [{body.action: opened}, {body.draft: false, body.action: ready}]";
    assert!(matches(any, &json!({"action": "opened"})));
    assert!(matches(any, &json!({"action": "ready", "draft": false})));
    assert!(!matches(any, &json!({"action": "ready", "draft": true})));
    assert!(matches("not: {body.sender.type: Bot}", &push()));
    assert!(!matches("not: {body.sender.type: User}", &push()));
    assert!(matches("not: {body.sender.type: User, body.draft: true}", &push()), "only one of them holds");
    assert!(matches("{}", &push()));
}

#[test]
fn a_body_that_is_no_json_is_absent() {
    for body in ["", "no json", "{\"ref\":", "{} {}", &format!("{}1{}", "[".repeat(200), "]".repeat(200))] {
        let sent = Sent::new(body);
        let event = sent.event(Some("push"));
        assert_eq!(miss_of("{type: push, body: null, body.ref: {exists: false}}", &event), None, "{body}");
        let why = match body {
            "" => "the body is empty",
            "no json" | "{\"ref\":" | "{} {}" => "the body is no JSON",
            _ => "the JSON has parts that are too deep, or numbers that are too large",
        };
        assert_eq!(miss_of("body.ref: a", &event).unwrap(), format!("body.ref is absent, because {why}"));
    }
}

#[test]
fn the_first_key_that_does_not_hold_is_reported() {
    for (yaml, expected) in [
        ("{type: push, body.ref: refs/heads/dev}", "body.ref is \"refs/heads/main\""),
        ("type: ping", "type is \"push\""),
        ("{body.absent: a, header.x: a, type: ping}", "type is \"push\""),
        ("{body.absent: a, header.x: a, not: {type: push}}", "header.x is absent"),
        ("body.absent: 1", "body.absent is absent"),
        ("body.draft: true", "body.draft is false"),
        ("body.amount: {gt: 5000}", "body.amount is 4999"),
        ("body.sender: a", "body.sender is an object"),
        ("body.labels: a", "body.labels is an array of 2"),
        ("body.labels[*]: a", "body.labels[*] is \"bug\", \"Help\""),
        ("every: {'body.labels[*]': bug}", "every: body.labels[*] is \"Help\""),
        ("any: [{type: a}, {body.draft: true}]", "any: type is \"push\"; body.draft is false"),
        ("not: {type: push, body.draft: false}", "not: type is \"push\" and body.draft is false"),
        ("header.x-api-token: a", "header.x-api-token is absent"),
    ] {
        assert_eq!(miss(yaml, &push()).as_deref(), Some(expected), "{yaml}");
    }
}

#[test]
fn what_is_told_is_short_on_one_line_and_no_secret() {
    let long = miss("body.text: a", &json!({"text": format!("a\nb{}", "ü".repeat(500))})).unwrap();
    assert!(long.starts_with("body.text is \"a\\nbüüü") && long.ends_with('…') && !long.contains('\n'), "{long}");
    assert_eq!(long.chars().count(), "body.text is ".chars().count() + 101);
    let many = format!("any: [{}]", vec!["{body.text: a}"; 50].join(", "));
    assert_eq!(miss(&many, &json!({"text": "x".repeat(99)})).unwrap().chars().count(), 301);
    let control = miss("body.text: a", &json!({"text": "a\u{85}b"})).unwrap();
    assert_eq!(control, "body.text is \"a b\"");
    let sent = Sent::new("{}").header("x-api-token", "hush").header("x-signature", "hush");
    for yaml in ["header.x-api-token: a", "header.x-signature: a", "not: {header.x-api-token: hush}"] {
        let reason = miss_of(yaml, &sent.event(None)).unwrap();
        assert!(!reason.contains("hush") && reason.contains("has another value"), "{reason}");
    }
}

#[test]
fn a_part_that_cannot_be_read_hides_no_other_and_no_json_hides_all() {
    let matches = |yaml: &str, body: &str| miss_of(yaml, &Sent::new(body).event(None)).is_none();
    let deep = format!(r#"{{"deep": {}1{}, "a": 1}}"#, "[".repeat(500), "]".repeat(500));
    assert!(matches("body.a: 1", &deep) && !matches("body.deep: {exists: true}", &deep));
    for body in [deep.as_str(), r#"{"deep": 1e999}"#] {
        let reason = miss_of("body.deep: {exists: true}", &Sent::new(body).event(None)).unwrap();
        assert_eq!(
            reason,
            "body.deep is absent, because the JSON has parts that are too deep, or numbers that are too large"
        );
    }
    // If a key is there twice, the last one counts, as for other readers.
    assert!(matches("body.a: 2", r#"{"a": 1, "a": 2}"#) && !matches("body.a: 1", r#"{"a": 1, "a": 2}"#));
    assert!(matches("body.a.b[1]: 2", r#" {"a": {"b": [1, 2]}} "#));
    assert!(matches("body[0].a: 1", r#"[{"a": 1}]"#) && !matches("body.a: 1", r#"[{"a": 1}]"#));
    for body in [r#"{"a": 1"#, r#"{"a": 1, "b": }"#, r#"{"a": 1} x"#, "", "1"] {
        assert!(!matches("body.a: 1", body), "{body}");
    }
}

#[test]
fn a_form_in_the_place_of_json_is_reported() {
    let form = |body: &str| Sent::new(body).header("content-type", "application/x-www-form-urlencoded");
    let reason = |sent: &Sent, field| {
        let event = sent.event(Some("push"));
        compiled("body.ref: a").miss(&Facts::new(&event.request, field, false), &event).unwrap()
    };
    let absent = "body.ref is absent, because ";
    assert_eq!(reason(&form("a=1"), Some("payload")), format!("{absent}the body is a form without the field payload"));
    assert_eq!(
        reason(&form("payload=1{"), Some("payload")),
        format!("{absent}the field payload of the form is no JSON")
    );
    assert!(reason(&form("payload=%7B%7D"), None).contains("body: {form: NAME}"));
    assert_eq!(reason(&form("payload=%7B%7D"), Some("payload")), "body.ref is absent");
}
