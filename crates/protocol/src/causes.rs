//! An error and what it comes from.

use std::{error::Error, iter};

/// An error, its cause, the cause of that, and so on.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |&error| error.source())
}

/// An error with all its causes, on one line.
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let texts: Vec<String> = causes(error).map(ToString::to_string).collect();
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use thiserror::Error;

    use super::*;

    #[derive(Debug, Error)]
    #[error("{0}")]
    struct Failed(&'static str, #[source] Option<Box<Failed>>);

    #[test]
    fn a_chain_has_each_cause_once() {
        let root = Failed("disk full", None);
        let error = Failed("no write", Some(Box::new(Failed("no page", Some(Box::new(root))))));
        assert_eq!(error_chain(&error), "no write: no page: disk full");
        assert_eq!(error_chain(&Failed("alone", None)), "alone");
        assert_eq!(causes(&error).last().map(ToString::to_string).as_deref(), Some("disk full"));
    }
}
