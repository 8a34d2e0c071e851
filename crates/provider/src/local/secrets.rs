//! Secrets: one file each, with a second name in the folder of each function that uses it.
//!
//! They are hard links, so a function in a sandbox can read its own folder and no other; a new value is another file, so the links are replaced.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
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

    /// The value of a secret; the names were checked.
    pub(super) fn read(&self, namespace: &str, name: &str) -> Result<Vec<u8>> {
        let path = self.folder(namespace).join(name);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::NotFound(self.create_first(namespace, name)))
            }
            value => value.map_err(Error::io("read", path)),
        }
    }

    /// That a secret is missing, and how to make it; the stack file of `skep up` may name it before skep runs.
    pub(super) fn create_first(&self, namespace: &str, name: &str) -> String {
        let file = self.folder(namespace).join(name);
        format!(
            "secret {name} not found: create it first with skep secret set {name} or, while skep is not running, as the file {}",
            file.display()
        )
    }

    pub(super) fn create(&self, secret: &Secret) -> Result<()> {
        let value = secret_value::read(secret)?;
        let _users = self.users();
        if self.exists(&secret.namespace, &secret.name) {
            return Err(Error::Conflict(format!("secret {} already exists: use PUT to update it", secret.name)));
        }
        self.write(secret, &value)
    }

    /// Whether or not it is there; for a data folder that nobody uses.
    pub(super) fn replace(&self, secret: &Secret) -> Result<()> {
        self.write(secret, &secret_value::read(secret)?)
    }

    /// Running functions see the new value at once.
    pub(super) fn update(&self, secret: &Secret) -> Result<()> {
        let value = secret_value::read(secret)?;
        let users = self.users();
        self.require(secret)?;
        self.write(secret, &value)?;
        let secrets = self.folder(&secret.namespace);
        for function in users_of(&users, secret) {
            let own = own_folder(&self.data_dir, function);
            // Without a replica there may be no folder yet.
            if own.is_dir() {
                link_one(&secrets, &own, &secret.name)?;
            }
        }
        Ok(())
    }

    pub(super) fn delete(&self, secret: &Secret) -> Result<()> {
        let users = self.users();
        self.require(secret)?;
        let Secret { name, namespace, .. } = secret;
        if let Some(function) = users_of(&users, secret).min() {
            return Err(Error::Conflict(format!("secret {name} is used by function {}", function.without_canary())));
        }
        let path = self.folder(namespace).join(name);
        fs::remove_file(&path).map_err(Error::io("remove", path))
    }

    /// Makes a function's folder of links; links to what it no longer names stay until [`prune`].
    pub(super) fn link(&self, function: &FunctionName, names: &[String]) -> Result<()> {
        self.link_into(&own_folder(&self.data_dir, function), function.namespace(), names)
    }

    /// Makes a folder of links to secrets of a namespace, `None` being the default one.
    pub(super) fn link_into(&self, own: &Path, namespace: Option<&str>, names: &[String]) -> Result<()> {
        let secrets = folder(&self.data_dir, namespace);
        // Two that start at the same time must not take each other's unfinished link.
        let _one_at_a_time = self.users();
        make_folder(own)?;
        names.iter().try_for_each(|name| link_one(&secrets, own, name))
    }

    /// The first of these secrets of the default namespace that is not there.
    pub(super) fn missing<'name>(&self, names: &'name [String]) -> Option<&'name String> {
        names.iter().find(|name| !self.exists("", name))
    }

    /// Reserves the secrets that a function names from now on; none of them can be deleted then.
    pub(super) fn hold(&self, function: &FunctionName, names: &[String]) -> Result<()> {
        let mut users = self.users();
        let namespace = function.namespace().unwrap_or_default();
        if let Some(missing) = names.iter().find(|name| !self.exists(namespace, name)) {
            return Err(Error::Invalid(format!("function {function}: {}", self.create_first(namespace, missing))));
        }
        note(&mut users, function, names);
        Ok(())
    }

    /// As [`Self::hold`] for what the registry says already, whether or not the secrets are still there.
    pub(super) fn adopt(&self, function: &FunctionName, names: &[String]) {
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
fn folder(data_dir: &Path, namespace: Option<&str>) -> PathBuf {
    match namespace {
        Some(namespace) => data_dir.join("namespaces").join(namespace).join("secrets"),
        None => data_dir.join("secrets"),
    }
}

/// Where a function finds the secrets that it names.
pub(super) fn own_folder(data_dir: &Path, function: &FunctionName) -> PathBuf {
    data_dir.join("functions").join(function.as_str()).join("secrets")
}

/// The functions that name a secret.
fn users_of<'users>(
    users: &'users HashMap<FunctionName, Vec<String>>,
    secret: &'users Secret,
) -> impl Iterator<Item = &'users FunctionName> {
    let is_used = |(function, names): &(&FunctionName, &Vec<String>)| {
        function.namespace().unwrap_or_default() == secret.namespace && names.contains(&secret.name)
    };
    users.iter().filter(is_used).map(|(function, _)| function)
}

/// Puts a link in the place of what is there, so that a reader finds the one or the other.
fn link_one(secrets: &Path, folder: &Path, name: &str) -> Result<()> {
    let (unfinished, link) = (folder.join(UNFINISHED), folder.join(name));
    // What is left of one that was broken off.
    let _ = fs::remove_file(&unfinished);
    fs::hard_link(secrets.join(name), &unfinished).map_err(Error::io("link", &link))?;
    fs::rename(&unfinished, &link).map_err(Error::io("link", link))?;
    // A rename between two names of one file does nothing.
    let _ = fs::remove_file(unfinished);
    Ok(())
}

/// Removes links to what a function no longer names.
pub(super) fn prune(folder: &Path, names: &[String]) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_name() != UNFINISHED && !names.iter().any(|name| entry.file_name() == name.as_str()) {
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
        assert_eq!(secrets.read("", "key").unwrap(), [0, 0xff]);
        assert!(matches!(secrets.read("", "other"), Err(Error::NotFound(_))));
        assert_eq!(fs::metadata(folder.join("key")).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(matches!(secrets.create(&secret("key", "x", "")), Err(Error::Conflict(_))));

        secrets.hold(&function, &names).unwrap();
        let own = data.path().join("functions/f/secrets");
        secrets.link(&function, &names).unwrap();
        secrets.link(&function, &names).unwrap();
        secrets.update(&secret("key", "new", "ignored")).unwrap();
        assert_eq!(fs::read_to_string(own.join("key")).unwrap(), "new");
        assert_eq!(secrets.list("").unwrap().len(), 1);

        assert_eq!(secrets.delete(&secret("key", "", "")).unwrap_err().to_string(), "secret key is used by function f");
        secrets.adopt(&function, &[]);
        prune(&own, &[]);
        assert!(!own.join("key").exists());
        secrets.delete(&secret("key", "", "")).unwrap();
        assert!(matches!(secrets.delete(&secret("key", "", "")), Err(Error::NotFound(_))));
    }
}
