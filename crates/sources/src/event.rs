//! An event that was let in, and what filters and templates read of it.

use std::{borrow::Cow, cell::OnceCell, fmt, str::FromStr};

use http::{HeaderMap, HeaderName, header::CONTENT_TYPE};
use serde_json::{Value, value::RawValue};
use skep_protocol::EventId;
use thiserror::Error;

use crate::{
    Request, cloudevents, form, json,
    path::{Field, Path, Step},
    reference::JsonPath,
    resolve::Input,
    verdict::Verdict,
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
pub(crate) const VERIFIED: [Verified; 6] =
    [Verified::Signature, Verified::Token, Verified::None, Verified::Released, Verified::Forced, Verified::Test];

/// Why a text is no [`Verified`].
#[derive(Debug, Error, PartialEq, Eq)]
#[error("not one of signature, token, none, released, forced and test")]
pub struct VerifiedError;

impl Verified {
    /// What a check says; nothing if the request was refused.
    pub fn of(verdict: &Verdict) -> Option<Self> {
        match verdict {
            Verdict::Signature { .. } => Some(Self::Signature),
            Verdict::Token { .. } => Some(Self::Token),
            Verdict::None => Some(Self::None),
            Verdict::Refused(_) => None,
        }
    }

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
    pub(crate) input: Input<'a>,
    /// Attributes of CloudEvents count as headers, whatever the mode.
    cloudevents: bool,
    json: OnceCell<Option<Value>>,
}

/// What a path found in one place.
#[derive(Clone, Debug)]
pub(crate) enum Found<'f> {
    Text(Cow<'f, str>),
    Json(&'f Value),
}

impl Found<'_> {
    /// The value as a text: what is one already as it is, all else as JSON.
    pub(crate) fn to_text(&self) -> String {
        match self {
            Self::Text(text) => text.clone().into_owned(),
            Self::Json(Value::String(text)) => text.clone(),
            Self::Json(value) => value.to_string(),
        }
    }
}

impl<'a> Facts<'a> {
    /// `json_field` is the field of a form that holds the JSON.
    pub(crate) fn new(request: &Request<'a>, json_field: Option<&'a str>, cloudevents: bool) -> Self {
        Self { input: Input::new(request, json_field), cloudevents, json: OnceCell::new() }
    }

    pub(crate) fn request(&self) -> &Request<'a> {
        &self.input.request
    }

    /// The JSON of the body, or of the form's field; `None` if there is none.
    pub(crate) fn json(&self) -> Option<&Value> {
        self.json.get_or_init(|| serde_json::from_slice(self.input.json()?).ok()).as_ref()
    }

    /// Why a path into the body finds nothing at all.
    pub(crate) fn why_no_json(&self) -> Option<String> {
        let request = self.request();
        if self.json().is_some() {
            return None;
        }
        Some(match self.input.json_field() {
            _ if request.body.is_empty() => "the body is empty".to_owned(),
            Some(field) if form::is_form(request.headers) => match self.input.form_field(field) {
                Some(_) => format!("the field {field} of the form is no JSON"),
                None => format!("the body is a form without the field {field}"),
            },
            None if form::is_form(request.headers) => {
                "the body is a form and no JSON: filter it with form.NAME, or name the field that has the JSON with \
                 body: {form: NAME}"
                    .to_owned()
            }
            Some(_) | None => "the body is no JSON".to_owned(),
        })
    }

    /// A value of the JSON as it is written there.
    pub(crate) fn written(&self, path: &JsonPath) -> Option<&str> {
        match json::find(self.input.json()?, path).ok()? {
            json::Found::Value(value) => Some(RawValue::get(value)).filter(|text| *text != "null"),
            json::Found::Absent | json::Found::Ambiguous => None,
        }
    }

    fn headers(&self, name: &HeaderName) -> Vec<Cow<'_, str>> {
        let headers = self.request().headers;
        if self.cloudevents
            && let Some(attribute) = name.as_str().strip_prefix("ce-")
        {
            return cloudevents::attribute(headers, || self.json(), attribute).into_iter().collect();
        }
        headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect()
    }

    /// The path that was asked for after the source's name, at least `/`.
    pub(crate) fn path(&self) -> &'a str {
        let path = self.request().path;
        if path.is_empty() { "/" } else { path }
    }

    /// What a path finds in an event: one or more places, each of them empty if nothing or `null` is there.
    pub(crate) fn find<'f>(&'f self, event: &'f Event<'_>, path: &Path) -> Vec<Option<Found<'f>>> {
        let one = |text: Option<Cow<'f, str>>| vec![text.map(Found::Text)];
        match &path.field {
            Field::Type => one(event.event_type.as_deref().map(Cow::Borrowed)),
            Field::Id => one(Some(event.id.as_str().into())),
            Field::Method => one(Some(self.request().method.as_str().into())),
            Field::Path => one(Some(self.path().into())),
            Field::Verified => one(Some(event.verified.as_str().into())),
            Field::Header(name) => all(self.headers(name).into_iter().map(Found::Text)),
            Field::Query(name) => all(fields(self.request().query.unwrap_or_default().as_bytes(), name)),
            Field::Form(name) if form::may_be_form(self.request().headers) => all(fields(self.request().body, name)),
            Field::Form(_) => vec![None],
            Field::Body(steps) => {
                let mut found = Vec::new();
                walk(self.json(), steps, &mut found);
                if found.is_empty() { vec![None] } else { found }
            }
        }
    }
}

/// The values of a field of a form or a query.
fn fields<'f>(text: &'f [u8], name: &str) -> impl Iterator<Item = Found<'f>> {
    let lossy = |value: Cow<'f, [u8]>| match value {
        Cow::Borrowed(value) => String::from_utf8_lossy(value),
        Cow::Owned(value) => Cow::Owned(String::from_utf8_lossy(&value).into_owned()),
    };
    let values = form::fields(text).filter(move |(field, _)| **field == *name.as_bytes());
    values.map(move |(_, value)| Found::Text(lossy(value)))
}

/// The type of a body, without parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> &str {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
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
