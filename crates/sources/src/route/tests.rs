//! What a route does with an event, and what is refused of it at deploy.

use std::time::Duration;

use serde_json::json;

use super::Debounced;
use crate::{
    Receiver,
    testing::{Sent, receiver, try_receiver},
};

fn with_route(route: &str) -> Receiver {
    receiver(&format!("{{preset: github, secrets: [a], redact: [x-own], routes: [{route}]}}"))
}

fn refused(route: &str) -> String {
    let source = format!("{{preset: github, secrets: [a], routes: [{route}]}}");
    try_receiver(&source).unwrap_err().to_string()
}

fn push() -> Sent {
    Sent::new(r#"{"ref":"refs/heads/main","n":1.50,"data":{"object":{"id": "a"},"list":["x"]}}"#)
        .header("user-agent", "GitHub-Hookshot/1")
        .path("/rest")
        .query("a=%2F")
}

#[test]
fn a_function_sees_the_event_as_it_came() {
    let source = with_route("{to: deploy}");
    let sent = push()
        .header("x-own", "hush")
        .header("x-skep-source", "forged")
        .header("x-skep-replay", "forged")
        .header("x-callback-url", "http://127.0.0.1/");
    let event = sent.event(Some("push"));
    let request = source.function_request(&source.routes()[0], &event);
    assert_eq!(request.function.as_str(), "deploy");
    assert_eq!(
        (request.path.as_str(), request.query.as_deref(), &*request.body),
        ("/rest", Some("a=%2F"), &sent.body[..])
    );
    assert_eq!(request.callback, None);
    let mut headers: Vec<(&str, &str)> = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), std::str::from_utf8(value.as_bytes()).unwrap()))
        .collect();
    headers.sort_unstable();
    let expected = [("content-type", "application/json"), ("user-agent", "GitHub-Hookshot/1"), ("x-own", "…")];
    assert_eq!(headers, expected);
}

#[test]
fn a_route_has_a_path_and_a_name_of_its_own() {
    let source = with_route("{to: deploy.ops, name: second, path: /github}");
    let route = source.route(&"second".parse().unwrap()).unwrap();
    let sent = push();
    let request = source.function_request(route, &sent.event(None));
    assert_eq!((request.path.as_str(), request.function.to_string().as_str()), ("/github", "deploy.ops"));
    assert!(source.route(&"deploy.ops".parse().unwrap()).is_none());
    assert_eq!(with_route("{to: deploy.ops}").routes()[0].name().as_str(), "deploy.ops");
    // The root is the root.
    let bare = Sent::new("{}");
    let source = with_route("{to: deploy}");
    assert_eq!(source.function_request(&source.routes()[0], &bare.event(None)).path, "/");
}

#[test]
fn one_value_is_sent_as_it_is_written() {
    for (path, kind, body) in [
        ("data.object", "application/json", r#"{"id": "a"}"#),
        ("n", "application/json", "1.50"),
        ("ref", "text/plain; charset=utf-8", "refs/heads/main"),
        ("data.list.0", "text/plain; charset=utf-8", "x"),
        ("absent", "application/json", ""),
    ] {
        let source = with_route(&format!("{{to: f, send: 'json:{path}'}}"));
        let sent = push();
        let request = source.function_request(&source.routes()[0], &sent.event(None));
        let found = (request.headers.get("content-type").unwrap().to_str().unwrap(), &*request.body);
        assert_eq!(found, (kind, body.as_bytes()), "{path}");
    }
}

#[test]
fn added_headers_are_filled_in() {
    let route = "{to: f, headers: {X-Env: prod, X-What: '{type}/{id}', X-Ref: 'ref {json:ref}', X-Agent: '{header:user-agent}', \
                 X-None: '{json:absent}', User-Agent: mine}}";
    let source = with_route(route);
    let sent = push();
    let found = |name: &str| {
        let request = source.function_request(&source.routes()[0], &sent.event(Some("push")));
        request.headers.get(name).map(|value| value.to_str().unwrap().to_owned())
    };
    for (name, expected) in [
        ("x-env", Some("prod")),
        ("x-what", Some("push/evt_1")),
        ("x-ref", Some("ref refs/heads/main")),
        ("x-agent", Some("GitHub-Hookshot/1")),
        ("x-none", None),
        ("user-agent", Some("mine")),
    ] {
        assert_eq!(found(name).as_deref(), expected, "{name}");
    }
}

#[test]
fn a_value_of_the_sender_cannot_end_a_header_and_is_bounded() {
    let source = with_route("{to: f, headers: {X-Ref: '{json:ref}'}}");
    let found = |text: &str| {
        let sent = Sent::new(&json!({ "ref": text }).to_string());
        let request = source.function_request(&source.routes()[0], &sent.event(None));
        String::from_utf8(request.headers.get("x-ref").unwrap().as_bytes().to_vec()).unwrap()
    };
    assert_eq!(found("a\r\nX-Skep-Verified: signature\0"), "a  X-Skep-Verified: signature");
    assert_eq!(found(&"ü".repeat(2000)), "ü".repeat(512));
}

#[test]
fn a_function_in_front_gets_the_event_and_its_answer_goes_on() {
    let source = with_route("{to: deploy.ops, path: /x, through: [normalise]}");
    let route = &source.routes()[0];
    let sent = push();
    let request = source.function_request(route, &sent.event(None));
    assert_eq!((request.function.as_str(), request.callback.unwrap().as_str()), ("normalise", "skep://deploy.ops/x"));
    assert_eq!((route.function().to_string().as_str(), route.first_function().as_str()), ("deploy.ops", "normalise"));
    let source = with_route("{to: deploy, callback: 'https://h.example/done'}");
    let request = source.function_request(&source.routes()[0], &sent.event(None));
    assert_eq!(request.callback.unwrap().as_str(), "https://h.example/done");
}

#[test]
fn debounced_events_have_the_value_of_the_key() {
    let debounced = |route: &str| {
        let source = with_route(route);
        let sent = push();
        source.debounced(&source.routes()[0], &sent.event(Some("push")))
    };
    let expected = |key: &str, at_most| Some(Debounced { key: key.to_owned(), wait: Duration::from_secs(10), at_most });
    let two_minutes = Some(Duration::from_secs(120));
    assert_eq!(
        debounced("{to: f, debounce: {key: body.ref, wait: 10s, at_most: 2m}}"),
        expected("refs/heads/main", two_minutes)
    );
    assert_eq!(debounced("{to: f, debounce: {key: body.n, wait: 10}}"), expected("1.5", None));
    assert_eq!(debounced("{to: f, debounce: {key: body.absent, wait: 10s}}"), expected("", None));
    assert_eq!(debounced("{to: f, debounce: {wait: 10s}}"), expected("", None));
    assert_eq!(debounced("{to: f}"), None);
}

#[test]
fn retries_and_delays_are_read() {
    let source =
        with_route("{to: f, delay: 30s, retry: {attempts: 5, codes: '429, 503', min_wait: 1s, backoff: fixed}}");
    let route = &source.routes()[0];
    let retry = route.retry();
    assert_eq!(
        (route.delay(), retry.attempts, retry.min_wait),
        (Some(Duration::from_secs(30)), Some(5), Some(Duration::from_secs(1)))
    );
    assert!(retry.codes.as_ref().unwrap().contain(503) && retry.backoff.is_some() && retry.max_age.is_none());
}

#[test]
fn what_is_wrong_with_a_route_is_reported() {
    for (route, expected) in [
        ("{}", "routes[0].to: is missing: the name of a function"),
        ("{to: A}", "routes[0].to: function name \"A\" is not valid"),
        ("{to: f, name: 'a,b'}", "routes[0].name: route name \"a,b\" is not valid"),
        ("{to: f}, {to: f}", "routes[1].name: f is the name of another route"),
        ("{to: f, fliter: {}}", "routes[0].fliter: unknown field `fliter`, expected one of `to`, `name`, `filter`"),
        ("{to: f, filter: {a: 1}}", "routes[0].filter.a: \"a\" is no part of an event"),
        ("{to: f, path: x}", "routes[0].path: must begin with /"),
        ("{to: f, path: '/x?a'}", "routes[0].path: must begin with /"),
        ("{to: f, path: '/a b'}", "routes[0].path: must begin with /"),
        ("{to: f, send: xml}", "routes[0].send: \"xml\" is not one of body, json:PATH, cloudevents"),
        ("{to: f, send: 'json:'}", "routes[0].send: "),
        ("{to: f, headers: {'a b': c}}", "routes[0].headers.a b: is no name of a header"),
        ("{to: f, headers: {X-Skep-Delay: 1s}}", "routes[0].headers.X-Skep-Delay: is set by skep"),
        ("{to: f, headers: {X-Call-Id: a}}", "routes[0].headers.X-Call-Id: is set by skep"),
        ("{to: f, headers: {Connection: a}}", "routes[0].headers.Connection: is set by skep"),
        ("{to: f, headers: {X-A: '{type'}}", "routes[0].headers.X-A: \"{type\" has a brace"),
        ("{to: f, headers: {X-A: 'type}'}}", "routes[0].headers.X-A: \"type}\" has a brace"),
        ("{to: f, headers: {X-A: '{secret:a}'}}", "routes[0].headers.X-A: "),
        ("{to: f, headers: {X-A: '{body}'}}", "routes[0].headers.X-A: a body does not fit"),
        ("{to: f, through: [a, B]}", "routes[0].through: "),
        ("{to: f, through: [a, a, a, a, a, a, a, a, a]}", "routes[0].through: must have at most 8 functions"),
        ("{to: f, through: [A]}", "routes[0].through: function name"),
        ("{to: f, through: [a], callback: 'https://a'}", "routes[0].callback: cannot be together with through"),
        ("{to: f, callback: 'ftp://a'}", "routes[0].callback: must be an absolute URL"),
        ("{to: f, delay: 0}", "routes[0].delay: must be more than 0"),
        ("{to: f, delay: 900ms}", "routes[0].delay: must be a whole number of seconds"),
        ("{to: f, delay: 1s, debounce: {wait: 1s}}", "routes[0].delay: cannot be together with debounce"),
        ("{to: f, debounce: {}}", "routes[0].debounce"),
        ("{to: f, debounce: {wait: 10s, at_most: 5s}}", "routes[0].debounce.at_most: must not be less than wait"),
        ("{to: f, debounce: {wait: 25h}}", "routes[0].debounce.wait: must not be more than 24h"),
        ("{to: f, debounce: {wait: 1h, at_most: 25h}}", "routes[0].debounce.at_most: must not be more than 24h"),
        ("{to: f, debounce: {wait: 10s, key: x}}", "routes[0].debounce.key: \"x\" is no part of an event"),
        ("{to: f, debounce: {wait: 10s, key: 'body.a[*]'}}", "routes[0].debounce.key: must name one value"),
        ("{to: f, serial: true}", "routes[0].serial: serial is not supported yet"),
        ("{to: f, serial: body.id}", "routes[0].serial: serial is not supported yet"),
        ("{to: f, retry: {attempts: 0}}", "routes[0].retry.attempts: must be from 1 to 1000"),
        ("{to: f, retry: {codes: 5xx}}", "routes[0].retry.codes: \"5xx\" is not a list of HTTP statuses"),
        ("{to: f, retry: {backoff: linear}}", "routes[0].retry.backoff: \"linear\" is not one of exponential"),
        ("{to: f, retry: {min_wait: 2m, max_wait: 1m}}", "routes[0].retry.min_wait: must not be more than max_wait"),
        ("{to: f, retry: {tries: 1}}", "routes[0].retry.tries: unknown field `tries`"),
    ] {
        let error = refused(route);
        assert!(error.starts_with(expected), "{route}: {error}");
    }
}
