//! Tells messages apart in a stream of bytes, whatever it holds, and keeps no more of it than one message may have.

use bytes::Bytes;
use serde::de::IgnoredAny;
use thiserror::Error;

use crate::kind::{Format, Program};

/// The digits of a length, and the newline after them.
const MAX_LENGTH_LINE: usize = 12;

/// Reads messages from what a program prints.
#[derive(Debug)]
pub struct Messages {
    format: Format,
    max_body: usize,
    number: u64,
    /// The beginning of a message.
    begun: Vec<u8>,
    /// Of the message that comes now, if its length was declared.
    declared: Option<Declared>,
    /// Bytes of a line that is too long, of which nothing is kept.
    skipped: u64,
}

/// A message whose length was declared.
#[derive(Clone, Copy, Debug)]
struct Declared {
    left: u64,
    length: u64,
}

/// A message that a program printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Counted from 1 since the program was started; empty lines do not count.
    pub number: u64,
    pub body: Result<Bytes, Unreadable>,
}

/// Why a message is no event.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Unreadable {
    #[error("it has {bytes} bytes, and {limit} are allowed (max_body)")]
    TooLong { bytes: u64, limit: usize },
    #[error("it is no JSON: {0}")]
    NotJson(String),
    #[error("the program ended in the middle of it")]
    Incomplete,
}

/// What comes after this can no longer be separated.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("it printed {0:?} where the length of a message has to be (format: sized)")]
pub struct Broken(String);

impl Messages {
    pub fn new(program: &Program) -> Self {
        let max_body = usize::try_from(program.max_body).unwrap_or(usize::MAX);
        Self { format: program.format, max_body, number: 0, begun: Vec::new(), declared: None, skipped: 0 }
    }

    /// Takes what was printed, and hands over the messages that are whole now.
    pub fn push(&mut self, mut bytes: &[u8], each: &mut impl FnMut(Message)) -> Result<(), Broken> {
        while !bytes.is_empty() {
            bytes =
                if self.format == Format::Sized { self.push_sized(bytes, each)? } else { self.push_line(bytes, each) };
        }
        Ok(())
    }

    /// The message that was begun and will not go on.
    pub fn end(&mut self) -> Option<Message> {
        let is_begun = !std::mem::take(&mut self.begun).is_empty() | (std::mem::take(&mut self.skipped) > 0);
        let is_begun = is_begun | self.declared.take().is_some();
        is_begun.then(|| self.next(Err(Unreadable::Incomplete)))
    }

    fn push_line<'b>(&mut self, bytes: &'b [u8], each: &mut impl FnMut(Message)) -> &'b [u8] {
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let (part, rest) = match end {
            Some(end) => (bytes.get(..end), bytes.get(end + 1..)),
            None => (Some(bytes), None),
        };
        let part = part.unwrap_or_default();
        // One more for the carriage return that a line may end with.
        if self.skipped > 0 || self.begun.len() + part.len() > self.max_body + 1 {
            self.skipped += (self.begun.len() + part.len()) as u64;
            self.begun = Vec::new();
        } else {
            self.begun.extend_from_slice(part);
        }
        if end.is_some() {
            self.end_line(each);
        }
        rest.unwrap_or_default()
    }

    fn end_line(&mut self, each: &mut impl FnMut(Message)) {
        let mut line = std::mem::take(&mut self.begun);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        let bytes = std::mem::take(&mut self.skipped).max(line.len() as u64);
        if bytes > self.max_body as u64 {
            let message = self.next(Err(Unreadable::TooLong { bytes, limit: self.max_body }));
            each(message);
        } else if !line.trim_ascii().is_empty() {
            let body = self.checked(line);
            let message = self.next(body);
            each(message);
        }
    }

    fn push_sized<'b>(&mut self, bytes: &'b [u8], each: &mut impl FnMut(Message)) -> Result<&'b [u8], Broken> {
        let Some(declared) = self.declared else { return self.push_length(bytes, each) };
        let count = bytes.len().min(usize::try_from(declared.left).unwrap_or(usize::MAX));
        let (part, rest) = bytes.split_at_checked(count).unwrap_or((bytes, &[]));
        if declared.length <= self.max_body as u64 {
            self.begun.extend_from_slice(part);
        }
        self.declared = Some(Declared { left: declared.left - count as u64, ..declared });
        self.end_sized(each);
        Ok(rest)
    }

    fn push_length<'b>(&mut self, bytes: &'b [u8], each: &mut impl FnMut(Message)) -> Result<&'b [u8], Broken> {
        let end = bytes.iter().position(|&byte| byte == b'\n');
        self.begun
            .extend_from_slice(bytes.get(..end.unwrap_or(bytes.len()).min(2 * MAX_LENGTH_LINE)).unwrap_or_default());
        if end.is_none() && self.begun.len() <= MAX_LENGTH_LINE {
            return Ok(&[]);
        }
        let line = std::mem::take(&mut self.begun);
        let shown = String::from_utf8_lossy(line.get(..MAX_LENGTH_LINE).unwrap_or(&line)).into_owned();
        let text = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line));
        let is_number =
            !text.is_empty() && text.len() < MAX_LENGTH_LINE && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(length) if is_number && end.is_some() => {
                self.declared = Some(Declared { left: length, length });
                self.end_sized(each);
                Ok(end.and_then(|end| bytes.get(end + 1..)).unwrap_or_default())
            }
            _ => Err(Broken(shown)),
        }
    }

    fn end_sized(&mut self, each: &mut impl FnMut(Message)) {
        let Some(Declared { left: 0, length }) = self.declared else { return };
        self.declared = None;
        let body = std::mem::take(&mut self.begun);
        let body = match length > self.max_body as u64 {
            true => Err(Unreadable::TooLong { bytes: length, limit: self.max_body }),
            false => Ok(body.into()),
        };
        let message = self.next(body);
        each(message);
    }

    fn checked(&self, line: Vec<u8>) -> Result<Bytes, Unreadable> {
        if matches!(self.format, Format::Json | Format::CloudEvents)
            && let Err(error) = serde_json::from_slice::<IgnoredAny>(&line)
        {
            return Err(Unreadable::NotJson(error.to_string()));
        }
        Ok(line.into())
    }

    fn next(&mut self, body: Result<Bytes, Unreadable>) -> Message {
        self.number += 1;
        Message { number: self.number, body }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{Kind, Source};

    fn messages(format: &str, max_body: u64) -> Messages {
        let spec = json!({ "program": "p", "format": format, "max_body": max_body, "routes": [] });
        match Source::from_spec(&spec).unwrap().kind {
            Kind::Program(program) => Messages::new(&program),
            other => panic!("{other:?}"),
        }
    }

    /// What is read of pieces of this length, each body as text or as its error, and at the end what is left.
    fn read(format: &str, max_body: u64, printed: &[u8], piece: usize) -> Vec<String> {
        let mut messages = messages(format, max_body);
        let mut found = Vec::new();
        let declared = |message: Message| {
            let text = match message.body {
                Ok(body) => String::from_utf8_lossy(&body).into_owned(),
                Err(error) => format!("! {error}"),
            };
            format!("{} {text}", message.number)
        };
        for piece in printed.chunks(piece) {
            if let Err(error) = messages.push(piece, &mut |message| found.push(declared(message))) {
                found.push(format!("broken: {error}"));
                return found;
            }
        }
        found.extend(messages.end().map(declared));
        found
    }

    #[test]
    fn lines_end_at_newlines_and_empty_ones_are_none() {
        for piece in [1, 3, 100] {
            let read = |printed: &[u8]| read("lines", 16, printed, piece);
            assert_eq!(read(b"one\r\n\n  \ntwo\n"), ["1 one", "2 two"]);
            assert_eq!(read(b"0123456789abcdef\n0123456789abcdef\r\n"), ["1 0123456789abcdef", "2 0123456789abcdef"]);
            assert_eq!(
                read(b"0123456789abcdefg\n\xff\n"),
                ["1 ! it has 17 bytes, and 16 are allowed (max_body)", "2 \u{fffd}"]
            );
            assert_eq!(read(b"a\nhal"), ["1 a", "2 ! the program ended in the middle of it"]);
            assert!(read(b"").is_empty());
        }
        let endless = read("lines", 16, &[b'x'; 10_000], 64);
        assert_eq!(endless, ["1 ! the program ended in the middle of it"]);
    }

    #[test]
    fn a_line_that_is_no_json_is_told_and_the_next_is_read() {
        let found = read("json", 64, b"{\"a\":1}\n{\"a\":\nnull x\n[1]\n", 5);
        assert_eq!((found[0].as_str(), found[3].as_str()), ("1 {\"a\":1}", "4 [1]"));
        assert!(found[1].starts_with("2 ! it is no JSON") && found[2].starts_with("3 ! it is no JSON"), "{found:?}");
    }

    #[test]
    fn a_length_says_how_many_bytes_follow() {
        for piece in [1, 3, 100] {
            let read = |printed: &[u8]| read("sized", 16, printed, piece);
            assert_eq!(read(b"3\na\nb0\n5\r\nhello"), ["1 a\nb", "2 ", "3 hello"]);
            assert_eq!(
                read(b"17\n0123456789abcdefg1\nx"),
                ["1 ! it has 17 bytes, and 16 are allowed (max_body)", "2 x"]
            );
            assert_eq!(read(b"3\nab"), ["1 ! the program ended in the middle of it"]);
            for bad in [&b"-1\n"[..], b"x\n", b"\n", b"+1\n", b"99999999999999999999\n", b"1234567890123456"] {
                let found = read(bad);
                assert!(found.len() == 1 && found[0].starts_with("broken: it printed"), "{bad:?} {found:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_read_does_not_depend_on_the_pieces_and_never_exceeds_the_limit(
            printed in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'1'), Just(b'2'), any::<u8>()], 0..200),
            piece in 1usize..50,
        ) {
            for format in ["lines", "json", "sized"] {
                let whole = read(format, 20, &printed, usize::MAX);
                prop_assert_eq!(&whole, &read(format, 20, &printed, piece));
            }
            let mut messages = messages("lines", 20);
            for piece in printed.chunks(piece) {
                let mut longest = 0;
                let mut each = |message: Message| longest = longest.max(message.body.map_or(0, |body| body.len()));
                messages.push(piece, &mut each).unwrap();
                prop_assert!(longest <= 20);
                prop_assert!(messages.begun.len() <= 21);
            }
        }
    }
}
