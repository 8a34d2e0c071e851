//! `skep up` brings a stack into being while others deploy too.

use serde_json::json;
use skep_protocol::{Author, control::Deploy};

use crate::{
    bus,
    harness::{Function, Program, Site, wait_until},
};

#[tokio::test]
async fn a_function_that_somebody_else_deploys_meanwhile_becomes_what_the_stack_says() {
    // There is time to deploy the last one while the others come into being. Without replicas they cost nothing.
    let asleep = |name: &str| Function::new(name, "cat").label("com.openfaas.scale.min", "0");
    let site = Site::new((0..240).map(|number| asleep(&format!("f{number:03}"))));
    let _nats = site.start_nats().await;
    let bus = bus::connect(&site).await;
    let up = Program::start("up", site.up_command(&["--nats-url", &site.nats_url]), site.folder());
    // When the first one is there, the look at what is deployed is over.
    wait_until("the first function", async || !bus.registry.functions().await.unwrap().is_empty()).await;
    let mut other = asleep("f239").deployment(site.folder());
    other["labels"]["whose"] = json!("somebody else's");
    let deployed = bus
        .control
        .request(&Deploy { deployment: serde_json::from_value(other).unwrap(), author: Author::default() })
        .await;
    deployed.expect("the stack was faster");

    site.wait_for_functions().await;
    let status = async || site.gateway.function("f239").await.unwrap();
    wait_until("the stack's own one", async || status().await["labels"]["whose"].is_null()).await;
    assert!(!up.stderr().contains("already exists"), "{}", up.stderr());
}
