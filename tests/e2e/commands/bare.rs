//! A bare machine: the file `skep`, an empty environment, and `nats-server` in the cache folder or nowhere.

use std::{fs, process::Command};

use crate::harness::{NATS_SERVER, Program, Ran, SKEP, Site, http_client, wait_until};

use super::nats_program::pinned_version;

/// `skep` in a folder of its own, by a command that has only these variables.
fn command(site: &Site, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let folder = site.path("alone");
    if !folder.exists() {
        fs::create_dir(&folder).unwrap();
        fs::hard_link(&*SKEP, folder.join("skep"))
            .or_else(|_| fs::copy(&*SKEP, folder.join("skep")).map(|_| ()))
            .unwrap();
    }
    let mut command = Command::new(folder.join("skep"));
    command.args(arguments).env_clear().envs(environment.iter().copied()).current_dir(&folder);
    // By this the test finds what it has to end.
    command.env("LC_SKEP_SITE", site.path("tmp"));
    command
}

fn up(site: &Site, environment: &[(&str, &str)]) -> Command {
    let mut command = command(site, &["up", "--allow-root"], environment);
    command.args(["--listen", &site.listen.to_string(), "--admin-listen", &site.admin.to_string()]);
    command.args(["--nats-listen", &site.nats.to_string()]);
    command
}

async fn ran(site: &Site, command: Command) -> Ran {
    Ran::of(Program::start("skep", command, site.folder())).await
}

#[tokio::test]
async fn one_file_runs_everything_as_soon_as_nats_server_is_in_the_cache() {
    let site = Site::new([]);
    let home = site.path("home");
    // There are no CA certificates either.
    let environment = [("HOME", home.to_str().unwrap()), ("SSL_CERT_FILE", "/dev/null")];
    let missing = ran(&site, up(&site, &environment)).await;
    assert!(missing.stderr.contains("/alone/skep up --fetch-nats --allow-root --listen"), "as typed: {missing:?}");
    missing.failed(2, &format!("home/.cache/skep/nats-server-{}", pinned_version()));

    fs::write(site.path("alone/stack.yml"), "functions:\n  cat:\n    fprocess: /bin/cat\n").unwrap();
    let dev = command(&site, &["dev", "--allow-root", "--", "--sandbox", "off"], &environment);
    ran(&site, dev).await.failed(2, "/alone/skep dev --fetch-nats --allow-root -- --sandbox off");

    let cached = home.join(format!(".cache/skep/nats-server-{}", pinned_version()));
    fs::create_dir_all(&cached).unwrap();
    std::os::unix::fs::symlink(&*NATS_SERVER, cached.join("nats-server")).unwrap();
    let mut running = Program::start("up", up(&site, &environment), site.folder());
    let healthz = format!("{}/healthz", site.gateway.url);
    wait_until("the gateway is healthy", async || {
        assert!(running.status().is_none(), "it ended: {}", running.stderr());
        http_client().get(&healthz).send().await.is_ok_and(|answer| answer.status().is_success())
    })
    .await;
    let url = &site.gateway.url;
    let client = async |arguments: &[&str]| {
        let arguments = [arguments, &["--gateway", url]].concat();
        ran(&site, command(&site, &arguments, &environment)).await.said()
    };
    client(&["deploy", "hello", "--command", "/bin/echo hello"]).await;
    assert_eq!(client(&["invoke", "hello", "--file", "/dev/null"]).await, "hello\n");
    assert!(client(&["list"]).await.contains("hello"), "the password is found, too");

    // An update gives the file's name to another one, while the former runs.
    fs::copy(&*SKEP, site.path("alone/new")).unwrap();
    fs::rename(site.path("alone/new"), site.path("alone/skep")).unwrap();
    let nats = |site: &Site| site.processes().into_iter().find(|process| process.is("nats-server"));
    let before = nats(&site).unwrap();
    before.kill();
    wait_until("another NATS server runs", async || nats(&site).is_some_and(|now| now.id != before.id)).await;
    wait_until("the gateway is healthy again", async || {
        http_client().get(&healthz).send().await.is_ok_and(|answer| answer.status().is_success())
    })
    .await;
    // The controller has a connection of its own.
    wait_until("the controller answers again", async || {
        let list = command(&site, &["namespace", "list", "--gateway", url], &environment);
        ran(&site, list).await.code == Some(0)
    })
    .await;
    client(&["remove", "hello"]).await;
    client(&["deploy", "again", "--command", "/bin/echo again"]).await;
    assert_eq!(client(&["invoke", "again", "--file", "/dev/null"]).await, "again\n");

    let alone = site.path("alone/skep").canonicalize().unwrap();
    let watchdogs = || site.processes().into_iter().filter(|process| process.is("fwatchdog")).collect::<Vec<_>>();
    wait_until("only the new function has a watchdog", async || watchdogs().len() == 1).await;
    assert_eq!(fs::read_link(format!("/proc/{}/exe", watchdogs()[0].id)).unwrap(), alone);
    assert!(running.stderr().contains("no CA certificates"), "{}", running.stderr());
}

#[tokio::test]
async fn without_a_home_it_says_what_to_do() {
    let site = Site::new([]);
    ran(&site, up(&site, &[])).await.failed(2, "set HOME or XDG_CACHE_HOME, and run: ");
}
