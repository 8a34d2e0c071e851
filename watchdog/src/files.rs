//! Static mode: the files of one directory.

use std::{
    io,
    path::{Path, PathBuf},
};

use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use percent_encoding::percent_decode_str;
use skep_http::Body;
use tower_http::services::{ServeDir, fs::ServeFileSystemResponseBody};

use crate::{
    answer::{Answer, AnswerBody, Source, insert, refusal, text},
    log::Log,
    plan::StaticPlan,
};

/// What begins with a dot and is meant for everybody (RFC 8615).
const WELL_KNOWN: &str = ".well-known";

pub(crate) struct Files {
    directory: ServeDir,
    /// The directory, if it is guarded.
    guarded: Option<PathBuf>,
    log: Log,
}

impl Files {
    pub(crate) fn new(plan: &StaticPlan, log: Log) -> Self {
        let guarded = plan.is_guarded.then(|| plan.directory.clone());
        Self { directory: ServeDir::new(&plan.directory), guarded, log }
    }

    pub(crate) async fn call(&self, request: Request<Body>) -> Answer {
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            let text = "only GET and HEAD are allowed\n";
            let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", Source::OfWatchdog, text);
            insert(&mut answer, header::ALLOW, "GET, HEAD");
            return answer;
        }
        let uri = request.uri().clone();
        if let Some(directory) = &self.guarded
            && !is_inside(directory, uri.path()).await
        {
            return not_found();
        }
        match self.directory.clone().try_call(request).await {
            Ok(response) if response.status() == StatusCode::NOT_FOUND => not_found(),
            Ok(response) => served(response, &uri),
            Err(error) if is_absent(&error) => not_found(),
            Err(error) => {
                self.log.say(&format!("Cannot read the file of {:?}: {error}", uri.path()));
                let text = "the file cannot be read\n";
                refusal(StatusCode::INTERNAL_SERVER_ERROR, "unreadable", Source::OfWatchdog, text)
            }
        }
    }
}

/// Whether a path is that of no hidden file, and leads by no link out of the directory.
async fn is_inside(directory: &Path, path: &str) -> bool {
    let Ok(path) = percent_decode_str(path).decode_utf8() else { return false };
    let mut names = path.split('/').filter(|name| !name.is_empty());
    if names.any(|name| name.starts_with('.') && name != WELL_KNOWN) {
        return false;
    }
    let file = directory.join(path.trim_start_matches('/'));
    // Of a directory its index is served, which may be a link itself.
    let index = file.join("index.html");
    let found = match tokio::fs::canonicalize(&index).await {
        Ok(index) => Ok(index),
        Err(_) => tokio::fs::canonicalize(&file).await,
    };
    match (tokio::fs::canonicalize(directory).await, found) {
        (Ok(directory), Ok(found)) => found.starts_with(directory),
        // What is not there is for the one who serves to say.
        (_, Err(error)) => error.kind() == io::ErrorKind::NotFound,
        (Err(_), Ok(_)) => false,
    }
}

fn served(response: Response<ServeFileSystemResponseBody>, uri: &Uri) -> Answer {
    let mut answer = response.map(AnswerBody::file);
    let headers = answer.headers_mut();
    // The gateway has cut off the beginning of the path: only a relative redirect leads to the directory from outside.
    if headers.contains_key(header::LOCATION) {
        let name = uri.path().rsplit('/').next().unwrap_or_default();
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        if let Ok(value) = HeaderValue::try_from(format!("./{name}/{query}")) {
            headers.insert(header::LOCATION, value);
        }
    }
    // Without it browsers take text for something older than UTF-8.
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if content_type.starts_with("text/")
        && !content_type.contains(';')
        && let Ok(value) = HeaderValue::try_from(format!("{content_type}; charset=utf-8"))
    {
        headers.insert(header::CONTENT_TYPE, value);
    }
    answer
}

/// An answer of the function, and no refusal: a missing file is its own business.
fn not_found() -> Answer {
    text(StatusCode::NOT_FOUND, "file not found\n")
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::InvalidFilename
    )
}
