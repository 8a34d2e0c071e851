//! `skep secret`: a value goes in by STDIN or a file, and is never shown.

use crate::harness::{Function, Platform};

#[tokio::test]
async fn a_secret_is_set_changed_and_removed_and_never_shown() {
    let platform = Platform::start([]).await;
    let site = &platform.site;
    assert_eq!(site.client(&["secret", "list"]).await.said(), "No secrets.\n");
    let set = site.client_reading("first-value\n", &["secret", "set", "api-key"]).await.said();
    assert_eq!(set, "secret api-key is created\n");
    let reader = Function::new("reader", "sh -c 'cat $SKEP_SECRETS_DIR/api-key'").secret("api-key");
    site.deploy(&reader).await;
    assert_eq!(platform.gateway.call("reader", "").await.text(), "first-value");

    let set = site.client_reading("second-value\n", &["secret", "set", "api-key", "--exact"]).await.said();
    assert_eq!(set, "secret api-key has a new value\n");
    assert_eq!(platform.gateway.call("reader", "").await.text(), "second-value\n");
    std::fs::write(site.path("value"), "third-value").unwrap();
    site.client(&["secret", "set", "api-key", "--file", "value", "--json"]).await.said();
    assert_eq!(platform.gateway.call("reader", "").await.text(), "third-value");
    for form in [&["secret", "list"][..], &["secret", "list", "--json"]] {
        let listed = site.client(form).await.said();
        assert!(listed.contains("api-key") && !listed.contains("value"), "{listed}");
    }

    site.client(&["secret", "remove", "api-key"]).await.failed(1, "reader");
    site.client(&["remove", "reader"]).await.said();
    assert_eq!(site.client(&["secret", "remove", "api-key"]).await.said(), "secret api-key is removed\n");
    site.client(&["secret", "remove", "api-key"]).await.failed(3, "api-key");

    site.client(&["secret", "set", "api-key"]).await.failed(2, "is empty");
    site.client(&["secret", "set", "api-key", "value"]).await.code_is(2);
    site.client_reading("x", &["secret", "set", "no/name"]).await.failed(2, "no/name");
    let both = site.client_reading("x", &["secret", "set", "api-key", "--password-stdin"]).await;
    both.failed(2, "--file");
}
