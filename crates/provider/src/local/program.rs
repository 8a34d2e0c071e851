//! The programs of sources: each runs below a watchdog that speaks no HTTP, and is what keeps it in its sandbox and ends all of it.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use skep_process::ProcessTag;
use skep_protocol::{LogLine, SourceName};
use tokio::{
    process::{ChildStderr, Command},
    task::JoinSet,
};

use super::{
    Local, ProviderContext, SECRETS_DIR, command,
    environment::NICE,
    lines,
    logs::SourceLog,
    make_folder,
    sandbox::Sandbox,
    secrets,
    watchdog::{Watchdog, limit_files},
};
use crate::{Error, ProgramProcess, ProgramSpec, Programs, Result, StartedProgram};

/// The variable that tells a program which source it is of.
const SOURCE: &str = "SKEP_SOURCE";

#[async_trait]
impl Programs for Local {
    async fn check_program(&self, source: &SourceName, program: &ProgramSpec) -> Result<()> {
        let (context, source, program) = (Arc::clone(&self.context), source.clone(), program.clone());
        blocking(move || check(&context, &source, &program)).await
    }

    async fn start_program(&self, source: &SourceName, program: &ProgramSpec) -> Result<StartedProgram> {
        self.renew_secrets(source, program).await?;
        start(&self.context, source, program, self.logs.of_source(source))
    }

    async fn renew_secrets(&self, source: &SourceName, program: &ProgramSpec) -> Result<()> {
        let (context, source, names) = (Arc::clone(&self.context), source.clone(), program.secrets.clone());
        blocking(move || {
            let folder = own_folder(&context, &source).join("secrets");
            context.secrets.link_into(&folder, None, &names)?;
            secrets::prune(&folder, &names);
            Ok(())
        })
        .await
    }

    fn note(&self, source: &SourceName, line: String) {
        self.logs.of_source(source).push(line);
    }

    fn lines(&self, source: &SourceName, most: usize) -> Vec<LogLine> {
        self.logs.of_source(source).last(most)
    }

    fn forget_source(&self, source: &SourceName) {
        self.logs.forget_source(source);
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Busy))
}

fn own_folder(context: &ProviderContext, source: &SourceName) -> PathBuf {
    context.config.data_dir.join("sources").join(source.as_str())
}

fn workdir(context: &ProviderContext, source: &SourceName, program: &ProgramSpec) -> PathBuf {
    program.workdir.as_ref().map_or_else(|| own_folder(context, source).join("work"), PathBuf::from)
}

fn check(context: &ProviderContext, source: &SourceName, program: &ProgramSpec) -> Result<()> {
    let invalid = |reason: String| Err(Error::Invalid(format!("source {source}: {reason}")));
    let workdir = workdir(context, source, program);
    if program.workdir.is_some() {
        let Some(found) = workdir.canonicalize().ok().filter(|folder| folder.is_dir()) else {
            return invalid(format!("workdir: folder {} does not exist", workdir.display()));
        };
        if is_sandboxed(context, program) && found.starts_with(&context.config.data_dir) {
            let data_dir = context.config.data_dir.display();
            return invalid(format!("workdir: {} is in the data folder of skep, {data_dir}", workdir.display()));
        }
    }
    let search = program.environment.get("PATH").or_else(|| context.config.environment.get("PATH"));
    let name = program.command.first().map(String::as_str).unwrap_or_default();
    if let Err(reason) = command::find(name, &workdir, search) {
        return invalid(reason);
    }
    match context.secrets.missing(&program.secrets) {
        Some(name) => invalid(context.secrets.create_first("", name)),
        None => Ok(()),
    }
}

fn is_sandboxed(context: &ProviderContext, program: &ProgramSpec) -> bool {
    context.config.sandbox && program.sandbox
}

fn start(
    context: &ProviderContext,
    source: &SourceName,
    program: &ProgramSpec,
    log: Arc<SourceLog>,
) -> Result<StartedProgram> {
    let (own, workdir) = (own_folder(context, source), workdir(context, source, program));
    if program.workdir.is_none() {
        make_folder(&workdir)?;
    }
    let secrets = own.join("secrets");
    let sandbox = match is_sandboxed(context, program) {
        true => Some(Sandbox::at(context, own.join("tmp"), secrets.clone())?),
        false => None,
    };
    let tag = context.config.process_tag.within();
    let mut arguments = vec![OsString::from("--supervise")];
    arguments.extend(program.reads_stdin.then(|| OsString::from("--share-stdin")));
    arguments.extend(sandbox.iter().flat_map(Sandbox::arguments));
    let temporary = sandbox.as_ref().map(|sandbox| sandbox.temporary.as_path());
    let mut child = Command::new(&context.config.watchdog)
        .args(arguments)
        .env_clear()
        .envs(variables(context, source, program, (&secrets, temporary, &tag))?)
        .current_dir(&workdir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::io("start a program in", workdir))?;
    limit_files(&child, context.config.file_limit);
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let pid = child.id();
    let watchdog = Watchdog { child, tag, _lifeline: None, readers: read_log(stderr, log), sandbox };
    match (stdin, stdout) {
        (Some(stdin), Some(stdout)) => Ok(StartedProgram { pid, stdout, stdin, process: Box::new(watchdog) }),
        _ => Err(Error::Busy),
    }
}

fn read_log(stderr: Option<ChildStderr>, log: Arc<SourceLog>) -> JoinSet<()> {
    let mut readers = JoinSet::new();
    if let Some(stderr) = stderr {
        readers.spawn(async move { lines::read(stderr, |line| log.push(line)).await });
    }
    readers
}

/// What is inherited, then what the source sets, then what the provider must decide.
fn variables(
    context: &ProviderContext,
    source: &SourceName,
    program: &ProgramSpec,
    (secrets, temporary, tag): (&Path, Option<&Path>, &ProcessTag),
) -> Result<BTreeMap<String, String>> {
    let mut variables = context.config.environment.clone();
    variables.extend(program.environment.clone());
    let command = shlex::try_join(program.command.iter().map(String::as_str));
    let command = command.map_err(|error| Error::Invalid(format!("source {source}: program: {error}")))?;
    variables.remove("function_process");
    let mut set = |variable: &str, value: &str| variables.insert(variable.to_owned(), value.to_owned());
    set("fprocess", &command);
    set("nice", NICE);
    set("lifeline", "stdin");
    set(SOURCE, source.as_str());
    set(ProcessTag::VARIABLE, tag.as_str());
    if let Some(temporary) = temporary {
        set("TMPDIR", &temporary.to_string_lossy());
    }
    if !program.secrets.is_empty() {
        set(SECRETS_DIR, &secrets.to_string_lossy());
    }
    Ok(variables)
}

#[async_trait]
impl ProgramProcess for Watchdog {
    async fn ended(&mut self) -> String {
        Watchdog::ended(self).await
    }

    async fn stop(self: Box<Self>, patience: Duration) {
        Watchdog::stop(*self, patience, std::future::pending()).await;
    }
}
