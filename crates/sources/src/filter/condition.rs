//! What a filter asks of one value.

use std::cmp::Ordering;

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use super::literal::{Bound, Literal};
use crate::{
    error::SourceError,
    event::Found,
    path::{Field, Path},
    values::cut,
};

const OPERATORS: &str = "prefix, suffix, contains, matches, in, not, gt, gte, lt, lte, exists, ignore_case";
const MAX_PATTERN: usize = 1000;
/// Bytes of memory of one compiled pattern.
const MAX_PATTERN_MEMORY: usize = 256 << 10;

/// What must hold for one value, all of it.
#[derive(Clone, Debug)]
pub(super) struct Condition(Vec<Test>);

#[derive(Clone, Debug)]
enum Test {
    /// Texts are in lower case where `fold` says that case does not count.
    In {
        values: Vec<Literal>,
        fold: bool,
    },
    Not(Condition),
    Order {
        operator: Operator,
        bound: Bound,
    },
    Prefix {
        text: String,
        fold: bool,
    },
    Suffix {
        text: String,
        fold: bool,
    },
    Contains {
        value: Literal,
        fold: bool,
    },
    Matches(Regex),
    Exists(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Gt,
    Gte,
    Lt,
    Lte,
}

impl Condition {
    pub(super) fn compile(path: &Path, value: &Value) -> Result<Self, SourceError> {
        let Value::Object(map) = value else { return plain(path, value, false).map(|test| Self(vec![test])) };
        let fold = match map.get("ignore_case") {
            None => false,
            Some(Value::Bool(fold)) => *fold,
            Some(_) => return Err(SourceError::at_key("ignore_case", "must be true or false")),
        };
        let tests = map.iter().filter(|(key, _)| *key != "ignore_case");
        let tests = tests.map(|(key, value)| test(path, key, value, fold).map_err(|error| error.under(key)));
        let condition = Self(tests.collect::<Result<_, _>>()?);
        if condition.0.is_empty() {
            return Err(SourceError::new(format!("has no operator ({OPERATORS})")));
        }
        condition.check(path, map).map_err(SourceError::new)?;
        Ok(condition)
    }

    /// Refuses tests that cannot hold together.
    fn check(&self, path: &Path, map: &Map<String, Value>) -> Result<(), String> {
        let absent = self.0.iter().any(|test| matches!(test, Test::Exists(false)));
        if absent && self.0.iter().any(|test| !test.holds(None)) {
            return Err("can never hold: exists: false says that nothing is there".to_owned());
        }
        if absent && matches!(path.field, Field::Id | Field::Method | Field::Path | Field::Verified) {
            return Err(format!("can never hold: {path} is always there"));
        }
        let bounds = |wanted: [Operator; 2]| {
            self.0.iter().filter_map(move |test| match test {
                Test::Order { operator, bound } if wanted.contains(operator) => Some((*operator, bound)),
                _ => None,
            })
        };
        for (lower, from) in bounds([Operator::Gt, Operator::Gte]) {
            for (upper, to) in bounds([Operator::Lt, Operator::Lte]) {
                let open = match from.compare(to) {
                    Some(Ordering::Less) => true,
                    Some(Ordering::Equal) => (lower, upper) == (Operator::Gte, Operator::Lte),
                    Some(Ordering::Greater) => false,
                    None => return Err("can never hold: a value is a number or a time, not both".to_owned()),
                };
                if !open {
                    let keys: Vec<&str> = map.keys().map(String::as_str).collect();
                    return Err(format!("can never hold: nothing is between these bounds ({})", keys.join(", ")));
                }
            }
        }
        Ok(())
    }

    /// Whether a value passes; `None` is absent or null.
    pub(super) fn holds(&self, found: Option<&Found<'_>>) -> bool {
        self.0.iter().all(|test| test.holds(found))
    }
}

/// A value that must be there, or a list of which one must be.
fn plain(path: &Path, value: &Value, fold: bool) -> Result<Test, SourceError> {
    let values = match value {
        Value::Array(list) if list.is_empty() => return Err(SourceError::new("can never hold: the list is empty")),
        Value::Array(list) => {
            let read = list.iter().enumerate();
            read.map(|(index, value)| Literal::compile(path, value, fold).map_err(|error| error.in_list(index)))
                .collect::<Result<_, _>>()?
        }
        value => vec![Literal::compile(path, value, fold)?],
    };
    Ok(Test::In { values, fold })
}

fn test(path: &Path, operator: &str, value: &Value, fold: bool) -> Result<Test, SourceError> {
    let order = |operator| Bound::compile(path, value).map(|bound| Test::Order { operator, bound });
    match operator {
        "in" if value.is_array() => plain(path, value, fold),
        "in" => Err(SourceError::new("must be a list of values")),
        "not" if value.is_object() => Condition::compile(path, value).map(Test::Not),
        "not" => plain(path, value, fold).map(|test| Test::Not(Condition(vec![test]))),
        "gt" => order(Operator::Gt),
        "gte" => order(Operator::Gte),
        "lt" => order(Operator::Lt),
        "lte" => order(Operator::Lte),
        "prefix" => text(value, fold).map(|text| Test::Prefix { text, fold }),
        "suffix" => text(value, fold).map(|text| Test::Suffix { text, fold }),
        "contains" => contains(path, value, fold),
        "matches" => pattern(value, fold).map(Test::Matches),
        "exists" => value.as_bool().map(Test::Exists).ok_or_else(|| SourceError::new("must be true or false")),
        other => Err(SourceError::new(format!("unknown operator {:?} ({OPERATORS})", cut(other)))),
    }
}

fn text(value: &Value, fold: bool) -> Result<String, SourceError> {
    let text = value.as_str().ok_or_else(|| SourceError::new("must be a text; write it in quotes"))?;
    Ok(if fold { text.to_lowercase() } else { text.to_owned() })
}

fn contains(path: &Path, value: &Value, fold: bool) -> Result<Test, SourceError> {
    let value = match value {
        Value::String(_) => Literal::Text(text(value, fold)?),
        Value::Number(number) if !path.is_text() => Literal::Number(number.clone()),
        Value::Bool(value) if !path.is_text() => Literal::Bool(*value),
        _ if path.is_text() => return Err(SourceError::new("must be a text; write it in quotes")),
        _ => {
            return Err(SourceError::new("must be a text, or an element of an array: a text, a number, true or false"));
        }
    };
    Ok(Test::Contains { value, fold })
}

fn pattern(value: &Value, fold: bool) -> Result<Regex, SourceError> {
    let text = value.as_str().ok_or_else(|| SourceError::new("must be a regular expression in quotes"))?;
    if text.len() > MAX_PATTERN {
        return Err(SourceError::new(format!("is longer than {MAX_PATTERN} bytes")));
    }
    let mut builder = RegexBuilder::new(text);
    builder.case_insensitive(fold).size_limit(MAX_PATTERN_MEMORY).dfa_size_limit(MAX_PATTERN_MEMORY).nest_limit(32);
    builder.build().map_err(|error| {
        // The last line says what is wrong; those before point at it.
        let error = error.to_string();
        let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
        SourceError::new(format!("{:?} is no regular expression that is taken: {reason}", cut(text)))
    })
}

impl Test {
    fn holds(&self, found: Option<&Found<'_>>) -> bool {
        match self {
            Self::In { values, fold } => {
                let lower = found.filter(|_| *fold).and_then(Found::to_lowercase);
                values.iter().any(|value| value.is(lower.as_ref().or(found)))
            }
            Self::Not(condition) => !condition.holds(found),
            Self::Exists(exists) => found.is_some() == *exists,
            Self::Order { operator, bound } => {
                found.and_then(|found| bound.order(found)).is_some_and(|order| operator.allows(order))
            }
            Self::Prefix { text, fold } => with_text(found, *fold, |found| found.starts_with(text)),
            Self::Suffix { text, fold } => with_text(found, *fold, |found| found.ends_with(text)),
            Self::Contains { value, fold } => match found {
                Some(Found::Json(Value::Array(elements))) => elements.iter().map(Found::Json).any(|element| {
                    let lower = if *fold { element.to_lowercase() } else { None };
                    value.is(Some(&lower.unwrap_or(element)))
                }),
                found => {
                    let Literal::Text(text) = value else { return false };
                    with_text(found, *fold, |found| found.contains(text))
                }
            },
            Self::Matches(pattern) => with_text(found, false, |found| pattern.is_match(found)),
        }
    }
}

impl Operator {
    fn allows(self, order: Ordering) -> bool {
        match self {
            Self::Gt => order.is_gt(),
            Self::Gte => order.is_ge(),
            Self::Lt => order.is_lt(),
            Self::Lte => order.is_le(),
        }
    }
}

fn with_text(found: Option<&Found<'_>>, fold: bool, holds: impl FnOnce(&str) -> bool) -> bool {
    match found.and_then(Found::text) {
        Some(text) if fold => holds(&text.to_lowercase()),
        Some(text) => holds(text),
        None => false,
    }
}
