//! The programs under test, and the NATS server.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

pub(crate) static SKEP: LazyLock<PathBuf> = LazyLock::new(|| built("skep"));
pub(crate) static FWATCHDOG: LazyLock<PathBuf> = LazyLock::new(|| built("fwatchdog"));
pub(crate) static NATS_SERVER: LazyLock<PathBuf> = LazyLock::new(nats_server);

/// The root of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A variable of the environment that the tests run in.
pub(crate) fn variable(wanted: &str) -> Option<std::ffi::OsString> {
    std::env::vars_os().find(|(name, _)| name == wanted).map(|(_, value)| value)
}

/// A whole number that is set there.
pub(crate) fn number(wanted: &str) -> Option<u64> {
    variable(wanted).map(|text| text.to_str().and_then(|text| text.parse().ok()).expect("a whole number"))
}

/// Programs lie in the profile's folder, this one in `deps` below it.
fn built(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let program = this.parent().and_then(Path::parent).unwrap().join(name);
    assert!(program.is_file(), "{} is not there: run `make test`, which builds all programs first", program.display());
    program
}

fn nats_server() -> PathBuf {
    if let Some(given) = variable("SKEP_TEST_NATS_SERVER") {
        return given.into();
    }
    let script = repository().join("scripts/nats-server.sh");
    let output = Command::new("sh").arg(&script).output().unwrap();
    assert!(output.status.success(), "{}: {}", script.display(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().into()
}
