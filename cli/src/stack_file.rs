//! Reading a stack file, and the values of the secrets that it names.

use std::path::Path;

use base64::{Engine, engine::general_purpose::STANDARD};
use skep_protocol::{DefaultNamespace, Secret};
use skep_sources::Defaults;
use skep_stack::{NamedSecret, SecretValue, Stack, StackError};

use crate::{
    client::daily::secret,
    controller,
    failure::{Failure, Result},
};

/// Reads a stack file as `skep up` does.
pub(crate) fn read(file: &Path) -> Result<Stack> {
    checked(|defaults, lookup| skep_stack::read(file, defaults, lookup))
}

/// The same with the text of a file.
pub(crate) fn parse(text: &str, file: &Path) -> Result<Stack> {
    checked(|defaults, lookup| skep_stack::parse(text, file, defaults, lookup))
}

fn checked(
    read: impl FnOnce(&Defaults<'_>, &dyn Fn(&str) -> Option<String>) -> Result<Stack, StackError>,
) -> Result<Stack> {
    let environment = controller::environment();
    // Only the gateway knows its public URL, without which it refuses some sources.
    let (namespace, public_url) = (DefaultNamespace::default(), "https://localhost".parse().ok());
    let defaults = Defaults { public_url: public_url.as_ref(), ..Defaults::new(&namespace) };
    let stack = read(&defaults, &|name| environment.get(name).cloned());
    stack.map_err(|error| Failure::setting(format!("--file: {error}")))
}

/// A secret with its value, if the file says where that is. A line break at its end is not part of it.
pub(crate) fn secret(named: &NamedSecret) -> Result<Option<Secret>> {
    let NamedSecret { name, namespace, value } = named;
    let value = match value {
        None => return Ok(None),
        Some(SecretValue::File(file)) => secret::read(Some(file), false)?,
        Some(SecretValue::Variable(variable)) => {
            let value = controller::environment().remove(variable).filter(|value| !value.is_empty());
            let missing = || Failure::setting(format!("--file: secret {name}: variable {variable} is not set"));
            value.ok_or_else(missing)?.into_bytes()
        }
    };
    let (name, namespace, raw_value) = (name.clone(), namespace.clone(), STANDARD.encode(value));
    Ok(Some(Secret { name, namespace, value: String::new(), raw_value }))
}
