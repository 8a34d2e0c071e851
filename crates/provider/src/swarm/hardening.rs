//! What a function's container may not do, whatever its image.

use std::collections::HashMap;

use bollard::models::{TaskSpecContainerSpecPrivileges, TaskSpecLogDriver};
use skep_protocol::FunctionDeployment;

/// The annotation that gives back individual capabilities, such as `NET_RAW,NET_BIND_SERVICE`.
const CAPABILITIES: &str = "skep.capabilities";
/// The annotation that says which user of the image may read the secrets: `UID` or `UID:GID`.
const SECRETS_OWNER: &str = "skep.secrets.owner";
const FOR_ALL: u32 = 0o444;
const FOR_OWNER: u32 = 0o400;
/// How much of a container's log is kept: the size and number of the newest files.
const LOG_FILES: [(&str, &str); 2] = [("max-size", "10m"), ("max-file", "3")];

/// Settings for the containers of all functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hardening {
    /// How many processes and threads a container may have.
    pub processes: i64,
    /// The capabilities that functions may ask for.
    pub capabilities: Vec<String>,
}

impl Hardening {
    /// The capabilities that a function gets back, by their Docker names; an error if it asks for one that is not allowed.
    pub(super) fn capabilities_of(&self, deployment: &FunctionDeployment) -> Result<Vec<String>, String> {
        let asked = deployment.annotations.get(CAPABILITIES).map(String::as_str).unwrap_or_default();
        let asked = asked.split(',').map(plain).filter(|name| !name.is_empty());
        asked.map(|name| self.allowed(&name)).collect()
    }

    fn allowed(&self, name: &str) -> Result<String, String> {
        if self.capabilities.iter().any(|allowed| plain(allowed) == name) {
            return Ok(format!("CAP_{name}"));
        }
        Err(format!(
            "annotation {CAPABILITIES}: capability {name} is not allowed here; \
             the controller allows it with --function-capabilities {name}"
        ))
    }

    /// Changes when the containers must be replaced.
    pub(super) fn fingerprint(&self) -> String {
        format!("hardened 1 {}", self.processes)
    }
}

fn plain(name: &str) -> String {
    let name = name.trim().to_uppercase();
    name.strip_prefix("CAP_").map(str::to_owned).unwrap_or(name)
}

pub(super) fn none() -> Vec<String> {
    vec!["ALL".to_owned()]
}

/// Engines before version 27 do not know it and ignore it.
pub(super) fn no_new_privileges() -> TaskSpecContainerSpecPrivileges {
    TaskSpecContainerSpecPrivileges { no_new_privileges: Some(true), ..Default::default() }
}

pub(super) fn bounded_log() -> TaskSpecLogDriver {
    let options: HashMap<String, String> =
        LOG_FILES.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    TaskSpecLogDriver { name: Some("json-file".to_owned()), options: Some(options) }
}

/// Who owns the files of a function's secrets, and who can read them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SecretsOwner {
    pub(super) user: String,
    pub(super) group: String,
    pub(super) mode: u32,
}

impl SecretsOwner {
    /// Without the annotation all users in the container can read them, because the image's user is not known.
    pub(super) fn of(deployment: &FunctionDeployment) -> Result<Self, String> {
        let Some(asked) = deployment.annotations.get(SECRETS_OWNER) else {
            return Ok(Self { user: "0".to_owned(), group: "0".to_owned(), mode: FOR_ALL });
        };
        let (user, group) = asked.split_once(':').unwrap_or((asked, "0"));
        let numbers = [user, group].map(|text| text.trim().parse::<u32>());
        let [Ok(user), Ok(group)] = numbers else {
            return Err(format!(
                "annotation {SECRETS_OWNER}: {asked:?} must be UID or UID:GID in numbers, such as 1000:1000"
            ));
        };
        Ok(Self { user: user.to_string(), group: group.to_string(), mode: FOR_OWNER })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_capabilities_that_the_controller_allows_come_back() {
        let hardening = Hardening { processes: 1, capabilities: vec!["cap_net_raw".to_owned(), "CHOWN".to_owned()] };
        let ask = |text: &str| {
            let annotations = [(CAPABILITIES.to_owned(), text.to_owned())].into();
            hardening.capabilities_of(&FunctionDeployment { annotations, ..Default::default() })
        };
        assert_eq!(ask("").unwrap(), Vec::<String>::new());
        assert_eq!(ask("NET_RAW, cap_chown").unwrap(), ["CAP_NET_RAW", "CAP_CHOWN"]);
        assert!(ask("NET_RAW,SYS_ADMIN").unwrap_err().contains("--function-capabilities SYS_ADMIN"));
        assert!(ask("ALL").is_err());
    }

    #[test]
    fn secrets_are_for_the_user_that_the_deployment_names() {
        let owner = |annotations: &[(&str, &str)]| {
            let annotations =
                annotations.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let owner = SecretsOwner::of(&FunctionDeployment { annotations, ..Default::default() });
            owner.map(|SecretsOwner { user, group, mode }| format!("{user}:{group} {mode:o}"))
        };
        assert_eq!(owner(&[]).unwrap(), "0:0 444");
        assert_eq!(owner(&[(SECRETS_OWNER, "1000")]).unwrap(), "1000:0 400");
        assert_eq!(owner(&[(SECRETS_OWNER, "1000:2000")]).unwrap(), "1000:2000 400");
        for bad in ["", "bee", "-1", "1000:", ":1", "4294967296", "1:2:3"] {
            assert!(owner(&[(SECRETS_OWNER, bad)]).unwrap_err().contains("UID:GID"), "{bad}");
        }
    }
}
