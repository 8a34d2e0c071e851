//! The context of W3C Trace Context, as the headers `traceparent` and `tracestate` carry it.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use crate::{SpanId, TraceId, hex, state};

/// `00-<trace id>-<span id>-<flags>`.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What other tracing systems want passed on.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The length of a `traceparent` of version 00.
const LENGTH: usize = 55;
const SAMPLED: u8 = 1;

/// A place in a trace: the span that what comes next is a child of.
///
/// In JSON it has the fields of the API's call object: `traceId`, `spanId`, and, where they say something, `traceSampled` and `traceState`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Context {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    /// Whether spans of this trace are exported.
    #[serde(rename = "traceSampled", default, skip_serializing_if = "std::ops::Not::not")]
    pub sampled: bool,
    /// A `tracestate` that was checked.
    #[serde(rename = "traceState", default, skip_serializing_if = "Option::is_none")]
    state: Option<Box<str>>,
}

impl Context {
    /// The context of a new trace.
    pub(crate) fn root(trace_id: TraceId, sampled: bool) -> Self {
        Self { trace_id, span_id: SpanId::generate(), sampled, state: None }
    }

    /// The context of a new span in the same trace.
    pub(crate) fn child(&self, sampled: bool) -> Self {
        Self { span_id: SpanId::generate(), sampled, ..self.clone() }
    }

    pub(crate) fn with_sampled(self, sampled: bool) -> Self {
        Self { sampled, ..self }
    }

    /// Reads the headers of a request; none if there is no `traceparent`, more than one, or a malformed one. A malformed `tracestate` is left out.
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers.get_all(TRACEPARENT).iter();
        let (Some(parent), None) = (given.next(), given.next()) else { return None };
        let context = Self::parse(parent.as_bytes())?;
        Some(Self { state: state::read(headers), ..context })
    }

    /// Reads the texts of both headers, each of which may be there once.
    pub fn of_texts(parent: &str, state: Option<&str>) -> Option<Self> {
        let context = Self::parse(parent.as_bytes())?;
        Some(Self { state: state.and_then(state::checked), ..context })
    }

    fn parse(parent: &[u8]) -> Option<Self> {
        let (known, rest) = parent.split_at_checked(LENGTH)?;
        let [version] = hex::read(&known[..2])?;
        let is_well_formed = match version {
            0xff => false,
            0 => rest.is_empty(),
            // A later version may have more fields, behind these.
            _ => rest.is_empty() || rest[0] == b'-',
        };
        if !is_well_formed || [known[2], known[35], known[52]] != [b'-'; 3] {
            return None;
        }
        let [flags] = hex::read(&known[53..])?;
        Some(Self {
            trace_id: TraceId::new(hex::read(&known[3..35])?)?,
            span_id: SpanId::new(hex::read(&known[36..52])?)?,
            sampled: flags & SAMPLED != 0,
            state: None,
        })
    }

    /// The text of `traceparent`.
    pub fn traceparent(&self) -> String {
        String::from_utf8_lossy(&self.parent()).into_owned()
    }

    fn parent(&self) -> [u8; LENGTH] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        hex::write(&self.trace_id.to_bytes(), &mut text[3..35]);
        hex::write(&self.span_id.to_bytes(), &mut text[36..52]);
        text[54] = if self.sampled { b'1' } else { b'0' };
        text
    }

    /// The text of `tracestate`, if there is one.
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// Writes the headers of a request, in place of those that are there.
    pub fn write(&self, headers: &mut HeaderMap) {
        // Digits and hyphens are a header's value.
        let parent = HeaderValue::from_bytes(&self.parent()).ok();
        let former = parent.and_then(|parent| headers.insert(TRACEPARENT, parent));
        match self.state.as_deref().and_then(state::header) {
            Some(state) => drop(headers.insert(TRACESTATE, state)),
            // A state means nothing without a parent, so there was none either.
            None if former.is_none() => {}
            None => drop(headers.remove(TRACESTATE)),
        }
    }

    /// Without what only other tracing systems read.
    pub fn without_state(self) -> Self {
        Self { state: None, ..self }
    }
}

/// Removes the headers that carry a context.
pub fn remove(headers: &mut HeaderMap) {
    headers.remove(TRACEPARENT);
    headers.remove(TRACESTATE);
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn of(parents: &[&str], states: &[&str]) -> Option<Context> {
        let mut headers = HeaderMap::new();
        for (name, values) in [(TRACEPARENT, parents), (TRACESTATE, states)] {
            values.iter().for_each(|value| _ = headers.append(&name, HeaderValue::from_str(value).unwrap()));
        }
        Context::read(&headers)
    }

    #[test]
    fn what_is_read_is_written_again() {
        let given = format!("00-{TRACE}-{SPAN}-01");
        let context = of(&[&given], &["a=1", "b=2"]).unwrap();
        assert_eq!((context.trace_id.to_string().as_str(), context.span_id.to_string().as_str()), (TRACE, SPAN));
        assert!(context.sampled);
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, HeaderValue::from_static("x"));
        headers.append(TRACEPARENT, HeaderValue::from_static("y"));
        context.write(&mut headers);
        assert_eq!((headers.len(), headers["traceparent"].to_str().unwrap()), (2, given.as_str()));
        assert_eq!(headers["tracestate"], "a=1,b=2");
        context.without_state().write(&mut headers);
        assert_eq!(headers.len(), 1);
        assert!(!of(&[&format!("00-{TRACE}-{SPAN}-fe")], &[]).unwrap().sampled);
        assert!(of(&[&format!("cc-{TRACE}-{SPAN}-01-what-comes")], &[]).unwrap().sampled);
        assert!(of(&[&format!("01-{TRACE}-{SPAN}-00")], &["not a state"]).unwrap().tracestate().is_none());
    }

    #[test]
    fn what_is_malformed_counts_as_absent() {
        let good = format!("00-{TRACE}-{SPAN}-01");
        assert!(of(&[], &["a=1"]).is_none() && of(&[&good, &good], &[]).is_none());
        let upper = good.to_uppercase();
        let zeros = [format!("00-{}-{SPAN}-01", "0".repeat(32)), format!("00-{TRACE}-{}-01", "0".repeat(16))];
        let others = [
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("{good}-"),
            format!("{good}0"),
            format!("cc-{TRACE}-{SPAN}-01x"),
            format!("00_{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-0x"),
            format!("0-{TRACE}-{SPAN}-01"),
            format!("{good},{good}"),
        ];
        for bad in ["", "00", &upper].into_iter().chain(zeros.iter().chain(&others).map(String::as_str)) {
            assert!(of(&[bad], &[]).is_none(), "{bad}");
        }
    }

    #[test]
    fn json_has_the_fields_of_a_call() {
        let context = of(&[&format!("00-{TRACE}-{SPAN}-01")], &["a=1"]).unwrap();
        let json = serde_json::to_value(&context).unwrap();
        let expected = serde_json::json!({"traceId": TRACE, "spanId": SPAN, "traceSampled": true, "traceState": "a=1"});
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_value::<Context>(json).unwrap(), context);
        let zero = serde_json::json!({"traceId": "0".repeat(32), "spanId": SPAN});
        assert!(serde_json::from_value::<Context>(zero).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_read_or_refused(parent in "\\PC{0,70}", state in "\\PC{0,70}") {
            if let Some(context) = Context::of_texts(&parent, Some(&state)) {
                proptest::prop_assert_eq!(&context.traceparent()[3..52], &parent[3..52]);
            }
        }
    }
}
