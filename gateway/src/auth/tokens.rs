//! The valid tokens: read from their file, and read again when it changes.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::anyhow;
use arc_swap::ArcSwap;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use skep_protocol::{AuditAction, AuditLogEntry};
use subtle::ConstantTimeEq;
use tokio::{sync::Semaphore, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    role::Caller,
    token::{Token, TokenFile, id_and_secret},
};
use crate::audit_log::AuditLog;

/// How often to check whether the file has changed.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// Hashes that are computed at once; each takes 19 MiB.
const MAX_AT_ONCE: usize = 2;

pub(super) struct Tokens {
    path: PathBuf,
    /// Of this process alone; it hashes the tokens that are known to be right.
    key: [u8; 32],
    known: ArcSwap<Known>,
    places: Semaphore,
}

/// What the file said last.
#[derive(Default)]
struct Known {
    /// `None` without a file.
    text: Option<Vec<u8>>,
    by_id: HashMap<String, Arc<Entry>>,
}

struct Entry {
    token: Token,
    caller: Caller,
    /// The keyed hash of the secret, once it is known: a token is hashed slowly only until it was right once.
    right: OnceLock<[u8; 32]>,
}

impl Tokens {
    /// Reads the file; one that is missing may come later.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| anyhow!("no random bytes: {error}"))?;
        let file = TokenFile::read(path)?;
        let known = Known { text: std::fs::read(path).ok(), by_id: entries(file, &Known::default()) };
        let places = Semaphore::new(MAX_AT_ONCE);
        Ok(Self { path: path.to_owned(), key, known: ArcSwap::from_pointee(known), places })
    }

    /// The holder of a token, if it is right and counts now.
    pub(super) async fn holder(&self, token: &str) -> Option<Caller> {
        let (id, secret) = id_and_secret(token)?;
        let entry = self.known.load().by_id.get(id).map(Arc::clone)?;
        let is_right = !entry.token.has_expired() && self.is_right(&entry, secret).await;
        is_right.then(|| entry.caller.clone())
    }

    /// The same of a token that was verified before, which costs next to nothing.
    pub(super) fn known_holder(&self, token: &str) -> Option<Caller> {
        let (id, secret) = id_and_secret(token)?;
        let entry = self.known.load().by_id.get(id).map(Arc::clone)?;
        let is_right = entry.right.get()?.ct_eq(&self.keyed(secret)?).into();
        (is_right && !entry.token.has_expired()).then(|| entry.caller.clone())
    }

    async fn is_right(&self, entry: &Arc<Entry>, secret: &str) -> bool {
        let Some(hash) = self.keyed(secret) else { return false };
        if let Some(right) = entry.right.get() {
            return right.ct_eq(&hash).into();
        }
        let Ok(_place) = self.places.acquire().await else { return false };
        let (token, secret) = (entry.token.clone(), secret.to_owned());
        let verified = tokio::task::spawn_blocking(move || token.verify(&secret)).await;
        let is_right = matches!(verified, Ok(true));
        if is_right {
            // Another request may have found it out at the same time.
            let _ = entry.right.set(hash);
        }
        is_right
    }

    fn keyed(&self, secret: &str) -> Option<[u8; 32]> {
        let mut keyed = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        keyed.update(secret.as_bytes());
        Some(keyed.finalize().into_bytes().into())
    }

    /// Takes up what is written to the file, until `end`. A file that cannot be read is logged, and the tokens before it go on to count.
    pub(super) async fn follow(&self, audit_log: &AuditLog, end: &CancellationToken) {
        let mut refused: Option<Vec<u8>> = None;
        while end.run_until_cancelled(sleep(CHECK_INTERVAL)).await.is_some() {
            // The file is small, and read no more often than this.
            let text = match tokio::fs::read(&self.path).await {
                Ok(text) => Some(text),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(_) => continue,
            };
            let known = self.known.load();
            if text == known.text || (text.is_some() && text == refused) {
                continue;
            }
            let file = text.as_deref().map_or(Ok(TokenFile::default()), TokenFile::parse);
            match file {
                Ok(file) => {
                    let (tokens, by_id) = (file.tokens.len(), entries(file, &known));
                    log_changes(&known.by_id, &by_id, audit_log);
                    self.known.store(Arc::new(Known { by_id, text }));
                    info!(tokens, file = %self.path.display(), "the tokens were read again");
                    refused = None;
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    warn!(error, file = %self.path.display(), "the changed token file cannot be read; the last tokens stay valid");
                    refused = text;
                }
            }
        }
    }
}

/// Reports which tokens have come and gone. All gateways that read the file report it, and one entry of each stays.
fn log_changes(before: &HashMap<String, Arc<Entry>>, now: &HashMap<String, Arc<Entry>>, audit_log: &AuditLog) {
    let log = |action: AuditAction, token: &Token| {
        let entry = AuditLogEntry::new(skep_bus::now(), "tokens file", action).about(&token.name);
        let namespaces = if token.namespaces.is_empty() { "all".to_owned() } else { token.namespaces.join(", ") };
        let entry = entry.with_details(format_args!("role {}, namespaces {namespaces}", token.role.as_str()));
        // A token has one beginning and one end.
        let once = (action != AuditAction::TokenUpdate).then(|| format!("{} {}", action.as_str(), token.id));
        audit_log.record_soon(entry, once);
    };
    for (id, entry) in now {
        match before.get(id) {
            None => log(AuditAction::TokenCreate, &entry.token),
            Some(old) if old.token != entry.token => log(AuditAction::TokenUpdate, &entry.token),
            Some(_) => {}
        }
    }
    for entry in before.iter().filter(|(id, _)| !now.contains_key(*id)).map(|(_, entry)| entry) {
        log(AuditAction::TokenRevoke, &entry.token);
    }
}

/// Tokens that have not changed keep what is known of them.
fn entries(file: TokenFile, before: &Known) -> HashMap<String, Arc<Entry>> {
    let entry = |token: Token| {
        let same = before.by_id.get(&token.id).filter(|entry| entry.token == token);
        let entry = same.map(Arc::clone).unwrap_or_else(|| {
            let caller = Caller::new(format_args!("token {}", token.name), token.role, token.namespaces.clone());
            Arc::new(Entry { token: token.clone(), caller, right: OnceLock::new() })
        });
        (token.id, entry)
    };
    file.tokens.into_iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::{
        super::{role::Role, token::NewToken},
        *,
    };

    fn new(name: &str, expires_at: Option<OffsetDateTime>) -> NewToken {
        NewToken { name: name.to_owned(), role: Role::Read, namespaces: Vec::new(), expires_at }
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_count_from_when_they_are_in_the_file_until_they_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        let tokens = Arc::new(Tokens::read(&path).unwrap());
        let end = CancellationToken::new();
        let following = tokio::spawn({
            let (tokens, end) = (Arc::clone(&tokens), end.clone());
            let audit_log = AuditLog::register(None, &prometheus::Registry::new()).unwrap();
            async move { tokens.follow(&audit_log, &end).await }
        });
        let token = TokenFile::change(&path, |file| file.create(new("ci", None))).unwrap();
        while tokens.holder(&token).await.is_none() {
            sleep(CHECK_INTERVAL).await;
        }
        // The second time by the fast hash, which must not let another one in.
        assert!(tokens.holder(&token).await.is_some());
        assert!(tokens.holder(&format!("{token}0")).await.is_none());
        std::fs::write(&path, "{").unwrap();
        sleep(CHECK_INTERVAL * 3).await;
        assert!(tokens.holder(&token).await.is_some(), "a file that cannot be read changes nothing");
        std::fs::remove_file(&path).unwrap();
        TokenFile::change(&path, |file| file.create(new("other", None))).unwrap();
        while tokens.holder(&token).await.is_some() {
            sleep(CHECK_INTERVAL).await;
        }
        end.cancel();
        following.await.unwrap();
    }

    #[tokio::test]
    async fn a_token_that_has_expired_or_is_wrong_counts_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        let now = OffsetDateTime::now_utc();
        let minute = Duration::from_secs(60);
        let old = TokenFile::change(&path, |file| file.create(new("old", Some(now - minute)))).unwrap();
        let good = TokenFile::change(&path, |file| file.create(new("good", Some(now + minute)))).unwrap();
        let tokens = Tokens::read(&path).unwrap();
        assert!(tokens.holder(&old).await.is_none());
        let (id, _) = id_and_secret(&good).unwrap();
        for bad in ["", "skep_", "skep__", "skep_0_0", &format!("skep_{id}_"), &format!("skep_{id}_guess")] {
            assert!(tokens.holder(bad).await.is_none(), "{bad}");
        }
        assert!(tokens.holder(&good).await.is_some());
    }
}
