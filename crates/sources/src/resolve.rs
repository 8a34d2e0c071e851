//! What a reference names in a request.

use std::{borrow::Cow, cell::OnceCell};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::{
    Request,
    challenge_value::AnswerKeys,
    form::{self, OwnedField},
    json::{self, Found},
    reference::{JsonPath, Reference},
    signature::Fields,
};

/// A reference that cannot be filled in.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ResolveError {
    #[error("{0} is absent")]
    Absent(String),
    #[error("{0} is an object, an array or there twice, and must be one value")]
    NotOneValue(String),
    #[error("{0} cannot be decoded")]
    Undecodable(String),
    #[error("the URL is signed, and the source has no `url`")]
    NoUrl,
}

/// A request whose form and JSON are read at most once, and only if something asks for them.
#[derive(Debug)]
pub struct Input<'a> {
    pub(crate) request: Request<'a>,
    json_field: Option<&'a str>,
    /// Owned, so that an input can be lent for less than its request.
    form: OnceCell<Vec<OwnedField>>,
}

impl<'a> Input<'a> {
    /// `json_field` is the preset's `body.form`: the field of a form whose JSON counts as the body.
    pub fn new(request: &Request<'a>, json_field: Option<&'a str>) -> Self {
        Self { request: *request, json_field, form: OnceCell::new() }
    }

    /// The value of a reference that an id, a type or a filter may name; none if it is absent.
    pub fn resolve<'s>(&'s self, reference: &'s Reference) -> Result<Option<Cow<'s, [u8]>>, ResolveError> {
        common(self, reference)
    }

    /// The text that `json:` reads: the body, or the form's field that holds it.
    pub fn json(&self) -> Option<&[u8]> {
        match self.json_field {
            Some(name) if form::is_form(self.request.headers) => self.form_field(name),
            _ => Some(self.request.body),
        }
    }

    /// The field of a form whose JSON counts as the body.
    pub(crate) fn json_field(&self) -> Option<&'a str> {
        self.json_field
    }

    /// The value of a field of the body's form.
    pub fn form_field(&self, name: &str) -> Option<&[u8]> {
        self.fields().iter().find(|(field, _)| **field == *name.as_bytes()).map(|(_, value)| &**value)
    }

    fn fields(&self) -> &[OwnedField] {
        self.form.get_or_init(|| {
            if !form::may_be_form(self.request.headers) {
                return Vec::new();
            }
            form::fields(self.request.body).map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
        })
    }

    /// Whether a reference is there, whatever it holds.
    pub(crate) fn is_there(&self, reference: &Reference) -> bool {
        !matches!(common(self, reference), Ok(None))
    }
}

/// What a scheme's or an answer's references can name beside the request.
#[derive(Debug)]
pub(crate) struct Scope<'s> {
    pub(crate) input: &'s Input<'s>,
    /// The element that `each` is at.
    pub(crate) item: Option<&'s RawValue>,
    pub(crate) timestamp: Option<Cow<'s, [u8]>>,
    pub(crate) fields: Fields<'s>,
    pub(crate) url: Option<&'s str>,
    pub(crate) answer: Option<AnswerKeys<'s>>,
}

impl<'s> Scope<'s> {
    pub(crate) fn of(input: &'s Input<'s>) -> Self {
        Self { input, item: None, timestamp: None, fields: Fields::default(), url: None, answer: None }
    }

    pub(crate) fn resolve<'r>(&'r self, reference: &'r Reference) -> Result<Option<Cow<'r, [u8]>>, ResolveError> {
        match reference {
            Reference::Url => match self.url {
                Some(url) => Ok(Some(Cow::Borrowed(url.as_bytes()))),
                None => Err(ResolveError::NoUrl),
            },
            Reference::Timestamp => Ok(self.timestamp.as_deref().map(Cow::Borrowed)),
            Reference::Signature(field) => Ok(self.fields.get(field).map(Cow::Borrowed)),
            Reference::Item(path) => match self.item {
                Some(item) => json_text(item.get().as_bytes(), path, reference)
                    .unwrap_or_else(|| Err(ResolveError::NotOneValue(reference.to_string()))),
                None => Ok(None),
            },
            Reference::Lower(inner) => Ok(self.resolve(inner)?.map(|text| Cow::Owned(text.to_ascii_lowercase()))),
            Reference::Secret(_) | Reference::Hmac(..) | Reference::Sha256Hex(_) => match &self.answer {
                Some(answer) => answer.resolve(reference, self),
                None => Ok(None),
            },
            _ => common(self.input, reference),
        }
    }

    /// In an element, what is absent is the empty text.
    pub(crate) fn absent_is_empty(&self, reference: &Reference) -> bool {
        match reference {
            Reference::Item(_) => true,
            Reference::Lower(inner) => self.absent_is_empty(inner),
            _ => false,
        }
    }
}

/// A reference to the request itself.
fn common<'s>(input: &'s Input<'_>, reference: &Reference) -> Result<Option<Cow<'s, [u8]>>, ResolveError> {
    let request = &input.request;
    Ok(match reference {
        Reference::Body => Some(Cow::Borrowed(request.body)),
        Reference::Method => Some(Cow::Borrowed(request.method.as_str().as_bytes())),
        Reference::Path => Some(Cow::Borrowed(request.path.as_bytes())),
        Reference::Header(name) => one_header(request.headers, name)?.map(|value| Cow::Borrowed(value.as_bytes())),
        Reference::Query(name) => {
            let mut values = form::fields(request.query.unwrap_or_default().as_bytes())
                .filter_map(|(field, value)| (*field == *name.as_bytes()).then_some(value));
            let first = values.next();
            if values.any(|value| Some(&value) != first.as_ref()) {
                return Err(ResolveError::NotOneValue(reference.to_string()));
            }
            first
        }
        Reference::Form(name) => input.form_field(name).map(Cow::Borrowed),
        Reference::FormSorted => {
            if !request.body.is_empty() && !form::may_be_form(request.headers) {
                return Ok(None);
            }
            Some(Cow::Owned(form::sorted(input.fields())))
        }
        Reference::Json(path) => {
            return input.json().and_then(|json| json_text(json, path, reference)).unwrap_or(Ok(None));
        }
        Reference::Bearer => authorization(request.headers, "bearer")?.map(Cow::Borrowed),
        Reference::Basic => match authorization(request.headers, "basic")? {
            Some(encoded) => Some(Cow::Owned(
                STANDARD.decode(encoded).map_err(|_| ResolveError::Undecodable(reference.to_string()))?,
            )),
            None => None,
        },
        Reference::Lower(inner) => common(input, inner)?.map(|text| Cow::Owned(text.to_ascii_lowercase())),
        Reference::Timestamp
        | Reference::Url
        | Reference::Item(_)
        | Reference::Signature(_)
        | Reference::Secret(_)
        | Reference::Hmac(..)
        | Reference::Sha256Hex(_) => None,
    })
}

/// A header that is there once, or several times with the same value; a proxy and a function might read different ones.
fn one_header<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h HeaderValue>, ResolveError> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.any(|value| Some(value) != first) {
        return Err(ResolveError::NotOneValue(format!("header:{name}")));
    }
    Ok(first)
}

fn authorization<'h>(headers: &'h HeaderMap, scheme: &str) -> Result<Option<&'h [u8]>, ResolveError> {
    let Some(value) = one_header(headers, &AUTHORIZATION)? else { return Ok(None) };
    let Some((kind, credentials)) = value.as_bytes().split_at_checked(scheme.len()) else { return Ok(None) };
    let fits = kind.eq_ignore_ascii_case(scheme.as_bytes()) && credentials.starts_with(b" ");
    Ok(fits.then(|| credentials.trim_ascii()))
}

/// The text of a JSON value; none if the whole is no JSON.
fn json_text<'j>(
    json: &'j [u8],
    path: &JsonPath,
    reference: &Reference,
) -> Option<Result<Option<Cow<'j, [u8]>>, ResolveError>> {
    let not_one = || Err(ResolveError::NotOneValue(reference.to_string()));
    Some(match json::find(json, path).ok()? {
        Found::Absent => Ok(None),
        Found::Ambiguous => not_one(),
        Found::Value(value) => match value.get().as_bytes() {
            b"null" => Ok(None),
            [b'{' | b'[', ..] => not_one(),
            [b'"', ..] => match serde_json::from_str::<String>(value.get()) {
                Ok(text) => Ok(Some(Cow::Owned(text.into_bytes()))),
                Err(_) => Err(ResolveError::Undecodable(reference.to_string())),
            },
            written => Ok(Some(Cow::Borrowed(written))),
        },
    })
}
