//! Queries and JSON bodies of the system API, with errors in skep's format.

use std::sync::Arc;

use axum::{
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::request::Parts,
};
use serde::de::DeserializeOwned;
use skep_protocol::{FunctionName, NameError};

use crate::{Error, Result, app::App, body::BodyLimit};

pub(crate) const JSON_LIMIT: BodyLimit = BodyLimit { bytes: 1024 * 1024, origin: "the limit of the system API" };

/// A body of JSON, whatever its content type says: OpenFaaS clients send none.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self> {
        let (parts, body) = request.into_parts();
        let body = app.gathered(&parts.headers, body, JSON_LIMIT).await?;
        read_json(&body).map(Self)
    }
}

/// A body of JSON, or none.
pub(crate) struct OptionalJson<T>(pub(crate) T);

impl<T: Default + DeserializeOwned> FromRequest<Arc<App>> for OptionalJson<T> {
    type Rejection = Error;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self> {
        let (parts, body) = request.into_parts();
        let body = app.gathered(&parts.headers, body, JSON_LIMIT).await?;
        if body.is_empty() { Ok(Self(T::default())) } else { read_json(&body).map(Self) }
    }
}

/// A query string that was read as `T`.
pub(crate) struct Queried<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Queried<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let read = Query::from_request_parts(parts, state).await;
        let Query(query) =
            read.map_err(|error| Error::InvalidRequest(format!("query is not valid: {}", error.body_text())))?;
        Ok(Self(query))
    }
}

/// The first variable part of a path, decoded.
pub(crate) struct Segment(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let read = Path::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let Path(segments) = read.map_err(|_| Error::InvalidPath)?;
        segments.into_iter().next().map(|(_, segment)| Self(segment)).ok_or(Error::InvalidPath)
    }
}

/// The query `?namespace=`.
#[derive(serde::Deserialize)]
pub(crate) struct NamespaceQuery {
    #[serde(default)]
    pub(crate) namespace: String,
}

impl NamespaceQuery {
    /// Puts the namespace of the query where a body names none; they may not differ.
    pub(crate) fn fill(self, of_body: &mut String) -> Result<()> {
        if of_body.is_empty() {
            *of_body = self.namespace;
        } else if !self.namespace.is_empty() && self.namespace != *of_body {
            let reason = format!("the query names namespace {:?} and the body {of_body:?}", self.namespace);
            return Err(Error::InvalidRequest(reason));
        }
        Ok(())
    }
}

/// The function that a body names.
pub(crate) fn function_in_body(app: &App, name: &str, namespace: &str) -> Result<FunctionName> {
    app.named(name, namespace).map_err(|error| match error {
        Error::Name(NameError::Empty) => Error::InvalidRequest(NameError::Empty.to_string()),
        other => other,
    })
}

pub(crate) fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| {
        let position = format!(" at line {} column {}", error.line(), error.column());
        let reason = error.to_string().replace(&position, "");
        Error::MalformedJson { line: error.line(), column: error.column(), reason }
    })
}

#[cfg(test)]
mod tests {
    use skep_protocol::{FunctionDeployment, ScaleFunction};

    use super::*;

    #[test]
    fn malformed_json_says_where() {
        let check = |body: &[u8], expected: &str| {
            let error = read_json::<FunctionDeployment>(body).unwrap_err();
            assert_eq!(error.status().0, 400);
            assert!(error.to_string().starts_with(expected), "{error}");
        };
        check(b"", "malformed JSON at line 1 column 0: EOF");
        check(b"{\n \"service\": }", "malformed JSON at line 2 column 13: expected value");
        check(b"{\"service\": 1}", "malformed JSON at line 1 column 13: invalid type: integer `1`, expected a string");
        check(b"{\"service\": \"\xff\"}", "malformed JSON at line 1");
        check(b"7", "malformed JSON at line 1");
        let error = read_json::<ScaleFunction>(br#"{"replicas": -1}"#).unwrap_err();
        assert!(error.to_string().contains("-1"), "{error}");
    }

    #[test]
    fn the_namespace_may_be_in_the_query_or_in_the_body() {
        let check = |query: &str, body: &str| {
            let mut filled = body.to_owned();
            NamespaceQuery { namespace: query.to_owned() }.fill(&mut filled).map(|()| filled)
        };
        assert_eq!(check("", "").unwrap(), "");
        for (query, body) in [("dev", ""), ("", "dev"), ("dev", "dev")] {
            assert_eq!(check(query, body).unwrap(), "dev");
        }
        assert_eq!(check("dev", "test").unwrap_err().status().0, 400);
    }
}
