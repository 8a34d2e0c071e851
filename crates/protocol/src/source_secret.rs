//! The secrets of a source as the registry keeps them: sealed, so their values are readable with the seal key alone.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The most secrets of a source that verify its events.
pub const MAX_SOURCE_SECRETS: usize = 4;
/// How long a secret is kept, sealed, that does not count any more: so that a request that was signed with an old one can be explained.
const ENDED_SECRETS_TTL: Duration = Duration::from_secs(24 * 3600);

/// All secrets of a source; written only by the controller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceSecrets {
    /// The newest first.
    pub secrets: Vec<SealedSecret>,
    /// The number of the last secret that was added; no number comes twice.
    #[serde(default)]
    pub last_number: u64,
}

/// One secret, sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SealedSecret {
    pub number: u64,
    /// What a challenge asks for (`verify_token`); without a name it verifies events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// It does not count from then on.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
    /// The nonce and the encrypted value, in base64.
    pub sealed: String,
}

impl SealedSecret {
    pub fn is_active(&self, now: OffsetDateTime) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

impl SourceSecrets {
    /// Those that count now, the newest first.
    pub fn active(&self, now: OffsetDateTime) -> impl Iterator<Item = &SealedSecret> {
        self.secrets.iter().filter(move |secret| secret.is_active(now))
    }

    /// Those that counted until a short while ago, the newest first. Secrets for challenges are not among them.
    pub fn ended(&self, now: OffsetDateTime) -> impl Iterator<Item = &SealedSecret> {
        let is_kept = move |end: OffsetDateTime| end <= now && now < end + ENDED_SECRETS_TTL;
        let ended = move |secret: &&SealedSecret| secret.name.is_none() && secret.expires_at.is_some_and(is_kept);
        self.secrets.iter().filter(ended).take(MAX_SOURCE_SECRETS)
    }
}

/// The value of a secret, in clear. It is not shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretText(String);

impl SecretText {
    pub fn new(text: String) -> Self {
        Self(text)
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_secret_counts_until_it_expires() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let secret = |number, expires_at| SealedSecret {
            number,
            name: None,
            created_at: now,
            expires_at,
            sealed: String::new(),
        };
        let secrets = vec![secret(3, None), secret(2, Some(now + SECOND)), secret(1, Some(now))];
        let all = SourceSecrets { secrets, last_number: 3 };
        let active = |now| all.active(now).map(|secret| secret.number).collect::<Vec<_>>();
        assert_eq!((active(now), active(now + SECOND)), (vec![3, 2], vec![3]));
        let ended = |now| all.ended(now).map(|secret| secret.number).collect::<Vec<_>>();
        assert_eq!((ended(now), ended(now + SECOND)), (vec![1], vec![2, 1]));
        assert_eq!(ended(now + ENDED_SECRETS_TTL), [2]);
        let stored = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<SourceSecrets>(&stored).unwrap(), all);
    }
}
