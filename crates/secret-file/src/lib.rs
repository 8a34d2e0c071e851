//! Files that hold secrets: whether others can read them, and writing them so that they cannot.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::Path,
};

use tracing::warn;

/// Read by group or others.
const READ_BY_OTHERS: u32 = 0o044;
/// Where container engines and systemd put secrets; they choose the modes, and nobody else can look into the folder.
const MANAGED: [&str; 2] = ["/run/secrets", "/run/credentials"];

/// Warns if other users of this machine can read a file that holds a secret, and tells how to mend it.
pub fn warn_if_others_can_read(file: &Path) {
    if others_can_read(file) {
        let file = file.display();
        warn!("other users of this machine can read the secret in {file}; close it with: chmod 600 '{file}'");
    }
}

fn others_can_read(file: &Path) -> bool {
    let is_managed = MANAGED.iter().any(|folder| file.starts_with(folder));
    !is_managed && fs::metadata(file).is_ok_and(|metadata| metadata.mode() & READ_BY_OTHERS != 0)
}

/// Writes a file that only its owner can read, whole or not at all, into a folder that only its owner can enter; the folder is made if it is missing.
pub fn write_secret_file(file: &Path, content: &str) -> io::Result<()> {
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let unfinished = file.with_extension("unfinished");
    let mut written = create(&unfinished)?;
    written.write_all(content.as_bytes())?;
    written.sync_all()?;
    fs::rename(&unfinished, file)
}

/// One that was left by a process that died is replaced, so that its mode cannot be another.
fn create(file: &Path) -> io::Result<File> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_written_for_its_owner_alone_and_an_open_one_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("auth/password");
        write_secret_file(&file, "first").unwrap();
        fs::write(folder.path().join("auth/password.unfinished"), "left behind").unwrap();
        write_secret_file(&file, "second").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "second");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
        assert!(!others_can_read(&file));
        for open in [0o640, 0o604, 0o644] {
            fs::set_permissions(&file, fs::Permissions::from_mode(open)).unwrap();
            assert!(others_can_read(&file), "{open:o}");
        }
        assert!(!others_can_read(Path::new("/run/secrets/basic-auth-password")));
    }
}
