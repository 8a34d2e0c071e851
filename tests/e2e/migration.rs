//! The two keys of a function in the registry, and the migration from a single one.

use async_nats::jetstream::{self, kv};
use futures_util::{StreamExt, TryStreamExt};
use serde_json::Value;
use skep_bus::RegistryEvent;
use tokio_util::sync::CancellationToken;

use crate::{
    bus,
    harness::{Function, Roles, Site},
};

async fn registry(site: &Site) -> kv::Store {
    jetstream::new(site.nats_client().await).get_key_value("SKEP_FUNCTIONS").await.unwrap()
}

/// The keys of functions.
async fn keys(registry: &kv::Store) -> Vec<String> {
    let keys: Vec<String> = registry.keys().await.unwrap().try_collect().await.unwrap();
    let mut keys: Vec<String> = keys.into_iter().filter(|key| !key.starts_with('_')).collect();
    keys.sort();
    keys
}

async fn value(registry: &kv::Store, key: &str) -> Value {
    serde_json::from_slice(&registry.get(key).await.unwrap().unwrap()).unwrap()
}

#[tokio::test]
async fn a_registry_of_the_version_before_is_read_and_migrated_by_the_controller() {
    let mut roles = Roles::start([Function::cat().annotation("topic", "honey")]).await;
    roles.controller.kill();
    let registry = registry(&roles.site).await;
    let (spec, status) = (value(&registry, "spec.cat").await, value(&registry, "status.cat").await);
    assert!(spec.get("endpoints").is_none() && status.get("deployment").is_none(), "{spec} {status}");
    let mut whole = spec.clone();
    whole.as_object_mut().unwrap().extend(status.as_object().unwrap().clone());
    for key in ["status.cat", "spec.cat"] {
        registry.purge(key).await.unwrap();
    }
    registry.put("cat", whole.to_string().into()).await.unwrap();
    assert_eq!(keys(&registry).await, ["cat"]);
    // A gateway that is newer than the controller knows the function.
    roles.gateway.wait_for_replicas("cat", 1).await;

    roles.controller = roles.site.start_controller().await;
    roles.site.wait_for_functions().await;
    assert_eq!(keys(&registry).await, ["spec.cat", "status.cat"]);
    assert_eq!(value(&registry, "spec.cat").await, spec, "nothing of it is lost");
    assert_eq!(roles.gateway.call("cat", "hello").await.text(), "hello");
    assert!(roles.controller.stderr().contains("the registry was migrated"), "{}", roles.controller.stderr());
}

#[tokio::test]
async fn watchers_see_a_function_while_it_is_migrated() {
    let (site, _server, bus) = bus::start().await;
    let lease = bus.leadership.acquire("one", &CancellationToken::new()).await.unwrap();
    let (registry, record) = (registry(&site).await, bus::function_record("f"));
    let whole = serde_json::to_vec(&record).unwrap();
    for name in ["a", "b"] {
        registry.put(name, whole.clone().into()).await.unwrap();
    }
    // A crash in the middle of a migration: the spec is newer.
    let newer = skep_protocol::FunctionRecord { replicas: 7, ..record.clone() };
    lease.put_function(&"b".parse().unwrap(), &newer).await.unwrap();
    let found = [("a".parse().unwrap(), record), ("b".parse().unwrap(), newer)];
    assert_eq!(bus.registry.functions().await.unwrap(), found);

    let mut events = std::pin::pin!(bus.registry.watch().await.unwrap());
    // What is deleted before it was seen would be no loss.
    while !matches!(events.next().await.unwrap().unwrap(), RegistryEvent::Current) {}
    assert_eq!(lease.migrate_functions().await.unwrap(), 2);
    assert_eq!(lease.migrate_functions().await.unwrap(), 0);
    assert_eq!((bus.registry.functions().await.unwrap(), keys(&registry).await.len()), (found.into(), 4));
    lease.put_spec(&"end".parse().unwrap(), &bus::function_record("end")).await.unwrap();
    loop {
        match events.next().await.unwrap().unwrap() {
            RegistryEvent::Put { name, .. } if name.as_str() == "end" => break,
            RegistryEvent::Put { .. } | RegistryEvent::Current => {}
            RegistryEvent::Deleted { name, .. } => panic!("{name} was gone for a moment"),
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_changes_leaves_the_spec_as_it_is() {
    let roles = Roles::start([Function::cat()]).await;
    let registry = registry(&roles.site).await;
    let entry = async |key| registry.entry(key).await.unwrap().unwrap().revision;
    let status = entry("status.cat").await;
    roles.gateway.scale("cat", 2).await;
    let spec = entry("spec.cat").await;
    roles.gateway.wait_for_replicas("cat", 2).await;
    assert_eq!(entry("spec.cat").await, spec);
    assert!(entry("status.cat").await > status);
}
