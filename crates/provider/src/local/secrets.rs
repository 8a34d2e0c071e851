//! Secrets: one file each, which functions see through links in a folder of their own.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, symlink},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use skep_protocol::{FunctionName, Secret};

use crate::{Error, Result};

use super::make_folder;

/// Not a valid secret's name, so it clashes with none.
const UNFINISHED: &str = ".unfinished";

pub(super) struct Secrets {
    folder: PathBuf,
    /// Which function names which secrets; its lock makes all changes one after the other.
    users: Mutex<HashMap<FunctionName, Vec<String>>>,
}

impl Secrets {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, users: Mutex::default() }
    }

    /// All secrets by name, without their values.
    pub(super) fn list(&self) -> Result<Vec<Secret>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(Error::io("read", &self.folder))? {
            let entry = entry.map_err(Error::io("read", &self.folder))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name != UNFINISHED {
                found.push(Secret { name, ..Secret::default() });
            }
        }
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    pub(super) fn create(&self, secret: &Secret) -> Result<()> {
        let value = value_of(secret)?;
        let _users = self.users();
        if self.exists(&secret.name) {
            return Err(Error::Conflict(format!("secret {} already exists: use PUT to update it", secret.name)));
        }
        self.write(&secret.name, &value)
    }

    /// Running functions see the new value at once.
    pub(super) fn update(&self, secret: &Secret) -> Result<()> {
        let value = value_of(secret)?;
        let _users = self.users();
        self.require(&secret.name)?;
        self.write(&secret.name, &value)
    }

    pub(super) fn delete(&self, name: &str) -> Result<()> {
        let users = self.users();
        self.require(name)?;
        let used_by = users.iter().filter(|(_, secrets)| secrets.iter().any(|secret| secret == name));
        if let Some(function) = used_by.map(|(function, _)| function).min() {
            return Err(Error::Conflict(format!("secret {name} is used by function {function}")));
        }
        let path = self.folder.join(name);
        fs::remove_file(&path).map_err(Error::io("remove", path))
    }

    /// Reserves the secrets that a function names from now on; none of them can be deleted then.
    pub(super) fn hold(&self, function: &FunctionName, names: &[String]) -> Result<()> {
        let mut users = self.users();
        if let Some(missing) = names.iter().find(|name| !self.exists(name)) {
            return Err(Error::Invalid(format!(
                "function {function}: secret {missing} not found: create it first with POST /system/secrets \
                 or faas-cli secret create {missing}"
            )));
        }
        note(&mut users, function, names);
        Ok(())
    }

    /// As [`Self::hold`] for what the registry says already, whether or not the secrets are still there.
    pub(super) fn take_up(&self, function: &FunctionName, names: &[String]) {
        note(&mut self.users(), function, names);
    }

    fn require(&self, name: &str) -> Result<()> {
        if self.exists(name) {
            return Ok(());
        }
        Err(Error::NotFound(format!("secret {name} not found")))
    }

    fn exists(&self, name: &str) -> bool {
        self.folder.join(name).is_file()
    }

    /// Replaces the file as a whole, so that no reader sees half of it.
    fn write(&self, name: &str, value: &[u8]) -> Result<()> {
        let path = self.folder.join(name);
        write_whole(&self.folder, &path, value).map_err(Error::io("write", path))
    }

    fn users(&self) -> MutexGuard<'_, HashMap<FunctionName, Vec<String>>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a function's folder of links; links to what it no longer names stay until [`prune`].
pub(super) fn link(data_dir: &Path, folder: &Path, names: &[String]) -> Result<()> {
    make_folder(folder)?;
    for name in names {
        let link = folder.join(name);
        match symlink(data_dir.join("secrets").join(name), &link) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(Error::io("link", link)(error)),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Removes links to what a function no longer names.
pub(super) fn prune(folder: &Path, names: &[String]) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if !names.iter().any(|name| entry.file_name() == name.as_str()) {
            // A link that stays does no harm, and is tried again at the next change.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn note(users: &mut HashMap<FunctionName, Vec<String>>, function: &FunctionName, names: &[String]) {
    if names.is_empty() {
        users.remove(function);
    } else {
        users.insert(function.clone(), names.to_vec());
    }
}

fn value_of(secret: &Secret) -> Result<Vec<u8>> {
    if !secret.value.is_empty() {
        return Ok(secret.value.clone().into_bytes());
    }
    if secret.raw_value.is_empty() {
        return Err(Error::Invalid(format!("secret {} has no value", secret.name)));
    }
    BASE64_STANDARD
        .decode(&secret.raw_value)
        .map_err(|error| Error::Invalid(format!("rawValue of secret {} is not base64: {error}", secret.name)))
}

fn write_whole(folder: &Path, path: &Path, value: &[u8]) -> io::Result<()> {
    let unfinished = folder.join(UNFINISHED);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(value)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn secret(name: &str, value: &str, raw_value: &str) -> Secret {
        Secret { name: name.to_owned(), value: value.to_owned(), raw_value: raw_value.to_owned(), ..Secret::default() }
    }

    #[test]
    fn a_secret_lives_from_create_to_delete() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("secrets");
        make_folder(&folder).unwrap();
        let secrets = Secrets::new(folder.clone());
        let function = "f".parse().unwrap();
        let names = ["key".to_owned()];

        assert!(matches!(secrets.hold(&function, &names), Err(Error::Invalid(_))));
        assert!(matches!(secrets.update(&secret("key", "x", "")), Err(Error::NotFound(_))));
        secrets.create(&secret("key", "", "AP8=")).unwrap();
        assert_eq!(fs::read(folder.join("key")).unwrap(), [0, 0xff]);
        assert_eq!(fs::metadata(folder.join("key")).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(matches!(secrets.create(&secret("key", "x", "")), Err(Error::Conflict(_))));

        secrets.hold(&function, &names).unwrap();
        let own = data.path().join("functions/f/secrets");
        link(data.path(), &own, &names).unwrap();
        link(data.path(), &own, &names).unwrap();
        secrets.update(&secret("key", "new", "ignored")).unwrap();
        assert_eq!(fs::read_to_string(own.join("key")).unwrap(), "new");
        assert_eq!(secrets.list().unwrap().len(), 1);

        assert_eq!(secrets.delete("key").unwrap_err().to_string(), "secret key is used by function f");
        secrets.take_up(&function, &[]);
        prune(&own, &[]);
        assert!(!own.join("key").is_symlink());
        secrets.delete("key").unwrap();
        assert!(matches!(secrets.delete("key"), Err(Error::NotFound(_))));
    }

    #[test]
    fn a_value_is_text_or_base64() {
        assert!(matches!(value_of(&secret("key", "", "%%")), Err(Error::Invalid(_))));
        assert!(matches!(value_of(&secret("key", "", "")), Err(Error::Invalid(_))));
    }
}
