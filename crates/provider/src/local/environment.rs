//! The variables of a watchdog, and so of the function that it runs.

use std::{collections::BTreeMap, path::Path, time::Duration};

use skep_process::ProcessTag;
use skep_protocol::{FunctionDeployment, FunctionName, TIMEOUT, format_duration};

use super::SECRETS_DIR;

/// Functions that take all of the processor still leave enough of it to accept calls.
const NICE: &str = "10";

/// Where one function runs.
pub(super) struct Surroundings<'place> {
    pub(super) inherited: &'place BTreeMap<String, String>,
    pub(super) namespace: &'place str,
    pub(super) secrets: &'place Path,
    pub(super) timeout: Duration,
    pub(super) tag: &'place ProcessTag,
}

/// What is inherited, then what the function sets, then what the provider must decide.
pub(super) fn variables(
    name: &FunctionName,
    deployment: &FunctionDeployment,
    surroundings: &Surroundings<'_>,
) -> BTreeMap<String, String> {
    let mut variables = surroundings.inherited.clone();
    variables.extend(deployment.env_vars.clone());
    // The other name of fprocess would win over the command that was checked.
    variables.remove("function_process");

    variables.entry("nice".to_owned()).or_insert_with(|| NICE.to_owned());

    // A function that is cut off by its own time-out must still get its answer out.
    let longer = surroundings.timeout + Duration::from_secs(1);
    for (setting, duration) in
        [("exec_timeout", surroundings.timeout), ("read_timeout", longer), ("write_timeout", longer)]
    {
        variables.entry(setting.to_owned()).or_insert_with(|| format_duration(duration));
    }
    if deployment.annotations.contains_key(TIMEOUT) {
        // The function's one limit; every hop goes by it.
        variables.insert("exec_timeout".to_owned(), format_duration(surroundings.timeout));
    }
    let mut set = |variable: &str, value: &str| variables.insert(variable.to_owned(), value.to_owned());
    set("fprocess", &deployment.env_process);
    set("OPENFAAS_NAME", name.name());
    set("OPENFAAS_NAMESPACE", surroundings.namespace);
    set("listen_address", "127.0.0.1");
    set("port", "0");
    // Replicas share the machine, and so one port for metrics would be too few.
    set("metrics_port", "0");
    set("lifeline", "stdin");
    set("suppress_lock", "true");
    set("healthcheck_interval", "0s");
    set(ProcessTag::VARIABLE, surroundings.tag.as_str());
    if !deployment.secrets.is_empty() {
        set(SECRETS_DIR, &surroundings.secrets.to_string_lossy());
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_function_overrides_what_is_inherited_and_not_what_the_provider_decides() {
        let pairs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let deployment = FunctionDeployment {
            env_process: "cat".to_owned(),
            env_vars: pairs(&[("HOME", "/mine"), ("port", "1"), ("function_process", "rm"), ("write_timeout", "9s")]),
            secrets: vec!["key".to_owned()],
            ..FunctionDeployment::default()
        };
        let surroundings = Surroundings {
            inherited: &pairs(&[("HOME", "/root"), ("PATH", "/bin")]),
            namespace: "dev",
            secrets: Path::new("/data/secrets"),
            timeout: Duration::from_millis(1500),
            tag: &ProcessTag::new(None),
        };
        let found = variables(&"f_dev".parse().unwrap(), &deployment, &surroundings);
        for (variable, value) in [
            ("HOME", "/mine"),
            ("PATH", "/bin"),
            ("port", "0"),
            ("nice", "10"),
            ("fprocess", "cat"),
            ("exec_timeout", "1500ms"),
            ("read_timeout", "2500ms"),
            ("write_timeout", "9s"),
            ("OPENFAAS_NAME", "f"),
            ("OPENFAAS_NAMESPACE", "dev"),
            (SECRETS_DIR, "/data/secrets"),
        ] {
            assert_eq!(found.get(variable).map(String::as_str), Some(value), "{variable}");
        }
        assert!(!found.contains_key("function_process"));
    }
}
