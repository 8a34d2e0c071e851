//! Each occurrence makes one call, whatever is killed; and many schedules at once.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use http::Method;
use serde_json::json;
use time::{OffsetDateTime, PrimitiveDateTime, macros::format_description};

use crate::{
    harness::{Function, Platform, Roles, Site, wait_until},
    schedules::{declare, planned},
};

/// The times of the calls of a schedule that have a record, each of which there is once.
async fn recorded(site: &Site, beginning: &str) -> BTreeSet<OffsetDateTime> {
    let calls = crate::nats::stream(site, "SKEP_CALLS").await;
    let mut subjects = calls.info_with_subjects("skep.calls.*.*").await.unwrap();
    let mut times = BTreeSet::new();
    while let Some(subject) = subjects.next().await {
        let (subject, messages) = subject.unwrap();
        assert_eq!(messages, 1, "{subject}");
        let Some(time) = subject.rsplit('.').next().unwrap().strip_prefix(beginning) else { continue };
        let form = format_description!("[year][month][day]T[hour][minute][second]Z");
        assert!(times.insert(PrimitiveDateTime::parse(time, form).unwrap().assume_utc()), "{time} is there twice");
    }
    times
}

#[tokio::test]
async fn each_occurrence_makes_one_call_although_controller_worker_and_nats_are_killed() {
    let mut roles = Roles::start([Function::counted()]).await;
    let spec = json!({ "every": "2s", "overlap": "allow", "missed": "all", "routes": [{ "to": "counted" }] });
    declare(&roles.gateway, "ticks", spec).await;
    for round in 1..=3 {
        roles.site.wait_for_runs(round * 4).await;
        roles.controller.kill();
        roles.worker.kill();
        if round == 2 {
            roles.nats.kill();
            roles.nats = roles.site.start_nats().await;
        }
        // What is planned comes due without a controller; the replicas of functions have gone with it.
        let waiting = planned(&roles.site).await;
        roles.worker = roles.site.start_worker().await;
        wait_until("two planned calls are fired", async || {
            let now = planned(&roles.site).await;
            waiting.iter().filter(|id| !now.contains(id)).count() >= 2
        })
        .await;
        roles.controller = roles.site.start_controller().await;
    }
    roles.site.wait_for_runs(24).await;
    let answer = roles.gateway.send(Method::POST, "/system/sources/ticks/pause", &json!({})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    wait_until("nothing waits", async || planned(&roles.site).await.is_empty()).await;
    let ran: BTreeSet<String> = roles.site.runs().into_iter().collect();
    // Not in their order: what a killed worker had taken runs later.
    wait_until("each call has its record, and no occurrence is missing", async || {
        let times = recorded(&roles.site, "cron-ticks_counted-").await;
        let (Some(first), Some(last)) = (times.first(), times.last()) else { return false };
        let expected = (*last - *first).whole_seconds() / 2 + 1;
        times.len() >= ran.len() && times.len() as i64 == expected
    })
    .await;
    roles.site.client(&["audit"]).await.code_is(0);
}

#[tokio::test]
async fn hundreds_of_schedules_run_in_the_same_second() {
    const SCHEDULES: usize = 200;
    let platform = Platform::start([Function::cat()]).await;
    // Far enough away that all are declared before.
    let offset = (OffsetDateTime::now_utc().unix_timestamp() + 75) % 3600;
    for number in 0..SCHEDULES {
        let spec = json!({ "every": "1h", "offset": offset.max(1), "routes": [{ "to": "cat" }] });
        declare(&platform.gateway, &format!("s{number}"), spec).await;
    }
    wait_until("all are planned", async || planned(&platform.site).await.len() == 2 * SCHEDULES).await;
    wait_until("all have run", async || {
        let calls = crate::nats::stream(&platform.site, "SKEP_CALLS").await;
        let mut subjects = calls.info_with_subjects("skep.calls.*.*").await.unwrap();
        let mut count = 0;
        while let Some(subject) = subjects.next().await {
            count += usize::from(subject.unwrap().0.contains("_cat-"));
        }
        count == SCHEDULES
    })
    .await;
    platform.site.client(&["audit"]).await.code_is(0);
}
