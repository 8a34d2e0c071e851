//! A source of GitHub's pushes, and a sender that signs one of 10 kB.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use hyper::{
    HeaderMap, Method, StatusCode,
    header::{HeaderName, HeaderValue},
};
use serde_json::{Value, json};
use skep_protocol::{DefaultNamespace, SealedSecret, SecretText, SourceName, SourceRecord, SourceSecrets, Subjects};
use skep_sources::{Defaults, Receiver, Request, Secret};
use time::OffsetDateTime;

use crate::{
    http::{Requests, Target, with_requests},
    platform::Platform,
};

const NAME: &str = "github";
const KNOWN_WITHIN: Duration = Duration::from_secs(10);
/// The event's id.
const DELIVERY: HeaderName = HeaderName::from_static("x-github-delivery");

pub(crate) const SECRET: &str = "It's a Secret to Everybody";
pub(crate) const BODY: &[u8] = include_bytes!("../../tests/fixtures/github/push.json");
const HEADERS: &str = include_str!("../../tests/fixtures/github/push.headers");

impl Platform {
    /// Writes a source that has a route to each of these functions, as the controller would, and waits until the gateway takes its events.
    pub(crate) async fn declare(&self, functions: &[String]) -> Result<Target> {
        let (now, name): (_, SourceName) = (OffsetDateTime::now_utc(), NAME.parse()?);
        let sealed = self.seal_key.seal(&name, 1, &SecretText::new(SECRET.to_owned()))?;
        let secret = SealedSecret { number: 1, name: None, created_at: now, expires_at: None, sealed };
        let secrets = SourceSecrets { secrets: vec![secret], last_number: 1 };
        let spec = spec(functions);
        let record = SourceRecord {
            name,
            spec,
            created_at: now,
            updated_at: now,
            paused: false,
            paused_at: None,
            function: None,
        };
        let bucket = self.jetstream.get_key_value(Subjects::default().stream("SOURCES")).await?;
        bucket.put(format!("secrets.{NAME}"), serde_json::to_vec(&secrets)?.into()).await?;
        bucket.put(format!("spec.{NAME}"), serde_json::to_vec(&record)?.into()).await?;

        let target = signed(&receiver(functions)?, Target::new(self.gateway, format!("/hooks/{NAME}")))?;
        let is_taken = async || {
            let sent = async |requests: &mut Requests| requests.send(Method::POST, target.body.clone()).await;
            with_requests(&target, sent).await.is_ok()
        };
        let known = async {
            while !is_taken().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(KNOWN_WITHIN, known).await.context("the gateway does not take events of the source")?;
        Ok(target)
    }
}

/// The source, as the gateway has it.
pub(crate) fn receiver(functions: &[String]) -> Result<Receiver> {
    let namespace = DefaultNamespace::default();
    let defaults = Defaults::new(&namespace);
    Ok(Receiver::from_spec(NAME.parse()?, &spec(functions), &defaults)?)
}

/// Each function gets the pushes to one branch.
fn spec(functions: &[String]) -> Value {
    let filter = json!({ "type": "push", "body.ref": "refs/heads/main" });
    let routes: Vec<_> = functions.iter().map(|function| json!({ "to": function, "filter": filter })).collect();
    json!({ "preset": "github", "routes": routes })
}

/// A push that is signed, each with an id of its own, to wherever the target is.
pub(crate) fn signed(receiver: &Receiver, target: Target) -> Result<Target> {
    let headers = HEADERS
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| Ok((name.parse::<HeaderName>()?, value.parse::<HeaderValue>()?)))
        .collect::<Result<HeaderMap>>()?;
    let request = Request {
        method: &Method::POST,
        path: "",
        query: None,
        headers: &headers,
        body: BODY,
        received_at: OffsetDateTime::now_utc(),
    };
    let signed = receiver.sign(&request, &Secret::new("1", SECRET))?;
    Ok(Target {
        expected: StatusCode::ACCEPTED,
        body: signed.body.into(),
        headers: Arc::new(signed.headers),
        unique: Some(DELIVERY),
        ..target
    })
}
