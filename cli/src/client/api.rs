//! Asking a gateway over HTTP, and saying in one line what went wrong.

use std::time::Duration;

use anyhow::anyhow;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url, redirect::Policy};
use serde::de::DeserializeOwned;
use skep_protocol::causes;

use super::{
    args::ClientArgs,
    target::{Target, is_loopback},
};
use crate::failure::{Failure, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The gateway waits for five minutes at most, so an answer that takes longer does not come.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(330);
/// On answers that the gateway itself has made.
pub(super) const ERROR_HEADER: &str = "x-skep-error";

pub(super) struct Api {
    http: Client,
    gateway: Url,
    user: String,
    password: Option<String>,
    pub(super) as_json: bool,
}

impl Api {
    #[expect(clippy::needless_pass_by_value, reason = "a command is done with them")]
    pub(super) fn new(args: ClientArgs) -> Result<Self> {
        Self::to(Target::of(&args)?, args.json)
    }

    /// A client of a gateway that is known.
    pub(super) fn to(target: Target, as_json: bool) -> Result<Self> {
        let Target { gateway, user, password } = target;
        let http = skep_https::client(|| {
            // An answer that leads elsewhere may be a function's own.
            let http = Client::builder().redirect(Policy::none());
            let http = http.connect_timeout(CONNECT_TIMEOUT).timeout(ANSWER_TIMEOUT);
            // A proxy of the environment cannot reach this machine's own addresses.
            if is_loopback(&gateway) { http.no_proxy() } else { http }
        });
        let http = http.map_err(Failure::internal)?;
        Ok(Self { http, gateway, user, password, as_json })
    }

    /// Whether the gateway is on this machine.
    pub(super) fn is_local(&self) -> bool {
        is_loopback(&self.gateway)
    }

    /// A request to a path, of which each part is one segment.
    pub(super) fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let url = self.url("system", path);
        self.with_login(self.http.request(method, url))
    }

    /// A request to a function, without the login, which an open function would see.
    pub(super) fn call(&self, method: Method, route: &str, function: &str, path: &str, query: &str) -> RequestBuilder {
        let mut url = self.url(route, &[function]);
        if !path.is_empty() {
            url.set_path(&format!("{}/{}", url.path(), path.trim_start_matches('/')));
        }
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        self.http.request(method, url)
    }

    pub(super) fn has_login(&self) -> bool {
        self.password.is_some()
    }

    pub(super) fn with_login(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.password {
            Some(password) => request.basic_auth(&self.user, Some(password)),
            None => request,
        }
    }

    fn url(&self, route: &str, path: &[&str]) -> Url {
        let mut url = self.gateway.clone();
        // A segment of dots would be left out, and the path would be that of something else.
        let written = |name: &&str| match *name {
            "." | ".." => name.replace('.', "%2E"),
            name => name.to_owned(),
        };
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(route).extend(path.iter().map(written));
        }
        url
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
        self.check(response).await
    }

    /// The same, but `None` if the gateway answers with this status.
    pub(super) async fn send_unless(&self, request: RequestBuilder, status: StatusCode) -> Result<Option<Response>> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if response.status() == status && response.headers().contains_key(ERROR_HEADER) {
            return Ok(None);
        }
        self.check(response).await.map(Some)
    }

    async fn check(&self, response: Response) -> Result<Response> {
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refusal(response).await)
    }

    /// What an answer of the gateway itself says that is not a success.
    pub(super) async fn refusal(&self, response: Response) -> Failure {
        let status = response.status();
        let code = response.headers().get(ERROR_HEADER).and_then(|code| code.to_str().ok()).map(str::to_owned);
        let text = response.text().await.unwrap_or_default();
        let reason = crate::output::harmless(text.lines().next().unwrap_or_default());
        let Some(code) = code else {
            return self.stranger(&format!("it answers {status} without X-Skep-Error"));
        };
        match status {
            StatusCode::UNAUTHORIZED => Failure::setting(format!(
                "the gateway at {} wants another user or password: see skep login, --user, --password-file, \
                 --password-stdin, --secret-mount-path and --data-dir",
                self.gateway
            )),
            StatusCode::BAD_REQUEST => Failure::Setting(reason),
            StatusCode::NOT_FOUND => Failure::Missing(reason),
            _ => Failure::internal(anyhow!("{reason} ({} {code})", status.as_u16())),
        }
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
        let cause = causes(error).last().map_or_else(|| error.to_string(), ToString::to_string);
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
