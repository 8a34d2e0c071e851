//! `skep new`: a function to begin with, which runs at once.

mod entry;
mod templates;

use std::{
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::anyhow;
use clap::Args;
use skep_protocol::{DefaultNamespace, FunctionDeployment};

pub(crate) use self::templates::Lang;
use self::templates::Template;
use crate::{
    failure::{Failure, Result, bad_setting},
    output, stack_file,
};

pub(crate) const NEW_EXAMPLES: &str = "Examples:
  skep new hello --lang bash
  skep new shop --lang python-http -f shop/stack.yml

It writes a folder with a program and a test request, and adds the function to the stack file, which is made if it is missing. It overwrites no file.";

#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// The function's name, and that of its folder
    name: String,
    /// The language or kind of program
    #[arg(short, long)]
    lang: Lang,
    /// The stack file that the function is added to; its folder is made beside it
    #[arg(short, long, value_name = "FILE", default_value = "stack.yml")]
    file: PathBuf,
}

pub(crate) fn run(args: &NewArgs) -> Result<()> {
    let NewArgs { name, lang, file } = args;
    let function = DefaultNamespace::default().function_in(name, "");
    if let Err(error) = function {
        return Err(Failure::setting(format!("NAME: {error}")));
    }
    if name.contains('.') {
        return Err(Failure::setting("NAME: write the name alone, and add a namespace to the stack file by hand"));
    }
    let before = read(file)?;
    let known = stack_file::parse(&before, file)?;
    if known.functions.iter().any(|function| function.service == *name) {
        return Err(Failure::setting(format!("{} already has a function {name}", file.display())));
    }
    let template = templates::of(*lang);
    let beside = file.parent().unwrap_or(Path::new(""));
    let folder = beside.join(name);
    if folder.exists() {
        return Err(Failure::setting(format!("{} is already there; choose another name", folder.display())));
    }
    write_all(&template, name, &folder)
        .and_then(|()| add(file, &before, name, &template, &known.functions))
        .inspect_err(|_| {
            // It was not there before.
            let _ = fs::remove_dir_all(&folder);
        })?;
    say(&template, name, &folder, file);
    Ok(())
}

/// The text of the stack file; nothing if there is none.
fn read(file: &Path) -> Result<String> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(bad_setting("--file", format!("{}: {error}", file.display()))),
    }
}

/// Writes the files of a new folder.
fn write_all(template: &Template, name: &str, folder: &Path) -> Result<()> {
    for file in template.files {
        let path = folder.join(file.path);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
            let mode = if file.is_executable { 0o755 } else { 0o644 };
            let mut opened = fs::File::options().write(true).create_new(true).mode(mode).open(&path)?;
            io::Write::write_all(&mut opened, file.text.replace("@NAME@", name).as_bytes())
        });
        written.map_err(|error| Failure::internal(anyhow!("{} cannot be written: {error}", path.display())))?;
    }
    Ok(())
}

/// Adds the function to the stack file, whose other functions stay as they are.
fn add(file: &Path, before: &str, name: &str, template: &Template, known: &[FunctionDeployment]) -> Result<()> {
    let keys = [format!("handler: ./{name}")].into_iter();
    let keys: Vec<String> = keys.chain(template.entry.iter().map(|line| line.replace("@NAME@", name))).collect();
    let after = entry::add(before, name, &keys);
    let by_hand = || {
        let (file, keys) = (file.display(), keys.join("; "));
        Failure::setting(format!("{file} is written so that skep cannot add to it; add {name} by hand, with {keys}"))
    };
    let read = stack_file::parse(&after, file).map_err(|_| by_hand())?;
    let (new, others): (Vec<_>, Vec<_>) = read.functions.into_iter().partition(|function| function.service == name);
    if new.len() != 1 || others != known {
        return Err(by_hand());
    }
    // Written beside it first, so that the file is never half there.
    let temporary = file.with_extension("yml.new");
    let written = fs::write(&temporary, after).and_then(|()| fs::rename(&temporary, file));
    written.map_err(|error| bad_setting("--file", format!("{} cannot be written: {error}", file.display())))
}

fn say(template: &Template, name: &str, folder: &Path, file: &Path) {
    for written in template.files {
        output::line(folder.join(written.path).display());
    }
    output::line(format_args!("{} has the function {name}", file.display()));
    let is_usual = file == Path::new("stack.yml");
    let option = if is_usual { String::new() } else { format!(" -f {}", file.display()) };
    let call = match template.request {
        Some(request) => format!("skep invoke {name} --file {}", folder.join(request).display()),
        None => format!("skep invoke {name} --method GET"),
    };
    output::line(format_args!("\nTry it:\n  skep dev{option}\nand in another terminal:\n  {call}"));
}
