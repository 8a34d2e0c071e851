//! HTTPS and HTTP/2, as curl speaks them.

use std::{fs, process::Command};

use rcgen::generate_simple_self_signed;
use rustix::process::Signal;
use tokio::task::spawn_blocking;

use crate::harness::{Function, Platform, Site, free_address, wait_until};

/// What curl said: the answer's body, then the version of HTTP and the status; `None` if there was no answer.
async fn curl(arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "60", "-w", " %{http_version} %{http_code}"]).args(arguments);
    let output = spawn_blocking(move || command.output().unwrap()).await.unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

/// Writes a new certificate for this machine and its key, and a copy of the certificate for its clients.
pub(crate) fn certify(site: &Site, trusted: &str) {
    let made = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    fs::write(site.path(trusted), made.cert.pem()).unwrap();
    fs::write(site.path("key.pem"), made.signing_key.serialize_pem()).unwrap();
    fs::write(site.path("cert.pem"), made.cert.pem()).unwrap();
}

#[tokio::test]
async fn https_is_served_and_a_new_certificate_is_taken_up_while_it_is() {
    let scheme = Function::new("scheme", r#"sh -c 'echo -n "$Http_X_Forwarded_Proto"'"#);
    let platform = Platform::start([scheme, Function::cat()]).await;
    let site = &platform.site;
    certify(site, "first.pem");
    let secure = free_address();
    let _gateway = site.start_gateway_at(secure, &["--tls-cert", "cert.pem", "--tls-key", "key.pem"]).await;
    let url = |path: &str| format!("https://{secure}{path}");
    let trusting = async |file: &str, rest: &[&str]| {
        let file = site.path(file);
        curl(&[&["--cacert", file.to_str().unwrap()], rest].concat()).await
    };
    let said = trusting("first.pem", &["--http1.1", &url("/function/scheme")]).await;
    assert_eq!(said.as_deref(), Some("https 1.1 200"));
    let said = trusting("first.pem", &["--http2", "-d", "honey", &url("/function/cat")]).await;
    assert_eq!(said.as_deref(), Some("honey 2 200"));
    assert_eq!(curl(&[&url("/function/cat")]).await, None, "nobody else vouches for the certificate");
    assert_eq!(curl(&[&format!("http://{secure}/function/cat")]).await, None, "what is not encrypted is not served");

    fs::write(site.path("cert.pem"), "no certificate").unwrap();
    fs::write(site.path("key.pem"), "no key").unwrap();
    assert!(trusting("first.pem", &[&url("/healthz")]).await.is_some(), "what was in use stays");
    certify(site, "second.pem");
    wait_until("the new certificate is in use", async || trusting("second.pem", &[&url("/healthz")]).await.is_some())
        .await;
    assert_eq!(trusting("first.pem", &[&url("/healthz")]).await, None);
}

#[tokio::test]
async fn http2_is_served_without_encryption_too_and_drains_at_the_end() {
    let platform = Platform::start([Function::cat(), Function::gated()]).await;
    let (site, open) = (&platform.site, free_address());
    let mut gateway = site.start_gateway_at(open, &["--linger", "0s"]).await;
    let call = format!("http://{open}/function/cat");
    let many = "x".repeat(200_000);
    fs::write(site.path("many"), &many).unwrap();
    let body = format!("@{}", site.path("many").display());
    let said = curl(&["--http2-prior-knowledge", "--data-binary", &body, &call]).await.unwrap();
    assert_eq!(said, format!("{many} 2 200"));
    let unknown = curl(&["--http2-prior-knowledge", &format!("http://{open}/function/nobody")]).await.unwrap();
    assert!(unknown.ends_with(" 2 404"), "{unknown}");

    let gated = format!("http://{open}/function/gated");
    let running = tokio::spawn(async move { curl(&["--http2-prior-knowledge", "-d", "honey", &gated]).await });
    site.wait_for_runs(1).await;
    gateway.signal(Signal::TERM);
    wait_until("the gateway takes no more connections", async || curl(&[&call]).await.is_none()).await;
    site.open_gate();
    assert_eq!(running.await.unwrap().as_deref(), Some("honey 2 200"));
    assert!(gateway.ended().await.success());
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_stops_the_start() {
    let site = Site::new([]);
    certify(&site, "first.pem");
    let refused = async |arguments: &[&str], reason: &str| {
        let (code, said) = site.run_to_the_end(site.up_command(arguments)).await;
        assert!(code == Some(2) && said.contains("--tls-") && said.contains(reason), "{code:?} {said}");
    };
    refused(&["--tls-cert", "cert.pem"], "--tls-key").await;
    refused(&["--tls-cert", "nowhere.pem", "--tls-key", "key.pem"], "cannot read nowhere.pem").await;
    refused(&["--tls-cert", "key.pem", "--tls-key", "key.pem"], "no certificate").await;
    fs::rename(site.path("key.pem"), site.path("old.pem")).unwrap();
    certify(&site, "second.pem");
    refused(&["--tls-cert", "cert.pem", "--tls-key", "old.pem"], "do not fit").await;
}

#[tokio::test]
async fn a_function_is_told_the_host_of_a_call_over_http2() {
    let host = Function::new("host", r#"sh -c 'echo -n "$Http_Host $Http_X_Forwarded_Host"'"#);
    let platform = Platform::start([host]).await;
    let listen = platform.site.listen;
    let said = curl(&["--http2-prior-knowledge", &format!("http://{listen}/function/host")]).await.unwrap();
    assert_eq!(said, format!("{listen} {listen} 2 200"));
}
