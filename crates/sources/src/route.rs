//! Routes: which function an event goes to, and how.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::Value;
use skep_protocol::{
    DefaultNamespace, FunctionName, RETRY_ATTEMPTS, RETRY_BACKOFF, RETRY_CODES, RETRY_MAX_AGE, RETRY_MAX_WAIT,
    RETRY_MIN_WAIT, RouteName, format_duration, headers, parse_callback, remove_forged,
};
use url::Url;

use crate::{
    added_header::AddedHeader,
    error::SourceError,
    event::{Event, Facts},
    event_id,
    filter::{Compiling, Filter},
    path::{Field, Path, Step},
    send::Send,
    source::{DebounceSpec, RetryOverride, RouteSpec},
};

/// A route that was checked.
#[derive(Clone, Debug)]
pub struct Route {
    name: RouteName,
    function: FunctionName,
    filter: Filter,
    pub(crate) path: Option<String>,
    pub(crate) send: Send,
    pub(crate) headers: Vec<(HeaderName, AddedHeader)>,
    through: Option<FunctionName>,
    steps: Option<Vec<Url>>,
    delay: Option<Duration>,
    debounce: Option<Debounce>,
    retry: RetryOverride,
    callback: Option<Url>,
}

/// The longest waits of a debounced route.
const MAX_WAIT: Duration = Duration::from_secs(24 * 3600);
const MAX_PATH: usize = 1000;
/// How the names of routes begin that functions bring along.
pub(crate) const BROUGHT: &str = "topic_";
/// Functions in front of a route's own.
const MAX_THROUGH: usize = 8;

#[derive(Clone, Debug)]
struct Debounce {
    key: Option<Path>,
    wait: Duration,
    at_most: Option<Duration>,
}

/// That a call waits, and is replaced by a later one with the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debounced {
    /// The value of the route's key in this event, of any length; without a key, or where it is absent, all events have the empty one.
    pub key: String,
    pub wait: Duration,
    /// The longest wait from the first event on.
    pub at_most: Option<Duration>,
}

impl Route {
    pub(crate) fn compile(
        spec: RouteSpec,
        namespace: &DefaultNamespace,
        compiling: &mut Compiling<'_>,
    ) -> Result<Self, SourceError> {
        let at = |key: &'static str| move |reason: String| SourceError::at_key(key, reason);
        if spec.to.is_empty() {
            return Err(SourceError::at_key("to", "is missing: the name of a function"));
        }
        let function = namespace.function(&spec.to).map_err(|error| at("to")(error.to_string()))?;
        let name = spec.name.as_deref().unwrap_or(&spec.to);
        let name = route_name(name).map_err(at("name"))?;
        if spec.serial.as_ref().is_some_and(|serial| *serial != Value::Bool(false)) {
            return Err(SourceError::at_key("serial", "serial is not supported yet"));
        }
        let Way { first: through, callback, steps } = way(&spec, namespace)?;
        let filter = match spec.filter.unwrap_or_default() {
            Value::Null => Filter::default(),
            filter => Filter::compile(&filter, compiling).map_err(|error| error.under("filter"))?,
        };
        if let Some(path) = &spec.path {
            check_path(path)?;
        }
        let debounce =
            spec.debounce.as_ref().map(Debounce::compile).transpose().map_err(|error| error.under("debounce"))?;
        if debounce.is_some() && spec.delay.is_some() {
            return Err(SourceError::at_key("delay", "cannot be together with debounce, whose wait is the delay"));
        }
        if spec.delay.is_some_and(|delay| delay.subsec_nanos() > 0) {
            return Err(SourceError::at_key("delay", "must be a whole number of seconds"));
        }
        let retry = spec.retry.unwrap_or_default();
        retry.check().map_err(|error| error.under("retry"))?;
        Ok(Self {
            send: spec.send.as_deref().map(str::parse).transpose().map_err(at("send"))?.unwrap_or_default(),
            headers: added_headers(&spec.headers).map_err(|error| error.under("headers"))?,
            path: spec.path,
            delay: spec.delay,
            name,
            function,
            filter,
            through,
            steps,
            debounce,
            retry,
            callback,
        })
    }

    /// The route that a function brings along, whatever the source: the name says so, and no declared one can have it.
    pub(crate) fn of_function(function: &FunctionName) -> Option<Self> {
        let named = format!("{BROUGHT}{}", function.as_str()).parse();
        let hashed = || format!("{BROUGHT}{}", event_id::of_parts(&[function.as_str().as_bytes()])).parse();
        Some(Self {
            name: named.or_else(|_| hashed()).ok()?,
            function: function.clone(),
            filter: Filter::default(),
            path: None,
            send: Send::default(),
            headers: Vec::new(),
            through: None,
            steps: None,
            delay: None,
            debounce: None,
            retry: RetryOverride::default(),
            callback: None,
        })
    }

    pub fn name(&self) -> &RouteName {
        &self.name
    }

    /// The function that the route is to.
    pub fn function(&self) -> &FunctionName {
        &self.function
    }

    /// The function that is called with the event: the one in front, if there is one.
    pub fn first_function(&self) -> &FunctionName {
        self.through.as_ref().unwrap_or(&self.function)
    }

    /// How long a call waits before it runs.
    pub fn delay(&self) -> Option<Duration> {
        self.delay
    }

    /// What the route says of retries, in place of the function's annotations.
    pub fn retry(&self) -> &RetryOverride {
        &self.retry
    }

    /// With functions in front: where the answer of the second one goes, and so on.
    pub fn steps(&self) -> Option<&[Url]> {
        self.steps.as_deref()
    }

    /// Where the answer of [`Self::first_function`] goes.
    pub fn callback(&self) -> Option<&Url> {
        self.callback.as_ref()
    }

    /// Whether a call can be the answer to the event's sender: one call, and at once.
    pub(crate) fn is_direct(&self) -> bool {
        self.through.is_none() && self.delay.is_none() && self.debounce.is_none()
    }

    pub(crate) fn is_debounced(&self) -> bool {
        self.debounce.is_some()
    }

    /// Why an event does not take this route, if it does not.
    pub(crate) fn miss(&self, facts: &Facts<'_>, event: &Event<'_>) -> Option<String> {
        if let Some(miss) = self.filter.miss(facts, event) {
            return Some(miss);
        }
        match &self.send {
            Send::Json(path) if facts.written(path).is_none() => {
                Some(format!("json:{path} is absent, and it is what is sent"))
            }
            _ => None,
        }
    }

    pub(crate) fn debounced(&self, facts: &Facts<'_>, event: &Event<'_>) -> Option<Debounced> {
        let debounce = self.debounce.as_ref()?;
        let key = debounce.key.as_ref().and_then(|key| facts.find(event, key).into_iter().flatten().next());
        Some(Debounced {
            key: key.map(|key| key.to_text()).unwrap_or_default(),
            wait: debounce.wait,
            at_most: debounce.at_most,
        })
    }
}

impl Debounce {
    fn compile(spec: &DebounceSpec) -> Result<Self, SourceError> {
        let Some(wait) = spec.wait else { return Err(SourceError::at_key("wait", "is missing: a time such as 10s")) };
        if wait > MAX_WAIT || spec.at_most.is_some_and(|at_most| at_most > MAX_WAIT) {
            let key = if wait > MAX_WAIT { "wait" } else { "at_most" };
            return Err(SourceError::at_key(key, "must not be more than 24h"));
        }
        if spec.at_most.is_some_and(|at_most| at_most < wait) {
            return Err(SourceError::at_key("at_most", "must not be less than wait"));
        }
        let key = spec.key.as_deref().map(Path::parse).transpose();
        let key = key.map_err(|reason| SourceError::at_key("key", reason))?;
        if let Some(Path { field: Field::Body(steps), .. }) = &key
            && steps.contains(&Step::Each)
        {
            return Err(SourceError::at_key("key", "must name one value, and [*] names several"));
        }
        Ok(Self { key, wait, at_most: spec.at_most })
    }
}

impl RetryOverride {
    /// The annotations of a function that would say the same.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        let of_time = |time: Option<Duration>| time.map(format_duration);
        let said = [
            (RETRY_ATTEMPTS, self.attempts.map(|attempts| attempts.to_string())),
            (RETRY_CODES, self.codes.as_ref().map(ToString::to_string)),
            (RETRY_MIN_WAIT, of_time(self.min_wait)),
            (RETRY_MAX_WAIT, of_time(self.max_wait)),
            (RETRY_BACKOFF, self.backoff.map(|backoff| backoff.as_str().to_owned())),
            (RETRY_MAX_AGE, of_time(self.max_age)),
        ];
        said.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }

    fn check(&self) -> Result<(), SourceError> {
        const MAX_ATTEMPTS: u64 = 1000;
        const MAX_CODES: usize = 800;
        if self.attempts.is_some_and(|attempts| !(1..=MAX_ATTEMPTS).contains(&attempts)) {
            return Err(SourceError::at_key("attempts", format!("must be from 1 to {MAX_ATTEMPTS}")));
        }
        if self.codes.as_ref().is_some_and(|codes| codes.to_string().len() > MAX_CODES) {
            return Err(SourceError::at_key("codes", "has too many statuses"));
        }
        if let (Some(min_wait), Some(max_wait)) = (self.min_wait, self.max_wait)
            && min_wait > max_wait
        {
            return Err(SourceError::at_key("min_wait", "must not be more than max_wait"));
        }
        Ok(())
    }
}

/// A name that somebody gives.
fn route_name(text: &str) -> Result<RouteName, String> {
    if text.starts_with(BROUGHT) {
        return Err(format!("cannot begin with {BROUGHT}, as the routes do that functions bring along"));
    }
    text.parse().map_err(|error: skep_protocol::InvalidRouteName| error.to_string())
}

fn next_call(to: &str, path: Option<&str>, namespace: &DefaultNamespace) -> Result<Url, String> {
    parse_callback(&format!("skep://{to}{}", path.unwrap_or_default()), namespace)
        .map_err(|reason| without_header(&reason))
}

/// Errors of callbacks name the header, which nobody wrote here.
fn without_header(reason: &str) -> String {
    reason.trim_start_matches("X-Callback-Url").trim_start_matches([':', ' ']).to_owned()
}

/// Which functions an event goes through.
struct Way {
    /// The first of several functions.
    first: Option<FunctionName>,
    /// Where the answer of the first function goes: to the next one, or where the route says.
    callback: Option<Url>,
    /// Where the answers of those behind it go.
    steps: Option<Vec<Url>>,
}

fn way(spec: &RouteSpec, namespace: &DefaultNamespace) -> Result<Way, SourceError> {
    let at = |key: &'static str| move |reason: String| SourceError::at_key(key, reason);
    let [first, rest @ ..] = spec.through.as_slice() else {
        let callback = spec.callback.as_deref().map(|text| parse_callback(text, namespace)).transpose();
        let callback = callback.map_err(|reason| at("callback")(without_header(&reason)))?;
        return Ok(Way { first: None, callback, steps: None });
    };
    if spec.callback.is_some() {
        return Err(SourceError::at_key("callback", "cannot be together with through, which uses the callback"));
    }
    if rest.len() >= MAX_THROUGH {
        return Err(SourceError::at_key("through", format!("must have at most {MAX_THROUGH} functions")));
    }
    let first = namespace.function(first).map_err(|error| at("through")(error.to_string()))?;
    // The answer of each function is the body of the call of the next one.
    let between = rest.iter().map(|name| next_call(name, None, namespace));
    let last = next_call(&spec.to, spec.path.as_deref(), namespace);
    let mut calls = between.chain([last]).collect::<Result<Vec<_>, _>>().map_err(at("through"))?;
    let callback = Some(calls.remove(0));
    Ok(Way { first: Some(first), callback, steps: Some(calls) })
}

/// Whether a path can be that of a request.
pub(crate) fn check_path(path: &str) -> Result<(), SourceError> {
    if !path.starts_with('/') || path.contains(['?', '#']) || path.parse::<http::uri::PathAndQuery>().is_err() {
        return Err(SourceError::at_key("path", "must begin with / and be a path of a URL, without a query"));
    }
    if path.len() > MAX_PATH {
        return Err(SourceError::at_key("path", format!("must have at most {MAX_PATH} characters")));
    }
    Ok(())
}

pub(crate) fn added_headers(given: &BTreeMap<String, String>) -> Result<Vec<(HeaderName, AddedHeader)>, SourceError> {
    let read = given.iter().map(|(name, value)| {
        let error = |reason: String| SourceError::at_key(name, reason);
        let header: HeaderName = name.parse().map_err(|_| error("is no name of a header".to_owned()))?;
        if is_skeps(&header) {
            return Err(error("is set by skep; choose another name".to_owned()));
        }
        Ok((header, AddedHeader::parse(value).map_err(error)?))
    });
    read.collect()
}

/// Whether skep itself sets a header of calls, or its entry points remove it.
fn is_skeps(name: &HeaderName) -> bool {
    const OURS: [HeaderName; 6] = [
        header::HOST,
        header::CONTENT_LENGTH,
        headers::CALL_ID,
        headers::CALLBACK_URL,
        headers::TOPIC,
        headers::CONNECTOR,
    ];
    let mut one = HeaderMap::new();
    one.insert(name, HeaderValue::from_static("1"));
    remove_forged(&mut one);
    one.is_empty() || OURS.contains(name) || name.as_str().starts_with("x-skep-")
}
