//! Which function a path names, read from the raw bytes: nothing after the name is decoded, cleaned or joined.

use http::{Uri, uri::PathAndQuery};
use skep_protocol::{DefaultNamespace, FunctionName, NameError};

use crate::{Error, Result};

/// `/function/NAME/rest?query` and `/async-function/NAME/rest?query`, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target<'uri> {
    pub(crate) function: FunctionName,
    /// What follows the name: empty, or starting with `/`.
    pub(crate) path: &'uri str,
    /// Without `?`; an empty query is not the same as none.
    pub(crate) query: Option<&'uri str>,
}

impl<'uri> Target<'uri> {
    /// Takes a path apart; `prefix` is the route without a slash at its end.
    pub(crate) fn parse(uri: &'uri Uri, prefix: &str, namespace: &DefaultNamespace) -> Result<Self, NameError> {
        let after = uri.path().strip_prefix(prefix).unwrap_or_default();
        let after = after.strip_prefix('/').unwrap_or(after);
        let (name, path) = after.split_at(after.find('/').unwrap_or(after.len()));
        Ok(Self { function: namespace.function(name)?, path, query: uri.query() })
    }

    /// What the function gets to see.
    pub(crate) fn uri(&self) -> Result<Uri> {
        function_uri(self.path, self.query)
    }
}

/// Joins a function's own path and query.
pub(crate) fn function_uri(path: &str, query: Option<&str>) -> Result<Uri> {
    let path = if path.is_empty() { "/" } else { path };
    let joined = match query {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(path),
    };
    joined.map(Uri::from).map_err(|_| Error::InvalidPath)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str, name: &str, path: &str, query: Option<&str>, seen: &str) {
        let uri: Uri = uri.parse().unwrap();
        let target = Target::parse(&uri, "/function", &DefaultNamespace::default()).unwrap();
        assert_eq!(target, Target { function: name.parse().unwrap(), path, query });
        assert_eq!(target.uri().unwrap().to_string(), seen);
    }

    #[test]
    fn path_and_query_are_kept_as_they_came() {
        check("/function/a", "a", "", None, "/");
        check("/function/a/", "a", "/", None, "/");
        check("/function/a?x=%20&y", "a", "", Some("x=%20&y"), "/?x=%20&y");
        check("/function/a/?", "a", "/", Some(""), "/?");
        check("/function/a/b%2Fc/%25zz/%FF", "a", "/b%2Fc/%25zz/%FF", None, "/b%2Fc/%25zz/%FF");
        check("/function/a//b/../c/.", "a", "//b/../c/.", None, "//b/../c/.");
        check("/function/a//", "a", "//", None, "//");
        check("http://host/function/a/b", "a", "/b", None, "/b");
        check("/function/a.openfaas-fn/b", "a", "/b", None, "/b");
        check("/function/a/function/b", "a", "/function/b", None, "/function/b");
        check("/function/a.dev/b", "a_dev", "/b", None, "/b");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let namespace = DefaultNamespace::default();
        let error = |uri: &str| Target::parse(&uri.parse().unwrap(), "/function", &namespace).unwrap_err();
        for empty in ["/function", "/function/", "/function//", "/function//a", "/function?x=1"] {
            assert_eq!(error(empty), NameError::Empty, "{empty}");
        }
        for invalid in
            ["/function/%61", "/function/%FF", "/function/..", "/function/A", "/function/a%2Fb", "/function/é"]
        {
            assert!(!matches!(error(invalid), NameError::Empty), "{invalid}");
        }
        assert!(matches!(error("/function/a%2Eother/x"), NameError::Invalid(_)));
        assert_eq!(error("/function/a.Other"), NameError::InvalidNamespace("Other".to_owned()));
    }
}
