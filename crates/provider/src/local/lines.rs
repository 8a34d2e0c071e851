//! Reads a stream line by line, whatever it holds.

use tokio::io::{AsyncRead, AsyncReadExt};

/// A longer line is split.
const MAX_LINE: usize = 64 * 1024;

/// Reads to the end and hands over each line as text; bytes that are not UTF-8 become U+FFFD.
pub(super) async fn read(mut stream: impl AsyncRead + Unpin, mut each: impl FnMut(String)) {
    let mut splitter = Splitter::default();
    let mut buffer = vec![0; 16 * 1024];
    // A read that fails is an end too: there is nothing to report and nothing to try.
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        splitter.push(buffer.get(..count).unwrap_or_default(), &mut each);
    }
    splitter.finish(&mut each);
}

#[derive(Default)]
struct Splitter {
    line: Vec<u8>,
}

impl Splitter {
    fn push(&mut self, bytes: &[u8], each: &mut impl FnMut(String)) {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, is_whole) = match part.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (part, false),
            };
            for &byte in text {
                if self.line.len() == MAX_LINE {
                    self.take(each);
                }
                self.line.push(byte);
            }
            if is_whole {
                self.take(each);
            }
        }
    }

    fn finish(&mut self, each: &mut impl FnMut(String)) {
        if !self.line.is_empty() {
            self.take(each);
        }
    }

    fn take(&mut self, each: &mut impl FnMut(String)) {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        each(String::from_utf8_lossy(line).into_owned());
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines_of(bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        read(bytes, |line| lines.push(line)).await;
        lines
    }

    #[tokio::test]
    async fn lines_end_at_newlines_and_at_the_end() {
        assert_eq!(lines_of(b"one\r\n\ntwo\nthree").await, ["one", "", "two", "three"]);
        assert!(lines_of(b"").await.is_empty());
    }

    #[tokio::test]
    async fn bytes_that_are_no_text_are_survived() {
        assert_eq!(lines_of(b"a\xff\x00b\n").await, ["a\u{fffd}\u{0}b"]);
    }

    #[tokio::test]
    async fn endless_lines_are_split() {
        let lines = lines_of(&vec![b'x'; MAX_LINE * 2 + 1]).await;
        let lengths: Vec<usize> = lines.iter().map(String::len).collect();
        assert_eq!(lengths, [MAX_LINE, MAX_LINE, 1]);
        assert_eq!(lines_of(&[b"x".repeat(MAX_LINE), b"\n".to_vec()].concat()).await.len(), 1);
    }
}
