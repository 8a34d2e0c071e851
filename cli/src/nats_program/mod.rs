//! The nats-server program that `skep up` starts: where it is, and fetching it where it is not.

mod fetch;
mod index;
mod pinned;
mod unpack;

use std::{
    env,
    io::{self, BufRead, IsTerminal, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use self::pinned::Pinned;
use crate::{
    args::FetchArgs,
    failure::{Failure, Result, bad_setting},
    up::surroundings::beside,
};

const OLDEST: (u32, u32) = (2, 12);
const PROGRAM: &str = "nats-server";

/// The program that was named; else the first one found that is new enough; else a fetched one, if somebody wants that.
pub(crate) async fn find_or_fetch(given: Option<&Path>, args: &FetchArgs) -> Result<PathBuf> {
    let pinned = Pinned::read()?;
    let failure = match find_with(given, &pinned) {
        Ok(found) => return Ok(found),
        Err(failure) => failure,
    };
    if given.is_some() {
        return Err(failure);
    }
    if !args.fetch_nats && !is_wanted(&pinned)? {
        return Err(failure);
    }
    let Some(program) = cache(&pinned) else {
        return Err(Failure::setting("neither XDG_CACHE_HOME nor HOME says where fetched programs are kept"));
    };
    fetch::fetch(&pinned, args.nats_index.as_ref(), &program).await?;
    Ok(program)
}

/// The program that was named, or the first one found that is new enough.
pub(crate) fn find(given: Option<&Path>) -> Result<PathBuf> {
    find_with(given, &Pinned::read()?)
}

fn find_with(given: Option<&Path>, pinned: &Pinned) -> Result<PathBuf> {
    if let Some(given) = given {
        return check_version(given).map(|()| given.to_owned());
    }
    let (mut too_old, cached) = (None, cache(pinned));
    let this = env::current_exe().unwrap_or_default();
    for candidate in on_path().into_iter().chain(beside(&this, PROGRAM)).chain(cached.clone()) {
        if candidate.is_file() {
            match check_version(&candidate) {
                Ok(()) => return Ok(candidate),
                Err(failure) => too_old = Some(failure),
            }
        }
    }
    let (version, fetches) = (&pinned.version, command_that_fetches());
    let found = too_old.map_or_else(String::new, |failure| format!(" ({failure})"));
    let mended = match cached.as_deref().and_then(Path::parent) {
        Some(folder) => format!(" or in {}{found}; to fetch {version}, run: {fetches}", folder.display()),
        None => format!("{found}; to fetch {version}, set HOME or XDG_CACHE_HOME, and run: {fetches}"),
    };
    Err(bad_setting("--nats-server", format!("there is no nats-server of 2.12 or newer on PATH, beside skep{mended}")))
}

/// This command as it was typed, and that it may fetch.
fn command_that_fetches() -> String {
    let mut typed = env::args();
    let program = typed.next().unwrap_or_else(|| "skep".to_owned());
    let command = typed.next().filter(|command| ["up", "dev"].contains(&command.as_str()));
    let rest = typed.take(if command.is_some() { usize::MAX } else { 0 });
    let command = command.unwrap_or_else(|| "up".to_owned());
    // Behind `--` it would be a setting of another command.
    let words: Vec<String> = [program, command, "--fetch-nats".to_owned()].into_iter().chain(rest).collect();
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| "skep up --fetch-nats".to_owned())
}

/// Asks at a terminal; elsewhere nobody could answer.
fn is_wanted(pinned: &Pinned) -> Result<bool> {
    if !(io::stdin().is_terminal() && io::stderr().is_terminal() && pinned::IS_FOR_THIS_SYSTEM) {
        return Ok(false);
    }
    let folder = cache(pinned).unwrap_or_default();
    let question = format!(
        "skep needs nats-server and finds none. Fetch {} into {}? [Y/n] ",
        pinned.version,
        folder.parent().unwrap_or(&folder).display()
    );
    let mut errors = io::stderr();
    errors.write_all(question.as_bytes()).and_then(|()| errors.flush()).map_err(Failure::internal)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(Failure::internal)?;
    Ok(answer.ends_with('\n') && ["", "y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

fn variable(wanted: &str) -> Option<std::ffi::OsString> {
    env::vars_os().find(|(name, _)| name == wanted).map(|(_, value)| value).filter(|value| !value.is_empty())
}

fn on_path() -> Vec<PathBuf> {
    let path = variable("PATH").unwrap_or_default();
    env::split_paths(&path).map(|folder| folder.join(PROGRAM)).collect()
}

/// Where it is fetched to; `scripts/nats-server.sh` uses the same place.
fn cache(pinned: &Pinned) -> Option<PathBuf> {
    let home = || variable("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let folder = variable("XDG_CACHE_HOME").map(PathBuf::from).or_else(home)?;
    Some(folder.join("skep").join(format!("{PROGRAM}-{}", pinned.version)).join(PROGRAM))
}

/// Checks the program's version.
fn check_version(program: &Path) -> Result<()> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().map_err(|error| {
        let reason = format!(
            "cannot run {}: {error}; set it to a nats-server of 2.12 or newer, or set --nats-url to a running one",
            program.display()
        );
        bad_setting("--nats-server", reason)
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.trim().rsplit('v').next().unwrap_or_default().to_owned();
    let mut numbers = version.split('.').map(str::parse::<u32>);
    let found = match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => return Err(bad_setting("--nats-server", format!("{} does not tell its version", program.display()))),
    };
    if found < OLDEST {
        let reason = format!("{} is version {version}; skep needs 2.12 or newer", program.display());
        return Err(bad_setting("--nats-server", reason));
    }
    Ok(())
}
