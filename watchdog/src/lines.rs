//! Copies a function's output to the log, line by line, and never stops reading.

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::log::Log;

const CHUNK: usize = 8 * 1024;

/// Whose lines they are.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) stream: &'static str,
    pub(crate) call_id: Option<String>,
}

/// Reads to the end; a line longer than `longest` becomes several.
pub(crate) async fn copy_lines(mut output: impl AsyncRead + Unpin, origin: Origin, longest: usize, log: Log) {
    let mut lines = Lines { pending: BytesMut::new(), longest };
    let mut emit = |line: &[u8]| log.relay(origin.stream, origin.call_id.as_deref(), line);
    loop {
        lines.pending.reserve(CHUNK);
        match output.read_buf(&mut lines.pending).await {
            Ok(0) | Err(_) => break,
            Ok(_) => lines.split(&mut emit),
        }
    }
    if !lines.pending.is_empty() {
        emit(&lines.pending);
    }
}

struct Lines {
    pending: BytesMut,
    longest: usize,
}

impl Lines {
    fn split(&mut self, emit: &mut impl FnMut(&[u8])) {
        loop {
            let end = self.pending.iter().position(|byte| *byte == b'\n');
            match end {
                Some(end) if end <= self.longest => {
                    let line = self.pending.split_to(end + 1);
                    emit(line.strip_suffix(b"\n").unwrap_or(&line));
                }
                _ if self.pending.len() > self.longest => emit(&self.pending.split_to(self.longest)),
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_split_and_nothing_is_lost() {
        let mut lines = Lines { pending: BytesMut::from(&b"ab\n\nabcdefgh\nabcd\nxy"[..]), longest: 4 };
        let mut seen = Vec::new();
        lines.split(&mut |line| seen.push(String::from_utf8(line.to_vec()).unwrap()));
        assert_eq!(seen, ["ab", "", "abcd", "efgh", "abcd"]);
        assert_eq!(&lines.pending[..], b"xy");
    }
}
