//! `skep sources forward`: events go on to a program of this machine as they come, without a tunnel.

use std::time::Duration;

use anyhow::anyhow;
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{
    Client, Url,
    header::{HeaderMap, HeaderName},
    redirect::Policy,
};
use serde::Deserialize;
use skep_protocol::{EventInfo, causes, headers};
use time::format_description::well_known::Rfc3339;
use tokio::time::{Instant, sleep};

use super::event_args::ForwardArgs;
use crate::{
    client::{api::Api, lines::Lines, table},
    failure::{Failure, Result},
    output,
};

/// The gateway ends a stream after an hour; it is taken up again where it ended.
const MAX_STREAM: Duration = Duration::from_secs(2 * 3600);
const AGAIN_DELAY: Duration = Duration::from_secs(1);
/// A gateway that is restarted is asked again for this long.
const MAX_ABSENCE: Duration = Duration::from_secs(300);
/// A body in base64 beside the headers.
const MAX_LINE: usize = 64 * 1024 * 1024;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Headers of one connection, which the client sets itself.
const OF_CONNECTION: [&str; 5] = ["host", "content-length", "connection", "transfer-encoding", "expect"];

#[derive(Deserialize)]
struct Listed {
    events: Vec<EventInfo>,
}

/// An event with its body.
#[derive(Deserialize)]
struct Whole {
    #[serde(flatten)]
    info: EventInfo,
    query: Option<String>,
    body: String,
}

pub(super) async fn run(args: ForwardArgs) -> Result<()> {
    let is_http = matches!(args.url.scheme(), "http" | "https") && args.url.has_host();
    if !is_http {
        return Err(Failure::setting(format!("URL: {} must begin with http:// or https://", args.url)));
    }
    let http = || Client::builder().redirect(Policy::none()).no_proxy().timeout(ANSWER_TIMEOUT);
    let http = skep_https::client(http).map_err(Failure::internal)?;
    let ForwardArgs { name, url, last, kind, count, client } = args;
    let api = Api::new(client)?;
    let place = match last {
        Some(last) => ("last", last.to_string()),
        // Whatever comes from now on is behind the newest one, also if it takes a while to ask again.
        None => ("after", newest(&api, &name).await?.to_string()),
    };
    output::line(format_args!("Events of {name} go to {url}. Press Ctrl-C to end."));
    let mut forward = Forward { api, http, url, place, left: count.unwrap_or(u64::MAX) };
    let mut heard_at = last.is_none().then(Instant::now);
    while forward.left > 0 {
        match forward.begin(&name, kind.as_deref()).await {
            Ok(lines) => {
                forward.all(lines).await?;
                heard_at = Some(Instant::now());
            }
            // It may be restarted.
            Err(Failure::Internal(_)) if heard_at.is_some_and(|at| at.elapsed() < MAX_ABSENCE) => {}
            Err(failure) => return Err(failure),
        }
        if forward.left > 0 {
            sleep(AGAIN_DELAY).await;
        }
    }
    Ok(())
}

/// The place of the newest event of a source, or one before all.
async fn newest(api: &Api, name: &str) -> Result<u64> {
    let listed: Listed = api.json(api.get(&["sources", name, "events"]).query(&[("limit", 1)])).await?;
    Ok(listed.events.first().map(|event| event.sequence).unwrap_or_default())
}

struct Forward {
    api: Api,
    http: Client,
    url: Url,
    /// From where the stream goes on.
    place: (&'static str, String),
    /// How many events are still to be delivered.
    left: u64,
}

impl Forward {
    async fn begin(&self, name: &str, kind: Option<&str>) -> Result<Lines> {
        let mut query = vec![("follow", "true"), (self.place.0, &self.place.1)];
        query.extend(kind.map(|kind| ("type", kind)));
        let request = self.api.get(&["sources", name, "events"]).query(&query).timeout(MAX_STREAM);
        Ok(Lines::of(self.api.send(request).await?, MAX_LINE))
    }

    /// Delivers the events of one stream. One that breaks off ends like one that the gateway ends.
    async fn all(&mut self, mut lines: Lines) -> Result<()> {
        while let Ok(Some(line)) = lines.next(&self.api).await {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let event: Whole = serde_json::from_slice(&line).map_err(|error| self.api.stranger(&error.to_string()))?;
            self.place = ("after", event.info.sequence.to_string());
            let outcome = deliver(&self.http, &self.url, &event).await.unwrap_or_else(|failure| failure.to_string());
            let (at, kind) = (table::at(event.info.received_at), &event.info.kind);
            output::line(format_args!("{at}  {}  {kind}  {}", event.info.id, output::harmless(&outcome)));
            self.left -= 1;
            if self.left == 0 {
                break;
            }
        }
        Ok(())
    }
}

/// Sends an event as a function would get it, and says what the program answers.
async fn deliver(http: &Client, target: &Url, event: &Whole) -> Result<String> {
    let body = STANDARD.decode(&event.body).map_err(Failure::internal)?;
    let mut url = target.clone();
    if !event.info.path.is_empty() {
        url.set_path(&format!("{}{}", url.path().trim_end_matches('/'), event.info.path));
    }
    if let Some(query) = &event.query {
        url.set_query(Some(query));
    }
    let sent = http.post(url).headers(headers_of(&event.info)).body(body).send().await;
    sent.map(|answer| answer.status().to_string()).map_err(|error| {
        let cause = causes(&error).last().map_or_else(|| error.to_string(), ToString::to_string);
        Failure::internal(anyhow!("not delivered: {cause}"))
    })
}

/// The headers as they came, and those that skep adds about the event.
fn headers_of(event: &EventInfo) -> HeaderMap {
    let mut map = HeaderMap::new();
    let came = event.headers.iter().filter(|(name, _)| !OF_CONNECTION.contains(&name.as_str()));
    for (name, value) in came {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse()) {
            map.append(name, value);
        }
    }
    let verified = event.verified.split(';').next().unwrap_or_default();
    let received = event.received_at.format(&Rfc3339).unwrap_or_default();
    for (name, value) in [
        (headers::SKEP_SOURCE, event.source.as_str()),
        (headers::SKEP_EVENT_ID, event.id.as_str()),
        (headers::SKEP_EVENT_TYPE, &event.kind),
        (headers::SKEP_RECEIVED_AT, &received),
        (headers::SKEP_VERIFIED, verified),
    ] {
        if let Ok(value) = value.parse() {
            map.insert(name, value);
        }
    }
    map
}
