//! References: what a preset names a part of a request by (`header:X-GitHub-Event`, `json:event.type`).

use std::{fmt, str::FromStr};

use http::HeaderName;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// A reference, template or pattern that cannot be read, in words for its author.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct ParseError(pub(crate) String);

/// How deep references may stand in one another (`lower:lower:…`).
const MAX_NESTING: usize = 4;

/// A part of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    Body,
    /// The time that the signature covers, as it was written.
    Timestamp,
    Method,
    /// The source's configured URL, with the query that came.
    Url,
    Path,
    /// Name and value of each form field, sorted by name, with nothing between them.
    FormSorted,
    Bearer,
    Basic,
    Header(HeaderName),
    Query(String),
    Form(String),
    Json(JsonPath),
    /// A value of the element that `each` is at.
    Item(JsonPath),
    /// A `key=value` of the signature header, or its first item.
    Signature(String),
    /// A named secret, for challenges.
    Secret(String),
    Lower(Box<Reference>),
    /// A MAC of a value under the source's own secret, for challenges.
    Hmac(HmacForm, Box<Reference>),
    /// SHA-256 of values joined, for challenges.
    Sha256Hex(Vec<Reference>),
}

/// The algorithm and encoding of a MAC in a challenge's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HmacForm {
    Sha1Hex,
    Sha256Hex,
    Sha256Base64,
}

/// A dotted path into JSON; digits index an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath(Vec<String>);

/// Where a reference stands, which decides what it may name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// An event's id or type: what is stored, and so nothing secret.
    Event,
    /// A scheme's signed text and what belongs to it.
    Scheme { each: bool, timestamp: bool, fields: bool },
    /// The answer to a challenge.
    Answer,
}

impl Reference {
    pub(crate) fn check(&self, place: Place) -> Result<(), ParseError> {
        let refuse = |reason: &str| Err(ParseError(format!("{self} {reason}")));
        match (self, place) {
            (Self::Lower(inner), place) => match **inner {
                Self::Body | Self::FormSorted => refuse("would change what was signed"),
                _ => inner.check(place),
            },
            (Self::Hmac(_, inner), Place::Answer) => inner.check(place),
            (Self::Sha256Hex(parts), Place::Answer) => parts.iter().try_for_each(|part| part.check(place)),
            (Self::Secret(_), Place::Answer) => Ok(()),
            (Self::Secret(_) | Self::Hmac(..) | Self::Sha256Hex(_), _) => refuse("is only for answers to challenges"),
            (Self::Item(_), Place::Scheme { each: true, .. }) => Ok(()),
            (Self::Item(_), _) => refuse("needs `each`"),
            (Self::Timestamp, Place::Scheme { timestamp: true, .. }) => Ok(()),
            (Self::Timestamp, _) => refuse("needs a `timestamp` in the scheme"),
            (Self::Signature(_), Place::Scheme { fields: true, .. }) => Ok(()),
            (Self::Signature(_), _) => refuse("needs `split` in the scheme's `signature`"),
            (Self::Bearer | Self::Basic | Self::FormSorted, Place::Event | Place::Answer) => {
                refuse("is only for `verify`")
            }
            (Self::Body, Place::Answer) => refuse("is only for `verify`: name a field of the body"),
            (Self::Url, Place::Event) => refuse("is only for `verify` and challenges: write path"),
            _ => Ok(()),
        }
    }

    /// The header that it reads.
    pub(crate) fn header(&self) -> Option<&HeaderName> {
        match self {
            Self::Header(name) => Some(name),
            Self::Lower(inner) => inner.header(),
            _ => None,
        }
    }

    /// Reads one that stands in `place`.
    pub(crate) fn parse(text: &str, place: Place) -> Result<Self, ParseError> {
        let reference: Self = text.parse()?;
        reference.check(place)?;
        Ok(reference)
    }

    fn nested(text: &str, depth: usize) -> Result<Self, ParseError> {
        if depth == 0 {
            return Err(ParseError(format!("{} nests too many references", quoted(text))));
        }
        let inner = |text: &str| Self::nested(text, depth - 1);
        let Some((kind, name)) = text.split_once(':') else {
            return match text {
                "body" => Ok(Self::Body),
                "timestamp" => Ok(Self::Timestamp),
                "method" => Ok(Self::Method),
                "url" => Ok(Self::Url),
                "path" => Ok(Self::Path),
                "form-sorted" => Ok(Self::FormSorted),
                "bearer" => Ok(Self::Bearer),
                "basic" => Ok(Self::Basic),
                _ => Err(ParseError(format!(
                    "{} is no reference: write body, timestamp, method, url, path, form-sorted, bearer, basic, header:NAME, query:NAME, form:NAME or json:PATH",
                    quoted(text)
                ))),
            };
        };
        if name.is_empty() || name.contains(['{', '}']) {
            return Err(ParseError(format!("{} needs a name after `{kind}:`", quoted(text))));
        }
        Ok(match kind {
            "header" => {
                Self::Header(name.parse().map_err(|_| ParseError(format!("{} is no name of a header", quoted(name))))?)
            }
            "query" => Self::Query(name.to_owned()),
            "form" => Self::Form(name.to_owned()),
            "json" => Self::Json(name.parse()?),
            "item" => Self::Item(name.parse()?),
            "signature" => Self::Signature(name.to_owned()),
            "secret" => Self::Secret(name.to_owned()),
            "lower" => Self::Lower(Box::new(inner(name)?)),
            "hmac-sha1-hex" => Self::Hmac(HmacForm::Sha1Hex, Box::new(inner(name)?)),
            "hmac-sha256-hex" => Self::Hmac(HmacForm::Sha256Hex, Box::new(inner(name)?)),
            "hmac-sha256-base64" => Self::Hmac(HmacForm::Sha256Base64, Box::new(inner(name)?)),
            "sha256-hex" => Self::Sha256Hex(name.split('+').map(inner).collect::<Result<_, _>>()?),
            _ => return Err(ParseError(format!("{} is no reference: `{kind}:` is not known", quoted(text)))),
        })
    }
}

/// A text of the author, cut for an error.
pub(crate) fn quoted(text: &str) -> String {
    format!("{:?}", text.chars().take(80).collect::<String>())
}

impl FromStr for Reference {
    type Err = ParseError;

    /// Reads a reference; where it may stand is checked by what holds it.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::nested(text, MAX_NESTING)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body => f.write_str("body"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Method => f.write_str("method"),
            Self::Url => f.write_str("url"),
            Self::Path => f.write_str("path"),
            Self::FormSorted => f.write_str("form-sorted"),
            Self::Bearer => f.write_str("bearer"),
            Self::Basic => f.write_str("basic"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Form(name) => write!(f, "form:{name}"),
            Self::Json(path) => write!(f, "json:{path}"),
            Self::Item(path) => write!(f, "item:{path}"),
            Self::Signature(field) => write!(f, "signature:{field}"),
            Self::Secret(name) => write!(f, "secret:{name}"),
            Self::Lower(inner) => write!(f, "lower:{inner}"),
            Self::Hmac(form, inner) => {
                let form = match form {
                    HmacForm::Sha1Hex => "sha1-hex",
                    HmacForm::Sha256Hex => "sha256-hex",
                    HmacForm::Sha256Base64 => "sha256-base64",
                };
                write!(f, "hmac-{form}:{inner}")
            }
            Self::Sha256Hex(parts) => {
                f.write_str("sha256-hex:")?;
                for (n, part) in parts.iter().enumerate() {
                    write!(f, "{}{part}", if n == 0 { "" } else { "+" })?;
                }
                Ok(())
            }
        }
    }
}

impl JsonPath {
    pub fn segments(&self) -> &[String] {
        &self.0
    }

    /// The path of an element.
    pub(crate) fn child(&self, index: usize) -> Self {
        self.join(&Self(vec![index.to_string()]))
    }

    pub(crate) fn join(&self, rest: &Self) -> Self {
        Self([self.0.as_slice(), &rest.0].concat())
    }
}

impl FromStr for JsonPath {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let segments: Vec<_> = text.split('.').map(str::to_owned).collect();
        if segments.iter().any(String::is_empty) {
            return Err(ParseError(format!("{} has an empty part: write a path like data.object.id", quoted(text))));
        }
        Ok(Self(segments))
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    /// Reads one that stands in an event's id.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?, Place::Event).map_err(de::Error::custom)
    }
}
