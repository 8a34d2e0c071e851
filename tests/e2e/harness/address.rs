//! Ports that nobody else uses.

use std::{
    env,
    fs::{File, OpenOptions},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{
        LazyLock,
        atomic::{AtomicU16, Ordering},
    },
};

/// Below the ports that the kernel gives to outgoing connections, so that none takes one before it is used.
const FIRST: u16 = 18_000;
/// Each is used again only after as many others, because a test may not have begun to use its own.
const BLOCK: u16 = 2_000;
const BLOCKS: u16 = 7;

/// A port of the block that this process holds.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    static HELD: LazyLock<(u16, File)> = LazyLock::new(hold_block);
    loop {
        let port = HELD.0 + NEXT.fetch_add(1, Ordering::Relaxed) % BLOCK;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// The first port of a block that no other process of tests has, and the locked file that shows that it is held.
fn hold_block() -> (u16, File) {
    let block = (0..BLOCKS).find_map(|block| {
        let path = env::temp_dir().join(format!("skep-test-ports-{block}"));
        let file = OpenOptions::new().create(true).append(true).open(path).ok()?;
        file.try_lock().is_ok().then_some((FIRST + block * BLOCK, file))
    });
    block.expect("another process of tests holds each block of ports")
}
