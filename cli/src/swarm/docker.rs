//! The `docker` program: it knows contexts, TLS and stack files, so skep asks it rather than an engine.

use std::{fmt::Display, path::Path, process::Stdio, time::Duration};

use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

/// Nothing that is asked of it takes this long.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a command did not do what it should, in the words of `docker`.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) String);

impl Display for Refused {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Runs `docker` and returns what it printed, without white space around it.
pub(crate) async fn docker(arguments: &[&str]) -> Result<String, Refused> {
    finish(command(arguments), None).await
}

/// As `docker`, with text for its STDIN.
pub(crate) async fn docker_with_input(arguments: &[&str], input: &str) -> Result<String, Refused> {
    finish(command(arguments), Some(input)).await
}

/// Runs `docker` in a folder, with variables.
pub(crate) async fn docker_in(
    folder: &Path,
    variables: &[(&str, String)],
    arguments: &[&str],
) -> Result<String, Refused> {
    let mut docker = command(arguments);
    docker.current_dir(folder).envs(variables.iter().map(|(name, value)| (name, value)));
    finish(docker, None).await
}

fn command(arguments: &[&str]) -> Command {
    let mut docker = Command::new("docker");
    docker.args(arguments).kill_on_drop(true).stdout(Stdio::piped()).stderr(Stdio::piped());
    docker
}

async fn finish(mut docker: Command, input: Option<&str>) -> Result<String, Refused> {
    docker.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let run = async {
        let mut child = docker.spawn()?;
        if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
            stdin.write_all(input.as_bytes()).await?;
        }
        child.wait_with_output().await
    };
    let output = match timeout(COMMAND_TIMEOUT, run).await {
        Err(_) => return Err(Refused(format!("docker did not answer within {} s", COMMAND_TIMEOUT.as_secs()))),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Refused("the program docker is not on PATH".to_owned()));
        }
        Ok(Err(error)) => return Err(Refused(format!("docker cannot be run: {error}"))),
        Ok(Ok(output)) => output,
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(Refused(text(&output.stderr))) }
}
