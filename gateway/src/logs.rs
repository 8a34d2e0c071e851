//! `/system/logs`: the log of a function, or of several, as one JSON object per line: past lines first, then new ones if requested.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::header;
use serde::Deserialize;
use skep_protocol::{DefaultNamespace, LogLine, LogQuery};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{Error, Result, Routes, app::App, input::Queried};

/// How often following is renewed; a controller publishes lines for a minute after each request.
const FOLLOW_RENEWAL_INTERVAL: Duration = Duration::from_secs(20);
/// Each function is a question to the controller and a subscription.
const MAX_NAMES: usize = 16;

pub(crate) fn routes() -> Routes {
    vec![("/system/logs", get(logs))]
}

/// The query as text; an empty value is the same as none.
#[derive(Default, Deserialize)]
#[serde(default)]
struct LogParameters {
    name: String,
    namespace: String,
    instance: String,
    tail: String,
    follow: String,
    since: String,
}

async fn logs(State(app): State<Arc<App>>, Queried(parameters): Queried<LogParameters>) -> Result<Response> {
    let queries = parameters.read(app.bus.connection.default_namespace())?;
    queries.iter().try_for_each(|query| app.function(&query.function).map(drop))?;
    let place = queries.iter().any(|query| query.follow).then(|| app.follower()).transpose()?;
    let (mut past, mut coming) = (Vec::new(), Vec::new());
    for query in queries.clone() {
        let (lines, live) = of_function(&app, query).await?;
        past.extend(lines);
        coming.push(live.boxed());
    }
    past.sort_by_key(|line| line.timestamp);
    let shutdown = app.shutdown.clone();
    let end = async move {
        let _place = place;
        shutdown.run_until_cancelled(keep_asking(app, queries)).await
    };
    let lines = stream::iter(past).chain(stream::select_all(coming).take_until(Box::pin(end)));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(written(lines))).into_response())
}

/// The past lines of a function, and those that come.
async fn of_function(app: &App, query: LogQuery) -> Result<(Vec<LogLine>, impl Stream<Item = LogLine> + use<>)> {
    // A follower subscribes before it asks for past lines, so that no line is missed in between.
    let coming = match query.follow {
        true => Some(app.require_bus().await?.logs.follow(Some(&query.function)).await?),
        false => None,
    };
    // Clients compare it with the one that they asked for, also when that is the default.
    let namespace = app.bus.connection.default_namespace().of(&query.function).to_owned();
    let named = move |line| LogLine { namespace: namespace.clone(), ..line };
    let past = app.control(&query).await?;
    let mut seen = Seen::new(&past);
    let past = past.into_iter().map(&named).collect();
    let coming = stream::iter(coming).flatten().filter(move |line| {
        let wanted = !seen.take(line) && is_wanted(line, &query);
        async move { wanted }
    });
    Ok((past, coming.map(named)))
}

/// Tells the controller that somebody follows, until the caller is gone.
async fn keep_asking(app: Arc<App>, queries: Vec<LogQuery>) {
    loop {
        tokio::time::sleep(FOLLOW_RENEWAL_INTERVAL).await;
        for query in &queries {
            let query = LogQuery { instance: None, tail: Some(1), since: None, ..query.clone() };
            // Lines that were missed while the controller was away come when it is back.
            let _ = app.control(&query).await;
        }
    }
}

impl LogParameters {
    fn read(self, namespace: &DefaultNamespace) -> Result<Vec<LogQuery>> {
        let names: Vec<_> = names(&self.name).collect();
        if names.is_empty() {
            return Err(Error::InvalidRequest("name is missing: say whose log".to_owned()));
        }
        if names.len() > MAX_NAMES {
            return Err(Error::InvalidRequest(format!("name has more than {MAX_NAMES} functions")));
        }
        let follow = match self.follow.to_ascii_lowercase().as_str() {
            "" | "0" | "f" | "false" => false,
            "1" | "t" | "true" => true,
            _ => return Err(Error::InvalidRequest(format!("follow is {:?}, not true or false", self.follow))),
        };
        let (tail, since) = (read_tail(&self.tail)?, read_since(&self.since)?);
        let instance = Some(self.instance).filter(|instance| !instance.is_empty());
        let query = |name| {
            let function = namespace.function_in(name, &self.namespace)?;
            Ok(LogQuery { function, instance: instance.clone(), tail, since, follow })
        };
        names.into_iter().map(query).collect()
    }
}

/// The functions that a query names, separated by commas.
pub(crate) fn names(given: &str) -> impl Iterator<Item = &str> {
    given.split(',').map(str::trim).filter(|name| !name.is_empty())
}

/// Zero and less mean all lines.
fn read_tail(text: &str) -> Result<Option<usize>> {
    if text.is_empty() {
        return Ok(None);
    }
    let tail: i64 = text.parse().map_err(|_| Error::InvalidRequest(format!("tail is {text:?}, not a whole number")))?;
    Ok(usize::try_from(tail).ok().filter(|tail| *tail > 0))
}

fn read_since(text: &str) -> Result<Option<OffsetDateTime>> {
    if text.is_empty() {
        return Ok(None);
    }
    let since = OffsetDateTime::parse(text, &Rfc3339);
    since
        .map(Some)
        .map_err(|_| Error::InvalidRequest(format!("since is {text:?}, not a time like 2026-01-02T03:04:05Z")))
}

fn is_wanted(line: &LogLine, query: &LogQuery) -> bool {
    query.instance.as_ref().is_none_or(|instance| *instance == line.instance)
        && query.since.is_none_or(|since| line.timestamp >= since)
}

/// Past lines that may come a second time, because they were published while the past was asked for.
struct Seen(HashMap<(OffsetDateTime, String, String), usize>);

impl Seen {
    fn new(past: &[LogLine]) -> Self {
        let mut seen = HashMap::new();
        for line in past {
            *seen.entry(Self::key(line)).or_insert(0) += 1;
        }
        Self(seen)
    }

    /// Whether this is such a line; each is one only once.
    fn take(&mut self, line: &LogLine) -> bool {
        let Some(left) = self.0.get_mut(&Self::key(line)).filter(|left| **left > 0) else { return false };
        *left -= 1;
        true
    }

    fn key(line: &LogLine) -> (OffsetDateTime, String, String) {
        (line.timestamp, line.instance.clone(), line.text.clone())
    }
}

fn written(lines: impl Stream<Item = LogLine>) -> impl Stream<Item = serde_json::Result<Bytes>> {
    lines.map(|line| {
        let mut json = serde_json::to_vec(&line)?;
        json.push(b'\n');
        Ok(json.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(instance: &str, text: &str) -> LogLine {
        LogLine {
            name: "a".to_owned(),
            namespace: String::new(),
            instance: instance.to_owned(),
            timestamp: OffsetDateTime::UNIX_EPOCH,
            call_id: None,
            trace_id: None,
            stream: None,
            text: text.to_owned(),
        }
    }

    fn parameters() -> LogParameters {
        LogParameters { name: "a.openfaas-fn".to_owned(), ..Default::default() }
    }

    #[test]
    fn a_query_is_read_as_openfaas_clients_write_it() {
        let given = LogParameters {
            tail: "-1".to_owned(),
            follow: "1".to_owned(),
            since: "2026-01-02T03:04:05+01:00".to_owned(),
            ..parameters()
        };
        let [query] = &given.read(&DefaultNamespace::default()).unwrap()[..] else { panic!("one function") };
        assert_eq!((query.function.as_str(), query.tail, &query.instance), ("a", None, &None));
        assert!(query.since.is_some() && query.follow);
    }

    #[test]
    fn several_functions_are_separated_by_commas() {
        let given = LogParameters { name: "a, b.dev,".to_owned(), ..Default::default() };
        let queries = given.read(&DefaultNamespace::default()).unwrap();
        let names: Vec<_> = queries.iter().map(|query| query.function.to_string()).collect();
        assert_eq!(names, ["a", "b.dev"]);
    }

    #[test]
    fn a_query_that_cannot_be_read_is_refused() {
        let bad = [
            LogParameters::default(),
            LogParameters { tail: "many".to_owned(), ..parameters() },
            LogParameters { follow: "perhaps".to_owned(), ..parameters() },
            LogParameters { since: "yesterday".to_owned(), ..parameters() },
            LogParameters { name: "A".to_owned(), ..parameters() },
            LogParameters { name: ",".to_owned(), ..parameters() },
            LogParameters { name: vec!["a"; MAX_NAMES + 1].join(","), ..parameters() },
        ];
        for parameters in bad {
            assert_eq!(parameters.read(&DefaultNamespace::default()).err().unwrap().status().0, 400);
        }
    }

    #[test]
    fn a_line_of_the_past_that_comes_again_is_passed_over_once() {
        let mut seen = Seen::new(&[line("a-1", "x")]);
        assert!(!seen.take(&line("a-2", "x")));
        assert!(seen.take(&line("a-1", "x")));
        assert!(!seen.take(&line("a-1", "x")));
    }
}
