//! Where the NATS servers are, and as whom skep connects.

use std::{
    fmt::{self, Debug, Display, Formatter},
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use async_nats::{ConnectOptions, ServerAddr};
use thiserror::Error;
use url::form_urlencoded;

/// The URLs of a NATS server, or of all servers of a cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrls(Vec<ServerAddr>);

#[derive(Debug, Error, PartialEq, Eq)]
#[error("not the URL of a NATS server, like nats://127.0.0.1:4222, nor several with commas between them: {0}")]
pub struct ServerUrlsError(String);

impl ServerUrls {
    pub(crate) fn addresses(&self) -> &[ServerAddr] {
        &self.0
    }

    /// The host and port of each server.
    pub fn hosts(&self) -> impl Iterator<Item = (String, u16)> {
        self.0.iter().map(|server| (server.host().to_owned(), server.port()))
    }

    pub fn have_credentials(&self) -> bool {
        self.0.iter().any(ServerAddr::has_user_pass)
    }

    /// The client does not read the user and the password of a URL; all servers of a cluster have the same.
    fn options(&self) -> ConnectOptions {
        let options = ConnectOptions::new();
        let Some(server) = self.0.first() else { return options };
        match (server.username(), server.password()) {
            (None, _) => options,
            (Some(token), None) => options.token(decoded(token)),
            (Some(user), Some(password)) => options.user_and_password(decoded(user), decoded(password)),
        }
    }
}

impl From<SocketAddr> for ServerUrls {
    fn from(address: SocketAddr) -> Self {
        // A socket address is always the host and port of a URL.
        Self(format!("nats://{address}").parse().into_iter().collect())
    }
}

impl FromStr for ServerUrls {
    type Err = ServerUrlsError;

    fn from_str(text: &str) -> Result<Self, ServerUrlsError> {
        let one = |url: &str| {
            let server: ServerAddr =
                url.trim().parse().map_err(|error: io::Error| ServerUrlsError(error.to_string()))?;
            if server.host().is_empty() {
                return Err(ServerUrlsError("a host is missing".to_owned()));
            }
            Ok(server)
        };
        text.split(',').map(one).collect::<Result<_, _>>().map(Self)
    }
}

/// Without what is secret.
impl Display for ServerUrls {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        for (number, server) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "," };
            let host = server.host();
            let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
            write!(formatter, "{separator}{}://{host}:{}", server.scheme(), server.port())?;
        }
        Ok(())
    }
}

impl Debug for ServerUrls {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, formatter)
    }
}

/// As whom skep connects, where the URL does not say it.
#[derive(Clone)]
pub enum Login {
    Password {
        user: String,
        password: String,
    },
    /// The text of a credentials file: a JWT, and the seed of its key.
    Credentials(String),
}

#[derive(Debug, Error)]
pub enum LoginError {
    #[error("cannot read {}: {source}", file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    #[error("{} does not hold one line USER:PASSWORD", .0.display())]
    NoPassword(PathBuf),
    #[error("{} is no credentials file of NATS", .0.display())]
    NoCredentials(PathBuf),
}

impl Login {
    /// Reads the text of a credentials file, or one line `USER:PASSWORD`.
    pub fn parse(text: &str) -> Option<Self> {
        if ConnectOptions::with_credentials(text).is_ok() {
            return Some(Self::Credentials(text.to_owned()));
        }
        Self::password(text)
    }

    fn password(text: &str) -> Option<Self> {
        match text.trim().split_once(':') {
            Some((user, password)) if !user.is_empty() && !password.is_empty() && text.trim().lines().count() == 1 => {
                Some(Self::Password { user: user.to_owned(), password: password.to_owned() })
            }
            _ => None,
        }
    }

    /// Reads a file with `USER:PASSWORD`; white space around it does not count.
    pub fn read_password(file: &Path) -> Result<Self, LoginError> {
        Self::password(&read(file)?).ok_or_else(|| LoginError::NoPassword(file.to_owned()))
    }

    /// Reads a credentials file, as `nsc` writes it.
    pub fn read_credentials(file: &Path) -> Result<Self, LoginError> {
        let text = read(file)?;
        match ConnectOptions::with_credentials(&text) {
            Ok(_) => Ok(Self::Credentials(text)),
            Err(_) => Err(LoginError::NoCredentials(file.to_owned())),
        }
    }
}

impl Debug for Login {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Login").finish_non_exhaustive()
    }
}

/// How a connection says who it is.
pub(crate) fn options(servers: &ServerUrls, login: Option<&Login>) -> io::Result<ConnectOptions> {
    match login {
        None => Ok(servers.options()),
        Some(Login::Password { user, password }) => {
            Ok(ConnectOptions::with_user_and_password(user.clone(), password.clone()))
        }
        Some(Login::Credentials(text)) => ConnectOptions::with_credentials(text),
    }
}

fn read(file: &Path) -> Result<String, LoginError> {
    fs::read_to_string(file).map_err(|source| LoginError::Unreadable { file: file.to_owned(), source })
}

/// What a URL has with `%`.
fn decoded(text: &str) -> String {
    let one_value = format!("text={}", text.replace('+', "%2B").replace('&', "%26"));
    form_urlencoded::parse(one_value.as_bytes()).map(|(_, value)| value.into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_url_has_with_percent_signs_is_read() {
        assert_eq!(decoded("a+b&c=d%20%40%c3%bc"), "a+b&c=d @\u{fc}");
    }

    #[test]
    fn urls_are_shown_without_their_passwords() {
        let servers: ServerUrls = "nats://bee:sting@one:4333, tls://two,[::1]".parse().unwrap();
        assert_eq!(format!("{servers} {servers:?}"), ["nats://one:4333,tls://two:4222,nats://[::1]:4222"; 2].join(" "));
        assert!(servers.have_credentials());
        assert!(!"127.0.0.1:4222".parse::<ServerUrls>().unwrap().have_credentials());
        assert_eq!(
            servers.hosts().collect::<Vec<_>>(),
            [("one".to_owned(), 4333), ("two".to_owned(), 4222), ("::1".to_owned(), 4222)]
        );
    }

    #[test]
    fn what_is_no_url_of_a_server_is_refused() {
        for bad in ["", "nonsense://x", "http://127.0.0.1:4222", "nats://", "nats://a,,nats://b", "nats://a:port"] {
            assert!(bad.parse::<ServerUrls>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_login_is_one_line_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("login");
        let read = |text: &str| {
            fs::write(&file, text).unwrap();
            Login::read_password(&file)
        };
        let login = read("bee:sti:ng\n").unwrap();
        assert!(matches!(&login, Login::Password { user, password } if user == "bee" && password == "sti:ng"));
        assert!(!format!("{login:?}").contains("ng\""), "{login:?}");
        for bad in ["", "bee", ":sting", "bee:", "bee:sting\nwasp:sting\n"] {
            assert!(matches!(read(bad), Err(LoginError::NoPassword(_))), "{bad:?}");
        }
        assert!(matches!(Login::read_credentials(&file), Err(LoginError::NoCredentials(_))));
        assert!(matches!(Login::read_password(&folder.path().join("missing")), Err(LoginError::Unreadable { .. })));
    }
}
