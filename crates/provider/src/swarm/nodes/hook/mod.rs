//! What is asked to add and to remove machines: a program, or a server. Each call is one JSON object, and so is the answer to `list`.

mod program;
mod web;

use std::{collections::BTreeMap, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use skep_https::SigningKeys;
use skep_scaling::nodes::{Pending, Size};
use url::Url;

use self::{program::Program, web::Web};

/// How long one call may take; to make a machine may take longer than that, and the hook need not wait for it.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// The most that is read of an answer, and of an error.
const MAX_ANSWER: u64 = 1024 * 1024;

/// What is called to add and to remove machines.
#[derive(Clone, Debug)]
pub struct NodeHook(Way);

#[derive(Clone, Debug)]
enum Way {
    Program(Program),
    Web(Web),
}

impl FromStr for NodeHook {
    type Err = &'static str;

    /// Reads `exec:/usr/local/bin/machines` or `https://machines.example.com/skep`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("exec:").filter(|path| path.starts_with('/')) {
            return Ok(Self(Way::Program(Program::new(path.into()))));
        }
        let url = text.parse().ok().filter(|url: &Url| url.scheme() == "https" && url.has_host());
        let url = url.filter(|url| url.username().is_empty() && url.password().is_none());
        let url = url.ok_or(
            "must be exec: and the absolute path of a program, as exec:/usr/local/bin/machines, or an https:// address without a login",
        )?;
        Ok(Self(Way::Web(Web::new(url))))
    }
}

/// What the hook is asked.
#[derive(Debug, Serialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub(super) enum Ask<'a> {
    List,
    Add {
        key: String,
        count: u32,
        reason: String,
        pending: Vec<Waiting<'a>>,
    },
    Remove {
        key: String,
        hostname: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        node: Option<&'a str>,
    },
}

impl Ask<'_> {
    /// The same for each call about the same thing.
    fn key(&self) -> Option<&str> {
        match self {
            Self::List => None,
            Self::Add { key, .. } | Self::Remove { key, .. } => Some(key),
        }
    }
}

/// Tasks that a new machine is to run.
#[derive(Debug, Serialize)]
pub(super) struct Waiting<'a> {
    function: &'a str,
    tasks: u32,
    cpus: f64,
    memory: u64,
}

impl<'a> From<&'a Pending> for Waiting<'a> {
    fn from(pending: &'a Pending) -> Self {
        #[expect(clippy::cast_precision_loss)]
        let cpus = pending.each.nano_cpus as f64 / 1e9;
        Self { function: &pending.function, tasks: pending.tasks, cpus, memory: pending.each.memory }
    }
}

/// What the hook knows.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Machines {
    /// The hostnames of all machines that it has made and not removed, whether or not they have joined.
    pub(super) machines: Vec<String>,
    #[serde(default)]
    size: MachineSize,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct MachineSize {
    cpus: f64,
    memory: u64,
}

impl Machines {
    pub(super) fn size(&self) -> Size {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let nano_cpus = (self.size.cpus.max(0.0) * 1e9) as u64;
        Size { nano_cpus, memory: self.size.memory }
    }
}

impl NodeHook {
    /// A program runs with these variables and no others.
    #[must_use]
    pub fn with_environment(self, environment: BTreeMap<String, String>) -> Self {
        match self.0 {
            Way::Program(program) => Self(Way::Program(program.with_environment(environment))),
            web @ Way::Web(_) => Self(web),
        }
    }

    /// Requests are signed with these keys.
    #[must_use]
    pub fn with_keys(self, keys: SigningKeys) -> Self {
        match self.0 {
            Way::Web(web) => Self(Way::Web(web.with_keys(keys))),
            program @ Way::Program(_) => Self(program),
        }
    }

    /// Whether it is a server, which is to know who asks.
    pub fn is_web(&self) -> bool {
        matches!(self.0, Way::Web(_))
    }

    pub(super) async fn list(&self) -> Result<Machines, String> {
        let answer = self.call(&Ask::List).await?;
        serde_json::from_slice(&answer).map_err(|error| format!("its list cannot be read: {error}"))
    }

    /// Calls it and returns its answer; an error says what went wrong.
    pub(super) async fn call(&self, ask: &Ask<'_>) -> Result<Vec<u8>, String> {
        let message = serde_json::to_vec(ask).map_err(|error| error.to_string())?;
        match &self.0 {
            Way::Program(program) => program.call(&message).await,
            Way::Web(web) => web.call(ask.key(), message).await,
        }
    }
}

/// The end of what a hook says about an error, for the log.
fn last_line(said: &[u8]) -> Option<String> {
    let said = String::from_utf8_lossy(said);
    let last = said.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(last.chars().take(300).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_an_action_and_a_key() {
        let pending = Pending { function: "f".to_owned(), tasks: 2, ..Pending::default() };
        let add = Ask::Add {
            key: "add-1-2".to_owned(),
            count: 2,
            reason: "tasks wait".to_owned(),
            pending: vec![Waiting::from(&pending)],
        };
        let text = serde_json::to_string(&add).unwrap();
        assert!(text.starts_with(r#"{"action":"add","key":"add-1-2","count":2,"#), "{text}");
        let remove = Ask::Remove { key: "remove-n".to_owned(), hostname: "h", node: None };
        assert_eq!(serde_json::to_string(&remove).unwrap(), r#"{"action":"remove","key":"remove-n","hostname":"h"}"#);
    }

    #[test]
    fn a_hook_is_a_program_or_a_server() {
        assert!(!"exec:/usr/local/bin/machines".parse::<NodeHook>().unwrap().is_web());
        assert!("https://machines.example.com:8443/skep?zone=a".parse::<NodeHook>().unwrap().is_web());
        for bad in ["exec:machines", "machines", "http://example.org", "https://", "https://a:b@example.org", ""] {
            assert!(bad.parse::<NodeHook>().is_err(), "{bad}");
        }
    }
}
