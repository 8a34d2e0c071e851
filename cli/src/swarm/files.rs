//! The stack file and what it reads, as they were when this program was built.

use std::{fs, path::PathBuf};

use skep_protocol::Subjects;

use super::{logins::Logins, mqtt, settings::Settings, stages};
use crate::failure::{Failure, Result};

/// The stack itself; the others add to it.
const STACK: &str = "docker-compose.yml";
const NATS_SETTINGS: &str = "deploy/nats-stack.conf";
const GRAFANA: &str = "deploy/grafana/stack.yml";
const GRAFANA_PORT: &str = "deploy/grafana/port.yml";
const HA: &str = "deploy/ha.yml";
const OTLP: &str = "deploy/otlp.yml";
const IMAGES: &str = "deploy/images.yml";

macro_rules! files {
    ($($name:literal),+ $(,)?) => { [$(($name, include_str!(concat!("../../../", $name)))),+] };
}

const FILES: [(&str, &str); 19] = files![
    "docker-compose.yml",
    "deploy/nats.conf",
    "deploy/nats-stack.conf",
    "deploy/nats-ha.conf",
    "deploy/ha.yml",
    "deploy/images.yml",
    "deploy/prometheus.yml",
    "deploy/alerts.yml",
    "deploy/rules/skep.yml",
    "deploy/alertmanager.yml",
    "deploy/otlp.yml",
    "deploy/grafana/stack.yml",
    "deploy/grafana/port.yml",
    "deploy/grafana/datasource.yml",
    "deploy/grafana/dashboards.yml",
    "deploy/grafana/dashboards/skep-overview.json",
    "deploy/grafana/dashboards/skep-function.json",
    "deploy/grafana/dashboards/skep-queue.json",
    "deploy/grafana/dashboards/skep-platform.json",
];

/// The stack files that the settings ask for, in the order in which each adds to the ones before.
pub(super) fn stack_files(settings: &Settings) -> Vec<&'static str> {
    let further = [
        (HA, settings.ha),
        (GRAFANA, settings.grafana),
        (GRAFANA_PORT, settings.grafana_port.is_some()),
        (OTLP, settings.otlp_endpoint.is_some()),
        (IMAGES, settings.images_port.is_some()),
    ];
    let further = further.into_iter().filter(|(_, is_wanted)| *is_wanted).map(|(file, _)| file);
    [STACK].into_iter().chain(further).collect()
}

/// A folder with the files, which goes when it is dropped.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    /// With all services, or with one of them alone.
    pub(super) fn create(settings: &Settings, only: Option<&str>) -> Result<Self> {
        let folder = Self(std::env::temp_dir().join(format!("skep-swarm-up-{}", std::process::id())));
        for (name, text) in FILES {
            let file = folder.0.join(name);
            file.parent().map_or(Ok(()), fs::create_dir_all).map_err(Failure::internal)?;
            let text = wanted(name, text, settings);
            let text = only.filter(|_| name.ends_with(".yml")).map_or(text.clone(), |only| stages::only(&text, only));
            fs::write(file, text).map_err(Failure::internal)?;
        }
        Ok(folder)
    }
}

/// A file as the settings ask for it.
fn wanted(name: &str, text: &str, settings: &Settings) -> String {
    let text = match (name, settings.mqtt_port) {
        (STACK, Some(port)) => mqtt::stack_file(text, port),
        (NATS_SETTINGS, Some(_)) => mqtt::nats_settings(text, &Subjects::default()),
        (_, _) => text.to_owned(),
    };
    let logins = Logins::of(settings);
    let text = match name {
        STACK | HA => logins.stack_file(&text),
        NATS_SETTINGS => logins.nats_settings(&text),
        _ => text,
    };
    if settings.now.encrypt_networks { with_encryption(&text) } else { text }
}

/// A stack file with all of its networks encrypted.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_is_encrypted_if_that_is_wanted() {
        for (name, text) in FILES {
            let networks = text.matches("driver: overlay").count();
            let expected = match name {
                STACK => 2,
                GRAFANA_PORT => 1,
                _ => 0,
            };
            assert_eq!(networks, expected, "{name}");
            let encrypted = with_encryption(text);
            assert_eq!(encrypted.matches("encrypted: \"true\"").count(), expected, "{name}");
            assert!(expected > 0 || encrypted == text, "{name}");
        }
    }
}
