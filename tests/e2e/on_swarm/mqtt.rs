//! MQTT in the stack, if it is asked for.

use std::net::TcpStream;

use http::Method;
use serde_json::json;

use super::one_command::skep;
use crate::{
    harness::{Gateway, Swarm, deployment, wait_until},
    mqtt::{Device, has_mosquitto},
};

const PORT: &str = "2883";

fn shown<'s>(said: &'s str, user: &str) -> &'s str {
    let shown = format!("The password of {user} is new, and is shown only here: ");
    said.split_once(&shown).unwrap_or_else(|| panic!("{said}")).1.lines().next().unwrap()
}

#[tokio::test]
async fn devices_reach_the_stack_only_if_that_is_asked_for_and_only_with_the_password() {
    if !has_mosquitto() {
        return;
    }
    let swarm = Swarm::start(1).await;
    swarm.make_images().await;
    let (code, said) = skep(&swarm, &["swarm", "up", "--without-prometheus"]).await;
    assert!(code == Some(0) && !said.contains("skep-mqtt"), "{said}");
    let host = swarm.manager().address.to_string();
    let address = format!("{host}:{PORT}");
    assert!(TcpStream::connect(&address).is_err());
    let gateway = Gateway::new(format!("http://{host}:8080")).with_credentials("admin", shown(&said, "admin"));

    let (code, said) = skep(&swarm, &["swarm", "up", "--without-prometheus", "--mqtt-port", PORT]).await;
    assert!(code == Some(0) && said.contains(&format!("MQTT at port {PORT}")), "{said}");
    let password = shown(&said, "skep-mqtt").to_owned();
    wait_until("the port is open", async || TcpStream::connect(&address).is_ok()).await;
    wait_until("the gateway answers", async || {
        gateway.get("/healthz").send().await.is_ok_and(|said| said.status() == 200)
    })
    .await;
    // NATS was replaced, so the controller connects again.
    wait_until("the controller answers", async || {
        let deployed = gateway.send(Method::POST, "/system/functions", &deployment("ingest", "cat")).await;
        // An answer that was lost may have been that it is deployed.
        [202, 409].contains(&deployed.status)
    })
    .await;
    gateway.wait_for_replicas("ingest", 1).await;
    gateway.listen_to("home", json!({ "mqtt": { "topics": ["home/+/motion"] }, "routes": [{ "to": "ingest" }] })).await;
    let device = Device { host, port: PORT.to_owned(), user: "skep-mqtt".to_owned(), password };
    device.must_publish("home/kitchen/motion", "1", "moved");
    let events = gateway.wait_for_events("home", 1).await;
    assert_eq!(events[0]["type"], "home/kitchen/motion", "{events:?}");
    let stranger = Device { password: "wrong".to_owned(), ..device };
    assert!(!stranger.publish("home/kitchen/motion", "1", "stranger", &[]).status.success());
    let again = skep(&swarm, &["swarm", "up", "--without-prometheus", "--mqtt-port", PORT]).await;
    assert!(again.0 == Some(0) && !again.1.contains("shown only here"), "{}", again.1);

    // Without the setting it would stay, because settings are remembered.
    let (code, said) = skep(&swarm, &["swarm", "up", "--mqtt-port", "0"]).await;
    assert_eq!(code, Some(0), "{said}");
    wait_until("the port is closed", async || TcpStream::connect(&address).is_err()).await;
    let (code, said) = skep(&swarm, &["swarm", "down", "--volumes"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(swarm.manager().docker(&["secret", "ls", "--quiet"]).await, "");
}
