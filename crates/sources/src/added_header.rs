//! Headers that a route adds: texts with `{type}`, `{id}` and references such as `{json:data.id}`.

use http::HeaderValue;

use crate::{
    event::{Event, Facts},
    reference::{Place, Reference},
    values::cut,
};

/// The longest value that is sent; a longer one is cut.
const MAX_VALUE: usize = 1024;

/// The value of an added header.
#[derive(Clone, Debug)]
pub(crate) struct AddedHeader(Vec<Piece>);

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Type,
    Id,
    Reference(Reference),
}

impl AddedHeader {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.chars().any(char::is_control) {
            return Err("has a control character".to_owned());
        }
        let unbalanced = || format!("{:?} has a brace without its other one", cut(text));
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or_else(unbalanced)?;
            if literal.contains('}') || name.contains('{') {
                return Err(unbalanced());
            }
            pieces.push(Piece::Text(literal.to_owned()));
            pieces.push(match name {
                "type" => Piece::Type,
                "id" => Piece::Id,
                "body" => return Err("a body does not fit into a header: name a field of it ({json:PATH})".to_owned()),
                name => Piece::Reference(Reference::parse(name, Place::Event).map_err(|error| error.to_string())?),
            });
            rest = after;
        }
        if rest.contains('}') {
            return Err(unbalanced());
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self(pieces))
    }

    /// The value for an event, or nothing if something of it is absent.
    ///
    /// What a sender says cannot end the header: control characters are blanks.
    pub(crate) fn value(&self, facts: &Facts<'_>, event: &Event<'_>) -> Option<HeaderValue> {
        let mut value = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => value.extend_from_slice(text.as_bytes()),
                Piece::Type => value.extend_from_slice(event.event_type.as_deref()?.as_bytes()),
                Piece::Id => value.extend_from_slice(event.id.as_str().as_bytes()),
                Piece::Reference(reference) => value.extend_from_slice(&facts.input.resolve(reference).ok()??),
            }
        }
        for byte in &mut value {
            if byte.is_ascii_control() {
                *byte = b' ';
            }
        }
        if value.len() > MAX_VALUE {
            // Not in the middle of a letter.
            let is_start = |at: &usize| value.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80);
            let end = (0..=MAX_VALUE).rev().find(is_start).unwrap_or_default();
            value.truncate(end);
        }
        HeaderValue::from_bytes(value.trim_ascii()).ok()
    }
}
