//! The files that a function consists of, as they are at one moment.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use ignore::WalkBuilder;
use skep_protocol::{FunctionDeployment, WORKDIR};
use skep_stack::Build;

/// Folders that hold what programs have made.
const MADE: [&str; 3] = ["node_modules", "target", "__pycache__"];
/// More files than any function has; the rest is not followed.
const MAX_FILES: usize = 20_000;

/// When each file was written, and how long it is.
pub(super) type Snapshot = BTreeMap<PathBuf, (SystemTime, u64)>;

/// What is followed of one function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files {
    /// Its folder with everything in it.
    folder: Option<PathBuf>,
    /// Single files in a folder that it shares with others.
    files: Vec<PathBuf>,
    /// What its build makes.
    made: Option<PathBuf>,
}

impl Files {
    /// A function has its folder. One that runs beside the stack file has the files that its command names.
    pub(super) fn of(function: &FunctionDeployment, shared: &Path, build: Option<&Build>) -> Self {
        let workdir = function.annotations.get(WORKDIR).map(PathBuf::from);
        let workdir = build.map(|build| build.folder.clone()).or(workdir);
        let Some(workdir) = workdir else { return Self { folder: None, files: Vec::new(), made: None } };
        let words = shlex::split(&function.env_process).unwrap_or_default();
        let made = build.and(words.first()).map(|program| workdir.join(program.trim_start_matches("./")));
        if workdir == shared {
            let files = words.iter().map(|word| shared.join(word.trim_start_matches("./")));
            return Self { folder: None, files: files.filter(|path| path.is_file()).collect(), made };
        }
        Self { folder: Some(workdir), files: Vec::new(), made }
    }

    /// Its files now, and the folders that they are in.
    pub(super) fn look(&self) -> (Snapshot, Vec<PathBuf>) {
        let (mut found, mut folders) = (Snapshot::new(), Vec::new());
        for file in &self.files {
            add(&mut found, file);
            folders.extend(file.parent().map(Path::to_owned));
        }
        let Some(folder) = &self.folder else { return (found, folders) };
        let is_followed = |name: &str| !MADE.contains(&name);
        let walk = WalkBuilder::new(folder)
            .require_git(false)
            .git_global(false)
            .filter_entry(move |entry| entry.file_name().to_str().is_none_or(is_followed))
            .build();
        for entry in walk.flatten().take(MAX_FILES) {
            if entry.file_type().is_some_and(|kind| kind.is_dir()) {
                folders.push(entry.into_path());
            } else if self.made.as_deref() != Some(entry.path()) {
                add(&mut found, entry.path());
            }
        }
        (found, folders)
    }
}

fn add(found: &mut Snapshot, file: &Path) {
    let Ok(metadata) = fs::metadata(file) else { return };
    let written = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    found.insert(file.to_owned(), (written, metadata.len()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(workdir: &Path, command: &str) -> FunctionDeployment {
        FunctionDeployment {
            env_process: command.to_owned(),
            annotations: [(WORKDIR.to_owned(), workdir.to_str().unwrap().to_owned())].into(),
            ..FunctionDeployment::default()
        }
    }

    #[test]
    fn what_programs_make_is_not_followed() {
        let shared = tempfile::tempdir().unwrap();
        let folder = shared.path().join("resize");
        for path in ["src/main.rs", "target/x", "node_modules/y", ".git/z", "cache/a", "handler", "data/b"] {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        fs::write(folder.join(".gitignore"), "/cache\n").unwrap();
        fs::write(folder.join(".ignore"), "data\n").unwrap();
        let build = Build { function: "resize".to_owned(), command: "make".to_owned(), folder: folder.clone() };
        let (found, folders) = Files::of(&function(&folder, "./handler"), shared.path(), Some(&build)).look();
        assert_eq!(found.into_keys().collect::<Vec<_>>(), [folder.join("src/main.rs")]);
        assert_eq!(folders, [folder.clone(), folder.join("src")]);
        // Without a build the program is a file like others.
        let (found, _) = Files::of(&function(&folder, "./handler"), shared.path(), None).look();
        assert!(found.contains_key(&folder.join("handler")));
    }

    #[test]
    fn a_function_beside_the_stack_file_has_the_files_of_its_command() {
        let shared = tempfile::tempdir().unwrap();
        fs::write(shared.path().join("up.py"), "").unwrap();
        fs::write(shared.path().join("other.py"), "").unwrap();
        let (found, _) = Files::of(&function(shared.path(), "python3 ./up.py"), shared.path(), None).look();
        assert_eq!(found.into_keys().collect::<Vec<_>>(), [shared.path().join("up.py")]);
    }
}
