//! Values of presets that are written as text: durations, sizes, names of headers, patterns.

use std::{fmt, time::Duration};

use http::HeaderName;
use regex::bytes::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use skep_protocol::{format_duration, parse_duration, parse_size};

use crate::reference::{ParseError, quoted};

/// How much memory a pattern may take.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// A pattern for a whole text, anchored at both ends.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Self, ParseError> {
        let inner = text
            .strip_prefix('^')
            .and_then(|text| text.strip_suffix('$'))
            .ok_or_else(|| ParseError(format!("pattern {} must begin with ^ and end with $", quoted(text))))?;
        let regex =
            RegexBuilder::new(&format!(r"\A(?:{inner})\z")).unicode(false).size_limit(MAX_PATTERN_BYTES).build();
        let regex = regex.map_err(|error| ParseError(format!("pattern {} cannot be read: {error}", quoted(text))))?;
        Ok(Self { text: text.to_owned(), regex })
    }

    pub fn is_match(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// For `#[serde(with)]` on an optional duration, written as text or as whole seconds.
pub(crate) mod duration {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        duration.map(format_duration).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let written = Option::<TextOrNumber>::deserialize(deserializer)?;
        written.map(|TextOrNumber(text)| parse_duration(&text).map_err(de::Error::custom)).transpose()
    }
}

/// For `#[serde(with)]` on an optional size in bytes.
pub(crate) mod size {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(size: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
        size.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
        let written = Option::<TextOrNumber>::deserialize(deserializer)?;
        written.map(|TextOrNumber(text)| parse_size(&text).map_err(de::Error::custom)).transpose()
    }
}

/// For `#[serde(with)]` on names of headers.
pub(crate) mod header_names {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(names: &[HeaderName], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(names.iter().map(HeaderName::as_str))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<HeaderName>, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        names
            .iter()
            .map(|name| name.parse().map_err(|_| de::Error::custom(format!("{} is no name of a header", quoted(name)))))
            .collect()
    }
}

struct TextOrNumber(String);

impl<'de> Deserialize<'de> for TextOrNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl de::Visitor<'_> for Either {
            type Value = TextOrNumber;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text with a unit, or a whole number")
            }

            fn visit_str<E>(self, text: &str) -> Result<TextOrNumber, E> {
                Ok(TextOrNumber(text.to_owned()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<TextOrNumber, E> {
                Ok(TextOrNumber(number.to_string()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}
