//! `skep login`, `skep logout` and `skep context`: a password is kept for its gateway, and goes to no other.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::harness::{Function, Program, Ran, Site, free_address};

/// Runs `skep` where no variable names a gateway.
async fn skep(site: &Site, arguments: &[&str]) -> Ran {
    let mut command = site.client_command(arguments);
    command.env_remove("SKEP_GATEWAY");
    Ran::of(Program::start("skep", command, site.folder())).await
}

/// A site with a password, and its folder of it.
async fn started() -> (Site, Program) {
    let mut site = Site::new([Function::cat()]);
    let up = site.up_with_password(&[]).await;
    (site, up)
}

#[tokio::test]
async fn a_login_is_kept_used_and_forgotten() {
    let (site, _up) = started().await;
    let (url, password) = (site.gateway.url.clone(), site.password());
    assert_eq!(skep(&site, &["context", "list"]).await.said(), "No contexts. skep login makes one.\n");
    let login = async |password: &str| site.client_reading(password, &["login", "--password-stdin"]).await;
    login("wrong").await.failed(2, "wants another user or password");
    login("").await.failed(2, "empty");
    assert_eq!(skep(&site, &["context", "list"]).await.said(), "No contexts. skep login makes one.\n");
    let said = login(&password).await.said();
    assert!(said.contains(&url) && !said.contains(&password), "{said}");
    let file = site.path("config/skep/contexts.json");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    assert!(skep(&site, &["list"]).await.said().contains("cat"), "neither an address nor a password is needed");
    let name = site.listen.to_string();
    let listed = skep(&site, &["context", "list"]).await.said();
    assert!(listed.contains(&name) && listed.contains("yes") && !listed.contains(&password), "{listed}");
    let listed: Value = serde_json::from_str(&skep(&site, &["context", "list", "--json"]).await.said()).unwrap();
    assert_eq!((&listed[0]["name"], &listed[0]["current"]), (&name.as_str().into(), &true.into()));
    assert!(listed[0].get("password").is_none(), "{listed}");

    skep(&site, &["context", "use", "--none"]).await.said();
    assert!(skep(&site, &["list", "--context", &name]).await.said().contains("cat"));
    skep(&site, &["list", "--context", "other"]).await.failed(2, "other");
    skep(&site, &["context", "use", "other"]).await.failed(3, "other");
    skep(&site, &["context", "use", &name]).await.said();
    assert!(skep(&site, &["list"]).await.said().contains("cat"));

    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    skep(&site, &["list"]).await.failed(2, "chmod 600");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(skep(&site, &["logout"]).await.said(), format!("logged out of {name}\n"));
    assert!(!fs::read_to_string(&file).unwrap().contains(&password));
    site.client(&["list"]).await.failed(2, "skep login");
    skep(&site, &["logout"]).await.failed(3, "not logged in");
}

#[tokio::test]
async fn a_password_goes_to_no_other_gateway() {
    let (site, _up) = started().await;
    let password = site.password();
    site.client_reading(&password, &["login", "--password-stdin", "--name", "home"]).await.said();
    // Other listeners get no credentials.
    let address = free_address();
    let listener = TcpListener::bind(address).await.unwrap();
    let heard = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let length = connection.read(&mut request).await.unwrap();
        connection.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        String::from_utf8_lossy(request.get(..length).unwrap()).to_lowercase()
    });
    skep(&site, &["list", "--gateway", &format!("http://{address}")]).await.code_is(1);
    let heard = heard.await.unwrap();
    assert!(heard.starts_with("get /system/functions") && !heard.contains("authorization"), "{heard}");
    let other = format!("http://{address}");
    skep(&site, &["list", "--gateway", &other, "--context", "home"]).await.failed(2, "--context");
    // It goes with its user only.
    skep(&site, &["list", "--user", "somebody"]).await.code_is(1);
    // And to its gateway, however that is named.
    assert!(site.client(&["list"]).await.said().contains("cat"));
}
