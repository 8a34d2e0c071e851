//! Synchronous calls of other services over core NATS: `nats request skep.call.<function>`.

use std::{sync::Arc, time::Duration};

use async_nats::{
    HeaderMap as NatsHeaders, PublishErrorKind, Subject, Subscriber,
    service::{NATS_SERVICE_ERROR, NATS_SERVICE_ERROR_CODE},
};
use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, StatusCode};
use tokio::time::sleep;
use tracing::debug;

use crate::{Connection, Error, Requests, Result, inbound::published::publishers_headers, wire};

/// All gateways share the requests.
const QUEUE_GROUP: &str = "skep-gateway";
const SUBSCRIBE_RETRY_DELAY: Duration = Duration::from_millis(500);

/// Requests as they come. Nothing of it is stored: a requester without an answer asks again.
pub struct CallRequests {
    nats: Arc<Connection>,
    subscriber: Subscriber,
    is_stopped: bool,
}

/// One request, to be answered once.
pub struct CallRequest {
    /// The last token of the subject; not necessarily a valid name.
    pub function: String,
    /// The requester's headers; those of NATS itself stay behind.
    pub headers: HeaderMap,
    pub body: Bytes,
    nats: Arc<Connection>,
    reply: Subject,
}

impl Requests {
    /// Begins to take requests; each goes to one of all gateways that do.
    pub async fn subscribe(&self) -> Result<CallRequests> {
        Ok(CallRequests { nats: Arc::clone(&self.nats), subscriber: subscribe(&self.nats).await?, is_stopped: false })
    }
}

/// Over a connection of its own, because anybody may send anything here.
async fn subscribe(nats: &Connection) -> Result<Subscriber> {
    let client = nats.outside.connect().await?.client();
    let subscriber = client.queue_subscribe(nats.subjects.call_all(), QUEUE_GROUP.to_owned()).await;
    let subscriber = subscriber.map_err(Error::unavailable)?;
    client.flush().await.map_err(Error::unavailable)?;
    Ok(subscriber)
}

/// Whether an answer may go there: an inbox begins with `_` by convention (`_INBOX.…`, `_R_.…`).
///
/// The server does not check whether a requester may publish to the reply subject that it names.
/// Without this rule the gateway would publish a function's answer to any subject with its own rights, `skep.control.deploy` for one.
pub(crate) fn is_inbox(reply: &str) -> bool {
    reply.starts_with('_')
}

impl CallRequests {
    /// The next request that wants an answer; `None` when all have been read after [`stop`](Self::stop).
    pub async fn next(&mut self) -> Option<CallRequest> {
        loop {
            let Some(message) = self.subscriber.next().await else {
                if self.is_stopped {
                    return None;
                }
                self.subscribe_again().await;
                continue;
            };
            // Without a reply subject the answer has nowhere to go; work without one is published to `skep.publish`.
            let Some(reply) = message.reply else { continue };
            if !is_inbox(&reply) {
                debug!(%reply, "a request wants its answer on a subject that is no inbox; it is not run");
                continue;
            }
            return Some(CallRequest {
                function: message.subject.rsplit('.').next().unwrap_or_default().to_owned(),
                headers: publishers_headers(message.headers.as_ref()),
                body: message.payload,
                nats: Arc::clone(&self.nats),
                reply,
            });
        }
    }

    /// The connection is gone for good; another one is made, however long that takes.
    async fn subscribe_again(&mut self) {
        loop {
            match subscribe(&self.nats).await {
                Ok(subscriber) => {
                    self.subscriber = subscriber;
                    return;
                }
                Err(error) => debug!(error = error.chain(), "requests on NATS cannot be taken yet; trying again"),
            }
            sleep(SUBSCRIBE_RETRY_DELAY).await;
        }
    }

    /// Lets other gateways have what comes from now on; what was already handed over can still be read.
    pub async fn stop(&mut self) -> Result<()> {
        self.is_stopped = true;
        self.subscriber.drain().await.map_err(Error::unavailable)
    }
}

impl CallRequest {
    /// Answers with what the function answered; `headers` are few and the platform's choice.
    pub async fn answer(&self, status: StatusCode, headers: &HeaderMap, body: Bytes) -> Result<()> {
        let mut answer = wire::plain_headers(headers);
        answer.insert(wire::STATUS, status.as_str());
        self.publish(answer, body).await
    }

    /// Answers with an error of the platform, in the form of NATS micro services.
    pub async fn refuse(&self, status: StatusCode, headers: &HeaderMap, reason: &str) -> Result<()> {
        let mut answer = wire::plain_headers(headers);
        answer.insert(NATS_SERVICE_ERROR, reason.replace(['\r', '\n'], " "));
        answer.insert(NATS_SERVICE_ERROR_CODE, status.as_str());
        self.publish(answer, Bytes::new()).await
    }

    async fn publish(&self, headers: NatsHeaders, body: Bytes) -> Result<()> {
        let published = self.nats.client.publish_with_headers(self.reply.clone(), headers, body).await;
        published.map_err(|error| match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => Error::TooLarge { limit: self.nats.largest_message() },
            _ => Error::unavailable(error),
        })
    }
}
