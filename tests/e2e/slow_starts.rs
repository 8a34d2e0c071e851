//! `skep up` while NATS does not answer during its start: it waits, and says so.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::harness::{Function, Moment, Program, Site, Tap, wait_until};

/// What the log says of a step that waits.
const WAITS: &str = "the start waits for NATS";

/// Waits until it has said this of a start that goes on.
async fn says(up: &mut Program, text: &str) {
    wait_until(text, async || {
        let said = up.stderr();
        assert!(up.status().is_none(), "it ended: {said}");
        said.contains(text)
    })
    .await;
}

/// Starts it with a wire to NATS on which nothing moves any more from this message on, until it waits.
async fn a_start_goes_on_after(moment: Moment, text: &str, said: &str) {
    let site = Site::new([Function::cat(), Function::counted()]);
    let _nats = site.start_nats().await;
    let tap = Tap::start(site.nats).await;
    tap.set(moment, text, 0, false);
    let mut up = Program::start("up", site.up_command(&["--nats-url", &tap.url]), site.folder());
    wait_until("the message", async || tap.has_caught()).await;
    says(&mut up, said).await;
    tap.cut();
    site.wait_for_functions().await;
    assert_eq!(site.gateway.call("cat", "x").await.text(), "x");
}

#[tokio::test]
async fn a_wire_that_is_held_while_the_controller_starts_is_waited_for() {
    a_start_goes_on_after(
        Moment::Published("$KV.SKEP_VERSIONS._controller"),
        "_controller",
        "the controller's lease cannot be taken now",
    )
    .await;
    a_start_goes_on_after(Moment::Published("$JS.API.CONSUMER.CREATE.KV_SKEP_NAMESPACES"), "NAMESPACES", WAITS).await;
}

#[tokio::test]
async fn a_wire_that_is_held_while_functions_are_deployed_is_waited_for() {
    a_start_goes_on_after(Moment::Published("skep.control.deploy"), "counted", WAITS).await;
}

#[tokio::test]
async fn its_own_server_is_waited_for_as_long_as_it_lives() {
    let mut site = Site::new([Function::cat()]);
    // It lives, and does not answer before the file `go` is there.
    let (go, program) = (site.path("go"), site.nats_server.clone());
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] || while [ ! -e {} ]; do sleep 0.1; done\nexec {} \"$@\"\n",
        go.display(),
        program.display()
    );
    site.nats_server = site.path("nats-server");
    fs::write(&site.nats_server, script).unwrap();
    fs::set_permissions(&site.nats_server, fs::Permissions::from_mode(0o755)).unwrap();
    let mut up = Program::start("up", site.up_command(&["--nats-wait", "1s"]), site.folder());
    says(&mut up, WAITS).await;
    fs::write(go, "").unwrap();
    site.wait_for_functions().await;
    says(&mut up, "the start goes on").await;
    assert_eq!(site.gateway.call("cat", "x").await.text(), "x");
}

#[tokio::test]
async fn a_server_that_ends_by_itself_is_not_waited_for() {
    let mut site = Site::new([Function::cat()]);
    site.nats_server = site.path("nats-server");
    fs::write(&site.nats_server, "#!/bin/sh\n[ \"$1\" != --version ] || echo 'nats-server: v2.12.3'\n").unwrap();
    fs::set_permissions(&site.nats_server, fs::Permissions::from_mode(0o755)).unwrap();
    let (code, said) = site.run_to_the_end(site.up_command(&["--nats-wait", "1s"])).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--nats-server") && said.contains("nats.log"), "{said}");
}
