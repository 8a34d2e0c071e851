//! Filters: which events take a route. They are checked when a source is deployed.

mod condition;
mod literal;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod tests;

use http::HeaderName;
use serde_json::{Map, Value};
use skep_protocol::headers::is_secret;

use self::condition::Condition;
use crate::{
    error::SourceError,
    event::{Event, Facts, Found},
    kind::Kind,
    path::{Field, Path, Step},
};

const MAX_DEPTH: usize = 16;
const MAX_KEYS: usize = 500;
/// Characters of a value that a reason shows.
const MAX_SHOWN: usize = 100;
const MAX_REASON: usize = 300;

/// A filter that was checked.
#[derive(Clone, Debug, Default)]
pub struct Filter(All);

/// Keys that must all hold.
#[derive(Clone, Debug, Default)]
struct All(Vec<Clause>);

#[derive(Clone, Debug)]
enum Clause {
    Holds {
        path: Path,
        condition: Condition,
        hidden: bool,
    },
    Any(Vec<All>),
    Not(All),
    /// What is in it holds for each element.
    Every(Vec<Clause>),
}

/// What is known of a source when its filters are read.
pub(crate) struct Compiling<'c> {
    /// Headers whose values are not shown.
    pub(crate) redacted: &'c [HeaderName],
    /// Fields of the query whose values are not shown.
    pub(crate) redacted_query: &'c [String],
    /// Whether types are topics of messages, as they are written.
    has_topics: bool,
    keys: usize,
}

impl<'c> Compiling<'c> {
    pub(crate) fn new(redacted: &'c [HeaderName], redacted_query: &'c [String], kind: &Kind) -> Self {
        Self { redacted, redacted_query, has_topics: kind.messages().is_some(), keys: 0 }
    }

    fn all(&mut self, value: &Value, depth: usize) -> Result<All, SourceError> {
        let Value::Object(map) = value else {
            return Err(SourceError::new("must be a mapping of paths to values, such as {type: push}"));
        };
        if depth > MAX_DEPTH {
            return Err(SourceError::new(format!("is nested deeper than {MAX_DEPTH} levels")));
        }
        let clauses = map.iter().map(|(key, value)| self.clause(key, value, depth).map_err(|error| error.under(key)));
        let mut clauses: Vec<Clause> = clauses.collect::<Result<_, _>>()?;
        clauses.sort_by_key(Clause::rank);
        Ok(All(clauses))
    }

    fn clause(&mut self, key: &str, value: &Value, depth: usize) -> Result<Clause, SourceError> {
        self.keys += 1;
        if self.keys > MAX_KEYS {
            return Err(SourceError::new(format!("the filter has more than {MAX_KEYS} keys")));
        }
        match key {
            "any" => {
                let Some(list) = value.as_array().filter(|list| !list.is_empty()) else {
                    return Err(SourceError::new("must be a list of mappings; one of them must hold"));
                };
                let read = list.iter().enumerate();
                let read = read.map(|(index, value)| self.all(value, depth + 1).map_err(|error| error.in_list(index)));
                read.collect::<Result<_, _>>().map(Clause::Any)
            }
            "not" => match self.all(value, depth + 1)? {
                All(clauses) if clauses.is_empty() => Err(SourceError::new("can never hold: it is empty")),
                all => Ok(Clause::Not(all)),
            },
            "every" => self.every(value),
            path => self.holds(path, value),
        }
    }

    fn every(&mut self, value: &Value) -> Result<Clause, SourceError> {
        let empty = Map::new();
        let map = value.as_object().unwrap_or(&empty);
        if map.is_empty() {
            return Err(SourceError::new("must be a mapping of paths with [*] to values"));
        }
        let read = map.iter().map(|(key, value)| {
            let clause = self.clause(key, value, MAX_DEPTH).map_err(|error| error.under(key))?;
            match &clause {
                Clause::Holds { path, .. } if path.has_elements() => Ok(clause),
                _ => Err(SourceError::at_key(key, "under every stands a path with [*], such as body.commits[*].id")),
            }
        });
        read.collect::<Result<_, _>>().map(Clause::Every)
    }

    fn holds(&self, path: &str, value: &Value) -> Result<Clause, SourceError> {
        let mut path = Path::parse(path).map_err(SourceError::new)?;
        if self.has_topics && path.field == Field::Type {
            path.field = Field::Topic;
        }
        let hidden = match &path.field {
            Field::Header(name) => is_secret(name) || self.redacted.contains(name),
            Field::Query(name) => self.redacted_query.contains(name),
            _ => false,
        };
        Ok(Clause::Holds { condition: Condition::compile(&path, value)?, path, hidden })
    }
}

impl Filter {
    /// Reads and checks a filter. The error names the key, and what is allowed there.
    pub(crate) fn compile(value: &Value, compiling: &mut Compiling<'_>) -> Result<Self, SourceError> {
        compiling.all(value, 0).map(Self)
    }

    /// Tells the first key that does not hold, or nothing if the event matches.
    pub(crate) fn miss(&self, facts: &Facts<'_>, event: &Event<'_>) -> Option<String> {
        self.0.miss(facts, event).map(|reason| shorten(&reason, MAX_REASON))
    }
}

impl All {
    fn miss(&self, facts: &Facts<'_>, event: &Event<'_>) -> Option<String> {
        self.0.iter().find_map(|clause| clause.miss(facts, event, false))
    }

    /// What an event has where these keys look.
    fn describe(&self, facts: &Facts<'_>, event: &Event<'_>) -> String {
        let parts: Vec<String> = self.0.iter().map(|clause| clause.describe(facts, event)).collect();
        parts.join(" and ")
    }
}

impl Clause {
    /// Where it stands among others: what says most about an event comes first, and what needs its body later.
    fn rank(&self) -> u8 {
        match self {
            Self::Holds { path, .. } => match path.field {
                Field::Type | Field::Topic => 0,
                Field::Body(_) => 2,
                _ => 1,
            },
            Self::Any(_) | Self::Not(_) | Self::Every(_) => 3,
        }
    }

    fn miss(&self, facts: &Facts<'_>, event: &Event<'_>, every: bool) -> Option<String> {
        match self {
            Self::Holds { path, condition, hidden } => {
                let mut found = facts.find(event, path);
                if every {
                    found.retain(|found| !condition.holds(found.as_ref()));
                }
                let holds =
                    if every { found.is_empty() } else { found.iter().any(|found| condition.holds(found.as_ref())) };
                (!holds).then(|| shown(facts, path, &found, *hidden))
            }
            Self::Any(alternatives) => {
                let mut misses = Vec::new();
                for all in alternatives {
                    misses.push(all.miss(facts, event)?);
                }
                Some(format!("any: {}", misses.join("; ")))
            }
            Self::Not(all) => match all.miss(facts, event) {
                Some(_) => None,
                None => Some(format!("not: {}", all.describe(facts, event))),
            },
            Self::Every(clauses) => {
                let miss = clauses.iter().find_map(|clause| clause.miss(facts, event, true))?;
                Some(format!("every: {miss}"))
            }
        }
    }

    /// What an event has where this clause looks.
    fn describe(&self, facts: &Facts<'_>, event: &Event<'_>) -> String {
        match self {
            Self::Holds { path, hidden, .. } => shown(facts, path, &facts.find(event, path), *hidden),
            Self::Any(_) => "one of any holds".to_owned(),
            Self::Not(_) => "what is under not does not hold".to_owned(),
            Self::Every(_) => "every holds".to_owned(),
        }
    }
}

impl Path {
    /// Whether it has a `[*]`.
    fn has_elements(&self) -> bool {
        matches!(&self.field, Field::Body(steps) if steps.contains(&Step::Each))
    }
}

fn shown(facts: &Facts<'_>, path: &Path, found: &[Option<Found<'_>>], hidden: bool) -> String {
    if found.iter().all(Option::is_none) {
        let why = if matches!(path.field, Field::Body(_)) { facts.why_no_json() } else { None };
        return why.map_or_else(|| format!("{path} is absent"), |why| format!("{path} is absent, because {why}"));
    }
    if hidden {
        return format!("{path} has another value");
    }
    let mut values = String::new();
    for found in found.iter().flatten() {
        if !values.is_empty() {
            values.push_str(", ");
        }
        values.push_str(&value(found));
        if values.len() > MAX_SHOWN * 4 {
            break;
        }
    }
    format!("{path} is {}", shorten(&values, MAX_SHOWN))
}

fn value(found: &Found<'_>) -> String {
    let text = |text: &str| {
        let beginning: String = text.chars().take(MAX_SHOWN + 1).collect();
        Value::String(beginning).to_string()
    };
    match found {
        Found::Text(found) => text(found),
        Found::Json(Value::String(found)) => text(found),
        Found::Json(Value::Array(elements)) => format!("an array of {}", elements.len()),
        Found::Json(Value::Object(_)) => "an object".to_owned(),
        Found::Json(scalar) => scalar.to_string(),
    }
}

/// Characters of a text, none of them a control character.
fn shorten(text: &str, characters: usize) -> String {
    let mut short: String = text.chars().take(characters).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(characters).is_some() {
        short.push('…');
    }
    short
}
