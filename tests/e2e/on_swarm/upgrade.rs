//! From the version before to this one and back, part by part and under load. `make test-upgrade` builds the version before.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::one_command::{gateways, skep};
use crate::harness::{Callers, Calling, Gateway, Load, SKEP, Swarm, deployment, variable, wait_until};

const BEFORE: &str = "skep/skep:before";
/// More than travels in one message.
const LARGE: usize = 9 << 20;

/// `skep swarm up` of a build of skep; what it said.
async fn up(swarm: &Swarm, program: &Path, image: &str) -> String {
    let mut up = swarm.manager().skep_of(program, &["swarm", "up", "--without-prometheus", "--wait", "10m"]);
    up.args(["--gateways", "2", "--workers", "2", "--image", image]);
    let output = tokio::task::spawn_blocking(move || up.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

/// Calls of all kinds that an update has to keep.
struct Kept {
    done: String,
    large: String,
    soon: String,
    later: String,
}

impl Kept {
    async fn of(gateway: &Gateway) -> Self {
        let kept = Self {
            done: gateway.queue("echo", "done").await,
            large: gateway.queue("echo", vec![b'x'; LARGE]).await,
            soon: gateway.queue_later("echo", "20s").await,
            later: gateway.queue_later("echo", "1h").await,
        };
        gateway.finished(&kept.done).await;
        gateway.finished(&kept.large).await;
        kept
    }

    async fn are_all_there(&self, gateway: &Gateway) {
        assert_eq!(gateway.result(&self.done).await.text(), "done");
        assert_eq!(gateway.result(&self.large).await.body.len(), LARGE);
        assert_eq!(gateway.finished(&self.soon).await["state"], "succeeded");
        assert_eq!(gateway.call_status(&self.later).await.unwrap()["state"], "scheduled");
    }
}

/// Updates to an image under load, by this version of the command.
async fn update(swarm: &Swarm, gateways: &[Gateway], image: &str) {
    let kept = Kept::of(&gateways[0]).await;
    let (sync, queue) = (Load::start(gateways, "echo"), Callers::start(Calling::Queue, gateways));
    wait_until("calls are accepted", async || queue.answered() > 50).await;
    let before = queue.answered();
    eprintln!("{}", up(swarm, &SKEP, image).await);
    let during = queue.answered() - before;
    wait_until("calls are accepted after it", async || queue.answered() > before + during + 50).await;
    let tally = sync.stop().await;
    let (looked_up, unknown) = queue.looked_up();
    let ids = queue.accepted();
    drop(queue);
    for some in ids.chunks(16) {
        let ends = futures_util::future::join_all(some.iter().map(|id| gateways[1].finished(id))).await;
        assert!(ends.iter().all(|end| end["state"] == "succeeded"), "{ends:?}");
    }
    eprintln!(
        "to {image}: {} synchronous calls, {} failed; {} queued calls were accepted, and all of them ran; {unknown} of {looked_up} were \
         unknown to the other gateway",
        tally.answered,
        tally.failed.len(),
        ids.len()
    );
    assert!(tally.failed.is_empty(), "{:?}", tally.failed);
    assert_eq!(unknown, 0);
    kept.are_all_there(&gateways[1]).await;
}

#[tokio::test]
async fn an_update_from_the_version_before_and_back_loses_no_call() {
    let before = PathBuf::from(variable("SKEP_TEST_BEFORE").expect("make test-upgrade sets SKEP_TEST_BEFORE"));
    let swarm = Swarm::start(2).await;
    // Functions have the watchdog of the version before, too.
    swarm.make_images().await;
    swarm.make_platform_image(BEFORE, &before.join("skep")).await;
    let said = up(&swarm, &before.join("skep"), BEFORE).await;
    let gateways = gateways(&swarm, &said);
    let mut echo = deployment("echo", "cat");
    echo["labels"] = json!({ "com.openfaas.scale.min": "2" });
    gateways[0].deploy(&echo).await;

    update(&swarm, &gateways, "skep/skep:latest").await;
    // Back, messages of this version are read by the one before.
    update(&swarm, &gateways, BEFORE).await;
    update(&swarm, &gateways, "skep/skep:latest").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, gateways[0].user_and_password().unwrap().split_once(':').unwrap().1).unwrap();
    let audit = ["audit", "--gateway", &gateways[0].url, "--password-file", file.to_str().unwrap()];
    let (code, said) = skep(&swarm, &audit).await;
    assert_eq!(code, Some(0), "{said}");
    eprintln!("{said}");
}
