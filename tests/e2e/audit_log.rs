//! The audit log: each change and each refusal is an entry, with who, from where, what, and what came of it.

use std::{fs, path::Path};

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Function, Gateway, Program, Site, answer_to, wait_for, wait_until};

/// `skep up` with its password, and callers with tokens.
pub(crate) struct Watched {
    pub(crate) up: Program,
    pub(crate) site: Site,
}

impl Watched {
    pub(crate) async fn start(arguments: &[&str], functions: impl IntoIterator<Item = Function>) -> Self {
        let mut site = Site::new(functions);
        let up = site.up_with_password(arguments).await;
        Self { up, site }
    }

    /// The caller with a new token, as soon as it counts.
    pub(crate) async fn holder(&self, name: &str, more: &[&str]) -> Gateway {
        let looks = || self.up.stderr().matches("the tokens were read again").count();
        let before = looks();
        let data = self.site.data.to_str().unwrap();
        let token = self.site.client(&[&["token", "create", name, "--data-dir", data], more].concat()).await.said();
        wait_until("the token counts", async || looks() > before).await;
        Gateway::new(self.site.gateway.url.clone()).with_credentials("x", token.trim())
    }

    pub(crate) async fn entries(&self, query: &str) -> Vec<Value> {
        let answer = answer_to(self.site.gateway.get(&format!("/system/audit-log?{query}"))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json().as_array().unwrap().clone()
    }

    /// The newest entry of an action; it may come a moment later.
    pub(crate) async fn entry(&self, query: &str) -> Value {
        wait_for(&format!("an entry with {query}"), async || self.entries(query).await.into_iter().next()).await
    }
}

/// An entry without what no test can foretell.
fn facts(mut entry: Value) -> Value {
    let fields = entry.as_object_mut().unwrap();
    assert!(fields.remove("at").is_some() && fields.remove("sequence").is_some());
    assert_eq!(fields.remove("version"), Some(json!(1)));
    entry
}

fn accepted(answer: &Answer) {
    assert!((200..300).contains(&answer.status), "{answer:?}");
}

#[tokio::test]
async fn each_change_is_an_entry() {
    let watched = Watched::start(&[], [Function::cat()]).await;
    let admin = &watched.site.gateway;
    let from_stack = facts(watched.entry("object=cat").await);
    assert_eq!(from_stack, json!({ "actor": "stack file", "action": "deploy", "object": "cat" }));

    let by_password = json!({ "actor": "user admin", "role": "admin", "address": "127.0.0.1" });
    let entry = |object: &Value, more: Value| {
        let mut entry = object.clone();
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        entry
    };
    let named = json!({ "name": "dev" });
    let upper = json!({ "service": "upper", "namespace": "dev", "envProcess": "tr a-z A-Z" });
    let gone = json!({ "functionName": "upper" });
    for (method, path, body, status, action, object) in [
        (Method::POST, "/system/namespace/", &named, 201, "namespace-create", "dev"),
        (Method::POST, "/system/functions", &upper, 202, "deploy", "upper.dev"),
        (Method::PUT, "/system/functions", &upper, 202, "update", "upper.dev"),
        (
            Method::POST,
            "/system/scale-function/upper?namespace=dev",
            &json!({ "replicas": 2 }),
            202,
            "scale",
            "upper.dev",
        ),
        (Method::DELETE, "/system/functions?namespace=dev", &gone, 202, "delete", "upper.dev"),
        (Method::PUT, "/system/namespace/dev", &named, 202, "namespace-update", "dev"),
        (Method::DELETE, "/system/namespace/dev", &named, 202, "namespace-delete", "dev"),
    ] {
        let answer = admin.send(method, path, body).await;
        assert_eq!(answer.status, status, "{action}: {answer:?}");
        // The answer has waited for its entry.
        let found = watched.entries(&format!("action={action}&actor=admin&limit=1")).await;
        let mut expected = json!({ "action": action, "object": object, "status": status });
        if ["deploy", "update"].contains(&action) {
            expected["details"] = json!("version 1");
        }
        assert_eq!(facts(found[0].clone()), entry(&by_password, expected));
    }
    let refused = admin.request(Method::DELETE, "/system/functions").header("X-Request-Id", "r-7").json(&gone);
    answer_to(refused).await.assert_refused(404);
    let expected = json!({
        "action": "delete", "object": "upper", "status": 404, "error": "not_found", "requestId": "r-7"
    });
    assert_eq!(facts(watched.entries("limit=1").await[0].clone()), entry(&by_password, expected));
    answer_to(admin.get("/system/functions")).await;
    assert_eq!(watched.entries("limit=1").await[0]["action"], "delete", "a look is no change");
}

#[tokio::test]
async fn tokens_and_refusals_are_entries() {
    let watched = Watched::start(&[], [Function::cat().annotation("skep.auth", "required")]).await;
    let deployer = watched.holder("ci", &["--role", "deploy", "--namespace", "dev"]).await;
    let created = facts(watched.entry("action=token-create").await);
    let details = "role deploy, namespaces dev";
    assert_eq!(
        created,
        json!({ "actor": "tokens file", "action": "token-create", "object": "ci", "details": details })
    );

    let by_token = |action: &str, object: Option<&str>| {
        let mut entry = json!({
            "actor": "token ci", "role": "deploy", "address": "127.0.0.1", "action": action, "status": 403,
            "error": "forbidden",
        });
        entry.as_object_mut().unwrap().extend(object.map(|object| ("object".to_owned(), json!(object))));
        entry
    };
    assert_eq!(watched.site.gateway.send(Method::POST, "/system/namespace/dev", &json!({})).await.status, 201);
    let upper = json!({ "service": "upper", "namespace": "dev", "envProcess": "tr a-z A-Z" });
    assert_eq!(deployer.send(Method::POST, "/system/functions", &upper).await.status, 202);
    let entry = facts(watched.entry("actor=ci&action=deploy").await);
    assert_eq!(
        (&entry["object"], &entry["status"], &entry["actor"]),
        (&json!("upper.dev"), &json!(202), &json!("token ci"))
    );

    // Another namespace, another role, a look, and a call.
    let other = json!({ "service": "other", "envProcess": "env" });
    deployer.send(Method::POST, "/system/functions", &other).await.assert_refused(403);
    assert_eq!(facts(watched.entry("actor=ci&object=other").await), by_token("deploy", Some("other")));
    deployer.send(Method::POST, "/system/namespace/x", &json!({})).await.assert_refused(403);
    let refused = watched.entry("actor=ci&action=namespace-create").await;
    assert_eq!(facts(refused), by_token("namespace-create", Some("x")));
    answer_to(deployer.get("/system/audit-log")).await.assert_refused(403);
    let look = watched.entry("actor=ci&action=read").await;
    assert_eq!(facts(look), by_token("read", Some("/system/audit-log")));
    deployer.call("cat", "x").await.assert_refused(403);
    assert_eq!(facts(watched.entry("actor=ci&action=invoke").await), by_token("invoke", Some("cat")));

    let data = watched.site.data.to_str().unwrap();
    watched.site.client(&["token", "revoke", "ci", "--data-dir", data]).await.said();
    assert_eq!(watched.entry("action=token-revoke").await["object"], "ci");
}

#[tokio::test]
async fn failed_logins_are_an_entry_and_say_nothing_of_what_was_tried() {
    let watched = Watched::start(&[], []).await;
    let url = watched.site.gateway.url.clone();
    let stranger = Gateway::new(url.clone()).with_credentials("hunter-user", "hunter-password");
    for _ in 0..5 {
        answer_to(stranger.get("/system/info")).await.assert_refused(401);
    }
    // A browser asks without a password first.
    answer_to(Gateway::new(url).get("/system/info")).await.assert_refused(401);
    let login = json!({
        "actor": "unknown", "address": "127.0.0.1", "action": "login", "status": 401, "error": "unauthorized",
    });
    assert_eq!(facts(watched.entry("action=login").await), login);
    assert_eq!(
        watched.entries("action=login").await.len(),
        1,
        "further ones are counted, and reported within a minute"
    );
    let Watched { mut up, mut site } = watched;
    up.signal(rustix::process::Signal::TERM);
    up.ended().await;
    // At the end, the counted entries are reported.
    let up = site.up_with_password(&[]).await;
    let counted = Watched { up, site }.entries("action=login").await;
    assert_eq!((counted.len(), &counted[0]["count"]), (2, &json!(4)), "{counted:?}");
    assert!(!json!(counted).to_string().contains("hunter"));
}

#[tokio::test]
async fn calls_and_dead_letters_are_told_by_their_ids() {
    let dying = Function::new("dying", "sh -c 'exit 3'").attempts(1);
    let watched = Watched::start(&[], [Function::gated(), dying]).await;
    let admin = &watched.site.gateway;
    let id = admin.queue("gated", "x").await;
    accepted(&admin.cancel(&id).await);
    let entry = watched.entry("action=cancel").await;
    assert_eq!((&entry["object"], &entry["status"]), (&json!(id), &json!(202)));
    for id in ["one", "two", "three"] {
        assert_eq!(admin.queue_as(id, "dying", "x").await.status, 202);
        admin.state(id, "dead").await;
    }
    accepted(&answer_to(admin.post("/system/dead/one/redrive")).await);
    assert_eq!(watched.entry("action=redrive").await["object"], "one");
    admin.state("one", "dead").await;
    accepted(&answer_to(admin.request(Method::DELETE, "/system/dead/one")).await);
    assert_eq!(watched.entry("action=dead-delete").await["object"], "one");
    accepted(&answer_to(admin.request(Method::DELETE, "/system/dead?function=dying")).await);
    let purge = watched.entry("action=dead-purge").await;
    assert_eq!((&purge["object"], &purge["count"]), (&json!("dying"), &json!(2)));
    accepted(&answer_to(admin.post("/system/dead-redrive")).await);
    let redrive = watched.entry("action=redrive").await;
    assert_eq!((redrive.get("object"), &redrive["count"]), (None, &json!(0)));
}

#[tokio::test]
async fn a_secret_is_told_by_its_name_and_its_value_is_nowhere() {
    let watched = Watched::start(&[], []).await;
    let (plain, encoded) = ("honey-in-the-comb", "aG9uZXktaW4tdGhlLWNvbWI=");
    let secret = json!({ "name": "api-key", "value": plain });
    let raw = json!({ "name": "api-key", "rawValue": encoded });
    let admin = &watched.site.gateway;
    assert_eq!(admin.send(Method::POST, "/system/secrets", &secret).await.status, 201);
    assert_eq!(admin.send(Method::PUT, "/system/secrets", &raw).await.status, 202);
    admin.send(Method::POST, "/system/secrets", &secret).await.assert_refused(409);
    assert_eq!(admin.send(Method::DELETE, "/system/secrets", &secret).await.status, 200);
    let reported = watched.entries("object=api-key").await;
    let actions: Vec<_> =
        reported.iter().map(|entry| (entry["action"].as_str().unwrap(), entry["status"].as_u64())).collect();
    let expected = [
        ("secret-delete", Some(200)),
        ("secret-create", Some(409)),
        ("secret-update", Some(202)),
        ("secret-create", Some(201)),
    ];
    assert_eq!(actions, expected);
    let password = watched.site.password();
    let mut looked_at = 0;
    let mut look = |file: &Path| {
        let bytes = fs::read(file).unwrap_or_default();
        looked_at += bytes.len();
        for text in [plain, encoded, &password] {
            let is_there = bytes.windows(text.len()).any(|window| window == text.as_bytes());
            assert!(!is_there, "{text} is in {}", file.display());
        }
    };
    walk(&watched.site.data.join("nats"), &mut look);
    look(&watched.site.data.join("nats.log"));
    for file in fs::read_dir(watched.site.folder()).unwrap().map(|file| file.unwrap().path()) {
        if file.extension().is_some_and(|kind| kind == "stderr") {
            look(&file);
        }
    }
    assert!(looked_at > 1000, "there is something to look at");
}

fn walk(folder: &Path, look: &mut impl FnMut(&Path)) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() { walk(&path, look) } else { look(&path) }
    }
}
