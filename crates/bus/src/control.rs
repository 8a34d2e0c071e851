//! Control requests to the controller: request and reply with a NATS micro service.

use std::time::Duration;

use async_nats::{
    HeaderMap, RequestErrorKind,
    service::{NATS_SERVICE_ERROR, NATS_SERVICE_ERROR_CODE, Request, Service, ServiceExt, error},
};
use futures_util::{StreamExt, stream::SelectAll};
use skep_protocol::control::{ControlRequest, Operation};

use crate::{Control, Error, Leadership, Result};

/// A deploy may have to wait for Docker.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

impl Control {
    /// Sends a request to the controller; a refusal is [`Error::Refused`] with the status and text for the caller.
    pub async fn request<R: ControlRequest>(&self, request: &R) -> Result<R::Reply> {
        let subject = self.nats.subjects.control(R::OPERATION.as_str());
        let unreadable = |error: serde_json::Error| Error::Unreadable {
            subject: self.nats.subjects.control(R::OPERATION.as_str()),
            reason: error.to_string(),
        };
        let body = serde_json::to_vec(request).map_err(unreadable)?;
        let request = async_nats::Request::new().payload(body.into()).timeout(Some(ANSWER_TIMEOUT));
        let answer =
            self.nats.client.send_request(subject.clone(), request).await.map_err(|error| match error.kind() {
                RequestErrorKind::NoResponders | RequestErrorKind::TimedOut => Error::NoController,
                _ => Error::unavailable(error),
            })?;
        if let Some(refusal) = answer.headers.as_ref().and_then(refusal) {
            return Err(refusal);
        }
        serde_json::from_slice(&answer.payload).map_err(unreadable)
    }
}

impl Leadership {
    /// Offers the controller's operations. Stopping to serve is dropping it.
    pub async fn serve_control(&self, version: &str) -> Result<ControlServer> {
        let service = self
            .nats
            .client
            .service_builder()
            .description("deploys and scales functions")
            .start(self.nats.subjects.controller(), version)
            .await
            .map_err(Error::Unavailable)?;
        let mut requests = SelectAll::new();
        for operation in Operation::ALL {
            let endpoint = service
                .endpoint_builder()
                .name(operation.as_str())
                .add(self.nats.subjects.control(operation.as_str()))
                .await
                .map_err(Error::Unavailable)?;
            requests.push(endpoint.map(move |request| (operation, request)).boxed());
        }
        Ok(ControlServer { _service: service, requests })
    }
}

fn refusal(headers: &HeaderMap) -> Option<Error> {
    let code = headers.get(NATS_SERVICE_ERROR_CODE)?;
    let message = headers.get(NATS_SERVICE_ERROR).map(|text| text.as_str().to_owned()).unwrap_or_default();
    Some(Error::Refused { status: code.as_str().parse().unwrap_or(500), message })
}

/// The controller's side.
pub struct ControlServer {
    _service: Service,
    requests: SelectAll<futures_util::stream::BoxStream<'static, (Operation, Request)>>,
}

impl ControlServer {
    /// The next thing that someone asks for; `None` when the connection is closed for good.
    pub async fn next(&mut self) -> Option<ControlCall> {
        let (operation, request) = self.requests.next().await?;
        Some(ControlCall { operation, request })
    }
}

/// One request to the controller, to be answered once.
pub struct ControlCall {
    pub operation: Operation,
    request: Request,
}

impl ControlCall {
    /// Reads the request; a body that is none is [`Error::Refused`].
    pub fn read<R: ControlRequest>(&self) -> Result<R> {
        serde_json::from_slice(&self.request.message.payload)
            .map_err(|error| Error::Refused { status: 400, message: format!("request is not valid: {error}") })
    }

    /// Answers with the reply, or with the status and text of a refusal; other errors become 500.
    pub async fn answer<R: ControlRequest>(&self, reply: Result<R::Reply>) {
        let reply = reply.and_then(|reply| {
            serde_json::to_vec(&reply).map_err(|error| Error::Unreadable {
                subject: R::OPERATION.as_str().to_owned(),
                reason: error.to_string(),
            })
        });
        let answer = match reply {
            Ok(text) => Ok(text.into()),
            Err(Error::Refused { status, message }) => {
                Err(error::Error { code: status.into(), status: message.replace(['\r', '\n'], " ") })
            }
            Err(other) => Err(error::Error { code: 500, status: other.to_string() }),
        };
        if let Err(error) = self.request.respond(answer).await {
            tracing::warn!(%error, "an answer of the controller was not sent");
        }
    }
}
