//! What has to be done for a function to be as the stack file says.

use skep_protocol::FunctionDeployment;

/// How a function of a stack file differs from the deployed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// No such function is deployed.
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
