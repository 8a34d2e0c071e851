//! The HTTP client of the exporter. The thread that sends has no runtime, so requests are made on that of the program.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use reqwest::{Client, redirect::Policy};
use tokio::runtime::Handle;

/// The most of an answer that is read.
const MAX_ANSWER: usize = 64 * 1024;

/// The batch that requests carry in place of the body that they come with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch(Arc<Mutex<Option<Bytes>>>);

impl Batch {
    pub(crate) fn set(&self, batch: Option<Bytes>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = batch;
    }

    fn get(&self) -> Option<Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Debug)]
pub(crate) struct OnRuntime {
    runtime: Handle,
    client: Client,
    batch: Batch,
}

impl OnRuntime {
    pub(crate) fn new(runtime: Handle, timeout: Duration, batch: Batch) -> reqwest::Result<Self> {
        // The headers may hold a token, so they go where the endpoint says and nowhere else.
        let settings = || Client::builder().timeout(timeout).redirect(Policy::none());
        Ok(Self { runtime, client: skep_https::client(settings)?, batch })
    }
}

#[async_trait::async_trait]
impl HttpClient for OnRuntime {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let request = match self.batch.get() {
            Some(batch) => request.map(|_| batch),
            None => request,
        };
        self.runtime.spawn(async move { send(client, request).await }).await?
    }
}

async fn send(client: Client, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let mut response = client.execute(request.try_into()?).await.map_err(reqwest::Error::without_url)?;
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = response.status();
    *answer.headers_mut() = std::mem::take(response.headers_mut());
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        if body.len() + piece.len() > MAX_ANSWER {
            return Err("the collector's answer is too long".into());
        }
        body.extend_from_slice(&piece);
    }
    Ok(answer.map(|_| body.into()))
}
