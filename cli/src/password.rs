//! The user and the password of basic authentication: making them, and where they are kept.

use std::{fmt::Write, io};

pub(crate) const USER_FILE: &str = "basic-auth-user";
pub(crate) const PASSWORD_FILE: &str = "basic-auth-password";
/// The file of tokens, beside them.
pub(crate) const TOKENS_FILE: &str = "tokens.json";
/// Where the admin API listens that asks for them, for commands on the same machine.
pub(crate) const ADDRESS_FILE: &str = "address";
/// The folder of these files, in the data folder of `skep up`.
pub(crate) const FOLDER: &str = "auth";
pub(crate) const USER: &str = "admin";

/// A password that nobody can guess: 128 random bits, as 32 letters and digits.
pub(crate) fn random() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
