//! Whole lives of calls with any headers and any answers within the limits: each call that was accepted comes to an end.

use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use skep_protocol::check_headers;

use crate::{
    harness::{Answer, Function, Gateway, Platform, Receiver, wait_until},
    nats,
};

const CALLS: usize = 200;
/// More than a queued call may carry beside its body, so that some are refused, and less than the HTTP server takes.
const MAX_CALLERS_BYTES: usize = 55_000;
/// More than the platform keeps of an answer's headers.
const MAX_ANSWERS_BYTES: usize = 100_000;
const STATUSES: [u16; 12] = [200, 201, 204, 302, 304, 400, 404, 408, 429, 500, 502, 599];

fn name(random: &mut fastrand::Rng) -> HeaderName {
    let length = random.usize(1..60);
    let text: String = (0..length).map(|_| random.alphanumeric().to_ascii_lowercase()).collect();
    format!("x-{text}").parse().unwrap()
}

fn value(random: &mut fastrand::Rng, max: usize) -> HeaderValue {
    let length = random.usize(0..=max);
    let odd = random.bool();
    let byte = |random: &mut fastrand::Rng| {
        if odd { *random.choice(&[0x80, 0xFF, b'"', b'\\', b'\t']).unwrap() } else { random.u8(b'!'..=b'~') }
    };
    HeaderValue::from_bytes(&(0..length).map(|_| byte(random)).collect::<Vec<_>>()).unwrap()
}

/// A few large headers, or many small ones.
fn headers(random: &mut fastrand::Rng, max: usize) -> Vec<(HeaderName, HeaderValue)> {
    let count = random.usize(0..95);
    (0..count).map(|_| (name(random), value(random, max / count.max(1)))).collect()
}

/// An answer as it goes over the wire: often whole, sometimes broken off, sometimes no HTTP at all.
fn answer(random: &mut fastrand::Rng) -> Vec<u8> {
    let (status, body) = (random.choice(STATUSES).unwrap(), random.usize(0..50_000));
    let mut answer = format!("HTTP/1.1 {status} Any\r\n").into_bytes();
    for (name, value) in headers(random, MAX_ANSWERS_BYTES) {
        answer.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    let promised = if random.u8(..) < 40 { body + 1 } else { body };
    answer.extend(format!("Content-Length: {promised}\r\n\r\n").into_bytes());
    answer.extend(vec![b'b'; body]);
    if random.u8(..) < 20 {
        random.shuffle(&mut answer);
    }
    answer
}

/// Sends one call. Returns its id if it was accepted; all else must be a refusal.
async fn send(gateway: &Gateway, receiver: &str, seed: u64) -> Option<(String, bool)> {
    let mut random = fastrand::Rng::with_seed(seed);
    let query = "q".repeat(random.usize(0..2000));
    let mut request = gateway.post(&format!("/async-function/upstream/verbatim?{query}"));
    let most = random.usize(..MAX_CALLERS_BYTES);
    let headers = headers(&mut random, most);
    let returned: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).filter(|_| random.bool()).collect();
    let has_callback = random.bool();
    if has_callback {
        request = request.header("X-Callback-Url", receiver);
        if returned.len() < 20 {
            request = request.header("X-Skep-Callback-Headers", returned.join(", "));
        }
    }
    let headers: HeaderMap = headers.into_iter().collect();
    let fits = check_headers(&headers, "/verbatim", Some(&query), None).is_ok();
    request = request.headers(headers);
    request = request.header(header::CONTENT_TYPE, "application/octet-stream").body(answer(&mut random));
    let accepted =
        Answer::read(request.send().await.unwrap_or_else(|error| panic!("seed {seed}: {:?}", error.without_url())))
            .await;
    if accepted.status == 202 {
        assert!(fits, "seed {seed}: more was accepted than NATS surely takes in each record and letter");
        return Some((accepted.header("x-call-id").to_owned(), has_callback));
    }
    assert!([400, 413, 431].contains(&accepted.status), "seed {seed}: {accepted:?}");
    None
}

#[tokio::test]
async fn any_call_that_is_accepted_comes_to_an_end() {
    let upstream = Function::upstream().attempts(2);
    let platform = Platform::start_with(&["--callback-max-age", "3s"], [upstream]).await;
    let (receiver, first) = (Receiver::start().await, fastrand::u64(..));
    eprintln!("seeds from {first}");
    let seeds = (0..CALLS as u64).map(|number| first.wrapping_add(number));
    let sent = stream::iter(seeds).map(|seed| send(&platform.gateway, &receiver.url, seed)).buffer_unordered(8);
    let accepted: Vec<_> = sent.filter_map(std::future::ready).collect().await;
    assert!(accepted.len() > CALLS / 2, "only {} were accepted; seeds from {first}", accepted.len());
    let dead = nats::stream(&platform.site, "SKEP_DEAD").await;
    for (id, has_callback) in &accepted {
        let status = platform.gateway.finished(id).await;
        assert!(["succeeded", "failed", "dead"].contains(&status["state"].as_str().unwrap()), "{status}");
        if *has_callback {
            // A receiver may refuse what is too large for it; then the callback becomes a dead letter.
            let letter = format!("skep.dead.upstream.{id}.callback");
            let ended = async || {
                let came = receiver.callbacks().iter().any(|callback| callback.header("x-call-id") == id);
                came || dead.get_last_raw_message_by_subject(&letter).await.is_ok()
            };
            wait_until(&format!("the end of the callback of {id}; seeds from {first}"), ended).await;
        }
    }
    let audit = platform.site.client(&["audit"]).await;
    audit.code_is(0);
    assert_eq!(platform.site.panics(), Vec::<String>::new());
}
