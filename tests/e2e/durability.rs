//! What a 202 is worth is checked and reported, and no more is promised than is known.

use crate::harness::{Function, Platform, Roles, Site, answer_to, wait_until};

/// What the door promises with a call, and says at `/healthz`; and why.
async fn promised(site: &Site) -> (String, String) {
    let accepted = answer_to(site.gateway.post("/async-function/cat").body("x")).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let tier = accepted.header("x-skep-durability").to_owned();
    let durability = answer_to(site.gateway.get("/system/info")).await.json()["durability"].clone();
    assert_eq!(durability["tier"], tier.as_str(), "{durability}");
    assert_eq!(answer_to(site.gateway.get("/healthz")).await.header("x-skep-durability"), tier);
    (tier, durability["reason"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn the_server_that_skep_starts_syncs_and_this_is_reported() {
    let platform = Platform::start([Function::cat()]).await;
    assert_eq!(promised(&platform.site).await.0, "fsync");
    assert!(platform.up.stderr().contains(r#"tier="fsync""#), "{}", platform.up.stderr());
    // Also when it is started again.
    platform
        .site
        .processes()
        .iter()
        .filter(|process| process.is("nats-server"))
        .for_each(crate::harness::Process::kill);
    wait_until("it is known again", async || {
        let answer = answer_to(platform.gateway.post("/async-function/cat").body("x")).await;
        answer.status == 202 && answer.header("x-skep-durability") == "fsync"
    })
    .await;
}

#[tokio::test]
async fn a_server_of_ones_own_is_believed_only_if_it_can_be_asked() {
    let mut site = Site::new([Function::cat()]);
    let monitor = std::mem::take(&mut site.bus_arguments);
    let mut roles = Roles::start_at(site).await;
    let (tier, reason) = promised(&roles.site).await;
    assert_eq!(tier, "memory");
    assert!(reason.contains("--nats-monitor"), "{reason}");
    assert!(roles.role_gateway.stderr().contains("may be lost"), "{}", roles.role_gateway.stderr());

    roles.role_gateway.kill();
    roles.site.bus_arguments = monitor;
    roles.role_gateway = roles.site.start_gateway(&[]).await;
    assert_eq!(promised(&roles.site).await.0, "fsync");

    // It comes back with another mind.
    roles.site.nats_configuration = roles.site.path("lazy.conf");
    std::fs::write(&roles.site.nats_configuration, "max_payload: 8MB\njetstream {}\n").unwrap();
    roles.nats.kill();
    roles.nats = roles.site.start_nats().await;
    wait_until("calls are accepted again", async || {
        let answer = answer_to(roles.gateway.post("/async-function/cat").body("x")).await;
        assert_ne!(answer.header("x-skep-durability"), "fsync", "{answer:?}");
        answer.status == 202
    })
    .await;
    wait_until("it is known why", async || promised(&roles.site).await.1.contains("before it has synced")).await;
}
