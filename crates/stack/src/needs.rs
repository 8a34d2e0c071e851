//! What a stack needs beside its functions and sources: its name, namespaces and secrets.

use std::path::PathBuf;

use serde_saphyr::Spanned;

use crate::{Source, StackError, section::SecretSection};

/// The longest name of a stack; it is an annotation, and is shown in tables.
const MAX_NAME: usize = 63;

/// A secret that has to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedSecret {
    pub name: String,
    /// Empty for the default namespace.
    pub namespace: String,
    /// Where its value is, for an installation that does not have it.
    pub value: Option<SecretValue>,
}

/// Where the value of a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretValue {
    /// In a file, which is relative to the folder of the stack file.
    File(PathBuf),
    /// In a variable of the environment.
    Variable(String),
}

/// Checks the name of a stack.
pub(super) fn stack_name(name: &Spanned<String>, source: &Source<'_>) -> Result<String, StackError> {
    word(name, source, "name")
}

/// Checks the name of a namespace.
pub(super) fn namespace(name: &Spanned<String>, source: &Source<'_>) -> Result<String, StackError> {
    word(name, source, "namespaces")
}

fn word(name: &Spanned<String>, source: &Source<'_>, key: &str) -> Result<String, StackError> {
    let text = &name.value;
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.is_empty() || text.len() > MAX_NAME || !text.chars().all(is_inner) || text.trim_matches('-') != text {
        let reason =
            format!("{key}: {text:?} must be lower-case letters, digits and inner hyphens, at most {MAX_NAME}");
        return Err(source.error(name.referenced.line(), reason));
    }
    Ok(text.clone())
}

/// Reads where a secret's value is. Nobody opens it before it is needed.
pub(super) fn secret(
    name: &Spanned<String>,
    section: SecretSection,
    source: &Source<'_>,
) -> Result<NamedSecret, StackError> {
    let line = name.referenced.line();
    source.known(&section.unknown, "a secret")?;
    let value = match (section.file, section.env) {
        (Some(_), Some(_)) => {
            return Err(source.error(line, format!("secret {} has both file and env", name.value)));
        }
        (Some(file), None) => {
            let folder = source.folder().map_err(|error| source.error(line, error.to_string()))?;
            Some(SecretValue::File(folder.join(file)))
        }
        (None, Some(variable)) => Some(SecretValue::Variable(variable)),
        (None, None) => None,
    };
    Ok(NamedSecret { name: name.value.clone(), namespace: section.namespace, value })
}
