//! The secrets in a data folder, for backups of it.

use std::{fs, io, path::Path};

use base64::{Engine, prelude::BASE64_STANDARD};
use skep_protocol::{Namespace, Secret, validate};

use super::secrets::Secrets;
use crate::{Error, Result};

/// All secrets of all namespaces with their values.
pub fn read_secrets(data_dir: &Path) -> Result<Vec<Secret>> {
    let secrets = Secrets::new(data_dir)?;
    let mut found = Vec::new();
    for namespace in namespaces(data_dir)? {
        for Secret { name, .. } in secrets.list(&namespace)? {
            let raw_value = BASE64_STANDARD.encode(secrets.read(&namespace, &name)?);
            found.push(Secret { name, namespace: namespace.clone(), raw_value, ..Secret::default() });
        }
    }
    Ok(found)
}

/// Stores a secret, instead of the one of this name.
pub fn write_secret(data_dir: &Path, secret: &Secret) -> Result<()> {
    validate::secret_name(&secret.name)?;
    if !secret.namespace.is_empty() {
        let _: Namespace = secret.namespace.parse().map_err(validate::Invalid::from)?;
    }
    Secrets::new(data_dir)?.replace(secret)
}

/// The default namespace, and all that have a folder.
fn namespaces(data_dir: &Path) -> Result<Vec<String>> {
    let (mut found, folder) = (vec![String::new()], data_dir.join("namespaces"));
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries.map_err(Error::io("read", &folder))?,
    };
    for entry in entries {
        found.extend(entry.map_err(Error::io("read", &folder))?.file_name().into_string());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_and_written_with_their_namespaces() {
        let folder = tempfile::tempdir().unwrap();
        let secret = |name: &str, namespace: &str, bytes: &[u8]| Secret {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            raw_value: BASE64_STANDARD.encode(bytes),
            ..Secret::default()
        };
        let all = [secret("key", "", &[0, 255]), secret("key", "dev", b"other")];
        for one in &all {
            write_secret(folder.path(), &secret(&one.name, &one.namespace, b"before")).unwrap();
            write_secret(folder.path(), one).unwrap();
        }
        let read = read_secrets(folder.path()).unwrap();
        let values = |secrets: &[Secret]| -> Vec<_> {
            secrets.iter().map(|one| (one.namespace.clone(), one.raw_value.clone())).collect()
        };
        assert_eq!(values(&read), values(&all));
        for name in ["../key", "", "a/b"] {
            assert!(write_secret(folder.path(), &secret(name, "", b"x")).is_err(), "{name}");
            assert!(write_secret(folder.path(), &secret("key", &format!("..{name}/x"), b"x")).is_err(), "{name}");
        }
    }
}
