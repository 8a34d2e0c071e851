//! Starts the function's processes.

use std::{
    ffi::OsString,
    io::{self, PipeReader},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use crate::{
    fork::{
        facts::{Facts, REQUEST},
        pipes::Reader,
    },
    plan::{ForkPlan, Plan},
    processes::{Processes, Spawned},
};

/// A variable of a process's environment.
pub(super) type Variable = (String, OsString);

#[derive(Debug)]
pub(super) struct Starter {
    command: Vec<String>,
    found: Option<PathBuf>,
    combine_output: bool,
    /// The facts of the request come in a file.
    tells_facts: bool,
    processes: Arc<Processes>,
}

/// A process that was started, with or without a request.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) process: Spawned,
    pub(super) output: Reader,
    pub(super) facts: Option<Facts>,
}

impl Starter {
    pub(super) fn new(plan: &Plan, fork: &ForkPlan, processes: Arc<Processes>) -> Self {
        Self {
            command: plan.command.clone(),
            found: plan.program.clone(),
            combine_output: fork.combine_output,
            tells_facts: fork.prefork > 0,
            processes,
        }
    }

    pub(super) fn program(&self) -> &str {
        self.command.first().map_or("", String::as_str)
    }

    pub(super) fn processes(&self) -> &Arc<Processes> {
        &self.processes
    }

    /// Starts a process with its output connected: STDOUT and STDERR in one pipe, which keeps their order, or in two.
    pub(super) fn start(&self, stdin: PipeReader, variables: Vec<Variable>) -> io::Result<Started> {
        let [program, arguments @ ..] = self.command.as_slice() else {
            return Err(io::Error::other("no program"));
        };
        let found = self.found.as_deref().unwrap_or(Path::new(program));
        let mut command = Command::new(found);
        command.arg0(program).args(arguments).stdin(stdin).envs(variables);
        let facts = if self.tells_facts { Some(Facts::new()?) } else { None };
        if let Some(facts) = &facts {
            command.env(REQUEST, facts.path());
        }
        let (output, its_output) = Reader::new()?;
        if self.combine_output {
            command.stderr(its_output.try_clone()?);
        } else {
            command.stderr(Stdio::piped());
        }
        command.stdout(its_output);
        let process = self.processes.spawn(&mut command)?;
        Ok(Started { process, output, facts })
    }
}

impl Started {
    /// It runs and has written nothing, so it seems to wait for its request.
    pub(super) fn is_waiting(&mut self) -> bool {
        self.output.is_silent() && self.process.is_alive()
    }
}
