//! Ten thousand calls, after which nothing may be left.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
};

use crate::{
    client::open,
    support::{THREADS, Watchdog, free_port, wait_until, waiting_processes},
};

const AT_A_TIME: usize = 4;

#[test]
fn ten_thousand_calls_leak_neither_processes_nor_file_descriptors() {
    // The process that waits for a request, and its pipes, are no leak.
    for (settings, calls, waiting) in
        [(&[][..], 4000, 0), (&[("mode", "streaming")], 3000, 0), (&[("prefork", "1")], 3000, 1)]
    {
        let port = free_port();
        let port_text = port.to_string();
        let settings = [settings, &[("metrics_port", &port_text)]].concat();
        let watchdog =
            Watchdog::sh("read line; echo $line; [ \"$line\" = slow ] && sleep 1000; [ \"$line\" != fail ]", &settings);
        // A child may also be one that has ended, in the place of the one that is to wait.
        let settled = || waiting_processes(port) == waiting && watchdog.children().len() == waiting;
        let held: Vec<_> = (0..THREADS).map(|_| TcpStream::connect(watchdog.address).unwrap()).collect();
        assert_eq!(watchdog.post(b"hello\n").text(), "hello\n");
        drop(held);
        call(&watchdog, 10);
        wait_until("the first calls are over", settled);
        let before = watchdog.descriptors();
        thread::scope(|scope| (0..AT_A_TIME).for_each(|_| drop(scope.spawn(|| call(&watchdog, calls / AT_A_TIME)))));
        wait_until("no process is left", settled);
        wait_until("as many descriptors are open as before", || watchdog.descriptors() <= before);
    }
}

/// Calls that succeed, fail, are too slow, and are given up by the client.
fn call(watchdog: &Watchdog, number: usize) {
    for call in 0..number {
        match call % 100 {
            7 => drop(open(watchdog.address, "POST", "/", &[], Some(5))),
            8 => {
                let raw = ask(watchdog, "X-Timeout: 20ms\r\nContent-Length: 5\r\n\r\nslow\n");
                assert!(raw.contains("Killed process.") || raw.contains("slow"), "{raw}");
            }
            9 => {
                let raw = ask(watchdog, "Content-Length: 5\r\n\r\nfail\n");
                assert!(raw.contains("fail") && !raw.ends_with("\r\n0\r\n\r\n"), "{raw}");
            }
            _ => assert_eq!(watchdog.post(b"hello\n").text(), "hello\n"),
        }
    }
}

/// The answer as it came, as far as it came.
fn ask(watchdog: &Watchdog, rest: &str) -> String {
    let mut stream = TcpStream::connect(watchdog.address).unwrap();
    write!(stream, "POST / HTTP/1.1\r\nHost: function\r\nConnection: close\r\n{rest}").unwrap();
    let mut raw = String::new();
    // A reset is a way to break off as well.
    let _ = stream.read_to_string(&mut raw);
    raw
}
