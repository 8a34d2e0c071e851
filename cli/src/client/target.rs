//! Which gateway is asked, and with which password. A password only goes to the gateway that it is of.

use std::{
    fs,
    io::{self, Read},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use reqwest::Url;

use super::{
    args::{ClientArgs, gateway},
    contexts::{Context, Contexts},
};
use crate::{
    failure::{Failure, Result, bad_setting},
    password::{ADDRESS_FILE, FOLDER, PASSWORD_FILE, USER, USER_FILE},
    up::surroundings::DataDir,
};

const DEFAULT_GATEWAY: &str = "http://127.0.0.1:8080";
/// The data folder of `skep dev`, in that of `skep up`.
const DEV_FOLDER: &str = "dev";
const MAX_PASSWORD: u64 = 64 * 1024;

/// A gateway, and who asks it.
pub(super) struct Target {
    pub(super) gateway: Url,
    pub(super) user: String,
    /// None is sent where none is known.
    pub(super) password: Option<String>,
}

impl Target {
    /// What flags and variables say, then the context, then what is on this machine.
    pub(super) fn of(args: &ClientArgs) -> Result<Self> {
        let user = args.user.clone().unwrap_or_else(|| USER.to_owned());
        if let Some((user, password)) = given_credentials(args, user.clone())? {
            // The current context is not asked: this password is not of its gateway.
            let gateway = match &args.context {
                Some(_) => context(args)?.map(|context| context.gateway),
                None => args.gateway.clone(),
            };
            return Ok(Self { gateway: gateway.map_or_else(default_gateway, Ok)?, user, password: Some(password) });
        }
        if let Some(context) = context(args)?
            && args.user.as_ref().is_none_or(|user| *user == context.user)
        {
            let Context { gateway, user, password, .. } = context;
            return Ok(Self { gateway, user, password: Some(password) });
        }
        let folders = [args.data_dir.clone(), args.data_dir.join(DEV_FOLDER)];
        let gateway = match args.gateway.clone() {
            Some(gateway) => gateway,
            None => gateway_of_dev(&folders).map_or_else(default_gateway, Ok)?,
        };
        match folders.iter().find_map(|folder| own_credentials(folder, &gateway)) {
            Some((user, password)) => Ok(Self { gateway, user, password: Some(password) }),
            None => Ok(Self { gateway, user, password: None }),
        }
    }
}

pub(super) fn default_gateway() -> Result<Url> {
    gateway(DEFAULT_GATEWAY).map_err(Failure::setting)
}

/// The context that is named, or that of the gateway that is named, or the current one.
fn context(args: &ClientArgs) -> Result<Option<Context>> {
    let contexts = Contexts::read()?;
    let Some(name) = &args.context else {
        let found = match &args.gateway {
            Some(gateway) => contexts.of(gateway),
            None => contexts.current(),
        };
        return Ok(found.cloned());
    };
    let Some(found) = contexts.named(name) else {
        return Err(bad_setting("--context", format!("there is no context {name:?}; skep context list shows them")));
    };
    if args.gateway.as_ref().is_some_and(|gateway| *gateway != found.gateway) {
        let reason = format!("context {name:?} is of {}, and --gateway names another one", found.gateway);
        return Err(bad_setting("--context", reason));
    }
    Ok(Some(found.clone()))
}

/// The user and the password that a flag or a variable gives.
fn given_credentials(args: &ClientArgs, user: String) -> Result<Option<(String, String)>> {
    if let Some(file) = &args.password_file {
        return Ok(Some((user, read(file, "--password-file")?)));
    }
    if args.password_stdin {
        return Ok(Some((user, read_stdin()?)));
    }
    if let Some(folder) = &args.secret_mount_path {
        let read = |name: &str| read(&folder.join(name), "--secret-mount-path");
        return Ok(Some((read(USER_FILE)?, read(PASSWORD_FILE)?)));
    }
    Ok(None)
}

/// The password that somebody gives on STDIN.
pub(super) fn read_stdin() -> Result<String> {
    let mut password = String::new();
    let given = io::stdin().take(MAX_PASSWORD).read_to_string(&mut password);
    given.map_err(|error| Failure::setting(format!("--password-stdin: {error}")))?;
    Ok(password.trim().to_owned())
}

/// Those of the `skep up` on this machine that the gateway's address is of, if its data folder may be read.
///
/// Nobody else gets them: not a program that listens there while skep does not run.
fn own_credentials(data_dir: &Path, gateway: &Url) -> Option<(String, String)> {
    let folder = data_dir.join(FOLDER);
    let read = |name: &str| read(&folder.join(name), "--data-dir").ok();
    let listens_at: SocketAddr = read(ADDRESS_FILE)?.parse().ok()?;
    let is_asked = is_at(gateway, listens_at) && DataDir::is_in_use(data_dir);
    if is_asked { Some((read(USER_FILE)?, read(PASSWORD_FILE)?)) } else { None }
}

/// Where `skep dev` listens, if it runs in this folder and `skep up` does not.
fn gateway_of_dev([up, dev]: &[PathBuf; 2]) -> Option<Url> {
    let listens_at = read(&dev.join(FOLDER).join(ADDRESS_FILE), "--data-dir").ok()?;
    let is_dev = !DataDir::is_in_use(up) && DataDir::is_in_use(dev);
    gateway(&format!("http://{listens_at}")).ok().filter(|_| is_dev)
}

/// Whether a URL leads over loopback to what listens there.
fn is_at(gateway: &Url, listens_at: SocketAddr) -> bool {
    is_loopback(gateway) && gateway.port_or_known_default() == Some(listens_at.port())
}

/// Whether a URL leads to this machine only.
pub(super) fn is_loopback(gateway: &Url) -> bool {
    match gateway.host_str() {
        Some("localhost") => true,
        Some(host) => host.trim_matches(['[', ']']).parse().is_ok_and(|address: IpAddr| address.is_loopback()),
        None => false,
    }
}

pub(super) fn read(file: &Path, flag: &str) -> Result<String> {
    let text = fs::read_to_string(file).map_err(|error| bad_setting(flag, format!("{}: {error}", file.display())))?;
    Ok(text.trim().to_owned())
}
