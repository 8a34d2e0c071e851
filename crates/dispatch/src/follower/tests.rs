use futures_util::stream;
use skep_protocol::{Endpoint, FunctionDeployment, FunctionRecord};

use super::*;

const MANY: u64 = 10_000;

fn view() -> (View, Registry, prometheus::Registry) {
    let collected = prometheus::Registry::new();
    let metrics = Arc::new(Metrics::register(&collected).unwrap());
    let (view, registry) = View::new(metrics, PolicyDefaults::default());
    (view, registry, collected)
}

fn name(number: u64) -> FunctionName {
    format!("f{number}").parse().unwrap()
}

fn put(number: u64, revision: u64, replicas: u16) -> Event {
    let endpoint = |port| Endpoint { instance: format!("f{number}-{port}"), address: ([127, 0, 0, 1], port).into() };
    let deployment = FunctionDeployment { service: format!("f{number}"), ..Default::default() };
    let record = FunctionRecord::without_replicas(deployment, 1, OffsetDateTime::UNIX_EPOCH);
    let record = FunctionRecord { endpoints: (0..replicas).map(endpoint).collect(), ..record };
    Ok(RegistryEvent::Put { name: name(number), record: Box::new(record), revision })
}

fn deleted(number: u64, revision: u64) -> Event {
    Ok(RegistryEvent::Deleted { name: name(number), revision })
}

/// Applies events as a watch tells them, and returns how often something was published.
async fn follow(view: &View, progress: &mut Progress, events: Vec<Event>) -> usize {
    let mut published = view.changed.subscribe();
    let mut batches = std::pin::pin!(batches(stream::iter(events)));
    let mut publications = 0;
    while let Some(batch) = batches.next().await {
        view.apply(batch, progress).unwrap();
        publications += usize::from(published.has_changed().unwrap());
        published.borrow_and_update();
    }
    publications
}

#[tokio::test]
async fn ten_thousand_functions_that_become_ready_at_once_are_published_in_batches() {
    let (view, registry, _) = view();
    let mut progress = Progress::default();
    let known = (0..MANY).map(|number| put(number, number + 1, 0)).chain([Ok(RegistryEvent::Current)]);
    assert_eq!(follow(&view, &mut progress, known.collect()).await, 1, "the first look is one publication");
    let ready = (0..MANY).map(|number| put(number, MANY + number + 1, 1));
    let publications = follow(&view, &mut progress, ready.collect()).await;
    assert_eq!(publications, usize::try_from(MANY).unwrap().div_ceil(MAX_BATCH));
    assert!(registry.every(|function| function.replicas() == 1));
    assert_eq!((registry.all().len(), *registry.changes().borrow()), (10_000, 2 * MANY));
}

#[tokio::test]
async fn one_change_is_published_at_once_and_keeps_the_replicas_that_stay() {
    let (view, registry, _) = view();
    let mut progress = Progress::default();
    follow(&view, &mut progress, vec![put(1, 1, 2), Ok(RegistryEvent::Current)]).await;
    let before = registry.get(&name(1)).unwrap();
    assert_eq!(follow(&view, &mut progress, vec![put(1, 2, 3)]).await, 1);
    let after = registry.get(&name(1)).unwrap();
    assert_eq!(after.replicas(), 3);
    assert!(Arc::ptr_eq(&before.endpoints[1], &after.endpoints[1]) && Arc::ptr_eq(&before.usage, &after.usage));
    assert!(!Arc::ptr_eq(&before.policy, &after.policy), "another deployment may have another policy");

    // As the watch of the registry tells it when the status alone has changed.
    let record = FunctionRecord { endpoints: Vec::new(), ..after.record.clone() };
    follow(&view, &mut progress, vec![Ok(RegistryEvent::Put { name: name(1), record: record.into(), revision: 3 })])
        .await;
    let idle = registry.get(&name(1)).unwrap();
    assert!(idle.replicas() == 0 && Arc::ptr_eq(&idle.policy, &after.policy), "the policy is not read again");
}

#[tokio::test]
async fn until_a_new_watch_has_seen_everything_nothing_is_taken_away() {
    let (view, registry, collected) = view();
    let replicas = || {
        let families = collected.gather();
        let family = families.iter().find(|family| family.name() == "gateway_service_count");
        family.map_or(0, |family| family.get_metric().len())
    };
    let mut first = Progress::default();
    follow(&view, &mut first, vec![put(1, 1, 1), put(2, 2, 1), put(3, 3, 1), Ok(RegistryEvent::Current)]).await;
    assert_eq!(replicas(), 3);
    let mut second = Progress::default();
    assert_eq!(follow(&view, &mut second, vec![put(1, 1, 1)]).await, 0);
    assert!(registry.get(&name(2)).is_some());
    // What was deleted meanwhile goes, and a function that comes again in the same moment stays.
    let rest = vec![Ok(RegistryEvent::Current), deleted(1, 5), put(1, 6, 2), deleted(4, 7), put(3, 8, 1)];
    assert_eq!(follow(&view, &mut second, rest).await, 1);
    assert_eq!((registry.all().len(), replicas(), *registry.changes().borrow()), (2, 2, 8));
    assert_eq!(registry.get(&name(1)).unwrap().replicas(), 2);
    // A registry that was made anew counts from the beginning.
    assert_eq!(follow(&view, &mut Progress::default(), vec![Ok(RegistryEvent::Current)]).await, 1);
    assert_eq!((registry.all().len(), replicas(), *registry.changes().borrow()), (0, 0, 0));
}

#[tokio::test]
async fn what_came_before_a_broken_watch_counts() {
    let (view, registry, _) = view();
    let mut progress = Progress { is_complete: true, ..Progress::default() };
    let broken = Err(skep_bus::Error::Unreadable { subject: "f".to_owned(), reason: "broken".to_owned() });
    assert!(view.apply(vec![put(1, 1, 1), broken, put(2, 2, 1)], &mut progress).is_err());
    assert!(registry.get(&name(1)).is_some() && registry.get(&name(2)).is_none());
    assert_eq!(*registry.changes().borrow(), 1);
}
