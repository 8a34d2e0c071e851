//! What a function's answer may do when a browser shows it as a page.

use std::str::FromStr;

use crate::{FunctionDeployment, Setting, SettingError};

/// The annotation that says it for one function.
pub const PAGES: &str = "skep.pages";

/// Whether a page that a function made is of the gateway's origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pages {
    /// It is of an origin of its own, so it can do nothing with what the browser knows of the gateway.
    #[default]
    Sandboxed,
    /// It is, with cookies and storage.
    Trusted,
}

impl FromStr for Pages {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "sandboxed" => Ok(Self::Sandboxed),
            "trusted" => Ok(Self::Trusted),
            other => Err(format!("{other:?} is neither sandboxed nor trusted")),
        }
    }
}

impl Pages {
    /// What a function's annotation says, if it has one.
    pub(crate) fn of(deployment: &FunctionDeployment) -> Result<Option<Self>, SettingError> {
        Setting::Annotation(PAGES).parsed(deployment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_annotation_says_it_or_is_named() {
        let of = |text: &str| {
            let annotations = [(PAGES.to_owned(), text.to_owned())].into();
            Pages::of(&FunctionDeployment { annotations, ..Default::default() })
        };
        assert_eq!(Pages::of(&FunctionDeployment::default()), Ok(None));
        assert_eq!((of("trusted"), of(" sandboxed ")), (Ok(Some(Pages::Trusted)), Ok(Some(Pages::Sandboxed))));
        assert!(of("yes").unwrap_err().to_string().starts_with("annotation skep.pages: "));
    }
}
