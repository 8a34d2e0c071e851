//! A Prometheus server of a test's own.

use std::{collections::BTreeSet, fs, net::SocketAddr, process::Command};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Program, answer_to, free_address, http_client, wait_until};

pub(super) struct Prometheus {
    address: SocketAddr,
    _program: Program,
    // After the program that has its data there.
    _folder: TempDir,
}

impl Prometheus {
    /// Collects from these addresses each second.
    pub(super) async fn start(targets: &[(&str, SocketAddr)]) -> Self {
        let folder = tempfile::Builder::new().prefix("skep-prometheus-").tempdir().unwrap();
        let job = |(job, address): &(&str, SocketAddr)| {
            format!("  - {{ job_name: {job}, static_configs: [{{ targets: ['{address}'] }}] }}\n")
        };
        let jobs: String = targets.iter().map(job).collect();
        let text = format!("global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\nscrape_configs:\n{jobs}");
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, text).unwrap();
        let address = free_address();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        command.arg(format!("--web.listen-address={address}"));
        command.arg("--enable-feature=exemplar-storage");
        let program = Program::start("prometheus", command, folder.path());
        let prometheus = Self { address, _program: program, _folder: folder };
        let ready = format!("http://{address}/-/ready");
        wait_until("Prometheus is ready", async || {
            http_client().get(&ready).send().await.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        prometheus
    }

    /// The values that an expression has now.
    pub(super) async fn values(&self, expression: &str) -> Vec<f64> {
        let request =
            http_client().get(format!("http://{}/api/v1/query", self.address)).query(&[("query", expression)]);
        let answer = answer_to(request).await;
        let reported: Value = answer.json();
        assert_eq!(reported["status"], "success", "{expression}: {reported}");
        let results = reported["data"]["result"].as_array().unwrap();
        results.iter().map(|result| result["value"][1].as_str().unwrap().parse().unwrap()).collect()
    }

    /// The exemplars that series have, with their labels.
    pub(super) async fn exemplars(&self, series: &str) -> Vec<Value> {
        let request = http_client().get(format!("http://{}/api/v1/query_exemplars", self.address));
        let reported: Value =
            answer_to(request.query(&[("query", series), ("start", "0"), ("end", "99999999999")])).await.json();
        assert_eq!(reported["status"], "success", "{series}: {reported}");
        reported["data"].as_array().unwrap().clone()
    }

    /// The names of all metrics that were collected.
    pub(super) async fn names(&self) -> BTreeSet<String> {
        let request = http_client().get(format!("http://{}/api/v1/label/__name__/values", self.address));
        let reported: Value = answer_to(request).await.json();
        reported["data"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    }
}
