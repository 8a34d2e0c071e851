//! Basic authentication: one layer over the system API, and over nothing else.

use http::Method;

use crate::harness::{Function, Gateway, Platform, Site, answer_to};

/// Every route below `/system` and `/ui` with every verb it has, as the contract lists them, and some that there are not.
const CLOSED: [(&str, &str); 28] = [
    ("GET", "/system/functions"),
    ("POST", "/system/functions"),
    ("PUT", "/system/functions"),
    ("DELETE", "/system/functions"),
    ("GET", "/system/function/cat"),
    ("POST", "/system/scale-function/cat"),
    ("GET", "/system/info"),
    ("GET", "/system/namespaces"),
    ("GET", "/system/namespace/openfaas-fn"),
    ("POST", "/system/namespace/"),
    ("POST", "/system/namespace/new"),
    ("PUT", "/system/namespace/openfaas-fn"),
    ("DELETE", "/system/namespace/openfaas-fn"),
    ("GET", "/system/logs?name=cat"),
    ("GET", "/system/secrets"),
    ("POST", "/system/secrets"),
    ("PUT", "/system/secrets"),
    ("DELETE", "/system/secrets"),
    ("GET", "/system/calls/some-id"),
    ("GET", "/system/calls/some-id/result"),
    ("GET", "/system/telemetry"),
    ("POST", "/system/alert"),
    ("PATCH", "/system/functions"),
    ("GET", "/system/nothing"),
    ("GET", "/system/"),
    ("GET", "/system"),
    ("GET", "/ui/"),
    ("GET", "/ui"),
];

async fn start() -> Platform {
    let mut site = Site::new([Function::cat()]);
    std::fs::create_dir(site.path("credentials")).unwrap();
    std::fs::write(site.path("credentials/basic-auth-user"), "queen\n").unwrap();
    std::fs::write(site.path("credentials/basic-auth-password"), " of hearts \n").unwrap();
    site.gateway = site.gateway.clone().with_credentials("queen", "of hearts");
    let folder = site.path("credentials");
    let up = site.up(&["--basic-auth", "--secret-mount-path", folder.to_str().unwrap()]).await;
    Platform { up, gateway: site.gateway.clone(), site }
}

#[tokio::test]
async fn no_route_of_the_system_answers_a_stranger() {
    let platform = start().await;
    let nobody = Gateway::new(platform.gateway.url.clone());
    let strangers = [
        nobody.clone(),
        nobody.clone().with_credentials("queen", ""),
        nobody.clone().with_credentials("queen", "of heart"),
        nobody.clone().with_credentials("king", "of hearts"),
        nobody.clone().with_credentials("", ""),
    ];
    for (method, path) in CLOSED {
        let method: Method = method.parse().unwrap();
        for stranger in &strangers {
            let answer = answer_to(stranger.request(method.clone(), path).body("{}")).await;
            answer.assert_refused(401);
            assert_eq!(answer.header("www-authenticate"), "Basic realm=\"Restricted\"");
            assert_eq!(answer.text().trim(), "invalid credentials");
        }
        let known = answer_to(platform.gateway.request(method.clone(), path).body("{}")).await;
        assert_ne!(known.status, 401, "{method} {path}");
        assert!(known.status < 500 || known.status == 501, "{method} {path}: {known:?}");
    }
    for wrong in ["Bearer ", "Basic", "Basic !!!", "Basic cXVlZW4=", "\u{e9}"] {
        let request = nobody.get("/system/info").header("Authorization", wrong.as_bytes());
        answer_to(request).await.assert_refused(401);
    }
}

#[tokio::test]
async fn functions_and_health_stay_open() {
    let platform = start().await;
    let nobody = Gateway::new(platform.gateway.url.clone());
    assert_eq!(nobody.call("cat", "x").await.text(), "x");
    let id = nobody.queue("cat", "y").await;
    assert_eq!(platform.gateway.finished(&id).await["state"], "succeeded");
    for path in ["/healthz", "/"] {
        assert_eq!(answer_to(nobody.get(path)).await.status, 200, "{path}");
    }
}
