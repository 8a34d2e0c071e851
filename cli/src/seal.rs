//! The file of the key that secrets of event sources are sealed with.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};

use skep_secret_file::{warn_if_others_can_read, write_secret_file};
use skep_sources::{SealError, SealKey};

use crate::{
    args::{SealArgs, SourcesArgs},
    failure::{Failure, Result, bad_setting},
};

const SETTING: &str = "--seal-key-file";
/// In the data folder of `skep up`.
const FILE: &str = "seal.key";

/// Reads the key, if one is given.
pub(crate) fn read(args: &SealArgs) -> Result<Option<Arc<SealKey>>> {
    let Some(file) = &args.seal_key_file else { return Ok(None) };
    let text = fs::read_to_string(file).map_err(|error| bad(file, &error))?;
    let key = SealKey::parse(&text).map_err(|error| bad(file, &error))?;
    warn_if_others_can_read(file);
    Ok(Some(Arc::new(key)))
}

/// The key file in a data folder.
pub(crate) fn file(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

/// The key file of `skep up`: as given, or the one in the data folder. It is made if it is not there.
pub(crate) fn prepare(args: &SourcesArgs, data_dir: &Path) -> Result<SourcesArgs> {
    let file = args.seal.seal_key_file.clone().unwrap_or_else(|| file(data_dir));
    match fs::metadata(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            write_secret_file(&file, &new_key()?).map_err(|error| bad(&file, &error))?;
        }
        // Its reader says what is wrong with it.
        Ok(_) | Err(_) => {}
    }
    let args = SourcesArgs { seal: SealArgs { seal_key_file: Some(file) }, ..args.clone() };
    read(&args.seal)?;
    Ok(args)
}

/// The content of a new key file.
pub(crate) fn new_key() -> Result<String> {
    SealKey::generate().map_err(|error: SealError| Failure::internal(io::Error::other(error)))
}

fn bad(file: &Path, error: &dyn std::fmt::Display) -> Failure {
    bad_setting(SETTING, format!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let none = SourcesArgs { seal: SealArgs { seal_key_file: None }, public_url: None };
        assert!(read(&none.seal).unwrap().is_none());
        let made = prepare(&none, folder.path()).unwrap();
        let file = folder.path().join(FILE);
        assert_eq!(made.seal.seal_key_file.as_ref(), Some(&file));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&file).unwrap();
        prepare(&none, folder.path()).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        fs::write(&file, "hunter2").unwrap();
        let refused = prepare(&none, folder.path()).unwrap_err().to_string();
        assert!(
            refused.contains(SETTING) && refused.contains("openssl rand") && !refused.contains("hunter"),
            "{refused}"
        );
    }
}
