//! Copies a function's output to the log, line by line, and never stops reading.

use bytes::BytesMut;
use http::HeaderMap;
use skep_protocol::headers::CALL_ID;
use skep_trace::{Context, TraceId};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::log::Log;

const CHUNK: usize = 8 * 1024;
/// The most bytes of a UTF-8 character.
const WIDEST: usize = 4;

/// Whose lines they are.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) stream: &'static str,
    pub(crate) call_id: Option<String>,
    pub(crate) trace_id: Option<TraceId>,
}

impl Origin {
    /// Of the call that has these headers.
    pub(crate) fn of_call(stream: &'static str, headers: &HeaderMap) -> Self {
        let call_id = headers.get(CALL_ID).map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned());
        let trace_id = Context::read(headers).map(|context| context.trace_id);
        Self { stream, call_id, trace_id }
    }
}

/// A line, or a part of one that is longer than the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    pub(crate) text: &'a [u8],
    /// It goes on where another piece ended.
    pub(crate) continued: bool,
    /// Another piece goes on where it ends.
    pub(crate) partial: bool,
}

/// Reads to the end; a line that is too long becomes several pieces.
pub(crate) async fn copy_lines(mut output: impl AsyncRead + Unpin, origin: Origin, log: Log) {
    let mut lines = Lines::new(log.max_line());
    let mut emit = |piece: Piece<'_>| log.relay(&origin, piece);
    loop {
        lines.pending.reserve(CHUNK);
        match output.read_buf(&mut lines.pending).await {
            Ok(0) | Err(_) => break,
            Ok(_) => lines.split(&mut emit),
        }
    }
    lines.end(&mut emit);
}

/// The same for output that is in memory.
pub(crate) fn log_output(output: &[u8], origin: &Origin, log: &Log) {
    let mut lines = Lines::new(log.max_line());
    let mut emit = |piece: Piece<'_>| log.relay(origin, piece);
    for chunk in output.chunks(CHUNK) {
        lines.pending.extend_from_slice(chunk);
        lines.split(&mut emit);
    }
    lines.end(&mut emit);
}

struct Lines {
    pending: BytesMut,
    /// How much of it is known to have no end of a line.
    searched: usize,
    longest: usize,
    /// What is pending goes on where a piece ended.
    continued: bool,
}

impl Lines {
    fn new(longest: usize) -> Self {
        Self { pending: BytesMut::new(), searched: 0, longest, continued: false }
    }

    fn split(&mut self, emit: &mut impl FnMut(Piece<'_>)) {
        loop {
            let until = self.pending.len().min(self.longest.saturating_add(1));
            let new = self.pending.get(self.searched..until).unwrap_or_default();
            if let Some(end) = new.iter().position(|byte| *byte == b'\n') {
                let line = self.pending.split_to(self.searched + end + 1);
                let text = line.strip_suffix(b"\n").unwrap_or(&line);
                emit(Piece { text, continued: self.continued, partial: false });
                self.continued = false;
            } else if self.pending.len() > self.longest {
                let piece = self.pending.split_to(cut(&self.pending, self.longest));
                emit(Piece { text: &piece, continued: self.continued, partial: true });
                self.continued = true;
            } else {
                self.searched = until;
                return;
            }
            self.searched = 0;
        }
    }

    fn end(&mut self, emit: &mut impl FnMut(Piece<'_>)) {
        if !self.pending.is_empty() {
            emit(Piece { text: &self.pending, continued: self.continued, partial: false });
        }
    }
}

/// Where to cut so that a character of UTF-8 stays whole, if it is one; `longest` at most and more than nothing.
fn cut(text: &[u8], longest: usize) -> usize {
    let begins = |position: &usize| text.get(*position).is_some_and(|byte| byte & 0b1100_0000 != 0b1000_0000);
    (longest.saturating_sub(WIDEST - 1).max(1)..=longest).rev().find(begins).unwrap_or(longest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn long_lines_are_split_and_their_pieces_say_so() {
        let seen = pieces(4, &[b"ab\n\nabcdefgh\nabcd\r\n12345", b"6\nxy"]);
        let expected = ["ab", "", "abcd>", "<efgh", "abcd>", "<\r", "1234>", "<56", "xy"];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_character_is_not_cut_in_two() {
        assert_eq!(pieces(5, &["aäääb\n".as_bytes()]), ["aää>", "<äb"]);
        assert_eq!(pieces(1, &["ä\n".as_bytes()]), ["\u{fffd}>", "<\u{fffd}"]);
        assert_eq!(cut(b"\x80\x80\x80\x80\x80\x80", 5), 5);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_no_piece_is_too_long(
            chunks in prop::collection::vec(prop::collection::vec(prop::sample::select(&b"\na\r\0\xc3\xa4\xff"[..]), 0..40), 0..8),
            longest in 1_usize..9,
        ) {
            let mut lines = Lines::new(longest);
            let (mut rebuilt, mut fits) = (Vec::new(), true);
            let mut emit = |piece: Piece<'_>| {
                fits &= piece.text.len() <= longest;
                rebuilt.extend_from_slice(piece.text);
                if !piece.partial {
                    rebuilt.push(b'\n');
                }
            };
            for chunk in &chunks {
                lines.pending.extend_from_slice(chunk);
                lines.split(&mut emit);
            }
            lines.end(&mut emit);
            let mut whole = chunks.concat();
            if whole.last().is_some_and(|byte| *byte != b'\n') {
                whole.push(b'\n');
            }
            prop_assert!(fits);
            prop_assert_eq!(rebuilt, whole);
        }
    }

    /// `<` before what goes on, `>` after what goes on.
    fn pieces(longest: usize, chunks: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::new(longest);
        let mut seen = Vec::new();
        let mut emit = |piece: Piece<'_>| {
            let (before, after) = (if piece.continued { "<" } else { "" }, if piece.partial { ">" } else { "" });
            seen.push(format!("{before}{}{after}", String::from_utf8_lossy(piece.text)));
        };
        for chunk in chunks {
            lines.pending.extend_from_slice(chunk);
            lines.split(&mut emit);
        }
        lines.end(&mut emit);
        seen
    }
}
