//! Reads the stack file of `skep up`, and deploys its functions over the bus.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use skep_bus::{Bus, Error, Result};
use skep_protocol::{
    DefaultNamespace, FunctionDeployment, FunctionName, WORKDIR,
    control::{Deploy, Update},
};
use skep_provider::check_command;
use skep_stack::{Difference, Stack, difference};

use crate::{
    controller,
    failure::{self, Failure, bad_setting},
};

/// The status of a deploy of what is deployed already.
const CONFLICT: u16 = 409;

/// Reads a stack file and checks that this machine can run its functions.
pub(super) fn read(file: &Path, namespace: &DefaultNamespace) -> failure::Result<Stack> {
    let environment = controller::environment();
    let stack = skep_stack::read(file, namespace, |name| environment.get(name).cloned());
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

/// Deploys or updates what differs from the registry. Functions that the stack does not name stay as they are.
///
/// A function that the controller refuses does not keep the others from being deployed, but ends the start.
pub(super) async fn apply(bus: &Bus, stack: &Stack) -> failure::Result<()> {
    match try_to_apply(bus, stack).await.map_err(Failure::internal)? {
        None => Ok(()),
        Some(refusal) => Err(bad_setting("--file", refusal)),
    }
}

/// Returns the first refusal.
async fn try_to_apply(bus: &Bus, stack: &Stack) -> Result<Option<Error>> {
    let mut deployed = Deployed::read(bus).await?;
    let mut first = None;
    for wanted in &stack.functions {
        let mut refusal = put(bus, wanted, deployed.of(wanted)).await?;
        if let Some(Error::Refused { status: CONFLICT, .. }) = &refusal {
            // Someone else has deployed it since the registry was read.
            deployed = Deployed::read(bus).await?;
            refusal = put(bus, wanted, deployed.of(wanted)).await?;
        }
        first = first.or(refusal);
    }
    Ok(first)
}

/// What the registry holds.
struct Deployed<'bus> {
    functions: HashMap<FunctionName, FunctionDeployment>,
    namespace: &'bus DefaultNamespace,
}

impl<'bus> Deployed<'bus> {
    async fn read(bus: &'bus Bus) -> Result<Self> {
        let functions = bus.functions().await?.into_iter().map(|(name, record)| (name, record.deployment)).collect();
        Ok(Self { functions, namespace: bus.default_namespace() })
    }

    /// The function of the same name; the controller refuses invalid names.
    fn of(&self, wanted: &FunctionDeployment) -> Option<&FunctionDeployment> {
        let name = self.namespace.function_in(&wanted.service, &wanted.namespace).ok()?;
        self.functions.get(&name)
    }
}

/// Deploys or updates one function, if it differs; returns the refusal of the controller, if any.
async fn put(bus: &Bus, wanted: &FunctionDeployment, deployed: Option<&FunctionDeployment>) -> Result<Option<Error>> {
    let written = match difference(wanted, deployed) {
        Difference::Same => return Ok(None),
        Difference::New => bus.control(&Deploy(wanted.clone())).await,
        Difference::Changed => bus.control(&Update(wanted.clone())).await,
    };
    match written {
        Ok(_) => Ok(None),
        Err(refusal @ Error::Refused { .. }) => Ok(Some(refusal)),
        Err(error) => Err(error),
    }
}
