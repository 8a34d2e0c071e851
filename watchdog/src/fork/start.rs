//! Starts processes of the function.

use std::{
    ffi::OsString,
    io::{self, PipeReader, pipe},
    process::Stdio,
    sync::Arc,
};

use tokio::{
    net::unix::pipe::Receiver,
    process::{ChildStderr, Command},
};

use crate::{
    fork::facts::{Facts, REQUEST},
    plan::{ForkPlan, Plan},
    processes::{Processes, Spawned},
};

/// A variable of a process's environment.
pub(super) type Variable = (String, OsString);

#[derive(Debug)]
pub(super) struct Starter {
    command: Vec<String>,
    combine_output: bool,
    /// Facts of the request come in a file.
    tells_facts: bool,
    processes: Arc<Processes>,
}

/// A process that has no request yet.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) process: Spawned,
    pub(super) output: Receiver,
    pub(super) stderr: Option<ChildStderr>,
    pub(super) facts: Option<Facts>,
}

impl Starter {
    pub(super) fn new(plan: &Plan, fork: &ForkPlan, processes: Arc<Processes>) -> Self {
        Self {
            command: plan.command.clone(),
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

    /// Starts a process with its output connected: merged in one pipe, so in the order in which it was written, or apart.
    pub(super) fn start(&self, variables: Vec<Variable>) -> io::Result<Started> {
        let [program, arguments @ ..] = self.command.as_slice() else {
            return Err(io::Error::other("no program"));
        };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).envs(variables);
        let facts = if self.tells_facts { Some(Facts::new()?) } else { None };
        if let Some(facts) = &facts {
            command.env(REQUEST, facts.path());
        }
        let (reader, writer): (PipeReader, _) = pipe()?;
        if self.combine_output {
            command.stderr(writer.try_clone()?);
        } else {
            command.stderr(Stdio::piped());
        }
        command.stdout(writer);
        let mut process = self.processes.spawn(&mut command)?;
        let stderr = process.take_stderr();
        Ok(Started { process, output: Receiver::from_owned_fd(reader.into())?, stderr, facts })
    }
}

impl Started {
    /// It runs, and has written nothing: so far it looks like a process that waits for its request.
    pub(super) fn is_waiting(&mut self) -> bool {
        let silent = matches!(self.output.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        silent && self.process.is_alive()
    }
}
