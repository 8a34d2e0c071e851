//! Basic authentication: one layer over the system API, and over nothing else.

use std::{fs, os::unix::fs::PermissionsExt};

use http::Method;
use rustix::process::Signal;
use tokio::{io::AsyncReadExt, net::TcpListener};

use crate::harness::{Function, Gateway, Platform, Site, answer_to, wait_until};

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

#[tokio::test]
async fn skep_up_makes_a_password_at_its_first_start_and_keeps_it() {
    let mut site = Site::new([]);
    let nobody = site.gateway.clone();
    let mut up = site.up_with_password(&[]).await;
    let password = site.password();
    assert!(password.len() >= 32, "{password}");
    answer_to(nobody.get("/system/functions")).await.assert_refused(401);
    assert_eq!(answer_to(site.gateway.get("/system/functions")).await.status, 200);

    let folder = site.data.join("auth");
    for (path, mode) in [("", 0o700), ("basic-auth-user", 0o600), ("basic-auth-password", 0o600)] {
        let found = fs::metadata(folder.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{path}: {found:o}");
    }
    wait_until("the report", async || up.stdout().contains("is up")).await;
    let said = up.stdout();
    assert!(said.contains(folder.join("basic-auth-password").to_str().unwrap()), "{said}");
    assert!(!said.contains(&password) && !up.stderr().contains(&password), "no terminal, no password: {said}");

    // Commands on this machine find it in the data folder.
    let data = site.data.to_str().unwrap().to_owned();
    assert_eq!(site.client(&["dead", "list", "--data-dir", &data]).await.said(), "No dead letters.\n");
    site.client(&["dead", "list"]).await.failed(2, "wants another user or password");

    up.signal(Signal::INT);
    assert!(up.ended().await.success(), "{}", up.stderr());
    let _up = site.up_with_password(&[]).await;
    assert_eq!(site.password(), password, "a later start makes no other one");
}

#[tokio::test]
async fn a_password_that_others_can_read_is_warned_of() {
    let site = Site::new([]);
    let (user, password) = (site.path("basic-auth-user"), site.path("basic-auth-password"));
    for (file, mode) in [(&user, 0o644), (&password, 0o640)] {
        fs::write(file, "queen").unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    }
    let folder = site.folder().to_str().unwrap();
    let up = site.up(&["--basic-auth", "--secret-mount-path", folder]).await;
    let said = up.stderr();
    assert!(said.contains(&format!("chmod 600 '{}'", password.display())), "{said}");
}

#[tokio::test]
async fn commands_give_the_password_to_skep_and_to_no_other_listener() {
    let mut site = Site::new([]);
    let mut up = site.up_with_password(&[]).await;
    let data = site.data.to_str().unwrap().to_owned();
    let stranger = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let asked = async |stranger: &TcpListener, url: String| {
        let arguments = ["dead", "list", "--data-dir", &data, "--gateway", &url];
        let (_, request) = tokio::join!(site.client(&arguments), async {
            let (mut stream, _) = stranger.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            }
            String::from_utf8(request).unwrap().to_lowercase()
        });
        request
    };
    site.client(&["dead", "list", "--data-dir", &data]).await.said();
    let other_port = format!("http://{}", stranger.local_addr().unwrap());
    let request = asked(&stranger, other_port).await;
    assert!(!request.contains("authorization"), "{request}");

    // Not even at skep's own address, once it is gone.
    up.signal(Signal::TERM);
    up.ended().await;
    drop(stranger);
    let stranger = TcpListener::bind(site.listen).await.unwrap();
    let request = asked(&stranger, format!("http://{}", site.listen)).await;
    assert!(!request.contains("authorization"), "{request}");
}
