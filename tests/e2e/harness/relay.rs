//! A wire between two programs that a test can cut, or hold: TCP that goes through this process.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    Whole,
    /// Nothing comes through, and no connection is closed.
    Held,
    /// Connections break, and no new one is made.
    Cut,
}

pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    wire: watch::Sender<Wire>,
    task: JoinHandle<()>,
}

impl Relay {
    pub(crate) async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let wire = watch::Sender::new(Wire::Whole);
        let task = tokio::spawn(serve(listener, to, wire.subscribe()));
        Self { address, wire, task }
    }

    pub(crate) fn cut(&self) {
        self.wire.send_replace(Wire::Cut);
    }

    pub(crate) fn hold(&self) {
        self.wire.send_replace(Wire::Held);
    }

    pub(crate) fn mend(&self) {
        self.wire.send_replace(Wire::Whole);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.wire.send_replace(Wire::Cut);
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, to: SocketAddr, wire: watch::Receiver<Wire>) {
    loop {
        let (caller, _) = listener.accept().await.unwrap();
        let wire = wire.clone();
        tokio::spawn(async move {
            if *wire.borrow() == Wire::Cut {
                return;
            }
            let Ok(called) = TcpStream::connect(to).await else { return };
            let (from_caller, to_caller) = caller.into_split();
            let (from_called, to_called) = called.into_split();
            // When one way ends, so does the other.
            tokio::select! {
                () = carry(from_caller, to_called, wire.clone()) => {}
                () = carry(from_called, to_caller, wire) => {}
            }
        });
    }
}

async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut wire: watch::Receiver<Wire>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        if wire.wait_for(|wire| *wire != Wire::Held).await.is_ok_and(|wire| *wire == Wire::Cut) {
            return;
        }
        tokio::select! {
            read = from.read(&mut buffer) => match read {
                Ok(0) | Err(_) => return,
                Ok(count) => if to.write_all(&buffer[..count]).await.is_err() { return },
            },
            changed = wire.changed() => if changed.is_err() { return },
        }
    }
}
