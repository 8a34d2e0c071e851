//! Where a deployment says something about its function, and what can be wrong with it.

use std::{fmt, str::FromStr, time::Duration};

use thiserror::Error;

use crate::{FunctionDeployment, parse_duration};

/// Longer durations are refused: added to a point in time they would leave what a calendar can express.
const MAX_DURATION: Duration = Duration::from_secs(1000 * 365 * 24 * 3600);

/// One setting of a function, by its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    Annotation(&'static str),
    Label(&'static str),
    /// A variable of the environment.
    Variable(&'static str),
}

/// A value that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{setting}: {reason}")]
pub struct SettingError {
    pub setting: Setting,
    pub reason: String,
}

impl Setting {
    pub fn key(self) -> &'static str {
        match self {
            Self::Annotation(key) | Self::Label(key) | Self::Variable(key) => key,
        }
    }

    /// The text that a deployment has for it.
    pub(crate) fn of(self, deployment: &FunctionDeployment) -> Option<&str> {
        let texts = match self {
            Self::Annotation(_) => &deployment.annotations,
            Self::Label(_) => &deployment.labels,
            Self::Variable(_) => &deployment.env_vars,
        };
        texts.get(self.key()).map(String::as_str)
    }

    pub(crate) fn error(self, reason: impl fmt::Display) -> SettingError {
        SettingError { setting: self, reason: reason.to_string() }
    }

    pub(crate) fn parsed<T>(self, deployment: &FunctionDeployment) -> Result<Option<T>, SettingError>
    where
        T: FromStr<Err: fmt::Display>,
    {
        let parsed = self.of(deployment).map(str::parse).transpose();
        parsed.map_err(|error| self.error(error))
    }

    pub(crate) fn whole_number<T: FromStr>(self, deployment: &FunctionDeployment) -> Result<Option<T>, SettingError> {
        let Some(text) = self.of(deployment) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| self.error(format!("{text:?} is not a whole number")))
    }

    pub(crate) fn duration(self, deployment: &FunctionDeployment) -> Result<Option<Duration>, SettingError> {
        let Some(text) = self.of(deployment) else { return Ok(None) };
        let duration = parse_duration(text).map_err(|error| self.error(error))?;
        if duration > MAX_DURATION {
            return Err(self.error("must be at most 8760000h (1000 years)"));
        }
        Ok(Some(duration))
    }

    /// A duration that is more than 0, or `None` for `off`.
    pub(crate) fn duration_or_off(
        self,
        deployment: &FunctionDeployment,
        default: Duration,
    ) -> Result<Option<Duration>, SettingError> {
        match self.of(deployment) {
            // A YAML file may say it without quotes.
            Some("off" | "false") => Ok(None),
            _ => Ok(Some(self.positive_duration(deployment)?.unwrap_or(default))),
        }
    }

    /// `on` or `off`.
    pub(crate) fn switch(self, deployment: &FunctionDeployment) -> Result<Option<bool>, SettingError> {
        match self.of(deployment) {
            None => Ok(None),
            // A YAML file may say it without quotes.
            Some("on" | "true") => Ok(Some(true)),
            Some("off" | "false") => Ok(Some(false)),
            Some(other) => Err(self.error(format!("{other:?} is neither on nor off"))),
        }
    }

    pub(crate) fn positive_duration(self, deployment: &FunctionDeployment) -> Result<Option<Duration>, SettingError> {
        match self.duration(deployment)? {
            Some(Duration::ZERO) => Err(self.error("must be more than 0")),
            duration => Ok(duration),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Annotation(_) => "annotation",
            Self::Label(_) => "label",
            Self::Variable(_) => "variable",
        };
        write!(formatter, "{kind} {}", self.key())
    }
}
