//! `skep completions` and `skep man`.

use std::{fs, process::Command};

use crate::harness::Site;

#[tokio::test]
async fn completions_are_written_for_each_shell() {
    let site = Site::new([]);
    for shell in ["bash", "zsh", "fish"] {
        let script = site.client(&["completions", shell]).await.said();
        assert!(script.contains("invoke") && script.contains("grep"), "{shell}: {script}");
    }
    let script = site.client(&["completions", "bash"]).await.said();
    fs::write(site.path("skep.bash"), script).unwrap();
    let checked = Command::new("bash").arg("-n").arg(site.path("skep.bash")).status();
    assert!(checked.unwrap().success());
    site.client(&["completions", "tcsh"]).await.code_is(2);
}

#[tokio::test]
async fn each_command_has_a_man_page() {
    let site = Site::new([]);
    let said = site.client(&["man", "share/man1"]).await.said();
    for page in ["skep", "skep-up", "skep-deploy", "skep-calls-list", "skep-secret-set"] {
        let text = fs::read_to_string(site.path(&format!("share/man1/{page}.1"))).unwrap();
        assert!(text.contains(".SH") && text.contains(&page.replace('-', "\\-")), "{page}: {text}");
    }
    let count = fs::read_dir(site.path("share/man1")).unwrap().count();
    assert!(said.starts_with(&format!("{count} man pages")), "{said}");
    assert!(!site.path("share/man1/skep-__guard.1").exists());
    fs::write(site.path("file"), "").unwrap();
    site.client(&["man", "file"]).await.failed(2, "file");
}
