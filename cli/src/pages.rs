//! `skep completions` and `skep man`: what shells and `man` know of the commands, from the same definitions.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::anyhow;
use clap::{Args, Command, CommandFactory, ValueEnum};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::{
    args::Cli,
    failure::{Failure, Result},
    output,
};

pub(crate) const COMPLETION_EXAMPLES: &str = "Examples:
  skep completions bash > ~/.local/share/bash-completion/completions/skep
  skep completions zsh > ~/.zfunc/_skep          with fpath+=~/.zfunc before compinit in ~/.zshrc
  skep completions fish > ~/.config/fish/completions/skep.fish";

#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// The shell
    shell: CompletionShell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CompletionShell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The folder, which is made if it is missing
    folder: PathBuf,
}

/// Writes the completion script of a shell.
pub(crate) fn completions(args: &CompletionArgs) -> Result<()> {
    let shell = match args.shell {
        CompletionShell::Bash => Shell::Bash,
        CompletionShell::Zsh => Shell::Zsh,
        CompletionShell::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "skep", &mut script);
    match io::stdout().write_all(&script) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::internal(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes `skep.1`, and a page for each command.
pub(crate) fn man(args: &ManArgs) -> Result<()> {
    let folder = &args.folder;
    fs::create_dir_all(folder).map_err(|error| Failure::setting(format!("{}: {error}", folder.display())))?;
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let pages = write(&command, "skep", folder);
    let pages = pages.map_err(|error| Failure::internal(anyhow!("{}: {error}", folder.display())))?;
    output::line(format_args!("{pages} man pages are in {}", folder.display()));
    Ok(())
}

/// Writes the pages of a command and of all below it; returns how many.
fn write(command: &Command, name: &str, folder: &Path) -> io::Result<usize> {
    let mut page = Vec::new();
    Man::new(command.clone().name(name.to_owned())).render(&mut page)?;
    fs::write(folder.join(format!("{name}.1")), page)?;
    let mut pages = 1;
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        pages += write(below, &format!("{name}-{}", below.get_name()), folder)?;
    }
    Ok(pages)
}
