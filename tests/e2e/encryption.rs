//! What `skep up` stores on disk, with a key and without.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use rustix::process::Signal;

use crate::harness::{Function, Program, Site};

const MARK: &str = "my card number is 4111-1111-1111-1111";

/// Whether anything below a folder holds a text.
fn holds(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, text);
        }
        let bytes = fs::read(&path).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

async fn stop(mut up: Program) {
    up.signal(Signal::TERM);
    assert_eq!(up.ended().await.code(), Some(0));
}

#[tokio::test]
async fn what_is_stored_with_a_key_cannot_be_read_on_disk_and_outlives_a_restart() {
    let site = Site::new([Function::cat()]);
    let key = site.path("keys/nats.key");
    let arguments = ["--nats-encryption-key-file", key.to_str().unwrap()];
    // Without a key it is there to be read.
    let up = site.up(&[]).await;
    site.gateway.queue_as("plain", "cat", MARK).await;
    assert_eq!(site.gateway.finished("plain").await["state"], "succeeded");
    stop(up).await;
    assert!(holds(&site.data.join("nats"), MARK));

    // What was stored before is encrypted, too.
    let up = site.up(&arguments).await;
    assert_eq!(fs::metadata(&key).unwrap().mode() & 0o777, 0o600);
    assert_eq!(site.gateway.result("plain").await.text(), MARK);
    site.gateway.queue_as("secret", "cat", MARK).await;
    assert_eq!(site.gateway.finished("secret").await["state"], "succeeded");
    stop(up).await;
    assert!(!holds(&site.data, MARK));
    assert!(!holds(&site.data, fs::read_to_string(&key).unwrap().trim()), "the key is not beside what it opens");

    let up = site.up(&arguments).await;
    assert_eq!(site.gateway.result("secret").await.text(), MARK);
    stop(up).await;
}

#[tokio::test]
async fn a_key_that_others_may_read_or_that_is_too_short_is_refused() {
    let site = Site::new([Function::cat()]);
    let key = site.path("nats.key");
    for (text, mode, expected) in [("0123456789abcdef", 0o644, "mode 644"), ("short", 0o600, "5 characters")] {
        fs::write(&key, text).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        let arguments = ["--nats-encryption-key-file", key.to_str().unwrap()];
        let (code, said) = site.run_to_the_end(site.up_command(&arguments)).await;
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("--nats-encryption-key-file") && said.contains(expected), "{said}");
    }
}
