//! The stack with Grafana and a collector of traces, as Docker reads it. Nothing is deployed.

use std::{collections::BTreeSet, fs, process::Command};

use serde_json::Value;

use crate::harness::repository;

const STACK: &str = "docker-compose.yml";
const GRAFANA: &str = "deploy/grafana/stack.yml";
const PORT: &str = "deploy/grafana/port.yml";
const OTLP: &str = "deploy/otlp.yml";

/// What Docker makes of these files, or what it says against them.
fn stack(files: &[&str], variables: &[(&str, &str)]) -> Result<Value, String> {
    let mut docker = Command::new("docker");
    docker.args(["stack", "config"]).current_dir(repository()).envs(variables.iter().copied());
    for file in files {
        docker.args(["-c", file]);
    }
    let output = docker.output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(serde_saphyr::from_str(&String::from_utf8_lossy(&output.stdout)).unwrap())
}

#[test]
fn grafana_has_its_password_its_dashboards_and_no_port_unless_one_is_asked_for() {
    let plain = stack(&[STACK], &[]).unwrap();
    assert!(plain["services"]["grafana"].is_null());
    let with = stack(&[STACK, GRAFANA], &[]).unwrap();
    let grafana = &with["services"]["grafana"];
    assert!(grafana["ports"].is_null(), "{grafana}");
    let networks: Vec<_> = grafana["networks"].as_object().unwrap().keys().collect();
    assert_eq!(networks, ["platform"]);
    assert_eq!(with["networks"]["platform"]["internal"], true);
    assert_eq!(grafana["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"], "/run/secrets/grafana-password");
    assert_eq!(grafana["secrets"][0]["source"], "grafana-password");
    assert_eq!(with["secrets"]["grafana-password"]["external"], true);
    // Each dashboard is where Grafana's configuration points.
    let targets: BTreeSet<_> =
        grafana["configs"].as_array().unwrap().iter().map(|one| one["target"].as_str().unwrap().to_owned()).collect();
    for file in fs::read_dir(repository().join("deploy/grafana/dashboards")).unwrap() {
        let target = format!("/etc/grafana/dashboards/{}", file.unwrap().file_name().to_str().unwrap());
        assert!(targets.contains(&target), "{target}");
    }
    let file = |name: &str| fs::read_to_string(repository().join("deploy/grafana").join(name)).unwrap();
    let provider: Value = serde_saphyr::from_str(&file("dashboards.yml")).unwrap();
    assert_eq!(provider["providers"][0]["options"]["path"], "/etc/grafana/dashboards");
    let source: Value = serde_saphyr::from_str(&file("datasource.yml")).unwrap();
    assert_eq!(source["datasources"][0]["url"], "http://prometheus:9090");

    let published = stack(&[STACK, GRAFANA, PORT], &[("SKEP_GRAFANA_PORT", "3001")]).unwrap();
    let ports = &published["services"]["grafana"]["ports"];
    assert_eq!((ports.as_array().unwrap().len(), &ports[0]["published"]), (1, &Value::from(3001)), "{ports}");
    assert_eq!(ports[0]["mode"], "host");
    for (name, service) in published["services"].as_object().unwrap() {
        assert!(service["ports"].is_null() || ["gateway", "grafana"].contains(&name.as_str()), "{name}");
    }
}

#[test]
fn a_collector_of_traces_is_named_to_each_role_and_to_nobody_else() {
    let name = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let url = "http://collector:4318";
    let with = stack(&[STACK, OTLP], &[(name, url)]).unwrap();
    for (service, described) in with["services"].as_object().unwrap() {
        let is_role = ["gateway", "queue-worker", "controller"].contains(&service.as_str());
        assert_eq!(described["environment"][name].as_str(), is_role.then_some(url), "{service}");
        assert!(!is_role || !described["environment"]["SKEP_GRACE"].is_null(), "{service}");
    }
    let refused = stack(&[STACK, OTLP], &[]).unwrap_err();
    assert!(refused.contains("collector"), "{refused}");
}
