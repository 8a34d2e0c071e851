//! An event that was let in, and what filters and templates read of it.

use std::{borrow::Cow, cell::OnceCell, collections::HashMap};

use http::{HeaderMap, HeaderName, header::CONTENT_TYPE};
use serde::de::IgnoredAny;
use serde_json::{Value, value::RawValue};
use skep_protocol::{EventId, Proof};

use crate::{
    Request, cloudevents, form, json,
    path::{Field, Path, Step},
    reference::JsonPath,
    resolve::Input,
};

/// An event that was let in, as it came or as it was stored.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    pub request: Request<'a>,
    pub id: EventId,
    /// What kind of event it is, if it says so.
    pub event_type: Option<String>,
    /// Why it was let in.
    pub verified: Proof,
}

/// What one request says; its body is parsed when somebody asks for it first, and once.
pub(crate) struct Facts<'a> {
    pub(crate) input: Input<'a>,
    /// Attributes of CloudEvents count as headers, whatever the mode.
    cloudevents: bool,
    json: OnceCell<Option<Value>>,
    /// Of a JSON object, what stands under its keys; most of that nobody asks for.
    members: OnceCell<HashMap<String, Member>>,
}

/// A part of the JSON, as it is written there, and as it is read when somebody asks for it.
struct Member {
    written: Box<RawValue>,
    value: OnceCell<Option<Value>>,
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
        Self { input: Input::new(request, json_field), cloudevents, json: OnceCell::new(), members: OnceCell::new() }
    }

    pub(crate) fn request(&self) -> &Request<'a> {
        &self.input.request
    }

    /// The JSON of the body, or of the form's field; `None` if there is none.
    pub(crate) fn json(&self) -> Option<&Value> {
        self.json.get_or_init(|| serde_json::from_slice(self.input.json()?).ok()).as_ref()
    }

    /// What stands under a key of the JSON; the rest of it is not built, which costs far less.
    fn member(&self, key: &str) -> Option<&Value> {
        let members = self.members.get_or_init(|| {
            let written: Option<HashMap<String, Box<RawValue>>> =
                self.input.json().and_then(|json| serde_json::from_slice(json).ok());
            let unread = |(key, written)| (key, Member { written, value: OnceCell::new() });
            written.unwrap_or_default().into_iter().map(unread).collect()
        });
        let member = members.get(key)?;
        member.value.get_or_init(|| serde_json::from_str(member.written.get()).ok()).as_ref()
    }

    /// Why a path into the body finds nothing at all.
    pub(crate) fn why_no_json(&self) -> Option<String> {
        let request = self.request();
        if self.json().is_some() {
            return None;
        }
        if self.input.json().is_some_and(|json| serde_json::from_slice::<IgnoredAny>(json).is_ok()) {
            return Some("the JSON has parts that are too deep, or numbers that are too large".to_owned());
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
            Field::Type | Field::Topic => one(event.event_type.as_deref().map(Cow::Borrowed)),
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
                match steps.as_slice() {
                    [Step::Key(key), rest @ ..] => walk(self.member(key), rest, &mut found),
                    steps => walk(self.json(), steps, &mut found),
                }
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
