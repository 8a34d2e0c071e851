//! Clients that send garbage for as long as a storm lasts: requests that are nearly right, HTTP/2 frames, and NATS messages.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use fastrand::Rng;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{garbage, harness::Site};

/// Subjects on which skep listens. What is published to `skep.publish.…` becomes a dead letter, which the storm counts.
const SUBJECTS: [&str; 5] =
    ["skep.call.nobody", "skep.control.nothing", "skep.control.deploy", "skep.activity", "skep.cancel.nobody"];
const PAUSE: Duration = Duration::from_millis(10);
/// Nobody is waited for any longer than this.
const PATIENCE: Duration = Duration::from_millis(500);

/// Makes what is sent next.
type Junk = fn(&mut Rng) -> Vec<u8>;

pub(crate) struct Strangers {
    is_over: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<()>>,
}

impl Strangers {
    pub(crate) fn start(site: &Site, seed: u64) -> Self {
        let (is_over, sent): (Arc<AtomicBool>, Arc<AtomicUsize>) = Default::default();
        let kinds: [(SocketAddr, Junk); 3] =
            [(site.listen, garbage::request), (site.listen, frames), (site.nats, messages)];
        let tasks = kinds.into_iter().enumerate().map(|(number, (address, next))| {
            let (is_over, sent) = (Arc::clone(&is_over), Arc::clone(&sent));
            let mut random = Rng::with_seed(seed.wrapping_add(number as u64));
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    send(address, &next(&mut random), random.bool()).await;
                    sent.fetch_add(1, Ordering::Relaxed);
                    sleep(PAUSE).await;
                }
            })
        });
        Self { tasks: tasks.collect(), is_over: Arc::clone(&is_over), sent: Arc::clone(&sent) }
    }

    /// How many times something was sent.
    pub(crate) async fn end(self) -> usize {
        self.is_over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        self.sent.load(Ordering::Relaxed)
    }
}

/// Sends it, and disconnects at once or after the answer. A port where nothing listens now is open again soon.
async fn send(address: SocketAddr, bytes: &[u8], reads: bool) {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(bytes).await?;
        if reads {
            stream.read_to_end(&mut Vec::new()).await?;
        }
        std::io::Result::Ok(())
    };
    let _ = timeout(PATIENCE, exchange).await;
}

/// A connection of HTTP/2 with frames of any type, flags and stream.
fn frames(random: &mut Rng) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for _ in 0..random.usize(1..20) {
        let length = random.u8(..60);
        bytes.extend([0, 0, length, random.u8(..11), random.u8(..), 0, 0, 0, random.u8(..8)]);
        bytes.extend((0..length).map(|_| random.u8(..)));
    }
    bytes
}

/// Messages with any body, and headers that the NATS client can read; those that it cannot have tests of their own.
fn messages(random: &mut Rng) -> Vec<u8> {
    let mut bytes = b"CONNECT {\"verbose\":false,\"headers\":true}\r\n".to_vec();
    for _ in 0..random.usize(1..6) {
        let subject = SUBJECTS[random.usize(..SUBJECTS.len())];
        let mut headers = b"NATS/1.0\r\n".to_vec();
        for _ in 0..random.usize(..4) {
            let name = ["X-Call-Id", "X-Timeout", "Nats-Rollup", "Connection", "Skep-Status"][random.usize(..5)];
            let value: Vec<u8> = (0..random.usize(..30)).map(|_| random.u8(b' '..0x7f)).collect();
            headers.extend([name.as_bytes(), b": ", &value, b"\r\n"].concat());
        }
        headers.extend(b"\r\n");
        let body: Vec<u8> = (0..random.usize(..300)).map(|_| random.u8(..)).collect();
        let reply = if random.bool() { "_INBOX.stranger" } else { "skep.control.deploy" };
        let start = format!("HPUB {subject} {reply} {} {}\r\n", headers.len(), headers.len() + body.len());
        bytes.extend([start.as_bytes(), &headers, &body, b"\r\n"].concat());
    }
    bytes.extend(b"PING\r\n");
    bytes
}
