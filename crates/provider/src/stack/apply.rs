//! Brings the functions of a stack into being.

use std::{collections::HashMap, sync::Arc};

use skep_bus::{Bus, Error, Result};
use skep_protocol::{FunctionDeployment, FunctionName, Operation};

use super::Stack;

/// The status of a deploy of what is deployed already.
const CONFLICT: u16 = 409;

/// What became of one function of a stack.
#[derive(Debug)]
pub struct Applied {
    pub function: String,
    pub outcome: Outcome,
}

#[derive(Debug)]
pub enum Outcome {
    Deployed,
    Updated,
    /// The registry has it already as it should be, so its replicas go on.
    Unchanged,
    /// The controller refused it; the other functions do not depend on it.
    Refused(Error),
}

/// Deploys or updates what differs from the registry; functions that the stack does not name are left alone.
pub async fn apply(bus: &Bus, stack: &Stack) -> Result<Vec<Applied>> {
    let mut found = deployed(bus).await?;
    let mut applied = Vec::with_capacity(stack.functions.len());
    for deployment in &stack.functions {
        // A name that cannot be is for the controller to refuse.
        let name = bus.default_namespace().function_in(&deployment.service, &deployment.namespace).ok();
        let current = |found: &Found| name.as_ref().and_then(|name| found.get(name)).cloned();
        let mut outcome = bring(bus, deployment, current(&found)).await?;
        if let Outcome::Refused(Error::Refused { status: CONFLICT, .. }) = &outcome {
            // Somebody else has deployed it since the look.
            found = deployed(bus).await?;
            outcome = bring(bus, deployment, current(&found)).await?;
        }
        applied.push(Applied { function: deployment.service.clone(), outcome });
    }
    Ok(applied)
}

type Found = HashMap<FunctionName, FunctionDeployment>;

async fn deployed(bus: &Bus) -> Result<Found> {
    Ok(bus
        .functions()
        .await?
        .into_iter()
        .map(|(name, record)| (name, Arc::unwrap_or_clone(record.deployment)))
        .collect())
}

async fn bring(bus: &Bus, wanted: &FunctionDeployment, current: Option<FunctionDeployment>) -> Result<Outcome> {
    match current {
        None => ask(bus, Operation::Deploy, wanted, Outcome::Deployed).await,
        Some(current) if current == *wanted => Ok(Outcome::Unchanged),
        Some(_) => ask(bus, Operation::Update, wanted, Outcome::Updated).await,
    }
}

async fn ask(bus: &Bus, operation: Operation, deployment: &FunctionDeployment, done: Outcome) -> Result<Outcome> {
    match bus.control::<u64>(operation, deployment).await {
        Ok(_) => Ok(done),
        Err(refusal @ Error::Refused { .. }) => Ok(Outcome::Refused(refusal)),
        Err(error) => Err(error),
    }
}
