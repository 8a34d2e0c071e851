//! An event that was let in, and what filters and templates read of it.

use std::{borrow::Cow, cell::OnceCell, fmt, str::FromStr};

use http::header;
use serde_json::Value;
use skep_protocol::EventId;
use thiserror::Error;
use url::form_urlencoded;

use crate::{
    Request, cloudevents,
    path::{Field, Path, Step},
};

/// An event that was let in, as it came or as it was stored.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    pub request: Request<'a>,
    pub id: EventId,
    /// What kind of event it is, if it says so.
    pub event_type: Option<String>,
    pub verified: Verified,
}

/// Why an event was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// Its signature is good.
    Signature,
    /// It has the token.
    Token,
    /// Its source is open.
    None,
    /// It was held, and verified later.
    Released,
    /// It was held, and somebody let it in unverified.
    Forced,
    /// An administrator made it.
    Test,
}

/// All words for why an event was let in.
pub const VERIFIED: [Verified; 6] =
    [Verified::Signature, Verified::Token, Verified::None, Verified::Released, Verified::Forced, Verified::Test];

/// Why a text is no [`Verified`].
#[derive(Debug, Error, PartialEq, Eq)]
#[error("not one of signature, token, none, released, forced and test")]
pub struct VerifiedError;

impl Verified {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Token => "token",
            Self::None => "none",
            Self::Released => "released",
            Self::Forced => "forced",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Verified {
    type Err = VerifiedError;

    fn from_str(text: &str) -> Result<Self, VerifiedError> {
        VERIFIED.into_iter().find(|verified| verified.as_str() == text).ok_or(VerifiedError)
    }
}

/// What one request says; its body is parsed when somebody asks for it first, and once.
pub(crate) struct Facts<'a> {
    pub(crate) request: Request<'a>,
    reading: Reading<'a>,
    json: OnceCell<Option<Value>>,
    form: OnceCell<Vec<(String, String)>>,
}

/// How the bodies of a source are read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reading<'a> {
    /// The field of a form that holds the JSON.
    pub(crate) form_field: Option<&'a str>,
    /// Attributes of CloudEvents count as headers, whatever the mode.
    pub(crate) cloudevents: bool,
}

/// What a path found in one place.
#[derive(Clone, Debug)]
pub(crate) enum Found<'f> {
    Text(Cow<'f, str>),
    Json(&'f Value),
}

impl<'a> Facts<'a> {
    pub(crate) fn new(request: Request<'a>, reading: Reading<'a>) -> Self {
        Self { request, reading, json: OnceCell::new(), form: OnceCell::new() }
    }

    /// The JSON of the body, or of the form's field; `None` if there is none.
    pub(crate) fn json(&self) -> Option<&Value> {
        let json = || {
            if self.is_form() {
                let field = self.reading.form_field?;
                return serde_json::from_str(self.form(field).next()?).ok();
            }
            serde_json::from_slice(self.request.body).ok()
        };
        self.json.get_or_init(json).as_ref()
    }

    pub(crate) fn headers(&self, name: &http::HeaderName) -> Vec<Cow<'_, str>> {
        if self.reading.cloudevents
            && let Some(attribute) = name.as_str().strip_prefix("ce-")
        {
            return cloudevents::attribute(self.request.headers, || self.json(), attribute).into_iter().collect();
        }
        self.request.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect()
    }

    pub(crate) fn query(&self, name: &str) -> impl Iterator<Item = Cow<'a, str>> {
        form_urlencoded::parse(self.request.query.unwrap_or_default().as_bytes())
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value)
    }

    pub(crate) fn form(&self, name: &str) -> impl Iterator<Item = &str> {
        let parse = || if self.is_form() { form_urlencoded::parse(self.request.body).into_owned().collect() } else { vec![] };
        self.form.get_or_init(parse).iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The path that was asked for after the source's name, at least `/`.
    pub(crate) fn path(&self) -> &'a str {
        if self.request.path.is_empty() { "/" } else { self.request.path }
    }

    fn is_form(&self) -> bool {
        media_type(self.request.headers).eq_ignore_ascii_case("application/x-www-form-urlencoded")
    }

    /// What a path finds in an event: one or more places, each of them empty if nothing or `null` is there.
    pub(crate) fn find<'f>(&'f self, event: &'f Event<'_>, path: &Path) -> Vec<Option<Found<'f>>> {
        let one = |text: Option<Cow<'f, str>>| vec![text.map(Found::Text)];
        match &path.field {
            Field::Type => one(event.event_type.as_deref().map(Cow::Borrowed)),
            Field::Id => one(Some(event.id.as_str().into())),
            Field::Method => one(Some(self.request.method.as_str().into())),
            Field::Path => one(Some(self.path().into())),
            Field::Verified => one(Some(event.verified.as_str().into())),
            Field::Header(name) => all(self.headers(name).into_iter().map(Found::Text)),
            Field::Query(name) => all(self.query(name).map(Found::Text)),
            Field::Form(name) => all(self.form(name).map(|text| Found::Text(text.into()))),
            Field::Body(steps) => {
                let mut found = Vec::new();
                walk(self.json(), steps, &mut found);
                if found.is_empty() { vec![None] } else { found }
            }
        }
    }
}

/// The type of a body, without parameters.
pub(crate) fn media_type(headers: &http::HeaderMap) -> &str {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    given.split(';').next().unwrap_or_default().trim()
}

fn all<'f>(found: impl Iterator<Item = Found<'f>>) -> Vec<Option<Found<'f>>> {
    let found: Vec<_> = found.map(Some).collect();
    if found.is_empty() { vec![None] } else { found }
}

fn walk<'f>(mut value: Option<&'f Value>, steps: &[Step], found: &mut Vec<Option<Found<'f>>>) {
    for (number, step) in steps.iter().enumerate() {
        value = match step {
            Step::Key(key) => value.and_then(|value| value.get(key)),
            Step::Index(index) => value.and_then(|value| value.get(index)),
            Step::Each => {
                let rest = steps.get(number + 1..).unwrap_or_default();
                for element in value.and_then(Value::as_array).into_iter().flatten() {
                    walk(Some(element), rest, found);
                }
                return;
            }
        };
    }
    found.push(value.filter(|value| !value.is_null()).map(Found::Json));
}
