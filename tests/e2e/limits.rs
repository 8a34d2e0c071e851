//! Requests that are too much, too slow, or no HTTP: each has its end, and the gateway goes on.

use std::fmt::Write;

use tokio::io::AsyncWriteExt;

use crate::harness::{Function, Platform, raw, wait_until};

fn status_of(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("closed")
}

async fn assert_unharmed(platform: &Platform) {
    assert_eq!(platform.gateway.call("cat", "still here").await.text(), "still here");
    assert!(!platform.up.stderr().contains("panicked"), "{}", platform.up.stderr());
}

#[tokio::test]
async fn too_many_and_too_large_headers_are_refused() {
    let platform = Platform::start([Function::cat()]).await;
    let mut many = "GET /function/cat HTTP/1.1\r\nHost: a\r\n".to_owned();
    for number in 0..200 {
        write!(many, "X-{number}: 1\r\n").unwrap();
    }
    let large = format!("GET /function/cat HTTP/1.1\r\nHost: a\r\nX-Large: {}\r\n", "x".repeat(100_000));
    let long_path = format!("GET /function/cat/{} HTTP/1.1\r\nHost: a\r\n", "x".repeat(100_000));
    for (request, expected) in [(many, &["431"][..]), (large, &["431"]), (long_path, &["414", "431"])] {
        let answer = raw::exchange(platform.site.listen, format!("{request}\r\n")).await;
        assert!(expected.contains(&status_of(&answer)), "{answer}");
    }
    assert_unharmed(&platform).await;
}

#[tokio::test]
async fn what_is_no_http_is_400_or_closed() {
    let platform = Platform::start([Function::cat()]).await;
    let requests: [&[u8]; 18] = [
        b"\r\n\r\n\r\n\r\nx\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /function/cat\r\n\r\n",
        b"GET /function/cat HTTP/9.9\r\n\r\n",
        b"GET function/cat HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /function/\xff\xfe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET /function/cat/\xc3\x28?\xff HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET /function/cat HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n",
        b"GET /function/cat HTTP/1.1\r\nHost: a\r\nX-Nul: a\0b\r\n\r\n",
        b"GET /function/cat HTTP/1.1\r\nHost: a\r\n: empty\r\n\r\n",
        b"POST /function/cat HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /function/cat HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /function/cat HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /function/cat HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n",
        b"POST /function/cat HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello \r\n\r\n",
    ];
    for request in requests {
        let answer = raw::exchange(platform.site.listen, request).await;
        let status = status_of(&answer);
        let text = String::from_utf8_lossy(request);
        assert!(["400", "404", "405", "414", "505", "closed"].contains(&status), "{text}: {answer}");
    }
    assert_unharmed(&platform).await;
}

#[tokio::test]
async fn bytes_that_are_no_text_pass_in_headers() {
    let platform = Platform::start([Function::echo_http(), Function::cat()]).await;
    let request = b"GET /function/echo HTTP/1.1\r\nHost: a\r\nX-Bytes: \xff\xfe\xc3\r\nX-Forwarded-For: \xe9\r\nConnection: close\r\n\r\n";
    let answer = raw::exchange(platform.site.listen, request).await;
    assert_eq!(status_of(&answer), "200", "{answer}");
    assert!(raw::body_of(&answer).to_lowercase().contains("x-bytes"), "{answer}");
    for (header, expected) in [("X-Call-Id", "400"), ("X-Callback-Url", "400"), ("X-Start-Time", "202")] {
        let request = [
            b"POST /async-function/cat HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n",
            header.as_bytes(),
            b": \xff\xfe\r\n\r\n",
        ];
        let answer = raw::exchange(platform.site.listen, request.concat()).await;
        assert_eq!(status_of(&answer), expected, "{header}: {answer}");
    }
    let named = b"POST / HTTP/1.1\r\nHost: a\r\nX-Function: \xff\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(status_of(&raw::exchange(platform.site.listen, named).await), "400");
    assert_unharmed(&platform).await;
}

#[tokio::test]
async fn callers_that_stall_are_given_up() {
    let platform = Platform::start([Function::cat(), Function::upstream()]).await;
    let head = |path: &str| format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf");
    let stall = async |request: String| {
        let mut stream = raw::send(platform.site.listen, request).await;
        let answer = raw::rest_of(&mut stream).await;
        status_of(&answer).to_owned()
    };
    let (no_head, half_head, queued, system, sync, streamed) = tokio::join!(
        stall(String::new()),
        stall("POST /function/cat HTTP/1.1\r\nHost".to_owned()),
        stall(head("/async-function/cat")),
        stall(head("/system/functions")),
        stall(head("/function/cat")),
        stall(head("/function/upstream/verbatim")),
    );
    for (slow, expected) in [(no_head, "closed"), (half_head, "closed"), (queued, "408"), (system, "408")] {
        assert!([expected, "408", "closed"].contains(&slow.as_str()), "{slow}");
    }
    for slow in [sync, streamed] {
        assert_eq!(slow, "408", "a function must not be held by a caller that stalls");
    }
    assert_unharmed(&platform).await;
}

#[tokio::test]
async fn a_caller_that_leaves_in_the_middle_of_its_body_queues_nothing() {
    let platform = Platform::start([Function::cat()]).await;
    for framing in ["Content-Length: 100\r\n\r\n0123456789", "Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n"] {
        let head = "POST /async-function/cat HTTP/1.1\r\nHost: a\r\nX-Call-Id: half\r\n";
        let mut stream = raw::send(platform.site.listen, format!("{head}{framing}")).await;
        stream.shutdown().await.unwrap();
        let answer = raw::rest_of(&mut stream).await;
        assert!(["400", "closed"].contains(&status_of(&answer)), "{answer}");
    }
    assert!(platform.gateway.call_status("half").await.is_none());
    assert_unharmed(&platform).await;
}

#[tokio::test]
async fn requests_on_one_connection_are_kept_apart() {
    let platform = Platform::start([Function::cat()]).await;
    let one = "POST /function/cat HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none";
    let two = "POST /function/cat HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n";
    let three = "POST /function/cat HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nthree";
    let answer = raw::exchange(platform.site.listen, format!("{one}{two}{three}")).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 3, "{answer}");
    let positions: Vec<_> = ["one", "two", "three"].iter().map(|word| answer.find(word).expect(&answer)).collect();
    assert!(positions.is_sorted(), "{answer}");
}

#[tokio::test]
async fn a_caller_that_does_not_read_its_answer_is_disconnected_and_its_process_ended() {
    let yes = Function::new("yes", "sh -c 'echo begun >> runs; exec yes'").env("mode", "streaming");
    let yes = yes.env("exec_timeout", "1h").env("write_timeout", "1h");
    let platform = Platform::start_with(&["--write-timeout", "1s"], [Function::cat(), yes]).await;
    let runs = async || platform.site.processes().iter().any(|process| process.is("sh") || process.is("yes"));
    for (number, what, request) in [
        (1, "a plain request", "GET /function/yes HTTP/1.1\r\nHost: a\r\n\r\n"),
        (2, "a request for hyper", "GET /function/yes HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n"),
    ] {
        let _unread = raw::send(platform.site.listen, request).await;
        // Its process may be gone before it is looked for.
        platform.site.wait_for_runs(number).await;
        wait_until(&format!("{what} is given up"), async || !runs().await).await;
    }
    assert_unharmed(&platform).await;
}

#[tokio::test]
async fn a_request_that_can_be_read_in_two_ways_is_400_and_its_connection_closed() {
    let platform = Platform::start([Function::cat()]).await;
    let smuggled = "GET /function/cat HTTP/1.1\r\nHost: a\r\n\r\n";
    let heads = [
        "Host: a\nContent-Length: 0\r\n",
        "Host: a\r\nTransfer-Encoding: identity, chunked\r\n",
        "Host: a\r\nTransfer-Encoding: gzip, chunked\r\n",
        "Host: a\r\nTransfer-Encoding: chunked, chunked\r\n",
        "Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Host: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    ];
    for head in heads {
        let request = format!("POST /function/cat HTTP/1.1\r\n{head}\r\n0\r\n\r\n{smuggled}");
        let answer = raw::exchange(platform.site.listen, request).await;
        assert_eq!((status_of(&answer), answer.matches("HTTP/1.1").count()), ("400", 1), "{head}: {answer}");
        assert!(answer.contains("ambiguous_request"), "{head}: {answer}");
    }
    // The same behind a request that hyper has answered, as far as it shows.
    let first = "POST /function/cat HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let second = "POST /function/cat HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
    let answer = raw::exchange(platform.site.listen, format!("{first}{second}{smuggled}")).await;
    assert_eq!((answer.matches(" 200 OK").count(), answer.matches(" 400 Bad").count()), (1, 1), "{answer}");
    assert_unharmed(&platform).await;
}
