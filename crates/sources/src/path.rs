//! Paths of filters: which part of an event is meant.

use std::{fmt, iter::Peekable, str::Chars};

use http::HeaderName;

use crate::values::cut;

const MAX_STEPS: usize = 32;
const FIELDS: &str = "type, id, method, path, verified, header.NAME, query.NAME, form.NAME and body";

/// A part of an event, as `body.commits[*].author.name` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    text: String,
    pub(crate) field: Field,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Type,
    /// The type of an event that is a message: its topic, unless the declaration says another one.
    Topic,
    Id,
    Method,
    Path,
    Verified,
    Header(HeaderName),
    Query(String),
    Form(String),
    Body(Vec<Step>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
    /// `[*]`: each element of an array.
    Each,
}

impl Path {
    /// Reads a path. The error says what is allowed.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.chars().any(char::is_control) {
            return Err(format!("path {:?} has a control character", cut(text)));
        }
        let (field, rest) = text.split_at(text.find(['.', '[']).unwrap_or(text.len()));
        let whole = |it: Field| match rest {
            "" => Ok(it),
            _ => Err(format!("{:?}: {field} is one text and has no parts", cut(text))),
        };
        let field = match field {
            "type" => whole(Field::Type)?,
            "id" => whole(Field::Id)?,
            "method" => whole(Field::Method)?,
            "path" => whole(Field::Path)?,
            "verified" => whole(Field::Verified)?,
            "header" => {
                let name = name(text, rest)?;
                Field::Header(name.parse().map_err(|_| format!("{:?} is no name of a header", cut(&name)))?)
            }
            "query" => Field::Query(name(text, rest)?),
            "form" => Field::Form(name(text, rest)?),
            "body" => Field::Body(steps(rest).map_err(|reason| format!("path {:?}: {reason}", cut(text)))?),
            _ => return Err(format!("{:?} is no part of an event ({FIELDS})", cut(text))),
        };
        Ok(Self { text: text.to_owned(), field })
    }

    /// Whether its values are texts, whatever the event.
    pub(crate) fn is_text(&self) -> bool {
        !matches!(self.field, Field::Body(_))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// The name after `header`, `query` or `form`: all the rest, or one quoted key.
fn name(text: &str, rest: &str) -> Result<String, String> {
    let error = || format!("{:?} has no name: write as header.NAME or header[\"NAME\"]", cut(text));
    if let Some(name) = rest.strip_prefix('.').filter(|name| !name.is_empty()) {
        return Ok(name.to_owned());
    }
    match steps(rest).map_err(|_| error())?.as_slice() {
        [Step::Key(name)] => Ok(name.clone()),
        _ => Err(error()),
    }
}

fn steps(text: &str) -> Result<Vec<Step>, String> {
    let mut letters = text.chars().peekable();
    let mut steps = Vec::new();
    while let Some(letter) = letters.next() {
        steps.push(match letter {
            '.' => key(&mut letters)?,
            '[' => bracket(&mut letters)?,
            other => return Err(format!("{other:?} stands where . or [ must")),
        });
        if steps.len() > MAX_STEPS {
            return Err(format!("it has more than {MAX_STEPS} steps"));
        }
    }
    Ok(steps)
}

fn key(letters: &mut Peekable<Chars<'_>>) -> Result<Step, String> {
    let mut key = String::new();
    while let Some(letter) = letters.next_if(|letter| !matches!(letter, '.' | '[' | ']')) {
        key.push(letter);
    }
    if key.is_empty() { Err("a key is missing after .".to_owned()) } else { Ok(Step::Key(key)) }
}

fn bracket(letters: &mut Peekable<Chars<'_>>) -> Result<Step, String> {
    let error = || "in brackets stands a number, * or a key in double quotes ([0], [*], [\"any key\"])".to_owned();
    if letters.next_if_eq(&'"').is_some() {
        let mut key = String::new();
        loop {
            match letters.next().ok_or_else(error)? {
                '"' => break,
                '\\' => key.push(letters.next().ok_or_else(error)?),
                letter => key.push(letter),
            }
        }
        return if letters.next() == Some(']') { Ok(Step::Key(key)) } else { Err(error()) };
    }
    let mut inner = String::new();
    loop {
        match letters.next().ok_or_else(error)? {
            ']' => break,
            letter => inner.push(letter),
        }
    }
    match inner.as_str() {
        "*" => Ok(Step::Each),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().map(Step::Index).map_err(|_| error())
        }
        _ => Err(error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> Vec<Step> {
        match Path::parse(text).unwrap().field {
            Field::Body(steps) => steps,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_part_of_an_event_has_a_path() {
        for (text, field) in [
            ("type", Field::Type),
            ("id", Field::Id),
            ("method", Field::Method),
            ("path", Field::Path),
            ("verified", Field::Verified),
            ("header.User-Agent", Field::Header("user-agent".parse().unwrap())),
            ("header[\"X-A\"]", Field::Header("x-a".parse().unwrap())),
            ("query.hub.mode", Field::Query("hub.mode".to_owned())),
            ("form.SmsStatus", Field::Form("SmsStatus".to_owned())),
            ("body", Field::Body(vec![])),
        ] {
            let path = Path::parse(text).unwrap();
            assert_eq!((path.to_string().as_str(), &path.field), (text, &field));
        }
    }

    #[test]
    fn a_path_in_a_body_has_keys_numbers_and_stars() {
        let key = |key: &str| Step::Key(key.to_owned());
        assert_eq!(body("body.commits[*].author.name"), [key("commits"), Step::Each, key("author"), key("name")]);
        assert_eq!(body(r#"body["any key"][0]["a\"]b"]"#), [key("any key"), Step::Index(0), key("a\"]b")]);
        assert_eq!(body("body.0"), [key("0")]);
        assert_eq!(body(r#"body[""]"#), [key("")]);
    }

    #[test]
    fn anything_else_is_refused_with_what_is_allowed() {
        for (text, expected) in [
            ("", "type, id, method"),
            ("Type", "type, id, method"),
            ("data.x", "type, id, method"),
            ("type.x", "has no parts"),
            ("header", "has no name"),
            ("header.", "has no name"),
            ("header.a b", "no name of a header"),
            ("query[0]", "has no name"),
            ("body.", "a key is missing"),
            ("body..a", "a key is missing"),
            ("body[", "in brackets"),
            ("body[]", "in brackets"),
            ("body[-1]", "in brackets"),
            ("body[a]", "in brackets"),
            ("body[\"a", "in brackets"),
            ("body[\"a\"x]", "in brackets"),
            ("body[99999999999999999999999]", "in brackets"),
            ("body[0]a", "stands where"),
            ("body.a]", "stands where"),
            ("body.a\n", "control character"),
            (&"body".chars().chain(".a".repeat(33).chars()).collect::<String>(), "more than 32"),
        ] {
            let error = Path::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}
