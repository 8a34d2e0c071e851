//! The alerts fire when they must and are silent when they must, and each says what is to be done.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::Value;

use super::promtool;
use crate::harness::repository;

fn read(file: &str) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(repository().join(file)).unwrap()).unwrap()
}

/// All alerts for people, by name.
fn alerts() -> BTreeMap<String, Value> {
    let rules = read("deploy/rules/skep.yml");
    let rules = rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap().clone());
    rules.filter_map(|rule| Some((rule["alert"].as_str()?.to_owned(), rule))).collect()
}

#[tokio::test]
async fn prometheus_takes_the_rules_and_the_alerts_do_as_their_tests_say() {
    for file in ["deploy/alerts.yml", "deploy/rules/skep.yml"] {
        let (is_content, said) = promtool(&["check", "rules", repository().join(file).to_str().unwrap()], "").await;
        assert!(is_content, "{said}");
    }
    let tests = repository().join("deploy/rules/tests/skep.yml");
    let (is_content, said) = promtool(&["test", "rules", tests.to_str().unwrap()], "").await;
    assert!(is_content && said.contains("SUCCESS"), "{said}");
}

#[test]
fn each_alert_has_a_test_in_which_it_fires_and_one_in_which_it_is_silent() {
    let (mut fires, mut is_silent) = (BTreeSet::new(), BTreeSet::new());
    for test in read("deploy/rules/tests/skep.yml")["tests"].as_array().unwrap() {
        for one in test["alert_rule_test"].as_array().unwrap() {
            let expected = one["exp_alerts"].as_array().unwrap();
            let seen = if expected.is_empty() { &mut is_silent } else { &mut fires };
            seen.insert(one["alertname"].as_str().unwrap().to_owned());
        }
    }
    let all: BTreeSet<_> = alerts().into_keys().collect();
    assert_eq!(fires, all);
    assert_eq!(is_silent, all);
}

#[test]
fn each_alert_has_a_section_in_the_runbooks_and_none_scales_a_function() {
    let page = fs::read_to_string(repository().join("docs/runbooks.md")).unwrap();
    let sections: BTreeSet<_> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let alerts = alerts();
    for (name, alert) in &alerts {
        assert!(sections.contains(name.as_str()), "docs/runbooks.md has no section {name}");
        let runbook = format!("docs/runbooks.md#{}", name.to_lowercase());
        assert_eq!(alert["annotations"]["runbook"], runbook.as_str(), "{name}");
        assert!(["page", "ticket"].contains(&alert["labels"]["severity"].as_str().unwrap()), "{name}");
        // Alertmanager sends those of the gateway to the gateway, which adds replicas.
        assert_eq!(alert["labels"]["service"], "skep", "{name}");
    }
    let of_no_alert: Vec<_> = sections
        .iter()
        .filter(|section| section.starts_with("Skep"))
        .filter(|section| !alerts.contains_key(**section))
        .collect();
    assert!(of_no_alert.is_empty(), "{of_no_alert:?}");
    let routes = read("deploy/alertmanager.yml");
    let matchers = &routes["route"]["routes"][0]["matchers"];
    assert!(matchers.to_string().contains(r#"service=\"gateway\""#), "{matchers}");
}
