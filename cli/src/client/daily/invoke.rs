//! `skep invoke`: one call of a function, from the command line.

use std::{
    io::{self, IsTerminal, Write},
    path::Path,
    time::Duration,
};

use anyhow::anyhow;
use bytes::BytesMut;
use futures_util::{StreamExt, stream};
use reqwest::{Body, Response, StatusCode};
use serde_json::json;
use skep_protocol::{AUTH, FunctionStatus, format_duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::timeout,
};
use tokio_util::io::ReaderStream;

use super::args::InvokeArgs;
use crate::{
    client::{
        api::{Api, ERROR_HEADER},
        calls, print_json,
    },
    failure::{Failure, Result},
};

/// A function may run for hours; its own timeout ends the call.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30 * 24 * 3600);
const CALL_ID: &str = "x-call-id";
/// A body that is no larger has a length, without which a call cannot run again elsewhere.
const MAX_HELD: usize = 1024 * 1024;
/// A body that takes longer is streamed.
const HOLD_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) async fn run(args: InvokeArgs) -> Result<()> {
    if args.client.password_stdin && args.file.is_none() && !io::stdin().is_terminal() {
        return Err(Failure::setting("--password-stdin and the body cannot both come from STDIN: give --file"));
    }
    let body = body(args.file.as_deref()).await?;
    let api = Api::new(args.client)?;
    let is_queued = args.is_async || args.wait.is_some();
    let route = if is_queued { "async-function" } else { "function" };
    let query = args.query.join("&");
    let mut request = api.call(args.method, route, &args.name, &args.path, &query).timeout(ANSWER_TIMEOUT);
    for (name, value) in &args.header {
        request = request.header(name, value);
    }
    if args.with_login || wants_login(&api, &args.name).await {
        request = api.with_login(request);
    }
    if let Some(body) = body {
        request = request.body(body);
    }
    let response = request.send().await.map_err(|error| wrong(&api, &error))?;
    if response.headers().contains_key(ERROR_HEADER) {
        return Err(api.refusal(response).await);
    }
    let id = response.headers().get(CALL_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
    let Some(id) = id else {
        return Err(api.stranger("it answers without X-Call-Id"));
    };
    if !is_queued {
        return print(&api, response).await;
    }
    if response.status() != StatusCode::ACCEPTED {
        return Err(api.stranger(&format!("it answers {} to a queued call", response.status())));
    }
    match args.wait {
        Some(wait) => calls::print_result(&api, &id, Some(format_duration(wait))).await,
        None if api.as_json => print_json(&json!({ "callId": id })),
        None => {
            crate::output::line(id);
            Ok(())
        }
    }
}

/// A header that cannot be sent is a mistake of the command line.
fn wrong(api: &Api, error: &reqwest::Error) -> Failure {
    if error.is_builder() {
        Failure::setting(format!("--header, --path or --query: {error}"))
    } else {
        api.unreachable(error)
    }
}

/// Whether the function asks for a login, as far as this can be seen. No other function is shown one.
async fn wants_login(api: &Api, name: &str) -> bool {
    if !api.has_login() {
        return false;
    }
    let function: Result<FunctionStatus> = super::function(api, name).await;
    function.is_ok_and(|function| function.annotations.get(AUTH).is_some_and(|auth| auth == "required"))
}

/// The body; none if nobody gives one.
async fn body(file: Option<&Path>) -> Result<Option<Body>> {
    if let Some(file) = file {
        let unreadable = |error| Failure::setting(format!("--file {}: {error}", file.display()));
        let opened = tokio::fs::File::open(file).await.map_err(unreadable)?;
        return whole_or_streamed(opened).await.map(Some).map_err(unreadable);
    }
    if io::stdin().is_terminal() {
        return Ok(None);
    }
    let unreadable = |error| Failure::setting(format!("STDIN cannot be read: {error}"));
    whole_or_streamed(tokio::io::stdin()).await.map(Some).map_err(unreadable)
}

/// A small body as a whole, and one that is large or takes its time as it comes.
async fn whole_or_streamed(mut source: impl AsyncRead + Send + Unpin + 'static) -> io::Result<Body> {
    let mut held = BytesMut::new();
    let reading = async {
        while held.len() <= MAX_HELD {
            if source.read_buf(&mut held).await? == 0 {
                return Ok::<_, io::Error>(true);
            }
        }
        Ok(false)
    };
    // What was read when the time is over is not lost: a read that is broken off has taken nothing.
    let has_ended = timeout(HOLD_TIMEOUT, reading).await.unwrap_or(Ok(false))?;
    let held = held.freeze();
    if has_ended {
        return Ok(Body::from(held));
    }
    let begin = stream::iter((!held.is_empty()).then_some(Ok(held)));
    Ok(Body::wrap_stream(begin.chain(ReaderStream::new(source))))
}

/// Prints the answer as it comes.
async fn print(api: &Api, mut response: Response) -> Result<()> {
    let status = response.status();
    let mut out = io::stdout();
    while let Some(chunk) = response.chunk().await.map_err(|error| api.unreachable(&error))? {
        if out.write_all(&chunk).and_then(|()| out.flush()).is_err() {
            // Nobody reads the rest.
            break;
        }
    }
    if status.as_u16() < 400 {
        return Ok(());
    }
    Err(Failure::internal(anyhow!("the function answered {}", status.as_u16())))
}
