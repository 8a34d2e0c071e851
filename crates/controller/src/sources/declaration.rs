//! What the controller needs of a source's declaration, which it checks whole.

use serde_json::Value;
use skep_bus::Login;
use skep_protocol::{SecretText, SourceName};
use skep_provider::ProgramSpec;
use skep_sources::{CREDENTIALS, Defaults, KeyError, Kind, Receiver, SecretUse, Source, SourceError};
use time::OffsetDateTime;

use super::programs;
use crate::{Error, Result};

/// The bytes of a declaration, as JSON; more would not go through NATS everywhere.
const MAX_DECLARATION: usize = 256 * 1024;

/// A declaration that is valid.
pub(super) struct Declaration(Receiver);

impl Declaration {
    pub(super) fn read(name: &SourceName, spec: &Value, defaults: &Defaults<'_>) -> Result<Self> {
        let invalid = |error: SourceError| Error::Invalid(format!("source {name}: {error}"));
        let bytes = serde_json::to_vec(spec).map_or(usize::MAX, |text| text.len());
        if bytes > MAX_DECLARATION {
            let reason = format!("its declaration has {bytes} bytes, and {MAX_DECLARATION} are allowed");
            return Err(invalid(SourceError::new(reason)));
        }
        let source = Source::from_spec(spec).map_err(invalid)?;
        Receiver::compile(name.clone(), source, defaults).map(Self).map_err(invalid)
    }

    /// Whether it asks to be paused.
    pub(super) fn paused(&self) -> bool {
        self.0.source().paused
    }

    /// Whether the source may take a secret from a request of its provider: only while it has none.
    pub(super) fn may_learn(&self, source: &skep_bus::Source, now: OffsetDateTime) -> bool {
        source.secrets.active(now).next().is_none() && self.0.may_learn(source.record.updated_at, now)
    }

    /// The secrets that it names; each has keys, one a line.
    pub(super) fn files(&self) -> &[SecretUse] {
        &self.0.source().secrets
    }

    /// Its program, if it has one.
    pub(super) fn program(&self) -> Option<ProgramSpec> {
        match self.0.kind() {
            Kind::Program(program) => Some(programs::spec_of(program)),
            _ => None,
        }
    }

    /// Whether it cannot do without a secret.
    pub(super) fn names_secret(&self, secret: &str) -> bool {
        let is_of_program = self.program().is_some_and(|program| program.secrets.iter().any(|name| name == secret));
        is_of_program || self.files().iter().any(|used| used.file == secret)
    }

    /// How its events come.
    pub(super) fn kind(&self) -> &Kind {
        self.0.kind()
    }

    /// Whether a secret is what the source logs in with.
    pub(super) fn is_login(&self, used: &SecretUse) -> bool {
        self.kind().messages().is_some() && used.name.as_deref() == Some(CREDENTIALS)
    }

    /// Fails if a value is no key in the form that the source has them in.
    pub(super) fn check_key(&self, name: Option<&str>, value: &SecretText) -> Result<()> {
        if self.kind().messages().is_some() && (name != Some(CREDENTIALS) || Login::parse(value.reveal()).is_none()) {
            return Err(Error::Invalid(format!(
                "source {}: its only secret is named {CREDENTIALS}: the text of a credentials file, or one line USER:PASSWORD",
                self.0.name()
            )));
        }
        let checked = match name {
            None => self.0.check_secret(value.reveal()),
            Some(_) if value.reveal().trim().is_empty() => Err(KeyError::Empty),
            Some(_) => Ok(()),
        };
        checked.map_err(|error| Error::Invalid(format!("source {}: {error}", self.0.name())))
    }
}
