//! Callbacks that stay inside: `skep://NAME` calls a function, `nats://SUBJECT` publishes; neither needs an exception in the guard.

use std::{fmt, str::FromStr};

use futures_util::TryStreamExt;
use http::{HeaderMap, HeaderValue, Method};
use skep_bus::{Announced, NotKept};
use skep_protocol::{
    AUTH, BodyKind, Call, CallBody, CallId, CallRecord, Fingerprinting, FunctionName, HOPS_IN_MESSAGE, check_headers,
    check_hops, headers, hops, set_hops,
};
use thiserror::Error;

use super::schedule::Refusal;
use crate::{Worker, spans};

/// Subjects that callbacks may be published to: tokens, `*` for any one, `>` for all that follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectPattern(Vec<String>);

#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is no subject like callback.> or orders.*.done")]
pub struct SubjectPatternError(String);

impl FromStr for SubjectPattern {
    type Err = SubjectPatternError;

    fn from_str(text: &str) -> Result<Self, SubjectPatternError> {
        let tokens: Vec<String> = text.trim().split('.').map(str::to_owned).collect();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let last = tokens.len() - 1;
        let is_token = |(place, token): (usize, &String)| match token.as_str() {
            "*" => true,
            ">" => place == last,
            token => !token.is_empty() && token.bytes().all(plain),
        };
        if tokens.iter().enumerate().all(is_token) {
            Ok(Self(tokens))
        } else {
            Err(SubjectPatternError(text.to_owned()))
        }
    }
}

impl fmt::Display for SubjectPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join("."))
    }
}

impl SubjectPattern {
    fn matches(&self, subject: &str) -> bool {
        let mut tokens = subject.split('.');
        for pattern in &self.0 {
            match (pattern.as_str(), tokens.next()) {
                (_, None) => return false,
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (pattern, Some(token)) if pattern == token => {}
                (_, Some(_)) => return false,
            }
        }
        tokens.next().is_none()
    }
}

impl Worker {
    /// Submits a call whose body is the answer. Its id follows from the first call's, so doing it twice makes one call.
    pub(super) async fn call_back_function(
        &self,
        record: &CallRecord,
        mut headers: HeaderMap,
        (function, path, query): (FunctionName, String, Option<String>),
    ) -> Result<(), Refusal> {
        let Some(found) = self.dispatch.registry().get(&function) else {
            return Err(Refusal::for_now(format!("function {function} is not deployed")));
        };
        // The function may have been open, or not deployed, when the gateway looked.
        if found.policy.needs_token && !record.status.callback_authorized {
            let reason = format!(
                "function {function} asks for a token ({AUTH}), and the caller showed none that may call it: \
                 send the call again with such a token, or redrive this dead letter with one"
            );
            return Err(Refusal::ForGood { reason });
        }
        let origin = &record.status.call_id;
        headers.remove(headers::CALL_ID);
        skep_trace::remove(&mut headers);
        if let Ok(origin) = HeaderValue::from_str(origin.as_str()) {
            headers.insert(headers::SKEP_CALLBACK_OF, origin);
        }
        if record.is_of_own_event() {
            headers.insert(headers::SKEP_OWN_EVENT, HeaderValue::from_static("true"));
        }
        if let Some(hops) = hops(&record.returned).map(|hops| hops.saturating_add(1)) {
            check_hops(hops).map_err(|reason| Refusal::ForGood { reason })?;
            set_hops(&mut headers, hops);
        }
        let call_id = origin.derived("callback");
        // Before the body is copied.
        check_headers(&headers, &path, query.as_deref(), None)
            .map_err(|error| Refusal::ForGood { reason: error.to_string() })?;
        let mut fingerprint = Fingerprinting::begin(&function, &Method::POST, (&path, query.as_deref()), &headers);
        let body = self.as_request(&call_id, &record.body, &mut fingerprint).await?;
        let fingerprint = fingerprint.end();
        let (callback, steps) = record.status.next_step();
        let mut call = Call {
            path,
            query,
            headers: self.bus.calls.stored_headers(headers, None),
            body,
            has_callers_id: true,
            fingerprint: Some(fingerprint),
            callback_authorized: callback.is_some() && record.status.callback_authorized,
            callback,
            steps,
            retry: record.status.retry.clone(),
            ..Call::new(call_id, function, skep_bus::now())
        };
        let _publishing = spans::publish_within(self, record.status.trace.as_ref(), &mut call);
        match self.bus.calls.submit(&call).await {
            Ok(_) => Ok(()),
            Err(error) => Err(refusal(&error)),
        }
    }

    /// The body of a call that the answer becomes; a large one is copied, because each has its own time.
    async fn as_request(
        &self,
        call_id: &CallId,
        answer: &CallBody,
        fingerprint: &mut Fingerprinting,
    ) -> Result<CallBody, Refusal> {
        let stored = match answer {
            CallBody::Whole(bytes) => {
                fingerprint.body(bytes);
                return Ok(bytes.clone().into());
            }
            CallBody::Stored(stored) => stored,
        };
        let for_now = |error: skep_bus::Error| Refusal::for_now(error.chain());
        let pieces = self.bus.bodies.open(stored).await.map_err(for_now)?;
        let pieces = pieces.inspect_ok(|piece| fingerprint.body(piece));
        match self.bus.bodies.keep(BodyKind::Request, call_id, stored.length, pieces).await {
            Ok(kept) => Ok(kept),
            Err(NotKept::Bus(error) | NotKept::Broken(error)) => Err(for_now(error)),
            Err(NotKept::TooLarge) => Err(Refusal::for_now("the result has changed its length".to_owned())),
        }
    }

    pub(super) async fn call_back_subject(
        &self,
        record: &CallRecord,
        headers: &HeaderMap,
        subject: String,
    ) -> Result<(), Refusal> {
        if !self.config.callback_subjects.iter().any(|pattern| pattern.matches(&subject)) {
            let reason = format!(
                "callbacks to nats://{subject} are not allowed: --callback-subjects (SKEP_CALLBACK_SUBJECTS) permits it"
            );
            return Err(Refusal::ForGood { reason });
        }
        if record.body.stored().is_some() {
            let error = skep_bus::Error::TooLarge { limit: self.bus.connection.largest_message() };
            return Err(Refusal::ForGood { reason: error.to_string() });
        }
        let span = spans::callback_publish(&self.config.tracer, &record.status, &subject);
        let mut headers = headers.clone();
        if let Some(span) = &span {
            span.context().write(&mut headers);
        }
        headers.insert(HOPS_IN_MESSAGE, HeaderValue::from(hops(&record.returned).unwrap_or_default()));
        let announced = self.bus.outcomes.publish_answer(subject.clone(), &headers, record.body.in_message().clone());
        let published = match announced.await {
            Ok(Announced::Stored | Announced::Received) => Ok(()),
            Ok(Announced::Unheard) => {
                Err(Refusal::for_now(format!("no stream stores {subject} and nobody listens to it")))
            }
            Err(error) => Err(refusal(&error)),
        };
        if let (Err(refusal), Some(span)) = (&published, &span) {
            spans::failed(span, refusal.reason());
        }
        published
    }
}

fn refusal(error: &skep_bus::Error) -> Refusal {
    let reason = error.to_string();
    if error.may_pass() { Refusal::for_now(reason) } else { Refusal::ForGood { reason } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_the_server_s_do() {
        let matches = |pattern: &str, subject: &str| pattern.parse::<SubjectPattern>().unwrap().matches(subject);
        assert!(matches("callback.>", "callback.a") && matches("callback.>", "callback.a.b"));
        assert!(matches("orders.*.done", "orders.7.done") && matches(">", "a.b") && matches("a", "a"));
        for (pattern, subject) in
            [("callback.>", "callback"), ("orders.*.done", "orders.done"), ("a", "a.b"), ("a.b", "a"), ("a", "A")]
        {
            assert!(!matches(pattern, subject), "{pattern} {subject}");
        }
        for bad in ["", "a..b", "a.>.b", "a b", "$SYS.>", "a.b*"] {
            assert!(bad.parse::<SubjectPattern>().is_err(), "{bad}");
        }
    }
}
