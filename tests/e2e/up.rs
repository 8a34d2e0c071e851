//! `skep up`, from its first line to its last process.

use rustix::process::Signal;

use crate::harness::{Function, Platform, Program, Roles, Site, repository, wait_until};

#[tokio::test]
async fn it_says_what_runs_and_what_to_try() {
    let wordcount = Function::new("wordcount", "./wordcount.py").folder(repository().join("functions/wordcount"));
    let sha256 = Function::new("sha256", "sha256sum").label("com.openfaas.scale.min", "2");
    let mut site = Site::new([wordcount, sha256]);
    let up = site.up_with_password(&[]).await;
    let lines_to_try = || -> Vec<String> {
        let said = up.stdout();
        said.lines().map(str::trim).filter(|line| line.starts_with("curl ")).map(str::to_owned).collect()
    };
    wait_until("three lines to try", async || lines_to_try().len() == 3).await;
    let said = up.stdout();
    for reported in [site.listen, site.admin, site.nats] {
        assert!(said.contains(&reported.to_string()), "{reported} is missing in {said}");
    }
    for (function, replicas) in [("wordcount", "1/1"), ("sha256", "2/2")] {
        let line = said.lines().find(|line| line.starts_with(&format!("{function} "))).expect(&said);
        assert!(line.contains(replicas), "{line}");
    }
    for line in lines_to_try() {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &format!("{} --fail --silent --show-error", &line)]);
        let mut curl = Program::start("curl", command, site.folder());
        assert!(curl.ended().await.success(), "{line}: {}", curl.stderr());
        assert!(!curl.stdout().is_empty(), "{line}");
    }
}

#[tokio::test]
async fn ctrl_c_drains_and_leaves_no_process() {
    let site = Site::new([Function::gated(), Function::cat()]);
    let mut command = site.up_command(&[]);
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut up = Program::start("up", command, site.folder());
    let listens = async || tokio::net::TcpStream::connect(site.listen).await.is_ok();
    wait_until("the gateway listens", listens).await;
    site.wait_for_functions().await;

    let running = site.gateway.queue("gated", "x").await;
    site.gateway.state(&running, "running").await;
    up.signal_group(Signal::INT);
    wait_until("the gateway is closed", async || !listens().await).await;
    site.open_gate();
    let status = up.ended().await;
    assert!(status.success(), "{status}: {}", up.stderr());
    assert!(site.processes().is_empty(), "{:?}", site.processes());

    // What ran to its end while draining has its result.
    let _up = site.up(&[]).await;
    assert_eq!(site.gateway.finished(&running).await["state"], "succeeded");
    assert_eq!(site.runs(), [running]);
}

#[tokio::test]
async fn started_again_it_finds_its_functions_and_its_queued_work() {
    let mut platform = Platform::start([Function::counted()]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    let mut by_api = Function::cat();
    by_api.name = "by-api".to_owned();
    site.deploy(&by_api).await;
    gateway.scale("by-api", 2).await;
    gateway.scale("counted", 0).await;
    gateway.wait_for_replicas("counted", 0).await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(gateway.queue("counted", "x").await);
    }
    platform.up.signal(Signal::INT);
    assert!(platform.up.ended().await.success(), "{}", platform.up.stderr());
    assert!(site.processes().is_empty(), "{:?}", site.processes());

    platform.up = Program::start("up", site.up_command(&[]), site.folder());
    wait_until("the gateway listens", async || tokio::net::TcpStream::connect(site.listen).await.is_ok()).await;
    wait_until("both functions are known", async || {
        gateway.function("by-api").await.is_some() && gateway.function("counted").await.is_some()
    })
    .await;
    gateway.wait_for_replicas("by-api", 2).await;
    assert_eq!(gateway.call("by-api", "x").await.text(), "x");
    gateway.scale("counted", 1).await;
    for id in &ids {
        assert_eq!(gateway.finished(id).await["state"], "succeeded");
    }
    let mut runs = site.runs();
    runs.sort();
    ids.sort();
    assert_eq!(runs, ids);
}

#[tokio::test]
async fn kill_9_leaves_no_child_behind_and_no_call_is_lost() {
    let mut platform = Platform::start([Function::gated(), Function::upstream()]).await;
    let site = &platform.site;
    let daring = Function::new("daring", r#"sh -c 'setsid sh -c "touch daring; sleep 3600" & wait'"#);
    site.deploy(&daring).await;
    let id = platform.gateway.queue("gated", "x").await;
    platform.gateway.queue("daring", "x").await;
    platform.gateway.state(&id, "running").await;
    wait_until("the daring process runs", async || site.path("daring").exists()).await;
    let running = site.processes();
    assert!(running.iter().any(|process| process.is("nats-server")), "{running:?}");
    for expected in ["fwatchdog", "upstream.py", "gate", "sleep 3600"] {
        assert!(running.iter().any(|process| process.command.contains(expected)), "{expected}: {running:?}");
    }
    platform.up.kill();
    wait_until("all processes are gone", async || {
        let left = site.processes();
        left.is_empty()
    })
    .await;

    site.open_gate();
    platform.up = site.up(&[]).await;
    assert_eq!(platform.gateway.finished(&id).await["state"], "succeeded");
}

#[tokio::test]
async fn a_nats_server_that_dies_is_started_again() {
    let platform = Platform::start([Function::cat()]).await;
    let id = platform.gateway.queue("cat", "before").await;
    platform.gateway.finished(&id).await;
    let nats = platform.site.processes().into_iter().find(|process| process.is("nats-server"));
    nats.unwrap().kill();
    // Calls that need no bus go on.
    assert_eq!(platform.gateway.call("cat", "meanwhile").await.text(), "meanwhile");
    wait_until("calls are accepted again", async || {
        let answer = platform.gateway.queue_as("after", "cat", "after").await;
        if answer.status != 202 {
            answer.assert_refused(503);
        }
        answer.status == 202
    })
    .await;
    assert_eq!(platform.gateway.finished("after").await["state"], "succeeded");
    assert_eq!(platform.gateway.result(&id).await.text(), "before");
}

#[tokio::test]
async fn a_running_nats_server_can_be_used_instead() {
    let site = Site::new([Function::cat()]);
    let mut nats = site.start_nats().await;
    let mut up = site.up(&["--nats-url", &site.nats_url]).await;
    let id = site.gateway.queue("cat", "x").await;
    assert_eq!(site.gateway.finished(&id).await["state"], "succeeded");
    let servers = site.processes().into_iter().filter(|process| process.is("nats-server")).count();
    assert_eq!(servers, 1, "no second one is started");
    up.signal(Signal::TERM);
    assert!(up.ended().await.success());
    assert!(nats.status().is_none(), "it is not ours to stop");
    crate::nats::client(&site).await.flush().await.unwrap();
}

#[tokio::test]
async fn a_role_says_by_its_exit_code_whether_it_is_ready() {
    let mut roles = Roles::start([Function::cat()]).await;
    let ask = async |site: &Site, address: &str| site.client(&["healthcheck", "--admin-listen", address]).await;
    let address = roles.site.admin.to_string();
    assert_eq!(ask(&roles.site, &address).await.said(), "");
    roles.role_gateway.kill();
    ask(&roles.site, &address).await.failed(1, "Connection refused");
    ask(&roles.site, "nowhere").await.code_is(2);
}
