//! Reads the stack file of `skep up`, and deploys its functions and sources over the bus.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use skep_bus::{Bus, Error, Result};
use skep_protocol::{
    AuditAction, AuditLogEntry, Author, DefaultNamespace, FunctionDeployment, FunctionName, FunctionRecord, WORKDIR,
    control::{Change, Deploy, Update},
};
use skep_provider::check_command;
use skep_sources::Defaults;
use skep_stack::{Difference, Stack, difference};
use url::Url;

use crate::{
    controller,
    failure::{self, Failure, TRY_AGAIN, bad_setting},
    up::{needs, sources},
};

/// Who changes what the file has, in versions and in the audit log.
const STACK_FILE: &str = "stack file";
/// The status of a deploy of what is deployed already.
const CONFLICT: u16 = 409;

/// Reads a stack file and checks that this machine can run its functions.
pub(super) fn read(file: &Path, namespace: &DefaultNamespace, public_url: Option<&Url>) -> failure::Result<Stack> {
    let environment = controller::environment();
    let defaults = Defaults { public_url, ..Defaults::new(namespace) };
    let stack = skep_stack::read(file, &defaults, |name| environment.get(name).cloned());
    let stack = stack.map_err(|error| bad_setting("--file", error))?;
    check(&stack, &controller::inherited_environment(), namespace)?;
    Ok(stack)
}

/// Checks that every command can be started; `environment` is what functions inherit.
fn check(stack: &Stack, environment: &BTreeMap<String, String>, default: &DefaultNamespace) -> failure::Result<()> {
    for deployment in &stack.functions {
        let name = default.function_in(&deployment.service, &deployment.namespace);
        let name = name.map_err(|error| bad_setting("--file", error))?;
        let workdir = deployment.annotations.get(WORKDIR).map(String::as_str).unwrap_or_default();
        check_command(&name, deployment, Path::new(workdir), environment)
            .map_err(|error| bad_setting("--file", error))?;
    }
    Ok(())
}

/// Deploys or updates what differs from the registry. What the stack does not name stays as it is.
///
/// A function or source that the controller refuses does not keep the others from being deployed, but ends the start.
pub(crate) async fn apply(bus: &Bus, stack: &Stack) -> failure::Result<()> {
    needs::apply(bus, stack).await?;
    let of_functions = try_to_apply(bus, stack).await.map_err(Failure::internal)?;
    let of_sources = sources::apply(bus, &stack.sources).await.map_err(Failure::internal)?;
    match of_functions.or(of_sources) {
        None => Ok(()),
        Some(refusal) => Err(bad_setting("--file", refusal)),
    }
}

/// Returns the first refusal.
async fn try_to_apply(bus: &Bus, stack: &Stack) -> Result<Option<Error>> {
    let mut deployed = Deployed::read(bus).await?;
    let mut first = None;
    for wanted in &stack.functions {
        let mut outcome = put(bus, wanted, deployed.of(wanted)).await?;
        if let Outcome::Refused(_, Error::Refused { status: CONFLICT, .. }) = &outcome {
            // Someone else has deployed it since the registry was read.
            deployed = Deployed::read(bus).await?;
            outcome = put(bus, wanted, deployed.of(wanted)).await?;
        }
        log_change(bus, wanted, &outcome).await;
        if let Outcome::Refused(_, refusal) = outcome {
            first = first.or(Some(refusal));
        }
    }
    Ok(first)
}

/// What became of one function of the stack.
enum Outcome {
    Unchanged,
    Changed(AuditAction),
    /// The controller refused it.
    Refused(AuditAction, Error),
}

/// Writes what the stack file has changed, or was to change, to the audit log.
async fn log_change(bus: &Bus, wanted: &FunctionDeployment, outcome: &Outcome) {
    let (Outcome::Changed(action) | Outcome::Refused(action, _)) = outcome else { return };
    let name = bus.connection.default_namespace().function_in(&wanted.service, &wanted.namespace);
    let object = name.map_or_else(|_| wanted.service.clone(), |name| name.to_string());
    let mut entry = AuditLogEntry::new(skep_bus::now(), STACK_FILE, *action).about(&object);
    if let Outcome::Refused(_, Error::Refused { status, .. }) = outcome {
        (entry.status, entry.error) = (Some(*status), Some("refused".to_owned()));
    }
    // An entry that is lost is in the log of this process.
    let _is_stored = bus.audit_log.write(&entry, None).await;
}

/// What the registry holds.
struct Deployed<'bus> {
    functions: HashMap<FunctionName, FunctionRecord>,
    namespace: &'bus DefaultNamespace,
}

impl<'bus> Deployed<'bus> {
    async fn read(bus: &'bus Bus) -> Result<Self> {
        let functions = bus.registry.functions().await?.into_iter().collect();
        Ok(Self { functions, namespace: bus.connection.default_namespace() })
    }

    /// The function of the same name; the controller refuses invalid names.
    fn of(&self, wanted: &FunctionDeployment) -> Option<&FunctionRecord> {
        let name = self.namespace.function_in(&wanted.service, &wanted.namespace).ok()?;
        self.functions.get(&name)
    }
}

/// Deploys or updates one function, if it differs or has a canary.
async fn put(bus: &Bus, wanted: &FunctionDeployment, deployed: Option<&FunctionRecord>) -> Result<Outcome> {
    let (deployment, author) = (wanted.clone(), Author::new(STACK_FILE, None));
    let has_canary = deployed.is_some_and(|deployed| deployed.canary.is_some());
    let (action, written) = match difference(wanted, deployed.map(|deployed| &*deployed.deployment)) {
        Difference::Same if !has_canary => return Ok(Outcome::Unchanged),
        Difference::New => (AuditAction::Deploy, bus.control.request(&Deploy { deployment, author }).await),
        Difference::Changed | Difference::Same => {
            (AuditAction::Update, bus.control.request(&Update { deployment, author, canary: None }).await)
        }
    };
    match written {
        // The canary has these settings.
        Ok(Change::Unchanged) => Ok(Outcome::Unchanged),
        Ok(Change::Written(_)) => Ok(Outcome::Changed(action)),
        Err(refusal @ Error::Refused { status, .. }) if status != TRY_AGAIN => Ok(Outcome::Refused(action, refusal)),
        Err(error) => Err(error),
    }
}
