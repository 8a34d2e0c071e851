//! What a log line looks like: text as Go's log package writes it, or one JSON object.

use std::io::Write;

use time::OffsetDateTime;

use crate::{
    config::LogFormat,
    lines::{Origin, Piece},
    plan::LogPlan,
};

/// Around the tag of a line. No header has it.
const TAG: &str = "\u{1e}";
/// Between the pieces of a line that is split.
const SPLIT: &str = "[...]";

/// What is to be written, before it has a format.
#[derive(Debug)]
pub(super) struct Line<'a> {
    /// `None` is the watchdog's own.
    origin: Option<&'a Origin>,
    pub(super) text: &'a [u8],
    /// It goes on where another piece ended.
    continued: bool,
    /// It is not the last piece of a line.
    partial: bool,
}

/// A line of the watchdog's own at a time when there is no log.
pub(crate) fn before_the_log(format: LogFormat, text: &str) -> Vec<u8> {
    match format {
        LogFormat::Text => format!("fwatchdog: {text}\n").into_bytes(),
        LogFormat::Json => {
            let mut line = Vec::new();
            Line::of_watchdog(text.as_bytes()).write_json(OffsetDateTime::now_utc(), &mut line);
            line
        }
    }
}

impl<'a> Line<'a> {
    pub(super) fn of_watchdog(text: &'a [u8]) -> Self {
        Self { origin: None, text, continued: false, partial: false }
    }

    pub(super) fn of_function(origin: &'a Origin, piece: Piece<'a>) -> Self {
        Self { origin: Some(origin), text: piece.text, continued: piece.continued, partial: piece.partial }
    }

    pub(super) fn write(&self, plan: &LogPlan, buffer: &mut Vec<u8>) {
        let now = OffsetDateTime::now_utc();
        if plan.tags {
            self.write_tag(buffer);
        }
        match plan.format {
            LogFormat::Text => self.write_text(plan, now, buffer),
            LogFormat::Json => self.write_json(now, buffer),
        }
    }

    /// What the function writes comes behind it, so a function cannot write one.
    fn write_tag(&self, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(TAG.as_bytes());
        if let Some(Origin { call_id, trace_id, stream }) = self.origin {
            put(buffer, format_args!("{} ", call_id.as_deref().unwrap_or_default()));
            if let Some(trace_id) = trace_id {
                put(buffer, format_args!("{trace_id}"));
            }
            put(buffer, format_args!(" {stream}"));
        }
        buffer.extend_from_slice(TAG.as_bytes());
    }

    /// `2026/11/23 14:54:16 stderr: [call-id] text`
    fn write_text(&self, plan: &LogPlan, now: OffsetDateTime, buffer: &mut Vec<u8>) {
        if self.origin.is_none() || plan.prefix {
            let (year, month, day) = (now.year(), u8::from(now.month()), now.day());
            let (hour, minute, second) = (now.hour(), now.minute(), now.second());
            put(buffer, format_args!("{year:04}/{month:02}/{day:02} {hour:02}:{minute:02}:{second:02} "));
        }
        if let Some(origin) = self.origin {
            if plan.prefix {
                put(buffer, format_args!("{}: ", origin.stream));
            }
            if let Some(call_id) = origin.call_id.as_ref().filter(|_| plan.call_id) {
                put(buffer, format_args!("[{call_id}] "));
            }
        }
        if self.continued {
            put(buffer, format_args!("{SPLIT} "));
        }
        buffer.extend_from_slice(self.text);
        if self.partial {
            put(buffer, format_args!(" {SPLIT}"));
        }
        buffer.push(b'\n');
    }

    /// `{"time":"2026-11-24T11:22:33.123Z","stream":"stderr","call_id":"…","text":"…","partial":true}`
    fn write_json(&self, now: OffsetDateTime, buffer: &mut Vec<u8>) {
        let (year, month, day) = (now.year(), u8::from(now.month()), now.day());
        let (hour, minute, second, milli) = (now.hour(), now.minute(), now.second(), now.millisecond());
        put(
            buffer,
            format_args!(
                r#"{{"time":"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z","stream":"#
            ),
        );
        put_json(buffer, self.origin.map_or("watchdog", |origin| origin.stream));
        if let Some(call_id) = self.origin.and_then(|origin| origin.call_id.as_ref()) {
            buffer.extend_from_slice(br#","call_id":"#);
            put_json(buffer, call_id);
        }
        if let Some(trace_id) = self.origin.and_then(|origin| origin.trace_id) {
            put(buffer, format_args!(r#","trace_id":"{trace_id}""#));
        }
        buffer.extend_from_slice(br#","text":"#);
        put_json(buffer, &String::from_utf8_lossy(self.text));
        if self.partial {
            buffer.extend_from_slice(br#","partial":true"#);
        }
        buffer.extend_from_slice(b"}\n");
    }
}

/// Writing to memory does not fail.
fn put(buffer: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let _ = buffer.write_fmt(text);
}

fn put_json(buffer: &mut Vec<u8>, text: &str) {
    // Nor is there text that JSON cannot hold.
    let _ = serde_json::to_writer(buffer, text);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use time::{Date, Month, Time};

    use super::*;

    #[test]
    fn text_has_date_stream_call_id_and_markers_as_the_settings_say() {
        let origin = origin(Some("7"));
        let middle = Line { continued: true, partial: true, ..Line::of_function(&origin, whole(b"a\0\xff\r")) };
        assert_eq!(text(&middle, true, true), b"2026/11/24 01:02:03 stderr: [7] [...] a\0\xff\r [...]\n");
        assert_eq!(text(&middle, false, true), b"[7] [...] a\0\xff\r [...]\n");
        assert_eq!(text(&Line::of_function(&origin, whole(b"")), true, false), b"2026/11/24 01:02:03 stderr: \n");
        assert_eq!(text(&Line::of_watchdog(b"own"), false, true), b"2026/11/24 01:02:03 own\n");
    }

    #[test]
    fn json_is_one_object_per_line_that_holds_any_bytes() {
        let mut buffer = Vec::new();
        let known = origin(Some("7\"\n"));
        Line::of_watchdog(b"own").write_json(moment(), &mut buffer);
        Line { partial: true, ..Line::of_function(&known, whole(b"\"\\\n\0\xff\x1b")) }
            .write_json(moment(), &mut buffer);
        Line::of_function(&origin(None), whole(b"")).write_json(moment(), &mut buffer);
        let lines = String::from_utf8(buffer).unwrap();
        let time = "2026-11-24T01:02:03.004Z";
        assert!(
            lines.starts_with(r#"{"time":"2026-11-24T01:02:03.004Z","stream":"watchdog","text":"own"}"#),
            "{lines}"
        );
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let expected = [
            json!({ "time": time, "stream": "watchdog", "text": "own" }),
            json!({ "time": time, "stream": "stderr", "call_id": "7\"\n", "text": "\"\\\n\0\u{fffd}\x1b", "partial": true }),
            json!({ "time": time, "stream": "stderr", "text": "" }),
        ];
        assert_eq!(lines, expected);
    }

    fn text(line: &Line<'_>, prefix: bool, call_id: bool) -> Vec<u8> {
        let plan = LogPlan { format: LogFormat::Text, prefix, call_id, tags: false, max_line: 10, rate: None };
        let mut buffer = Vec::new();
        line.write_text(&plan, moment(), &mut buffer);
        buffer
    }

    fn origin(call_id: Option<&str>) -> Origin {
        Origin { stream: "stderr", call_id: call_id.map(str::to_owned), trace_id: None }
    }

    fn whole(text: &[u8]) -> Piece<'_> {
        Piece { text, continued: false, partial: false }
    }

    fn moment() -> OffsetDateTime {
        let date = Date::from_calendar_date(2026, Month::November, 24).unwrap();
        OffsetDateTime::new_utc(date, Time::from_hms_milli(1, 2, 3, 4).unwrap())
    }
}
