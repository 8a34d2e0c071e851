//! Random bytes and requests that are nearly right: nothing panics, nothing stops.

use crate::harness::{Function, Platform, Process, raw};

const ROUNDS: usize = 1500;

/// Pieces that requests are made of, some of them broken.
const PIECES: [&[u8]; 44] = [
    b"GET ",
    b"POST ",
    b"DELETE ",
    b"PUT ",
    b"/function/cat",
    b"/async-function/cat",
    b"/system/functions",
    b"/system/calls/",
    b"/system/logs?name=cat&follow=false",
    b"/system/secrets",
    b"/",
    b"//",
    b"/..",
    b"%2F",
    b"%FF",
    b"%zz",
    b"\xff",
    b"\0",
    b"?",
    b"#",
    b" HTTP/1.1\r\n",
    b" HTTP/1.0\r\n",
    b" HTTP/2\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"Host: a\r\n",
    b"Connection: close\r\n",
    b"Connection: X-Call-Id, keep-alive\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 5000000000\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"hello",
    b"X-Call-Id: \xc3\x28\r\n",
    b"X-Callback-Url: http://[::1\r\n",
    b"X-Function: cat\r\n",
    b"X-Timeout: -1s\r\n",
    b"X-Forwarded-For: ,,,\r\n",
    b"Expect: 100-continue\r\n",
    b"Upgrade: websocket\r\n",
    b"{\"service\":",
    b"\xef\xbb\xbf{}",
];

pub(crate) fn request(random: &mut fastrand::Rng) -> Vec<u8> {
    if random.u8(..) < 40 {
        return (0..random.usize(1..400)).map(|_| random.u8(..)).collect();
    }
    let mut request = Vec::new();
    if random.u8(..) < 200 {
        // Most begin well, so that what is behind the parser gets its share.
        for choice in [0..4, 4..12, 20..21, 26..27, 27..29] {
            request.extend_from_slice(PIECES[random.usize(choice)]);
        }
    }
    for _ in 0..random.usize(1..10) {
        request.extend_from_slice(PIECES[random.usize(..PIECES.len())]);
    }
    for _ in 0..random.usize(..3) {
        let position = random.usize(..request.len());
        request[position] = random.u8(..);
    }
    request.extend_from_slice(b"\r\n\r\n");
    request
}

#[tokio::test]
async fn garbage_does_no_harm() {
    let platform = Platform::start([Function::cat()]).await;
    let before = platform.gateway.function("cat").await.unwrap()["createdAt"].clone();
    let seed = fastrand::u64(..);
    eprintln!("the seed of this garbage is {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..ROUNDS {
        let mut stream = raw::send(platform.site.listen, request(&mut random)).await;
        if random.bool() {
            // A client that sends nothing more gets an answer or the end; some do not even wait for it.
            tokio::io::AsyncWriteExt::shutdown(&mut stream).await.ok();
            raw::rest_of(&mut stream).await;
        }
    }
    assert_eq!(platform.gateway.call("cat", "still here").await.text(), "still here");
    let id = platform.gateway.queue("cat", "queued").await;
    assert_eq!(platform.gateway.finished(&id).await["state"], "succeeded");
    assert_eq!(platform.gateway.function("cat").await.unwrap()["createdAt"], before);
    let said = platform.up.stderr();
    assert!(!said.contains("panicked"), "with the seed {seed}: {said}");
    let died = platform.site.processes().iter().filter(|process: &&Process| process.is("fwatchdog")).count();
    assert_eq!(died, 1, "its watchdog is there");
}
