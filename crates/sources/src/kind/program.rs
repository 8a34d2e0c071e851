//! A program that prints events.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use skep_protocol::validate;

use crate::{error::SourceError, source::DEFAULT_MAX_BODY, values};

/// All keys of a program.
pub(super) const KEYS: &[&str] =
    &["program", "format", "ack", "max_body", "workdir", "environment", "secrets", "sandbox"];

/// The longest line that may be asked for; more would not go through NATS everywhere.
const MAX_BODY: u64 = 8 << 20;
const MIN_BODY: u64 = 16;
/// The bytes of the command and the variables together, well below what a kernel takes.
const MAX_WORDS: usize = 128 * 1024;

/// A program that prints events, and how it is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The program and its arguments; no shell is involved.
    pub command: Vec<String>,
    pub format: Format,
    /// Whether it reads on STDIN what became of each message that it printed.
    pub acks: bool,
    /// The longest line or message in bytes; longer ones are refused.
    pub max_body: u64,
    /// Where it runs, as an absolute path; without it, in a folder of its own.
    pub workdir: Option<String>,
    pub environment: BTreeMap<String, String>,
    /// Secrets that it finds as files.
    pub secrets: Vec<String>,
    /// Whether it is kept in the sandbox that functions have.
    pub sandbox: bool,
}

/// How the messages of a program are separated in its output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One a line.
    #[default]
    Lines,
    /// One JSON value a line.
    Json,
    /// One CloudEvent in JSON a line.
    CloudEvents,
    /// Its length in digits, a newline, and as many bytes.
    Sized,
}

/// The keys as they are written.
#[derive(Deserialize)]
struct Spec {
    program: Words,
    #[serde(default, deserialize_with = "values::word")]
    format: Format,
    #[serde(default, deserialize_with = "values::maybe_word")]
    ack: Option<Ack>,
    #[serde(default, deserialize_with = "values::size")]
    max_body: Option<u64>,
    #[serde(default)]
    workdir: Option<String>,
    #[serde(default)]
    environment: BTreeMap<String, Text>,
    #[serde(default)]
    secrets: Vec<String>,
    #[serde(default, deserialize_with = "values::switch")]
    sandbox: Option<bool>,
}

/// Where a program reads what became of its messages.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Ack {
    Stdin,
}

/// A command: a text that is split as a shell would, or a list of words.
struct Words(Vec<String>);

/// A text, or a number or a truth value as it is written.
struct Text(String);

pub(super) fn read(spec: &Value) -> Result<Program, SourceError> {
    let Spec { program, format, ack, max_body, workdir, environment, secrets, sandbox } = super::read(spec)?;
    let max_body = max_body.unwrap_or(DEFAULT_MAX_BODY);
    if !(MIN_BODY..=MAX_BODY).contains(&max_body) {
        return Err(SourceError::at_key("max_body", "must be from 16 to 8MiB"));
    }
    if workdir.as_ref().is_some_and(|folder| !folder.starts_with('/')) {
        return Err(SourceError::at_key(
            "workdir",
            "must be an absolute path; only a stack file may have a relative one",
        ));
    }
    for (index, name) in secrets.iter().enumerate() {
        validate::secret_name(name)
            .map_err(|error| SourceError::new(error.to_string()).in_list(index).under("secrets"))?;
    }
    let environment: BTreeMap<String, String> =
        environment.into_iter().map(|(name, Text(value))| (name, value)).collect();
    if let Some(name) = environment.iter().find_map(|(name, value)| bad_variable(name, value).then_some(name)) {
        let reason =
            format!("{:?} is no variable: its name has no =, and neither name nor value a NUL", values::cut(name));
        return Err(SourceError::at_key("environment", reason));
    }
    let variables = environment.iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>();
    if variables + program.0.iter().map(|word| word.len() + 1).sum::<usize>() > MAX_WORDS {
        let reason = format!("has more than {MAX_WORDS} bytes with its environment: give it a file");
        return Err(SourceError::at_key("program", reason));
    }
    Ok(Program {
        command: program.0,
        format,
        acks: matches!(ack, Some(Ack::Stdin)),
        max_body,
        workdir,
        environment,
        secrets,
        sandbox: sandbox.unwrap_or(true),
    })
}

fn bad_variable(name: &str, value: &str) -> bool {
    name.is_empty() || name.contains(['=', '\0']) || value.contains('\0')
}

impl Format {
    /// What a message is, as `Content-Type` says it.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Lines => "text/plain; charset=utf-8",
            Self::Json => "application/json",
            Self::CloudEvents => "application/cloudevents+json",
            Self::Sized => "application/octet-stream",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Lines => "lines",
            Self::Json => "json",
            Self::CloudEvents => "cloudevents",
            Self::Sized => "sized",
        })
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words = match Value::deserialize(deserializer)? {
            Value::String(text) => shlex::split(&text).ok_or_else(|| {
                let text = values::cut(&text);
                de::Error::custom(format!("{text:?} cannot be split into words: look for an open quote"))
            })?,
            Value::Array(words) => serde_json::from_value(Value::Array(words))
                .map_err(|_| de::Error::custom("a list has the program and its arguments as texts"))?,
            _ => return Err(de::Error::custom("must be a command, or a list of the program and its arguments")),
        };
        if words.first().is_none_or(String::is_empty) || words.iter().any(|word| word.contains('\0')) {
            return Err(de::Error::custom("has no program"));
        }
        Ok(Self(words))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(text)),
            Value::Bool(value) => Ok(Self(value.to_string())),
            Value::Number(number) => Ok(Self(number.to_string())),
            _ => Err(de::Error::custom("a variable's value is a text")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Kind, Source};

    fn program(spec: &Value) -> Program {
        match Source::from_spec(spec).unwrap().kind {
            Kind::Program(program) => program,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_command_is_a_text_or_a_list() {
        let text = program(&json!({ "program": "psql -qAt -c 'LISTEN orders'" }));
        assert_eq!(text.command, ["psql", "-qAt", "-c", "LISTEN orders"]);
        assert_eq!((text.format, text.acks, text.max_body, text.sandbox), (Format::Lines, false, 1 << 20, true));
        let list = json!({
            "program": ["./imap idle.py", "a b"], "format": "cloudevents", "ack": "stdin", "max_body": "64KiB",
            "workdir": "/srv", "environment": { "PORT": 5432, "TLS": true }, "secrets": ["key"], "sandbox": "off",
        });
        let list = program(&list);
        assert_eq!(list.command, ["./imap idle.py", "a b"]);
        assert_eq!((list.format, list.acks, list.max_body, list.sandbox), (Format::CloudEvents, true, 1 << 16, false));
        assert_eq!((list.environment["PORT"].as_str(), list.environment["TLS"].as_str()), ("5432", "true"));
        assert_eq!((list.workdir.as_deref(), list.secrets), (Some("/srv"), vec!["key".to_owned()]));
    }

    #[test]
    fn what_cannot_be_run_is_refused_with_its_key() {
        for (mut spec, expected) in [
            (json!({ "program": "sh -c 'open" }), "program: \"sh -c 'open\" cannot be split"),
            (json!({ "program": "" }), "program: has no program"),
            (json!({ "program": [] }), "program: has no program"),
            (json!({ "program": ["a", 1] }), "program: a list has"),
            (json!({ "program": 7 }), "program: must be a command"),
            (
                json!({ "program": "a", "format": "xml" }),
                "format: unknown variant `xml`, expected one of `lines`, `json`",
            ),
            (json!({ "program": "a", "ack": "stdout" }), "ack: unknown variant `stdout`, expected `stdin`"),
            (json!({ "program": "a", "max_body": "9MiB" }), "max_body: must be from 16 to 8MiB"),
            (json!({ "program": "a", "workdir": "srv" }), "workdir: must be an absolute path"),
            (json!({ "program": "a", "secrets": ["a/b"] }), "secrets[0]: "),
            (json!({ "program": "a", "environment": { "A=B": "c" } }), "environment: \"A=B\" is no variable"),
            (json!({ "program": "a", "environment": { "A": [] } }), "environment.A: a variable's value is a text"),
            (json!({ "program": "a", "sandbox": "maybe" }), "sandbox: \"maybe\" is neither on nor off"),
            (json!({ "program": "x".repeat(200_000) }), "program: has more than 131072 bytes"),
            (json!({ "program": "a", "preset": "github" }), "preset: is for sources of the kind webhook"),
        ] {
            spec["routes"] = json!([]);
            let error = Source::from_spec(&spec).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
