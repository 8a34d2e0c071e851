//! Who may use the admin API, and the certificate of the gateway: what the settings name, read from files.

use std::path::Path;

use skep_gateway::{AuthConfig, Credentials, TokenFile};
use skep_http::Tls;

use crate::{
    args::GatewayArgs,
    failure::{Result, bad_setting},
    password::{PASSWORD_FILE, TOKENS_FILE},
};

/// The folder of the basic auth files, where no other is given.
const SECRETS: &str = "/run/secrets";

/// Reads the basic auth files and the tokens, if authentication is asked for.
pub(crate) fn read(args: &GatewayArgs) -> Result<Option<AuthConfig>> {
    if args.basic_auth.unwrap_or(false) {
        return of_folder(args, args.secret_mount_path.as_deref().unwrap_or(Path::new(SECRETS))).map(Some);
    }
    refuse_tokens_without_auth(args)?;
    Ok(None)
}

/// Tokens that nobody asks for are a mistake.
pub(crate) fn refuse_tokens_without_auth(args: &GatewayArgs) -> Result<()> {
    match &args.tokens_file {
        Some(_) => Err(bad_setting("--tokens-file", "tokens count only with --basic-auth")),
        None => Ok(()),
    }
}

/// Reads the files of a folder, and warns if others can read the password, too.
pub(crate) fn of_folder(args: &GatewayArgs, folder: &Path) -> Result<AuthConfig> {
    let read = Credentials::read(folder);
    let credentials = read.map_err(|error| bad_setting("--secret-mount-path", format!("{error:#}")))?;
    skep_secret_file::warn_if_others_can_read(&folder.join(PASSWORD_FILE));
    let tokens_file = args.tokens_file.clone().unwrap_or_else(|| folder.join(TOKENS_FILE));
    TokenFile::read(&tokens_file).map_err(|error| bad_setting("--tokens-file", format!("{error:#}")))?;
    Ok(AuthConfig { credentials, tokens_file })
}

pub(crate) fn tls(args: &GatewayArgs) -> Result<Option<Tls>> {
    let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) else { return Ok(None) };
    Tls::read(certificate, key).map(Some).map_err(|error| bad_setting("--tls-cert", format!("{error:#}")))
}
