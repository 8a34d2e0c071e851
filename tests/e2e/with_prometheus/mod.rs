//! Prometheus as Debian has it: it takes what skep shows and what `deploy` has for it. `tests/README.md` says what these tests need.

mod dashboards;
mod exemplars;
mod rules;
mod server;

use std::{fs, process::Stdio};

use tokio::{io::AsyncWriteExt, process::Command};

use crate::{
    busy::Busy,
    harness::{metrics_of, wait_until},
};

/// What `promtool check metrics` finds, and stays: the names are those of OpenFaaS.
const KNOWN_FINDINGS: [&str; 3] = [
    "gateway_function_invocation_started counter metrics should have \"_total\" suffix",
    "gateway_service_count non-histogram and non-summary metrics should not have \"_count\" suffix",
    "gateway_service_ready_count non-histogram and non-summary metrics should not have \"_count\" suffix",
];

/// Runs promtool, with a text on STDIN: whether it is content, and what it says.
async fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = command.spawn().unwrap();
    promtool.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let output = promtool.wait_with_output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test]
async fn all_metrics_are_named_as_prometheus_asks_for_except_three_of_openfaas() {
    let busy = Busy::start().await;
    wait_until("much of it is there", async || {
        let page = metrics_of(busy.shown_at[0]).await;
        [
            "skep_dead_letters{",
            "queue_worker_source_messages_total{",
            "controller_audit_calls{",
            "skep_callback_attempts_total{",
        ]
        .iter()
        .all(|name| page.contains(name))
    })
    .await;
    for address in busy.shown_at {
        let (_, said) = promtool(&["check", "metrics"], &metrics_of(address).await).await;
        let found: Vec<_> = said.lines().filter(|line| !KNOWN_FINDINGS.contains(line)).collect();
        assert!(found.is_empty(), "{found:?}");
        assert!(KNOWN_FINDINGS.iter().all(|known| said.contains(known)), "they are no findings any more: {said}");
    }
}

#[tokio::test]
async fn the_configuration_of_the_stack_is_one_that_prometheus_takes() {
    let folder = tempfile::tempdir().unwrap();
    let deploy = crate::harness::repository().join("deploy");
    fs::create_dir(folder.path().join("rules")).unwrap();
    for file in ["alerts.yml", "rules/skep.yml"] {
        fs::copy(deploy.join(file), folder.path().join(file)).unwrap();
    }
    let text = fs::read_to_string(deploy.join("prometheus.yml")).unwrap();
    assert!(text.contains("/etc/prometheus/alerts.yml") && text.contains("/etc/prometheus/rules/"), "{text}");
    let file = folder.path().join("prometheus.yml");
    fs::write(&file, text.replace("/etc/prometheus", folder.path().to_str().unwrap())).unwrap();
    let (is_content, said) = promtool(&["check", "config", file.to_str().unwrap()], "").await;
    assert!(is_content && said.matches("SUCCESS").count() == 4, "{said}");
}
