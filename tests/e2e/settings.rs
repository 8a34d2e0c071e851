//! A setting that cannot be: one line that names it, exit code 2, nothing half started.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt};

use crate::harness::{Function, Platform, Site, free_address};

/// Starts `skep up` with what cannot be, and checks how it ends.
async fn check(site: &Site, arguments: &[&str], setting: &str) -> String {
    let (code, said) = site.run_to_the_end(site.up_command(arguments)).await;
    assert_eq!(code, Some(2), "{setting}: {said}");
    assert_eq!(said.lines().count(), 1, "{setting}: {said}");
    assert!(said.contains(setting), "{setting}: {said}");
    said
}

/// Nothing that `skep up` starts is there.
fn assert_nothing_is_left(site: &Site) {
    assert!(site.processes().is_empty(), "{:?}", site.processes());
}

#[tokio::test]
async fn a_port_in_use_is_named_by_its_setting() {
    let site = Site::new([Function::cat()]);
    for (setting, address) in [("--listen", site.listen), ("--admin-listen", site.admin), ("--nats-listen", site.nats)]
    {
        let holder = TcpListener::bind(address).unwrap();
        let said = check(&site, &[], setting).await;
        assert!(said.contains(&address.to_string()), "{said}");
        assert!(said.contains(&format!("SKEP_{}", setting[2..].replace('-', "_").to_uppercase())), "{said}");
        assert_nothing_is_left(&site);
        drop(holder);
    }
    let up = site.up(&[]).await;
    assert_eq!(site.gateway.call("cat", "x").await.text(), "x", "nothing was left that stands in the way");
    drop(up);
}

#[tokio::test]
async fn a_data_folder_in_use_is_named() {
    let platform = Platform::start([Function::cat()]).await;
    let mut other = Site::new([]);
    other.data = platform.site.data.clone();
    let said = check(&other, &[], "--data-dir").await;
    assert!(said.contains(other.data.to_str().unwrap()), "{said}");
    assert_nothing_is_left(&other);
    assert_eq!(platform.gateway.call("cat", "x").await.text(), "x", "the first one is not disturbed");
}

#[tokio::test]
async fn a_broken_stack_file_is_told_with_its_line() {
    let site = Site::new([]);
    let stacks = [
        ("functions: [", ""),
        ("functions:\n  a:\n    fprocess: cat\n    colour: red\n", "colour"),
        ("functions:\n  Not A Name:\n    fprocess: cat\n", "Not A Name"),
        ("functions:\n  a:\n    handler: ./missing\n    fprocess: cat\n", "./missing"),
        ("functions:\n  a:\n    handler: .\n", "fprocess"),
        ("functions:\n  a:\n    fprocess: cat\n    environment:\n      max_inflight: few\n", "max_inflight"),
        ("functions:\n  a:\n    fprocess: cat\n  a:\n    fprocess: cat\n", "a"),
        ("provider:\n  name: lambda\n", "lambda"),
    ];
    for (text, expected) in stacks {
        fs::write(site.path("stack.yml"), text).unwrap();
        let said = check(&site, &[], "--file").await;
        assert!(said.contains("stack.yml") && said.contains(expected), "{said}");
        assert_nothing_is_left(&site);
    }
    fs::write(site.path("stack.yml"), b"functions:\n  \xff: {}\n").unwrap();
    check(&site, &[], "--file").await;
    fs::remove_file(site.path("stack.yml")).unwrap();
    check(&site, &[], "--file").await;
}

#[tokio::test]
async fn a_function_that_cannot_run_here_is_told_and_nothing_stays() {
    let site = Site::new([]);
    for (section, expected) in [("image: example/a", "image"), ("fprocess: no-such-program", "no-such-program")] {
        fs::write(site.path("stack.yml"), format!("functions:\n  a:\n    {section}\n")).unwrap();
        let said = check(&site, &[], "--file").await;
        assert!(said.contains(expected), "{said}");
        assert_nothing_is_left(&site);
    }
}

#[tokio::test]
async fn a_nats_server_that_is_too_old_or_missing_is_named() {
    let mut site = Site::new([]);
    let program = |name: &str, text: &str| {
        let path = site.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    };
    let old = program("old", "#!/bin/sh\necho 'nats-server: v2.9.10'\n");
    let strange = program("strange", "#!/bin/sh\necho 'hello'\n");
    for (path, expected) in [(old, "2.9.10"), (strange, "version"), (site.path("missing"), "missing")] {
        site.nats_server = path;
        let said = check(&site, &[], "--nats-server").await;
        assert!(said.contains(expected), "{said}");
        assert_nothing_is_left(&site);
    }
}

#[tokio::test]
async fn other_settings_that_cannot_be_are_named() {
    let site = Site::new([]);
    let nowhere = format!("nats://{}", free_address());
    let missing = site.path("missing").to_str().unwrap().to_owned();
    let no_nats = ["--nats-url", nowhere.as_str(), "--nats-wait", "200ms"];
    check(&site, &no_nats, "--nats-url").await;
    check(&site, &["--watchdog", &missing], "--watchdog").await;
    let said = check(&site, &["--basic-auth", "--secret-mount-path", &missing], "--secret-mount-path").await;
    assert!(said.contains("basic-auth-user"), "{said}");
    check(&site, &["--nats-url", &nowhere, "--nats-user-password-file", &missing], "--nats-user-password-file").await;
    check(&site, &["--nats-url", &nowhere, "--nats-creds-file", &missing], "--nats-creds-file").await;
    check(&site, &["--nats-user-password-file", &missing], "needs --nats-url").await;
    let no_key = site.path("no-key");
    fs::write(&no_key, "secret\n").unwrap();
    let said = check(&site, &["--callback-key-file", no_key.to_str().unwrap()], "--callback-key-file").await;
    assert!(said.contains("whsec_") && !said.contains("secret\n"), "{said}");
    for (flag, value) in [
        ("--grace", "soon"),
        ("--attempts", "0"),
        ("--max-connections", "0"),
        ("--max-connections-per-address", "0"),
        ("--max-inflight", "0"),
        ("--max-requests-per-address", "many"),
        ("--queue-bytes", "0"),
        ("--queue-bytes-per-function", "0"),
        ("--listen", "everywhere"),
        ("--subject-prefix", "a.b"),
        ("--concurrency-per-replica", "0"),
        ("--callback-allow", "10.0.0.0/99"),
        ("--callback-subjects", "a..b"),
        ("--nats-url", "nonsense://x"),
        ("--nats-url", "nats://a,,nats://b"),
        ("--async-body-limit", "0"),
        ("--no-such-flag", "1"),
    ] {
        let (code, said) = site.run_to_the_end(site.up_command(&[flag, value])).await;
        assert!(code == Some(2) && said.contains(flag), "{flag}: {said}");
    }
    assert_nothing_is_left(&site);
}
