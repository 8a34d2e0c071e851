//! What a deployment would change, said before it is done.

use std::collections::{BTreeSet, HashMap};

use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::StatusCode;
use serde::Serialize;
use skep_protocol::{CanaryMode, DefaultNamespace, FunctionDeployment, FunctionStatus};
use skep_stack::{Difference, SettingChange, changes, difference};

use super::{
    full_name, functions, in_namespace,
    running_canary::{RunningCanary, Then},
};
use crate::{
    client::{api::Api, table},
    failure::{Failure, Result},
    output,
};

/// How many functions are asked for or deployed at once.
pub(super) const AT_ONCE: usize = 8;

/// One function, and what is to be done with it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Step {
    pub(super) function: String,
    change: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<SettingChange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) canary: Option<RunningCanary>,
    /// Queued calls that wait and run with the new settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    queued_calls: Option<u64>,
    #[serde(skip)]
    pub(super) wanted: FunctionDeployment,
    #[serde(skip)]
    pub(super) difference: Difference,
    /// The replicas that run now.
    #[serde(skip)]
    pub(super) former: Vec<String>,
}

/// Compares what is wanted with what is deployed. Some namespaces are new, so nothing is in them.
pub(super) async fn plan(
    api: &Api,
    wanted: Vec<FunctionDeployment>,
    new: &[String],
    mode: Option<CanaryMode>,
) -> Result<Vec<Step>> {
    let deployed = deployed(api, &wanted, new).await?;
    let steps = wanted.into_iter().map(|wanted| one_step(api, wanted, &deployed, mode));
    stream::iter(steps).buffered(AT_ONCE).try_collect().await
}

async fn one_step(
    api: &Api,
    wanted: FunctionDeployment,
    deployed: &HashMap<String, FunctionStatus>,
    mode: Option<CanaryMode>,
) -> Result<Step> {
    let function = full_name(&wanted.service, namespace(&wanted));
    let status = deployed.get(&function);
    let canary = RunningCanary::of(api, &function, status, &wanted, mode).await?;
    let mut step = step(wanted, status, function).beside(canary);
    if step.difference == Difference::Changed {
        step.queued_calls = super::function(api, &step.function).await?.queue_depth;
    }
    Ok(step)
}

/// The functions of all namespaces that are named.
async fn deployed(api: &Api, wanted: &[FunctionDeployment], new: &[String]) -> Result<HashMap<String, FunctionStatus>> {
    let namespaces: BTreeSet<&str> = wanted.iter().map(namespace).collect();
    let mut deployed = HashMap::new();
    for namespace in namespaces.into_iter().filter(|namespace| !new.iter().any(|new| new == namespace)) {
        let request = in_namespace(api.get(&["functions"]), Some(namespace));
        if api.send_unless(request, StatusCode::NOT_FOUND).await?.is_none() {
            let message =
                format!("there is no namespace {namespace}; create it with: skep namespace create {namespace}");
            return Err(Failure::Missing(message));
        }
        let found = functions(api, Some(namespace)).await?.into_iter();
        deployed.extend(found.map(|status| (full_name(&status.name, namespace), status)));
    }
    Ok(deployed)
}

/// The namespace, or nothing for the default one.
fn namespace(deployment: &FunctionDeployment) -> &str {
    plain(&deployment.namespace)
}

/// A namespace as functions are named by it.
pub(super) fn plain(namespace: &str) -> &str {
    if namespace == DefaultNamespace::default().as_str() { "" } else { namespace }
}

fn step(wanted: FunctionDeployment, status: Option<&FunctionStatus>, function: String) -> Step {
    let as_deployed = status.map(|status| FunctionDeployment {
        // They are one function, whatever its namespace was called; the credentials are not reported.
        namespace: wanted.namespace.clone(),
        registry_auth: wanted.registry_auth.clone(),
        ..status.deployment()
    });
    let difference = difference(&wanted, as_deployed.as_ref());
    let changes = as_deployed.map(|deployed| changes(&wanted, &deployed)).unwrap_or_default();
    let former = status.map(|status| status.instances.clone()).unwrap_or_default();
    Step { function, change: word(difference), changes, canary: None, queued_calls: None, wanted, difference, former }
}

impl Step {
    /// The same beside a canary that runs.
    fn beside(self, canary: Option<RunningCanary>) -> Self {
        let (difference, changes) = match canary.as_ref().map(|canary| canary.then) {
            None | Some(Then::Ends | Then::Promoted) => (self.difference, self.changes),
            Some(Then::Share) => (Difference::Changed, Vec::new()),
            Some(Then::Stays) => (Difference::Same, Vec::new()),
        };
        Self { change: word(difference), difference, changes, canary, ..self }
    }

    /// Whether a canary that runs is what is deployed.
    pub(super) fn is_of_canary(&self) -> bool {
        self.canary.as_ref().is_some_and(|canary| canary.then != Then::Ends)
    }

    /// Whether there is something to send.
    pub(super) fn does_something(&self) -> bool {
        self.difference != Difference::Same || self.canary.as_ref().is_some_and(|canary| canary.then == Then::Ends)
    }
}

/// What a program reads of a difference.
pub(super) fn word(difference: Difference) -> &'static str {
    match difference {
        Difference::New => "new",
        Difference::Changed => "changed",
        Difference::Same => "same",
    }
}

/// Says in words what will change.
pub(super) fn print(steps: &[Step]) {
    for step in steps {
        let Step { function, wanted, .. } = step;
        let runs = if wanted.env_process.is_empty() { &wanted.image } else { &wanted.env_process };
        let canary = step.canary.as_ref().map(RunningCanary::words).unwrap_or_default();
        let said = match step.difference {
            Difference::New => format!("{function} is new: {runs}"),
            Difference::Same => format!("{function} stays as it is{canary}"),
            Difference::Changed => format!("{function} changes{canary}{}", queued(step.queued_calls)),
        };
        output::line(table::one_line(&said));
        print_changes(&step.changes, "  ");
    }
}

/// Says in words how settings differ, a line for each.
pub(super) fn print_changes(changes: &[SettingChange], indentation: &str) {
    for SettingChange { setting, from, to } in changes {
        let said = match (from, to) {
            (Some(from), Some(to)) => format!("{setting}: {from} -> {to}"),
            (None, Some(to)) => format!("{setting}: {to} is added"),
            (Some(from), None) => format!("{setting}: {from} is removed"),
            (None, None) => setting.clone(),
        };
        output::line(format_args!("{indentation}{}", table::one_line(&said)));
    }
}

fn queued(calls: Option<u64>) -> String {
    match calls.unwrap_or_default() {
        0 => String::new(),
        1 => "; its queued call runs with the new settings".to_owned(),
        calls => format!("; its {calls} queued calls run with the new settings"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(namespace: &str) -> FunctionDeployment {
        let (service, env_process) = ("a".to_owned(), "cat".to_owned());
        FunctionDeployment { service, env_process, namespace: namespace.to_owned(), ..Default::default() }
    }

    #[test]
    fn what_is_deployed_already_is_the_same_under_either_name_of_the_default_namespace() {
        let status: FunctionStatus = serde_json::from_value(serde_json::json!({
            "name": "a", "image": "", "envProcess": "cat", "annotations": {}, "invocationCount": 0, "replicas": 1,
            "labels": { "faas_function": "a", "com.openfaas.function": "a", "function": "true" },
            "availableReplicas": 1, "instances": ["a-1"], "createdAt": "2026-01-01T00:00:00Z",
        }))
        .unwrap();
        for namespace in ["", "openfaas-fn"] {
            let step = step(wanted(namespace), Some(&status), "a".to_owned());
            assert_eq!((step.difference, step.changes.len()), (Difference::Same, 0), "{namespace}");
        }
        assert_eq!(namespace(&wanted("openfaas-fn")), "");
        assert_eq!(namespace(&wanted("dev")), "dev");
        let other = FunctionDeployment { env_process: "tac".to_owned(), ..wanted("") };
        let step = step(other, Some(&status), "a".to_owned());
        assert_eq!((step.change, step.former.as_slice()), ("changed", &["a-1".to_owned()][..]));
    }
}
