//! What the tests stand on: engines of their own that leave nothing behind.

use std::{fs, process::Command};

use crate::harness::{FUNCTION, Gateway, Program, Swarm, processes_with, wait_for, wait_until};

#[tokio::test]
async fn a_function_image_answers_on_every_node() {
    let swarm = Swarm::start(2).await;
    swarm.make_images().await;
    let ports = "mode=host,target=8080,published=8080";
    let service =
        ["service", "create", "--detach", "--no-resolve-image", "--mode", "global", "--endpoint-mode", "dnsrr"];
    let function = ["--env", "fprocess=cat", "--publish", ports, FUNCTION];
    swarm.manager().docker(&[&service[..], &function].concat()).await;
    for node in &swarm.nodes {
        let gateway = Gateway::new(format!("http://{}:8080", node.address));
        let answer = wait_for("an answer", async || gateway.post("/").body("hello").send().await.ok()).await;
        assert_eq!(answer.text().await.unwrap(), "hello");
    }
}

/// For the test below, which starts it in a process of its own.
#[tokio::test]
async fn an_engine_runs_a_container() {
    let swarm = Swarm::start(1).await;
    swarm.make_images().await;
    swarm.manager().docker(&["run", "--detach", "--name", "sleeper", FUNCTION, "sleep", "60"]).await;
    // Until it is killed, if it was started by the test below.
    let folder = std::env::temp_dir();
    wait_until("this test may end", async || !folder.join("stay").exists()).await;
}

#[tokio::test]
async fn nothing_is_left_of_engines_whose_test_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("stay"), "").unwrap();
    let mut test = Command::new(std::env::current_exe().unwrap());
    test.args(["--exact", "on_swarm::engines::an_engine_runs_a_container"]).env("TMPDIR", folder.path());
    let logs = tempfile::tempdir().unwrap();
    let mut test = Program::start("test", test, logs.path());
    let world = wait_for("the folder of the engines", async || {
        let entries = fs::read_dir(folder.path()).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .find(|name| name.starts_with("skep-swarm-"))
    })
    .await;
    let environment = format!("SKEP_WORLD={world}");
    wait_until("a container runs", async || in_cgroups_of(&world) == 1).await;
    assert!(processes_with(&environment).iter().any(|process| process.is("dockerd")));
    test.kill();
    wait_until("the end of the container", async || in_cgroups_of(&world) == 0).await;
    wait_until("the end of the engine", async || processes_with(&environment).is_empty()).await;
    wait_until("the end of the folder", async || !folder.path().join(&world).exists()).await;
    let mut cgroups = Command::new("find");
    let cgroups = cgroups.args(["/sys/fs/cgroup", "-maxdepth", "2", "-name", &format!("{world}*")]).output().unwrap();
    assert!(cgroups.status.success() && cgroups.stdout.is_empty(), "{cgroups:?}");
}

/// How many processes run in control groups that carry this name.
fn in_cgroups_of(name: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path().join("cgroup"));
    processes.filter(|file| fs::read_to_string(file).is_ok_and(|text| text.contains(name))).count()
}
