//! Sources of events: declared over the API, by the command line and by a stack file, with secrets that nobody sees.

use std::{fs, path::Path};

use http::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{
    Answer, Function, Gateway, Platform, Program, Roles, Site, answer_to, free_address, wait_for, wait_until,
};

const PATH: &str = "/system/sources";
/// A value that must not be anywhere.
const SECRET: &str = "s3cret-of-the-hive-4711";
const SEAL_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn github(name: &str) -> Value {
    json!({ "name": name, "preset": "github", "routes": [{ "to": "cat" }] })
}

async fn read(gateway: &Gateway, name: &str) -> Answer {
    answer_to(gateway.get(&format!("{PATH}/{name}"))).await
}

async fn add_secret(gateway: &Gateway, source: &str, secret: &Value) -> Answer {
    gateway.send(Method::POST, &format!("{PATH}/{source}/secrets"), secret).await
}

/// What the audit log has of the source `github`, the newest entry first.
async fn audit_entries(gateway: &Gateway) -> Vec<Value> {
    let entries = answer_to(gateway.get("/system/audit-log?object=github")).await.json();
    entries.as_array().unwrap().clone()
}

#[tokio::test]
async fn a_source_lives_from_create_to_delete() {
    let platform = Platform::start([Function::cat()]).await;
    let gateway = &platform.gateway;
    assert_eq!(answer_to(gateway.get(PATH)).await.json(), json!([]));
    let created = gateway.send(Method::POST, PATH, &github("github")).await;
    assert_eq!(created.status, 201, "{created:?}");
    gateway.send(Method::POST, PATH, &github("github")).await.assert_refused(409);
    let found = read(gateway, "github").await.json();
    assert_eq!(found, created.json());
    assert_eq!(found["path"], "/hooks/github");
    assert_eq!(found["spec"], json!({ "preset": "github", "routes": [{ "to": "cat" }] }));
    assert_eq!((&found["open"], &found["paused"], &found["secrets"]), (&json!(false), &json!(false), &json!([])));
    assert!(found["problem"].as_str().unwrap().contains("skep sources secret add github"), "{found}");

    let open = json!({ "name": "github", "verify": "none", "routes": [{ "to": "cat" }] });
    let updated = gateway.send(Method::PUT, PATH, &open).await;
    assert_eq!((updated.status, &updated.json()["open"]), (200, &json!(true)), "{updated:?}");
    assert_eq!(updated.json()["createdAt"], found["createdAt"]);
    for (what, paused) in [("pause", true), ("pause", true), ("resume", false)] {
        let answer = gateway.send(Method::POST, &format!("{PATH}/github/{what}"), &json!({})).await;
        assert_eq!((answer.status, &answer.json()["paused"]), (200, &json!(paused)), "{what}: {answer:?}");
    }
    assert_eq!(gateway.send(Method::DELETE, PATH, &json!({ "name": "github" })).await.status, 200);
    let expected = [
        "source-delete",
        "source-resume",
        "source-pause",
        "source-pause",
        "source-update",
        "source-create",
        "source-create",
    ];
    // An answer waits for its entry no longer than a second.
    let entries = wait_for("an entry for each", async || {
        Some(audit_entries(gateway).await).filter(|entries| entries.len() >= expected.len())
    })
    .await;
    assert_eq!(entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect::<Vec<_>>(), expected);
    for answer in [
        read(gateway, "github").await,
        gateway.send(Method::DELETE, PATH, &json!({ "name": "github" })).await,
        gateway.send(Method::PUT, PATH, &github("github")).await,
        gateway.send(Method::POST, &format!("{PATH}/github/pause"), &json!({})).await,
        add_secret(gateway, "github", &json!({ "value": "x" })).await,
    ] {
        answer.assert_refused(404);
    }
}

#[tokio::test]
async fn a_bad_declaration_is_refused_with_its_key_and_what_is_allowed() {
    let platform = Platform::start([]).await;
    for (declaration, expected) in [
        (json!({ "preset": "github" }), "name of the source is missing"),
        (json!({ "name": "Git.Hub", "preset": "github" }), "lower-case letters"),
        (json!({ "name": "a" }), "verify"),
        (json!({ "name": "a", "preset": "no-such-provider" }), "github"),
        (json!({ "name": "a", "preset": "github", "colour": 1 }), "colour"),
        (json!({ "name": "a", "preset": "twilio", "routes": [{ "to": "cat" }] }), "url"),
        (json!({ "name": "a", "preset": "github", "routes": [{ "to": "no function" }] }), "routes[0]"),
        (json!({ "name": "a", "preset": "github", "keep": "1s" }), "from 5m to 90d"),
        (
            json!({ "name": "a", "preset": "github", "routes": [{ "to": "f", "filter": { "type": { "startsWith": "p" } } }] }),
            "prefix",
        ),
        (
            json!({ "name": "a", "verify": [{ "hmac": "sha256", "signature": { "from": "header:X", "encoding": "hex" }, "signed": "{body" }] }),
            "verify",
        ),
        (json!({ "name": "a", "preset": "github", "x": "y".repeat(300 * 1024) }), "are allowed"),
    ] {
        let answer = platform.gateway.send(Method::POST, PATH, &declaration).await;
        answer.assert_refused(400);
        assert!(answer.text().contains(expected), "{expected:?} is not in {}", answer.text());
    }
    assert_eq!(answer_to(platform.gateway.get(PATH)).await.json(), json!([]));
}

#[tokio::test]
async fn secrets_count_newest_first_expire_and_are_checked_when_they_are_stored() {
    let platform = Platform::start([]).await;
    let gateway = &platform.gateway;
    let svix = json!({ "name": "svix", "preset": "svix", "routes": [] });
    assert_eq!(gateway.send(Method::POST, PATH, &svix).await.status, 201);
    for (bad, expected) in [
        (json!({ "value": "" }), "empty"),
        (json!({ "value": "whsec_%%%" }), "whsec_"),
        (json!({ "value": "whsec_AAAA", "expires": "soon" }), "expires"),
        (json!({ "value": "whsec_AAAA", "expires": "2020-01-01T00:00:00Z" }), "expired"),
        (json!({ "value": "whsec_AAAA", "retire_others": "later" }), "retire_others"),
        (json!({ "secret": "whsec_AAAA" }), "secret"),
    ] {
        let answer = add_secret(gateway, "svix", &bad).await;
        answer.assert_refused(400);
        assert!(answer.text().contains(expected) && !answer.text().contains("AAAA"), "{answer:?}");
    }
    for (number, value) in [(1, "whsec_AAAA"), (2, "whsec_BBBB"), (3, "whsec_CCCC"), (4, "whsec_DDDD")] {
        let answer = add_secret(gateway, "svix", &json!({ "value": value })).await;
        assert_eq!((answer.status, answer.json()), (201, json!({ "number": number })));
    }
    add_secret(gateway, "svix", &json!({ "value": "whsec_EEEE" })).await.assert_refused(409);
    let secrets = format!("{PATH}/svix/secrets");
    for (which, status) in [(json!({}), 400), (json!({ "number": 9 }), 404), (json!({ "number": 2 }), 200)] {
        assert_eq!(gateway.send(Method::DELETE, &secrets, &which).await.status, status, "{which}");
    }
    let last = json!({ "value": "whsec_EEEE", "retire_others": "24h", "expires": "90d" });
    assert_eq!(add_secret(gateway, "svix", &last).await.json(), json!({ "number": 5 }));
    let listed = answer_to(gateway.get(&secrets)).await.json();
    let numbers: Vec<_> = listed.as_array().unwrap().iter().map(|secret| secret["number"].clone()).collect();
    assert_eq!(numbers, [5, 4, 3, 1]);
    assert!(listed.as_array().unwrap().iter().all(|secret| secret["expiresAt"].is_string()), "{listed}");
    assert_eq!(read(gateway, "svix").await.json()["secrets"], listed);
    assert!(read(gateway, "svix").await.json()["problem"].is_null());
}

#[tokio::test]
async fn a_source_and_its_secret_are_seen_by_every_gateway_and_outlive_a_restart_of_all() {
    let mut site = Site::new([]);
    let key = site.path("seal.key");
    fs::write(&key, SEAL_KEY).unwrap();
    site.environment.push(("SKEP_SEAL_KEY_FILE", key.to_str().unwrap().to_owned()));
    let mut roles = Roles::start_at(site).await;
    let other = Gateway::new(format!("http://{}", free_address()));
    let listen = other.url.trim_start_matches("http://").parse().unwrap();
    let _second = roles.site.start_gateway_at(listen, &[]).await;
    let of_strangers = Gateway::new(format!("http://{}", free_address()));
    fs::write(&key, "BBECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
    let listen = of_strangers.url.trim_start_matches("http://").parse().unwrap();
    let _third = roles.site.start_gateway_at(listen, &[]).await;
    fs::write(&key, SEAL_KEY).unwrap();

    assert_eq!(roles.gateway.send(Method::POST, PATH, &github("github")).await.status, 201);
    let answers = async || answer_to(other.post("/hooks/github").body("{}")).await.status;
    wait_until("the other gateway knows the source", async || answers().await == 401).await;
    assert_eq!(add_secret(&roles.gateway, "github", &json!({ "value": SECRET })).await.status, 201);
    let problem = async |gateway: &Gateway| read(gateway, "github").await.json()["problem"].clone();
    assert_eq!(problem(&other).await, Value::Null);
    assert!(problem(&of_strangers).await.as_str().unwrap().contains("another key"));
    let before = read(&other, "github").await.json();

    roles.controller.kill();
    roles.role_gateway.kill();
    roles.nats.kill();
    roles.nats = roles.site.start_nats().await;
    roles.controller = roles.site.start_controller().await;
    roles.role_gateway = roles.site.start_gateway(&[]).await;
    assert_eq!(read(&roles.gateway, "github").await.json(), before);
    assert_eq!(roles.gateway.send(Method::DELETE, PATH, &json!({ "name": "github" })).await.status, 200);
    wait_until("the other gateway knows that it is gone", async || answers().await == 404).await;
}

#[tokio::test]
async fn without_a_seal_key_no_secret_is_taken_and_the_setting_is_named() {
    let roles = Roles::start([]).await;
    assert_eq!(roles.gateway.send(Method::POST, PATH, &github("github")).await.status, 201);
    let answer = add_secret(&roles.gateway, "github", &json!({ "value": SECRET })).await;
    answer.assert_refused(400);
    assert!(answer.text().contains("--seal-key-file"), "{answer:?}");
    let mut bad = roles.site.gateway_command(&["--seal-key-file"]);
    bad.arg(roles.site.path("stack.yml"));
    let (code, said) = roles.site.run_to_the_end(bad).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--seal-key-file (SKEP_SEAL_KEY_FILE)") && said.contains("openssl rand"), "{said}");
}

#[tokio::test]
async fn a_secret_is_in_no_file_and_in_no_answer_and_in_no_log() {
    let site = Site::new([]);
    let mut up = site.up(&["--log", "debug"]).await;
    let gateway = &site.gateway;
    assert_eq!(gateway.send(Method::POST, PATH, &github("github")).await.status, 201);
    assert_eq!(add_secret(gateway, "github", &json!({ "value": SECRET })).await.status, 201);
    let named = json!({ "value": SECRET, "name": "verify_token", "expires": "1h" });
    assert_eq!(add_secret(gateway, "github", &named).await.status, 201);
    add_secret(gateway, "github", &json!({ "value": SECRET })).await.assert_refused(409);
    for path in [PATH, "/system/sources/github", "/system/sources/github/secrets", "/system/audit-log"] {
        let answer = answer_to(gateway.get(path)).await;
        assert_eq!(answer.status, 200);
        assert!(!answer.text().contains(SECRET), "{path}: {answer:?}");
    }
    for arguments in
        [&["sources", "list"][..], &["sources", "show", "github"], &["sources", "show", "github", "--json"]]
    {
        assert!(!site.client(arguments).await.said().contains(SECRET), "{arguments:?}");
    }
    up.signal(Signal::TERM);
    assert!(up.ended().await.success(), "{}", up.stderr());
    assert!(files_with(site.folder(), "KV_SKEP_SOURCES") > 0, "the bucket is not among the files");
    assert_eq!(files_with(site.folder(), SECRET), 0, "the secret is in a file");
    let key = site.data.join("seal.key");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&key).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

/// How many files below a folder hold a text, or have it in their paths.
fn files_with(folder: &Path, text: &str) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let count = |path: std::path::PathBuf| {
        if path.is_dir() {
            return files_with(&path, text);
        }
        let is_in = |bytes: Vec<u8>| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        let found = path.to_string_lossy().contains(text) || fs::read(&path).is_ok_and(is_in);
        usize::from(found)
    };
    entries.map(count).sum()
}

#[tokio::test]
async fn the_command_line_does_all_of_it() {
    let platform = Platform::start([Function::cat()]).await;
    let site = &platform.site;
    let skep = async |arguments: &[&str]| site.client(&[&["sources"], arguments].concat()).await;
    assert!(skep(&["list"]).await.said().starts_with("No sources."));
    let added = skep(&["add", "github", "--preset", "github", "--to", "cat"]).await.said();
    assert!(added.contains(&format!("{}/hooks/github", platform.gateway.url)), "{added}");
    skep(&["add", "github", "--preset", "github", "--to", "cat"]).await.failed(1, "already exists");
    skep(&["add", "x", "--preset", "no-such", "--to", "cat"]).await.failed(2, "preset");
    skep(&["show", "nobody"]).await.failed(3, "no source");

    let file = site.path("secret.txt");
    fs::write(&file, format!("{SECRET}\n")).unwrap();
    let file = file.to_str().unwrap();
    let said = skep(&["secret", "add", "github", "--file", file]).await.said();
    assert_eq!(said, "github has a new secret, number 1\n");
    skep(&["secret", "add", "github", "--file", file]).await.failed(1, "has this secret already");
    let listed = skep(&["secret", "list", "github"]).await.said();
    assert!(listed.lines().count() == 2 && !listed.contains(SECRET), "{listed}");
    let row = skep(&["list"]).await.said();
    assert!(row.contains("/hooks/github") && row.contains("ready") && !row.contains("no secret"), "{row}");

    fs::write(site.path("source.yml"), "verify: none\nroutes:\n  - to: cat\n    filter: { type: push }\n").unwrap();
    let declaration = site.path("source.yml");
    let updated = skep(&["update", "github", "--file", declaration.to_str().unwrap()]).await.said();
    assert!(updated.contains("open") && updated.contains("\"filter\""), "{updated}");
    assert_eq!(skep(&["pause", "github"]).await.said(), "github is paused\n");
    assert!(skep(&["list"]).await.said().contains("paused, open"));
    assert_eq!(skep(&["resume", "github"]).await.said(), "github is resumed\n");
    assert_eq!(skep(&["secret", "remove", "github", "1"]).await.said(), "secret 1 of github is removed\n");
    assert_eq!(skep(&["secret", "list", "github"]).await.said(), "No secrets.\n");
    assert_eq!(skep(&["remove", "github"]).await.said(), "github is removed\n");
    skep(&["remove", "github"]).await.failed(3, "not found");

    let presets = skep(&["presets"]).await.said();
    assert!(presets.contains("stripe") && presets.contains("hmac sha256"), "{presets}");
    let stripe = skep(&["presets", "show", "stripe"]).await.said();
    assert!(stripe.to_lowercase().contains("header:stripe-signature"), "{stripe}");
    skep(&["presets", "show", "nobody"]).await.failed(3, "not known");
}

/// A stack file with a function and a source.
fn write_stack(site: &Site, source: &Value) {
    let functions = json!({ "cat": Function::cat().section() });
    let stack = json!({ "version": "1.0", "functions": functions, "sources": { "github": source } });
    fs::write(site.path("stack.yml"), stack.to_string()).unwrap();
}

async fn restart(site: &Site, up: &mut Program) {
    up.signal(Signal::TERM);
    assert!(up.ended().await.success(), "{}", up.stderr());
    *up = site.up(&[]).await;
}

#[tokio::test]
async fn a_stack_file_deploys_sources_and_the_keys_of_the_secrets_that_they_name() {
    let site = Site::new([Function::cat()]);
    let declared = json!({ "preset": "github", "secrets": ["github-webhook"], "routes": [{ "to": "cat" }] });
    write_stack(&site, &declared);
    let mut up = Program::start("up", site.up_command(&[]), site.folder());
    assert_eq!(up.ended().await.code(), Some(2));
    assert!(up.stderr().contains("secret github-webhook not found"), "{}", up.stderr());
    assert!(up.stderr().contains("/secrets/github-webhook"), "{}", up.stderr());

    fs::create_dir_all(site.data.join("secrets")).unwrap();
    let write_keys = |keys: &str| fs::write(site.data.join("secrets/github-webhook"), keys).unwrap();
    write_keys("new\nold\n");
    let mut up = site.up(&[]).await;
    let gateway = &site.gateway;
    let found = async || read(gateway, "github").await.json();
    let numbers = async || {
        let source = found().await;
        let secrets = source["secrets"].as_array().unwrap().clone();
        secrets.iter().map(|secret| secret["number"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    wait_until("the source is there", async || read(gateway, "github").await.status == 200).await;
    let first = found().await;
    assert_eq!(first["spec"], declared);
    assert_eq!(numbers().await, [2, 1]);
    assert!(first["problem"].is_null(), "{first}");
    // The entry comes after the source.
    let entry = wait_for("its entry", async || audit_entries(gateway).await.into_iter().next()).await;
    assert_eq!((&entry["actor"], &entry["action"]), (&json!("stack file"), &json!("source-create")));

    // A source has the keys of its file and no others.
    add_secret(gateway, "github", &json!({ "value": "other" })).await.assert_refused(409);
    let gone = gateway.send(Method::DELETE, "/system/secrets", &json!({ "name": "github-webhook" })).await;
    gone.assert_refused(409);
    let newest = json!({ "name": "github-webhook", "value": "newest\nnew\n" });
    assert_eq!(gateway.send(Method::PUT, "/system/secrets", &newest).await.status, 202);
    assert_eq!(numbers().await, [3, 2]);

    // What changed while it did not run counts, and what did not is left alone.
    restart(&site, &mut up).await;
    assert_eq!(numbers().await, [3, 2]);
    assert_eq!(found().await["updatedAt"], first["updatedAt"]);
    write_keys("newest\n");
    restart(&site, &mut up).await;
    wait_until("the old key is gone", async || numbers().await == [3]).await;
    write_stack(&site, &json!({ "preset": "github", "secrets": ["github-webhook"], "routes": [] }));
    restart(&site, &mut up).await;
    wait_until("the source is updated", async || found().await["spec"]["routes"] == json!([])).await;
}
