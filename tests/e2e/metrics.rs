//! What `/metrics` shows is what docs/metrics.md says, and nothing that grows without a bound.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use crate::{
    busy::Busy,
    harness::{Function, Platform, metrics_of, repository, wait_until},
};

/// What a busy platform has not got: nothing is missed, NATS has no limit for the account, no stream is read, and these tests do not scale by use.
const NOT_SHOWN: [&str; 10] = [
    "controller_own_events_total",
    "controller_schedule_missed_total",
    "gateway_own_events_total",
    "queue_worker_source_pending",
    "skep_nats_storage_bytes",
    "skep_nats_storage_limit_bytes",
    "skep_scaling_due",
    "skep_scaling_load",
    "skep_scaling_need",
    "skep_scaling_waiting",
];

/// Each metric with its kind and its labels.
type Known = BTreeMap<String, (String, BTreeSet<String>)>;

/// Those of the tables in the documentation that begin with `| name | kind | labels`.
fn documented() -> Known {
    let page = fs::read_to_string(repository().join("docs/metrics.md")).unwrap();
    let (mut known, mut in_table) = (Known::new(), false);
    for line in page.lines() {
        in_table = line.starts_with("| name | kind | labels") || (in_table && line.starts_with('|'));
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, names, kind, labels, ..] = cells[..] else { continue };
        if in_table && names.starts_with('`') {
            let words = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
            let labels: BTreeSet<_> = words(labels).into_iter().collect();
            for name in words(names) {
                assert!(
                    known.insert(name.clone(), (kind.to_owned(), labels.clone())).is_none(),
                    "{name} is there twice"
                );
            }
        }
    }
    known
}

/// Those of pages in the text format of Prometheus.
pub(crate) fn shown(pages: &[String]) -> Known {
    let mut known = Known::new();
    for line in pages.iter().flat_map(|page| page.lines()) {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            known.entry(name.to_owned()).or_insert_with(|| (kind.to_owned(), BTreeSet::new()));
        } else if !line.starts_with('#') {
            let (sample, _) = line.rsplit_once(' ').unwrap();
            let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
            let of_histogram = ["_bucket", "_sum", "_count"].iter().filter_map(|end| name.strip_suffix(end));
            let family = of_histogram.chain([name]).find(|name| known.contains_key(*name));
            let labels: Vec<_> = labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0)).collect();
            let (_, found) = family.and_then(|family| known.get_mut(family)).unwrap_or_else(|| panic!("{line}"));
            found.extend(labels.into_iter().filter(|label| *label != "le").map(str::to_owned));
        }
    }
    known
}

#[tokio::test]
async fn the_documentation_names_each_metric_with_its_kind_and_labels_and_no_other_one() {
    let documented = documented();
    assert!(NOT_SHOWN.iter().all(|name| documented.contains_key(*name)), "{documented:?}");
    let expected: Known = documented.into_iter().filter(|(name, _)| !NOT_SHOWN.contains(&name.as_str())).collect();
    let busy = Busy::start().await;
    let mut pages = Vec::new();
    wait_until("all metrics are there", async || {
        pages.clear();
        for address in busy.shown_at {
            pages.push(metrics_of(address).await);
        }
        let shown = shown(&pages);
        expected.keys().all(|name| shown.contains_key(name))
    })
    .await;
    assert_eq!(shown(&pages), expected);
}

#[tokio::test]
async fn calls_of_functions_that_are_not_deployed_make_no_label() {
    let platform = Platform::start([Function::cat()]).await;
    let gateway = &platform.gateway;
    gateway.call("cat", "x").await;
    for number in 0..50 {
        assert_eq!(gateway.call(&format!("stranger-{number}"), "x").await.status, 404);
        gateway.post(&format!("/async-function/stranger-{number}")).send().await.unwrap();
    }
    let client = crate::nats::client(&platform.site).await;
    for number in 0..50 {
        client.publish(format!("skep.publish.stranger-{number}"), "x".into()).await.unwrap();
    }
    client.flush().await.unwrap();
    wait_until("all are dead letters", async || {
        let page = metrics_of(platform.site.admin).await;
        assert!(!page.contains("stranger"), "{page}");
        page.contains(r#"skep_dead_letters_total{function_name="",kind="call"} 50"#)
            && page.contains(r#"skep_dead_letters{function_name="",kind="call"} 50"#)
    })
    .await;
}

#[tokio::test]
async fn the_target_of_a_replica_is_shown_by_the_type_of_scaling() {
    let function = |name: &str, labels: &[(&str, &str)]| {
        let labels: serde_json::Map<_, _> =
            labels.iter().map(|(key, value)| (format!("com.openfaas.scale.{key}"), (*value).into())).collect();
        serde_json::json!({ "service": name, "envProcess": "cat", "labels": labels })
    };
    let platform = Platform::start([]).await;
    for function in [
        function("auto", &[("target", "4")]),
        function("rps", &[("type", "rps"), ("target", "100"), ("target-proportion", "0.5")]),
        function("usual", &[("type", "capacity")]),
        function("alert", &[("type", "alert"), ("target", "7")]),
    ] {
        assert_eq!(platform.gateway.send(http::Method::POST, "/system/functions", &function).await.status, 202);
    }
    platform.site.wait_for_function("alert").await;
    let page = metrics_of(platform.site.admin).await;
    for (name, kind, target) in [("auto", "auto", 4), ("rps", "rps", 100), ("usual", "capacity", 50)] {
        for labels in ["", &format!(",scaling_type=\"{kind}\"")] {
            let metric = if labels.is_empty() { "gateway_service_target" } else { "gateway_service_target_load" };
            let line = format!("{metric}{{function_name=\"{name}\"{labels}}} {target}");
            assert!(page.lines().any(|each| each == line), "{line}: {page}");
        }
    }
    assert!(!page.contains("gateway_service_target{function_name=\"alert\"}"), "{page}");
}

#[tokio::test]
async fn each_role_says_whether_it_is_connected_and_when_it_saw_a_controller() {
    let platform = Platform::start([Function::cat()]).await;
    let page = metrics_of(platform.site.admin).await;
    for role in ["gateway", "queue-worker", "controller"] {
        assert!(page.contains(&format!("skep_nats_connected{{role=\"{role}\"}} 1")), "{page}");
        assert!(page.contains(&format!("gateway_nats_reconnect_total{{role=\"{role}\"}} 0")), "{page}");
        assert!(page.contains(&format!("skep_durability_info{{role=\"{role}\",tier=\"fsync\"}} 1")), "{page}");
    }
    wait_until("the controller is seen", async || {
        let page = metrics_of(platform.site.admin).await;
        let seen: Vec<f64> = page
            .lines()
            .filter(|line| line.starts_with("skep_controller_seen_seconds{"))
            .map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
            .collect();
        seen.len() == 3 && seen.iter().all(|ago| *ago < 20.0)
    })
    .await;
}
