//! The stack file and what it reads, as they were when this program was built.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf};

use super::{
    docker::{docker, docker_in, docker_with_input},
    engine::{Engine, Membership},
};
use crate::{
    args::SwarmUpArgs,
    failure::{Failure, Result},
};

const FILES: [(&str, &str); 5] = [
    ("docker-compose.yml", include_str!("../../../docker-compose.yml")),
    ("deploy/nats.conf", include_str!("../../../deploy/nats.conf")),
    ("deploy/prometheus.yml", include_str!("../../../deploy/prometheus.yml")),
    ("deploy/alerts.yml", include_str!("../../../deploy/alerts.yml")),
    ("deploy/alertmanager.yml", include_str!("../../../deploy/alertmanager.yml")),
];

pub(crate) const USER: &str = "admin";
pub(super) const SECRETS: [&str; 2] = ["basic-auth-user", "basic-auth-password"];

/// Which of the two secrets are not there yet.
pub(crate) async fn missing_secrets() -> Result<Vec<&'static str>> {
    let there = docker(&["secret", "ls", "--format", "{{.Name}}"]).await.map_err(failed)?;
    Ok(SECRETS.into_iter().filter(|secret| !there.lines().any(|name| name == *secret)).collect())
}

/// Creates the secrets; the password, if it is new.
pub(crate) async fn create_secrets(missing: &[&str]) -> Result<Option<String>> {
    let mut new = None;
    for secret in missing {
        let value = if *secret == "basic-auth-user" { USER.to_owned() } else { random_password()? };
        docker_with_input(&["secret", "create", secret, "-"], &value).await.map_err(failed)?;
        if *secret == "basic-auth-password" {
            new = Some(value);
        }
    }
    Ok(new)
}

fn random_password() -> Result<String> {
    use std::{fmt::Write, io::Read};
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes)).map_err(Failure::internal)?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// Deploys the stack: what is new is created, what has changed is updated.
pub(crate) async fn deploy(args: &SwarmUpArgs, engine: &Engine, swarm: &Membership) -> Result<()> {
    let folder = Folder::create()?;
    let variables = variables(args, engine, swarm).await;
    let arguments = ["stack", "deploy", "--prune", "--resolve-image", "never", "-c", "docker-compose.yml", &args.name];
    docker_in(&folder.0, &variables, &arguments).await.map_err(failed)?;
    Ok(())
}

/// What the stack file asks of its environment.
async fn variables(args: &SwarmUpArgs, engine: &Engine, swarm: &Membership) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("SKEP_IMAGE", args.image.clone()),
        ("SKEP_PORT", args.port.to_string()),
        ("SKEP_GATEWAYS", args.gateways.to_string()),
        ("SKEP_WORKERS", args.workers.to_string()),
        ("SKEP_PROMETHEUS", u8::from(!args.without_prometheus).to_string()),
    ];
    if swarm.managers > 1 {
        variables.push(("SKEP_NATS_CONSTRAINT", place_of_nats(&args.name, swarm).await));
    } else if let (true, Ok(socket)) = (engine.is_local, fs::metadata("/var/run/docker.sock")) {
        // The only manager is this machine, so the controller can do with the group that owns the socket.
        variables.push(("SKEP_CONTROLLER_USER", format!("65532:{}", socket.gid())));
    }
    variables
}

/// NATS stays where its volume is; at first that is this node.
async fn place_of_nats(stack: &str, swarm: &Membership) -> String {
    let format = "{{join .Spec.TaskTemplate.Placement.Constraints \",\"}}";
    match docker(&["service", "inspect", "--format", format, &format!("{stack}_nats")]).await {
        Ok(constraint) if !constraint.is_empty() => constraint,
        _ => format!("node.id == {}", swarm.node),
    }
}

/// A folder with the files, which goes when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn create() -> Result<Self> {
        let folder = Self(std::env::temp_dir().join(format!("skep-swarm-up-{}", std::process::id())));
        fs::create_dir_all(folder.0.join("deploy")).map_err(Failure::internal)?;
        for (name, text) in FILES {
            fs::write(folder.0.join(name), text).map_err(Failure::internal)?;
        }
        Ok(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It holds copies only.
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn failed(refused: super::docker::Refused) -> Failure {
    Failure::internal(anyhow::Error::msg(refused.0))
}
