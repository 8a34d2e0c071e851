//! A relay: it passes bytes on and knows nothing of HTTP. That is the least that anything costs which stands between a caller and a function.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd,
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context, Result};
use rustix::pipe::fcntl_setpipe_size;

use crate::{
    args::RelayArgs,
    bench::Bench,
    http::Target,
    process::{Launch, Process, free_address},
};

/// What is read at once; pipes hold as much.
const PIECE: usize = 256 << 10;

/// Serves until the process is terminated, with two threads for a connection.
pub(crate) fn run(args: &RelayArgs) -> Result<()> {
    let listener = TcpListener::bind(args.listen).context("cannot listen")?;
    for caller in listener.incoming() {
        let (caller, to) = (caller.context("cannot accept")?, args.to);
        // A connection that breaks is its caller's business.
        thread::spawn(move || match to {
            Some(address) => between(&caller, &TcpStream::connect(address)?),
            None => through_cat(&caller),
        });
    }
    Ok(())
}

/// Starts one before an address, in a process of its own.
pub(crate) async fn start(bench: &Bench, to: SocketAddr) -> Result<(Process, Target)> {
    let (mut process, target) = launch(bench, Some(to))?;
    process.until_ready(async || target.answers().await).await?;
    Ok((process, target))
}

/// Starts two, one before the other, the second of which starts a `cat` for each connection and relays to it.
pub(crate) async fn start_two(bench: &Bench) -> Result<([Process; 2], SocketAddr)> {
    let (mut inner_process, inner) = launch(bench, None)?;
    let (mut outer_process, outer) = launch(bench, Some(inner.address))?;
    for (process, target) in [(&mut inner_process, &inner), (&mut outer_process, &outer)] {
        process.until_ready(async || TcpStream::connect(target.address).is_ok()).await?;
    }
    Ok(([outer_process, inner_process], outer.address))
}

fn launch(bench: &Bench, to: Option<SocketAddr>) -> Result<(Process, Target)> {
    let target = Target::new(free_address()?, "/");
    let mut arguments = vec!["relay".into(), target.address.to_string().into()];
    arguments.extend(to.map(|to| to.to_string().into()));
    let launch = Launch { name: "relay", program: &bench.programs.own, arguments, variables: vec![] };
    Ok((Process::start(bench, launch)?, target))
}

fn between(caller: &TcpStream, callee: &TcpStream) -> io::Result<()> {
    caller.set_nodelay(true)?;
    callee.set_nodelay(true)?;
    thread::scope(|scope| {
        scope.spawn(|| pass_on(callee, caller).and_then(|()| caller.shutdown(Shutdown::Write)));
        pass_on(caller, callee).and_then(|()| callee.shutdown(Shutdown::Write))
    })
}

fn through_cat(caller: &TcpStream) -> io::Result<()> {
    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(ErrorKind::BrokenPipe.into());
    };
    for pipe in [stdin.as_fd(), stdout.as_fd()] {
        fcntl_setpipe_size(pipe, PIECE)?;
    }
    thread::scope(|scope| {
        scope.spawn(move || pass_on(caller, stdin));
        pass_on(stdout, caller)?;
        caller.shutdown(Shutdown::Write)
    })?;
    child.wait().map(|_| ())
}

/// `io::copy` would ask the kernel to do it without copying, where it can.
fn pass_on(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let length = from.read(&mut piece)?;
        if length == 0 {
            return Ok(());
        }
        to.write_all(piece.get(..length).unwrap_or_default())?;
    }
}
