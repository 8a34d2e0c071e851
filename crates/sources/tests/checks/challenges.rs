//! Challenges: their echoes, and what a secret is learned from.

use skep_sources::{Answer, Challenged, challenge};

use super::*;

struct Ask<'a> {
    method: Method,
    query: Option<&'a str>,
    headers: HeaderMap,
    body: &'a str,
    secrets: Secrets,
    learning: bool,
}

impl Default for Ask<'_> {
    fn default() -> Self {
        let (headers, secrets) = (HeaderMap::new(), keys(&[]));
        Self { method: Method::GET, query: None, headers, body: "", secrets, learning: false }
    }
}

impl Ask<'_> {
    fn of(&self, name: &str) -> Option<Answer> {
        let preset = preset(name);
        let source = Challenged {
            challenges: &preset.challenge,
            verify: &preset.verify,
            secrets: &self.secrets,
            url: Some(URL),
            json_field: preset.json_field(),
            tolerance: None,
            learning: self.learning,
        };
        challenge(&source, &request(&self.method, self.query, &self.headers, self.body.as_bytes()))
    }
}

fn text(answer: Option<Answer>) -> String {
    String::from_utf8(answer.unwrap().body).unwrap()
}

#[test]
fn an_echo_stays_within_its_string_and_its_size() {
    let okta = |value: &str| {
        Ask { headers: headers(&[("X-Okta-Verification-Challenge", value)]), ..Ask::default() }.of("okta")
    };
    assert_eq!(text(okta("abc")), r#"{"verification":"abc"}"#);
    assert_eq!(text(okta(r#"a","x":"b\"#)), r#"{"verification":"a\",\"x\":\"b\\"}"#);
    assert_eq!(okta(&"a".repeat(2000)), None);
    let dropbox = Ask { query: Some("challenge=%3Cscript%3E"), ..Ask::default() }.of("dropbox").unwrap();
    assert_eq!(dropbox.headers.get("content-type").unwrap(), "text/plain");
    assert_eq!(dropbox.headers.get("x-content-type-options").unwrap(), "nosniff");
}

#[test]
fn an_empty_secret_of_a_challenge_lets_nobody_in() {
    let ask = |secret: &str| {
        let secrets = keys(&[]).with_named("verify_token", secret);
        let query = Some("hub.mode=subscribe&hub.challenge=1&hub.verify_token=");
        Ask { query, secrets, ..Ask::default() }.of("meta").unwrap().status
    };
    assert_eq!((ask(""), ask("other")), (http::StatusCode::FORBIDDEN, http::StatusCode::FORBIDDEN));
}

#[test]
fn challenges_of_the_other_presets() {
    let graph = Ask { method: Method::POST, query: Some("validationToken=a%20b+c%2520"), ..Ask::default() };
    assert_eq!(text(graph.of("microsoft-graph")), "a b c%20");
    let monday = |body| Ask { method: Method::POST, body, ..Ask::default() }.of("monday");
    assert_eq!(text(monday(r#"{"challenge":"x"}"#)), r#"{"challenge":"x"}"#);
    assert_eq!(monday(r#"{"challenge":"x","event":{}}"#), None);
    assert_eq!(monday(r#"["challenge"]"#), None);
    for name in ["trello", "mandrill"] {
        assert_eq!(Ask { method: Method::HEAD, ..Ask::default() }.of(name).unwrap().status, 200, "{name}");
        assert_eq!(Ask::default().of(name), None, "{name}");
    }
    let twitch = preset("twitch");
    let mut signed = signed(&twitch, "s", br#"{"challenge":"x"}"#);
    signed.insert("twitch-eventsub-message-type", "webhook_callback_verification".parse().unwrap());
    let ask = |secret| Ask {
        method: Method::POST,
        headers: signed.clone(),
        body: r#"{"challenge":"x"}"#,
        secrets: keys(&[secret]),
        ..Ask::default()
    };
    assert_eq!(text(ask("s").of("twitch")), "x");
    assert_eq!(ask("t").of("twitch"), None);
}

#[test]
fn a_secret_is_learned_only_while_there_is_none() {
    let ask = |secrets, learning| {
        let headers = headers(&[("X-Hook-Secret", "s3cret")]);
        Ask { method: Method::POST, headers, secrets, learning, ..Ask::default() }.of("asana")
    };
    let answer = ask(keys(&[]), true).unwrap();
    assert_eq!(answer.learned.as_ref().map(Secret::expose), Some("s3cret"));
    assert_eq!(answer.headers.get("x-hook-secret").unwrap(), "s3cret");
    assert!(!format!("{:?}", answer.learned).contains("s3cret"));
    assert_eq!(ask(keys(&[]), false), None);
    assert_eq!(ask(keys(&["mine"]), true), None);
}

#[test]
fn a_number_in_a_condition_is_no_text() {
    let discord = preset("discord");
    assert_eq!(discord.challenge.len(), 2);
    let with = |body| {
        let source =
            own("verify: none\nchallenge: [{ when: { json: { type: 1 } }, need: none, answer: { status: 204 } }]");
        let (secrets, empty) = (keys(&[]), HeaderMap::new());
        let source = Challenged {
            challenges: &source.challenge,
            verify: &source.verify,
            secrets: &secrets,
            url: None,
            json_field: None,
            tolerance: None,
            learning: false,
        };
        challenge(&source, &request(&Method::POST, None, &empty, body)).is_some()
    };
    assert!(with(b"{\"type\":1}"));
    assert!(!with(b"{\"type\":\"1\"}"));
    assert!(!with(b"{\"type\":1,\"type\":2}"));
}
