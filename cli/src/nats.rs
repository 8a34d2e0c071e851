//! The NATS servers that roles connect to, as their settings name them.

use skep_bus::{Login, Monitors, Role, ServerUrls};
use tracing::warn;

use crate::{
    args::{BusArgs, NatsLoginArgs},
    failure::{Result, bad_setting},
};

/// Servers, the user that skep connects as, and where their state can be read.
pub(crate) struct Nats {
    pub(crate) servers: ServerUrls,
    pub(crate) logins: Logins,
    pub(crate) monitors: Monitors,
}

/// As whom each role connects.
pub(crate) enum Logins {
    /// All that are in this process as one user, or with what the URL says.
    One(Option<Login>),
    /// In the order of [`Role::ALL`].
    Each([Login; 3]),
}

impl Logins {
    pub(crate) fn of(&self, role: Role) -> Option<Login> {
        match self {
            Self::One(login) => login.clone(),
            Self::Each(logins) => Some(logins[role as usize].clone()),
        }
    }
}

impl Nats {
    /// Servers that are not started by skep.
    pub(crate) fn given(servers: &ServerUrls, args: &BusArgs) -> Result<Self> {
        let login = login(&args.login)?;
        if servers.have_credentials() && std::env::args_os().any(|argument| is_url_with_password(&argument)) {
            warn!(
                "the password in --nats-url can be read by every user of this machine in its list of processes: \
                 write USER:PASSWORD to a file and name it with --nats-user-password-file (SKEP_NATS_USER_PASSWORD_FILE)"
            );
        }
        Ok(Self {
            servers: servers.clone(),
            logins: Logins::One(login),
            monitors: Monitors::At(args.nats_monitor.clone()),
        })
    }
}

fn is_url_with_password(argument: &std::ffi::OsStr) -> bool {
    let argument = argument.to_string_lossy();
    let url = argument.strip_prefix("--nats-url=").unwrap_or(&argument);
    url.parse().is_ok_and(|servers: ServerUrls| servers.have_credentials())
}

pub(crate) fn login(args: &NatsLoginArgs) -> Result<Option<Login>> {
    let NatsLoginArgs { nats_user_password_file, nats_creds_file } = args;
    if let Some(file) = nats_user_password_file {
        let read = Login::read_password(file).map_err(|error| bad_setting("--nats-user-password-file", error))?;
        return Ok(Some(read));
    }
    let Some(file) = nats_creds_file else { return Ok(None) };
    Login::read_credentials(file).map(Some).map_err(|error| bad_setting("--nats-creds-file", error))
}
