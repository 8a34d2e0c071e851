//! MQTT: real clients publish, and their messages become events.

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::json;

use crate::harness::{Function, Platform, Site, answer_to, free_address, variable, wait_until};

/// The client of Debian's mosquitto-clients; where it is missing the tests say so, and with CI=true they fail.
pub(crate) fn has_mosquitto() -> bool {
    let is_there = Command::new("mosquitto_pub").arg("--help").output().is_ok();
    if !is_there {
        let reported = "mosquitto_pub is missing here (apt-get install mosquitto-clients), so MQTT is not tested";
        assert!(variable("CI").is_none(), "{reported}");
        eprintln!("{reported}");
    }
    is_there
}

pub(crate) struct Device {
    pub(crate) host: String,
    pub(crate) port: String,
    pub(crate) user: String,
    pub(crate) password: String,
}

impl Device {
    fn of(site: &Site, port: u16) -> Self {
        let (user, password) = crate::own_nats::user(site, "mqtt");
        Self { host: "127.0.0.1".to_owned(), port: port.to_string(), user, password }
    }

    pub(crate) fn publish(&self, topic: &str, qos: &str, body: &str, more: &[&str]) -> Output {
        let mut command = Command::new("mosquitto_pub");
        command.args(["-h", &self.host, "-p", &self.port, "-u", &self.user, "-P", &self.password]);
        command.args(["-t", topic, "-q", qos, "-m", body]).args(more).output().unwrap()
    }

    pub(crate) fn must_publish(&self, topic: &str, qos: &str, body: &str) {
        let output = self.publish(topic, qos, body, &[]);
        assert!(output.status.success(), "{topic} {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn noting() -> Function {
    Function::new("ingest", r#"sh -c 'echo "$Http_X_Skep_Event_Type $Http_X_Topic $(cat)" >> runs'"#)
}

#[tokio::test]
async fn messages_of_devices_are_events_with_their_topics() {
    if !has_mosquitto() {
        return;
    }
    let listen = free_address();
    let arguments = ["--mqtt-listen".to_owned(), listen.to_string()];
    let platform = Platform::start_with(&arguments.each_ref().map(String::as_str), [noting()]).await;
    let topics = json!(["home/+/motion", "garden/#", "odd//level"]);
    platform.gateway.listen_to("home", json!({ "mqtt": { "topics": topics }, "routes": [{ "to": "ingest" }] })).await;
    let device = Device::of(&platform.site, listen.port());
    device.must_publish("home/kitchen/motion", "1", "one");
    device.must_publish("home/v1.2/motion", "0", "two");
    device.must_publish("garden/a/b", "2", "three");
    device.must_publish("garden", "1", "four");
    device.must_publish("odd//level", "1", "five");
    device.must_publish("home/kitchen/light", "1", "other");
    platform.site.wait_for_runs(5).await;
    let mut runs = platform.site.runs();
    runs.sort();
    let reported = |topic: &str, body: &str| format!("{topic} {topic} {body}");
    let mut expected = [
        reported("home/kitchen/motion", "one"),
        reported("home/v1.2/motion", "two"),
        reported("garden/a/b", "three"),
        reported("garden", "four"),
        reported("odd//level", "five"),
    ];
    expected.sort();
    assert_eq!(runs, expected);
    // A device reaches nothing of skep, and nobody gets in without its password.
    let forged = device.publish("skep/publish/ingest", "1", "forged", &[]);
    let stranger = Device { password: "wrong".to_owned(), ..Device::of(&platform.site, listen.port()) };
    assert!(!stranger.publish("home/kitchen/motion", "1", "stranger", &[]).status.success());
    device.must_publish("home/hall/motion", "1", "last");
    platform.site.wait_for_runs(6).await;
    let events = answer_to(platform.gateway.get("/system/calls")).await.text();
    assert!(!events.contains("pub-"), "{forged:?} {events}");
}

/// Kills everything, and starts it again.
async fn restart(platform: &mut Platform, arguments: &[&str]) {
    platform.up.kill();
    wait_until("all processes are gone", async || platform.site.processes().is_empty()).await;
    platform.up = platform.site.up(arguments).await;
}

#[tokio::test]
async fn what_was_acknowledged_outlives_a_kill_of_everything() {
    if !has_mosquitto() {
        return;
    }
    let listen = free_address();
    let arguments = ["--mqtt-listen".to_owned(), listen.to_string()];
    let arguments = arguments.each_ref().map(String::as_str);
    let mut platform = Platform::start_with(&arguments, [noting()]).await;
    platform
        .gateway
        .listen_to("home", json!({ "mqtt": { "topics": ["home/#"] }, "routes": [{ "to": "ingest" }] }))
        .await;
    let device = Device::of(&platform.site, listen.port());
    for number in 0..20 {
        device.must_publish("home/door", "1", &number.to_string());
        if number == 10 {
            restart(&mut platform, &arguments).await;
        }
    }
    restart(&mut platform, &arguments).await;
    wait_until("each has run", async || {
        (0..20).all(|number| platform.site.runs().contains(&format!("home/door home/door {number}")))
    })
    .await;
    assert_eq!(platform.gateway.events("home").await.len(), 20, "none is two events");
    // Retained messages that were there before are no events.
    let output = device.publish("home/state", "1", "kept", &["-r"]);
    assert!(output.status.success());
    platform.gateway.wait_for_events("home", 21).await;
    assert!(Path::new(&platform.site.data).join("nats-users/mqtt").is_file());
}
