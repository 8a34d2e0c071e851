//! The stack file and what it reads, as they were when this program was built.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf};

use super::{
    docker::{docker, docker_in, docker_with_input},
    engine::{Engine, Membership},
};
use crate::{
    args::SwarmUpArgs,
    failure::{Failure, Result},
    password::{self, PASSWORD_FILE, USER, USER_FILE},
    seal,
};

const FILES: [(&str, &str); 6] = [
    ("docker-compose.yml", include_str!("../../../docker-compose.yml")),
    ("deploy/nats.conf", include_str!("../../../deploy/nats.conf")),
    ("deploy/nats-stack.conf", include_str!("../../../deploy/nats-stack.conf")),
    ("deploy/prometheus.yml", include_str!("../../../deploy/prometheus.yml")),
    ("deploy/alerts.yml", include_str!("../../../deploy/alerts.yml")),
    ("deploy/alertmanager.yml", include_str!("../../../deploy/alertmanager.yml")),
];

/// The user and the password on NATS of each role, `nats-ROLE`.
const NATS: [&str; 3] = ["nats-gateway", "nats-queue-worker", "nats-controller"];
/// What secrets of event sources are sealed with.
const SEAL_KEY: &str = "skep-seal-key";
pub(crate) const SECRETS: [&str; 6] = [USER_FILE, PASSWORD_FILE, NATS[0], NATS[1], NATS[2], SEAL_KEY];

/// What all roles shared before each had a user of its own.
pub(crate) const FORMER_SECRET: &str = "nats-user-password";

/// Which of the secrets are not there yet.
pub(crate) async fn missing_secrets() -> Result<Vec<&'static str>> {
    let there = docker(&["secret", "ls", "--format", "{{.Name}}"]).await.map_err(failed)?;
    Ok(SECRETS.into_iter().filter(|secret| !there.lines().any(|name| name == *secret)).collect())
}

/// Creates the secrets; returns the password of people, if it is new.
pub(crate) async fn create_secrets(missing: &[&str]) -> Result<Option<String>> {
    let mut new = None;
    for secret in missing {
        let value = match *secret {
            PASSWORD_FILE => new.insert(password::random().map_err(Failure::internal)?).clone(),
            // A password that begins with a digit could be a number to NATS.
            nats if NATS.contains(&nats) => {
                let role = nats.trim_start_matches("nats-");
                format!("skep-{role}:s{}", password::random().map_err(Failure::internal)?)
            }
            SEAL_KEY => seal::new_key()?,
            _ => USER.to_owned(),
        };
        docker_with_input(&["secret", "create", secret, "-"], &value).await.map_err(failed)?;
    }
    Ok(new)
}

/// Deploys the stack: what is new is created, what has changed is updated.
pub(crate) async fn deploy(args: &SwarmUpArgs, engine: &Engine, swarm: &Membership) -> Result<()> {
    let folder = Folder::create(args.encrypt_networks)?;
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
    fn create(encrypt_networks: bool) -> Result<Self> {
        let folder = Self(std::env::temp_dir().join(format!("skep-swarm-up-{}", std::process::id())));
        fs::create_dir_all(folder.0.join("deploy")).map_err(Failure::internal)?;
        for (name, text) in FILES {
            let text = if encrypt_networks { with_encryption(text) } else { text.to_owned() };
            fs::write(folder.0.join(name), text).map_err(Failure::internal)?;
        }
        Ok(folder)
    }
}

/// The stack file with all of its networks encrypted.
fn with_encryption(file: &str) -> String {
    const OVERLAY: &str = "    driver: overlay\n";
    file.replace(OVERLAY, &format!("{OVERLAY}    driver_opts: {{ encrypted: \"true\" }}\n"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_is_encrypted_if_that_is_wanted() {
        let [(_, stack), others @ ..] = FILES;
        let networks = stack.matches("driver: overlay").count();
        assert_eq!((networks, with_encryption(stack).matches("encrypted: \"true\"").count()), (2, 2));
        for (name, text) in others {
            assert_eq!(with_encryption(text), text, "{name}");
        }
    }
}
