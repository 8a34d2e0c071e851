//! Asking a gateway over HTTP, and saying in one line what went wrong.

use std::{
    fs,
    io::{self, Read},
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

use anyhow::anyhow;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;

use super::args::ClientArgs;
use crate::{
    failure::{Failure, Result, bad_setting},
    password::{ADDRESS_FILE, FOLDER, PASSWORD_FILE, USER_FILE},
    up::surroundings::DataDir,
};

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// The gateway waits for five minutes at most, so an answer that takes longer does not come.
const ANSWER_WITHIN: Duration = Duration::from_secs(330);
const MAX_PASSWORD: u64 = 64 * 1024;

pub(super) struct Api {
    http: Client,
    gateway: Url,
    user: String,
    password: Option<String>,
    pub(super) as_json: bool,
}

impl Api {
    pub(super) fn new(args: ClientArgs) -> Result<Self> {
        let mut http = Client::builder().connect_timeout(CONNECT_WITHIN).timeout(ANSWER_WITHIN);
        // A proxy of the environment cannot reach this machine's own addresses.
        if is_loopback(&args.gateway) {
            http = http.no_proxy();
        }
        let (user, password) = credentials(&args)?;
        let http = http.build().map_err(Failure::internal)?;
        Ok(Self { http, gateway: args.gateway, user, password, as_json: args.json })
    }

    /// A request to a path, of which each part is one segment.
    pub(super) fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.gateway.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("system").extend(path);
        }
        let request = self.http.request(method, url);
        match &self.password {
            Some(password) => request.basic_auth(&self.user, Some(password)),
            None => request,
        }
    }

    /// The URL of a path of the gateway.
    pub(super) fn url_of(&self, path: &str) -> String {
        format!("{}{path}", self.gateway.as_str().trim_end_matches('/'))
    }

    pub(super) fn get(&self, path: &[&str]) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// Sends a request; an answer that refuses it is a failure.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let code = response.headers().get("x-skep-error").and_then(|code| code.to_str().ok()).map(str::to_owned);
        let text = response.text().await.unwrap_or_default();
        let reason = crate::output::harmless(text.lines().next().unwrap_or_default());
        let Some(code) = code else {
            return Err(self.stranger(&format!("it answers {status} without X-Skep-Error")));
        };
        Err(match status {
            StatusCode::UNAUTHORIZED => Failure::setting(format!(
                "the gateway at {} wants another user or password: see --user, --password-file, --password-stdin, \
                 --secret-mount-path and --data-dir",
                self.gateway
            )),
            StatusCode::BAD_REQUEST => Failure::Setting(reason),
            StatusCode::NOT_FOUND => Failure::Missing(reason),
            _ => Failure::internal(anyhow!("{reason} ({} {code})", status.as_u16())),
        })
    }

    /// Sends a request and reads the JSON of the answer.
    pub(super) async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        let response = self.send(request).await?;
        self.read(response).await
    }

    /// Reads the JSON of an answer.
    pub(super) async fn read<T: DeserializeOwned>(&self, response: Response) -> Result<T> {
        let answer = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&answer).map_err(|error| self.stranger(&error.to_string()))
    }

    pub(super) fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let mut cause: &dyn std::error::Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        Failure::internal(anyhow!(
            "the gateway at {} does not answer: {cause}; --gateway (SKEP_GATEWAY) says where it is",
            self.gateway
        ))
    }

    pub(super) fn stranger(&self, reason: &str) -> Failure {
        Failure::internal(anyhow!(
            "what answers at {} is not a gateway of skep, or of another version: {reason}",
            self.gateway
        ))
    }
}

/// The user, and the password if one is given.
fn credentials(args: &ClientArgs) -> Result<(String, Option<String>)> {
    let user = args.user.clone();
    if let Some(file) = &args.password_file {
        return Ok((user, Some(read(file, "--password-file")?)));
    }
    if args.password_stdin {
        let mut password = String::new();
        let given = io::stdin().take(MAX_PASSWORD).read_to_string(&mut password);
        given.map_err(|error| Failure::setting(format!("--password-stdin: {error}")))?;
        return Ok((user, Some(password.trim().to_owned())));
    }
    if let Some(folder) = &args.secret_mount_path {
        let read = |name: &str| read(&folder.join(name), "--secret-mount-path");
        return Ok((read(USER_FILE)?, Some(read(PASSWORD_FILE)?)));
    }
    Ok(own_credentials(args).map_or((user, None), |(user, password)| (user, Some(password))))
}

/// Those of the `skep up` on this machine that the gateway's address is of, if its data folder may be read.
///
/// Nobody else gets them: not a program that listens there while skep does not run.
fn own_credentials(args: &ClientArgs) -> Option<(String, String)> {
    let folder = args.data_dir.join(FOLDER);
    let read = |name: &str| read(&folder.join(name), "--data-dir").ok();
    let listens_at: SocketAddr = read(ADDRESS_FILE)?.parse().ok()?;
    let is_asked = is_at(&args.gateway, listens_at) && DataDir::is_in_use(&args.data_dir);
    if is_asked { Some((read(USER_FILE)?, read(PASSWORD_FILE)?)) } else { None }
}

/// Whether a URL leads over loopback to what listens there.
fn is_at(gateway: &Url, listens_at: SocketAddr) -> bool {
    is_loopback(gateway) && gateway.port_or_known_default() == Some(listens_at.port())
}

fn is_loopback(gateway: &Url) -> bool {
    match gateway.host_str() {
        Some("localhost") => true,
        Some(host) => host.trim_matches(['[', ']']).parse().is_ok_and(|address: IpAddr| address.is_loopback()),
        None => false,
    }
}

fn read(file: &Path, flag: &str) -> Result<String> {
    let text = fs::read_to_string(file).map_err(|error| bad_setting(flag, format!("{}: {error}", file.display())))?;
    Ok(text.trim().to_owned())
}
