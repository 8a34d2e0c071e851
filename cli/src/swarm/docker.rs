//! The `docker` program: it knows contexts, TLS and stack files, so skep asks it rather than an engine.

use std::{
    fmt::Display,
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

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

/// As `docker`, with what it printed to STDERR behind that; the logs of a service are on both.
pub(crate) async fn docker_with_errors(arguments: &[&str]) -> Result<String, Refused> {
    let output = output_of(command(arguments), None).await?;
    let text = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&text).trim().to_owned())
}

/// As `docker`, for what takes long.
pub(crate) async fn docker_within(arguments: &[&str], patience: Duration) -> Result<String, Refused> {
    said(&output_within(command(arguments), None, patience).await?)
}

/// As `docker`, with text for its STDIN.
pub(crate) async fn docker_with_input(arguments: &[&str], input: &str) -> Result<String, Refused> {
    finish(command(arguments), Some(input)).await
}

/// Runs `docker` in a folder, with variables.
pub(crate) async fn docker_in(
    folder: &Path,
    variables: &[(String, String)],
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

async fn finish(docker: Command, input: Option<&str>) -> Result<String, Refused> {
    said(&output_of(docker, input).await?)
}

fn said(output: &Output) -> Result<String, Refused> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(Refused(text(&output.stderr))) }
}

async fn output_of(docker: Command, input: Option<&str>) -> Result<Output, Refused> {
    output_within(docker, input, COMMAND_TIMEOUT).await
}

async fn output_within(mut docker: Command, input: Option<&str>, patience: Duration) -> Result<Output, Refused> {
    docker.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let run = async {
        let mut child = docker.spawn()?;
        if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
            stdin.write_all(input.as_bytes()).await?;
        }
        child.wait_with_output().await
    };
    match timeout(patience, run).await {
        Err(_) => Err(Refused(format!("docker did not answer within {} s", patience.as_secs()))),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Refused("the program docker is not on PATH".to_owned()))
        }
        Ok(Err(error)) => Err(Refused(format!("docker cannot be run: {error}"))),
        Ok(Ok(output)) => Ok(output),
    }
}
