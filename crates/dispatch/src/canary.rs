//! A canary takes a share of the calls. What fails there goes to the current version, so that its callers notice nothing.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, header, request::Parts};
use http_body::Body as _;
use http_body_util::BodyExt;
use skep_protocol::{FunctionPolicy, FunctionRecord, PolicyDefaults, Share, format_duration, headers, parse_duration};
use tokio::time::{Instant, timeout};

use crate::{
    Body, BodyError, Dispatch, Error, Function, Result,
    endpoint::Endpoint,
    function::WATCHDOG_GRACE,
    send::{Failed, Noting, Outgoing, Sent, as_said, end_of, failed, send},
    trial::{End, Side, Tally},
};

/// A body of at most this many bytes is held while its call is on a canary.
const MAX_HELD_BODY: u64 = 64 * 1024;

/// In the extensions of a request: nobody waits for the answer, so that a call that fails on a canary has all of its time again.
#[derive(Clone, Copy, Debug)]
pub struct Unhurried;

/// The canary of a function, as it can be called now.
pub(crate) struct Canary {
    share: Share,
    rerun: bool,
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
    timeout: Duration,
}

impl Canary {
    /// `replica` gives each endpoint of the registry the replica that is known already, or a new one.
    pub(crate) fn of(
        record: &FunctionRecord,
        defaults: &PolicyDefaults,
        replica: impl Fn(&skep_protocol::Endpoint) -> Arc<Endpoint>,
    ) -> Option<Self> {
        let canary = record.canary.as_ref()?;
        let (policy, _) = FunctionPolicy::of_deployed(&canary.deployment, defaults);
        let endpoints = record.canary_status.iter().flat_map(|status| &status.endpoints).map(replica).collect();
        Some(Self { share: canary.share, rerun: policy.canary.rerun, endpoints, timeout: policy.timeout })
    }

    /// Whether this call goes to the canary: one that could not run again goes to the current version.
    pub(crate) fn takes(&self, request: &Request<Body>) -> bool {
        !self.endpoints.is_empty()
            && fastrand::u8(..100) < self.share.percent()
            && (!self.rerun || can_be_held(request))
    }

    /// Sends it a request.
    async fn send(&self, function: &Function, request: Outgoing, noting: Noting<'_>) -> Result<Sent, Failed> {
        // A replica that is silent for this long will not answer.
        let idle_timeout = self.timeout.saturating_add(WATCHDOG_GRACE);
        let sent = timeout(idle_timeout, send(function, &self.endpoints, request, noting)).await;
        sent.unwrap_or_else(|_| Err(Failed { error: Error::TimedOut(function.name.clone()), unsent: None }))
    }
}

impl Dispatch {
    /// Sends a request to the canary, and to the current version what fails there.
    pub(crate) async fn send_to_canary(
        &self,
        function: &Arc<Function>,
        canary: &Canary,
        request: Request<Body>,
        noting: Noting<'_>,
        tally: &mut Option<Tally>,
    ) -> Result<Sent> {
        *tally = Tally::begin(function, Side::New);
        if !canary.rerun {
            return self.send_once(function, canary, request, noting, tally).await;
        }
        let held = Held::receive(request).await.map_err(Error::RequestBody)?;
        let request = Outgoing::new(held.request()).await.map_err(|error| failed(function, error))?;
        let tried = canary.send(function, request, noting).await;
        let tried = tried.map_err(|failed| failed.error).and_then(|sent| as_said(function, sent));
        let end = end_of(&tried);
        if end == Some(End::Answered) {
            return tried;
        }
        let Some(request) = held.again(function.policy.timeout) else { return tried };
        drop(tried);
        Tally::ends(tally, end);
        *tally = Tally::begin(function, Side::Old);
        self.send_when_ready(function, request, noting).await.and_then(|sent| as_said(function, sent))
    }

    /// Sends a request to the canary, and to the current version only if nothing of it was sent.
    async fn send_once(
        &self,
        function: &Arc<Function>,
        canary: &Canary,
        request: Request<Body>,
        noting: Noting<'_>,
        tally: &mut Option<Tally>,
    ) -> Result<Sent> {
        let request = Outgoing::new(request).await.map_err(|error| failed(function, error))?;
        let sent = match canary.send(function, request, noting).await {
            Err(Failed { error, unsent: Some(unsent) }) => {
                Tally::ends(tally, End::of_error(&error));
                *tally = Tally::begin(function, Side::Old);
                self.send_outgoing(function, *unsent, noting).await
            }
            sent => sent.map_err(|failed| failed.error),
        };
        sent.and_then(|sent| as_said(function, sent))
    }
}

fn can_be_held(request: &Request<Body>) -> bool {
    let length = request.body().size_hint().upper();
    length.is_some_and(|length| length <= MAX_HELD_BODY) && !request.headers().contains_key(header::UPGRADE)
}

/// A call that can be sent twice.
struct Held {
    head: Parts,
    body: Bytes,
    began: Instant,
}

impl Held {
    /// Waits for the body, which [`Canary::takes`] found to be small.
    async fn receive(request: Request<Body>) -> Result<Self, BodyError> {
        let began = Instant::now();
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Self { head, body, began })
    }

    fn request(&self) -> Request<Body> {
        Request::from_parts(self.head.clone(), Body::from(self.body.clone()))
    }

    /// The same call once more, with what is left of the time; `None` if nothing is.
    fn again(self, limit: Duration) -> Option<Request<Body>> {
        let mut request = Request::from_parts(self.head, Body::from(self.body));
        if request.extensions().get::<Unhurried>().is_none() {
            let asked =
                request.headers().get(headers::TIMEOUT).and_then(|text| parse_duration(text.to_str().ok()?).ok());
            let limit = asked.map_or(limit, |asked| asked.min(limit));
            let left = limit.checked_sub(self.began.elapsed()).filter(|left| *left >= Duration::from_millis(1))?;
            let left = HeaderValue::try_from(format_duration(left)).ok()?;
            request.headers_mut().insert(headers::TIMEOUT, left);
        }
        Some(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(body: Body) -> Request<Body> {
        Request::post("/").body(body).unwrap()
    }

    #[test]
    fn only_a_call_that_can_be_sent_twice_goes_to_a_canary() {
        assert!(can_be_held(&request(Body::empty())));
        assert!(can_be_held(&request(Body::from(Bytes::from(vec![0; 64 * 1024])))));
        assert!(!can_be_held(&request(Body::from(Bytes::from(vec![0; 64 * 1024 + 1])))));
        let stream = http_body_util::StreamBody::new(futures_util::stream::empty::<
            Result<http_body::Frame<Bytes>, std::convert::Infallible>,
        >());
        assert!(!can_be_held(&request(Body::new(stream))), "nobody knows how long it is");
        let mut upgrade = request(Body::empty());
        upgrade.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        assert!(!can_be_held(&upgrade));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_runs_again_within_its_time_unless_nobody_waits_for_it() {
        let minute = Duration::from_secs(60);
        let after = async |seconds, asked: Option<&'static str>, unhurried: bool| {
            let mut request = request(Body::from(Bytes::from_static(b"hello")));
            asked.map(|asked| request.headers_mut().insert(headers::TIMEOUT, HeaderValue::from_static(asked)));
            if unhurried {
                request.extensions_mut().insert(Unhurried);
            }
            let held = Held::receive(request).await.unwrap();
            tokio::time::advance(Duration::from_secs(seconds)).await;
            let again = held.again(minute)?;
            let limit = again.headers().get(headers::TIMEOUT).map(|limit| limit.to_str().unwrap().to_owned());
            assert_eq!(again.into_body().collect().await.unwrap().to_bytes(), "hello");
            Some(limit)
        };
        assert_eq!(after(10, None, false).await, Some(Some("50s".to_owned())));
        assert_eq!(after(10, Some("15s"), false).await, Some(Some("5s".to_owned())));
        assert_eq!(after(60, None, false).await, None);
        assert_eq!(after(60, None, true).await, Some(None));
    }
}
