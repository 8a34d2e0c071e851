//! Reads an OpenFaaS `stack.yml`, checks it, and compares it with what is deployed.
//!
//! This crate knows neither the bus nor Docker; it reads files and calls nothing else.
//!
//! Environment files win over the function's own `environment`, as they do in OpenFaaS.
//! A function's command runs in its `handler` directory, or in the stack's directory if it has none.

mod diff;
mod located;
mod needs;
mod section;
mod substitute;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde_json::Value;
use serde_saphyr::Spanned;
use skep_protocol::{FunctionDeployment, SourceName, WORKDIR, validate};
use skep_sources::{Defaults, Receiver, SourceError};
use thiserror::Error;

use self::{
    located::Located,
    section::{EnvironmentFile, FunctionSection, StackFile},
};

pub use self::{
    diff::{Difference, difference, source_difference},
    needs::{NamedSecret, SecretValue},
};
pub use skep_protocol::{SettingChange, changes};

/// The annotation of a function, and the key of a source, that says which stack it is of.
pub const STACK: &str = "skep.stack";
pub const SOURCE_STACK: &str = "stack";

/// What a stack file says, in its order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stack {
    /// The stack's name, with which its functions and sources are marked.
    pub name: Option<String>,
    /// Namespaces that have to be there.
    pub namespaces: Vec<String>,
    /// Secrets that have to be there.
    pub secrets: Vec<NamedSecret>,
    pub functions: Vec<FunctionDeployment>,
    /// How programs of functions are built that have to be.
    pub builds: Vec<Build>,
    /// Each source with its declaration as it was given, which was checked.
    pub sources: Vec<(SourceName, Value)>,
}

/// How the program of a function is built, on the machine where the stack file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// The function, `NAME` or `NAME.NAMESPACE`.
    pub function: String,
    /// The command, split like a shell splits words.
    pub command: String,
    /// The folder that it runs in.
    pub folder: PathBuf,
}

/// Why a stack file cannot be used, on one line.
#[derive(Debug, Error)]
#[error("{}{}: {reason}", file.display(), Line(*line))]
pub struct StackError {
    pub file: PathBuf,
    pub line: Option<u64>,
    pub reason: String,
}

/// Reads a stack file; `lookup` gives the value of a variable for `${VAR}`.
pub fn read(
    file: &Path,
    defaults: &Defaults<'_>,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Stack, StackError> {
    parse(&read_text(file)?, file, defaults, lookup)
}

/// Reads the text of a stack file; paths in it are relative to the file's folder.
pub fn parse(
    text: &str,
    file: &Path,
    defaults: &Defaults<'_>,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Stack, StackError> {
    let source = Source { file };
    let text = substitute::substitute(text, lookup).map_err(|(line, reason)| source.error(line, reason))?;
    let stack: StackFile = source.yaml(&text)?;
    source.known(&stack.unknown, "a stack file")?;
    if let Some(provider) = &stack.provider
        && !["openfaas", "faas", "skep"].contains(&provider.value.as_str())
    {
        let reason = format!("provider.name is {:?}, expected openfaas, faas or skep", provider.value);
        return Err(source.error(provider.referenced.line(), reason));
    }
    let name = stack.name.map(|name| needs::stack_name(&name, &source)).transpose()?;
    let namespaces = stack.namespaces.iter().map(|name| needs::namespace(name, &source)).collect::<Result<_, _>>()?;
    let secrets = stack.secrets.into_iter().map(|(name, section)| needs::secret(&name, section, &source));
    let mut read = Stack { name, namespaces, secrets: secrets.collect::<Result<_, _>>()?, ..Stack::default() };
    for (name, section) in stack.functions {
        let line = name.referenced.line();
        source.known(&section.unknown, "a function")?;
        let (command, handler) = (section.build.clone(), section.handler.clone());
        let mut deployment = deployment(name.value, section, &source, line)?;
        validate::deployment(&mut deployment, defaults.namespace)
            .map_err(|error| source.error(line, error.to_string()))?;
        if !command.is_empty() {
            let folder = source.inside(&handler).map_err(|reason| source.error(line, reason))?;
            let namespace = &deployment.namespace;
            let dot = if namespace.is_empty() { "" } else { "." };
            let function = format!("{}{dot}{namespace}", deployment.service);
            read.builds.push(Build { function, command, folder });
        }
        if let Some(name) = &read.name {
            deployment.annotations.insert(STACK.to_owned(), name.clone());
        }
        read.functions.push(deployment);
    }
    for (name, declaration) in &stack.sources {
        read.sources.push(declared(name, declaration, read.name.as_deref(), &source, defaults)?);
    }
    Ok(read)
}

/// A source with its declaration, which is checked and marked with the stack's name.
fn declared(
    name: &Spanned<String>,
    declaration: &Located,
    stack: Option<&str>,
    source: &Source<'_>,
    defaults: &Defaults<'_>,
) -> Result<(SourceName, Value), StackError> {
    let line = name.referenced.line();
    let name: SourceName =
        name.value.parse().map_err(|error: skep_protocol::InvalidSourceName| source.error(line, error.to_string()))?;
    let mut spec = declaration.to_json();
    place_program(&mut spec, source).map_err(|reason| source.error(line, format!("source {name}: {reason}")))?;
    if let (Some(stack), Some(spec)) = (stack, spec.as_object_mut()) {
        spec.insert(SOURCE_STACK.to_owned(), stack.into());
    }
    let error = |error: SourceError| {
        let line = declaration.line_of(error.at()).unwrap_or(line);
        source.error(line, format!("source {name}: {error}"))
    };
    Receiver::from_spec(name.clone(), &spec, defaults).map_err(error)?;
    Ok((name, spec))
}

/// Has the program of a source run in the folder that it names, or in that of the file.
fn place_program(spec: &mut Value, source: &Source<'_>) -> Result<(), String> {
    let Some(spec) = spec.as_object_mut().filter(|spec| spec.contains_key("program")) else { return Ok(()) };
    let asked = match spec.get("workdir") {
        None => "",
        Some(Value::String(folder)) => folder,
        // What is wrong with it is reported with the other keys.
        Some(_) => return Ok(()),
    };
    let folder = source.folder().map_err(|error| format!("the stack's folder cannot be found: {error}"))?.join(asked);
    let found = folder.canonicalize().ok().filter(|folder| folder.is_dir());
    let found = found.as_deref().and_then(Path::to_str);
    let found = found.ok_or_else(|| format!("workdir: folder {asked:?} does not exist, or is not named in UTF-8"))?;
    spec.insert("workdir".to_owned(), found.into());
    Ok(())
}

fn deployment(
    name: String,
    section: FunctionSection,
    source: &Source<'_>,
    line: u64,
) -> Result<FunctionDeployment, StackError> {
    let invalid = |reason: String| source.error(line, reason);
    let folder = source.folder().map_err(|error| invalid(format!("the stack's folder cannot be found: {error}")))?;
    let serves_files = section.environment.get("mode").is_some_and(|mode| mode == "static");
    if section.fprocess.is_empty() && section.image.is_empty() && !serves_files {
        return Err(invalid(format!("function {name} has neither fprocess nor image")));
    }
    let mut env_vars = section.environment;
    for environment_file in &section.environment_file {
        env_vars.extend(read_environment(&folder.join(environment_file)).map_err(|error| {
            // A broken file has its own position, a missing one is where it is named.
            if error.line.is_some() { error } else { invalid(error.to_string()) }
        })?);
    }
    let mut annotations = section.annotations;
    if !section.fprocess.is_empty() || serves_files && section.image.is_empty() {
        let asked = annotations.get(WORKDIR).unwrap_or(&section.handler);
        let workdir = folder.join(asked).canonicalize().ok().filter(|path| path.is_dir());
        let Some(workdir) = workdir else {
            return Err(invalid(format!("folder {asked:?} of function {name} does not exist")));
        };
        let Some(workdir) = workdir.to_str() else {
            return Err(invalid(format!("folder {asked:?} of function {name} is not named in UTF-8")));
        };
        annotations.insert(WORKDIR.to_owned(), workdir.to_owned());
    }
    Ok(FunctionDeployment {
        service: name,
        image: section.image,
        namespace: section.namespace,
        env_process: section.fprocess,
        env_vars,
        constraints: section.constraints,
        secrets: section.secrets,
        labels: section.labels,
        annotations,
        limits: section.limits,
        requests: section.requests,
        read_only_root_filesystem: section.readonly_root_filesystem,
        registry_auth: String::new(),
        network: section.network,
    })
}

fn read_environment(file: &Path) -> Result<std::collections::BTreeMap<String, String>, StackError> {
    let source = Source { file };
    let environment: EnvironmentFile = source.yaml(&read_text(file)?)?;
    source.known(&environment.unknown, "an environment file")?;
    Ok(environment.environment)
}

fn read_text(file: &Path) -> Result<String, StackError> {
    std::fs::read_to_string(file).map_err(|error| StackError {
        file: file.to_owned(),
        line: None,
        reason: format!("cannot be read: {error}"),
    })
}

/// The file that is being read, for the words of errors.
struct Source<'file> {
    file: &'file Path,
}

impl Source<'_> {
    fn yaml<T: serde::de::DeserializeOwned>(&self, text: &str) -> Result<T, StackError> {
        serde_saphyr::from_str(text).map_err(|error| {
            let error = error.without_snippet();
            let reason = error.render_with_formatter(&serde_saphyr::UserMessageFormatter).replace('\n', " ");
            let Some(at) = error.location() else {
                return StackError { file: self.file.to_owned(), line: None, reason };
            };
            let position = format!(" at line {}, column {}", at.line(), at.column());
            self.error(at.line(), reason.strip_suffix(&position).unwrap_or(&reason).to_owned())
        })
    }

    fn known(&self, unknown: &[serde_saphyr::Spanned<String>], place: &str) -> Result<(), StackError> {
        let Some(key) = unknown.first() else { return Ok(()) };
        let reason = format!("unknown key {:?} of {place} (keys of your own begin with x-)", key.value);
        Err(self.error(key.referenced.line(), reason))
    }

    fn error(&self, line: u64, reason: String) -> StackError {
        StackError { file: self.file.to_owned(), line: Some(line), reason }
    }

    /// A folder that a function names.
    fn inside(&self, folder: &str) -> Result<PathBuf, String> {
        let found = self.folder().and_then(|parent| parent.join(folder).canonicalize());
        found.ok().filter(|path| path.is_dir()).ok_or_else(|| format!("folder {folder:?} does not exist"))
    }

    fn folder(&self) -> std::io::Result<PathBuf> {
        let parent = self.file.parent().filter(|parent| !parent.as_os_str().is_empty());
        parent.unwrap_or(Path::new(".")).canonicalize()
    }
}

struct Line(Option<u64>);

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(line) => write!(formatter, ":{line}"),
            None => Ok(()),
        }
    }
}
