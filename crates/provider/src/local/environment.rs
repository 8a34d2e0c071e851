//! The variables of a watchdog, and so of the function that it runs.

use std::{collections::BTreeMap, path::Path, time::Duration};

use skep_process::ProcessTag;
use skep_protocol::{FunctionDeployment, FunctionName, TIMEOUT, format_duration};

use crate::{Error, Result, collector};

use super::SECRETS_DIR;

/// Functions that take all of the processor still leave enough of it to accept calls.
pub(super) const NICE: &str = "10";

/// The longest text that the kernel takes as one variable or argument, with the NUL at its end (`MAX_ARG_STRLEN`).
const MAX_TEXT: usize = 128 * 1024;
/// The most that variables and arguments may take together; a kernel takes a quarter of the stack's limit, 2 MiB.
/// What a request adds has its place beside it.
const MAX_WHOLE: usize = 1024 * 1024;

/// Refuses what no process could be started with.
pub(super) fn check(name: &FunctionName, deployment: &FunctionDeployment) -> Result<()> {
    let refused = |reason: String| Err(Error::Invalid(format!("function {name}: {reason}")));
    let command = [("fprocess", &deployment.env_process)];
    let variables = deployment.env_vars.iter().map(|(variable, value)| (variable.as_str(), value));
    let mut whole = 0;
    for (variable, value) in command.into_iter().chain(variables) {
        let size = variable.len() + value.len() + 2;
        if size > MAX_TEXT {
            return refused(format!("variable {variable} has {size} bytes, and no process takes more than {MAX_TEXT}"));
        }
        whole += size;
    }
    if whole > MAX_WHOLE {
        return refused(format!("its variables have {whole} bytes together, more than the {MAX_WHOLE} allowed"));
    }
    Ok(())
}

/// Where one function runs.
pub(super) struct Surroundings<'context> {
    pub(super) inherited: &'context BTreeMap<String, String>,
    pub(super) namespace: &'context str,
    pub(super) secrets: &'context Path,
    /// Where temporary files go, unless that is inherited.
    pub(super) temporary: Option<&'context Path>,
    pub(super) timeout: Duration,
    /// Where its own spans go, if it asks for that.
    pub(super) collector: Option<&'context str>,
    pub(super) tag: &'context ProcessTag,
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

    if let Some(endpoint) = surroundings.collector {
        collector::add(&mut variables, endpoint, name, surroundings.namespace);
    }
    variables.entry("nice".to_owned()).or_insert_with(|| NICE.to_owned());

    // A function that is cut off by its own timeout must still get its answer out.
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
    set("OPENFAAS_NAME", name.without_canary().name());
    set("OPENFAAS_NAMESPACE", surroundings.namespace);
    set("listen_address", "127.0.0.1");
    set("port", "0");
    // Replicas share the machine, and so one port for metrics would be too few.
    set("metrics_port", "0");
    set("lifeline", "stdin");
    // So that each log line names its call.
    set("SKEP_LOG_TAGS", "true");
    set("suppress_lock", "true");
    set("healthcheck_interval", "0s");
    set(ProcessTag::VARIABLE, surroundings.tag.as_str());
    if let Some(temporary) = surroundings.temporary {
        set("TMPDIR", &temporary.to_string_lossy());
    }
    if !deployment.secrets.is_empty() {
        set(SECRETS_DIR, &surroundings.secrets.to_string_lossy());
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_process_can_be_started_with_is_refused() {
        let with = |variables: usize, bytes: usize| {
            let env_vars = (0..variables).map(|number| (format!("V{number}"), "x".repeat(bytes))).collect();
            let deployment = FunctionDeployment { env_vars, ..FunctionDeployment::default() };
            check(&"f".parse().unwrap(), &deployment).map_err(|error| error.to_string())
        };
        assert_eq!(with(1, 100_000), Ok(()));
        assert!(with(1, 200_000).unwrap_err().contains("variable V0 has 200004 bytes"));
        assert!(with(11, 100_000).unwrap_err().contains("together"));
    }

    #[test]
    fn the_function_overrides_what_is_inherited_and_not_what_the_provider_decides() {
        let pairs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let deployment = FunctionDeployment {
            env_process: "cat".to_owned(),
            env_vars: pairs(&[
                ("HOME", "/mine"),
                ("port", "1"),
                ("function_process", "rm"),
                ("write_timeout", "9s"),
                ("OTEL_RESOURCE_ATTRIBUTES", "team=bees"),
            ]),
            secrets: vec!["key".to_owned()],
            ..FunctionDeployment::default()
        };
        let surroundings = Surroundings {
            inherited: &pairs(&[("HOME", "/root"), ("PATH", "/bin")]),
            namespace: "dev",
            secrets: Path::new("/data/secrets"),
            temporary: Some(Path::new("/data/tmp")),
            timeout: Duration::from_millis(1500),
            collector: Some("http://collector:4318"),
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
            ("TMPDIR", "/data/tmp"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_SERVICE_NAME", "f"),
            ("OTEL_RESOURCE_ATTRIBUTES", "team=bees"),
        ] {
            assert_eq!(found.get(variable).map(String::as_str), Some(value), "{variable}");
        }
        assert!(!found.contains_key("function_process"));
    }
}
