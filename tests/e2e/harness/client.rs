//! A caller: HTTP to a gateway.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use reqwest::{Body, Client, RequestBuilder, Response};
use serde_json::{Value, json};

use super::{wait_for, wait_until};

#[derive(Clone)]
pub(crate) struct Gateway {
    pub(crate) url: String,
    http: Client,
    credentials: Option<(String, String)>,
}

/// An answer that is all there.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

pub(crate) fn http_client() -> Client {
    // It is installed already in all tests but the first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    // Before the gateway closes an idle connection, or a request could meet its end.
    client.pool_idle_timeout(Duration::from_secs(5)).build().unwrap()
}

/// Sends a request and takes the whole answer.
pub(crate) async fn answer_to(request: RequestBuilder) -> Answer {
    Answer::read(request.send().await.unwrap()).await
}

impl Answer {
    pub(crate) async fn read(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, body: response.bytes().await.unwrap() }
    }
}

impl Gateway {
    pub(crate) fn new(url: String) -> Self {
        Self { url, http: http_client(), credentials: None }
    }

    /// The same caller, who says who he is with every request.
    pub(crate) fn with_credentials(self, user: &str, password: &str) -> Self {
        Self { credentials: Some((user.to_owned(), password.to_owned())), ..self }
    }

    /// The credentials, as curl takes them.
    pub(crate) fn user_and_password(&self) -> Option<String> {
        self.credentials.as_ref().map(|(user, password)| format!("{user}:{password}"))
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.credentials {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        }
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// Sends JSON and takes the answer.
    pub(crate) async fn send(&self, method: Method, path: &str, body: &Value) -> Answer {
        answer_to(self.request(method, path).json(body)).await
    }

    /// Calls a function and waits for its answer.
    pub(crate) async fn call(&self, function: &str, body: impl Into<Body>) -> Answer {
        answer_to(self.post(&format!("/function/{function}")).body(body)).await
    }

    /// Queues a call, which must be accepted, and returns its id.
    pub(crate) async fn queue(&self, function: &str, body: impl Into<Body>) -> String {
        let answer = answer_to(self.post(&format!("/async-function/{function}")).body(body)).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.header("x-call-id").to_owned()
    }

    /// Queues a call under an id of the caller's own.
    pub(crate) async fn queue_as(&self, id: &str, function: &str, body: impl Into<Body>) -> Answer {
        answer_to(self.post(&format!("/async-function/{function}")).header("X-Call-Id", id).body(body)).await
    }

    /// What the calls API says of a call; `None` if it is unknown.
    pub(crate) async fn call_status(&self, id: &str) -> Option<Value> {
        let answer = answer_to(self.get(&format!("/system/calls/{id}"))).await;
        assert!([200, 404].contains(&answer.status), "{answer:?}");
        (answer.status == 200).then(|| answer.json())
    }

    /// Waits until a call is in a state.
    pub(crate) async fn state(&self, id: &str, wanted: &str) -> Value {
        let what = format!("call {id} is {wanted}");
        wait_for(&what, async || self.call_status(id).await.filter(|status| status["state"] == wanted)).await
    }

    /// Waits until a call has come to an end, good or bad.
    pub(crate) async fn finished(&self, id: &str) -> Value {
        wait_for(&format!("the end of call {id}"), async || {
            let status = answer_to(self.get(&format!("/system/calls/{id}?wait=20s"))).await;
            assert_eq!(status.status, 200, "{status:?}");
            let open = ["scheduled", "queued", "running", "retrying"];
            Some(status.json()).filter(|status| !open.contains(&status["state"].as_str().unwrap()))
        })
        .await
    }

    /// Queues a call that is to run later.
    pub(crate) async fn queue_later(&self, function: &str, delay: &str) -> String {
        self.queue_later_with(function, delay, "later").await
    }

    pub(crate) async fn queue_later_with(&self, function: &str, delay: &str, body: impl Into<Body>) -> String {
        let request = self.post(&format!("/async-function/{function}")).header("X-Skep-Delay", delay);
        let answer = answer_to(request.body(body)).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.header("x-call-id").to_owned()
    }

    /// Takes a call back.
    pub(crate) async fn cancel(&self, id: &str) -> Answer {
        answer_to(self.request(Method::DELETE, &format!("/async-function/{id}"))).await
    }

    pub(crate) async fn result(&self, id: &str) -> Answer {
        answer_to(self.get(&format!("/system/calls/{id}/result"))).await
    }

    pub(crate) async fn function(&self, name: &str) -> Option<Value> {
        let answer = answer_to(self.get(&format!("/system/function/{name}"))).await;
        assert!([200, 404].contains(&answer.status), "{answer:?}");
        (answer.status == 200).then(|| answer.json())
    }

    pub(crate) async fn scale(&self, name: &str, replicas: u64) {
        let body = json!({ "serviceName": name, "replicas": replicas });
        let answer = self.send(Method::POST, &format!("/system/scale-function/{name}"), &body).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }

    /// Waits until a function has as many replicas that answer.
    pub(crate) async fn wait_for_replicas(&self, name: &str, replicas: u64) {
        wait_until(&format!("{replicas} replicas of {name}"), async || {
            self.function(name).await.is_some_and(|function| function["availableReplicas"] == replicas)
        })
        .await;
    }
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A header's text; empty if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks that the platform, and not a function, refused: with a code, and a reason in plain text.
    pub(crate) fn assert_refused(&self, status: u16) {
        assert_eq!(self.status, status, "{self:?}");
        assert!(!self.header("x-skep-error").is_empty(), "{self:?}");
        assert!(self.header("content-type").starts_with("text/plain"), "{self:?}");
        assert!(!self.text().trim().is_empty(), "{self:?}");
    }
}
