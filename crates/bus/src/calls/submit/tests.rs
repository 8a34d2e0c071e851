//! What a submit does with the server's answers, without a server.

use std::sync::Mutex;

use super::*;

const ENOUGH: Duration = Duration::from_secs(600);

fn call(has_callers_id: bool) -> Call {
    Call { has_callers_id, ..Call::new("order-17".parse().unwrap(), "resize".parse().unwrap(), clock::now()) }
}

/// A server that answers this, one after the other.
struct Server {
    answers: Mutex<std::vec::IntoIter<Result<Submitted>>>,
    is_reachable: bool,
    /// Whether it was the first try, of each.
    is_first: Mutex<Vec<bool>>,
}

impl Queue for Server {
    async fn store(&self, is_first_try: bool) -> Result<Submitted> {
        self.is_first.lock().unwrap().push(is_first_try);
        self.answers.lock().unwrap().next().expect("it is tried too often")
    }

    async fn is_reachable(&self) -> bool {
        self.is_reachable
    }
}

/// The end of a submit to which the server answers this, and how often it was tried.
async fn end(call: &Call, patience: Duration, is_reachable: bool, answers: Vec<Result<Submitted>>) -> (String, u32) {
    let server = Server { answers: Mutex::new(answers.into_iter()), is_reachable, is_first: Mutex::default() };
    let (end, tries) = patiently(call, patience, &server).await;
    // What was tried before may be stored, and have ended since, so it is looked up.
    let expected: Vec<_> = (1..=tries).map(|number| number == 1).collect();
    assert_eq!(*server.is_first.lock().unwrap(), expected);
    let end = end.map_or_else(|error| error.chain(), |submitted| format!("{submitted:?}"));
    (end, tries)
}

fn lost() -> Result<Submitted> {
    Err(Error::unavailable("no answer"))
}

#[tokio::test]
async fn a_call_is_tried_again_until_the_server_answers() {
    let answers = vec![lost(), lost(), Ok(Submitted::Accepted)];
    assert_eq!(end(&call(false), ENOUGH, true, answers).await, ("Accepted".to_owned(), 3));
}

#[tokio::test]
async fn a_call_whose_first_answer_was_lost_is_accepted_and_no_duplicate() {
    let answers = || vec![lost(), Ok(Submitted::Duplicate)];
    assert_eq!(end(&call(false), ENOUGH, true, answers()).await.0, "Accepted");
    // With an id of the caller's, another request may have had it before.
    assert_eq!(end(&call(true), ENOUGH, true, answers()).await.0, "Duplicate");
    assert_eq!(end(&call(false), ENOUGH, true, vec![Ok(Submitted::Duplicate)]).await.0, "Duplicate");
}

#[tokio::test]
async fn a_call_is_given_up_when_the_server_is_gone_or_the_time_is_up() {
    for (patience, is_reachable) in [(ENOUGH, false), (Duration::ZERO, true)] {
        let (end, tries) = end(&call(false), patience, is_reachable, vec![lost()]).await;
        assert!(end.contains("no answer") && tries == 1, "{end} after {tries}");
    }
}

#[tokio::test]
async fn what_the_server_refuses_is_not_tried_again() {
    let (end, tries) = end(&call(false), ENOUGH, true, vec![Err(Error::TooLarge { limit: 7 })]).await;
    assert!(end.contains('7') && tries == 1, "{end} after {tries}");
}

#[test]
fn a_known_id_is_the_same_call_or_refused() {
    let known = call(true);
    let fingerprint = |call: &Call, body: &[u8]| {
        Some(skep_protocol::Fingerprint::of(&call.function, &http::Method::POST, ("", None), &call.headers, body))
    };
    let known = Call { fingerprint: fingerprint(&known, b"a"), ..known };
    assert!(matches!(same_call(&known, known.status()), Ok(Submitted::Duplicate)));
    let other = Call { fingerprint: fingerprint(&known, b"b"), ..known.clone() };
    assert!(matches!(same_call(&other, known.status()), Err(Error::IdInUse(_))));
    // Without fingerprints, the function tells.
    let unmarked = Call { fingerprint: None, ..known.clone() };
    assert!(matches!(same_call(&unmarked, known.status()), Ok(Submitted::Duplicate)));
    let other = Call { function: "other".parse().unwrap(), ..unmarked };
    assert!(matches!(same_call(&other, known.status()), Err(Error::IdInUse(_))));
}

#[test]
fn headers_are_stored_without_length_and_credentials() {
    let mut given = http::HeaderMap::new();
    for (name, value) in [
        (header::CONTENT_LENGTH, "5"),
        (header::AUTHORIZATION, "Basic x"),
        (headers::CALLBACK_URL, "https://user:pass@example.com/"),
        (header::ACCEPT, "*/*"),
    ] {
        given.insert(name, HeaderValue::from_static(value));
    }
    let callback: Url = "https://user:pass@example.com/".parse().unwrap();
    let stored = to_store(given.clone(), Some(&callback), false);
    assert!(!stored.contains_key(header::CONTENT_LENGTH));
    assert_eq!(stored[headers::CALLBACK_URL], "https://example.com/");
    assert_eq!(
        (&stored[header::AUTHORIZATION], &stored[header::ACCEPT]),
        (&given[header::AUTHORIZATION], &given[header::ACCEPT])
    );
    let stored = to_store(given, None, true);
    assert!(!stored.contains_key(header::AUTHORIZATION) && stored.contains_key(header::ACCEPT));
}
