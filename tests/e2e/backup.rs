//! `skep backup` and `skep restore`: what was accepted before the backup runs where it is restored, and the audit adds up there.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use http::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::harness::{Cluster, Function, Gateway, Platform, Program, Ran, Roles, Site, wait_until};

/// `skep` with these arguments, to its end.
async fn run(site: &Site, arguments: &[&str]) -> Ran {
    Ran::of(Program::start("skep", site.client_command(arguments), site.folder())).await
}

/// The nats-server to start for it, and what else is given.
async fn run_with_server(site: &Site, arguments: &[&str]) -> Ran {
    let server = site.nats_server.to_str().unwrap().to_owned();
    run(site, &[arguments, &["--nats-server", &server]].concat()).await
}

/// Fails at the first attempt of each call and then answers, so that each call waits for its time once.
fn flaky() -> Function {
    let script = r#"[ "$Http_X_Skep_Attempt" = 1 ] && exit 3; cat"#;
    Function::new("flaky", &format!("sh -c '{script}'")).attempts(5)
}

/// Between two calls of the load, so that all of them can run soon.
const PAUSE: Duration = Duration::from_millis(50);

/// Queues calls until it is stopped.
struct Load(JoinHandle<()>);

impl Load {
    fn start(gateway: &Gateway) -> Self {
        let gateway = gateway.clone();
        Self(tokio::spawn(async move {
            loop {
                for function in ["flaky", "counted"] {
                    // The platform may be gone in this moment.
                    let _ = gateway.post(&format!("/async-function/{function}")).body("load").send().await;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Waits until an audit has nothing to find, and returns its report.
async fn adds_up(site: &Site) -> Value {
    let audited = site.client(&["audit", "--json"]).await;
    let report: Value = serde_json::from_str(&audited.stdout).unwrap_or_else(|_| panic!("{audited:?}"));
    assert_eq!((audited.code, &report["findings"]), (Some(0), &json!([])), "{report}");
    report
}

#[tokio::test]
async fn a_backup_under_load_is_restored_elsewhere_and_each_call_ends() {
    let mut platform = Platform::start([Function::counted(), flaky()]).await;
    let gateway = platform.gateway.clone();
    let secret = json!({ "name": "key", "value": "honey" });
    assert_eq!(gateway.send(Method::POST, "/system/secrets", &secret).await.status, 201);
    let reader = Function::new("reader", r#"sh -c 'cat "$SKEP_SECRETS_DIR/key"'"#).secret("key");
    platform.site.deploy(&reader).await;
    let done = gateway.queue("counted", "done before").await;
    assert_eq!(gateway.finished(&done).await["state"], "succeeded");
    let load = Load::start(&gateway);
    platform.site.wait_for_runs(20).await;
    let ids = calls_that_end(&gateway).await;
    let later = gateway.queue_later("counted", "1h").await;
    let large = gateway.queue("flaky", vec![b'x'; 9_000_000]).await;

    let site = &mut platform.site;
    let file = site.path("backup.skep");
    let (file, data) = (file.to_str().unwrap(), site.data.to_str().unwrap().to_owned());
    let said = run(site, &["backup", file, "--data-dir", &data]).await.said();
    assert!(said.contains("has everything") && said.contains("seal.key"), "{said}");
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    run(site, &["backup", file, "--data-dir", &data]).await.failed(2, "exists");
    drop(load);
    platform.up.signal(Signal::INT);
    assert!(platform.up.ended().await.success(), "{}", platform.up.stderr());

    let key = site.path("data/seal.key");
    site.data = site.path("restored");
    let restored = site.data.to_str().unwrap().to_owned();
    let restore = ["restore", file, "--data-dir", &restored];
    run_with_server(site, &restore).await.failed(2, "seal.key");
    let with_key = [&restore[..], &["--seal-key-file", key.to_str().unwrap()]].concat();
    let said = run_with_server(site, &with_key).await.said();
    assert!(said.contains("restored; next: skep up --data-dir"), "{said}");
    run_with_server(site, &with_key).await.failed(2, "empty installation");

    fs::write(site.path("stack.yml"), "{}").unwrap();
    platform.up = site.up(&[]).await;
    for name in ["counted", "flaky", "reader"] {
        site.wait_for_function(name).await;
    }
    assert_eq!(gateway.call("reader", "").await.text(), "honey");
    assert_eq!(gateway.result(&done).await.text(), "done before");
    for id in &ids {
        assert_eq!(gateway.finished(id).await["state"], "succeeded", "{id}");
    }
    assert_eq!(gateway.finished(&large).await["state"], "succeeded");
    assert_eq!(gateway.result(&large).await.body.len(), 9_000_000);
    assert_eq!(gateway.call_status(&later).await.unwrap()["state"], "scheduled");
    wait_until("all other calls have ended", async || in_flight(&adds_up(site).await) == 1).await;
}

/// Calls that are delayed, and calls that are tried again.
async fn calls_that_end(gateway: &Gateway) -> Vec<String> {
    let mut ids = Vec::new();
    for delay in ["1s", "2s", "3s", "5s"] {
        ids.push(gateway.queue_later("counted", delay).await);
    }
    for _ in 0..20 {
        ids.push(gateway.queue("flaky", "before").await);
    }
    ids
}

/// Calls that have not ended, by a report of the audit.
fn in_flight(report: &Value) -> u64 {
    report["functions"].as_array().unwrap().iter().map(|function| function["inFlight"].as_u64().unwrap()).sum()
}

#[tokio::test]
async fn a_damaged_or_truncated_backup_is_refused_and_changes_nothing() {
    let mut platform = Platform::start([Function::cat()]).await;
    let id = platform.gateway.queue("cat", "x").await;
    platform.gateway.finished(&id).await;
    platform.up.signal(Signal::INT);
    assert!(platform.up.ended().await.success());
    let site = &mut platform.site;
    let (file, other, target) = (site.path("backup.skep"), site.path("other.skep"), site.path("restored"));
    let data = site.data.to_str().unwrap().to_owned();
    // A skep that is stopped is backed up as well.
    run_with_server(site, &["backup", file.to_str().unwrap(), "--data-dir", &data]).await.said();
    let whole = fs::read(&file).unwrap();
    let restore = async |content: &[u8]| {
        fs::write(&other, content).unwrap();
        let arguments = ["restore", other.to_str().unwrap(), "--data-dir", target.to_str().unwrap()];
        run_with_server(site, &arguments).await
    };
    restore(&whole[..whole.len() / 2]).await.failed(2, "truncated");
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    restore(&changed).await.failed(2, "damaged");
    restore(b"something else, long enough").await.failed(2, "no backup of skep");
    assert!(!Path::exists(&target), "nothing was begun");
    fs::write(&other, &whole).unwrap();
    let check = ["restore", other.to_str().unwrap(), "--check"];
    assert!(run(site, &check).await.said().contains("is whole"));
}

#[tokio::test]
async fn what_one_server_had_is_restored_on_three() {
    let roles = Roles::start([Function::counted(), flaky()]).await;
    let gateway = roles.gateway.clone();
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(gateway.queue("flaky", "x").await);
        ids.push(gateway.queue_later("counted", "4s").await);
    }
    let later = gateway.queue_later("counted", "1h").await;
    let file = roles.site.path("backup.skep");
    let file = file.to_str().unwrap();
    let url = roles.site.nats_url.clone();
    // With the rights of a user for backups, and no more.
    let user = roles.site.path("nats-operator").to_str().unwrap().to_owned();
    let login = ["--nats-user-password-file", &user, "--nats-url"];
    run(&roles.site, &[&["backup", file][..], &login, &[&url]].concat()).await.said();
    let refused = run(&roles.site, &[&["restore", file][..], &login, &[&url]].concat()).await;
    refused.failed(2, "empty installation");
    let Roles { worker, role_gateway, controller, nats, mut site, .. } = roles;
    for mut program in [worker, role_gateway, controller, nats] {
        program.kill();
    }

    let cluster = Cluster::start(&mut site).await;
    let url = site.nats_url.clone();
    let restore = [&["restore", file, "--nats-replicas", "3"][..], &login, &[&url]].concat();
    wait_until("the cluster has a leader", async || run(&site, &restore).await.code == Some(0)).await;
    site.functions.clear();
    let roles = Roles::start_with(site, cluster).await;
    for id in &ids {
        assert_eq!(gateway.finished(id).await["state"], "succeeded", "{id}");
    }
    assert_eq!(gateway.call_status(&later).await.unwrap()["state"], "scheduled");
    for name in ["SKEP_INVOKE", "SKEP_CALLS", "KV_SKEP_FUNCTIONS"] {
        let stream = crate::nats::stream(&roles.site, name).await;
        assert_eq!(stream.cached_info().config.num_replicas, 3, "{name}");
    }
    adds_up(&roles.site).await;
}
