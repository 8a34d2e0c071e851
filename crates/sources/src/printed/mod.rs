//! What a program prints: the messages in a stream of bytes, and the event that each of them is.

mod messages;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use skep_protocol::{Event, Proof, Verified};
use time::OffsetDateTime;

pub use self::messages::{Broken, Message, Messages, Unreadable};
use crate::{Format, Kept, Receiver, Request, Subscribers, cloudevents::EventError, event::Facts};

/// What a program calls a message is repeated to it if it is no longer than this.
const MAX_NAME: usize = 1024;

/// An event that a program printed.
#[derive(Clone, Debug)]
pub struct Printed {
    /// As it is stored.
    pub event: Event,
    /// What the program calls it, if it does.
    pub name: Option<String>,
}

impl Receiver {
    /// The event that a message of the source's program is.
    pub fn printed(
        &self,
        format: Format,
        body: &Bytes,
        received_at: OffsetDateTime,
        paused: bool,
        subscribers: &Subscribers<'_>,
    ) -> Result<Printed, EventError> {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()))]);
        let request = Request { method: &Method::POST, path: "", query: None, headers: &headers, body, received_at };
        let event = self.events(&request, Proof::None)?.pop();
        let event = event.ok_or_else(|| EventError::Malformed("it holds no event".to_owned()))?;
        let name = self.name_of(format, &self.facts(&request));
        let kept = Kept {
            headers: self.stored_headers(&request),
            query: None,
            body: body.clone(),
            verified: Verified { by: Proof::None, key: None },
            remote: None,
            paused,
        };
        Ok(Printed { event: self.decided(&event, kept, subscribers), name })
    }

    fn name_of(&self, format: Format, facts: &Facts<'_>) -> Option<String> {
        let text = match format {
            Format::CloudEvents => facts.json()?.get("id")?.as_str()?.to_owned(),
            Format::Lines | Format::Json | Format::Sized => {
                String::from_utf8(self.given_id(facts)?.into_owned()).ok()?
            }
        };
        // It becomes one line.
        Some(text).filter(|text| text.len() <= MAX_NAME && !text.contains(char::is_control))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use skep_protocol::DefaultNamespace;

    use super::*;
    use crate::{Defaults, Kind};

    fn printed(spec: &serde_json::Value, body: &'static str) -> Result<Printed, EventError> {
        let receiver =
            Receiver::from_spec("rows".parse().unwrap(), spec, &Defaults::new(&DefaultNamespace::default())).unwrap();
        let Kind::Program(program) = receiver.kind() else { panic!("a program") };
        let format = program.format;
        receiver
            .printed(format, &Bytes::from_static(body.as_bytes()), OffsetDateTime::UNIX_EPOCH, false, &|_| Vec::new())
    }

    #[test]
    fn a_json_message_has_the_id_the_type_and_the_routes_that_the_declaration_says() {
        let spec = json!({
            "program": "rows", "format": "json", "id": ["json:row"], "type": "{json:table}",
            "routes": [{ "to": "book", "filter": { "body.amount": { "gt": 5 } } }],
        });
        let row = printed(&spec, r#"{"row":17,"table":"Orders","amount":7}"#).unwrap();
        assert_eq!((row.name.as_deref(), row.event.id.as_str(), row.event.kind.as_str()), (Some("17"), "17", "orders"));
        assert_eq!(row.event.decision.routes.len(), 1);
        assert_eq!(row.event.headers["content-type"], "application/json");
        let small = printed(&spec, r#"{"row":"a b","amount":1}"#).unwrap();
        assert_eq!((small.name.as_deref(), small.event.decision.ignored.len()), (Some("a b"), 1));
        assert!(small.event.id.as_str().starts_with('h'));
        assert_eq!(printed(&spec, r#"{"amount":9}"#).unwrap().name, None);
    }

    #[test]
    fn lines_are_events_of_their_own_or_the_same_by_content() {
        let by = |otherwise: &str| json!({ "program": "p", "else": otherwise, "routes": [] });
        let ids = |spec: serde_json::Value| ["a", "a", "b"].map(|line| printed(&spec, line).unwrap().event.id);
        let [one, two, _] = ids(by("unique"));
        assert_ne!(one, two);
        let [one, two, other] = ids(by("content"));
        assert!(one == two && one != other);
    }

    #[test]
    fn a_cloudevent_is_known_by_its_source_and_id() {
        let spec = json!({ "program": "p", "format": "cloudevents", "routes": [] });
        let event = r#"{"specversion":"1.0","id":"7","source":"/a","type":"Made"}"#;
        let read = printed(&spec, event).unwrap();
        assert_eq!((read.name.as_deref(), read.event.kind.as_str()), (Some("7"), "made"));
        let other = printed(&spec, r#"{"specversion":"1.0","id":"7","source":"/b","type":"made"}"#).unwrap();
        assert_ne!(read.event.id, other.event.id);
        assert!(printed(&spec, r#"{"id":"7"}"#).unwrap_err().to_string().contains("specversion"));
    }
}
