//! Work that other services publish to `skep.publish.<function>` with any NATS client.

use async_nats::HeaderMap as NatsHeaders;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use skep_protocol::{
    Call, CallId, Fingerprint, FunctionName, HOPS_IN_MESSAGE, headers as names, remove_forged, set_hops, take_run_at,
};
use time::OffsetDateTime;

use crate::{Calls, Delivery, Inbound, Queue, client::clock};

/// The consumer that all workers share.
pub(crate) const CONSUMER: &str = "ingest";

/// The longest name of a function in a dead letter; the server takes a subject of 4 KiB.
const MAX_NAME: usize = 128;

/// What a publisher sent, not yet judged.
pub struct Published {
    /// The last token of the subject, or its beginning; not necessarily a valid name.
    pub function: String,
    /// `X-Call-Id` as the publisher set it.
    pub callers_id: Option<String>,
    /// `X-Callback-Url` as the publisher set it.
    pub callback: Option<String>,
    /// When the publisher wants it to run, or what is wrong with that.
    pub run_at: Result<Option<OffsetDateTime>, String>,
    pub headers: HeaderMap,
    /// How many hops led to the call that has published it, if one did.
    pub hops: Option<u64>,
}

impl Inbound {
    /// The queue of published work.
    pub fn published(&self) -> Queue<Published> {
        let queue =
            Queue::new(&self.nats, "PUBLISH", CONSUMER.to_owned(), self.nats.subjects.publish_all(), |message| {
                let mut headers = publishers_headers(message.headers.as_ref());
                let run_at = take_run_at(&mut headers, clock::now());
                let text =
                    |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
                Ok(Published {
                    function: function_in(&message.subject),
                    callers_id: text(&names::CALL_ID),
                    callback: text(&names::CALLBACK_URL),
                    run_at,
                    hops: hops_of(message.headers.as_ref()),
                    headers,
                })
            });
        queue.over_its_own_connection()
    }
}

impl Delivery<Published> {
    /// The function that its subject names; not necessarily a valid name.
    pub fn function(&self) -> String {
        function_in(&self.subject)
    }

    /// An id that is the same each time this message is delivered, so that taking it up twice makes one call.
    pub fn derived_id(&self) -> Option<CallId> {
        derived_id(self.source.stream_made, self.sequence)
    }

    /// The call that this message asks for.
    pub fn invocation(
        &self,
        calls: &Calls,
        published: &Published,
        function: FunctionName,
        call_id: CallId,
        callback: Option<url::Url>,
    ) -> Call {
        let fingerprint = fingerprint(&function, &published.headers, &self.payload);
        let mut headers = published.headers.clone();
        if let Some(hops) = published.hops {
            set_hops(&mut headers, hops.saturating_add(1));
        }
        Call {
            headers: calls.stored_headers(headers, callback.as_ref()),
            body: self.payload.clone().into(),
            callback,
            // A publisher needs a login of NATS, and may publish calls of any function.
            callback_authorized: true,
            run_at: published.run_at.clone().unwrap_or_default(),
            // A derived id may come again after its call has finished, just as a caller's own may.
            has_callers_id: true,
            fingerprint: Some(fingerprint),
            ..Call::new(call_id, function, clock::now())
        }
    }
}

fn function_in(subject: &str) -> String {
    subject.rsplit('.').next().unwrap_or_default().chars().take(MAX_NAME).collect()
}

/// The id of the call that a published message becomes, unless its publisher names one.
pub(crate) fn derived_id(stream_made: OffsetDateTime, sequence: u64) -> Option<CallId> {
    // A stream that was recreated after a loss begins at the same numbers again.
    let epoch = stream_made.unix_timestamp_nanos();
    format!("pub-{epoch:x}-{sequence}").parse().ok()
}

/// What published work asks for: the same as a `POST` of its body.
pub(crate) fn fingerprint(function: &FunctionName, headers: &HeaderMap, body: &[u8]) -> Fingerprint {
    Fingerprint::of(function, &Method::POST, ("", None), headers, body)
}

fn hops_of(headers: Option<&NatsHeaders>) -> Option<u64> {
    let mut all = headers.into_iter().flat_map(NatsHeaders::iter);
    let is_hops = |name: &str| name.eq_ignore_ascii_case(HOPS_IN_MESSAGE.as_str());
    let (_, values) = all.find(|(name, _)| is_hops(name.as_ref()))?;
    values.first()?.as_str().parse().ok()
}

/// Whether a header is one of NATS itself, of its MQTT side, or of skep on NATS.
pub(crate) fn is_of_nats(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["nats-", "nmqtt-", "skep-"].iter().any(|ours| name.starts_with(ours))
}

/// A publisher's headers as HTTP headers; those of NATS itself stay behind, and those that a caller over HTTP could not set either.
pub(crate) fn publishers_headers(headers: Option<&NatsHeaders>) -> HeaderMap {
    let mut http = HeaderMap::new();
    for (name, values) in headers.into_iter().flat_map(NatsHeaders::iter) {
        let name = AsRef::<str>::as_ref(name);
        if is_of_nats(name) {
            continue;
        }
        let Ok(name) = name.parse::<HeaderName>() else {
            continue;
        };
        for value in values {
            if let Ok(value) = HeaderValue::from_str(value.as_str()) {
                http.append(name.clone(), value);
            }
        }
    }
    remove_forged(&mut http);
    http
}
