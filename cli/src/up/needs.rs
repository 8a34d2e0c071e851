//! Makes the namespaces and secrets that a stack file names and that are missing, over the bus.

use std::collections::{BTreeSet, HashMap};

use skep_bus::{Bus, Result};
use skep_protocol::NamespaceInfo;
use skep_protocol::{
    AuditAction, AuditLogEntry,
    control::{CreateNamespace, CreateSecret, ListNamespaces, ListSecrets},
};
use skep_stack::Stack;

use crate::{
    failure::{self, Failure, bad_setting},
    stack_file,
};

/// Makes what is missing. A secret without a value ends the start, because functions need it.
pub(super) async fn apply(bus: &Bus, stack: &Stack) -> failure::Result<()> {
    namespaces(bus, &stack.namespaces).await.map_err(Failure::internal)?;
    let mut known = HashMap::new();
    for named in &stack.secrets {
        if !known.contains_key(&named.namespace) {
            let names = secrets(bus, &named.namespace).await.map_err(Failure::internal)?;
            known.insert(named.namespace.clone(), names);
        }
        if known.get(&named.namespace).is_some_and(|names| names.contains(&named.name)) {
            continue;
        }
        let Some(secret) = stack_file::secret(named)? else {
            let reason = format!("secret {} is missing, and the file does not say where its value is", named.name);
            return Err(bad_setting("--file", reason));
        };
        bus.control.request(&CreateSecret(secret)).await.map_err(Failure::internal)?;
        log(bus, AuditAction::SecretCreate, &named.name).await;
    }
    Ok(())
}

async fn namespaces(bus: &Bus, wanted: &[String]) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let known = bus.control.request(&ListNamespaces).await?;
    for name in wanted.iter().filter(|name| !known.iter().any(|known| known.name == **name)) {
        let namespace = NamespaceInfo { name: name.clone(), ..NamespaceInfo::default() };
        bus.control.request(&CreateNamespace(namespace)).await?;
        log(bus, AuditAction::NamespaceCreate, name).await;
    }
    Ok(())
}

async fn secrets(bus: &Bus, namespace: &str) -> Result<BTreeSet<String>> {
    let listed = bus.control.request(&ListSecrets { namespace: namespace.to_owned() }).await?;
    Ok(listed.into_iter().map(|secret| secret.name).collect())
}

async fn log(bus: &Bus, action: AuditAction, name: &str) {
    let entry = AuditLogEntry::new(skep_bus::now(), "stack file", action).about(name);
    // An entry that is lost is in the log of this process.
    let _is_stored = bus.audit_log.write(&entry, None).await;
}
