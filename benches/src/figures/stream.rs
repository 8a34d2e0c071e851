//! Bytes through a watchdog that streams to `cat` and back, with and without a gateway before it, against the same bytes through `cat` alone, and through relays in the place of both; and the memory that it takes.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    process::{Command, Stdio},
    thread,
    time::Instant,
};

use anyhow::{Context, Result, anyhow, bail};
use tokio::task::spawn_blocking;

use crate::{
    bench::Bench,
    http::Target,
    measure::{Row, Side, rows, tell},
    platform::{Disk, Platform},
    relay, watchdog,
};

const BYTES: usize = 1_000_000_000;
const BODY: usize = 64 << 20;
const PIECE: usize = 1 << 18;
const END: &[u8] = b"\r\n0\r\n\r\n";

pub(super) async fn rate(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    let mut sides = [Side::new("watchdog"), Side::new("cat")];
    let mut memory = Vec::new();
    for run in 1..=bench.runs {
        let (process, target) = watchdog::streaming(bench, "cat").await?;
        let [streamed, raw] = &mut sides;
        streamed.values.push(spawn_blocking(move || through_http(&target, BYTES)).await??);
        memory.push(process.memory_mb("VmHWM")?);
        raw.values.push(spawn_blocking(|| through_cat(BYTES)).await??);
        tell(name, run, bench.runs, &sides);
    }
    let mut rows = rows(name, "MB/s", sides.into());
    rows.push(Row { name: "stream_rss_mb".to_owned(), unit: "MB", values: memory, baseline: None });
    Ok(rows)
}

/// One large body through the gateway and the watchdog, and the most memory that the gateway had.
pub(super) async fn through_gateway(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    let mut sides = [Side::new("skep"), Side::new("cat"), Side::new("relays")];
    let mut memory = Vec::new();
    for run in 1..=bench.runs {
        let (_watchdog, function) = watchdog::streaming(bench, "cat").await?;
        let platform = Platform::start(bench, Disk::Synced).await?;
        platform.register(Some(function.address)).await?;
        let target = platform.synchronous();
        let (_relays, relays) = relay::start_two(bench).await?;
        let [streamed, raw, relayed] = &mut sides;
        streamed.values.push(spawn_blocking(move || through_http(&target, BODY)).await??);
        memory.push(platform.gateway_process().memory_mb("VmHWM")?);
        raw.values.push(spawn_blocking(|| through_cat(BODY)).await??);
        relayed.values.push(spawn_blocking(move || through_relays(relays, BODY)).await??);
        tell(name, run, bench.runs, &sides);
    }
    let mut rows = rows(name, "MB/s", sides.into());
    rows.push(Row { name: "body_64mib_rss_mb".to_owned(), unit: "MB", values: memory, baseline: None });
    Ok(rows)
}

fn through_http(target: &Target, bytes: usize) -> Result<f64> {
    let mut stream = TcpStream::connect(target.address)?;
    let (path, begun) = (&target.path, Instant::now());
    write!(stream, "POST {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nContent-Length: {bytes}\r\n\r\n")?;
    let mut writer = stream.try_clone()?;
    let (received, last) = both_ways(&mut stream, move || send(&mut writer, bytes))?;
    if received > bytes && last.ends_with(END) {
        return Ok(per_second(bytes, begun));
    }
    bail!("only {received} bytes came back, or the answer broke off")
}

fn through_relays(address: SocketAddr, bytes: usize) -> Result<f64> {
    let mut stream = TcpStream::connect(address)?;
    let begun = Instant::now();
    let mut writer = stream.try_clone()?;
    let (received, _) = both_ways(&mut stream, move || {
        send(&mut writer, bytes)?;
        Ok(writer.shutdown(Shutdown::Write)?)
    })?;
    if received == bytes {
        return Ok(per_second(bytes, begun));
    }
    bail!("only {received} bytes came back")
}

fn through_cat(bytes: usize) -> Result<f64> {
    let begun = Instant::now();
    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().context("a pipe is missing")?;
    let mut stdout = child.stdout.take().context("a pipe is missing")?;
    let (received, _) = both_ways(&mut stdout, move || send(&mut stdin, bytes))?;
    if received == bytes && child.wait()?.success() {
        return Ok(per_second(bytes, begun));
    }
    bail!("only {received} bytes came back")
}

/// Reads to the end while something else is written; how many bytes came, and the last ones.
fn both_ways(reader: &mut impl Read, write: impl FnOnce() -> Result<()> + Send + 'static) -> Result<(usize, Vec<u8>)> {
    let writing = thread::spawn(write);
    let (mut buffer, mut received, mut last) = (vec![0; PIECE], 0, Vec::new());
    loop {
        let length = reader.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        received += length;
        last.extend_from_slice(buffer.get(length.saturating_sub(END.len())..length).unwrap_or_default());
        last.drain(..last.len().saturating_sub(END.len()));
    }
    writing.join().map_err(|_| anyhow!("a thread panicked"))??;
    Ok((received, last))
}

fn send(writer: &mut impl Write, bytes: usize) -> Result<()> {
    let piece = vec![b'x'; PIECE];
    let mut left = bytes;
    while left > 0 {
        let length = left.min(PIECE);
        writer.write_all(piece.get(..length).unwrap_or_default())?;
        left -= length;
    }
    Ok(())
}

fn per_second(bytes: usize, begun: Instant) -> f64 {
    bytes as f64 / 1e6 / begun.elapsed().as_secs_f64()
}
