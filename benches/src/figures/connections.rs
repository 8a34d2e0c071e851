//! What an idle connection costs the gateway in memory.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::spawn_blocking;

use crate::{
    bench::Bench,
    http::Target,
    measure::{Row, Side, tell},
    platform::{Disk, Platform},
    upstream,
};

/// The gateway takes a few less than half as many as it may have files open.
const CONNECTIONS: usize = 9_900;
const FILES: u64 = 20_000;

pub(super) async fn memory(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    allow_files()?;
    let mut sides = [Side::new("gateway")];
    for run in 1..=bench.runs {
        let (_upstream, direct) = upstream::start(bench).await?;
        let platform = Platform::start(bench, Disk::Synced).await?;
        platform.register(Some(direct.address)).await?;
        let before = platform.gateway_process().memory_mb("VmRSS")?;
        let target = platform.synchronous();
        let open = spawn_blocking(move || (0..CONNECTIONS).map(|_| called(&target)).collect::<Result<Vec<_>>>());
        let connections = open.await??;
        let after = platform.gateway_process().memory_mb("VmRSS")?;
        sides[0].values.push((after - before) * 1000.0 / connections.len() as f64);
        tell(name, run, bench.runs, &sides);
    }
    let [side] = sides;
    Ok(vec![Row { name: name.to_owned(), unit: "kB", values: side.values, baseline: None }])
}

/// A connection over which one call was made.
fn called(target: &Target) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(target.address)?;
    write!(stream, "GET {} HTTP/1.1\r\nHost: bench\r\n\r\n", target.path)?;
    let mut answer = [0; 512];
    let length = stream.read(&mut answer)?;
    let answer = answer.get(..length).unwrap_or_default();
    ensure!(answer.starts_with(b"HTTP/1.1 200 "), "not the answer that is expected: {answer:?}");
    Ok(stream)
}

/// Enough files may be open, here and in what is started from here.
fn allow_files() -> Result<()> {
    let known = getrlimit(Resource::Nofile);
    let wanted = FILES.max(known.current.unwrap_or(u64::MAX));
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..known })
        .with_context(|| format!("{FILES} open files are needed; ulimit -Hn is less"))
}
