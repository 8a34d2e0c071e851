//! Which secrets a source has: up to four of a kind, the newest first, each sealed.

use skep_bus::Source;
use skep_protocol::{
    MAX_SOURCE_SECRETS, SealedSecret, SecretText, SourceSecrets,
    control::{AddSourceSecret, WhichSecret},
};
use skep_sources::SealKey;
use time::OffsetDateTime;
use tracing::error;

use crate::{Error, Result};

/// The first line of a key in PEM, which has several.
const PEM_BEGIN: &str = "-----BEGIN ";
const PEM_END: &str = "-----END ";

/// The secrets of a source, and what they are sealed with.
pub(super) struct Keys<'source> {
    pub(super) seal_key: &'source SealKey,
    pub(super) source: &'source Source,
}

impl Keys<'_> {
    /// The secrets with one more, and its number. Those that ended long ago are gone.
    pub(super) fn with(&self, asked: &AddSourceSecret, now: OffsetDateTime) -> Result<(SourceSecrets, u64)> {
        let name = &self.source.record.name;
        if asked.expires_at.is_some_and(|end| end <= now) {
            return Err(Error::Invalid("the secret would have expired already".to_owned()));
        }
        let SourceSecrets { last_number, .. } = self.source.secrets;
        let mut secrets: Vec<SealedSecret> = self.source.secrets.active(now).cloned().collect();
        let same_kind = |secret: &SealedSecret| secret.name == asked.name;
        for secret in secrets.iter().filter(|secret| same_kind(secret)) {
            if self.opened(secret).as_ref() == Some(&asked.value) {
                let number = secret.number;
                return Err(Error::Conflict(format!("source {name} has this secret already: it is number {number}")));
            }
        }
        if secrets.iter().filter(|secret| same_kind(secret)).count() >= MAX_SOURCE_SECRETS {
            return Err(Error::Conflict(format!(
                "source {name} has {MAX_SOURCE_SECRETS} secrets, as many as it may have: remove one first"
            )));
        }
        if let Some(retire_after) = asked.retire_others {
            let end = now.saturating_add(retire_after.try_into().unwrap_or(time::Duration::MAX));
            for secret in secrets.iter_mut().filter(|secret| same_kind(secret)) {
                secret.expires_at = Some(secret.expires_at.map_or(end, |earlier| earlier.min(end)));
            }
        }
        let number = last_number.saturating_add(1);
        let sealed = SealedSecret {
            number,
            name: asked.name.clone(),
            created_at: now,
            expires_at: asked.expires_at,
            sealed: self.seal(number, &asked.value)?,
        };
        secrets.insert(0, sealed);
        secrets.extend(self.source.secrets.ended(now).cloned());
        Ok((SourceSecrets { secrets, last_number: number }, number))
    }

    /// These secrets and no others, given newest first. One that is there already stays as it is.
    pub(super) fn exactly(
        &self,
        wanted: Vec<(Option<String>, SecretText)>,
        now: OffsetDateTime,
    ) -> Result<SourceSecrets> {
        let SourceSecrets { secrets: known, mut last_number } = self.source.secrets.clone();
        let mut secrets: Vec<SealedSecret> = Vec::new();
        // The oldest gets the lowest number.
        for (name, value) in wanted.into_iter().rev() {
            let of_kind = secrets.iter().filter(|secret| secret.name == name);
            if of_kind.clone().any(|secret| self.opened(secret).as_ref() == Some(&value)) {
                continue;
            }
            if of_kind.count() >= MAX_SOURCE_SECRETS {
                let source = &self.source.record.name;
                return Err(Error::Invalid(format!(
                    "source {source}: it names more than {MAX_SOURCE_SECRETS} secrets, as many as it may have"
                )));
            }
            let same = known.iter().filter(|secret| secret.name == name && secret.expires_at.is_none());
            let there = same.into_iter().find(|secret| self.opened(secret).as_ref() == Some(&value));
            let secret = match there {
                Some(secret) => secret.clone(),
                None => {
                    last_number = last_number.saturating_add(1);
                    let sealed = self.seal(last_number, &value)?;
                    SealedSecret { number: last_number, name, created_at: now, expires_at: None, sealed }
                }
            };
            secrets.insert(0, secret);
        }
        let is_left = |secret: &&SealedSecret| secrets.iter().all(|other| other.number != secret.number);
        let left: Vec<_> = known.iter().filter(is_left).cloned().collect();
        secrets.extend(ended(left, now));
        Ok(SourceSecrets { secrets, last_number })
    }

    /// The value of a secret; `None` if it was sealed with another key.
    fn opened(&self, secret: &SealedSecret) -> Option<SecretText> {
        self.seal_key.open(&self.source.record.name, secret).ok()
    }

    fn seal(&self, number: u64, value: &SecretText) -> Result<String> {
        let sealed = self.seal_key.seal(&self.source.record.name, number, value);
        sealed.map_err(|error| {
            error!(%error, "a secret cannot be sealed");
            Error::Busy
        })
    }
}

/// The secrets of a source without some.
pub(super) fn without(source: &Source, which: &WhichSecret, now: OffsetDateTime) -> Result<SourceSecrets> {
    let is_meant = |secret: &SealedSecret| match which {
        WhichSecret::Number(number) => secret.number == *number,
        WhichSecret::Name(name) => secret.name.as_ref() == Some(name),
    };
    let (meant, secrets): (Vec<_>, Vec<_>) = source.secrets.active(now).cloned().partition(is_meant);
    if meant.is_empty() {
        let name = &source.record.name;
        let what = match which {
            WhichSecret::Number(number) => format!("number {number}"),
            WhichSecret::Name(name) => format!("named {name:?}"),
        };
        return Err(Error::NotFound(format!("source {name} has no secret {what}")));
    }
    let last_number = source.secrets.last_number;
    let ended = ended([meant, source.secrets.ended(now).cloned().collect()].concat(), now);
    Ok(SourceSecrets { secrets: [secrets, ended].concat(), last_number })
}

/// Secrets that do not count from now on, as far as they are kept.
fn ended(mut secrets: Vec<SealedSecret>, now: OffsetDateTime) -> Vec<SealedSecret> {
    for secret in secrets.iter_mut().filter(|secret| secret.is_active(now)) {
        secret.expires_at = Some(now);
    }
    SourceSecrets { secrets, last_number: 0 }.ended(now).cloned().collect()
}

/// A file that is one secret.
pub(super) fn whole_file(file: &str, content: Vec<u8>) -> Result<Vec<SecretText>, String> {
    let text = String::from_utf8(content).map_err(|_| format!("secret {file} is not text"))?;
    Ok(vec![SecretText::new(text.trim().to_owned())])
}

/// The keys of a file: one a line, or in PEM.
pub(super) fn of_file(file: &str, content: Vec<u8>) -> Result<Vec<SecretText>, String> {
    let text = String::from_utf8(content).map_err(|_| format!("secret {file} is not text"))?;
    let mut keys = Vec::new();
    let mut pem: Option<String> = None;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut whole = match pem.take() {
            Some(before) => format!("{before}\n"),
            None => String::new(),
        };
        whole.push_str(line);
        if whole.starts_with(PEM_BEGIN) && !line.starts_with(PEM_END) {
            pem = Some(whole);
        } else {
            keys.push(SecretText::new(whole));
        }
    }
    match pem {
        Some(_) => Err(format!("secret {file} has a key in PEM without its last line, {PEM_END}…")),
        None if keys.is_empty() => Err(format!("secret {file} has no key: write one a line, the newest first")),
        None => Ok(keys),
    }
}

#[cfg(test)]
#[path = "keys/tests.rs"]
mod tests;
