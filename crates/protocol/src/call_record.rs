//! What became of a call.

use std::{collections::BTreeMap, str::FromStr};

use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use skep_trace::Context;
use time::OffsetDateTime;
use url::Url;

use crate::{CallBody, CallId, Fingerprint, PastAttempt, PastEnd, headers};

/// Where an asynchronous call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallState {
    /// Stored, and waiting for the time that the caller named.
    Scheduled,
    /// Stored, and waiting for a replica.
    Queued,
    /// A worker runs it now.
    Running,
    /// An attempt has failed, and the next one waits for its time.
    Retrying,
    /// The function answered with a status below 400.
    Succeeded,
    /// The function answered with a status of 400 or more that is not tried again.
    Failed,
    /// It could not be run, or its last attempt failed too; the original request is kept with the reason.
    Dead,
    /// Someone took it back before it had ended.
    Cancelled,
}

impl FromStr for CallState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let state = Self::ALL.into_iter().find(|state| state.as_str() == text);
        state.ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str).join(", ");
            format!("{:?} is not one of {all}", text.chars().take(40).collect::<String>())
        })
    }
}

impl CallState {
    pub const ALL: [Self; 8] = [
        Self::Scheduled,
        Self::Queued,
        Self::Running,
        Self::Retrying,
        Self::Succeeded,
        Self::Failed,
        Self::Dead,
        Self::Cancelled,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it has come to its end, good or bad.
    pub fn is_final(self) -> bool {
        match self {
            Self::Scheduled | Self::Queued | Self::Running | Self::Retrying => false,
            Self::Succeeded | Self::Failed | Self::Dead | Self::Cancelled => true,
        }
    }
}

/// The one record of a finished call: written once, never changed.
#[derive(Clone, Debug, PartialEq)]
pub struct CallRecord {
    pub status: CallStatus,
    /// Headers of the function's answer.
    pub headers: HeaderMap,
    /// Body of the function's answer.
    pub body: CallBody,
    /// Headers of the caller that come back with the callback.
    pub returned: HeaderMap,
}

impl CallStatus {
    /// Where the answer of the callback's function goes, and the steps behind that, if this was a step and not the last one.
    pub fn next_step(&self) -> (Option<Url>, Option<Vec<Url>>) {
        match self.steps.as_deref() {
            Some([next, rest @ ..]) => (Some(next.clone()), Some(rest.to_vec())),
            Some([]) | None => (None, None),
        }
    }

    /// A call of which nothing is known but that it was accepted.
    pub fn accepted(call_id: CallId, function: impl Into<String>, accepted_at: OffsetDateTime) -> Self {
        Self {
            call_id,
            function: function.into(),
            state: CallState::Queued,
            status: None,
            attempts: 0,
            max_attempts: None,
            accepted_at,
            run_at: None,
            next_attempt_at: None,
            started_at: None,
            replica: None,
            finished_at: None,
            kept_until: None,
            duration_seconds: None,
            reason: None,
            callback_url: None,
            steps: None,
            retry: BTreeMap::new(),
            callback_authorized: false,
            fingerprint: None,
            past_attempts: Vec::new(),
            history: Vec::new(),
            trace: None,
        }
    }
}

impl CallRecord {
    /// Headers of the result when it is asked for: the function's own, and which call and function it was, its status, and how long it took.
    pub fn answer_headers(&self) -> HeaderMap {
        self.with_facts(self.headers.clone())
    }

    /// Headers of a callback: those of the result, and what the caller wants back.
    ///
    /// Of both only those that do not [stay behind](headers::stays_behind); an answer of the platform is still marked as one.
    pub fn callback_headers(&self) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            let is_kept = *name == headers::SKEP_ERROR || !headers::stays_behind(name);
            if is_kept && !self.returned.contains_key(name) {
                map.append(name, value.clone());
            }
        }
        for (name, value) in &self.returned {
            if !headers::stays_behind(name) {
                map.append(name, value.clone());
            }
        }
        self.with_facts(map)
    }

    /// Whether its caller may name a receiver on this machine where others may not.
    pub fn has_local_caller(&self) -> bool {
        self.returned.contains_key(headers::SKEP_LOCAL_CALLER)
    }

    /// Whether one of skep's own events made the call, or a call before it whose callback it is.
    pub fn is_of_own_event(&self) -> bool {
        self.returned.contains_key(headers::SKEP_OWN_EVENT)
    }

    fn with_facts(&self, mut map: HeaderMap) -> HeaderMap {
        headers::remove_hop_by_hop(&mut map);
        for of_the_first_hop in [header::CONTENT_LENGTH, header::HOST, header::DATE] {
            map.remove(of_the_first_hop);
        }
        let status = &self.status;
        // The contract's status for a call that got no answer.
        let code = status.status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE.as_u16());
        let facts = [
            (headers::CALL_ID, status.call_id.to_string()),
            (headers::FUNCTION_NAME, status.function.clone()),
            (headers::FUNCTION_STATUS, code.to_string()),
            (headers::DURATION_SECONDS, format!("{:.6}", status.duration_seconds.unwrap_or_default())),
        ];
        for (name, value) in facts {
            if let Ok(value) = HeaderValue::try_from(value) {
                map.insert(name, value);
            }
        }
        if let Some(most) = status.max_attempts {
            map.insert(headers::RETRY, HeaderValue::from(status.attempts.saturating_sub(1)));
            map.insert(headers::RETRY_MAX, HeaderValue::from(most.saturating_sub(1)));
        }
        map
    }
}

/// A call as `GET /system/calls/{id}` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallStatus {
    pub call_id: CallId,
    /// The function, `NAME` or `NAME.NAMESPACE`, without the default namespace.
    pub function: String,
    pub state: CallState,
    /// HTTP status of the function's last answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Attempts begun so far.
    pub attempts: u64,
    /// Attempts that there could have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u64>,
    #[serde(with = "time::serde::rfc3339")]
    pub accepted_at: OffsetDateTime,
    /// When it was to run first, if that was later.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub run_at: Option<OffsetDateTime>,
    /// When a call that waits is due.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<OffsetDateTime>,
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub started_at: Option<OffsetDateTime>,
    /// The replica that took the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<String>,
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<OffsetDateTime>,
    /// Until when its record is kept, where its function says so.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub kept_until: Option<OffsetDateTime>,
    /// Seconds of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<f64>,
    /// What the platform has to say about it: why it is dead, or what came of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<Url>,
    /// As [`crate::Call::steps`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<Url>>,
    /// As [`crate::Call::retry`], for the last of several steps; it is kept, and not shown.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub retry: BTreeMap<String, String>,
    /// Whether the caller has shown a token that may call the function that the callback names; it is kept, and not shown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub callback_authorized: bool,
    /// What it was asked for, where the id may come again; it is kept, and not shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// The attempts before the last one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past_attempts: Vec<PastAttempt>,
    /// How it ended before it was sent on its way again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<PastEnd>,
    /// Its trace, and the last span of it that skep has made: that of the last attempt, once there is a record.
    #[serde(flatten)]
    pub trace: Option<Context>,
}
