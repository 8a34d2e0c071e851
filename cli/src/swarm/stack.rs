//! Deploys the stack: its secrets, its settings, and what is new or has changed.

use std::{fs, os::unix::fs::MetadataExt};

use super::{
    docker::{docker, docker_in, docker_with_input},
    engine::{Engine, Membership},
    files::{Folder, stack_files},
    ha,
    logins::{self, Logins},
    mqtt,
    settings::Settings,
};
use crate::{
    failure::{Failure, Result},
    password::{self, PASSWORD_FILE, USER, USER_FILE},
    seal,
};

/// What secrets of event sources are sealed with.
pub(super) const SEAL_KEY: &str = "skep-seal-key";
/// What a stack needs beside the passwords of roles on NATS.
pub(crate) const SECRETS: [&str; 3] = [USER_FILE, PASSWORD_FILE, SEAL_KEY];
/// What the names of passwords on NATS begin with.
const NATS: &str = "nats-";

/// The password of Grafana's user.
pub(crate) const GRAFANA_SECRET: &str = "grafana-password";

/// Passwords that were made now.
#[derive(Default)]
pub(crate) struct NewPasswords {
    /// Of people who use the admin API.
    pub(crate) people: Option<String>,
    pub(crate) grafana: Option<String>,
    /// Of devices that speak MQTT.
    pub(crate) devices: Option<String>,
}

/// Those of Grafana, of MQTT and of several servers, which a stack may do without.
pub(crate) const OPTIONAL_SECRETS: [&str; 3] = [GRAFANA_SECRET, mqtt::SECRET, ha::SECRET];

/// The secrets that a stack with these settings needs.
pub(crate) fn secrets(settings: &Settings) -> Vec<String> {
    let optional = [settings.grafana, settings.mqtt_port.is_some(), settings.ha].into_iter().zip(OPTIONAL_SECRETS);
    let needed = SECRETS.into_iter().filter(|secret| *secret != PASSWORD_FILE || settings.password_secret.is_none());
    let needed = needed.chain(optional.filter_map(|(is_wanted, secret)| is_wanted.then_some(secret)));
    needed.map(str::to_owned).chain(Logins::of(settings).secrets()).collect()
}

/// What all roles shared before each had a user of its own.
pub(crate) const FORMER_SECRET: &str = "nats-user-password";

/// Which of the secrets are not there yet.
pub(crate) async fn missing_secrets(settings: &Settings) -> Result<Vec<String>> {
    let there = docker(&["secret", "ls", "--format", "{{.Name}}"]).await.map_err(failed)?;
    Ok(secrets(settings).into_iter().filter(|secret| !there.lines().any(|name| name == secret)).collect())
}

/// Creates the secrets; returns the passwords that are new.
pub(crate) async fn create_secrets(missing: &[String]) -> Result<NewPasswords> {
    let mut new = NewPasswords::default();
    for secret in missing {
        let value = match secret.as_str() {
            PASSWORD_FILE => new.people.insert(password::random().map_err(Failure::internal)?).clone(),
            mqtt::SECRET => {
                let password = format!("s{}", password::random().map_err(Failure::internal)?);
                format!("{}:{}", mqtt::USER, new.devices.insert(password))
            }
            ha::SECRET => ha::routes(&format!("s{}", password::random().map_err(Failure::internal)?)),
            GRAFANA_SECRET => new.grafana.insert(password::random().map_err(Failure::internal)?).clone(),
            SEAL_KEY => seal::new_key()?,
            // A password that begins with a digit could be a number to NATS.
            name => match name.strip_prefix(NATS) {
                Some(login) => format!("skep-{login}:s{}", password::random().map_err(Failure::internal)?),
                None => USER.to_owned(),
            },
        };
        docker_with_input(&["secret", "create", secret, "-"], &value).await.map_err(failed)?;
    }
    Ok(new)
}

/// Whether a secret is a password of the roles on NATS, of any generation.
pub(crate) fn is_login(secret: &str) -> bool {
    let is_of = |name: &&str| {
        let rest = secret.strip_prefix(NATS).and_then(|rest| rest.strip_prefix(name));
        rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('-').is_some_and(|n| n.parse::<u32>().is_ok()))
    };
    logins::NAMES.iter().any(is_of)
}

/// Deploys the stack, or one of its services: what is new is created, what has changed is updated.
pub(crate) async fn deploy(
    settings: &Settings,
    (engine, swarm): (&Engine, &Membership),
    only: Option<&str>,
) -> Result<()> {
    let folder = Folder::create(settings, only)?;
    let variables = variables(settings, engine, swarm).await;
    let files = stack_files(settings).into_iter().flat_map(|file| ["-c", file]);
    let deploy = ["stack", "deploy", "--resolve-image", "never"];
    // With a single one, all others would go.
    let prune = only.is_none().then_some("--prune");
    let arguments = deploy.into_iter().chain(prune).chain(files).chain([settings.now.name.as_str()]);
    let arguments: Vec<&str> = arguments.collect();
    docker_in(&folder.0, &variables, &arguments).await.map_err(failed)?;
    Ok(())
}

/// What the stack file asks of its environment.
async fn variables(settings: &Settings, engine: &Engine, swarm: &Membership) -> Vec<(String, String)> {
    let of_role = |count: u32| if settings.now.without_roles { 0 } else { count }.to_string();
    let mut variables = vec![
        ("SKEP_SETTINGS", settings.label()),
        ("SKEP_IMAGE_ID", image_id(&settings.image).await),
        ("SKEP_IMAGE", settings.image.clone()),
        ("SKEP_PORT", settings.port.to_string()),
        ("SKEP_GATEWAYS", of_role(settings.gateways)),
        ("SKEP_WORKERS", of_role(settings.workers)),
        ("SKEP_NATS", u8::from(!settings.ha).to_string()),
        ("SKEP_CONTROLLERS", of_role(if settings.ha { swarm.managers.min(2) } else { 1 })),
        ("SKEP_PROMETHEUS", u8::from(settings.prometheus).to_string()),
    ];
    if let Some(port) = settings.grafana_port {
        variables.push(("SKEP_GRAFANA_PORT", port.to_string()));
    }
    if let Some(port) = settings.images_port {
        variables.push(("SKEP_IMAGES_PORT", port.to_string()));
    }
    if let Some(bytes) = &settings.images_bytes {
        variables.push(("SKEP_IMAGES_BYTES", bytes.clone()));
    }
    if let Some(time) = &settings.images_keep {
        variables.push(("SKEP_IMAGES_KEEP", time.clone()));
    }
    if let Some(secret) = &settings.password_secret {
        variables.push(("SKEP_PASSWORD_SECRET", secret.clone()));
    }
    if let Some(endpoint) = &settings.otlp_endpoint {
        variables.push(("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.to_string()));
    }
    if swarm.managers > 1 {
        variables.push(("SKEP_NATS_CONSTRAINT", place_of_nats(&settings.now.name, swarm).await));
    } else if let (true, Ok(socket)) = (engine.is_local, fs::metadata("/var/run/docker.sock")) {
        // The only manager is this machine, so the controller can do with the group that owns the socket.
        variables.push(("SKEP_CONTROLLER_USER", format!("65532:{}", socket.gid())));
    }
    let given = &settings.variables;
    variables.retain(|(name, _)| !given.contains_key(*name));
    let mut variables: Vec<_> = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    variables.extend(given.clone());
    variables
}

/// The image that this engine has by now under the name, so that the roles are updated when it is another one; empty if it has none.
async fn image_id(image: &str) -> String {
    docker(&["image", "inspect", "--format", "{{.Id}}", image]).await.unwrap_or_default()
}

/// NATS stays where its volume is; at first that is this node.
async fn place_of_nats(stack: &str, swarm: &Membership) -> String {
    let format = "{{join .Spec.TaskTemplate.Placement.Constraints \",\"}}";
    match docker(&["service", "inspect", "--format", format, &format!("{stack}_nats")]).await {
        Ok(constraint) if !constraint.is_empty() => constraint,
        _ => format!("node.id == {}", swarm.node),
    }
}

pub(crate) fn failed(refused: super::docker::Refused) -> Failure {
    Failure::internal(anyhow::Error::msg(refused.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_roles_are_told_from_other_secrets_by_their_names() {
        for secret in ["nats-gateway", "nats-queue-worker", "nats-controller-2", "nats-operator-12"] {
            assert!(is_login(secret), "{secret}");
        }
        for other in ["nats-routes", "nats-mqtt", "nats-gateway-of-mine", "basic-auth-password-2", "skep-seal-key"] {
            assert!(!is_login(other), "{other}");
        }
    }

    #[test]
    fn a_stack_needs_the_passwords_that_its_nats_knows() {
        let rotating = Settings { login: 2, other_login: Some(3), ha: true, ..Settings::default() };
        let needed = secrets(&rotating);
        for secret in ["basic-auth-password", "skep-seal-key", "nats-routes", "nats-gateway-2", "nats-operator-3"] {
            assert!(needed.iter().any(|one| one == secret), "{secret}");
        }
        assert!(!needed.iter().any(|one| one == "nats-gateway"), "{needed:?}");
    }
}
