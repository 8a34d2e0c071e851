//! The token file: for each token its rights, and a hash of its secret.

use std::{
    fmt::Write,
    fs::{self, File},
    io,
    path::Path,
};

use anyhow::{Context, anyhow, bail};
use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, serde::rfc3339};

use super::role::Role;

/// What every token begins with, so that people and secret scanners know one when they see it.
pub(super) const PREFIX: &str = "skep_";
const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 20;

/// All that is kept of a token; the secret is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Token {
    pub id: String,
    pub name: String,
    pub role: Role,
    /// Where it counts; in all namespaces if there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    #[serde(with = "rfc3339")]
    pub created_at: OffsetDateTime,
    #[serde(default, with = "rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<OffsetDateTime>,
    /// Of the secret, by Argon2id.
    pub hash: String,
}

impl Token {
    pub fn has_expired(&self) -> bool {
        self.expires_at.is_some_and(|end| end <= OffsetDateTime::now_utc())
    }

    /// Takes some 20 ms of a processor, and 19 MiB.
    pub(super) fn verify(&self, secret: &str) -> bool {
        let hash = PasswordHash::new(&self.hash);
        hash.is_ok_and(|hash| Argon2::default().verify_password(secret.as_bytes(), &hash).is_ok())
    }
}

/// A token is `skep_ID_SECRET`.
pub(super) fn id_and_secret(token: &str) -> Option<(&str, &str)> {
    token.strip_prefix(PREFIX)?.split_once('_')
}

/// What a new token is to be.
#[derive(Clone, Debug)]
pub struct NewToken {
    pub name: String,
    pub role: Role,
    pub namespaces: Vec<String>,
    pub expires_at: Option<OffsetDateTime>,
}

/// The file's content.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenFile {
    pub tokens: Vec<Token>,
}

impl TokenFile {
    /// Without the file there are no tokens.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        match fs::read(path) {
            Ok(text) => Self::parse(&text).with_context(|| format!("{} is not a file of tokens", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    pub(super) fn parse(text: &[u8]) -> anyhow::Result<Self> {
        let file: Self = serde_json::from_slice(text)?;
        for token in &file.tokens {
            PasswordHash::new(&token.hash).map_err(|error| anyhow!("the hash of token {}: {error}", token.id))?;
        }
        Ok(file)
    }

    /// Changes the file; two changes at once come one after the other.
    pub fn change<T>(path: &Path, change: impl FnOnce(&mut Self) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let lock = path.with_extension("lock");
        let held = File::options().create(true).truncate(false).write(true).open(&lock);
        let held = held.with_context(|| format!("cannot write {}", lock.display()))?;
        held.lock().with_context(|| format!("cannot lock {}", lock.display()))?;
        let mut file = Self::read(path)?;
        let changed = change(&mut file)?;
        let text = serde_json::to_string_pretty(&file)? + "\n";
        skep_secret_file::write_secret_file(path, &text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(changed)
    }

    /// Adds a token, and returns its text, which is not kept.
    pub fn create(&mut self, new: NewToken) -> anyhow::Result<String> {
        if self.tokens.iter().any(|token| token.name == new.name) {
            bail!("there is a token {:?} already; revoke it, or choose another name", new.name);
        }
        let (id, secret) = (random::<ID_BYTES>()?, random::<SECRET_BYTES>()?);
        let hash: PasswordHash = Argon2::default()
            .hash_password(secret.as_bytes())
            .map_err(|error| anyhow!("the token cannot be hashed: {error}"))?;
        let NewToken { name, role, namespaces, expires_at } = new;
        let (created_at, hash) = (now()?, hash.to_string());
        let text = format!("{PREFIX}{id}_{secret}");
        self.tokens.push(Token { id, name, role, namespaces, created_at, expires_at, hash });
        Ok(text)
    }

    /// Removes a token, by its id or its name.
    pub fn revoke(&mut self, which: &str) -> Option<Token> {
        let found = self.tokens.iter().position(|token| token.id == which || token.name == which)?;
        Some(self.tokens.remove(found))
    }
}

/// Whole seconds are enough for people.
fn now() -> anyhow::Result<OffsetDateTime> {
    Ok(OffsetDateTime::now_utc().replace_nanosecond(0)?)
}

fn random<const BYTES: usize>() -> anyhow::Result<String> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("no random bytes: {error}"))?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(name: &str) -> NewToken {
        NewToken { name: name.to_owned(), role: Role::Deploy, namespaces: vec!["dev".to_owned()], expires_at: None }
    }

    #[test]
    fn a_token_is_kept_as_a_hash_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        assert!(TokenFile::read(&path).unwrap().tokens.is_empty());
        let text = TokenFile::change(&path, |file| file.create(new("ci"))).unwrap();
        let (id, secret) = id_and_secret(&text).unwrap();
        let stored = fs::read_to_string(&path).unwrap();
        assert!(stored.contains("$argon2id$") && !stored.contains(secret), "{stored}");
        let file = TokenFile::read(&path).unwrap();
        assert_eq!((file.tokens[0].id.as_str(), file.tokens[0].role), (id, Role::Deploy));
        assert!(file.tokens[0].verify(secret) && !file.tokens[0].verify("guess") && !file.tokens[0].verify(""));
        let twice = TokenFile::change(&path, |file| file.create(new("ci"))).unwrap_err();
        assert!(twice.to_string().contains("already"), "{twice}");
        assert_eq!(TokenFile::change(&path, |file| Ok(file.revoke("ci"))).unwrap().unwrap().id, id);
        assert!(TokenFile::read(&path).unwrap().tokens.is_empty());
    }

    #[test]
    fn a_file_that_says_what_nobody_knows_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        TokenFile::change(&path, |file| file.create(new("ci"))).unwrap();
        let good = fs::read_to_string(&path).unwrap();
        for (from, to) in [("\"namespaces\"", "\"namespace\""), ("deploy", "owner"), ("$argon2id", "plain"), ("]", "")]
        {
            let bad = good.replace(from, to);
            assert!(TokenFile::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
