//! One run of the program: what it works with, and the figures one after the other.

use std::{
    cell::RefCell,
    env::split_paths,
    ffi::OsString,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::{
    args::Args,
    figures::Figure,
    output,
    report::{self, Report},
};

/// What every figure needs.
pub(crate) struct Bench {
    pub(crate) programs: Programs,
    pub(crate) runs: usize,
    /// Functions of the figures `density_…`.
    pub(crate) functions: usize,
    notes: RefCell<Vec<String>>,
    /// Goes with all its contents when the bench ends.
    folder: TempDir,
}

pub(crate) struct Programs {
    pub(crate) own: PathBuf,
    pub(crate) skep: PathBuf,
    pub(crate) watchdog: PathBuf,
    pub(crate) nats_server: PathBuf,
    pub(crate) nginx: Option<PathBuf>,
    /// The only variable that children inherit.
    pub(crate) path: OsString,
}

impl Bench {
    pub(crate) fn prepare(args: &Args) -> Result<Self> {
        let own = std::env::current_exe().context("cannot find this program")?;
        let beside = own.parent().unwrap_or(Path::new("."));
        let programs = args.programs.as_deref().unwrap_or(beside);
        let built = |name: &str| {
            let program = programs.join(name);
            if program.is_file() {
                return program.canonicalize().with_context(|| format!("cannot use {}", program.display()));
            }
            bail!("{} is missing; build it with make build, or set --programs", program.display())
        };
        let (skep, watchdog) = (built("skep")?, built("fwatchdog")?);
        let Some(nats_server) = find(&args.nats_server, &args.path) else {
            bail!("--nats-server: {} is not a program", args.nats_server.display());
        };
        let nginx = find(Path::new("nginx"), &args.path);
        // In the target folder and not in /tmp, which may be memory: what is synced must reach a disk.
        let folder = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(target_folder(&own))
            .context("cannot make a folder for data")?;
        let programs = Programs { skep, watchdog, nats_server, nginx, path: args.path.clone(), own };
        let functions = usize::try_from(args.functions)?;
        Ok(Self { programs, runs: usize::from(args.runs), functions, notes: RefCell::default(), folder })
    }

    /// Prints a line under the table.
    pub(crate) fn note(&self, text: String) {
        output::progress(&text);
        self.notes.borrow_mut().push(text);
    }

    /// A new folder of its own for one server's files.
    pub(crate) fn new_folder(&self, name: &str) -> Result<PathBuf> {
        let folder = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir_in(self.folder.path());
        Ok(folder.with_context(|| format!("cannot make a folder for {name}"))?.keep())
    }
}

/// Measures; `false` if a figure failed.
pub(crate) async fn run(bench: &Bench, args: &Args) -> Result<bool> {
    let started = Instant::now();
    let mut report = Report::default();
    report.notes.extend(report::busy_machine());
    if bench.programs.nginx.is_none() {
        report.notes.push("nginx is not on PATH: its baselines (…_vs_nginx) are left out".to_owned());
    }
    for figure in Figure::ALL {
        if !args.only.is_empty() && !args.only.contains(&figure) {
            continue;
        }
        match figure.measure(bench).await {
            Ok(rows) => {
                report.notes.extend(rows.last().and_then(|row| report::fewer_runs(row, bench.runs)));
                report.notes.append(&mut bench.notes.borrow_mut());
                report.rows.extend(rows);
            }
            Err(error) => {
                let failed = format!("{} failed: {error:#}", figure.name());
                output::progress(&failed);
                report.failures.push(failed);
            }
        }
    }
    let json = args.json.clone().unwrap_or_else(|| target_folder(&bench.programs.own).join("bench.json"));
    std::fs::write(&json, report.json()?).with_context(|| format!("cannot write {}", json.display()))?;
    output::progress(format_args!("{:.0} s, written to {}\n", started.elapsed().as_secs_f64(), json.display()));
    output::result(report.table());
    Ok(report.failures.is_empty())
}

/// `target` for `target/release/skep-benches`.
fn target_folder(own: &Path) -> PathBuf {
    own.parent().and_then(Path::parent).unwrap_or(Path::new(".")).to_owned()
}

/// A program as a path, or by its name on PATH.
fn find(program: &Path, path: &OsString) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return program.canonicalize().ok().filter(|program| program.is_file());
    }
    split_paths(path).map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}
