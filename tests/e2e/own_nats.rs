//! The NATS server that `skep up` starts is skep's alone, and so is its data folder.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::Command,
};

use async_nats::{Client, ConnectOptions, HeaderMap, jetstream};
use serde_json::Value;

use crate::harness::{DEADLINE, Function, Platform, Program, Site, wait_for};

/// Asks the server to deploy a function, and reads each of the files; says what came of it.
const STRANGER: &str = r#"
import socket, sys
server = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
answer = server.makefile("rb")
answer.readline()
server.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB inbox 1\r\n'
               b'PUB skep.control.deploy inbox 36\r\n{"service":"mine","envProcess":"id"}\r\nPING\r\n')
print(answer.readline().decode().strip())
for file in sys.argv[3:]:
    try:
        open(file).read()
        print("read", file)
    except PermissionError:
        print("closed", file)
"#;
/// `nobody`.
const SOMEBODY_ELSE: u32 = 65534;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The user and the password in a file of the data folder.
pub(crate) fn user(site: &Site, name: &str) -> (String, String) {
    let text = fs::read_to_string(site.data.join("nats-users").join(name)).unwrap();
    let (user, password) = text.trim().split_once(':').unwrap();
    (user.to_owned(), password.to_owned())
}

async fn publisher(site: &Site) -> Client {
    let (user, password) = user(site, "publisher");
    let options = ConnectOptions::with_user_and_password(user, password).request_timeout(Some(DEADLINE));
    options.connect(site.nats.to_string()).await.unwrap()
}

#[tokio::test]
async fn another_user_of_the_machine_neither_deploys_nor_reads_the_passwords() {
    let platform = Platform::start([Function::cat()]).await;
    let site = &platform.site;
    // What keeps others out is to be skep's own doing.
    fs::set_permissions(site.folder(), Permissions::from_mode(0o755)).unwrap();
    let files =
        ["nats.conf", "nats-users/skep", "nats-users/publisher", "nats.log", "lock"].map(|file| site.data.join(file));
    assert!(files.iter().all(|file| file.is_file()), "{files:?}");

    let mut command = Command::new("python3");
    command.args(["-c", STRANGER, &site.nats.ip().to_string(), &site.nats.port().to_string()]).args(&files);
    if is_root() {
        command.uid(SOMEBODY_ELSE).gid(SOMEBODY_ELSE);
    }
    let mut stranger = Program::start("stranger", command, site.folder());
    assert!(stranger.ended().await.success(), "{}", stranger.stderr());
    let said = stranger.stdout();
    assert!(said.starts_with("-ERR 'Authorization Violation'"), "{said}");
    assert!(!is_root() || said.lines().filter(|line| line.starts_with("closed ")).count() == files.len(), "{said}");
    assert!(platform.gateway.function("mine").await.is_none());

    for password in ["skep", "publisher"].map(|name| user(site, name).1) {
        let shown = site.processes().into_iter().find(|process| process.command.contains(&password));
        assert!(shown.is_none(), "the list of processes shows it: {shown:?}");
        assert!(!platform.up.stdout().contains(&password) && !platform.up.stderr().contains(&password));
    }
}

#[tokio::test]
async fn its_server_listens_at_one_port_only() {
    let platform = Platform::start([Function::cat()]).await;
    let server = platform.site.processes().into_iter().find(|process| process.is("nats-server")).unwrap();
    let sockets = fs::read_dir(format!("/proc/{}/fd", server.id)).unwrap().filter_map(|fd| {
        let target = fs::read_link(fd.unwrap().path()).ok()?;
        Some(target.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned())
    });
    let sockets: Vec<String> = sockets.collect();
    let tables = ["tcp", "tcp6"].map(|table| fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default());
    let listening = tables.iter().flat_map(|table| table.lines()).filter(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // The state of a listener, and its inode.
        fields.get(3) == Some(&"0A") && fields.get(9).is_some_and(|inode| sockets.iter().any(|socket| socket == inode))
    });
    assert_eq!(listening.count(), 1);
}

#[tokio::test]
async fn a_publisher_gives_work_and_reaches_nothing_else_and_keeps_its_password() {
    let mut platform = Platform::start([Function::counted()]).await;
    let shop = publisher(&platform.site).await;
    assert_eq!(shop.request("skep.call.counted", "honey".into()).await.unwrap().payload, "honey");
    let mut headers = HeaderMap::new();
    headers.insert("X-Call-Id", "jar-1");
    let stored = jetstream::new(shop.clone()).publish_with_headers("skep.publish.counted", headers, "wax".into()).await;
    assert_eq!(stored.unwrap().await.unwrap().stream, "SKEP_PUBLISH");
    platform.gateway.state("jar-1", "succeeded").await;
    for subject in ["$JS.API.INFO", "$JS.API.STREAM.MSG.GET.SKEP_CALLS", "skep.control.list", "skep.running.jar-1"] {
        let answer = shop.request(subject, "{}".into()).await;
        // Nothing answers there, or the server itself refuses: this login has no JetStream.
        let is_refused = |answer: &async_nats::Message| {
            serde_json::from_slice::<Value>(&answer.payload).is_ok_and(|answer| answer["error"].is_object())
        };
        assert!(answer.as_ref().ok().is_none_or(is_refused), "{subject}: {answer:?}");
    }

    let before = (user(&platform.site, "publisher"), user(&platform.site, "skep"));
    platform.up.signal(rustix::process::Signal::INT);
    assert!(platform.up.ended().await.success(), "{}", platform.up.stderr());
    platform.up = platform.site.up(&[]).await;
    let after = (user(&platform.site, "publisher"), user(&platform.site, "skep"));
    assert_eq!(before.0, after.0, "services hold on to theirs");
    assert_ne!(before.1, after.1, "skep's own is new at each start");
    let again = publisher(&platform.site).await;
    assert_eq!(again.request("skep.call.counted", "still".into()).await.unwrap().payload, "still");
}

#[tokio::test]
async fn what_was_queued_before_the_server_had_users_is_still_there() {
    let mut site = Site::new([Function::cat()]);
    site.nats_data = site.data.join("nats");
    fs::create_dir_all(&site.nats_data).unwrap();
    fs::set_permissions(&site.data, Permissions::from_mode(0o700)).unwrap();
    let mut nats = site.start_nats().await;
    let mut up = site.up(&["--nats-url", &site.nats_url]).await;
    let (id, done) = (site.gateway.queue_later("cat", "1h").await, site.gateway.queue("cat", "honey").await);
    site.gateway.finished(&done).await;
    for program in [&mut up, &mut nats] {
        program.signal(rustix::process::Signal::TERM);
        program.ended().await;
    }

    let _up = site.up(&[]).await;
    assert_eq!(site.gateway.call_status(&id).await.unwrap()["state"], "scheduled");
    assert_eq!(site.gateway.result(&done).await.text(), "honey");
}

#[tokio::test]
async fn the_data_folder_is_closed_to_others_or_refused() {
    let site = Site::new([Function::cat()]);
    fs::create_dir(&site.data).unwrap();
    fs::write(site.data.join("somebody-s"), "").unwrap();
    fs::set_permissions(&site.data, Permissions::from_mode(0o755)).unwrap();
    let (code, said) = site.run_to_the_end(site.up_command(&[])).await;
    assert!(code == Some(2) && said.contains("--data-dir") && said.contains("chmod 700"), "{said}");
    assert_eq!(mode(&site.data), 0o755, "a folder of others too is not changed");

    // One of an older skep.
    fs::write(site.data.join("lock"), "").unwrap();
    fs::write(site.data.join("nats.conf"), "").unwrap();
    let mut up = site.up(&[]).await;
    assert_eq!((mode(&site.data), mode(&site.data.join("nats.conf"))), (0o700, 0o600));
    up.signal(rustix::process::Signal::INT);
    up.ended().await;

    fs::remove_dir_all(&site.data).unwrap();
    let _up = site.up(&[]).await;
    assert_eq!(mode(&site.data), 0o700);
}

#[tokio::test]
async fn functions_do_not_run_as_root_unless_that_is_allowed() {
    let site = Site::new([Function::cat()]);
    let mut command = site.up_command(&[]);
    command.env_remove("SKEP_ALLOW_ROOT");
    if is_root() {
        let (code, said) = site.run_to_the_end(command).await;
        assert!(code == Some(2) && said.contains("--allow-root (SKEP_ALLOW_ROOT)"), "{said}");
    } else {
        let _up = site.up_by(command).await;
        assert_eq!(site.gateway.call("cat", "x").await.text(), "x");
    }
}

#[tokio::test]
async fn a_password_on_the_command_line_is_warned_of_and_not_repeated() {
    let site = Site::new([]);
    let url = format!("nats://bee:sting@{}", site.nats);
    let (code, said) = site.run_to_the_end(site.up_command(&["--nats-url", &url, "--nats-wait", "200ms"])).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--nats-user-password-file") && !said.contains("sting"), "{said}");
}

#[tokio::test]
async fn what_a_function_writes_does_nothing_to_the_terminal() {
    let rude = Function::new("rude", r#"sh -c 'printf "\033]0;PWNED\007\033[2J\rgone\n" >&2; cat'"#);
    let rude = rude.env("combine_output", "false");
    let platform = Platform::start([rude]).await;
    assert_eq!(platform.gateway.call("rude", "x").await.text(), "x");
    let shown = || {
        let said = platform.up.stdout();
        said.lines().find(|line| line.starts_with("rude-1 |") && line.contains("PWNED")).map(str::to_owned)
    };
    let line = wait_for("the line is shown", async || shown()).await;
    assert!(line.ends_with(r"\u{1b}]0;PWNED\u{7}\u{1b}[2J\rgone"), "{line}");
    let said = platform.up.stdout();
    assert!(!said.contains(['\u{1b}', '\u{7}', '\r']), "{said}");
}
