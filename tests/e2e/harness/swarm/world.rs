//! Namespaces of a test's own: they end with the test, also when it is killed (`world.sh`).

use std::{
    fs::{self, File},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::super::{programs::variable, wait_for};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/harness/swarm/world.sh");
/// What of the world a program is in; everything else is as the test has it.
const NAMESPACES: [&str; 5] = ["--net", "--mount", "--pid", "--uts", "--ipc"];
/// By this variable all that engines start outside of containers can be found.
const MARK: &str = "SKEP_WORLD";

pub(crate) struct World {
    pub(crate) folder: PathBuf,
    cgroup: String,
    process: String,
    holder: Child,
}

impl World {
    pub(crate) async fn create() -> Self {
        let folder = tempfile::Builder::new().prefix("skep-swarm-").tempdir().unwrap().keep();
        let cgroup = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let log = File::create(folder.join("world.log")).unwrap();
        let mut holder = command("sh");
        holder.env(MARK, &cgroup);
        holder.args([SCRIPT, "hold"]).arg(&folder).arg(&cgroup);
        let holder = holder.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let mut world = Self { folder, cgroup, process: String::new(), holder };
        world.process = wait_for("a world of namespaces", async || {
            let ended = world.holder.try_wait().unwrap();
            assert!(ended.is_none(), "{}", fs::read_to_string(world.folder.join("world.log")).unwrap_or_default());
            fs::read_to_string(world.folder.join("world")).ok()
        })
        .await
        .trim()
        .to_owned();
        world
    }

    /// Moves this thread, and what it starts from now on, into the world's network.
    pub(crate) fn enter(&self) {
        let network = File::open(Path::new("/proc").join(&self.process).join("ns/net")).unwrap();
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }

    /// A program that runs in all namespaces of the world.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut inside = command("nsenter");
        inside.env(MARK, &self.cgroup);
        inside.args(["--target", &self.process]).args(NAMESPACES).arg("--").arg(program);
        inside
    }

    /// The engine of a node, in namespaces of its own inside those of the world.
    pub(crate) fn engine(&self, number: u8) -> Command {
        let mut engine = self.command("sh");
        engine.args([SCRIPT, "node"]).arg(&self.folder).args([&self.cgroup, &number.to_string()]);
        engine
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The holder clears up when its STDIN is closed.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

/// A program with next to nothing in its environment, and with it no engine of the user's.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", variable("PATH").unwrap_or_default());
    command
}
