//! Answers the requests on the bus: reads them, passes them on, and turns errors into refusals.

use std::sync::Arc;

use skep_bus::ControlCall;
use skep_protocol::{
    Author, CanaryReport, FunctionDeployment, KeptVersion, ListedVersion, LogLine, LogQuery, NamespaceInfo,
    ProviderInfo, Secret, SourceProgramReport, StreamUsage, VersionInfo,
    control::{
        AddSourceSecret, AddedSourceSecret, ApplyAlert, BackfillSource, Change, ControlRequest, CreateNamespace,
        CreateSecret, CreateSource, Delete, DeleteNamespace, DeleteSecret, DeleteSource, Deploy, FireSource, Fired,
        GetInfo, ListNamespaces, ListSecrets, ListStreams, ListVersions, PauseSource, Promote, Promoted, ReadCanary,
        ReadSourceProgram, ReadVersion, RemoveSourceSecret, RollBack, RolledBack, Scale, Update, UpdateNamespace,
        UpdateSecret, UpdateSource, Wake,
    },
    listed, validate,
};
use tracing::{Instrument, error_span};

use crate::{
    Error, Result,
    namespaces::{Inside, Namespaces},
    reconcile::{Command, Reconcilers},
    refusal::refusal,
    schedules,
    sources::{Programs, Sources},
};
use skep_sources::Defaults;

/// What every request may need.
pub(crate) struct Control {
    pub(crate) reconcilers: Arc<Reconcilers>,
    pub(crate) namespaces: Namespaces,
    pub(crate) sources: Arc<Sources>,
    pub(crate) programs: Arc<Programs>,
    pub(crate) version: VersionInfo,
}

/// Has each request handled by the method beside it; the compiler checks that the method takes the request and returns its reply.
macro_rules! answer {
    ($control:expr, $call:expr, { $($request:ty => $method:ident,)* }) => {
        match $call.operation {
            $(<$request>::OPERATION => respond::<$request, _>($call, |asked| $control.$method(asked)).await,)*
        }
    };
}

/// Reads a request, has it handled, and answers it.
async fn respond<R, F>(call: &ControlCall, handle: impl FnOnce(R) -> F)
where
    R: ControlRequest,
    F: Future<Output = Result<R::Reply>>,
{
    let reply = match call.read::<R>() {
        Ok(request) => {
            let span = error_span!("control", operation = call.operation.as_str());
            handle(request).instrument(span).await.map_err(refusal)
        }
        Err(refusal) => Err(refusal),
    };
    call.answer::<R>(reply).await;
}

impl Control {
    /// Does what a call asks for, and answers it.
    pub(crate) async fn answer(&self, call: &ControlCall) {
        answer!(self, call, {
            Deploy => deploy,
            Update => update,
            Delete => delete,
            ListVersions => list_versions,
            ReadVersion => read_version,
            RollBack => roll_back,
            ReadCanary => read_canary,
            Promote => promote,
            Scale => scale,
            Wake => wake,
            ApplyAlert => apply_alert,
            GetInfo => info,
            LogQuery => logs,
            ListStreams => list_streams,
            ListNamespaces => list_namespaces,
            CreateNamespace => create_namespace,
            UpdateNamespace => update_namespace,
            DeleteNamespace => delete_namespace,
            ListSecrets => list_secrets,
            CreateSecret => create_secret,
            UpdateSecret => update_secret,
            DeleteSecret => delete_secret,
            CreateSource => create_source,
            UpdateSource => update_source,
            DeleteSource => delete_source,
            PauseSource => pause_source,
            AddSourceSecret => add_source_secret,
            RemoveSourceSecret => remove_source_secret,
            ReadSourceProgram => read_source_program,
            FireSource => fire_source,
            BackfillSource => backfill_source,
        });
    }

    async fn deploy(&self, Deploy { deployment, author }: Deploy) -> Result<Change> {
        self.put(deployment, author, Command::Deploy).await
    }

    async fn update(&self, Update { deployment, author, canary }: Update) -> Result<Change> {
        self.put(deployment, author, |deployment, author| Command::Update(deployment, author, canary)).await
    }

    async fn put(
        &self,
        mut deployment: FunctionDeployment,
        author: Author,
        command: impl FnOnce(FunctionDeployment, Author) -> Command,
    ) -> Result<Change> {
        let name = validate::deployment(&mut deployment, self.namespaces.default())?;
        schedules::check_annotations(&name, &deployment.annotations, &Defaults::new(self.namespaces.default()))?;
        let _inside = self.namespaces.enter(name.namespace()).await?;
        self.reconcilers.apply(name, command(deployment, author)).await
    }

    async fn list_versions(&self, asked: ListVersions) -> Result<Vec<ListedVersion>> {
        let (kept, roles) = self.reconcilers.versions(asked.function).await?;
        Ok(listed(kept, roles))
    }

    async fn read_version(&self, ReadVersion { function, version }: ReadVersion) -> Result<KeptVersion> {
        let (kept, _) = self.reconcilers.versions(function.clone()).await?;
        let found = kept.into_iter().find(|kept| kept.version.number == version);
        found.ok_or_else(|| {
            Error::NotFound(format!("function {function} has no version {version}, or it is not kept any more"))
        })
    }

    async fn roll_back(&self, RollBack { function, version, author }: RollBack) -> Result<RolledBack> {
        self.reconcilers.roll_back(function, version, author).await
    }

    async fn read_canary(&self, asked: ReadCanary) -> Result<Option<CanaryReport>> {
        self.reconcilers.canary(asked.function).await
    }

    async fn promote(&self, asked: Promote) -> Result<Promoted> {
        self.reconcilers.promote(asked.function).await
    }

    async fn delete(&self, asked: Delete) -> Result<()> {
        self.reconcilers.delete(asked.function).await
    }

    async fn scale(&self, asked: Scale) -> Result<Change> {
        let Scale { function, replicas, hold } = asked;
        let held_until = Some(hold).filter(|hold| !hold.is_zero()).map(|hold| skep_bus::now() + hold);
        self.reconcilers.apply(function, Command::Scale(replicas, held_until)).await
    }

    async fn wake(&self, Wake(function): Wake) -> Result<Change> {
        self.reconcilers.apply(function, Command::Wake).await
    }

    async fn apply_alert(&self, asked: ApplyAlert) -> Result<Change> {
        self.reconcilers.apply(asked.function, Command::Alert(asked.status)).await
    }

    async fn info(&self, GetInfo: GetInfo) -> Result<ProviderInfo> {
        let runtime = &self.reconcilers.provider.runtime;
        Ok(ProviderInfo {
            provider: runtime.name().to_owned(),
            orchestration: runtime.orchestration().to_owned(),
            version: self.version.clone(),
            parts: self.reconcilers.loads.parts(),
        })
    }

    async fn logs(&self, query: LogQuery) -> Result<Vec<LogLine>> {
        let Reconcilers { bus, provider, .. } = &*self.reconcilers;
        self.reconcilers.require(&query.function)?;
        if query.follow {
            provider.logs.follow(&query.function);
        }
        let lines = provider.logs.past(&query).await?;
        Ok(last_that_fit(lines, bus.connection.largest_message()))
    }

    async fn list_streams(&self, ListStreams: ListStreams) -> Result<Vec<StreamUsage>> {
        Ok(self.reconcilers.bus.housekeeping.stream_usage().await)
    }

    async fn list_namespaces(&self, ListNamespaces: ListNamespaces) -> Result<Vec<NamespaceInfo>> {
        Ok(self.namespaces.list().await)
    }

    async fn create_namespace(&self, CreateNamespace(namespace): CreateNamespace) -> Result<()> {
        self.namespaces.create(namespace).await
    }

    async fn update_namespace(&self, UpdateNamespace(namespace): UpdateNamespace) -> Result<()> {
        self.namespaces.update(namespace).await
    }

    async fn delete_namespace(&self, asked: DeleteNamespace) -> Result<()> {
        let Reconcilers { bus, provider, .. } = &*self.reconcilers;
        let contents = async || {
            let functions = bus.registry.functions().await?;
            let inside = functions.iter().filter(|(name, _)| name.namespace() == Some(&asked.name));
            let mut contents: Vec<String> = inside.map(|(name, _)| format!("function {}", name.name())).collect();
            let secrets = provider.secrets.list(&asked.name).await?;
            contents.extend(secrets.into_iter().map(|secret| format!("secret {}", secret.name)));
            Ok(contents)
        };
        self.namespaces.delete(&asked.name, contents).await
    }

    async fn list_secrets(&self, asked: ListSecrets) -> Result<Vec<Secret>> {
        let namespace = self.other_namespace(&asked.namespace)?;
        let entered = self.namespaces.enter(namespace.as_deref()).await;
        let _inside = entered.map_err(|error| Error::NotFound(error.to_string()))?;
        self.reconcilers.provider.secrets.list(&namespace.unwrap_or_default()).await
    }

    async fn create_secret(&self, CreateSecret(secret): CreateSecret) -> Result<()> {
        let (secret, _inside) = self.secret(secret).await?;
        self.reconcilers.provider.secrets.create(secret).await
    }

    async fn update_secret(&self, UpdateSecret(secret): UpdateSecret) -> Result<()> {
        let (secret, _inside) = self.secret(secret).await?;
        let of_sources = secret.namespace.is_empty().then(|| secret.name.clone());
        self.reconcilers.provider.secrets.update(secret).await?;
        match of_sources {
            Some(name) => self.sources.secret_changed(&name).await,
            None => Ok(()),
        }
    }

    async fn delete_secret(&self, DeleteSecret(secret): DeleteSecret) -> Result<()> {
        let (secret, _inside) = self.secret(secret).await?;
        if secret.namespace.is_empty() {
            self.sources.refuse_if_used(&secret.name).await?;
        }
        self.reconcilers.provider.secrets.delete(secret).await
    }

    async fn create_source(&self, CreateSource { name, spec }: CreateSource) -> Result<Change> {
        self.sources.create(name, spec).await
    }

    async fn update_source(&self, UpdateSource { name, spec }: UpdateSource) -> Result<Change> {
        self.sources.update(name, spec).await
    }

    async fn delete_source(&self, asked: DeleteSource) -> Result<Change> {
        self.sources.delete(&asked.name).await
    }

    async fn pause_source(&self, asked: PauseSource) -> Result<Change> {
        self.sources.pause(asked).await
    }

    async fn add_source_secret(&self, asked: AddSourceSecret) -> Result<AddedSourceSecret> {
        self.sources.add_secret(asked).await
    }

    async fn remove_source_secret(&self, asked: RemoveSourceSecret) -> Result<Change> {
        self.sources.remove_secret(asked).await
    }

    async fn read_source_program(&self, asked: ReadSourceProgram) -> Result<SourceProgramReport> {
        let mut report = self.programs.report(&asked.source, asked.lines);
        report.lines = last_that_fit(report.lines, self.reconcilers.bus.connection.largest_message());
        Ok(report)
    }

    async fn fire_source(&self, asked: FireSource) -> Result<Fired> {
        self.sources.fire(asked).await
    }

    async fn backfill_source(&self, asked: BackfillSource) -> Result<Fired> {
        self.sources.backfill(asked).await
    }

    /// The secret that a request is about, and the hold on its namespace.
    async fn secret(&self, mut secret: Secret) -> Result<(Secret, Inside<'_>)> {
        let namespace = self.other_namespace(&secret.namespace)?;
        let inside = self.namespaces.enter(namespace.as_deref()).await?;
        secret.namespace = namespace.unwrap_or_default();
        validate::secret_name(&secret.name)?;
        Ok((secret, inside))
    }

    /// A namespace as it was given, `None` if it is the default one.
    fn other_namespace(&self, namespace: &str) -> Result<Option<String>> {
        let other = self.namespaces.default().other(namespace);
        other.map(|other| other.map(String::from)).map_err(|error| Error::Invalid(error.to_string()))
    }
}

/// The newest lines that one answer on the bus can carry.
fn last_that_fit(lines: Vec<LogLine>, largest_message: usize) -> Vec<LogLine> {
    let mut room = largest_message.saturating_sub(4096);
    let mut first = lines.len();
    for line in lines.iter().rev() {
        let size = serde_json::to_vec(line).map_or(usize::MAX, |text| text.len().saturating_add(1));
        if size > room {
            break;
        }
        room -= size;
        first -= 1;
    }
    lines.into_iter().skip(first).collect()
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    #[test]
    fn an_answer_of_lines_stays_below_what_the_bus_carries() {
        let line = |number: usize| LogLine {
            name: "f".to_owned(),
            namespace: String::new(),
            instance: "f-1".to_owned(),
            timestamp: OffsetDateTime::UNIX_EPOCH,
            call_id: None,
            trace_id: None,
            stream: None,
            text: format!("{number}{}", "\u{0}".repeat(1000)),
        };
        let found = last_that_fit((0..100).map(line).collect(), 64 * 1024);
        assert!(serde_json::to_vec(&found).unwrap().len() < 64 * 1024);
        assert!(found.len() > 5 && found.last().unwrap().text.starts_with("99"));
        assert_eq!(last_that_fit(vec![line(1), line(2)], 64 * 1024).len(), 2);
    }
}
