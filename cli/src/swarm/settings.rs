//! What `skep swarm up` deploys: what it is asked for now, or was before, or what holds at first.
//!
//! The settings are kept as a label of the controller's service, so the next `skep swarm up` leaves alone what it is not asked for. While the stack is down and its volumes are kept, a config of Swarm has the label.

use std::{collections::BTreeMap, env, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use url::Url;

use super::docker::{Refused, docker, docker_with_input};
use crate::args::SwarmUpArgs;

/// The label; the stack file has it, too.
const LABEL: &str = "skep.settings";
/// What a config must have beside its label.
const KEPT: &str = "The label has the settings of the last skep swarm up.\n";
/// Variables of the stack file that are remembered as they are.
const VARIABLES: [&str; 7] = [
    "SKEP_CALLBACK_ALLOW",
    "SKEP_CONTROLLER_USER",
    "SKEP_NATS_CONSTRAINT",
    "SKEP_NATS_IMAGE",
    "SKEP_PROMETHEUS_IMAGE",
    "SKEP_ALERTMANAGER_IMAGE",
    "SKEP_GRAFANA_IMAGE",
];

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Settings {
    pub(crate) image: String,
    pub(crate) port: u16,
    pub(crate) gateways: u32,
    pub(crate) workers: u32,
    pub(crate) mqtt_port: Option<u16>,
    /// Where engines pull images that skep keeps itself.
    pub(crate) images_port: Option<u16>,
    pub(crate) images_bytes: Option<String>,
    pub(crate) images_keep: Option<String>,
    pub(crate) prometheus: bool,
    pub(crate) grafana: bool,
    pub(crate) grafana_port: Option<u16>,
    pub(crate) otlp_endpoint: Option<Url>,
    /// Three NATS servers instead of one.
    pub(crate) ha: bool,
    /// Which generation of users and passwords the roles have on NATS, and another one that NATS knows while they are rotated.
    pub(crate) login: u32,
    pub(crate) other_login: Option<u32>,
    /// The secret with the password of the admin API, once it was rotated.
    pub(crate) password_secret: Option<String>,
    /// Variables of the stack file that were set.
    pub(crate) variables: BTreeMap<String, String>,
    #[serde(skip)]
    pub(crate) now: Now,
}

/// What holds for this run alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Now {
    pub(crate) name: String,
    pub(crate) encrypt_networks: bool,
    pub(crate) init: bool,
    pub(crate) dry_run: bool,
    pub(crate) restore: Option<PathBuf>,
    pub(crate) without_secrets: bool,
    pub(crate) replace_node: Option<String>,
    /// Whether the roles stay away, because something is restored.
    pub(crate) without_roles: bool,
    pub(crate) wait: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            image: "skep/skep:latest".to_owned(),
            port: 8080,
            gateways: 1,
            workers: 1,
            mqtt_port: None,
            images_port: None,
            images_bytes: None,
            images_keep: None,
            prometheus: true,
            grafana: false,
            grafana_port: None,
            otlp_endpoint: None,
            ha: false,
            login: 1,
            other_login: None,
            password_secret: None,
            variables: BTreeMap::new(),
            now: Now::default(),
        }
    }
}

impl Settings {
    /// What is asked for, and else what holds already.
    #[expect(clippy::disallowed_methods, reason = "these are variables of the stack file, which reads them itself")]
    pub(crate) async fn of(args: &SwarmUpArgs) -> Self {
        let of_stack = Self::of_stack(&args.name).await;
        let before = if of_stack.is_some() { of_stack } else { Self::kept(&args.name).await };
        let mut settings = before.unwrap_or_default();
        settings.change(args, |variable| env::var(variable).ok());
        settings
    }

    /// What the stack was deployed with; `None` if there is none, or one that was deployed by hand.
    pub(crate) async fn of_stack(stack: &str) -> Option<Self> {
        Self::of_label("service", &format!("{stack}_controller")).await
    }

    /// What it was deployed with before it was taken down.
    pub(super) async fn kept(stack: &str) -> Option<Self> {
        Self::of_label("config", &kept_as(stack)).await
    }

    async fn of_label(kind: &str, name: &str) -> Option<Self> {
        let format = format!("{{{{index .Spec.Labels {LABEL:?}}}}}");
        let label = docker(&[kind, "inspect", "--format", &format, name]).await.ok()?;
        serde_json::from_str(&label).ok()
    }

    /// Keeps them while the stack is down.
    pub(super) async fn keep(&self, stack: &str) -> Result<(), Refused> {
        forget(stack).await;
        let label = format!("{LABEL}={}", self.label());
        docker_with_input(&["config", "create", "--label", &label, &kept_as(stack), "-"], KEPT).await.map(|_| ())
    }

    fn change(&mut self, args: &SwarmUpArgs, variable: impl Fn(&str) -> Option<String>) {
        if let Some(image) = &args.image {
            self.image.clone_from(image);
        }
        self.port = args.port.unwrap_or(self.port);
        self.gateways =
            args.gateways.unwrap_or(if args.ha == Some(true) { self.gateways.max(2) } else { self.gateways });
        self.workers = args.workers.unwrap_or(if args.ha == Some(true) { self.workers.max(2) } else { self.workers });
        self.mqtt_port = args.mqtt_port.or(self.mqtt_port).filter(|port| *port > 0);
        self.images_port = args.images_port.or(self.images_port).filter(|port| *port > 0);
        self.images_bytes = args.images.images_bytes.clone().or(self.images_bytes.take());
        self.images_keep = args.images.images_keep.clone().or(self.images_keep.take());
        self.prometheus = args.without_prometheus.map_or(self.prometheus, |without| !without);
        self.grafana = args.grafana.grafana.unwrap_or(self.grafana) && self.prometheus;
        let port = args.grafana.grafana_port.or(self.grafana_port);
        self.grafana_port = port.filter(|port| *port > 0 && self.grafana);
        if let Some(endpoint) = &args.otlp_endpoint {
            self.otlp_endpoint = (endpoint.as_str() != OFF).then(|| endpoint.parse().ok()).flatten();
        }
        self.ha = args.ha.unwrap_or(self.ha);
        for name in VARIABLES {
            if let Some(value) = variable(name) {
                self.variables.insert(name.to_owned(), value);
            }
        }
        self.now = Now {
            name: args.name.clone(),
            encrypt_networks: args.encrypt_networks,
            init: args.init,
            dry_run: args.dry_run,
            restore: args.restore.clone(),
            without_secrets: args.without_secrets,
            replace_node: args.replace_node.clone(),
            without_roles: args.restore.is_some(),
            wait: args.wait,
        };
    }

    /// As the label has it.
    pub(crate) fn label(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The config that has the settings of a stack that is down.
fn kept_as(stack: &str) -> String {
    format!("{stack}_settings")
}

/// What was kept is not needed any more; it is no error if nothing was.
pub(super) async fn forget(stack: &str) {
    let _ = docker(&["config", "rm", &kept_as(stack)]).await;
}

/// What takes an endpoint away.
pub(crate) const OFF: &str = "off";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command, SwarmCommand};

    fn args(text: &str) -> SwarmUpArgs {
        let all = ["skep", "swarm", "up"].into_iter().chain(text.split_whitespace());
        match Cli::parse_from(all).command {
            Command::Swarm(SwarmCommand::Up(args)) => args,
            other => panic!("{other:?}"),
        }
    }

    fn after(before: &Settings, text: &str) -> Settings {
        let mut settings: Settings = serde_json::from_str(&before.label()).unwrap();
        settings.change(&args(text), |_| None);
        settings
    }

    #[test]
    fn what_is_not_asked_for_stays_as_it_is() {
        let first = after(
            &Settings::default(),
            "--gateways 3 --workers 6 --without-prometheus --mqtt-port 1883 --otlp-endpoint http://collector:4318 \
             --images-port 5757 --images-bytes 20GiB --images-keep 12h",
        );
        let of_images = (first.images_bytes.as_deref(), first.images_keep.as_deref());
        assert_eq!((first.images_port, of_images), (Some(5757), (Some("20GiB"), Some("12h"))));
        assert_eq!((first.gateways, first.workers, first.prometheus, first.mqtt_port), (3, 6, false, Some(1883)));
        let second = after(&first, "--image registry:5000/skep:2");
        assert_eq!(second, Settings { image: "registry:5000/skep:2".to_owned(), ..first });
    }

    #[test]
    fn what_was_asked_for_can_be_taken_back() {
        let first = after(
            &Settings::default(),
            "--grafana --grafana-port 3000 --mqtt-port 1883 --images-port 5757 --otlp-endpoint http://c:1",
        );
        let second = after(&first, "--grafana=false --mqtt-port 0 --images-port 0 --otlp-endpoint off");
        assert_eq!(second, Settings { now: second.now.clone(), ..Settings::default() });
        let without = after(&Settings::default(), "--without-prometheus");
        assert!(after(&without, "--without-prometheus=false").prometheus);
    }

    #[test]
    fn variables_of_the_stack_file_are_remembered() {
        let mut settings = Settings::default();
        settings.change(&args(""), |name| (name == "SKEP_CALLBACK_ALLOW").then(|| "hooks.lan".to_owned()));
        assert_eq!(after(&settings, "").variables["SKEP_CALLBACK_ALLOW"], "hooks.lan");
    }

    #[test]
    fn two_of_each_are_what_high_availability_needs() {
        let settings = after(&Settings::default(), "--ha");
        assert!(settings.ha && (settings.gateways, settings.workers) == (2, 2));
        assert!(!after(&settings, "--ha=false").ha);
    }
}
