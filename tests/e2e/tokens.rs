//! Tokens: what each role may do, in which namespaces, and until when.

use http::Method;
use serde_json::json;

use crate::harness::{Answer, Function, Gateway, Program, Site, answer_to, wait_until};

/// `skep up` with its password, and callers with tokens.
struct Guarded {
    up: Program,
    site: Site,
}

impl Guarded {
    async fn start(functions: impl IntoIterator<Item = Function>) -> Self {
        let mut site = Site::new(functions);
        let up = site.up_with_password(&[]).await;
        Self { up, site }
    }

    async fn skep(&self, arguments: &[&str]) -> String {
        let data = self.site.data.to_str().unwrap();
        self.site.client(&[arguments, &["--data-dir", data]].concat()).await.said()
    }

    /// A new token, as soon as it counts.
    async fn token(&self, name: &str, more: &[&str]) -> String {
        let looks = || self.up.stderr().matches("the tokens were read again").count();
        let before = looks();
        let token = self.skep(&[&["token", "create", name], more].concat()).await.trim().to_owned();
        wait_until("the token counts", async || looks() > before).await;
        token
    }

    async fn ask(&self, token: &str, method: &str, path: &str) -> Answer {
        let method: Method = method.parse().unwrap();
        answer_to(self.nobody().request(method, path).bearer_auth(token).body("{}")).await
    }

    fn nobody(&self) -> Gateway {
        Gateway::new(self.site.gateway.url.clone())
    }
}

/// What each role may do, by the letters of read, invoke, deploy and admin.
const MATRIX: [(&str, &str, &str); 46] = [
    ("GET", "/system/info", "rida"),
    ("GET", "/system/functions", "rda"),
    ("GET", "/system/function/cat", "rda"),
    ("GET", "/system/function/cat/versions", "rda"),
    ("GET", "/system/function/cat/versions/1", "rda"),
    ("POST", "/system/function/cat/rollback", "da"),
    ("GET", "/system/function/cat/canary", "rda"),
    ("POST", "/system/function/cat/promote", "da"),
    ("GET", "/system/stats", "rda"),
    ("GET", "/system/status", "rda"),
    ("GET", "/system/streams", "rda"),
    ("GET", "/system/nats", "rda"),
    ("GET", "/system/logs?name=cat", "rda"),
    ("GET", "/system/images", "rda"),
    ("GET", "/system/images/blobs/sha256:0", "da"),
    ("PUT", "/system/images/manifests/sha256:0", "da"),
    ("GET", "/system/secrets", "rda"),
    ("GET", "/system/namespaces", "rda"),
    ("GET", "/system/calls", "rda"),
    ("GET", "/system/dead", "rda"),
    ("GET", "/system/dead/some-id", "rda"),
    ("GET", "/system/dead/some-id?reveal=true", "a"),
    ("GET", "/system/calls/some-id", "rida"),
    ("GET", "/system/calls/some-id/result", "rida"),
    ("GET", "/system/calls/some-id/events", "rida"),
    ("DELETE", "/system/calls/some-id", "ida"),
    ("DELETE", "/async-function/some-id", "ida"),
    ("POST", "/system/functions", "da"),
    ("PUT", "/system/functions", "da"),
    ("DELETE", "/system/functions", "da"),
    ("POST", "/system/scale-function/nobody", "da"),
    ("POST", "/system/secrets", "da"),
    ("GET", "/system/sources", "rda"),
    ("GET", "/system/sources/some", "rda"),
    ("GET", "/system/presets", "rda"),
    ("POST", "/system/sources", "da"),
    ("POST", "/system/sources/some/pause", "da"),
    ("POST", "/system/sources/some/send", "da"),
    ("POST", "/system/sources/some/secrets", "da"),
    ("DELETE", "/system/dead?function=cat", "da"),
    ("POST", "/system/dead-redrive?function=cat", "da"),
    ("POST", "/system/dead/some-id/redrive", "da"),
    ("POST", "/system/alert", "da"),
    ("POST", "/system/namespace/", "a"),
    ("PATCH", "/system/functions", "a"),
    ("GET", "/ui/", "rida"),
];

#[tokio::test]
async fn a_role_may_do_what_it_is_for_and_nothing_else() {
    let guarded = Guarded::start([Function::cat()]).await;
    for role in ["read", "invoke", "deploy", "admin"] {
        let token = guarded.token(role, &["--role", role]).await;
        for (method, path, may) in MATRIX {
            let answer = guarded.ask(&token, method, path).await;
            if may.contains(&role[..1]) {
                assert!(![401, 403].contains(&answer.status), "{role}: {method} {path}: {answer:?}");
            } else {
                answer.assert_refused(403);
                assert!(answer.text().contains(&format!("token {role} has the role {role}")), "{answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_token_counts_as_bearer_and_as_a_password_until_it_is_revoked() {
    let guarded = Guarded::start([]).await;
    let token = guarded.token("ci", &["--role", "deploy"]).await;
    assert!(token.starts_with("skep_"), "{token}");
    let as_password = guarded.nobody().with_credentials("anyone", &token);
    assert_eq!(answer_to(as_password.get("/system/functions")).await.status, 200);
    for wrong in [format!("{token}0"), token[..token.len() - 1].to_owned(), "skep_".to_owned()] {
        guarded.ask(&wrong, "GET", "/system/functions").await.assert_refused(401);
    }
    let list = guarded.skep(&["token", "list"]).await;
    assert!(list.contains("ci") && list.contains("deploy") && list.contains("never"), "{list}");
    let listed = guarded.skep(&["token", "list", "--json"]).await;
    let secret = token.rsplit('_').next().unwrap();
    assert!(!listed.contains("argon2") && !listed.contains(secret), "{listed}");
    let file = std::fs::read_to_string(guarded.site.data.join("auth/tokens.json")).unwrap();
    assert!(file.contains("$argon2id$") && !file.contains(secret), "{file}");

    guarded.skep(&["token", "revoke", "ci"]).await;
    let is_refused = async || guarded.ask(&token, "GET", "/system/functions").await.status == 401;
    wait_until("the token is revoked", is_refused).await;
    let data = guarded.site.data.to_str().unwrap();
    let again = ["token", "revoke", "ci", "--data-dir", data];
    guarded.site.client(&again).await.failed(3, "there is no token \"ci\"");
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "tables of requests")]
async fn a_limited_token_neither_touches_nor_sees_other_namespaces() {
    let guarded = Guarded::start([Function::cat()]).await;
    let admin = &guarded.site.gateway;
    assert_eq!(admin.send(Method::POST, "/system/namespace/dev", &json!({})).await.status, 201);
    let token = guarded.token("dev", &["--role", "admin", "--namespace", "dev"]).await;
    let limited = guarded.nobody().with_credentials("x", &token);
    let upper = json!({ "service": "upper", "namespace": "dev", "envProcess": "tr a-z A-Z" });
    assert_eq!(limited.send(Method::POST, "/system/functions", &upper).await.status, 202);
    assert_eq!(admin.queue_as("mine", "upper.dev", "x").await.status, 202);
    assert_eq!(admin.queue_as("theirs", "cat", "x").await.status, 202);
    admin.finished("mine").await;
    admin.finished("theirs").await;
    for path in [
        "/system/functions?namespace=dev",
        "/system/function/upper?namespace=dev",
        "/system/function/upper.dev",
        "/system/secrets?namespace=dev",
        "/system/logs?name=upper&namespace=dev",
        "/system/calls?function=upper.dev",
        "/system/calls/mine",
        "/system/calls/mine/result",
        "/system/dead?function=upper.dev",
    ] {
        assert_eq!(answer_to(limited.get(path)).await.status, 200, "{path}");
    }
    for path in [
        "/system/functions",
        "/system/functions?namespace=openfaas-fn",
        "/system/function/cat",
        "/system/secrets",
        "/system/logs?name=cat",
        "/system/logs?name=upper.dev,cat",
        "/system/calls",
        "/system/calls?function=cat",
        "/system/calls/theirs",
        "/system/calls/theirs/result",
        "/system/calls/theirs/events",
        "/system/events",
        "/system/dead",
        "/system/namespaces",
        "/system/audit",
        "/system/streams",
        "/system/nats",
    ] {
        answer_to(limited.get(path)).await.assert_refused(403);
    }
    for (caller, expected) in [(&limited, &["upper.dev"][..]), (admin, &["cat", "upper.dev"])] {
        let status = answer_to(caller.get("/system/status")).await.json();
        let names: Vec<_> = status["functions"].as_array().unwrap().iter().map(|row| row["name"].clone()).collect();
        assert_eq!(names, expected);
        assert_eq!(status["queueBytes"].is_null(), expected.len() == 1, "{status}");
    }
    let strange = json!({ "service": "strange", "envProcess": "cat" });
    let hidden = json!({ "service": "cat.openfaas-fn", "envProcess": "false" });
    let secret = json!({ "name": "key", "value": "x" });
    for (method, path, body) in [
        (Method::POST, "/system/functions", &strange),
        (Method::PUT, "/system/functions", &hidden),
        (Method::DELETE, "/system/functions", &json!({ "functionName": "cat" })),
        (Method::POST, "/system/scale-function/cat", &json!({ "replicas": 0 })),
        (Method::POST, "/system/secrets", &secret),
        (Method::DELETE, "/system/calls/theirs", &json!({})),
        (Method::DELETE, "/async-function/theirs", &json!({})),
        (Method::POST, "/system/namespace/more", &json!({})),
        (Method::POST, "/system/alert", &json!({ "alerts": [] })),
    ] {
        let answer = limited.send(method.clone(), path, body).await;
        assert_eq!(answer.status, 403, "{method} {path}: {answer:?}");
    }
    let secret = json!({ "name": "key", "value": "not for the log" });
    assert_eq!(limited.send(Method::POST, "/system/secrets?namespace=dev", &secret).await.status, 201);
    let said = guarded.up.stderr();
    for reported in ["token dev", "user admin", "127.0.0.1", "/system/secrets", "upper.dev", "status=202", "status=403"]
    {
        assert!(said.contains(reported), "{reported} is missing: {said}");
    }
    assert!(!said.contains("not for the log"), "{said}");
}

#[tokio::test]
async fn a_function_asks_its_callers_for_a_token_if_it_says_so() {
    let shy = Function::new("shy", "env").annotation("skep.auth", "required");
    let guarded = Guarded::start([shy, Function::cat()]).await;
    let nobody = guarded.nobody();
    assert_eq!(nobody.call("cat", "x").await.text(), "x");
    let shy = || nobody.post("/function/shy");
    answer_to(shy()).await.assert_refused(401);
    answer_to(nobody.post("/").header("X-Function", "shy")).await.assert_refused(401);
    answer_to(nobody.post("/async-function/shy")).await.assert_refused(401);
    let callback = nobody.post("/async-function/cat").header("X-Callback-Url", "skep://shy");
    answer_to(callback).await.assert_refused(401);

    let reader = guarded.token("reader", &["--role", "read"]).await;
    let caller = guarded.token("caller", &["--role", "invoke"]).await;
    answer_to(shy().bearer_auth(&reader)).await.assert_refused(403);
    let answer = answer_to(shy().bearer_auth(&caller)).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.text().contains(&caller) && !answer.text().contains("Authorization"), "{}", answer.text());
    let queued = answer_to(nobody.post("/async-function/shy").bearer_auth(&caller)).await;
    assert_eq!(queued.status, 202);
    // If the platform does not ask for a token, the header is the function's own business.
    let own = answer_to(nobody.post("/function/cat").bearer_auth("anything").body("x")).await;
    assert_eq!(own.text(), "x");
}

#[tokio::test]
async fn guessing_is_logged_counted_and_slowed_down() {
    let guarded = Guarded::start([]).await;
    let stranger = guarded.nobody().with_credentials("admin", "hunter2");
    let mut refused = answer_to(stranger.get("/system/info")).await;
    for _ in 0..100 {
        if refused.status == 429 {
            break;
        }
        refused.assert_refused(401);
        refused = answer_to(stranger.get("/system/info")).await;
    }
    refused.assert_refused(429);
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    let said = guarded.up.stderr();
    assert!(said.contains("a login failed") && said.contains("127.0.0.1") && !said.contains("hunter2"), "{said}");
    let metrics = answer_to(Gateway::new(format!("http://{}", guarded.site.admin)).get("/metrics")).await.text();
    assert!(metrics.contains("gateway_login_failures_total{outcome=\"wrong\"}"), "{metrics}");
    // The password that skep has made cannot be guessed, so strangers at the same address do not keep its holder out.
    assert_eq!(answer_to(guarded.site.gateway.get("/system/info")).await.status, 200);
    // Nor does a token that is right make guessing free.
    let token = guarded.token("reader", &["--role", "read"]).await;
    let mut statuses = Vec::new();
    // Each that is looked at makes the next pause longer.
    for _ in 0..6 {
        guarded.ask(&token, "GET", "/system/info").await;
        statuses.push(answer_to(stranger.get("/system/info")).await.status);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn a_password_that_somebody_has_chosen_counts_when_the_pause_is_over() {
    let mut site = Site::new([]);
    std::fs::create_dir(site.path("auth")).unwrap();
    std::fs::write(site.path("auth/basic-auth-user"), "queen").unwrap();
    std::fs::write(site.path("auth/basic-auth-password"), "of hearts").unwrap();
    let folder = site.path("auth").display().to_string();
    site.gateway = site.gateway.clone().with_credentials("queen", "of hearts");
    let _up = site.up(&["--basic-auth", "--secret-mount-path", &folder]).await;
    let stranger = Gateway::new(site.gateway.url.clone()).with_credentials("queen", "of clubs");
    wait_until("guessing is slowed down", async || answer_to(stranger.get("/system/info")).await.status == 429).await;
    let lets_in = async || answer_to(site.gateway.get("/system/info")).await.status == 200;
    wait_until("the pause is over", lets_in).await;
    assert!(lets_in().await);
}
