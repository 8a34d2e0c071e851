//! The namespaces and secrets that a stack names: those that are missing are made before its functions.

use std::collections::{BTreeSet, HashMap};

use reqwest::{Method, StatusCode};
use serde::Serialize;
use skep_protocol::Secret;
use skep_stack::Stack;

use super::{full_name, in_namespace, plan::plain};
use crate::{
    client::api::Api,
    failure::{Failure, Result},
    output, stack_file,
};

/// What is missing.
#[derive(Default)]
pub(super) struct Needs {
    pub(super) namespaces: Vec<String>,
    secrets: Vec<Secret>,
}

/// One of them, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Need {
    Namespace(String),
    Secret(String),
}

/// Looks for what the stack names. A secret that nobody has and whose value is nowhere is a failure.
pub(super) async fn plan(api: &Api, stack: &Stack) -> Result<Needs> {
    let mut needs = Needs::default();
    if !stack.namespaces.is_empty() {
        let known: Vec<String> = api.json(api.get(&["namespaces"])).await?;
        needs.namespaces = stack.namespaces.iter().filter(|name| !known.contains(name)).cloned().collect();
    }
    let mut known = HashMap::new();
    let mut missing = Vec::new();
    for secret in &stack.secrets {
        let namespace = plain(&secret.namespace);
        if !known.contains_key(namespace) {
            known.insert(namespace, names(api, namespace, &needs).await?);
        }
        if known.get(namespace).is_some_and(|names| names.contains(&secret.name)) {
            continue;
        }
        match stack_file::secret(secret)? {
            Some(secret) => needs.secrets.push(secret),
            None => missing.push(format!("skep secret set {}{} < FILE", secret.name, option(namespace))),
        }
    }
    if missing.is_empty() {
        return Ok(needs);
    }
    let secrets = if missing.len() == 1 { "a secret of the file is" } else { "secrets of the file are" };
    Err(Failure::Missing(format!("{secrets} missing; to set what is missing, run: {}", missing.join("; "))))
}

fn option(namespace: &str) -> String {
    if namespace.is_empty() { String::new() } else { format!(" --namespace {namespace}") }
}

/// The secrets of a namespace; none of one that is missing.
async fn names(api: &Api, namespace: &str, needs: &Needs) -> Result<BTreeSet<String>> {
    if needs.namespaces.iter().any(|missing| missing == namespace) {
        return Ok(BTreeSet::new());
    }
    let secrets: Vec<Secret> = api.json(in_namespace(api.get(&["secrets"]), Some(namespace))).await?;
    Ok(secrets.into_iter().map(|secret| secret.name).collect())
}

impl Needs {
    /// Says in words what will be made.
    pub(super) fn print(&self) {
        for namespace in &self.namespaces {
            output::line(format_args!("namespace {namespace} is new"));
        }
        for secret in &self.secrets {
            output::line(format_args!("secret {} is new", full_name(&secret.name, &secret.namespace)));
        }
    }

    /// Makes what is missing.
    pub(super) async fn put(&self, api: &Api) -> Result<()> {
        for namespace in &self.namespaces {
            // Somebody else may have made it since it was looked for.
            api.send_unless(api.request(Method::POST, &["namespace", namespace]), StatusCode::CONFLICT).await?;
        }
        for secret in &self.secrets {
            let request = in_namespace(api.request(Method::POST, &["secrets"]), Some(&secret.namespace)).json(secret);
            api.send_unless(request, StatusCode::CONFLICT).await?;
        }
        Ok(())
    }

    pub(super) fn made(&self) -> impl Iterator<Item = Need> {
        let secrets = self.secrets.iter().map(|secret| Need::Secret(full_name(&secret.name, &secret.namespace)));
        self.namespaces.iter().cloned().map(Need::Namespace).chain(secrets)
    }
}
