//! Building the program of a function.

use std::{process::Stdio, time::Instant};

use anyhow::anyhow;
use skep_process::{ProcessTag, kill_tree};
use skep_stack::Build;
use tokio::process::Command;

use crate::{
    controller,
    failure::{Failure, Result},
    output,
};

/// Runs the build of a function to its end. What it prints goes to the terminal.
///
/// Dropping this future ends the build, and everything that it has started.
pub(super) async fn build(build: &Build) -> Result<()> {
    let Build { function, command, folder } = build;
    let bad = |reason: String| Failure::setting(format!("function {function}: build: {reason}"));
    let words = shlex::split(command).filter(|words| !words.is_empty());
    let words = words.ok_or_else(|| bad(format!("{command:?} cannot be split into words: look for an open quote")))?;
    output::line(format_args!("{function} is built: {command}"));
    let began = Instant::now();
    let tag = ProcessTag::new(controller::environment().get(ProcessTag::VARIABLE).map(String::as_str));
    let child = Command::new(&words[0])
        .args(&words[1..])
        .current_dir(folder)
        .env(ProcessTag::VARIABLE, tag.as_str())
        .stdin(Stdio::null())
        .process_group(0)
        .spawn();
    let mut child = child.map_err(|error| bad(format!("{:?} cannot be started: {error}", words[0])))?;
    let mut tree = Tree { leader: child.id(), tag };
    let status = child.wait().await.map_err(Failure::internal)?;
    tree.leader = None;
    if !status.success() {
        return Err(Failure::internal(anyhow!("function {function} cannot be built: {command} ended with {status}")));
    }
    output::line(format_args!("{function} is built, after {:.1} s", began.elapsed().as_secs_f64()));
    Ok(())
}

/// A build that runs; what is left of it is killed when this is dropped.
struct Tree {
    leader: Option<u32>,
    tag: ProcessTag,
}

impl Drop for Tree {
    fn drop(&mut self) {
        if let Some(leader) = self.leader {
            kill_tree(Some(leader), &self.tag);
        }
    }
}
