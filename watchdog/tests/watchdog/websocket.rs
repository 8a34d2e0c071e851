//! Connections that change their protocol, with a small Python server that does what RFC 6455 asks for.

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
};

use tempfile::TempDir;

use crate::{
    client::send,
    support::{DEADLINE, Watchdog, wait_until},
};

const SERVER: &str = r#"
import base64, hashlib, http.server, os, signal, socketserver, struct, sys, threading, time
here = os.path.dirname(os.path.abspath(__file__))
sockets = set()

def ends(*_):
    open(os.path.join(here, "asked"), "w").close()
    # As servers do that let their connections end first.
    def wait():
        while sockets: time.sleep(0.01)
        open(os.path.join(here, "in peace"), "w").close(); os._exit(0)
    threading.Thread(target=wait).start()

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *arguments): pass
    def switch(self, protocol, more="", data=b""):
        head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\nConnection: Upgrade\r\n%s\r\n" % (protocol, more)
        self.wfile.write(head.encode() + data); self.wfile.flush()
        self.close_connection = True
    def frame(self):
        kind, length = self.rfile.read(2)
        length &= 127
        if length == 126: length, = struct.unpack("!H", self.rfile.read(2))
        elif length == 127: length, = struct.unpack("!Q", self.rfile.read(8))
        mask = self.rfile.read(4)
        return kind & 15, bytes(byte ^ mask[place % 4] for place, byte in enumerate(self.rfile.read(length)))
    def echo_frames(self):
        while True:
            try: kind, data = self.frame()
            except ValueError: return
            if data == b"die": os._exit(1)
            head = bytes([0x80 | kind])
            if len(data) < 126: head += bytes([len(data)])
            elif len(data) < 65536: head += struct.pack("!BH", 126, len(data))
            else: head += struct.pack("!BQ", 127, len(data))
            self.wfile.write(head + data); self.wfile.flush()
            if kind == 8: return
    def do_GET(self):
        if self.path == "/socket":
            sockets.add(self)
            key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
            self.switch("websocket", "Sec-WebSocket-Accept: %s\r\n" % accept)
            try: self.echo_frames()
            finally: sockets.discard(self)
        elif self.path == "/raw":
            self.switch("raw", data=b"early ")
            while data := self.rfile.read1(): self.wfile.write(data); self.wfile.flush()
            self.wfile.write(b" late")
        elif self.path == "/hang": time.sleep(1000)
        else:
            body = str(self.headers).encode()
            self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
            self.wfile.write(body)

signal.signal(signal.SIGTERM, ends)
server = socketserver.ThreadingTCPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
server.daemon_threads = True
server.serve_forever()
"#;

fn start(settings: &[(&str, &str)]) -> (Watchdog, TempDir) {
    let (watchdog, folder) = Watchdog::python(SERVER, settings);
    watchdog.wait_until_ready();
    (watchdog, folder)
}

/// Sends the head of a request that asks for another protocol, and `early` right after it.
fn ask(address: SocketAddr, path: &str, protocol: &str, early: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: {protocol}\r\nX-Call-Id: 7\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), early].concat()).unwrap();
    stream
}

/// The head of an answer in lower case, and not a byte more.
fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(read(stream, 1));
    }
    String::from_utf8(head).unwrap().to_lowercase()
}

fn read(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// A WebSocket after its handshake, which is the example of RFC 6455.
fn web_socket(address: SocketAddr) -> TcpStream {
    let mut stream = ask(address, "/socket", "websocket", b"");
    let head = head(&mut stream);
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    for expected in [
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=",
        "x-call-id: 7",
    ] {
        assert_eq!(head.lines().filter(|line| *line == expected).count(), 1, "{expected} in {head}");
    }
    stream
}

/// Sends a frame and expects the same one back, without its mask.
fn assert_echo(stream: &mut TcpStream, kind: u8, data: &[u8]) {
    let (short, long) = match data.len() {
        length @ ..126 => (length as u8, Vec::new()),
        length @ 126..65536 => (126, (length as u16).to_be_bytes().to_vec()),
        length => (127, (length as u64).to_be_bytes().to_vec()),
    };
    let mask = [1, 2, 3, 4];
    let masked: Vec<u8> = data.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    stream.write_all(&[&[0x80 | kind, 0x80 | short][..], &long, &mask, &masked].concat()).unwrap();
    let expected = [&[0x80 | kind, short][..], &long, data].concat();
    assert!(read(stream, expected.len()) == expected);
}

fn assert_end(stream: &mut TcpStream) {
    // A reset is an end as well.
    assert_eq!(stream.read(&mut [0]).unwrap_or_default(), 0);
}

#[test]
fn a_web_socket_passes_and_counts_as_a_call_until_its_end() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (watchdog, _directory) = start(&[("max_inflight", "1"), ("metrics_port", &port.to_string())]);
    let in_flight = |count| {
        let page = send(([127, 0, 0, 1], port).into(), "GET", "/metrics", &[], b"").text();
        page.contains(&format!("http_requests_in_flight {count}\n"))
    };
    let mut socket = web_socket(watchdog.address);
    assert_echo(&mut socket, 1, b"hello");
    assert_echo(&mut socket, 2, &[7; 300]);
    assert_echo(&mut socket, 2, &(0..200_000).map(|place| (place % 251) as u8).collect::<Vec<_>>());
    wait_until("it is counted", || in_flight(1));
    assert_eq!((watchdog.get("/").status, watchdog.get("/_/ready").status), (429, 429));
    assert_echo(&mut socket, 8, &[3, 232]);
    assert_end(&mut socket);
    wait_until("there is room again", || watchdog.get("/").status == 200);
    wait_until("it is not counted any more", || in_flight(0));
}

#[test]
fn a_client_that_is_gone_and_a_program_that_is_gone_end_the_connection() {
    let (watchdog, _directory) = start(&[("max_inflight", "1")]);
    drop(web_socket(watchdog.address));
    wait_until("there is room again", || watchdog.get("/").status == 200);
    let mut socket = web_socket(watchdog.address);
    socket.write_all(&[&[0x81, 0x83, 0, 0, 0, 0][..], b"die"].concat()).unwrap();
    assert_end(&mut socket);
    // The connection ends before the watchdog knows of the program's end.
    wait_until("its end is noticed", || watchdog.logged("is started again in"));
    watchdog.wait_until_ready();
    assert_echo(&mut web_socket(watchdog.address), 1, b"again");
}

#[test]
fn the_time_limit_is_for_the_handshake_only() {
    let (watchdog, _directory) = start(&[("exec_timeout", "5s")]);
    let mut socket = web_socket(watchdog.address);
    // It was sent after the handshake, and has the same limit.
    let mut hangs = ask(watchdog.address, "/hang", "websocket", b"");
    assert!(head(&mut hangs).starts_with("http/1.1 504 "));
    assert_echo(&mut socket, 1, b"still there");
}

#[test]
fn bytes_right_after_either_head_and_after_the_end_of_one_side_arrive() {
    let (watchdog, _directory) = start(&[]);
    let mut stream = ask(watchdog.address, "/raw", "raw", b"at once");
    assert!(head(&mut stream).contains("\r\nupgrade: raw\r\n"));
    assert_eq!(read(&mut stream, 13), b"early at once");
    stream.shutdown(Shutdown::Write).unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, " late");
}

#[test]
fn an_upgrade_that_the_program_does_not_want_is_an_ordinary_call() {
    let (watchdog, _directory) = start(&[]);
    for (protocol, passes) in [("websocket", true), ("h2c", false)] {
        let mut stream = ask(watchdog.address, "/", protocol, b"");
        // The second time: the connection still speaks HTTP.
        for _ in 0..2 {
            let head = head(&mut stream);
            assert!(head.starts_with("http/1.1 200 ") && !head.contains("upgrade"), "{head}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
            let seen = String::from_utf8(read(&mut stream, length)).unwrap().to_lowercase();
            let upgrade = [format!("\nupgrade: {protocol}\n"), "\nconnection: upgrade\n".to_owned()];
            for header in upgrade {
                assert_eq!(format!("\n{seen}").contains(&header), passes, "{header:?} in {seen}");
            }
            assert!(!seen.contains("keep-alive"), "{seen}");
            let again = format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n");
            stream.write_all(again.as_bytes()).unwrap();
        }
    }
}

#[test]
fn a_101_that_nobody_asked_for_is_a_failure() {
    let (watchdog, _directory) = start(&[]);
    let answer = watchdog.get("/raw");
    assert_eq!((answer.status, answer.headers["x-skep-error"].as_str()), (500, "upstream"));
    wait_until("the log says why", || watchdog.logged("answered 101"));
}

#[test]
fn a_shutdown_cuts_what_is_open_after_write_timeout_and_then_ends_the_program() {
    let (mut watchdog, directory) = start(&[("write_timeout", "200ms")]);
    let mut socket = web_socket(watchdog.address);
    assert_echo(&mut socket, 1, b"hello");
    watchdog.signal("TERM");
    assert_end(&mut socket);
    assert!(watchdog.wait_for_exit().success());
    assert_eq!(watchdog.functions(), 0);
    assert!(fs::exists(directory.path().join("in peace")).unwrap(), "the connection ended after the program");
}

#[test]
fn a_shutdown_waits_for_what_is_open() {
    let (mut watchdog, directory) = start(&[("write_timeout", "10m")]);
    let mut socket = web_socket(watchdog.address);
    watchdog.signal("TERM");
    wait_until("nobody listens", || TcpStream::connect(watchdog.address).is_err());
    for _ in 0..100 {
        assert_echo(&mut socket, 1, b"still there");
    }
    assert!(
        !fs::exists(directory.path().join("asked")).unwrap(),
        "the program was asked to end before its connections"
    );
    assert_echo(&mut socket, 8, &[3, 232]);
    assert!(watchdog.wait_for_exit().success());
    assert!(fs::exists(directory.path().join("in peace")).unwrap());
}

#[test]
fn a_second_signal_cuts_what_is_open_at_once() {
    let (mut watchdog, _directory) = start(&[("write_timeout", "10m")]);
    let mut socket = web_socket(watchdog.address);
    watchdog.signal("TERM");
    wait_until("it shuts down", || watchdog.logged("Shutting down"));
    watchdog.signal("TERM");
    assert_end(&mut socket);
    watchdog.wait_for_exit();
    assert_eq!(watchdog.functions(), 0);
}
