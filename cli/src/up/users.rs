//! Who may use the NATS server that `skep up` starts: the roles, people who look at it by hand, and services that give work to functions.
//!
//! There are the two accounts of `deploy/nats-accounts.conf`, so a publisher reaches nothing but `skep.call.*` and `skep.publish.*`.
//! In skep's account, each role has a user with the permissions that it needs.
//! The passwords are not hashed, because only skep's own user can read the server's settings and these files.

use std::{
    fmt::Display,
    fs,
    io::{self, ErrorKind},
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use skep_bus::{Login, Role, ServerUrls, device_permissions};
use skep_protocol::Subjects;
use skep_queue_worker::SubjectPattern;
use skep_secret_file::write_secret_file;

use crate::{
    failure::{Result, bad_setting},
    nats_users, password,
};

/// The folder of their files, in the data folder.
const FOLDER: &str = "nats-users";
/// Where the server listens, for commands on the same machine.
const ADDRESS: &str = "address";
const ACCOUNTS: &str = include_str!("../../../deploy/nats-accounts.conf");
/// The line of it with skep's own user.
const OWN: &str = "    users: [ { user: skep, password: $SKEP_NATS_PASSWORD } ]\n";
const SKEP: &str = "skep";
const PUBLISHER: &str = "publisher";
const MONITOR: &str = "monitor";
const DEVICE: &str = "mqtt";

/// A user of the server; a file holds its name and its password as `USER:PASSWORD`.
pub(crate) struct User {
    pub(super) name: &'static str,
    pub(super) password: String,
    pub(crate) file: PathBuf,
}

pub(crate) struct Users {
    /// May do everything, for looking at the server by hand. skep itself does not use it.
    skep: User,
    /// In the order of [`Role::ALL`]; nobody else needs their passwords.
    roles: [String; 3],
    /// Of the server's own account, for asking how it is; nobody else needs it.
    monitor: String,
    pub(crate) publisher: User,
    /// Of all devices that speak MQTT, if some may.
    pub(crate) device: Option<User>,
}

impl Users {
    /// Makes new passwords for all of skep, and one for publishers if there is none.
    pub(crate) fn prepare(data_dir: &Path, takes_mqtt: bool) -> Result<Self> {
        let folder = data_dir.join(FOLDER);
        let bad = |error: io::Error| bad_setting("--data-dir", format!("cannot use {}: {error}", folder.display()));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(bad)?;
        let skep = User::new(SKEP, &folder).map_err(bad)?;
        // Services hold on to theirs, so it stays until somebody removes the file.
        let kept = |name| match User::read(name, &folder)? {
            Some(known) => Ok(known),
            None => User::new(name, &folder).map_err(bad),
        };
        let publisher = kept(PUBLISHER)?;
        let device = takes_mqtt.then(|| kept(DEVICE)).transpose()?;
        let new = || password::random().map_err(bad);
        Ok(Self { skep, roles: [new()?, new()?, new()?], monitor: new()?, publisher, device })
    }

    /// Their part of the server's settings.
    pub(crate) fn settings(&self, subjects: &Subjects, callback_subjects: &[SubjectPattern]) -> String {
        let Self { skep, roles, monitor, publisher, device } = self;
        let accounts = ACCOUNTS
            .replace("\"skep.", &format!("\"{}.", subjects.prefix()))
            .replace("user: shop", &format!("user: {PUBLISHER}"));
        let users = nats_users::users(subjects, callback_subjects, |role| format!("{:?}", roles[role as usize]));
        let device = device.as_ref().map(|User { name, password, .. }| {
            nats_users::device(name, &format!("{password:?}"), &device_permissions(subjects))
        });
        let device = device.unwrap_or_default();
        let own = format!("    users: [\n  {{ user: {SKEP}, password: $SKEP_NATS_PASSWORD }}\n{users}{device}    ]\n");
        let system = format!("accounts {{\n  SYS {{ users: [ {{ user: {MONITOR}, password: {monitor:?} }} ] }}\n");
        let accounts = accounts.replace(OWN, &own).replace("accounts {\n", &system);
        // A `$NAME` of the settings is looked up in them before it is in the environment.
        format!(
            "\nsystem_account: SYS\nSKEP_NATS_PASSWORD: {:?}\nSHOP_NATS_PASSWORD: {:?}\n{accounts}",
            skep.password, publisher.password
        )
    }

    /// In the order of [`Role::ALL`].
    pub(crate) fn logins(&self) -> [Login; 3] {
        Role::ALL
            .map(|role| Login::Password { user: role.user().to_owned(), password: self.roles[role as usize].clone() })
    }

    pub(crate) fn monitor(&self) -> Login {
        Login::Password { user: MONITOR.to_owned(), password: self.monitor.clone() }
    }
}

impl User {
    fn new(name: &'static str, folder: &Path) -> io::Result<Self> {
        let user = Self { name, password: password::random()?, file: folder.join(name) };
        write_secret_file(&user.file, &format!("{}:{}\n", user.name, user.password))?;
        Ok(user)
    }

    fn read(name: &'static str, folder: &Path) -> Result<Option<Self>> {
        let file = folder.join(name);
        let bad = |reason: String| bad_setting("--data-dir", format!("{}: {reason}", file.display()));
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(bad(error.to_string())),
        };
        let password = text.trim().strip_prefix(name).and_then(|rest| rest.strip_prefix(':')).unwrap_or_default();
        let is_plain = password.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        if password.is_empty() || !is_plain {
            return Err(bad(format!("must be {name}:PASSWORD with letters, digits, - and _; remove it for a new one")));
        }
        Ok(Some(Self { name, password: password.to_owned(), file }))
    }
}

/// Notes where the server listens.
pub(crate) fn note_address(data_dir: &Path, address: SocketAddr) -> io::Result<()> {
    write_secret_file(&data_dir.join(FOLDER).join(ADDRESS), &format!("{address}\n"))
}

/// Where the server of a running skep listens, and the user that may do everything there.
pub(crate) fn of_running(data_dir: &Path) -> Result<(ServerUrls, Login)> {
    let folder = data_dir.join(FOLDER);
    let bad = |what: &dyn Display| bad_setting("--data-dir", format!("{}: {what}", folder.display()));
    let address = fs::read_to_string(folder.join(ADDRESS)).map_err(|error| bad(&error))?;
    let address: SocketAddr = address.trim().parse().map_err(|error| bad(&error))?;
    let login = Login::read_password(&folder.join(SKEP)).map_err(|error| bad(&error))?;
    Ok((ServerUrls::from(address), login))
}

/// Before skep had an account its streams were in the one that NATS gives to everybody; they move with it.
pub(crate) fn adopt_streams(storage: &Path) -> io::Result<()> {
    let (before, now) = (storage.join("jetstream/$G"), storage.join("jetstream/SKEP"));
    if before.is_dir() && !now.exists() {
        fs::rename(before, now)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accounts_have_the_prefix_the_passwords_and_a_user_for_each_role() {
        let folder = std::env::temp_dir().join(format!("skep-users-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let users = Users::prepare(&folder, true).unwrap();
        let again = Users::prepare(&folder, false).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(users.publisher.password, again.publisher.password, "services hold on to theirs");
        assert_ne!(users.skep.password, again.skep.password);
        let settings = users.settings(&Subjects::new("hive").unwrap(), &["orders.>".parse().unwrap()]);
        let passwords = users.roles.iter().chain([&users.skep.password]).map(String::as_str);
        let subjects = [
            "\"hive.publish.*\"",
            "\"hive.call.*\"",
            "\"orders.>\"",
            "user: publisher",
            "system_account: SYS",
            "[\"MQTT\"]",
        ];
        for text in subjects.into_iter().chain(passwords).chain(Role::ALL.map(Role::user)) {
            assert!(settings.contains(text), "{text}: {settings}");
        }
        assert!(!settings.contains("\"skep.") && !settings.contains("shop,"), "{settings}");
    }
}
