//! What has to be done for a function to be as the stack file says.

use serde_json::Value;
use skep_protocol::FunctionDeployment;

/// How a function or source of a stack file differs from what is deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Nothing of this name is deployed.
    New,
    /// It is deployed with other settings.
    Changed,
    /// It is deployed exactly as the file says.
    Same,
}

/// Compares a function of a stack file with what is deployed under its name.
pub fn difference(wanted: &FunctionDeployment, deployed: Option<&FunctionDeployment>) -> Difference {
    match deployed {
        None => Difference::New,
        Some(deployed) if deployed == wanted => Difference::Same,
        Some(_) => Difference::Changed,
    }
}

/// Compares the declaration of a source with the one that there is.
pub fn source_difference(wanted: &Value, declared: Option<&Value>) -> Difference {
    match declared {
        None => Difference::New,
        Some(declared) if declared == wanted => Difference::Same,
        Some(_) => Difference::Changed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_deployed() {
        let deployment = |image: &str| FunctionDeployment { image: image.to_owned(), ..FunctionDeployment::default() };
        assert_eq!(difference(&deployment("a"), None), Difference::New);
        assert_eq!(difference(&deployment("a"), Some(&deployment("a"))), Difference::Same);
        assert_eq!(difference(&deployment("a"), Some(&deployment("b"))), Difference::Changed);
    }
}
