//! MQTT in the stack, if a port is asked for: what that changes in the stack file and in the settings of NATS.

use skep_bus::device_permissions;
use skep_protocol::Subjects;

use crate::nats_users;

/// The name and the password of the user of all devices.
pub(crate) const SECRET: &str = "nats-mqtt";
pub(crate) const USER: &str = "skep-mqtt";
const PORT: u16 = 1883;

/// The stack file with a port for devices. NATS reaches it by a network of its own, because all others of it are internal.
pub(crate) fn stack_file(file: &str, port: u16) -> String {
    let nats = "    secrets: [nats-gateway, nats-queue-worker, nats-controller, nats-operator]\n    volumes: [\"nats:/data\"]\n    networks: [platform]\n";
    let with_port = format!(
        "    secrets: [nats-gateway, nats-queue-worker, nats-controller, nats-operator, {SECRET}]\n    volumes: [\"nats:/data\"]\n    \
         networks: [platform, devices]\n    ports:\n      - {{ target: {PORT}, published: {port}, protocol: tcp, mode: host }}\n"
    );
    let networks = "networks:\n  # NATS, and what speaks to it.\n";
    let with_network = format!(
        "networks:\n  # NATS, and devices that speak MQTT.\n  devices:\n    driver: overlay\n{}",
        &networks[10..]
    );
    let secrets = "  nats-operator: { external: true }\n";
    // A config cannot change under its name.
    file.replace("nats-stack-6", "nats-stack-6-mqtt")
        .replace(nats, &with_port)
        .replace(networks, &with_network)
        .replace(secrets, &format!("{secrets}  {SECRET}: {{ external: true }}\n"))
}

/// The settings of NATS with MQTT and the user of devices. A server that takes MQTT has to have a name.
pub(crate) fn nats_settings(settings: &str, subjects: &Subjects) -> String {
    let include = "include ../run/secrets/nats-operator\n";
    let with_mqtt = format!("{include}include ../run/secrets/{SECRET}\n\nserver_name: skep\nmqtt {{ port: {PORT} }}\n");
    let users = "\n]\n}";
    let with_user = format!("\n{}]\n}}", nats_users::device(USER, &format!("${USER}"), &device_permissions(subjects)));
    settings.replace(include, &with_mqtt).replace(users, &with_user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_have_a_port_a_network_a_secret_and_a_user_for_devices() {
        let stack = stack_file(include_str!("../../../docker-compose.yml"), 2883);
        for (text, times) in [
            ("published: 2883,", 1),
            ("networks: [platform, devices]", 1),
            ("\n  devices:\n    driver: overlay\n", 1),
            ("\n  nats-mqtt: { external: true }", 1),
            ("nats-operator, nats-mqtt]", 1),
            ("nats-stack-6-mqtt", 2),
            ("\n  # NATS, and what speaks to it.\n  platform:\n", 1),
        ] {
            assert_eq!(stack.matches(text).count(), times, "{text}");
        }
        let settings = include_str!("../../../deploy/nats-stack.conf");
        let with_mqtt = nats_settings(settings, &Subjects::default());
        for text in
            ["include ../run/secrets/nats-mqtt\n", "\nmqtt { port: 1883 }\n", "user: skep-mqtt, password: $skep-mqtt,"]
        {
            assert_eq!(with_mqtt.matches(text).count(), 1, "{text}");
        }
        assert!(with_mqtt.trim_end().ends_with("  } }\n]\n}"), "{}", &with_mqtt[with_mqtt.len() - 60..]);
    }
}
