//! Which files may be read and which may be written.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::Sandbox;

/// Devices hold more than what their names say: the disks all files.
const DEVICES: &str = "/dev";
/// Those that hold nothing of anybody's. Terminals are not among them: what the user types there can be read, and typed for him.
const HARMLESS: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/shm"];

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// To be read and executed, with all that is below.
    pub(crate) readable: Vec<PathBuf>,
    /// To be written as well.
    pub(crate) writable: Vec<PathBuf>,
}

impl Allowed {
    /// Everything may be read but devices and a folder that is not covered.
    ///
    /// What is allowed is allowed with all that is below, so a folder above what is left out is not among it: its entries are.
    pub(crate) fn around(left_out: Option<&Path>, sandbox: &Sandbox) -> Self {
        let left_out: Vec<&Path> = left_out.into_iter().chain([Path::new(DEVICES)]).collect();
        let mut readable = sandbox.readable.clone();
        entries_around(Path::new("/"), &left_out, &mut readable);
        let holds = |folder: &Path| left_out.iter().any(|path| path.starts_with(folder));
        let writable = sandbox.writable.iter().filter(|folder| !holds(folder)).cloned();
        Self { readable, writable: writable.chain(HARMLESS.map(PathBuf::from)).collect() }
    }
}

fn entries_around(folder: &Path, left_out: &[&Path], found: &mut Vec<PathBuf>) {
    // A folder that cannot be listed is not read either.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if left_out.contains(&path.as_path()) {
            continue;
        }
        if left_out.iter().any(|out| out.starts_with(&path)) {
            entries_around(&path, left_out, found);
        } else if entry.metadata().is_ok_and(|found| !found.is_symlink()) {
            // A link needs no right, and could lead to what is left out; a mount whose server is gone has no metadata.
            found.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beside_a_hidden_folder_can_be_read_and_a_folder_above_it_not_be_written() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        for folder in ["project/data/secrets", "project/code", "other"] {
            fs::create_dir_all(home.join(folder)).unwrap();
        }
        std::os::unix::fs::symlink(home.join("project/data"), home.join("link")).unwrap();
        let sandbox = Sandbox { writable: vec![home.join("project"), home.join("other")], ..Sandbox::default() };
        let allowed = Allowed::around(Some(&home.join("project/data")), &sandbox);
        for (path, readable) in
            [("project/code", true), ("other", true), ("project", false), ("project/data", false), ("link", false)]
        {
            assert_eq!(allowed.readable.contains(&home.join(path)), readable, "{path}");
        }
        assert!(allowed.writable.contains(&home.join("other")) && !allowed.writable.contains(&home.join("project")));
        assert!(
            !allowed.readable.contains(&PathBuf::from("/dev")) && allowed.readable.contains(&PathBuf::from("/usr"))
        );
        // Covered, it is not in the way.
        assert!(Allowed::around(None, &sandbox).writable.contains(&home.join("project")));
    }
}
