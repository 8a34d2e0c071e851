//! The sources of events: checked, written, and given their secrets.

mod asked;
mod captures;
mod declaration;
mod keys;
mod programs;

use std::sync::Arc;

use serde_json::Value;
use skep_bus::{ControllerBus, Lease, Source};
use skep_protocol::{
    SourceName, SourceRecord, SourceSecrets,
    control::{AddSourceSecret, AddedSourceSecret, Change, PauseSource, RemoveSourceSecret, Revision},
    validate,
};
use skep_provider::{Programs as ProgramRunner, Provider, Secrets as SecretFiles};
use skep_sources::{Defaults, SealKey};
use tokio::sync::{Mutex, MutexGuard};
use tracing::info;
use url::Url;

pub(crate) use self::programs::{ProgramMetrics, Programs};
use self::{declaration::Declaration, keys::Keys};
use crate::{Error, Result, subscriptions::Subscriptions};

pub(crate) struct Sources {
    bus: ControllerBus,
    lease: Arc<Lease>,
    /// What `secrets` of a declaration names.
    files: Arc<dyn SecretFiles>,
    /// What runs programs, and knows whether one can be run.
    runner: Arc<dyn ProgramRunner>,
    seal_key: Option<Arc<SealKey>>,
    public_url: Option<Url>,
    subscriptions: Arc<Subscriptions>,
    /// Held over a change, so that what was read is what is there.
    one_at_a_time: Mutex<()>,
}

impl Sources {
    pub(crate) fn new(
        bus: ControllerBus,
        lease: Arc<Lease>,
        provider: &Provider,
        (seal_key, public_url): (Option<Arc<SealKey>>, Option<Url>),
        subscriptions: Arc<Subscriptions>,
    ) -> Self {
        let (files, runner) = (Arc::clone(&provider.secrets), Arc::clone(&provider.programs));
        Self { bus, lease, files, runner, seal_key, public_url, subscriptions, one_at_a_time: Mutex::default() }
    }

    pub(crate) async fn create(&self, name: SourceName, spec: Value) -> Result<Change> {
        let declaration = self.read(&name, &spec)?;
        let _alone = self.alone().await;
        if self.bus.sources.get(&name).await?.is_some() {
            return Err(Error::Conflict(format!(
                "source {name} already exists: give it another declaration with skep sources update {name} (PUT)"
            )));
        }
        self.check_program(&name, &declaration).await?;
        let now = skep_bus::now();
        let record = SourceRecord {
            name,
            spec,
            created_at: now,
            updated_at: now,
            paused: false,
            paused_at: None,
            function: None,
        };
        let record = record.with_pause(declaration.paused(), now);
        let source = Source { record, secrets: SourceSecrets::default() };
        let secrets = self.secrets_of_files(&source, &declaration).await?.unwrap_or_default();
        if secrets != source.secrets {
            self.lease.put_source_secrets(&source.record.name, &secrets).await?;
        }
        let captures = self.capture(&source.record.name, &declaration).await?;
        let created = self.put(&source.record).await;
        match &created {
            Ok(_) => info!(source = %source.record.name, "source is created"),
            // Nobody would read it.
            Err(_) if captures => self.release(&source.record.name).await?,
            Err(_) => {}
        }
        created
    }

    pub(crate) async fn update(&self, name: SourceName, spec: Value) -> Result<Change> {
        let declaration = self.read(&name, &spec)?;
        let _alone = self.alone().await;
        let known = self.require(&name).await?;
        refuse_of_function(&known.record)?;
        self.check_program(&name, &declaration).await?;
        // A pause that the declaration asks for counts once, so that it can be lifted.
        let paused = known.record.paused || (declaration.paused() && spec != known.record.spec);
        let record = SourceRecord { spec, ..known.record.clone() };
        let record = if paused == record.paused { record } else { record.with_pause(paused, skep_bus::now()) };
        let wanted = Source { record, secrets: known.secrets.clone() };
        let captured = self.read(&name, &known.record.spec).is_ok_and(|before| before.captures());
        if !self.capture(&name, &declaration).await? && captured {
            self.release(&name).await?;
        }
        let changed = self.refresh(&wanted, &declaration).await?;
        if wanted.record == known.record {
            return Ok(changed);
        }
        info!(source = %name, "source is updated");
        self.put(&SourceRecord { updated_at: skep_bus::now(), ..wanted.record }).await
    }

    pub(crate) async fn delete(&self, name: &SourceName) -> Result<Change> {
        let _alone = self.alone().await;
        let source = self.require(name).await?;
        refuse_of_function(&source.record)?;
        // What cannot be read now may have captured before.
        if self.read(name, &source.record.spec).map_or(true, |declaration| declaration.captures()) {
            self.release(name).await?;
        }
        let revision = self.lease.remove_source(name).await?;
        info!(source = %name, "source is deleted");
        Ok(Change::Written(Revision(revision)))
    }

    pub(crate) async fn pause(&self, PauseSource { name, paused }: PauseSource) -> Result<Change> {
        let _alone = self.alone().await;
        let record = self.require(&name).await?.record;
        if record.paused == paused {
            return Ok(Change::Unchanged);
        }
        info!(source = %name, paused, "source is paused or resumed");
        self.put(&record.with_pause(paused, skep_bus::now())).await
    }

    pub(crate) async fn add_secret(&self, asked: AddSourceSecret) -> Result<AddedSourceSecret> {
        let _alone = self.alone().await;
        let source = self.require(&asked.source).await?;
        let declaration = self.read(&asked.source, &source.record.spec)?;
        refuse_beside_files(&asked.source, &declaration)?;
        declaration.check_key(asked.name.as_deref(), &asked.value)?;
        let now = skep_bus::now();
        if asked.learned && !declaration.may_learn(&source, now) {
            return Err(Error::Conflict(format!("source {} learns no secret now", asked.source)));
        }
        let (secrets, number) = self.keys(&source)?.with(&asked, now)?;
        let revision = self.lease.put_source_secrets(&asked.source, &secrets).await?;
        info!(source = %asked.source, number, "a secret of a source is added");
        Ok(AddedSourceSecret { number, revision: Revision(revision) })
    }

    pub(crate) async fn remove_secret(&self, asked: RemoveSourceSecret) -> Result<Change> {
        let _alone = self.alone().await;
        let source = self.require(&asked.source).await?;
        if let Ok(declaration) = self.read(&asked.source, &source.record.spec) {
            refuse_beside_files(&asked.source, &declaration)?;
        }
        let secrets = keys::without(&source, &asked.which, skep_bus::now())?;
        let revision = self.lease.put_source_secrets(&asked.source, &secrets).await?;
        info!(source = %asked.source, "a secret of a source is removed");
        Ok(Change::Written(Revision(revision)))
    }

    /// Has the sources that name a secret take its new value.
    pub(crate) async fn secret_changed(&self, secret: &str) -> Result<()> {
        let _alone = self.alone().await;
        for source in self.bus.sources.list().await? {
            let Ok(declaration) = self.read(&source.record.name, &source.record.spec) else { continue };
            if declaration.files().iter().any(|used| used.file == secret) {
                self.refresh(&source, &declaration).await?;
            }
            if let Some(program) =
                declaration.program().filter(|program| program.secrets.iter().any(|name| name == secret))
            {
                self.runner.renew_secrets(&source.record.name, &program).await?;
            }
        }
        Ok(())
    }

    /// Fails if a source names the secret.
    pub(crate) async fn refuse_if_used(&self, secret: &str) -> Result<()> {
        for source in self.bus.sources.list().await? {
            let name = &source.record.name;
            if let Ok(declaration) = self.read(name, &source.record.spec)
                && declaration.names_secret(secret)
            {
                return Err(Error::Conflict(format!("secret {secret} is used by source {name}")));
            }
        }
        Ok(())
    }

    /// Fails if the program of a source cannot be run here.
    async fn check_program(&self, name: &SourceName, declaration: &Declaration) -> Result<()> {
        match declaration.program() {
            Some(program) => self.runner.check_program(name, &program).await,
            None => Ok(()),
        }
    }

    /// Reads the files that a declaration names, and writes the secrets if they differ.
    async fn refresh(&self, source: &Source, declaration: &Declaration) -> Result<Change> {
        match self.secrets_of_files(source, declaration).await? {
            Some(secrets) if secrets != source.secrets => {
                let revision = self.lease.put_source_secrets(&source.record.name, &secrets).await?;
                Ok(Change::Written(Revision(revision)))
            }
            Some(_) | None => Ok(Change::Unchanged),
        }
    }

    /// The secrets as the files have them; `None` if the declaration names no file.
    async fn secrets_of_files(&self, source: &Source, declaration: &Declaration) -> Result<Option<SourceSecrets>> {
        if declaration.files().is_empty() {
            return Ok(None);
        }
        let name = &source.record.name;
        let of_source = |reason: String| Error::Invalid(format!("source {name}: {reason}"));
        let mut values = Vec::new();
        for used in declaration.files() {
            validate::secret_name(&used.file).map_err(|error| of_source(error.to_string()))?;
            let content = self.files.read(&used.file).await.map_err(|error| match error {
                Error::NotFound(reason) => of_source(reason),
                Error::Invalid(reason) => of_source(format!(
                    "{reason}, so leave secrets out and add its value with skep sources secret add {name} or \
                     POST /system/sources/{name}/secrets"
                )),
                other => other,
            })?;
            let keys = if declaration.is_login(used) {
                keys::whole_file(&used.file, content)
            } else {
                keys::of_file(&used.file, content)
            };
            for value in keys.map_err(of_source)? {
                declaration.check_key(used.name.as_deref(), &value)?;
                values.push((used.name.clone(), value));
            }
        }
        self.keys(source)?.exactly(values, skep_bus::now()).map(Some)
    }

    fn read(&self, name: &SourceName, spec: &Value) -> Result<Declaration> {
        let (public_url, connection) = (self.public_url.as_ref(), &self.bus.connection);
        let prefix = connection.subject_prefix();
        Declaration::read(name, spec, &Defaults { public_url, prefix, ..Defaults::new(connection.default_namespace()) })
    }

    fn keys<'source>(&'source self, source: &'source Source) -> Result<Keys<'source>> {
        let seal_key = self.seal_key.as_deref().ok_or_else(|| {
            Error::Invalid(
                "the controller has no seal key, so it keeps no secrets of sources: start it and all gateways with \
                 --seal-key-file FILE (SKEP_SEAL_KEY_FILE)"
                    .to_owned(),
            )
        })?;
        Ok(Keys { seal_key, source })
    }

    async fn put(&self, record: &SourceRecord) -> Result<Change> {
        Ok(Change::Written(Revision(self.lease.put_source(record).await?)))
    }

    async fn require(&self, name: &SourceName) -> Result<Source> {
        let found = self.bus.sources.get(name).await?;
        found.ok_or_else(|| Error::NotFound(format!("source {name} not found")))
    }

    async fn alone(&self) -> MutexGuard<'_, ()> {
        self.one_at_a_time.lock().await
    }
}

/// What annotations declare would come back.
fn refuse_of_function(record: &SourceRecord) -> Result<()> {
    let Some(function) = &record.function else { return Ok(()) };
    Err(Error::Conflict(format!(
        "source {} is declared by the annotations topic and schedule of function {function}: change those",
        record.name
    )))
}

/// A source has the secrets of its files and no others, so what is added or removed beside them would not stay.
fn refuse_beside_files(name: &SourceName, declaration: &Declaration) -> Result<()> {
    let Some(used) = declaration.files().first() else { return Ok(()) };
    Err(Error::Conflict(format!(
        "source {name} takes its secrets from secret {file}: change that one with skep secret set {file} (PUT \
         /system/secrets; one key a line, the newest first)",
        file = used.file
    )))
}
