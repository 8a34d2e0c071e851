//! Whether a function's command can be started here.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use skep_protocol::{FunctionDeployment, FunctionName, WORKDIR};

use crate::{Error, Result};

/// Checks the command and the folder it runs in; `environment` is what every function inherits.
pub fn check(
    name: &FunctionName,
    deployment: &FunctionDeployment,
    workdir: &Path,
    environment: &BTreeMap<String, String>,
) -> Result<()> {
    if let Some(folder) = deployment.annotations.get(WORKDIR) {
        check_workdir(name, folder)?;
    }
    if serves_files(deployment) {
        return Ok(());
    }
    let program = program_of(name, deployment)?;
    let search = deployment.env_vars.get("PATH").or_else(|| environment.get("PATH"));
    find(&program, workdir, search).map_err(|reason| Error::Invalid(format!("function {name}: {reason}")))
}

/// Whether the watchdog itself answers, from files.
fn serves_files(deployment: &FunctionDeployment) -> bool {
    deployment.env_process.is_empty()
        && deployment.image.is_empty()
        && deployment.env_vars.get("mode").is_some_and(|mode| mode == "static")
}

/// Why a program cannot be found, if so.
pub(super) fn find(program: &str, workdir: &Path, search: Option<&String>) -> Result<(), String> {
    if program.contains('/') {
        let path = workdir.join(program);
        if is_executable(&path) {
            return Ok(());
        }
        return Err(format!("program {program:?} is not an executable file at {}", path.display()));
    }
    let mut folders = search.map(String::as_str).unwrap_or_default().split(':');
    // An empty folder in PATH is the working folder.
    if folders.any(|folder| is_executable(&workdir.join(folder).join(program))) {
        return Ok(());
    }
    Err(format!("program {program:?} was not found on PATH; for a file in the working folder write ./{program}"))
}

fn check_workdir(name: &FunctionName, folder: &str) -> Result<()> {
    let path = PathBuf::from(folder);
    if !path.is_absolute() {
        return Err(Error::Invalid(format!(
            "function {name}: annotation {WORKDIR} {folder:?} is not an absolute path"
        )));
    }
    if !path.is_dir() {
        return Err(Error::Invalid(format!(
            "function {name}: folder {folder:?} of annotation {WORKDIR} does not exist"
        )));
    }
    Ok(())
}

fn program_of(name: &FunctionName, deployment: &FunctionDeployment) -> Result<String> {
    let command = &deployment.env_process;
    if command.trim().is_empty() {
        return Err(Error::Invalid(if deployment.image.is_empty() {
            format!("function {name} has no command: set fprocess (envProcess)")
        } else {
            format!(
                "function {name} has an image but no command: the local provider runs commands, not images; \
                 set fprocess (envProcess), or deploy to a Swarm"
            )
        }));
    }
    let words = shlex::split(command).filter(|_| !command.contains('\0'));
    match words.and_then(|words| words.into_iter().next()) {
        Some(program) if !program.is_empty() => Ok(program),
        _ => Err(Error::Invalid(format!(
            "function {name}: command {command:?} cannot be split into words: look for an open quote"
        ))),
    }
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(command: &str, image: &str, workdir: Option<&str>) -> String {
        let mut deployment = FunctionDeployment {
            env_process: command.to_owned(),
            image: image.to_owned(),
            ..FunctionDeployment::default()
        };
        if let Some(workdir) = workdir {
            deployment.annotations.insert(WORKDIR.to_owned(), workdir.to_owned());
        }
        let environment = [("PATH".to_owned(), "/nowhere:/usr/bin:/bin".to_owned())].into();
        let folder = Path::new(workdir.unwrap_or("/nowhere"));
        let checked = check(&"f".parse().unwrap(), &deployment, folder, &environment);
        checked.map_or_else(|error| error.to_string(), |()| "good".to_owned())
    }

    #[test]
    fn commands_are_found_on_path_and_in_the_working_folder() {
        assert_eq!(reason("cat", "", None), "good");
        assert_eq!(reason("sh -c 'exit 1'", "an/image:1", None), "good");
        assert_eq!(reason("./sh", "", Some("/bin")), "good");
        assert_eq!(reason("/bin/cat", "", None), "good");
    }

    #[test]
    fn what_cannot_be_started_is_named() {
        assert_eq!(reason("", "", None), "function f has no command: set fprocess (envProcess)");
        assert!(reason(" ", "an/image", None).starts_with("function f has an image but no command: the local"));
        assert!(reason("sh -c 'open", "", None).contains("open quote"));
        assert!(reason("''", "", None).contains("cannot be split"));
        assert!(reason("no-such-program-here", "", None).contains("was not found on PATH"));
        assert!(reason("./passwd", "", Some("/etc")).contains("not an executable file at /etc/./passwd"));
        assert!(reason("cat", "", Some("bin")).contains("not an absolute path"));
        assert!(reason("cat", "", Some("/no/such/folder")).contains("does not exist"));
    }
}
