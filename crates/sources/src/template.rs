//! Templates: literal text with `{REFERENCE}`, and `[[ … ]]` for a part that goes away if a reference in it is absent.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    reference::{ParseError, Place, Reference, quoted},
    resolve::{Input, ResolveError, Scope},
};

#[derive(Clone, Debug)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Piece(Piece),
    Optional(Vec<Piece>),
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Reference(Reference),
}

impl Template {
    /// Reads a template. A brace that opens or closes nothing is refused: `{body` would sign a constant.
    /// In the answer to a challenge, which may be JSON, a brace before anything but a small letter is text.
    pub(crate) fn parse(text: &str, place: Place) -> Result<Self, ParseError> {
        let json = matches!(place, Place::Answer);
        let mut parser = Parser { parts: Vec::new(), optional: None, literal: String::new() };
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let after_brace = rest.strip_prefix('{');
            let opens = |after: &str| !json || after.starts_with(|c: char| c.is_ascii_lowercase());
            if let Some(after) = after_brace.filter(|after| opens(after)) {
                let (name, after) = after
                    .split_once('}')
                    .filter(|(name, _)| !name.contains('{'))
                    .ok_or_else(|| ParseError(format!("{} has a `{{` without its `}}`", quoted(text))))?;
                parser.push(Piece::Reference(Reference::parse(name, place)?));
                rest = after;
            } else if next == '}' && !json {
                return Err(ParseError(format!("{} has a `}}` without its `{{`", quoted(text))));
            } else if let Some(after) = rest.strip_prefix("[[") {
                parser.open(text)?;
                rest = after;
            } else if let Some(after) = rest.strip_prefix("]]") {
                parser.close(text)?;
                rest = after;
            } else {
                parser.literal.push(next);
                rest = rest.strip_prefix(next).unwrap_or_default();
            }
        }
        Ok(Self { text: text.to_owned(), parts: parser.finish(text)? })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Fills in an event's type and the like.
    pub fn render(&self, input: &Input<'_>) -> Result<Vec<u8>, ResolveError> {
        Ok(self.pieces(&Scope::of(input))?.concat())
    }

    /// Fills in an answer; each value is written by `escape`.
    pub(crate) fn render_answer(
        &self,
        scope: &Scope<'_>,
        escape: impl Fn(Cow<'_, [u8]>) -> Option<Vec<u8>>,
    ) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        let fill = |text: &mut Vec<u8>, piece: &Piece| -> Option<()> {
            match piece {
                Piece::Text(literal) => text.extend_from_slice(literal.as_bytes()),
                Piece::Reference(reference) => text.extend(escape(scope.resolve(reference).ok()??)?),
            }
            Some(())
        };
        for part in &self.parts {
            match part {
                Part::Piece(piece) => fill(&mut text, piece)?,
                Part::Optional(pieces) => {
                    let before = text.len();
                    if pieces.iter().try_for_each(|piece| fill(&mut text, piece)).is_none() {
                        text.truncate(before);
                    }
                }
            }
        }
        Some(text)
    }

    /// The parts of the filled-in text, so that a long body need not be copied.
    pub(crate) fn pieces<'s>(&'s self, scope: &'s Scope<'s>) -> Result<Vec<Cow<'s, [u8]>>, ResolveError> {
        let mut filled = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            match part {
                Part::Piece(Piece::Reference(reference)) => match scope.resolve(reference)? {
                    Some(value) => filled.push(value),
                    None if scope.absent_is_empty(reference) => {}
                    None => return Err(ResolveError::Absent(reference.to_string())),
                },
                Part::Piece(Piece::Text(text)) => filled.push(Cow::Borrowed(text.as_bytes())),
                Part::Optional(pieces) => {
                    let before = filled.len();
                    for piece in pieces {
                        let value = match piece {
                            Piece::Text(text) => Some(Cow::Borrowed(text.as_bytes())),
                            Piece::Reference(reference) => scope.resolve(reference)?,
                        };
                        let Some(value) = value else {
                            filled.truncate(before);
                            break;
                        };
                        filled.push(value);
                    }
                }
            }
        }
        Ok(filled)
    }

    /// Each reference, and whether it is always there.
    pub(crate) fn references(&self) -> impl Iterator<Item = (&Reference, bool)> {
        self.parts.iter().flat_map(|part| {
            let (pieces, always) = match part {
                Part::Piece(piece) => (std::slice::from_ref(piece), true),
                Part::Optional(pieces) => (pieces.as_slice(), false),
            };
            pieces.iter().filter_map(move |piece| match piece {
                Piece::Reference(reference) => Some((reference, always)),
                Piece::Text(_) => None,
            })
        })
    }
}

struct Parser {
    parts: Vec<Part>,
    optional: Option<Vec<Piece>>,
    literal: String,
}

impl Parser {
    fn push(&mut self, piece: Piece) {
        self.end_literal();
        self.add(piece);
    }

    fn add(&mut self, piece: Piece) {
        match &mut self.optional {
            Some(pieces) => pieces.push(piece),
            None => self.parts.push(Part::Piece(piece)),
        }
    }

    fn end_literal(&mut self) {
        if !self.literal.is_empty() {
            let literal = std::mem::take(&mut self.literal);
            self.add(Piece::Text(literal));
        }
    }

    fn open(&mut self, text: &str) -> Result<(), ParseError> {
        self.end_literal();
        if self.optional.replace(Vec::new()).is_some() {
            return Err(ParseError(format!("{} has a `[[` inside another", quoted(text))));
        }
        Ok(())
    }

    fn close(&mut self, text: &str) -> Result<(), ParseError> {
        self.end_literal();
        let Some(pieces) = self.optional.take() else {
            return Err(ParseError(format!("{} has a `]]` without its `[[`", quoted(text))));
        };
        self.parts.push(Part::Optional(pieces));
        Ok(())
    }

    fn finish(mut self, text: &str) -> Result<Vec<Part>, ParseError> {
        self.end_literal();
        if self.optional.is_some() {
            return Err(ParseError(format!("{} has a `[[` without its `]]`", quoted(text))));
        }
        Ok(self.parts)
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Template {}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Template {
    /// Reads a template for an event's type.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?, Place::Event).map_err(de::Error::custom)
    }
}
