//! `/ui`: the web UI. Its files are in `skep_ui`, and all that they show and do is the public API.

use std::{borrow::Cow, str::FromStr, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use http::{HeaderMap, Uri};

use crate::{Error, Result, Routes, app::App};

/// What `/ui` shows, and what web pages may do with the admin API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UiMode {
    /// There is no web UI.
    Off,
    /// It shows everything, and browsers change nothing.
    Read,
    #[default]
    Full,
}

impl UiMode {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Read => "read",
            Self::Full => "full",
        }
    }
}

impl FromStr for UiMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "off" => Ok(Self::Off),
            "read" => Ok(Self::Read),
            "full" => Ok(Self::Full),
            other => Err(format!("{other:?} is none of off, read and full")),
        }
    }
}

pub(crate) fn routes() -> Routes {
    vec![("/ui", get(entrance)), ("/ui/", get(file)), ("/ui/{*rest}", get(file))]
}

/// Paths in pages are absolute, so the folder needs its slash only to look right.
async fn entrance(State(app): State<Arc<App>>) -> Result<Redirect> {
    require(app.ui)?;
    Ok(Redirect::permanent("/ui/"))
}

async fn file(State(app): State<Arc<App>>, uri: Uri, headers: HeaderMap) -> Result<Response> {
    require(app.ui)?;
    let path = uri.path().strip_prefix("/ui/").unwrap_or_default();
    Ok(skep_ui::answer(path, &headers).map(|content| match content {
        Cow::Borrowed(content) => Body::from(content),
        Cow::Owned(content) => Body::from(content),
    }))
}

fn require(mode: UiMode) -> Result<()> {
    if mode == UiMode::Off { Err(Error::RouteNotFound) } else { Ok(()) }
}

/// Has everything below `/ui` say what its pages may do; errors are shown there too.
pub(crate) async fn protect(request: Request, next: Next) -> Response {
    let is_ours = request.uri().path().strip_prefix("/ui").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let mut response = next.run(request).await.into_response();
    if is_ours {
        skep_ui::protect(response.headers_mut());
    }
    response
}
