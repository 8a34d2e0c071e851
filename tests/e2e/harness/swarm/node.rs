//! One engine of a Swarm.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    super::{Program, programs::SKEP, wait_until},
    world::{World, command},
};

pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) socket: PathBuf,
    folder: PathBuf,
    engine: Program,
}

impl Node {
    /// Starts the engine, and does not wait for it.
    pub(super) fn launch(world: &World, number: u8) -> Self {
        let name = format!("node{number}");
        Self {
            engine: Program::start(&name, world.engine(number), &world.folder),
            address: Ipv4Addr::new(10, 200, 0, number),
            socket: world.folder.join(format!("{name}.sock")),
            folder: world.folder.clone(),
            name,
        }
    }

    pub(super) async fn wait_until_up(&mut self) {
        wait_until(&format!("the engine of {}", self.name), async || {
            let ended = self.engine.status();
            assert!(ended.is_none(), "the engine of {} ended: {}", self.name, self.engine.stderr());
            self.command(&["version"]).output().unwrap().status.success()
        })
        .await;
    }

    /// Takes its cable out, or puts it back in.
    pub(crate) fn set_link(&self, state: &str) {
        let status = command("ip").args(["link", "set", &self.name, state]).status().unwrap();
        assert!(status.success());
    }

    /// Ends the engine and its containers at once, as if the power were gone.
    pub(crate) fn kill(&mut self) {
        self.set_link("down");
        self.engine.kill();
    }

    /// Runs `docker`, which must succeed, and returns what it said.
    pub(crate) async fn docker(&self, arguments: &[&str]) -> String {
        self.try_docker(arguments).await.unwrap_or_else(|said| panic!("docker {}: {said}", arguments.join(" ")))
    }

    /// Runs `docker` to its end: what it said, good or bad.
    pub(crate) async fn try_docker(&self, arguments: &[&str]) -> Result<String, String> {
        finish(self.command(arguments)).await
    }

    /// `skep` with this engine.
    pub(crate) fn skep(&self, arguments: &[&str]) -> Command {
        self.skep_of(&SKEP, arguments)
    }

    /// The same with another build of it.
    pub(crate) fn skep_of(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut skep = command(program.to_str().unwrap());
        skep.env("DOCKER_HOST", format!("unix://{}", self.socket.display())).env("TMPDIR", &self.folder);
        skep.args(arguments).stdin(Stdio::null());
        skep
    }

    /// `docker` with this engine.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut docker = command("docker");
        docker.env("DOCKER_HOST", format!("unix://{}", self.socket.display()));
        docker.env("DOCKER_CONFIG", self.folder.join("config")).env("DOCKER_BUILDKIT", "0");
        docker.args(arguments).stdin(Stdio::null());
        docker
    }
}

/// Runs a command to its end: what it said, good or bad.
pub(crate) async fn finish(mut command: Command) -> Result<String, String> {
    // A thread of its own, so that the load of a test goes on.
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
