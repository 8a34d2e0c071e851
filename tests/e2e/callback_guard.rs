//! Callers choose where a callback goes, and with a function like `cat` what it says: so it must not act as skep's operator.

use serde_json::json;

use crate::harness::{Function, Gateway, Platform, Receiver, Roles, Site, answer_to, wait_for};

/// Queues a call that deploys a function, if its callback gets to where this URL leads.
async fn attack(gateway: &Gateway, url: &str) -> String {
    let deployment = json!({ "service": "viacallback", "envProcess": "id" }).to_string();
    let request = gateway.post("/async-function/cat").header("X-Callback-Url", url);
    let answer = answer_to(request.header("Content-Type", "application/json").body(deployment)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.header("x-call-id").to_owned()
}

/// Why the callback of a call became a dead letter.
async fn refusal(site: &Site, id: &str) -> String {
    let stream = crate::nats::stream(site, "SKEP_DEAD").await;
    let subject = format!("skep.dead.cat.{id}.callback");
    let letter = wait_for("the letter", async || stream.get_last_raw_message_by_subject(&subject).await.ok()).await;
    letter.headers.get("Skep-Reason").unwrap().to_string()
}

/// A port that the watchdog of the function listens on.
async fn watchdog_port(site: &Site) -> u16 {
    let registry = async_nats::jetstream::new(site.nats_client().await).get_key_value("SKEP_FUNCTIONS").await.unwrap();
    let record: serde_json::Value =
        serde_json::from_slice(&registry.get("status.cat").await.unwrap().unwrap()).unwrap();
    record["endpoints"][0]["address"].as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_callback_never_reaches_what_skep_itself_listens_on() {
    let platform = Platform::start_with(&["--callback-allow", "loopback,localhost"], [Function::cat()]).await;
    let site = &platform.site;
    let ports = [site.listen.port(), site.admin.port(), site.nats.port(), watchdog_port(site).await];
    for port in ports {
        for host in ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]", "0.0.0.0"] {
            let id = attack(&platform.gateway, &format!("http://{host}:{port}/system/functions")).await;
            let reason = refusal(site, &id).await;
            assert!(reason.contains("skep itself listens there"), "{host}:{port}: {reason}");
        }
    }
    assert!(platform.gateway.function("viacallback").await.is_none());
    let receiver = Receiver::start().await;
    attack(&platform.gateway, &receiver.url).await;
    receiver.wait_for(1).await;
}

#[tokio::test]
async fn a_caller_behind_a_proxy_reaches_no_service_of_this_machine() {
    let platform = Platform::start([Function::cat()]).await;
    let receiver = Receiver::start().await;
    for (name, value) in
        [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-For", "127.0.0.1"), ("Forwarded", "for=203.0.113.9")]
    {
        let request = platform.gateway.post("/async-function/cat").header("X-Callback-Url", &receiver.url);
        let answer = answer_to(request.header(name, value).body("x")).await;
        let reason = refusal(&platform.site, answer.header("x-call-id")).await;
        assert!(reason.contains("--callback-allow"), "{name}: {reason}");
    }
    // Neither does one that claims to be someone else.
    let request = platform.gateway.post("/async-function/cat").header("X-Callback-Url", &receiver.url);
    let request = request.header("X-Forwarded-For", "203.0.113.9").header("X-Skep-Local-Caller", "true");
    let answer = answer_to(request.header("X-Skep-Callback-Headers", "X-Skep-Local-Caller").body("x")).await;
    refusal(&platform.site, answer.header("x-call-id")).await;
    assert!(receiver.callbacks().is_empty());

    attack(&platform.gateway, &receiver.url).await;
    receiver.wait_for(1).await;
}

#[tokio::test]
async fn with_roles_apart_no_callback_changes_anything_in_skep() {
    let roles = Roles::start([Function::cat()]).await;
    let id = attack(&roles.gateway, &format!("{}/system/functions", roles.gateway.url)).await;
    let reason = refusal(&roles.site, &id).await;
    assert!(reason.contains("403"), "{reason}");
    assert!(roles.gateway.function("viacallback").await.is_none());
    for address in [roles.site.worker_admin, roles.site.nats] {
        let id = attack(&roles.gateway, &format!("http://{address}/")).await;
        assert!(refusal(&roles.site, &id).await.contains("skep itself listens there"));
    }
}

#[tokio::test]
async fn a_callback_carries_no_credentials_and_nothing_that_skep_says() {
    let platform = Platform::start([Function::cat()]).await;
    let receiver = Receiver::start().await;
    let names = ["Authorization", "Cookie", "X-Skep-Error", "X-Function-Name", "webhook-id", "X-Order"];
    let mut request = platform.gateway.post("/async-function/cat").header("X-Callback-Url", &receiver.url);
    for name in names {
        request = request.header(name, "mine");
    }
    answer_to(request.header("X-Skep-Callback-Headers", names.join(", ")).body("x")).await;
    let callback = receiver.wait_for(1).await.remove(0);
    assert_eq!((callback.header("x-order"), callback.header("x-function-name")), ("mine", "cat"));
    for name in ["authorization", "cookie", "x-skep-error", "webhook-id", "x-skep-local-caller"] {
        assert!(callback.headers.get(name).is_none(), "{name}: {callback:?}");
    }
}
