//! Secrets: one file each, which functions see through links in a folder of their own.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, symlink},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use skep_protocol::{FunctionName, Secret};

use crate::{Error, Result, secret_value};

use super::make_folder;

/// Not a valid secret's name, so it clashes with none.
const UNFINISHED: &str = ".unfinished";

pub(super) struct Secrets {
    data_dir: PathBuf,
    /// Which function names which secrets; its lock makes all changes one after the other.
    users: Mutex<HashMap<FunctionName, Vec<String>>>,
}

impl Secrets {
    pub(super) fn new(data_dir: &Path) -> Result<Self> {
        make_folder(&folder(data_dir, None))?;
        Ok(Self { data_dir: data_dir.to_owned(), users: Mutex::default() })
    }

    /// All secrets of a namespace by name, without their values; an empty text is the default namespace.
    pub(super) fn list(&self, namespace: &str) -> Result<Vec<Secret>> {
        let mut found = Vec::new();
        let folder = self.folder(namespace);
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            entries => entries.map_err(Error::io("read", &folder))?,
        };
        for entry in entries {
            let entry = entry.map_err(Error::io("read", &folder))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name != UNFINISHED {
                found.push(Secret { name, ..Secret::default() });
            }
        }
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    pub(super) fn create(&self, secret: &Secret) -> Result<()> {
        let value = secret_value::read(secret)?;
        let _users = self.users();
        if self.exists(&secret.namespace, &secret.name) {
            return Err(Error::Conflict(format!("secret {} already exists: use PUT to update it", secret.name)));
        }
        self.write(secret, &value)
    }

    /// Running functions see the new value at once.
    pub(super) fn update(&self, secret: &Secret) -> Result<()> {
        let value = secret_value::read(secret)?;
        let _users = self.users();
        self.require(secret)?;
        self.write(secret, &value)
    }

    pub(super) fn delete(&self, secret: &Secret) -> Result<()> {
        let users = self.users();
        self.require(secret)?;
        let Secret { name, namespace, .. } = secret;
        let used_by = users.iter().filter(|(function, secrets)| {
            function.namespace().unwrap_or_default() == namespace && secrets.iter().any(|secret| secret == name)
        });
        if let Some(function) = used_by.map(|(function, _)| function).min() {
            return Err(Error::Conflict(format!("secret {name} is used by function {function}")));
        }
        let path = self.folder(namespace).join(name);
        fs::remove_file(&path).map_err(Error::io("remove", path))
    }

    /// Reserves the secrets that a function names from now on; none of them can be deleted then.
    pub(super) fn hold(&self, function: &FunctionName, names: &[String]) -> Result<()> {
        let mut users = self.users();
        let namespace = function.namespace().unwrap_or_default();
        if let Some(missing) = names.iter().find(|name| !self.exists(namespace, name)) {
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

    fn require(&self, secret: &Secret) -> Result<()> {
        if self.exists(&secret.namespace, &secret.name) {
            return Ok(());
        }
        Err(Error::NotFound(format!("secret {} not found", secret.name)))
    }

    fn exists(&self, namespace: &str, name: &str) -> bool {
        self.folder(namespace).join(name).is_file()
    }

    /// Replaces the file as a whole, so that no reader sees half of it.
    fn write(&self, secret: &Secret, value: &[u8]) -> Result<()> {
        let folder = self.folder(&secret.namespace);
        make_folder(&folder)?;
        let path = folder.join(&secret.name);
        write_whole(&folder, &path, value).map_err(Error::io("write", path))
    }

    fn folder(&self, namespace: &str) -> PathBuf {
        folder(&self.data_dir, Some(namespace).filter(|namespace| !namespace.is_empty()))
    }

    fn users(&self) -> MutexGuard<'_, HashMap<FunctionName, Vec<String>>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the secrets of a namespace are, `None` being the default one.
pub(super) fn folder(data_dir: &Path, namespace: Option<&str>) -> PathBuf {
    match namespace {
        Some(namespace) => data_dir.join("namespaces").join(namespace).join("secrets"),
        None => data_dir.join("secrets"),
    }
}

/// Makes a function's folder of links; links to what it no longer names stay until [`prune`].
pub(super) fn link(secrets: &Path, folder: &Path, names: &[String]) -> Result<()> {
    make_folder(folder)?;
    for name in names {
        let link = folder.join(name);
        match symlink(secrets.join(name), &link) {
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
        let secrets = Secrets::new(data.path()).unwrap();
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
        link(&folder, &own, &names).unwrap();
        link(&folder, &own, &names).unwrap();
        secrets.update(&secret("key", "new", "ignored")).unwrap();
        assert_eq!(fs::read_to_string(own.join("key")).unwrap(), "new");
        assert_eq!(secrets.list("").unwrap().len(), 1);

        assert_eq!(secrets.delete(&secret("key", "", "")).unwrap_err().to_string(), "secret key is used by function f");
        secrets.take_up(&function, &[]);
        prune(&own, &[]);
        assert!(!own.join("key").is_symlink());
        secrets.delete(&secret("key", "", "")).unwrap();
        assert!(matches!(secrets.delete(&secret("key", "", "")), Err(Error::NotFound(_))));
    }
}
