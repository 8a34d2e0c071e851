//! A wire to NATS on which one message can be caught: it stays on the wire, or is the last one that comes through.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// Which message is caught, by the beginning of its subject.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment {
    /// It goes to NATS.
    Published(&'static str),
    /// NATS hands it out.
    Delivered(&'static str),
    /// What NATS has handed out is acknowledged.
    Acknowledged(&'static str),
}

/// A message that is waited for.
struct Trap {
    moment: Moment,
    /// What its body or its headers contain.
    text: String,
    /// How many of them come before.
    passed_over: usize,
    comes_through: bool,
    /// The subjects of deliveries, by those that acknowledge them.
    deliveries: HashMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    Whole,
    /// The message is caught, and nothing comes through behind it.
    Caught,
    /// Connections break.
    Cut,
}

struct Shared {
    trap: Mutex<Option<Trap>>,
    wire: watch::Sender<Wire>,
}

pub(crate) struct Tap {
    pub(crate) url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Tap {
    pub(crate) async fn start(nats: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared { trap: Mutex::default(), wire: watch::Sender::new(Wire::Whole) });
        let task = tokio::spawn(serve(listener, nats, Arc::clone(&shared)));
        Self { url, shared, task }
    }

    /// Catches the message with this text that comes after this many others of its kind.
    pub(crate) fn set(&self, moment: Moment, text: &str, passed_over: usize, comes_through: bool) {
        let trap = Trap { moment, text: text.to_owned(), passed_over, comes_through, deliveries: HashMap::new() };
        *self.shared.trap.lock().unwrap() = Some(trap);
    }

    pub(crate) fn has_caught(&self) -> bool {
        *self.shared.wire.borrow() == Wire::Caught
    }

    /// Breaks all connections; new ones are whole.
    pub(crate) fn cut(&self) {
        self.shared.wire.send_replace(Wire::Cut);
        self.shared.wire.send_replace(Wire::Whole);
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, nats: SocketAddr, shared: Arc<Shared>) {
    loop {
        let (caller, _) = listener.accept().await.unwrap();
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let mut wire = shared.wire.subscribe();
            let Ok(called) = TcpStream::connect(nats).await else { return };
            let (from_caller, to_caller) = caller.into_split();
            let (from_called, to_called) = called.into_split();
            // When one way ends, so does the other.
            tokio::select! {
                () = carry(from_caller, to_called, Way::ToNats, &shared) => {}
                () = carry(from_called, to_caller, Way::FromNats, &shared) => {}
                () = cut(&mut wire) => {}
            }
        });
    }
}

/// Returns when the wire was cut, even if it is whole again.
async fn cut(wire: &mut watch::Receiver<Wire>) {
    loop {
        if wire.changed().await.is_err() || *wire.borrow_and_update() != Wire::Caught {
            return;
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    ToNats,
    FromNats,
}

async fn carry(from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, way: Way, shared: &Shared) {
    let mut from = BufReader::new(from);
    while let Some(frame) = Frame::read(&mut from).await {
        let goes_on = shared.look(way, &frame);
        if goes_on && to.write_all(&frame.bytes).await.is_err() {
            return;
        }
        if shared.is_caught() {
            std::future::pending::<()>().await;
        }
    }
}

impl Shared {
    fn is_caught(&self) -> bool {
        *self.wire.borrow() == Wire::Caught
    }

    /// Whether a frame comes through.
    fn look(&self, way: Way, frame: &Frame) -> bool {
        let mut trap = self.trap.lock().unwrap();
        if self.is_caught() {
            return false;
        }
        let Some(set) = trap.as_mut() else { return true };
        if !set.fits(way, frame) {
            return true;
        }
        if set.passed_over > 0 {
            set.passed_over -= 1;
            return true;
        }
        let comes_through = set.comes_through;
        *trap = None;
        self.wire.send_replace(Wire::Caught);
        comes_through
    }
}

impl Trap {
    fn fits(&mut self, way: Way, frame: &Frame) -> bool {
        let has_text = frame.bytes.windows(self.text.len()).any(|window| window == self.text.as_bytes());
        if way == Way::FromNats && has_text {
            self.deliveries.extend(frame.reply.clone().map(|reply| (reply, frame.subject.clone())));
        }
        match self.moment {
            Moment::Published(subject) => way == Way::ToNats && has_text && frame.subject.starts_with(subject),
            Moment::Delivered(subject) => way == Way::FromNats && has_text && frame.subject.starts_with(subject),
            Moment::Acknowledged(subject) => {
                let of = self.deliveries.get(&frame.subject);
                way == Way::ToNats && frame.bytes.ends_with(b"+ACK\r\n") && of.is_some_and(|of| of.starts_with(subject))
            }
        }
    }
}

/// One operation of the protocol of NATS.
struct Frame {
    bytes: Vec<u8>,
    /// Of a message.
    subject: String,
    reply: Option<String>,
}

impl Frame {
    async fn read(from: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Self> {
        let mut bytes = Vec::new();
        if from.read_until(b'\n', &mut bytes).await.ok()? == 0 {
            return None;
        }
        let line = String::from_utf8_lossy(&bytes).into_owned();
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        // Behind the subject, and of a delivery the number of the subscription, there may be a reply; at the end are lengths.
        let (before, lengths) = match words.first().copied() {
            Some("PUB") => (2, 1),
            Some("HPUB") => (2, 2),
            Some("MSG") => (3, 1),
            Some("HMSG") => (3, 2),
            _ => return Some(Self { bytes, subject: String::new(), reply: None }),
        };
        let reply = (words.len() > before + lengths).then(|| words[before].to_owned());
        let (subject, length) = (words[1].to_owned(), words.last()?.parse::<usize>().ok()?);
        let mut content = vec![0; length + 2];
        from.read_exact(&mut content).await.ok()?;
        bytes.extend(content);
        Some(Self { bytes, subject, reply })
    }
}
