//! In which settings two deployments of one function differ.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{FunctionDeployment, Resources};

/// One setting that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingChange {
    /// The setting, such as `command` or `annotation skep.timeout`.
    pub setting: String,
    /// The value that is deployed, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The value that is wanted, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// What stands for the value of a variable, which may be a secret.
const HIDDEN: &str = "***";

/// The settings in which two deployments of one function differ. Values of environment variables are hidden.
pub fn changes(wanted: &FunctionDeployment, deployed: &FunctionDeployment) -> Vec<SettingChange> {
    let mut changes = Changes::default();
    changes.text("command", &deployed.env_process, &wanted.env_process);
    changes.text("image", &deployed.image, &wanted.image);
    changes.text("network", &deployed.network, &wanted.network);
    changes.map("environment", &deployed.env_vars, &wanted.env_vars, true);
    changes.map("label", &deployed.labels, &wanted.labels, false);
    changes.map("annotation", &deployed.annotations, &wanted.annotations, false);
    changes.text("secrets", &deployed.secrets.join(", "), &wanted.secrets.join(", "));
    changes.text("constraints", &deployed.constraints.join(", "), &wanted.constraints.join(", "));
    changes.text("limits", &resources(deployed.limits.as_ref()), &resources(wanted.limits.as_ref()));
    changes.text("requests", &resources(deployed.requests.as_ref()), &resources(wanted.requests.as_ref()));
    let read_only = |deployment: &FunctionDeployment| if deployment.read_only_root_filesystem { "true" } else { "" };
    changes.text("readonly_root_filesystem", read_only(deployed), read_only(wanted));
    changes.0
}

#[derive(Default)]
struct Changes(Vec<SettingChange>);

impl Changes {
    /// A value; an empty text is none.
    fn text(&mut self, setting: &str, from: &str, to: &str) {
        let value = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        if from != to {
            self.0.push(SettingChange { setting: setting.to_owned(), from: value(from), to: value(to) });
        }
    }

    fn map(&mut self, kind: &str, from: &BTreeMap<String, String>, to: &BTreeMap<String, String>, hidden: bool) {
        let names: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
        for name in names {
            let (from, to) = (from.get(name), to.get(name));
            if from != to {
                let shown = |value: &String| if hidden { HIDDEN.to_owned() } else { value.clone() };
                let setting = format!("{kind} {name}");
                self.0.push(SettingChange { setting, from: from.map(shown), to: to.map(shown) });
            }
        }
    }
}

fn resources(resources: Option<&Resources>) -> String {
    let all = resources.into_iter().flatten();
    let given = all.filter_map(|(name, value)| value.as_ref().map(|value| format!("{name} {value}")));
    given.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_that_differs_is_named_and_no_variable_is_shown() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let deployed = FunctionDeployment {
            env_process: "cat".to_owned(),
            env_vars: map(&[("KEY", "secret-1"), ("OLD", "x")]),
            annotations: map(&[("a", "1"), ("b", "1")]),
            ..FunctionDeployment::default()
        };
        let wanted = FunctionDeployment {
            env_process: "tac".to_owned(),
            env_vars: map(&[("KEY", "secret-2")]),
            annotations: map(&[("a", "2"), ("b", "1")]),
            secrets: vec!["key".to_owned()],
            limits: Some([("memory".to_owned(), Some("1Gi".to_owned())), ("cpu".to_owned(), None)].into()),
            read_only_root_filesystem: true,
            ..FunctionDeployment::default()
        };
        let found: Vec<String> = changes(&wanted, &deployed)
            .into_iter()
            .map(|one| format!("{}: {} > {}", one.setting, one.from.unwrap_or_default(), one.to.unwrap_or_default()))
            .collect();
        let expected = [
            "command: cat > tac",
            "environment KEY: *** > ***",
            "environment OLD: *** > ",
            "annotation a: 1 > 2",
            "secrets:  > key",
            "limits:  > memory 1Gi",
            "readonly_root_filesystem:  > true",
        ];
        assert_eq!(found, expected);
        assert!(changes(&deployed, &deployed).is_empty());
    }
}
