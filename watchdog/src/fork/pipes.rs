//! The watchdog's ends of the pipes to a process.
//!
//! They are read and written directly, and registered with the runtime only if they have to wait. Most calls never wait, and each registration costs time.

use std::{
    io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write, pipe},
    os::fd::AsFd,
};

use bytes::{Buf, Bytes, BytesMut};
use rustix::{
    fs::{OFlags, fcntl_setfl},
    pipe::fcntl_setpipe_size,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::pipe::{Receiver, Sender},
};

const FIRST_PIECE: usize = 4096;
const PIECE: usize = 128 * 1024;
/// The default capacity of a pipe (pipe(7)).
const USUAL_SIZE: usize = 64 * 1024;
/// The capacity of a pipe that carries more than that, so that both sides wait less often. It is no larger because all pipes of a user share a limit of 64 MiB by default.
const STREAM_SIZE: usize = 256 * 1024;

/// The pipe that a process writes to.
#[derive(Debug)]
pub(super) struct Reader {
    unwatched: Option<PipeReader>,
    watched: Option<Receiver>,
    /// Bytes so far.
    passed: usize,
}

/// The pipe that a process reads from.
#[derive(Debug)]
pub(super) struct Writer {
    unwatched: Option<PipeWriter>,
    watched: Option<Sender>,
}

impl Reader {
    /// Returns it with the process's end.
    pub(super) fn new() -> io::Result<(Self, PipeWriter)> {
        let (reader, writer) = pipe()?;
        do_not_block(&reader)?;
        Ok((Self { unwatched: Some(reader), watched: None, passed: 0 }, writer))
    }

    /// Appends what is there, and waits if there is nothing; 0 means the end. No byte is lost if this future is dropped.
    pub(super) async fn read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        if let Some(pipe) = &mut self.unwatched {
            let mut piece = [0; FIRST_PIECE];
            match pipe.read(&mut piece) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => {
                    let length = read?;
                    buffer.extend_from_slice(piece.get(..length).unwrap_or_default());
                    return Ok(length);
                }
            }
        }
        buffer.reserve(PIECE);
        let before = self.passed;
        let pipe = self.watched()?;
        let length = pipe.read_buf(buffer).await?;
        if (before..before + length).contains(&USUAL_SIZE) {
            widen(pipe);
        }
        self.passed += length;
        Ok(length)
    }

    /// Whether nothing has been written so far and the other end is open.
    pub(super) fn is_silent(&mut self) -> bool {
        let Some(pipe) = &mut self.unwatched else { return false };
        matches!(pipe.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    fn watched(&mut self) -> io::Result<&mut Receiver> {
        if let Some(pipe) = self.unwatched.take() {
            self.watched = Some(Receiver::from_owned_fd_unchecked(pipe.into())?);
        }
        self.watched.as_mut().ok_or(ErrorKind::NotConnected.into())
    }
}

impl Writer {
    /// Returns it with the process's end.
    pub(super) fn new() -> io::Result<(Self, PipeReader)> {
        let (reader, writer) = pipe()?;
        do_not_block(&writer)?;
        Ok((Self { unwatched: Some(writer), watched: None }, reader))
    }

    /// Writes what fits without waiting.
    pub(super) fn write(&mut self, data: &mut Bytes) -> io::Result<()> {
        while let Some(pipe) = self.unwatched.as_mut().filter(|_| !data.is_empty()) {
            match pipe.write(data) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                written => data.advance(written?),
            }
        }
        Ok(())
    }

    pub(super) async fn write_all(&mut self, data: &mut Bytes) -> io::Result<()> {
        self.write(data)?;
        if data.is_empty() { Ok(()) } else { self.watched()?.write_all_buf(data).await }
    }

    fn watched(&mut self) -> io::Result<&mut Sender> {
        if let Some(pipe) = self.unwatched.take() {
            // It is full.
            widen(&pipe);
            self.watched = Some(Sender::from_owned_fd_unchecked(pipe.into())?);
        }
        self.watched.as_mut().ok_or(ErrorKind::NotConnected.into())
    }
}

/// If that is refused, the capacity stays the same.
fn widen(pipe: impl AsFd) {
    let _ = fcntl_setpipe_size(pipe, STREAM_SIZE);
}

fn do_not_block(pipe: impl AsFd) -> io::Result<()> {
    Ok(fcntl_setfl(pipe, OFlags::NONBLOCK)?)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use rustix::pipe::fcntl_getpipe_size;

    use super::*;

    #[tokio::test]
    async fn a_pipe_is_widened_when_more_goes_through_it_than_it_holds() {
        for (length, size) in [(USUAL_SIZE, USUAL_SIZE), (4 * USUAL_SIZE, STREAM_SIZE)] {
            let (mut writer, mut stdin) = Writer::new().unwrap();
            let (mut reader, mut stdout) = Reader::new().unwrap();
            let (stdin_size, stdout_size) = (stdin.try_clone().unwrap(), stdout.try_clone().unwrap());
            let program = thread::spawn(move || io::copy(&mut stdin, &mut stdout).unwrap());
            let mut received = BytesMut::new();
            let mut data = Bytes::from(vec![b'x'; length]);
            let write = async {
                writer.write_all(&mut data).await.unwrap();
                drop(writer);
            };
            let read = async { while received.len() < length && reader.read(&mut received).await.unwrap() > 0 {} };
            tokio::join!(write, read);
            assert_eq!(program.join().unwrap(), length as u64);
            assert_eq!(received, vec![b'x'; length]);
            assert_eq!(fcntl_getpipe_size(stdin_size).unwrap(), size);
            assert_eq!(fcntl_getpipe_size(stdout_size).unwrap(), size);
        }
    }
}
