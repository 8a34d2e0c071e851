//! One source as the gateway uses it: compiled, and with its secrets open.

use std::{sync::Arc, time::Duration};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter, clock::Clock};
use skep_bus::Source;
use skep_protocol::SourceName;
use skep_sources::{Kind, Rate, Receiver, Secret, Secrets, SignError};
use time::OffsetDateTime;
use tracing::warn;

use super::{own_events::Unverified, request::Arrived, silence::LastEvent};
use crate::{Error, Result, app::App};

pub(crate) struct Hook {
    name: SourceName,
    /// `None` if its declaration cannot be used.
    receiver: Option<Receiver>,
    pub(super) is_paused: bool,
    secrets: Vec<OpenSecret>,
    limiter: Option<Limiter>,
    pub(super) created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
    pub(super) last_event: Arc<LastEvent>,
    pub(super) unverified: Arc<Unverified>,
}

/// A secret, and until when it counts.
struct OpenSecret {
    /// What a challenge calls it; without a name it verifies events.
    name: Option<String>,
    secret: Secret,
    expires_at: Option<OffsetDateTime>,
}

struct Limiter {
    rate: Rate,
    bucket: Arc<DefaultDirectRateLimiter>,
}

/// What a request to a source is.
pub(super) enum Judged {
    Challenge(skep_sources::Answer),
    /// Its verb is not one of events.
    WrongMethod,
    Verified(skep_sources::Verdict),
    Refused(skep_sources::Reason),
}

impl Hook {
    /// Compiles a source; what it has used of its rate stays used, and the time of its last event stays known.
    pub(super) fn new(source: &Source, app: &App, before: Option<&Self>) -> Self {
        let name = source.record.name.clone();
        let receiver = super::sources::compile(source, app)
            .inspect_err(|error| warn!(source = %name, error, "the declaration of a source cannot be used"))
            .ok();
        let known = before.and_then(|before| before.limiter.as_ref());
        let limiter = receiver.as_ref().and_then(Receiver::rate).and_then(|rate| Limiter::new(rate, known));
        Self {
            secrets: open(source, app),
            is_paused: source.record.paused,
            created_at: source.record.created_at,
            updated_at: source.record.updated_at,
            last_event: before.map(|before| Arc::clone(&before.last_event)).unwrap_or_default(),
            unverified: before.map(|before| Arc::clone(&before.unverified)).unwrap_or_default(),
            name,
            receiver,
            limiter,
        }
    }

    pub(super) fn name(&self) -> &SourceName {
        &self.name
    }

    pub(super) fn receiver(&self) -> Result<&Receiver> {
        self.receiver.as_ref().ok_or_else(|| Error::SourceUnusable(self.name.clone()))
    }

    pub(super) fn secret_names(&self) -> impl Iterator<Item = &str> {
        self.secrets.iter().map(|open| open.secret.name())
    }

    /// Whether its events come as requests; the senders of one that cannot be used get an error that says so.
    pub(super) fn takes_requests(&self) -> bool {
        self.receiver.as_ref().is_none_or(|receiver| receiver.kind().is_webhook())
    }

    /// How often an event is expected, if it is.
    pub(super) fn expects_every(&self) -> Option<Duration> {
        let source = self.receiver.as_ref()?.source();
        source.expect_every.filter(|_| !source.disabled)
    }

    /// Whether its events are about skep itself: they tell nothing of each other.
    pub(super) fn is_of_own_events(&self) -> bool {
        self.receiver.as_ref().is_some_and(|receiver| matches!(receiver.kind(), Kind::Platform(_)))
    }

    /// Answers a challenge, or verifies an event with the secrets that count when it came.
    pub(super) fn judge(&self, arrived: &Arrived) -> Result<Judged> {
        let (receiver, request) = (self.receiver()?, arrived.as_request());
        let secrets = self.secrets(arrived.received_at);
        let learning = receiver.may_learn(self.updated_at, arrived.received_at);
        if let Some(answer) = receiver.challenge(&request, &secrets, learning) {
            return Ok(Judged::Challenge(answer));
        }
        if !receiver.methods().contains(&arrived.method) {
            return Ok(Judged::WrongMethod);
        }
        Ok(match receiver.verify(&request, &secrets) {
            skep_sources::Verdict::Refused(reason) => Judged::Refused(reason),
            verdict => Judged::Verified(verdict),
        })
    }

    /// Verifies a request that was held with the secrets that count now, at the time at which it came.
    pub(super) fn verify_again(&self, arrived: &Arrived) -> Result<skep_sources::Verdict> {
        Ok(self.receiver()?.verify(&arrived.as_request(), &self.secrets(skep_bus::now())))
    }

    /// In words, what makes a request that was held or refused fit.
    pub(super) fn why(&self, arrived: &Arrived) -> Result<Vec<String>> {
        let (receiver, request, now) = (self.receiver()?, arrived.as_request(), skep_bus::now());
        let secrets = self.secrets(now);
        if receiver.verify(&request, &secrets).is_accepted() {
            return Ok(vec!["Fits the secrets of now: release lets it in.".to_owned()]);
        }
        let ended = |open: &&OpenSecret| open.name.is_none() && open.expires_at.is_some_and(|end| end <= now);
        let previous: Vec<Secret> = self.secrets.iter().filter(ended).map(|open| open.secret.clone()).collect();
        let mut why = receiver.why(&request, &secrets, &previous);
        if why.is_empty() {
            why.push(
                "None of the usual mistakes explains it: compare the secret with the provider's, and ask whether the \
                 sender is the provider."
                    .to_owned(),
            );
        }
        Ok(why)
    }

    /// Signs a request as the source's provider would, with the newest secret that counts.
    pub(super) fn sign(&self, arrived: Arrived) -> Result<Arrived> {
        let invalid = |reason: String| Error::InvalidRequest(reason);
        let receiver = self.receiver()?;
        if receiver.is_open() {
            return Ok(arrived);
        }
        let counts = |open: &&OpenSecret| open.expires_at.is_none_or(|end| arrived.received_at < end);
        let newest = self.secrets.iter().filter(counts).find(|open| open.name.is_none());
        let Some(newest) = newest else {
            let name = &self.name;
            return Err(invalid(format!(
                "source {name} has no secret that this gateway can sign with: skep sources secret add {name}"
            )));
        };
        let signed = receiver.sign(&arrived.as_request(), &newest.secret).map_err(|error| match error {
            SignError::OnlyTheProvider => invalid(
                "only the provider can sign its requests: send a request as it came \
                 from the provider with unsigned, or see with try which routes it would take"
                    .to_owned(),
            ),
            error => invalid(format!("the request cannot be signed: {error}")),
        })?;
        Ok(Arrived { headers: signed.headers, query: signed.query, body: signed.body.into(), ..arrived })
    }

    /// Refuses an event beyond the source's rate.
    pub(super) fn admit(&self) -> Result<()> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        let wait = |until: governor::NotUntil<_>| until.wait_time_from(limiter.bucket.clock().now());
        limiter
            .bucket
            .check()
            .map_err(|until| Error::TooManyEvents { source_name: self.name.clone(), wait: wait(until) })
    }

    fn secrets(&self, now: OffsetDateTime) -> Secrets {
        let active = || self.secrets.iter().filter(|open| open.expires_at.is_none_or(|end| now < end));
        let keys = active().filter(|open| open.name.is_none()).map(|open| open.secret.clone()).collect();
        let named = active().filter_map(|open| Some((open.name.as_ref()?, &open.secret)));
        // The newest of a name is the first one, and must be added last.
        let named: Vec<_> = named.collect();
        named
            .into_iter()
            .rev()
            .fold(Secrets::new(keys), |secrets, (name, secret)| secrets.with_named(name, secret.expose()))
    }
}

impl Limiter {
    /// A source may save up twice its rate.
    fn new(rate: Rate, known: Option<&Self>) -> Option<Self> {
        if let Some(known) = known.filter(|known| known.rate == rate) {
            return Some(Self { rate, bucket: Arc::clone(&known.bucket) });
        }
        let each = rate.per.checked_div(rate.events.get())?.max(Duration::from_nanos(1));
        let burst = rate.events.saturating_mul(std::num::NonZeroU32::MIN.saturating_add(1));
        let quota = Quota::with_period(each)?.allow_burst(burst);
        Some(Self { rate, bucket: RateLimiter::direct(quota).into() })
    }
}

fn open(source: &Source, app: &App) -> Vec<OpenSecret> {
    let name = &source.record.name;
    let Some(key) = &app.hooks.seal_key else {
        if !source.secrets.secrets.is_empty() {
            warn!(source = %name, "the secrets of a source cannot be opened without --seal-key-file, so its events are refused");
        }
        return Vec::new();
    };
    let opened = source.secrets.secrets.iter().filter_map(|sealed| match key.open(name, sealed) {
        Ok(text) => Some(OpenSecret {
            name: sealed.name.clone(),
            secret: Secret::new(sealed.number.to_string(), text.reveal()),
            expires_at: sealed.expires_at,
        }),
        Err(error) => {
            warn!(source = %name, number = sealed.number, %error, "a secret of a source cannot be opened");
            None
        }
    });
    opened.collect()
}
