//! Log lines of a watchdog, which begin with a tag between two characters U+001E: call id, trace id, and the stream that the function wrote to.

/// Around the tag.
const TAG: char = '\u{1e}';

/// A line without its tag.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tagged {
    pub(crate) call_id: Option<String>,
    pub(crate) trace_id: Option<String>,
    pub(crate) stream: Option<String>,
    pub(crate) text: String,
}

/// A line of no call.
impl From<String> for Tagged {
    fn from(text: String) -> Self {
        Self { call_id: None, trace_id: None, stream: None, text }
    }
}

impl Tagged {
    /// Reads a line. An older watchdog writes no tags, or none with a stream.
    pub(crate) fn read(line: String) -> Self {
        let Some((tag, text)) = line.strip_prefix(TAG).and_then(|rest| rest.split_once(TAG)) else {
            return line.into();
        };
        let mut parts = tag.split(' ').map(|part| Some(part.to_owned()).filter(|part| !part.is_empty()));
        let mut next = || parts.next().flatten();
        Self { call_id: next(), trace_id: next(), stream: next(), text: text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_read_and_one_that_a_function_writes_is_text() {
        let read = |line: &str| {
            let Tagged { call_id, trace_id, stream, text } = Tagged::read(line.to_owned());
            ([call_id, trace_id, stream].map(Option::unwrap_or_default), text)
        };
        let line = |call: &str, trace: &str, text: &str| ([call, trace, ""].map(str::to_owned), text.to_owned());
        let parts = ["order-17", "", "stdout"].map(str::to_owned);
        assert_eq!(read("\u{1e}order-17  stdout\u{1e}said x"), (parts, "said x".to_owned()));
        assert_eq!(read("\u{1e}  stderr\u{1e}x").0[2], "stderr");
        assert_eq!(read("\u{1e}order-17 4bf9\u{1e}said x"), line("order-17", "4bf9", "said x"));
        assert_eq!(read("\u{1e}order-17 \u{1e}said x"), line("order-17", "", "said x"));
        assert_eq!(read("\u{1e}\u{1e}\u{1e}forged \u{1e}x"), line("", "", "\u{1e}forged \u{1e}x"));
        assert_eq!(read("Listening on 127.0.0.1:1"), line("", "", "Listening on 127.0.0.1:1"));
        assert_eq!(read("\u{1e}half"), line("", "", "\u{1e}half"));
    }
}
