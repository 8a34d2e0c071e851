//! The dashboards ask for metrics that there are, and get figures.

use std::{collections::BTreeSet, fs, process::Command};

use serde_json::Value;

use super::server::Prometheus;
use crate::{
    busy::Busy,
    harness::{repository, wait_until},
};

/// How each variable of Grafana is set.
const VARIABLES: [(&str, &str); 2] = [("$__rate_interval", "1m"), ("$function", "cat|failing|sleepy")];

fn dashboards() -> Vec<Value> {
    let folder = repository().join("deploy/grafana/dashboards");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.map(|file| serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()).collect()
}

/// All expressions, each with the title of its panel.
fn expressions() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for dashboard in dashboards() {
        for panel in dashboard["panels"].as_array().unwrap() {
            let title = format!("{}: {}", dashboard["title"].as_str().unwrap(), panel["title"].as_str().unwrap());
            for target in panel["targets"].as_array().into_iter().flatten() {
                let mut expression = target["expr"].as_str().unwrap().to_owned();
                for (variable, value) in VARIABLES {
                    expression = expression.replace(variable, value);
                }
                found.push((title.clone(), expression));
            }
        }
    }
    found
}

/// The names of metrics in an expression.
fn metrics_in(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let ours = ["gateway_", "queue_worker_", "controller_", "skep_", "http_"];
    words.filter(|word| ours.iter().any(|start| word.starts_with(start))).map(str::to_owned).collect()
}

#[test]
fn the_files_are_as_the_script_writes_them() {
    let script = repository().join("scripts/dashboards.py");
    let output = Command::new("python3").arg(script).arg("--check").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn there_are_four_and_none_shares_its_name_or_the_place_of_a_panel() {
    let all = dashboards();
    let uids: BTreeSet<_> = all.iter().map(|one| one["uid"].as_str().unwrap().to_owned()).collect();
    assert_eq!(uids.into_iter().collect::<Vec<_>>(), ["skep-function", "skep-overview", "skep-platform", "skep-queue"]);
    for dashboard in all {
        let panels = dashboard["panels"].as_array().unwrap();
        let places: BTreeSet<_> =
            panels.iter().map(|one| (one["gridPos"]["x"].as_u64(), one["gridPos"]["y"].as_u64())).collect();
        assert_eq!(places.len(), panels.len(), "{}", dashboard["title"]);
        assert!(
            panels
                .iter()
                .all(|one| one["gridPos"]["x"].as_u64().unwrap() + one["gridPos"]["w"].as_u64().unwrap() <= 24)
        );
    }
}

#[tokio::test]
async fn each_expression_has_figures_while_skep_is_busy() {
    let busy = Busy::start().await;
    let [skep, gateway] = busy.shown_at;
    let prometheus = Prometheus::start(&[("skep", skep), ("gateway", gateway)]).await;
    let mut open = expressions();
    assert!(open.len() > 80, "{}", open.len());
    let all = open.clone();
    wait_until("each expression has a figure", async || {
        let mut left = Vec::new();
        for (title, expression) in &open {
            if !prometheus.values(expression).await.iter().any(|value| value.is_finite()) {
                left.push((title.clone(), expression.clone()));
            }
        }
        open = left;
        if !open.is_empty() {
            eprintln!("without figures yet: {open:#?}");
        }
        open.is_empty()
    })
    .await;
    let names = prometheus.names().await;
    for (title, expression) in all {
        for metric in metrics_in(&expression) {
            assert!(names.contains(&metric), "{title} asks for {metric}, which nobody shows");
        }
    }
}
