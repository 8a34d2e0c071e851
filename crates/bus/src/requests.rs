//! Synchronous calls of other services over core NATS: `nats request skep.call.<function>`.

use async_nats::{
    HeaderMap as NatsHeaders, PublishErrorKind, Subject, Subscriber,
    service::{NATS_SERVICE_ERROR, NATS_SERVICE_ERROR_CODE},
};
use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, StatusCode};

use crate::{Bus, Error, Result, ingest::publishers_headers, wire};

/// All gateways share the requests.
const QUEUE_GROUP: &str = "skep-gateway";

/// Requests as they come. Nothing of it is stored: a requester that hears nothing asks again.
pub struct CallRequests {
    bus: Bus,
    subscriber: Subscriber,
}

/// One request, to be answered once.
pub struct CallRequest {
    /// The last token of the subject; not necessarily a valid name.
    pub function: String,
    /// The requester's headers; those of NATS itself stay behind.
    pub headers: HeaderMap,
    pub body: Bytes,
    bus: Bus,
    reply: Subject,
}

impl Bus {
    /// Begins to take requests; each goes to one of all gateways that do.
    pub async fn call_requests(&self) -> Result<CallRequests> {
        let subject = self.subjects.call_all();
        let subscriber =
            self.client.queue_subscribe(subject, QUEUE_GROUP.to_owned()).await.map_err(Error::unavailable)?;
        self.client.flush().await.map_err(Error::unavailable)?;
        Ok(CallRequests { bus: self.clone(), subscriber })
    }
}

impl CallRequests {
    /// The next request that wants an answer; `None` when the connection is closed for good.
    pub async fn next(&mut self) -> Option<CallRequest> {
        loop {
            let message = self.subscriber.next().await?;
            // Without a reply subject nobody would hear the answer; work without one is published to `skep.publish`.
            let Some(reply) = message.reply else { continue };
            return Some(CallRequest {
                function: message.subject.rsplit('.').next().unwrap_or_default().to_owned(),
                headers: publishers_headers(message.headers.as_ref()),
                body: message.payload,
                bus: self.bus.clone(),
                reply,
            });
        }
    }

    /// Lets other gateways have what comes from now on; what was already handed over can still be read.
    pub async fn stop(&mut self) -> Result<()> {
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

    /// Answers with an error of the platform, as NATS micro services tell errors.
    pub async fn refuse(&self, status: StatusCode, headers: &HeaderMap, reason: &str) -> Result<()> {
        let mut answer = wire::plain_headers(headers);
        answer.insert(NATS_SERVICE_ERROR, reason.replace(['\r', '\n'], " "));
        answer.insert(NATS_SERVICE_ERROR_CODE, status.as_str());
        self.publish(answer, Bytes::new()).await
    }

    async fn publish(&self, headers: NatsHeaders, body: Bytes) -> Result<()> {
        let published = self.bus.client.publish_with_headers(self.reply.clone(), headers, body).await;
        published.map_err(|error| match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => Error::TooLarge { limit: self.bus.largest_message() },
            _ => Error::unavailable(error),
        })
    }
}
