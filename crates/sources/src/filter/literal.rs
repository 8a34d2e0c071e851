//! Values that a filter compares with.

use std::cmp::Ordering;

use serde_json::{Number, Value};
use skep_protocol::Proof;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    error::SourceError,
    event::Found,
    message,
    path::{Field, Path},
    values::cut,
};

/// A plain value, compared as JSON compares: `5` is `5.0` and not `"5"`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    /// A type with `*`, which stands for any text.
    Glob(String),
}

impl Literal {
    /// Reads a value that a path may have, in lower case where `fold` says that case does not count. A value that can never be there is an error.
    pub(super) fn compile(path: &Path, value: &Value, fold: bool) -> Result<Self, SourceError> {
        let literal = match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(number.clone()),
            Value::String(text) if path.field == Field::Topic => Self::of_type(message::encoded(text)),
            Value::String(text) if path.field == Field::Type => Self::of_type(text.clone()),
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(_) | Value::Object(_) => {
                return Err(SourceError::new("a list holds plain values: texts, numbers, true, false and null"));
            }
        };
        literal.check(path).map_err(SourceError::new)?;
        Ok(match literal {
            Self::Text(text) if fold => Self::Text(text.to_lowercase()),
            Self::Glob(text) if fold => Self::Glob(text.to_lowercase()),
            literal => literal,
        })
    }

    fn of_type(text: String) -> Self {
        if text.contains('*') { Self::Glob(text) } else { Self::Text(text) }
    }

    fn check(&self, path: &Path) -> Result<(), String> {
        let text = match self {
            Self::Text(text) | Self::Glob(text) => text,
            Self::Null if matches!(path.field, Field::Id | Field::Method | Field::Path | Field::Verified) => {
                return Err(format!("can never hold: {path} is always there"));
            }
            Self::Null => return Ok(()),
            Self::Bool(_) | Self::Number(_) if !path.is_text() => return Ok(()),
            Self::Bool(value) => {
                return Err(format!("can never hold: {path} is a text, so write \"{value}\" in quotes"));
            }
            Self::Number(value) => {
                return Err(format!("can never hold: {path} is a text, so write \"{value}\" in quotes"));
            }
        };
        let never = |reason: &str| Err(format!("{:?} can never hold: {reason}", cut(text)));
        match path.field {
            Field::Type
                if !text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'*')) =>
            {
                never(
                    "types have lower-case letters, digits, dots, underscores and hyphens, and - in place of all else",
                )
            }
            Field::Method if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') => {
                never("methods have upper-case letters, such as POST")
            }
            Field::Path if !text.starts_with('/') => never("paths begin with /"),
            Field::Verified if Proof::ALL.iter().all(|verified| verified.as_str() != text) => {
                let words: Vec<&str> = Proof::ALL.iter().map(|verified| verified.as_str()).collect();
                never(&format!("verified is one of {}", words.join(", ")))
            }
            _ => Ok(()),
        }
    }

    /// Whether a value is this one; `None` is absent or null.
    pub(super) fn is(&self, found: Option<&Found<'_>>) -> bool {
        match (self, found) {
            (Self::Null, None) => true,
            (Self::Null, Some(_)) | (_, None) => false,
            (Self::Bool(value), Some(Found::Json(Value::Bool(found)))) => value == found,
            (Self::Number(number), Some(Found::Json(Value::Number(found)))) => {
                compare(number, found) == Some(Ordering::Equal)
            }
            (Self::Text(text), Some(found)) => found.text() == Some(text.as_str()),
            (Self::Glob(pattern), Some(found)) => found.text().is_some_and(|found| glob(pattern, found)),
            (Self::Bool(_) | Self::Number(_), Some(_)) => false,
        }
    }
}

impl Found<'_> {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Json(value) => value.as_str(),
        }
    }

    /// A text in lower case, which is made once for all that it is compared with.
    pub(super) fn to_lowercase(&self) -> Option<Found<'static>> {
        self.text().map(|text| Found::Text(text.to_lowercase().into()))
    }

    fn number(&self) -> Option<&Number> {
        match self {
            Self::Json(Value::Number(number)) => Some(number),
            _ => None,
        }
    }
}

/// A bound that values are compared with: a number, or a time.
#[derive(Clone, Debug)]
pub(super) enum Bound {
    Number(Number),
    Time(OffsetDateTime),
}

impl Bound {
    pub(super) fn compile(path: &Path, value: &Value) -> Result<Self, SourceError> {
        match value {
            Value::Number(_) if path.is_text() => Err(SourceError::new(format!(
                "can never hold: {path} is a text, and only numbers are compared with numbers"
            ))),
            Value::Number(number) => Ok(Self::Number(number.clone())),
            Value::String(text) => OffsetDateTime::parse(text, &Rfc3339).map(Self::Time).map_err(|_| {
                SourceError::new(format!("{:?} is neither a number nor a time (2026-11-29T12:00:00Z)", cut(text)))
            }),
            _ => Err(SourceError::new("must be a number or a time (2026-11-29T12:00:00Z)")),
        }
    }

    /// How a value stands to this bound, if they can be compared.
    pub(super) fn order(&self, found: &Found<'_>) -> Option<Ordering> {
        match self {
            Self::Number(bound) => compare(found.number()?, bound),
            Self::Time(bound) => Some(OffsetDateTime::parse(found.text()?, &Rfc3339).ok()?.cmp(bound)),
        }
    }

    /// How two bounds stand to each other, if they can be compared.
    pub(super) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => compare(one, other),
            (Self::Time(one), Self::Time(other)) => Some(one.cmp(other)),
            _ => None,
        }
    }
}

/// Compares two numbers by their value, whole ones without loss.
fn compare(one: &Number, other: &Number) -> Option<Ordering> {
    match (whole(one), whole(other)) {
        (Some(one), Some(other)) => Some(one.cmp(&other)),
        _ => one.as_f64()?.partial_cmp(&other.as_f64()?),
    }
}

fn whole(number: &Number) -> Option<i128> {
    const EXACT: f64 = 1e18;
    if let Some(number) = number.as_i64() {
        return Some(number.into());
    }
    if let Some(number) = number.as_u64() {
        return Some(number.into());
    }
    number.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < EXACT).map(|number| number as i128)
}

/// Whether a text fits a pattern in which `*` stands for any text.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_by_value() {
        let order = |one: &str, other: &str| {
            compare(&serde_json::from_str(one).unwrap(), &serde_json::from_str(other).unwrap())
        };
        for (one, other, expected) in [
            ("5", "5.0", Ordering::Equal),
            ("-1", "1", Ordering::Less),
            ("1e3", "1000", Ordering::Equal),
            ("1.5", "1", Ordering::Greater),
            ("9007199254740993", "9007199254740992.0", Ordering::Greater),
            ("18446744073709551615", "-1", Ordering::Greater),
            ("18446744073709551615", "18446744073709551614", Ordering::Greater),
            ("1e300", "18446744073709551615", Ordering::Greater),
        ] {
            assert_eq!(order(one, other), Some(expected), "{one} {other}");
        }
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, fits) in [
            ("pull_request.*", "pull_request.opened", true),
            ("pull_request.*", "pull_request", false),
            ("*", "", true),
            ("a*b*c", "a.b.b.c", true),
            ("a*b*c", "abc", true),
            ("a*a", "a", false),
            ("*.deleted", "customer.deleted", true),
            ("*.deleted", "customer.deleted.later", false),
            ("a**b", "ab", true),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
    }
}
