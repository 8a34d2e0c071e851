//! The users on a NATS server that a test starts: one for each role and one for backups, as on a Swarm, and one for the test, which may do everything.

use std::{
    fs,
    path::{Path, PathBuf},
};

use async_nats::ConnectOptions;

use super::{DEADLINE, Site, programs::repository};

/// Writes the server's settings and the roles' passwords to a folder. A client without a password is the test's own user.
pub(crate) fn write_users(folder: &Path) {
    let read = |file: &str| fs::read_to_string(repository().join("deploy").join(file)).unwrap();
    let stack = read("nats-stack.conf");
    let (_, users) = stack.split_once("users: [").unwrap();
    let mut users = format!("no_auth_user: test\nauthorization {{\nusers: [\n{{ user: test, password: test }}{users}");
    for role in ["gateway", "queue-worker", "controller", "operator"] {
        users = users.replace(&format!("$skep-{role}"), &format!("{role}-secret"));
        fs::write(password_file(folder, role), format!("skep-{role}:{role}-secret\n")).unwrap();
    }
    fs::write(folder.join("nats.conf"), read("nats.conf") + &users).unwrap();
}

pub(crate) fn password_file(folder: &Path, role: &str) -> PathBuf {
    folder.join(format!("nats-{role}"))
}

impl Site {
    /// The file with skep's own user on the NATS server that `skep up` has started, if it has.
    pub(crate) fn nats_user_file(&self) -> Option<PathBuf> {
        Some(self.data.join("nats-users/skep")).filter(|file| file.is_file())
    }

    /// Connects to NATS as skep itself does, to a server that `skep up` has started too.
    pub(crate) async fn nats_client(&self) -> async_nats::Client {
        let user = self.nats_user_file().map(|file| fs::read_to_string(file).unwrap());
        let options = match user.as_deref().and_then(|user| user.trim().split_once(':')) {
            Some((user, password)) => ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned()),
            None => ConnectOptions::new(),
        };
        let servers: Vec<&str> = self.nats_url.split(',').collect();
        options.request_timeout(Some(DEADLINE)).connect(servers).await.unwrap()
    }
}
