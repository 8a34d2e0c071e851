//! Basic authentication: one layer over `/system` and `/ui`, with credentials from two files.

use std::{
    fmt::{self, Debug, Formatter},
    fs,
    path::Path,
    sync::Arc,
};

use anyhow::{Context, ensure};
use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::MethodRouter,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};
use subtle::ConstantTimeEq;

use crate::Error;

/// `user:password`, as the header carries it.
#[derive(Clone)]
pub struct Credentials {
    expected: String,
}

impl Debug for Credentials {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads the files `basic-auth-user` and `basic-auth-password` of a folder; white space around their text does not count.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let user = read(&folder.join("basic-auth-user"))?;
        let password = read(&folder.join("basic-auth-password"))?;
        ensure!(!user.contains(':'), "a user name cannot contain a colon");
        Ok(Self { expected: format!("{user}:{password}") })
    }

    pub fn user(&self) -> &str {
        self.expected.split_once(':').map_or("", |(user, _)| user)
    }

    fn allows(&self, headers: &HeaderMap) -> bool {
        let Some(given) = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()) else {
            return false;
        };
        let Some((scheme, encoded)) = given.split_once(' ') else { return false };
        if !scheme.eq_ignore_ascii_case("basic") {
            return false;
        }
        let Ok(decoded) = STANDARD.decode(encoded.trim()) else { return false };
        decoded.ct_eq(self.expected.as_bytes()).into()
    }
}

/// Closes all routes of a router, those for unknown paths and wrong verbs included. Without credentials all stay open.
pub(crate) fn protect<S: Clone + Send + Sync + 'static>(router: Router<S>, auth: Option<Credentials>) -> Router<S> {
    match auth {
        Some(auth) => router.layer(middleware::from_fn_with_state(Arc::new(auth), require)),
        None => router,
    }
}

/// Closes single verbs of a path whose others are open.
pub(crate) fn protect_methods<S: Clone + Send + Sync + 'static>(
    methods: MethodRouter<S>,
    auth: Option<Credentials>,
) -> MethodRouter<S> {
    match auth {
        Some(auth) => methods.route_layer(middleware::from_fn_with_state(Arc::new(auth), require)),
        None => methods,
    }
}

async fn require(State(auth): State<Arc<Credentials>>, request: Request, next: Next) -> Response {
    if auth.allows(request.headers()) { next.run(request).await } else { Error::Unauthorized.into_response() }
}

fn read(path: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = text.trim();
    ensure!(!text.is_empty(), "{} is empty", path.display());
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(given: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, given.parse().unwrap());
        Credentials { expected: "admin:se:cret".to_owned() }.allows(&headers)
    }

    #[test]
    fn only_the_credentials_of_the_files_are_let_in() {
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert!(allows(&basic("admin:se:cret")));
        assert!(allows(&basic("admin:se:cret").replace("Basic", "bAsIc")));
        for bad in ["", "admin", "admin:", "admin:se:cre", "admin:se:cret2", "Admin:se:cret", ":se:cret"] {
            assert!(!allows(&basic(bad)), "{bad}");
        }
        for bad in ["", "Basic", "Basic ", "Basic ???", "Bearer ", "admin:se:cret"] {
            assert!(!allows(bad), "{bad}");
        }
    }

    #[test]
    fn files_are_trimmed_and_a_bad_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| std::fs::write(folder.path().join(file), text).unwrap();
        let error = || Credentials::read(folder.path()).unwrap_err().to_string();
        write("basic-auth-user", " admin\n");
        assert!(error().contains("basic-auth-password"), "{}", error());
        write("basic-auth-password", "\n");
        assert!(error().ends_with("basic-auth-password is empty"), "{}", error());
        write("basic-auth-password", "se:cret\n");
        assert_eq!(Credentials::read(folder.path()).unwrap().expected, "admin:se:cret");
    }
}
