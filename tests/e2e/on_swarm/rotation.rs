//! Other passwords on NATS, while calls come in.

use serde_json::json;

use super::one_command::{gateways, skep};
use crate::harness::{Callers, Calling, Load, Swarm, deployment, wait_until};

#[tokio::test]
async fn passwords_on_nats_are_replaced_and_no_call_is_lost() {
    let swarm = Swarm::start(2).await;
    swarm.make_images().await;
    let up = ["swarm", "up", "--without-prometheus", "--gateways", "2", "--workers", "2", "--wait", "10m"];
    let (code, said) = skep(&swarm, &up).await;
    assert_eq!(code, Some(0), "{said}");
    let gateways = gateways(&swarm, &said);
    let mut echo = deployment("echo", "cat");
    echo["labels"] = json!({ "com.openfaas.scale.min": "2" });
    gateways[0].deploy(&echo).await;
    let later = gateways[0].queue_later("echo", "1h").await;

    for generation in ["2", "3"] {
        let (sync, queue) = (Load::start(&gateways, "echo"), Callers::start(Calling::Queue, &gateways));
        wait_until("calls are accepted", async || queue.answered() > 50).await;
        let (code, said) = skep(&swarm, &["swarm", "password", "--rotate-nats", "--wait", "10m"]).await;
        assert_eq!(code, Some(0), "{said}");
        let answered = queue.answered();
        wait_until("calls are accepted after it", async || queue.answered() > answered + 50).await;
        let tally = sync.stop().await;
        let ids = queue.accepted();
        drop(queue);
        for some in ids.chunks(16) {
            let ends = futures_util::future::join_all(some.iter().map(|id| gateways[1].finished(id))).await;
            assert!(ends.iter().all(|end| end["state"] == "succeeded"), "{ends:?}");
        }
        eprintln!(
            "{} synchronous calls, {} failed; {} queued calls were accepted, and all of them ran",
            tally.answered,
            tally.failed.len(),
            ids.len()
        );
        assert!(tally.failed.is_empty(), "{:?}", tally.failed);

        let names = swarm.manager().docker(&["secret", "ls", "--format", "{{.Name}}"]).await;
        let mut logins: Vec<&str> = names.lines().filter(|name| name.starts_with("nats-")).collect();
        logins.sort_unstable();
        let expected = ["controller", "gateway", "operator", "queue-worker"];
        assert_eq!(logins, expected.map(|name| format!("nats-{name}-{generation}")), "those before are gone");
    }
    assert_eq!(gateways[0].call_status(&later).await.unwrap()["state"], "scheduled");

    // A backup, another deployment and the way down know the names of now.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("after.skep");
    let (code, said) = skep(&swarm, &["swarm", "backup", file.to_str().unwrap()]).await;
    assert!(code == Some(0) && said.contains("has everything"), "{said}");
    let (code, said) = skep(&swarm, &["swarm", "up"]).await;
    assert!(code == Some(0) && !said.contains("create the secret"), "{said}");
    let (code, said) = skep(&swarm, &["swarm", "down", "--volumes"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(swarm.manager().docker(&["secret", "ls", "--quiet"]).await, "");
}
