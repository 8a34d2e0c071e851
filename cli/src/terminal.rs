//! Questions to the person at the terminal.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// More than any password or token has.
const LONGEST: u64 = 64 * 1024;

/// Asks for a secret, which is not shown while it is typed.
pub(crate) fn ask_secret(question: &str) -> io::Result<String> {
    let mut terminal = File::options().read(true).write(true).open("/dev/tty")?;
    let silent = Silent::make(terminal.try_clone()?)?;
    terminal.write_all(question.as_bytes())?;
    let mut answer = String::new();
    let read = BufReader::new((&terminal).take(LONGEST)).read_line(&mut answer);
    drop(silent);
    terminal.write_all(b"\n")?;
    read?;
    Ok(answer.trim().to_owned())
}

/// Asks a question on STDOUT; only yes is a yes.
pub(crate) fn confirm(question: &str) -> io::Result<bool> {
    let mut out = io::stdout();
    out.write_all(question.as_bytes()).and_then(|()| out.flush())?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Silent {
    terminal: File,
    before: Termios,
}

impl Silent {
    fn make(terminal: File) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        // What was typed before the question is no answer to it.
        tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that is gone.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}
