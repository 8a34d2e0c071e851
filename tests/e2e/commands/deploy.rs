//! `skep deploy`: what changes is said first, and the end is awaited.

use std::fs;

use serde_json::Value;

use crate::harness::{Platform, Program, Ran, wait_until};

fn stack(platform: &Platform, functions: &str) {
    fs::write(platform.site.path("shop.yml"), format!("functions:\n{functions}")).unwrap();
}

#[tokio::test]
async fn a_stack_is_compared_deployed_and_awaited() {
    let platform = Platform::start([]).await;
    let site = &platform.site;
    let shop = |arguments: &[&str]| [&["deploy", "-f", "shop.yml"], arguments].concat().join(" ");
    let deploy = async |arguments: &[&str]| {
        let arguments = shop(arguments);
        site.client(&arguments.split(' ').filter(|part| !part.is_empty()).collect::<Vec<_>>()).await
    };
    let both = "  up:\n    fprocess: tr a-z A-Z\n    environment: {LEVEL: one}\n  rot:\n    fprocess: tr a-z b-za\n";
    stack(&platform, both);
    let dry = deploy(&["--dry-run"]).await.said();
    let plan = "up is new: tr a-z A-Z\nrot is new: tr a-z b-za\n";
    assert_eq!(dry, format!("{plan}Nothing is done (--dry-run).\n"));
    assert_eq!(site.client(&["list"]).await.said(), "No functions.\n");

    let said = deploy(&[]).await.said();
    assert!(said.starts_with(plan) && said.contains("up  1 of 1 ready, after "), "{said}");
    assert_eq!(platform.gateway.call("rot", "hal").await.text(), "ibm");
    let again = deploy(&[]).await.said();
    assert!(again.starts_with("up stays as it is\nrot stays as it is\n"), "{again}");

    stack(&platform, &both.replace("A-Z", "B-ZA").replace("one", "two-secret"));
    let changed = deploy(&["--filter", "u*"]).await.said();
    let plan = "up changes\n  command: tr a-z A-Z -> tr a-z B-ZA\n  environment LEVEL: *** -> ***\n";
    assert!(changed.starts_with(plan) && changed.contains("1 of 1 ready"), "{changed}");
    assert!(!changed.contains("rot") && !changed.contains("two-secret"), "{changed}");
    // What is ready is the new version, and nothing else.
    assert_eq!(platform.gateway.call("up", "hal").await.text(), "IBM");
    deploy(&["--filter", "x*"]).await.failed(3, "x*");
    let json: Value = serde_json::from_str(&deploy(&["--json"]).await.said()).unwrap();
    assert_eq!((&json[0]["function"], &json[0]["change"]), (&"up".into(), &"same".into()));
}

#[tokio::test]
async fn one_function_is_deployed_by_its_command() {
    let platform = Platform::start([]).await;
    let site = &platform.site;
    fs::write(site.path("run.sh"), "#!/bin/sh\necho \"$GREETING $(cat)\"\n").unwrap();
    fs::set_permissions(site.path("run.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let deploy = ["deploy", "hello", "--command", "./run.sh", "--env", "GREETING=good day"];
    let said = site.client(&[&deploy[..], &["--label", "com.openfaas.scale.min=2"]].concat()).await.said();
    assert!(said.contains("hello  2 of 2 ready"), "{said}");
    assert_eq!(site.client_reading("anna", &["invoke", "hello"]).await.said(), "good day anna\n");

    // The plan counts the queued calls that wait, and they run.
    site.client(&["scale", "hello", "0"]).await.said();
    let id = platform.gateway.queue("hello", "berta").await;
    let waits = async || platform.gateway.function("hello").await.unwrap()["queueDepth"] == 1;
    wait_until("the call waits", waits).await;
    let dry = site.client(&["deploy", "hello", "--command", "./run.sh", "--dry-run"]).await.said();
    assert!(dry.starts_with("hello changes; its queued call runs with the new settings\n"), "{dry}");
    assert!(dry.contains("  environment GREETING: *** is removed\n"), "{dry}");
    site.client(&["scale", "hello", "1"]).await.said();
    assert_eq!(platform.gateway.finished(&id).await["state"], "succeeded");

    for wrong in [&["deploy", "hello"][..], &["deploy", "--command", "x"], &["deploy", "a", "-f", "b", "--image", "c"]]
    {
        site.client(wrong).await.code_is(2);
    }
    site.client(&["deploy", "-f", "nowhere.yml"]).await.failed(2, "nowhere.yml");
    site.client(&["deploy", "Upper", "--command", "x"]).await.failed(2, "Upper");
    site.client(&["deploy", "hello", "--command", "no-such-program"]).await.failed(2, "no-such-program");
    assert_eq!(site.client_reading("anna", &["invoke", "hello"]).await.said(), "good day anna\n");
}

#[tokio::test]
async fn the_sources_of_a_stack_are_deployed_with_its_functions() {
    let platform = Platform::start([]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    let deploy = async |arguments: &[&str]| site.client(&[&["deploy", "-f", "shop.yml"], arguments].concat()).await;
    let file = |kind: &str| {
        let up = "  up:\n    fprocess: tr a-z A-Z\n";
        stack(
            &platform,
            &format!(
                "{up}sources:\n  github:\n    preset: github\n    routes:\n      - to: up\n        filter: {{ type: {kind} }}\n"
            ),
        );
    };
    file("push");
    let dry = deploy(&["--dry-run"]).await.said();
    assert_eq!(dry, "up is new: tr a-z A-Z\nsource github is new\nNothing is done (--dry-run).\n");
    assert!(site.client(&["sources", "list"]).await.said().starts_with("No sources."));
    let said = deploy(&[]).await.said();
    assert!(said.contains("up  1 of 1 ready") && said.contains("skep sources secret add github"), "{said}");
    gateway.add_secret("github", "It's a Secret to Everybody").await;
    gateway.wait_for_source("github").await;
    gateway.push("github", "one").await;
    let call = gateway.routed_event("github", "one").await["calls"][0]["callId"].as_str().unwrap().to_owned();
    assert_eq!(gateway.finished(&call).await["state"], "succeeded");

    let again = deploy(&[]).await.said();
    assert!(again.starts_with("up stays as it is\nsource github stays as it is\n"), "{again}");
    file("release");
    let only = deploy(&["--filter", "up"]).await.said();
    assert!(!only.contains("source"), "{only}");
    let changed: Value = serde_json::from_str(&deploy(&["--filter", "git*", "--json"]).await.said()).unwrap();
    assert_eq!(changed, serde_json::json!([{ "source": "github", "change": "changed" }]));
    let declared = crate::harness::answer_to(gateway.get("/system/sources/github")).await.json();
    assert_eq!(declared["spec"]["routes"][0]["filter"]["type"], "release", "{declared}");
    assert_eq!(declared["secrets"][0]["number"], 1, "its secret stays");
    deploy(&["--filter", "x*"]).await.failed(3, "no function or source");
    // What the gateway refuses is printed, and the functions are deployed all the same.
    let url = "sources:\n  sms:\n    preset: twilio\n    routes: [{ to: up }]\n";
    stack(&platform, &format!("  down:\n    fprocess: tr A-Z a-z\n{url}"));
    let refused = deploy(&[]).await;
    assert!(refused.stdout.contains("down  1 of 1 ready"), "{refused:?}");
    refused.failed(2, "source sms");
}

#[tokio::test]
async fn two_hundred_functions_are_deployed_with_progress_until_all_are_ready() {
    let platform = Platform::start([]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    let plain = (1..200).map(|number| format!("  f-{number}:\n    fprocess: sed s/^/{number}-/\n"));
    // One takes no connections before the gate is there.
    let program = "sh -c 'until [ -e gate ]; do sleep 0.1; done; exec python3 -m http.server $PORT'";
    let late = format!("  late:\n    fprocess: {program}\n    environment: {{mode: http}}\n");
    stack(&platform, &(plain.collect::<String>() + &late));
    let command = site.client_command(&["deploy", "-f", "shop.yml", "--timeout", "10m"]);
    let deploy = Program::start("deploy", command, site.folder());
    for progress in ["\n200 of 200 functions are deployed, after ", "\n199 of 200 functions are ready, after "] {
        wait_until(progress, async || deploy.stdout().contains(progress)).await;
    }
    site.open_gate();
    let said = Ran::of(deploy).await.said();
    let last = said.lines().last().unwrap();
    assert!(last.starts_with("200 of 200 functions are ready, after "), "{said}");
    assert!(!said.contains("1 of 1 ready"), "so many are not shown one by one: {said}");
    for number in [1, 100, 199] {
        assert_eq!(gateway.call(&format!("f-{number}"), "x").await.text(), format!("{number}-x"));
    }
    let again = site.client(&["deploy", "-f", "shop.yml"]).await.said();
    assert_eq!(again.matches(" stays as it is\n").count(), 200, "{again}");
}
