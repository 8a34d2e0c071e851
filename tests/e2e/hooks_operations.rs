//! What operators of sources see: silence, why a request does not fit, last uses of secrets, and the public address.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{
    Function, Gateway, Platform, Program, Roles, Site, answer_to, free_address, metrics_of, payload, signature,
    wait_for, wait_until,
};

fn source(more: &Value) -> Value {
    let mut source = json!({ "preset": "github", "routes": [{ "to": "counted", "filter": { "type": "push" } }] });
    source.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    source
}

async fn status(gateway: &Gateway, name: &str) -> Value {
    answer_to(gateway.get(&format!("/system/sources/{name}"))).await.json()
}

async fn update(gateway: &Gateway, name: &str, mut spec: Value) {
    spec["name"] = name.into();
    let answer = gateway.send(Method::PUT, "/system/sources", &spec).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// A line of a gateway's metrics, without its name and labels.
async fn metric(site: &Site, name: &str) -> Option<String> {
    let metrics = metrics_of(site.admin).await;
    metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")).map(str::to_owned))
}

const SILENT: &str = r#"gateway_source_silent{source="github"}"#;
const LAST: &str = r#"gateway_source_last_event_timestamp_seconds{source="github"}"#;

#[tokio::test]
async fn a_source_without_events_is_silent_on_each_gateway_and_after_a_restart() {
    let mut roles = Roles::start_at(Site::new([Function::counted()]).with_seal_key()).await;
    let listen = free_address();
    let _other = roles.site.start_gateway_at(listen, &[]).await;
    let other = Gateway::new(format!("http://{listen}"));
    let (gateway, site) = (roles.gateway.clone(), &roles.site);
    gateway.declare("github", source(&json!({ "expect_every": "2s" }))).await;
    for gateway in [&gateway, &other] {
        wait_until("it is silent", async || status(gateway, "github").await["silent"] == true).await;
    }
    wait_until("the metric says so", async || metric(site, SILENT).await.as_deref() == Some("1")).await;
    let listed = site.client(&["sources", "list"]).await.said();
    assert!(listed.contains("silent"), "{listed}");
    // What another gateway takes ends the silence, too.
    let mut sent = 0;
    wait_until("it is not silent", async || {
        sent += 1;
        other.wait_for_source("github").await;
        other.push("github", &format!("delivery-{sent}")).await;
        status(&gateway, "github").await["silent"] == false
    })
    .await;

    update(&gateway, "github", source(&json!({ "expect_every": "1h" }))).await;
    wait_until("the metric is down", async || metric(site, SILENT).await.as_deref() == Some("0")).await;
    let last = status(&gateway, "github").await["lastEventAt"].clone();
    let last = time::OffsetDateTime::parse(last.as_str().unwrap(), &time::format_description::well_known::Rfc3339);
    roles.role_gateway.kill();
    roles.role_gateway = roles.site.start_gateway(&[]).await;
    let reported = wait_for("the new gateway knows the last event", async || metric(&roles.site, LAST).await).await;
    assert!(
        (reported.parse::<f64>().unwrap() - last.unwrap().unix_timestamp_nanos() as f64 / 1e9).abs() < 0.01,
        "{reported}"
    );
    wait_until("it is not silent", async || metric(&roles.site, SILENT).await.as_deref() == Some("0")).await;
    update(&gateway, "github", source(&json!({}))).await;
    wait_until("nothing is expected", async || metric(&roles.site, SILENT).await.is_none()).await;
    let mut longer = source(&json!({ "expect_every": "8d" }));
    longer["name"] = "github".into();
    let refused = gateway.send(Method::PUT, "/system/sources", &longer).await;
    refused.assert_refused(400);
    assert!(refused.text().contains("expect_every: must be") && refused.text().contains("keep"), "{refused:?}");
}

/// What is said of the newest request that does not fit, which came with this delivery id.
async fn why(site: &Site) -> String {
    site.client(&["sources", "held", "github", "--why", "--limit", "1"]).await.said()
}

#[tokio::test]
async fn the_probable_mistake_of_a_request_that_does_not_fit_is_told_in_words() {
    let platform = Platform::start([Function::counted()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    gateway.declare("github", source(&json!({ "unverified": "hold" }))).await;
    let body = payload("push").trim_end().to_owned();
    let send = async |signature: String, body: String| {
        let request = gateway.unsigned_webhook("github", "push", "one", &body);
        assert_eq!(answer_to(request.header("X-Hub-Signature-256", signature)).await.status, 202);
    };
    let secret = "It's a Secret to Everybody";
    let reordered = serde_json::from_str::<Value>(&body).unwrap().to_string();
    let spaced = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&body).unwrap()).unwrap();
    for (signed, sent, expected) in [
        (body.clone(), format!("{body}\n"), "white space at the end"),
        (reordered, spaced, "without white space"),
        (body.clone(), body.clone().replace("main", "mean"), "None of the usual mistakes"),
    ] {
        send(signature(secret, signed.as_bytes()), sent).await;
        let said = why(site).await;
        assert!(said.contains(expected) && !said.contains(secret), "{expected:?} is not in {said}");
    }
    // The secret is changed here and not at the sender.
    gateway.add_secret("github", "the new secret").await;
    let removed = gateway.send(Method::DELETE, "/system/sources/github/secrets", &json!({ "number": 1 })).await;
    assert_eq!(removed.status, 200, "{removed:?}");
    wait_until("the reason names the old secret", async || {
        let request = gateway.unsigned_webhook("github", "push", "two", &body);
        answer_to(request.header("X-Hub-Signature-256", signature(secret, body.as_bytes()))).await;
        why(site).await.contains("Fits secret 1, which was removed")
    })
    .await;
    let stripe = gateway.post("/hooks/github").header("Stripe-Signature", "t=1,v1=00").body("{}");
    assert_eq!(answer_to(stripe).await.status, 202);
    assert!(why(site).await.contains("as requests of stripe have"), "{}", why(site).await);
    let listed = site.client(&["sources", "held", "github"]).await.said();
    assert!(listed.contains("127.0.0.1"), "{listed}");
    let counted = r#"gateway_source_unverified_total{reason="mismatch",source="github"}"#;
    assert!(metric(site, counted).await.unwrap().parse::<u64>().unwrap() >= 4);
    assert!(metric(site, r#"gateway_source_unverified_total{reason="missing",source="github"}"#).await.is_some());
}

#[tokio::test]
async fn when_a_secret_was_used_last_is_told_by_gateways_that_took_no_event() {
    let mut roles = Roles::start_at(Site::new([Function::counted()]).with_seal_key()).await;
    let gateway = roles.gateway.clone();
    gateway.declare("github", source(&json!({}))).await;
    gateway.add_secret("github", "a secret that nobody uses").await;
    gateway.push("github", "one").await;
    let used = metric(&roles.site, r#"gateway_source_secret_last_used_timestamp_seconds{secret="1",source="github"}"#);
    assert!(used.await.is_some());
    let event = gateway.event("github", "one").await;
    roles.role_gateway.kill();
    roles.role_gateway = roles.site.start_gateway(&[]).await;
    let secrets = answer_to(gateway.get("/system/sources/github/secrets")).await.json();
    assert_eq!((&secrets[0]["number"], &secrets[0]["lastUsedAt"]), (&json!(2), &Value::Null), "{secrets}");
    assert_eq!((&secrets[1]["number"], &secrets[1]["lastUsedAt"]), (&json!(1), &event["receivedAt"]), "{secrets}");
    assert_eq!(status(&gateway, "github").await["secrets"], secrets);
    // Another source of this name has a secret with the same number.
    assert_eq!(gateway.send(Method::DELETE, "/system/sources", &json!({ "name": "github" })).await.status, 200);
    gateway.wait_for_no_source("github").await;
    let mut again = source(&json!({}));
    again["name"] = "github".into();
    assert_eq!(gateway.send(Method::POST, "/system/sources", &again).await.status, 201);
    gateway.add_secret("github", "a secret that nobody uses").await;
    let secrets = answer_to(gateway.get("/system/sources/github/secrets")).await.json();
    assert_eq!((&secrets[0]["number"], &secrets[0]["lastUsedAt"]), (&json!(1), &Value::Null), "{secrets}");
}

#[tokio::test]
async fn a_provider_that_brings_the_secret_is_believed_once() {
    let platform = Platform::start([Function::counted()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let spec = json!({ "name": "asana", "preset": "asana", "routes": [{ "to": "counted" }] });
    let created = gateway.send(Method::POST, "/system/sources", &spec).await;
    assert_eq!(created.status, 201, "{created:?}");
    assert!(created.json()["problem"].as_str().unwrap().contains("waits for its provider"), "{created:?}");
    let shake = |secret: &str| gateway.post("/hooks/asana").header("X-Hook-Secret", secret.to_owned()).body("{}");
    let answer = wait_for("the handshake is answered", async || {
        Some(answer_to(shake("the secret of asana")).await).filter(|answer| answer.status == 200)
    })
    .await;
    assert_eq!(answer.header("x-hook-secret"), "the secret of asana");
    let body = r#"{"events":[]}"#;
    let event = |secret: &str| {
        let signature = signature(secret, body.as_bytes()).replace("sha256=", "");
        gateway.post("/hooks/asana").header("X-Hook-Signature", signature).body(body)
    };
    wait_until("its events are taken", async || answer_to(event("the secret of asana")).await.status == 202).await;
    // A stranger does not change it.
    assert_eq!(answer_to(shake("a stranger's secret")).await.status, 401);
    assert_eq!(answer_to(event("a stranger's secret")).await.status, 401);
    let status = status(gateway, "asana").await;
    assert_eq!((status["secrets"].as_array().unwrap().len(), &status["problem"]), (1, &Value::Null), "{status}");
    assert!(!status.to_string().contains("the secret of asana"));
    let log = answer_to(gateway.get("/system/audit-log?action=source-secret-add")).await.json();
    assert_eq!((&log[0]["actor"], &log[0]["object"]), (&json!("the provider"), &json!("asana")), "{log}");
    assert!(site.client(&["sources", "show", "asana"]).await.said().contains("LAST USED"));
}

#[tokio::test]
async fn the_start_says_where_senders_reach_each_source() {
    let site = Site::new([Function::cat()]);
    let mut stack: Value = serde_json::from_slice(&std::fs::read(site.path("stack.yml")).unwrap()).unwrap();
    let routes = json!([{ "to": "cat" }]);
    let own = json!({ "verify": "none", "url": "https://own.example/x", "routes": routes });
    stack["sources"] = json!({ "open": { "verify": "none", "routes": routes }, "own": own });
    std::fs::write(site.path("stack.yml"), stack.to_string()).unwrap();
    let up = Program::start("up", site.up_command(&["--public-url", "https://hooks.example.com/in/"]), site.folder());
    wait_until("the report", async || up.stdout().contains("is up")).await;
    for line in [
        "source open takes events at https://hooks.example.com/in/hooks/open\n",
        "source own takes events at https://own.example/x\n",
    ] {
        assert!(up.stdout().contains(line), "{}", up.stdout());
    }
}

#[tokio::test]
async fn the_public_url_is_what_people_paste_and_what_providers_sign() {
    let platform =
        Platform::start_with(&["--public-url", "https://hooks.example.com/in/"], [Function::counted()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let scheme = json!({
        "hmac": "sha256",
        "signature": { "from": "header:X-Signature", "pick": "sha256={sig}", "encoding": "hex" },
        "signed": "{url}{body}",
    });
    let spec = json!({ "verify": [scheme], "routes": [{ "to": "counted" }] });
    let mut named = spec.clone();
    named["name"] = "shop".into();
    let created = gateway.send(Method::POST, "/system/sources", &named).await;
    let url = "https://hooks.example.com/in/hooks/shop";
    assert_eq!((created.status, created.json()["url"].as_str()), (201, Some(url)), "{created:?}");
    assert!(site.client(&["sources", "show", "shop"]).await.said().contains(url));
    gateway.add_secret("shop", "s").await;
    let send = |url: &str| {
        let signed = signature("s", format!("{url}?a=1{{}}").as_bytes());
        gateway.post("/hooks/shop?a=1").header("X-Signature", signed).body("{}")
    };
    wait_until("an event is taken", async || answer_to(send(url)).await.status == 202).await;
    answer_to(send(&format!("{}/hooks/shop", gateway.url))).await.assert_refused(401);
    // A source may say it is elsewhere.
    let mut own = spec;
    own["url"] = "https://other.example/x".into();
    update(gateway, "shop", own).await;
    wait_until("its own URL counts", async || answer_to(send("https://other.example/x")).await.status == 202).await;
    answer_to(send(url)).await.assert_refused(401);
    // Without either, a provider that signs the URL is refused, and the setting is named.
    let bare = Platform::start([]).await;
    let refused = bare.gateway.send(Method::POST, "/system/sources", &named).await;
    refused.assert_refused(400);
    assert!(refused.text().contains("url") && refused.text().contains("--public-url"), "{refused:?}");
}
