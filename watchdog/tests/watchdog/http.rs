//! HTTP mode with a small Python server.

use std::{
    fs,
    io::{BufRead, BufReader},
    thread,
};

use tempfile::TempDir;

use crate::{
    client::{open, send},
    support::{Watchdog, wait_until},
};

const SERVER: &str = r#"
import http.server, os, signal, sys, time
here = os.path.dirname(os.path.abspath(__file__))

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *arguments): pass
    def reply(self, status, body, **headers):
        self.send_response(status)
        for name, value in headers.items(): self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data)); self.wfile.flush()
    def wait(self, name):
        while not os.path.exists(os.path.join(here, name)): time.sleep(0.02)
    def stream(self, content_type):
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.chunk(b"data: first\n")
        self.wait("go")
        self.chunk(b"data: second\n"); self.chunk(b"")
    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/pid": self.reply(200, b"%d" % os.getpid())
        elif path == "/crash": os._exit(1)
        elif path == "/hang": time.sleep(1000)
        elif path == "/events": self.stream("text/event-stream")
        elif path == "/plain": self.stream("text/plain")
        elif path == "/wait":
            open(os.path.join(here, "waiting"), "w").close()
            self.wait("go"); self.reply(200, b"waited")
        elif path == "/ready": self.reply(200 if os.path.exists(os.path.join(here, "go")) else 500, b"")
        elif path == "/redirect": self.reply(302, b"", Location="/elsewhere")
        else:
            seen = [self.command, self.path] + ["%s: %s" % item for item in self.headers.items()] + ["peer %d" % self.client_address[1]]
            self.reply(418, "\n".join(seen).encode(), X_Own="yes", Connection="keep-alive")
    def do_POST(self):
        length = self.headers.get("Content-Length")
        if length is not None: body = self.rfile.read(int(length))
        else:
            body = b""
            while size := int(self.rfile.readline(), 16): body += self.rfile.read(size); self.rfile.readline()
            self.rfile.readline()
        self.reply(200, body, X_Length=str(length))

print("started", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

fn start(settings: &[(&str, &str)]) -> (Watchdog, TempDir) {
    Watchdog::python(SERVER, settings)
}

#[test]
fn requests_and_answers_pass_through_as_they_are() {
    let (watchdog, _directory) = start(&[]);
    watchdog.wait_until_ready();
    let headers = [("X-Call-Id", "7"), ("Keep-Alive", "5"), ("Proxy-Connection", "x"), ("Expect", "100-continue")];
    let answer = send(watchdog.address, "GET", "/a%2Fb?c=d%20e", &headers, b"");
    assert_eq!(answer.status, 418);
    let text = answer.text().to_lowercase();
    for expected in ["get\n/a%2fb?c=d%20e\n", "host: function:8080", "x-call-id: 7"] {
        assert!(text.contains(expected), "{expected} is not in {text}");
    }
    assert!(!text.contains("keep-alive") && !text.contains("proxy-connection") && !text.contains("expect"), "{text}");
    assert_eq!((answer.headers["x_own"].as_str(), answer.headers["x-call-id"].as_str()), ("yes", "7"));
    assert!(answer.headers.contains_key("x-duration-seconds"));
    assert_eq!(watchdog.get("/redirect").headers["location"], "/elsewhere");
    wait_until("the program's line is in the log", || watchdog.logged("stdout: started"));
}

#[test]
fn connections_to_the_program_are_used_again() {
    let (watchdog, _directory) = start(&[]);
    watchdog.wait_until_ready();
    let peer = || watchdog.get("/").text().lines().last().unwrap().to_owned();
    let mut last = peer();
    wait_until("a connection serves twice", || {
        let next = peer();
        let same = next == last;
        last = next;
        same
    });
}

#[test]
fn large_bodies_pass_both_ways_and_can_be_given_a_length() {
    for (setting, length) in [("false", "None"), ("true", "9")] {
        let (watchdog, _directory) = start(&[("buffer_http", setting)]);
        watchdog.wait_until_ready();
        let body: Vec<u8> = (0..8u32 << 20).map(|position| (position / 3 % 251) as u8).collect();
        assert!(watchdog.post(&body).body == body);
        let mut stream = open(watchdog.address, "POST", "/", &[("Transfer-Encoding", "chunked")], None);
        std::io::Write::write_all(&mut stream, b"9\r\nnine byte\r\n0\r\n\r\n").unwrap();
        let answer = std::io::read_to_string(stream).unwrap();
        assert!(answer.contains(&format!("x_length: {length}\r\n")), "{answer}");
    }
}

#[test]
fn nobody_is_served_before_the_ready_path_answers() {
    let (watchdog, directory) = start(&[("ready_path", "/ready")]);
    let answer = watchdog.get("/pid");
    assert_eq!((answer.status, answer.headers["retry-after"].as_str()), (503, "1"));
    assert_eq!(answer.text(), "the function is starting\n");
    let answer = watchdog.get("/_/ready");
    assert_eq!((answer.status, answer.text().as_str()), (503, "the function is starting\n"));
    assert_eq!(watchdog.get("/_/health").status, 503);
    fs::write(directory.path().join("go"), "").unwrap();
    watchdog.wait_until_ready();
    assert_eq!(watchdog.get("/_/health").status, 200);
    assert_eq!(watchdog.get("/pid").status, 200);
    fs::remove_file(directory.path().join("go")).unwrap();
    let answer = watchdog.get("/_/ready");
    assert_eq!((answer.status, answer.text().as_str()), (500, "the function answers 500 at its ready_path\n"));
    // It was ready once, so it is not to be killed for that.
    assert_eq!(watchdog.get("/_/health").status, 200);
}

#[test]
fn a_program_that_dies_is_started_again_and_callers_are_told_to_come_back() {
    let (watchdog, _directory) = start(&[]);
    watchdog.wait_until_ready();
    let pid = watchdog.get("/pid").text();
    let answer = watchdog.get("/crash");
    assert_eq!((answer.status, answer.headers["x-openfaas-internal"].as_str()), (500, "of-watchdog"));
    wait_until("another process answers", || {
        let answer = watchdog.get("/pid");
        assert!([200, 500, 503].contains(&answer.status), "{}", answer.status);
        answer.status == 200 && answer.text() != pid
    });
    wait_until("the log says so", || watchdog.logged("is started again in 100ms"));
}

#[test]
fn a_program_that_was_ready_and_cannot_be_started_again_is_503_and_the_watchdog_stays() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("server.py"), SERVER).unwrap();
    let program = directory.path().join("program");
    // Copies, so that nothing is executed while it is open for writing.
    fs::copy("/bin/sh", &program).unwrap();
    let line = format!("{} -c 'exec python3 {}/server.py'", program.display(), directory.path().display());
    let watchdog = Watchdog::start(&[("mode", "http"), ("fprocess", &line)]);
    watchdog.wait_until_ready();
    fs::remove_file(program).unwrap();
    watchdog.get("/crash");
    wait_until("the failure is in the log", || watchdog.logged("cannot be started"));
    let answer = watchdog.get("/");
    assert_eq!(answer.status, 503);
    assert!(answer.text().starts_with("the function cannot be started (No such file"), "{}", answer.text());
}

#[test]
fn a_program_that_was_ready_and_ended_is_503_with_its_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("server.py"), SERVER).unwrap();
    let folder = directory.path().display();
    let script = format!("[ -e {folder}/once ] && exit 3; touch {folder}/once; exec python3 {folder}/server.py");
    let watchdog = Watchdog::sh(&script, &[("mode", "http")]);
    watchdog.wait_until_ready();
    watchdog.get("/crash");
    wait_until("it has ended again", || watchdog.logged("ended (exit status: 3)"));
    for path in ["/", "/_/ready"] {
        let answer = watchdog.get(path);
        let facts = [answer.headers["retry-after"].as_str(), answer.headers["x-skep-error"].as_str()];
        assert_eq!((answer.status, facts), (503, ["1", "not_ready"]));
        assert_eq!(answer.text(), "the function ended (exit status: 3) and is started again\n");
    }
}

#[test]
fn a_program_that_ends_again_and_again_and_was_never_ready_ends_the_watchdog() {
    for (command, end) in
        [("sh -c 'exit 3'", "ended (exit status: 3)"), ("/no/such/program", "cannot be started (No such file")]
    {
        let mut watchdog = Watchdog::start(&[("mode", "http"), ("fprocess", command)]);
        assert_eq!(watchdog.wait_for_exit().code(), Some(1), "{command}");
        wait_until("the log is read to its end", || watchdog.logged("was never ready"));
        let lines = watchdog.log_lines();
        assert_eq!(lines.iter().filter(|line| line.contains("is started again in")).count(), 4, "{lines:?}");
        let last = lines.last().unwrap();
        assert!(last.contains(end) && last.contains("was never ready"), "{lines:?}");
    }
}

#[test]
fn the_program_is_told_how_long_it_has() {
    let reported = |watchdog: &Watchdog, headers: &[(&str, &str)]| {
        let answer = send(watchdog.address, "GET", "/", headers, b"");
        assert_eq!(answer.status, 418);
        answer.text().lines().find_map(|line| line.strip_prefix("x-timeout: ").map(str::to_owned))
    };
    let (watchdog, _directory) = start(&[("exec_timeout", "10m")]);
    watchdog.wait_until_ready();
    for (asked, most) in [(None, 600_000), (Some("5m"), 300_000), (Some("1h"), 600_000)] {
        let rest =
            reported(&watchdog, &asked.map(|asked| ("X-Timeout", asked)).into_iter().collect::<Vec<_>>()).unwrap();
        let milliseconds: u32 = rest.strip_suffix("ms").unwrap().parse().unwrap();
        assert!((most - 60_000..most).contains(&milliseconds), "{asked:?}: {rest}");
    }
    let (watchdog, _directory) = start(&[("exec_timeout", "0")]);
    watchdog.wait_until_ready();
    assert_eq!(reported(&watchdog, &[]), None);
    // Longer than the clock can count to.
    assert!(reported(&watchdog, &[("X-Timeout", "18446744073709551615")]).is_some());
}

#[test]
fn an_answer_that_takes_too_long_is_504() {
    let (watchdog, _directory) = start(&[("exec_timeout", "3s")]);
    watchdog.wait_until_ready();
    // What a caller would like to get is no reason to wait for longer.
    for headers in [&[][..], &[("Accept", "text/event-stream")]] {
        let answer = send(watchdog.address, "GET", "/hang", headers, b"");
        assert_eq!((answer.status, answer.headers["x-openfaas-internal"].as_str()), (504, "of-watchdog"));
    }
    assert_eq!(watchdog.get("/redirect").status, 302);
}

#[test]
fn event_streams_are_not_held_back_and_have_no_time_limit() {
    let (watchdog, directory) = start(&[("exec_timeout", "3s")]);
    watchdog.wait_until_ready();
    let lines = |path| BufReader::new(open(watchdog.address, "GET", path, &[], None)).lines().map_while(Result::ok);
    let mut plain =
        lines("/plain").skip_while(|line| line != "data: first").skip(1).filter(|line| line.starts_with("data"));
    let mut events =
        lines("/events").skip_while(|line| line != "data: first").skip(1).filter(|line| line.starts_with("data"));
    assert_eq!(plain.next(), None, "an answer that is no stream breaks off");
    fs::write(directory.path().join("go"), "").unwrap();
    assert_eq!(events.next().as_deref(), Some("data: second"));
}

#[test]
fn sigterm_reaches_the_program_only_after_its_calls() {
    let (mut watchdog, directory) = start(&[]);
    watchdog.wait_until_ready();
    thread::scope(|scope| {
        let address = watchdog.address;
        let call = scope.spawn(move || send(address, "GET", "/wait", &[], b""));
        wait_until("the call runs", || fs::exists(directory.path().join("waiting")).unwrap());
        watchdog.signal("TERM");
        wait_until("it shuts down", || watchdog.logged("Shutting down"));
        fs::write(directory.path().join("go"), "").unwrap();
        let answer = call.join().unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "waited"));
    });
    assert!(watchdog.wait_for_exit().success());
    assert_eq!(watchdog.functions(), 0);
}

#[test]
fn the_end_of_the_lifeline_ends_the_program_for_good() {
    let (mut watchdog, _directory) = start(&[("lifeline", "stdin")]);
    watchdog.wait_until_ready();
    drop(watchdog.take_stdin());
    watchdog.wait_for_exit();
    assert_eq!(watchdog.functions(), 0);
}
