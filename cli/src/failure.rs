//! How the program ends when it cannot do what it was asked: one line, and an exit code that tells whose mistake it was.

use std::{fmt::Display, io::Write, process::ExitCode};

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// The status of a refusal of the controller that may pass: it cannot write what it was asked to, for example.
pub(crate) const TRY_AGAIN: u16 = 503;

#[derive(Debug)]
pub(crate) enum Failure {
    /// A setting, a file or the surroundings are not as they must be; exit code 2.
    Setting(String),
    /// What was asked for is not there; exit code 3.
    Missing(String),
    /// Anything else; exit code 1.
    Internal(anyhow::Error),
}

impl Failure {
    pub(crate) fn setting(message: impl Into<String>) -> Self {
        Self::Setting(message.into())
    }

    pub(crate) fn internal(error: impl Into<anyhow::Error>) -> Self {
        Self::Internal(error.into())
    }

    /// What several steps together came to: nothing if none failed, the failure itself if it is one, else all reasons.
    pub(crate) fn all(mut failures: Vec<Self>) -> Result<()> {
        match failures.len() {
            0 => Ok(()),
            1 => Err(failures.remove(0)),
            _ => {
                let reasons: Vec<String> = failures.iter().map(Self::to_string).collect();
                Err(Self::Internal(anyhow::anyhow!(reasons.join("; "))))
            }
        }
    }

    /// Whether the same may succeed later, because NATS, or the controller, does not answer now.
    pub(crate) fn may_pass(&self) -> bool {
        let Self::Internal(error) = self else { return false };
        match error.downcast_ref::<skep_bus::Error>() {
            Some(skep_bus::Error::Refused { status, .. }) => *status == TRY_AGAIN,
            Some(error) => error.may_pass(),
            None => false,
        }
    }

    /// Says on STDERR, in one line, why the program ends.
    pub(crate) fn report(&self) -> ExitCode {
        let code = match self {
            Self::Setting(_) => 2,
            Self::Missing(_) => 3,
            Self::Internal(_) => 1,
        };
        // Nothing is left to be done if STDERR is closed.
        let _ = writeln!(std::io::stderr(), "skep: {}", one_line(&self.to_string()));
        ExitCode::from(code)
    }
}

impl Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Setting(message) | Self::Missing(message) => formatter.write_str(message),
            Self::Internal(error) => write!(formatter, "{error:#}"),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Internal(error)
    }
}

/// Names a setting the way users write it: the flag and the variable.
pub(crate) fn bad_setting(flag: &str, reason: impl Display) -> Failure {
    let variable = flag.trim_start_matches('-').replace('-', "_").to_uppercase();
    Failure::Setting(format!("{flag} (SKEP_{variable}): {reason}"))
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}
