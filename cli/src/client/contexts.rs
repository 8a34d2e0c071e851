//! Gateways that somebody has logged in to, with their passwords, in a file that only its owner can read.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use reqwest::Url;
use serde::{Deserialize, Serialize};
use skep_secret_file::write_secret_file;

use crate::failure::{Failure, Result};

/// The format of the file; a later version of skep may write another.
const VERSION: u32 = 1;
/// What others than the owner may do with the file.
const OF_OTHERS: u32 = 0o077;

/// One gateway, and who one is there.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Context {
    pub(super) name: String,
    pub(super) gateway: Url,
    pub(super) user: String,
    pub(super) password: String,
}

/// The file `contexts.json`.
#[derive(Serialize, Deserialize)]
pub(super) struct Contexts {
    version: u32,
    /// The name of the one that commands use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) current: Option<String>,
    pub(super) contexts: Vec<Context>,
    #[serde(skip)]
    file: PathBuf,
}

impl Contexts {
    /// Reads the file; without one there are no contexts.
    pub(super) fn read() -> Result<Self> {
        match file() {
            Some(file) => Self::read_from(file),
            None => Ok(Self::empty(PathBuf::new())),
        }
    }

    fn empty(file: PathBuf) -> Self {
        Self { version: VERSION, current: None, contexts: Vec::new(), file }
    }

    fn read_from(file: PathBuf) -> Result<Self> {
        let bad = |reason: String| Failure::setting(format!("{}: {reason}", file.display()));
        let text = match require_closed(&file).and_then(|()| fs::read_to_string(&file)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::empty(file)),
            Err(error) => return Err(bad(error.to_string())),
        };
        // The reader's error may quote the file, so only the line and column are shown.
        let read: Self = serde_json::from_str(&text)
            .map_err(|error| bad(format!("cannot be understood at line {}; correct or remove it", error.line())))?;
        if read.version != VERSION {
            return Err(bad(format!("has version {}, and this skep knows version {VERSION}", read.version)));
        }
        Ok(Self { file, ..read })
    }

    pub(super) fn write(&self) -> Result<()> {
        if self.file.as_os_str().is_empty() {
            return Err(Failure::setting("neither XDG_CONFIG_HOME nor HOME says where logins are kept"));
        }
        let text = serde_json::to_string_pretty(self).map_err(Failure::internal)?;
        let written = write_secret_file(&self.file, &(text + "\n"));
        written.map_err(|error| Failure::setting(format!("cannot write {}: {error}", self.file.display())))
    }

    /// Where they are kept.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) fn named(&self, name: &str) -> Option<&Context> {
        self.contexts.iter().find(|context| context.name == name)
    }

    /// The one that commands use.
    pub(super) fn current(&self) -> Option<&Context> {
        self.named(self.current.as_deref()?)
    }

    /// The one of a gateway.
    pub(super) fn of(&self, gateway: &Url) -> Option<&Context> {
        self.contexts.iter().find(|context| context.gateway == *gateway)
    }

    /// Keeps a context, in the place of one of the same name, and makes it the current one.
    pub(super) fn keep(&mut self, context: Context) {
        self.contexts.retain(|other| other.name != context.name);
        self.current = Some(context.name.clone());
        self.contexts.push(context);
        self.contexts.sort_by(|one, other| one.name.cmp(&other.name));
    }

    /// Forgets a context; returns whether it was there.
    pub(super) fn forget(&mut self, name: &str) -> bool {
        let before = self.contexts.len();
        self.contexts.retain(|context| context.name != name);
        if self.current.as_deref() == Some(name) {
            self.current = None;
        }
        self.contexts.len() < before
    }
}

/// What a context is called when nobody says: the gateway's host, and its port where that is not the usual one.
pub(super) fn name_of(gateway: &Url) -> String {
    let host = gateway.host_str().unwrap_or_default();
    let path = gateway.path().trim_end_matches('/');
    gateway.port().map_or(format!("{host}{path}"), |port| format!("{host}:{port}{path}"))
}

/// `$XDG_CONFIG_HOME/skep/contexts.json`, or in `~/.config`.
fn file() -> Option<PathBuf> {
    let variable = |wanted: &str| {
        let found = std::env::vars_os().find(|(name, _)| name == wanted).map(|(_, value)| PathBuf::from(value));
        // The standard says that a relative path does not count.
        found.filter(|path| path.is_absolute())
    };
    let folder = variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config")))?;
    Some(folder.join("skep/contexts.json"))
}

/// A file that others can read, or could have written, is not used.
fn require_closed(file: &Path) -> io::Result<()> {
    let found = fs::metadata(file)?;
    let me = rustix::process::geteuid().as_raw();
    let reason = if found.uid() != me {
        format!("it belongs to user {} and you are user {me}", found.uid())
    } else if found.mode() & OF_OTHERS != 0 {
        format!(
            "other users of this machine can read the passwords in it; close it with chmod 600 '{}', and change them",
            file.display()
        )
    } else {
        return Ok(());
    };
    Err(io::Error::new(io::ErrorKind::PermissionDenied, reason))
}

#[cfg(test)]
mod tests {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt};

    use super::*;

    fn context(name: &str, gateway: &str) -> Context {
        let (name, user, password) = (name.to_owned(), "admin".to_owned(), "hunter2".to_owned());
        Context { name, gateway: gateway.parse().unwrap(), user, password }
    }

    #[test]
    fn contexts_are_kept_used_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("skep/contexts.json");
        let mut contexts = Contexts::read_from(file.clone()).unwrap();
        contexts.keep(context("b", "http://b:8080"));
        contexts.keep(context("a", "http://a:8080"));
        contexts.write().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
        let mut read = Contexts::read_from(file.clone()).unwrap();
        assert_eq!(read.current().unwrap().name, "a");
        assert_eq!(read.of(&"http://b:8080".parse().unwrap()).unwrap().name, "b");
        assert!(read.of(&"http://b:8081".parse().unwrap()).is_none());
        assert!(read.forget("a") && !read.forget("a") && read.current().is_none());

        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        let refused = Contexts::read_from(file.clone()).err().unwrap().to_string();
        assert!(refused.contains("chmod 600"), "{refused}");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        fs::write(&file, r#"{"version": 1, "contexts": [{"password": "hunter2", "user": 7}]}"#).unwrap();
        let refused = Contexts::read_from(file).err().unwrap().to_string();
        assert!(refused.contains("line 1") && !refused.contains("hunter2"), "{refused}");
    }

    #[test]
    fn a_context_is_called_after_its_gateway() {
        for (gateway, name) in [
            ("https://faas.example.com", "faas.example.com"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("https://example.com/faas/", "example.com/faas"),
        ] {
            assert_eq!(name_of(&gateway.parse().unwrap()), name);
        }
    }
}
