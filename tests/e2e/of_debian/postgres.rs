//! A PostgreSQL server of a test's own: in a temporary folder, reached over a socket there, and not as root.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, getuid, kill_process};
use tempfile::TempDir;

use crate::harness::wait_until;

/// Debian's nobody: as root the server refuses to run.
const NOBODY: u32 = 65534;

pub(super) struct Postgres {
    server: Child,
    folder: TempDir,
}

impl Postgres {
    pub(super) async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("skep-pg-").tempdir().unwrap();
        if getuid().is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let data = folder.path().join("data");
        let made = program("initdb")
            .args(["-A", "trust", "-U", "postgres", "-N", "-D"])
            .arg(&data)
            .stdout(Stdio::null())
            .status();
        assert!(made.unwrap().success(), "initdb");
        let server = program("postgres")
            .arg("-D")
            .arg(&data)
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"])
            .arg(folder.path())
            .stderr(fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let postgres = Self { server, folder };
        wait_until("PostgreSQL answers", async || postgres.query("SELECT 1").is_some()).await;
        postgres
    }

    /// Where its socket is.
    pub(super) fn socket(&self) -> &Path {
        self.folder.path()
    }

    /// Runs statements, and returns what they print.
    pub(super) fn run(&self, sql: &str) -> String {
        self.query(sql).unwrap_or_else(|| panic!("{sql}"))
    }

    fn query(&self, sql: &str) -> Option<String> {
        let mut psql = Command::new("psql");
        psql.args(["-qAtX", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "postgres", "-c", sql]);
        let ran = psql.arg("-h").arg(self.socket()).stderr(Stdio::null()).output().unwrap();
        ran.status.success().then(|| String::from_utf8(ran.stdout).unwrap().trim().to_owned())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // It ends its sessions, and all of its processes.
        let pid = Pid::from_raw(i32::try_from(self.server.id()).unwrap()).unwrap();
        let _ = kill_process(pid, Signal::INT);
        let _ = self.server.wait();
    }
}

/// A program of the server, which is not on PATH in Debian.
fn program(name: &str) -> Command {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is missing: apt-get install postgresql");
    let mut programs: Vec<PathBuf> = versions.map(|version| version.unwrap().path().join("bin").join(name)).collect();
    programs.sort();
    let mut command = Command::new(programs.last().expect("a version of PostgreSQL"));
    command.current_dir("/").stdin(Stdio::null());
    if getuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}
