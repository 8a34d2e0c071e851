//! What of an event a function gets as its body: `send`.

use std::str::FromStr;

use crate::{reference::JsonPath, values::cut};

/// What of an event a function gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Send {
    /// The body as it came.
    #[default]
    Body,
    /// One value of the body.
    Json(JsonPath),
    /// A CloudEvent: attributes are headers, the body is as it came.
    Binary,
    /// A CloudEvent that is one JSON object.
    Structured,
}

impl FromStr for Send {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "body" => Ok(Self::Body),
            "cloudevents" => Ok(Self::Binary),
            "cloudevents-structured" => Ok(Self::Structured),
            _ => match text.strip_prefix("json:") {
                Some(path) => {
                    path.parse().map(Self::Json).map_err(|error: crate::reference::ParseError| error.to_string())
                }
                None => Err(format!(
                    "{:?} is not one of body, json:PATH, cloudevents and cloudevents-structured",
                    cut(text)
                )),
            },
        }
    }
}
