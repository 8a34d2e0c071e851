//! Who may use `/system` of `skep up`: the user and the password that it makes at its first start.

use std::{
    io::{self, IsTerminal},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use skep_gateway::AuthConfig;
use skep_secret_file::write_secret_file;

use crate::{
    args::GatewayArgs,
    auth,
    failure::{Failure, Result, bad_setting},
    password::{self, ADDRESS_FILE, FOLDER, PASSWORD_FILE, USER, USER_FILE},
};

/// Whether the admin API of `skep up` asks for a password; it does by default.
pub(crate) fn is_wanted(args: &GatewayArgs) -> bool {
    args.basic_auth.unwrap_or(true)
}

pub(crate) struct Login {
    pub(crate) auth: AuthConfig,
    password_file: PathBuf,
    /// The password, if this start has made it.
    new: Option<String>,
}

impl Login {
    /// Reads the two files, and makes them first where the folder is skep's own; `None` if nobody has to log in.
    ///
    /// In skep's own folder it also writes down where the admin API listens, so that commands give the password to nobody else.
    pub(crate) fn prepare(args: &GatewayArgs, data_dir: &Path, listens_at: SocketAddr) -> Result<Option<Self>> {
        if !is_wanted(args) {
            auth::refuse_tokens_without_auth(args)?;
            return Ok(None);
        }
        let (folder, new) = match &args.secret_mount_path {
            Some(given) => (given.clone(), None),
            None => {
                let folder = data_dir.join(FOLDER);
                let new = complete(&folder)?;
                write(&folder, ADDRESS_FILE, &listens_at.to_string())?;
                (folder, new)
            }
        };
        let auth = auth::of_folder(args, &folder)?;
        Ok(Some(Self { auth, password_file: folder.join(PASSWORD_FILE), new }))
    }

    /// Where the password is; the password itself only at the first start, and only to somebody at a terminal.
    pub(crate) fn describe(&self) -> String {
        let (user, file) = (self.auth.credentials.user(), self.password_file.display());
        match &self.new {
            Some(new) if io::stdout().is_terminal() => {
                format!("{new} (user {user}; shown once, kept in {file})")
            }
            Some(_) | None => format!("of user {user}, in {file}"),
        }
    }

    /// What a curl command says to be let in, with a space behind it.
    pub(crate) fn for_curl(&self) -> String {
        let (user, file) = (self.auth.credentials.user(), self.password_file.display().to_string());
        let file = shlex::try_quote(&file).unwrap_or_default();
        format!("-u \"{user}:$(cat {file})\" ")
    }
}

/// Writes what is missing of the two files; returns the password if it is new.
fn complete(folder: &Path) -> Result<Option<String>> {
    if !folder.join(USER_FILE).exists() {
        write(folder, USER_FILE, USER)?;
    }
    if folder.join(PASSWORD_FILE).exists() {
        return Ok(None);
    }
    let new = password::random().map_err(Failure::internal)?;
    write(folder, PASSWORD_FILE, &new)?;
    Ok(Some(new))
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let file = folder.join(name);
    let written = write_secret_file(&file, &format!("{text}\n"));
    written.map_err(|error| bad_setting("--data-dir", format!("cannot write {}: {error}", file.display())))
}
