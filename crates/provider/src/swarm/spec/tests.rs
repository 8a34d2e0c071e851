use std::sync::LazyLock;

use bollard::models::TaskSpec;
use proptest::{collection::btree_map, prelude::*};
use skep_protocol::{SCALE_MIN, TRACE_EXPORT};

use super::*;

fn check(change: impl FnOnce(&mut FunctionDeployment)) -> Result<ServiceSpec, String> {
    let mut deployment = FunctionDeployment {
        service: "f".to_owned(),
        image: "team/f:1".to_owned(),
        env_process: "cat".to_owned(),
        ..Default::default()
    };
    change(&mut deployment);
    service(&"f".parse().unwrap(), &deployment, &surroundings(&[]))
}

static HARDENING: LazyLock<Hardening> =
    LazyLock::new(|| Hardening { processes: 1024, capabilities: vec!["NET_RAW".to_owned()] });

fn surroundings(secrets: &[SecretVersion]) -> Surroundings<'_> {
    Surroundings {
        network: "net",
        secrets,
        registry: "SKEP_FUNCTIONS",
        hardening: &HARDENING,
        namespace: "openfaas-fn",
        default_timeout: Duration::from_secs(60),
        collector: Some("http://collector:4318"),
    }
}

fn template(spec: ServiceSpec) -> TaskSpec {
    spec.task_template.unwrap()
}

fn container_of(spec: ServiceSpec) -> TaskSpecContainerSpec {
    template(spec).container_spec.unwrap()
}

fn pairs(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_command_is_the_first_variable_and_the_provider_s_own_are_the_last_word() {
    let env = |change: fn(&mut FunctionDeployment)| container_of(check(change).unwrap()).env.unwrap();
    let found = env(|asked| asked.env_vars = pairs(&[("A", "1"), ("fprocess", "rm"), ("OPENFAAS_NAME", "x")]));
    let own = ["OPENFAAS_NAME=f", "OPENFAAS_NAMESPACE=openfaas-fn", "SKEP_LOG_TAGS=true"];
    assert_eq!(found, ["fprocess=cat", "A=1", own[0], own[1], own[2]]);
    // Without a command that of the image stands, and a variable may name it.
    let found = env(|asked| {
        asked.env_process.clear();
        asked.env_vars = pairs(&[("fprocess", "wc")]);
    });
    assert_eq!(found[3], "fprocess=wc");
    let found = env(|asked| asked.env_vars = pairs(&[("SKEP_LOG_TAGS", "false")]));
    assert!(found.contains(&"SKEP_LOG_TAGS=false".to_owned()), "{found:?}");
}

#[test]
fn a_function_that_asks_for_it_is_told_where_the_collector_is() {
    let asked = |asked: &mut FunctionDeployment| {
        asked.annotations = pairs(&[(TRACE_EXPORT, "on")]);
        asked.env_vars = pairs(&[("OTEL_SERVICE_NAME", "mine")]);
    };
    let (with, without) = (check(asked).unwrap(), check(|_| ()).unwrap());
    assert_ne!(fingerprint_in(&with), fingerprint_in(&without));
    let env = container_of(with).env.unwrap();
    for variable in [
        "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318",
        "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
        "OTEL_RESOURCE_ATTRIBUTES=service.namespace=openfaas-fn,faas.name=f",
        "OTEL_SERVICE_NAME=mine",
    ] {
        assert!(env.contains(&variable.to_owned()), "{env:?}");
    }
    let elsewhere = Surroundings { collector: Some("http://elsewhere:4318"), ..surroundings(&[]) };
    let deployment = |change: fn(&mut FunctionDeployment)| {
        let mut deployment = FunctionDeployment { service: "f".to_owned(), ..Default::default() };
        change(&mut deployment);
        fingerprint(&deployment, &elsewhere) == fingerprint(&deployment, &surroundings(&[]))
    };
    assert!(deployment(|_| ()), "functions that do not ask for it stay as they are");
    assert!(!deployment(|asked| asked.annotations = pairs(&[(TRACE_EXPORT, "on")])));
}

#[test]
fn one_limit_goes_to_every_hop() {
    let found = check(|asked| asked.annotations = pairs(&[(TIMEOUT, "90s")])).unwrap();
    let container = container_of(found);
    let env = container.env.unwrap();
    assert!(
        ["exec_timeout=90s", "read_timeout=91s", "write_timeout=91s"]
            .iter()
            .all(|one| env.contains(&(*one).to_owned())),
        "{env:?}"
    );
    assert_eq!(container.stop_grace_period, Some(185_000_000_000));
    let found = container_of(check(|asked| asked.env_vars = pairs(&[("healthcheck_interval", "1s")])).unwrap());
    assert_eq!(found.stop_grace_period, Some(66_000_000_000));
}

#[test]
fn labels_are_on_the_service_and_on_its_containers() {
    let found = check(|asked| {
        asked.labels = pairs(&[("team", "bees"), (SCALE_MIN, "2")]);
        asked.annotations = pairs(&[("topic", "a\nb")]);
    })
    .unwrap();
    let labels = found.labels.clone().unwrap();
    for (key, value) in [
        ("team", "bees"),
        ("com.openfaas.annotations.topic", "a\nb"),
        ("com.openfaas.function", "f"),
        ("function", "true"),
        (labels::REGISTRY, "SKEP_FUNCTIONS"),
        (labels::FUNCTION, "f"),
    ] {
        assert_eq!(labels.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert_eq!(container_of(found).labels, Some(labels));
    let clash = check(|asked| {
        asked.labels = pairs(&[("com.openfaas.annotations.topic", "x")]);
        asked.annotations = pairs(&[("topic", "y")]);
    });
    assert!(clash.unwrap_err().contains("annotation topic"));
    assert!(check(|asked| asked.labels = pairs(&[(labels::FUNCTION, "g")])).unwrap_err().contains("skep's own"));
}

#[test]
fn amounts_are_applied_with_docker_s_minimum() {
    let amounts = |memory: &str, cpu: &str| -> Resources {
        [("memory", memory), ("cpu", cpu)].map(|(key, value)| (key.to_owned(), Some(value.to_owned()))).into()
    };
    let found = check(|asked| {
        asked.limits = Some(amounts("5Mi", "100m"));
        asked.requests = Some(amounts("64m", "0.05"));
    })
    .unwrap();
    let resources = template(found).resources.unwrap();
    let (limits, reservations) = (resources.limits.unwrap(), resources.reservations.unwrap());
    assert_eq!((limits.memory_bytes, limits.nano_cpus), (Some(MIN_MEMORY), Some(100_000_000)));
    assert_eq!((reservations.memory_bytes, reservations.nano_cpus), (Some(64 << 20), Some(50_000_000)));
    assert!(
        check(|asked| asked.limits = Some(amounts("much", ""))).unwrap_err().starts_with("limits: memory \"much\"")
    );
    assert!(check(|asked| asked.requests = Some(amounts("", "fast"))).unwrap_err().starts_with("requests: cpu"));
}

#[test]
fn a_container_has_no_rights_and_bounds() {
    let spec = check(|asked| asked.annotations = pairs(&[("skep.capabilities", "NET_RAW")])).unwrap();
    let template = template(spec.clone());
    assert_eq!(template.resources.unwrap().limits.unwrap().pids, Some(1024));
    assert_eq!(template.log_driver.unwrap().options.unwrap()["max-size"], "10m");
    let container = container_of(spec);
    assert_eq!(
        (container.capability_drop.unwrap(), container.capability_add.unwrap()),
        (vec!["ALL".to_owned()], vec!["CAP_NET_RAW".to_owned()])
    );
    assert_eq!(container.privileges.unwrap().no_new_privileges, Some(true));
    let refused = check(|asked| asked.annotations = pairs(&[("skep.capabilities", "SYS_ADMIN")])).unwrap_err();
    assert!(refused.contains("SYS_ADMIN is not allowed"), "{refused}");
}

#[test]
fn labels_of_docker_and_of_skep_are_refused() {
    for label in ["com.docker.stack.namespace", "com.docker.swarm.service.name", "skep.registry", "skep.anything"] {
        let refused = check(|asked| asked.labels = pairs(&[(label, "x")])).unwrap_err();
        assert!(refused.contains(label) && refused.contains("own"), "{refused}");
    }
}

#[test]
fn an_image_with_a_digest_is_passed_on_as_it_is() {
    let digest = "0123456789abcdef".repeat(4);
    for image in [
        format!("team/f@sha256:{digest}"),
        format!("team/f:1@sha256:{digest}"),
        format!("registry.example:5000/team/f:1@sha256:{digest}"),
    ] {
        let found = check(|asked| asked.image.clone_from(&image)).unwrap();
        assert_eq!(container_of(found).image, Some(image));
    }
}

#[test]
fn a_read_only_function_can_write_to_tmp() {
    let found = container_of(check(|asked| asked.read_only_root_filesystem = true).unwrap());
    let mounts = found.mounts.unwrap();
    assert_eq!((found.read_only, mounts[0].target.as_deref()), (Some(true), Some("/tmp")));
    assert_eq!(container_of(check(|_| ()).unwrap()).mounts, Some(Vec::new()));
}

#[test]
fn a_function_runs_on_linux_unless_it_says_where() {
    let constraints = |spec: ServiceSpec| template(spec).placement.unwrap().constraints.unwrap();
    assert_eq!(constraints(check(|_| ()).unwrap()), ["node.platform.os == linux"]);
    let given = check(|asked| asked.constraints = vec!["node.role == worker".to_owned()]).unwrap();
    assert_eq!(constraints(given), ["node.role == worker"]);
    for bad in ["node.role", "node.role ~ x", "== x", "node.role==", "a b == x", "node.role = x"] {
        let refused = check(|asked| asked.constraints = vec![bad.to_owned()]).unwrap_err();
        assert!(refused.contains("constraint"), "{bad}");
    }
}

#[test]
fn a_new_value_of_a_secret_makes_another_service() {
    let with = |id: &str| {
        let secrets = [SecretVersion::example("key", id)];
        let deployment = FunctionDeployment { service: "f".to_owned(), ..Default::default() };
        service(&"f".parse().unwrap(), &deployment, &surroundings(&secrets)).unwrap()
    };
    let (one, two) = (with("id1"), with("id2"));
    assert_ne!(fingerprint_in(&one), fingerprint_in(&two));
    let secret = container_of(one).secrets.unwrap().remove(0);
    assert_eq!(secret.file.unwrap().name.as_deref(), Some("/var/openfaas/secrets/key"));
    assert_eq!(secret.secret_id.as_deref(), Some("id1"));
}

proptest! {
    #[test]
    fn the_same_deployment_makes_the_same_service(
        labels in btree_map("[a-z]{1,8}", "[ -~]{0,8}", 0..6),
        annotations in btree_map("[a-z]{1,8}", "[ -~]{0,8}", 0..6),
        env_vars in btree_map("[A-Z]{1,8}", "[ -~]{0,8}", 0..6),
    ) {
        let make = || check(|asked| {
            asked.labels.clone_from(&labels);
            asked.annotations.clone_from(&annotations);
            asked.env_vars.clone_from(&env_vars);
        });
        let (one, two) = (make().unwrap(), make().unwrap());
        prop_assert_eq!(&one, &two);
        prop_assert_eq!(container_of(one).env.unwrap().len(), env_vars.len() + 4);
    }
}
