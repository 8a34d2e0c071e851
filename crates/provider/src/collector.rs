//! The variables that name the collector of spans to a function, so that the spans of its own OpenTelemetry SDK become part of skep's traces.

use std::collections::BTreeMap;

use skep_protocol::FunctionName;

/// Adds the variables of OpenTelemetry's specification that the function has not set itself.
pub(crate) fn add(variables: &mut BTreeMap<String, String>, endpoint: &str, name: &FunctionName, namespace: &str) {
    let name = name.without_canary();
    let attributes = format!("service.namespace={namespace},faas.name={}", name.name());
    for (variable, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_SERVICE_NAME", name.name()),
        ("OTEL_RESOURCE_ATTRIBUTES", &attributes),
    ] {
        variables.entry(variable.to_owned()).or_insert_with(|| value.to_owned());
    }
}
