//! The answers to a program that asks for them: a line for each of its messages, in order.

use std::{collections::VecDeque, io};

use tokio::{io::AsyncWriteExt, process::ChildStdin};

/// As much waits for a program that does not read; beyond, nothing more of what it prints is read.
const MAX_WAITING: usize = 1 << 20;

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ack {
    /// It is stored. What the program calls it, or its number.
    Stored(String),
    /// It is no event.
    Refused { number: u64, reason: String },
}

/// Lines that wait to be written to a program.
pub(super) struct Acks {
    /// Open for as long as the program is to live.
    stdin: ChildStdin,
    /// `None` if the program does not read it, or has closed it.
    waiting: Option<VecDeque<u8>>,
}

impl Acks {
    pub(super) fn new(stdin: ChildStdin, are_read: bool) -> Self {
        Self { stdin, waiting: are_read.then(VecDeque::new) }
    }

    pub(super) fn push(&mut self, ack: Ack) {
        let Some(waiting) = &mut self.waiting else { return };
        let line = match ack {
            Ack::Stored(name) => name,
            Ack::Refused { number, reason } => {
                let reason: String =
                    reason.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
                format!("!{number} {reason}")
            }
        };
        waiting.extend(line.bytes().chain([b'\n']));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.as_ref().is_none_or(VecDeque::is_empty)
    }

    pub(super) fn has_room(&self) -> bool {
        self.waiting.as_ref().is_none_or(|waiting| waiting.len() < MAX_WAITING)
    }

    /// Writes a part of what waits; nothing is lost if this is dropped.
    pub(super) async fn write(&mut self) {
        let Some(waiting) = &mut self.waiting else { return };
        let (first, _) = waiting.as_slices();
        match self.stdin.write(first).await {
            Ok(written) => drop(waiting.drain(..written)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // It reads no more; its end, if that is the reason, is noticed elsewhere.
            Err(_) => self.waiting = None,
        }
    }
}
