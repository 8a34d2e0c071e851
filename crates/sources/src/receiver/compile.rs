//! Checks a declaration, and fills in what its preset says.

use std::time::Duration;

use http::{HeaderName, Method, header};
use serde_json::Value;
use skep_protocol::{DefaultNamespace, SourceName, validate};
use url::Url;

use super::Receiver;
use crate::{
    error::SourceError,
    filter::Compiling,
    kind::Kind,
    occurrence::MAX_NAMES,
    preset::{Otherwise, Preset, Presets},
    reference::Reference,
    route::{BROUGHT, Route},
    scheme::{Check, Verify},
    source::{AnswerBy, DEFAULT_KEEP, DEFAULT_MAX_BODY, Source},
    values::cut,
};

/// The preset whose requests are CloudEvents; how they are verified is up to the source.
const CLOUDEVENTS: &str = "cloudevents";
const MIN_KEEP: Duration = Duration::from_secs(300);
const MAX_KEEP: Duration = Duration::from_secs(90 * 86_400);
const MAX_WAIT: Duration = Duration::from_secs(60);
const MAX_ROUTES: usize = 100;
/// How long a sender waits for a function's answer, if nothing says how long it does.
const DEFAULT_WAIT: Duration = Duration::from_millis(2500);
/// What is left of the provider's patience for the way back.
const ANSWER_MARGIN: Duration = Duration::from_millis(500);
const METHODS: [Method; 7] =
    [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::GET, Method::HEAD, Method::OPTIONS];

/// What a declaration is read with.
#[derive(Clone, Copy, Debug)]
pub struct Defaults<'d> {
    pub presets: &'d Presets,
    pub namespace: &'d DefaultNamespace,
    /// Where senders reach this gateway, for sources without a `url`.
    pub public_url: Option<&'d Url>,
    /// What skep's own subjects and streams begin with.
    pub prefix: &'d str,
}

impl<'d> Defaults<'d> {
    /// With the presets of this build, and without a public URL.
    pub fn new(namespace: &'d DefaultNamespace) -> Self {
        Self { presets: Presets::embedded(), namespace, public_url: None, prefix: "skep" }
    }
}

impl Receiver {
    /// Reads and checks a declaration as the registry keeps it.
    pub fn from_spec(name: SourceName, spec: &Value, defaults: &Defaults<'_>) -> Result<Self, SourceError> {
        Self::compile(name, Source::from_spec(spec)?, defaults)
    }

    /// Checks a declaration. The error names the key, and what is allowed there.
    pub fn compile(name: SourceName, source: Source, defaults: &Defaults<'_>) -> Result<Self, SourceError> {
        let preset = preset(&source, defaults.presets)?;
        let verify = verify(&source, preset)?;
        source.kind.clash(defaults.prefix).map_or(Ok(()), Err)?;
        let needs_url = verify.needs_url() || preset.is_some_and(|preset| !preset.needs.is_empty());
        check_secrets(&source)?;
        let url = url(&name, &source, defaults, needs_url)?;
        let keep = keep(&source)?;
        check_use(&source, &verify)?;
        let redacted_query = tokens_in_query(&verify);
        let redacted = redacted(&source, preset, &verify)?;
        let routes =
            routes(&name, &source, defaults.namespace, &mut Compiling::new(&redacted, &redacted_query, &source.kind))?;
        let wait = wait(&source, preset)?;
        if source.answer == AnswerBy::Function && !matches!(routes.as_slice(), [only] if only.is_direct()) {
            return Err(SourceError::at_key(
                "answer",
                "function needs exactly one route, without through, delay and debounce",
            ));
        }
        let given = |of: fn(&Preset) -> Option<&str>| preset.and_then(of);
        let json_field = source.body.as_ref().map(|body| body.form.as_str()).or_else(|| given(Preset::json_field));
        Ok(Self {
            methods: methods(&source.methods)?,
            allow: source.allow.clone(),
            max_body: source.max_body.or_else(|| preset?.max_body).unwrap_or(DEFAULT_MAX_BODY),
            keep,
            wait,
            id: source.id.clone().or_else(|| Some(preset?.id.clone())).unwrap_or_default(),
            otherwise: source.otherwise.or_else(|| Some(preset?.otherwise)).unwrap_or(Otherwise::Unique),
            event_type: source.event_type.clone().or_else(|| preset?.event_type.clone()),
            json_field: json_field.map(str::to_owned),
            cloudevents: source.preset.as_deref() == Some(CLOUDEVENTS)
                || source.kind.prints_cloudevents()
                || source.kind.messages().is_some(),
            challenges: source.challenge.clone().or_else(|| Some(preset?.challenge.clone())).unwrap_or_default(),
            ack: source.ack.clone().or_else(|| Some(preset?.ack.clone())).unwrap_or_default(),
            volatile_query: queries(&verify),
            redacted,
            redacted_query,
            warnings: warnings(&source, &verify),
            url,
            verify,
            routes,
            source,
            name,
        })
    }
}

fn preset<'d>(source: &Source, presets: &'d Presets) -> Result<Option<&'d Preset>, SourceError> {
    let Some(name) = source.preset.as_deref() else {
        if !source.kind.is_webhook() {
            return Ok(None);
        }
        let both = "the source has neither preset nor verify; write verify: none for one that checks nothing";
        return if source.verify.is_some() { Ok(None) } else { Err(SourceError::at_key("verify", both)) };
    };
    if source.verify.is_some() && name != CLOUDEVENTS {
        return Err(SourceError::at_key(
            "verify",
            format!("cannot be together with preset, and {name} says how to verify"),
        ));
    }
    match presets.get(name) {
        Some(preset) => Ok(Some(preset)),
        None => {
            let known: Vec<&str> = presets.names().collect();
            Err(SourceError::at_key("preset", format!("{:?} is not known ({})", cut(name), known.join(", "))))
        }
    }
}

fn verify(source: &Source, preset: Option<&Preset>) -> Result<Verify, SourceError> {
    if !source.kind.is_webhook() {
        return Ok(Verify::None);
    }
    let verify = source.verify.clone().or_else(|| Some(preset?.verify.clone())).unwrap_or(Verify::Schemes(Vec::new()));
    match (&verify, &source.preset) {
        (Verify::Schemes(schemes), Some(name)) if schemes.is_empty() => {
            Err(SourceError::at_key("preset", format!("requests of {name} cannot be verified yet")))
        }
        (Verify::Schemes(schemes), None) if schemes.is_empty() => {
            Err(SourceError::at_key("verify", "must have a scheme, or be the word none"))
        }
        _ => Ok(verify),
    }
}

fn url(
    name: &SourceName,
    source: &Source,
    defaults: &Defaults<'_>,
    needed: bool,
) -> Result<Option<String>, SourceError> {
    if let Some(text) = &source.url {
        let url: Option<Url> = text.parse().ok();
        let url = url.filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
        if url.is_none_or(|url| url.query().is_some() || url.fragment().is_some()) {
            let reason = "must be the address that the provider sends to, such as https://hooks.example.com/hooks/sms, without a query";
            return Err(SourceError::at_key("url", reason));
        }
        return Ok(Some(text.clone()));
    }
    match defaults.public_url.filter(|_| source.kind.is_webhook()) {
        Some(public) => Ok(Some(format!("{}/hooks/{name}", public.as_str().trim_end_matches('/')))),
        None if needed => Err(SourceError::at_key(
            "url",
            "is missing: this provider signs the address that it sends to. Or start the gateways and the controller with --public-url",
        )),
        None => Ok(None),
    }
}

/// Settings that are of no use as the source is.
fn check_use(source: &Source, verify: &Verify) -> Result<(), SourceError> {
    if source.gone && !source.disabled {
        return Err(SourceError::at_key("gone", "needs disabled: true; a source that takes events is not gone"));
    }
    if source.tolerance.is_some() && !has_time(verify) {
        return Err(SourceError::at_key("tolerance", "changes nothing: these requests have no signed time"));
    }
    Ok(())
}

/// How long events are kept, and with them the time of the last one.
fn keep(source: &Source) -> Result<Duration, SourceError> {
    let keep = source.keep.unwrap_or(DEFAULT_KEEP);
    if !(MIN_KEEP..=MAX_KEEP).contains(&keep) {
        return Err(SourceError::at_key("keep", "must be from 5m to 90d"));
    }
    if source.expect_every.is_some_and(|every| every.is_zero() || every > keep) {
        let reason = "must be above 0 and at most keep: the time of the last event is known while that is kept";
        return Err(SourceError::at_key("expect_every", reason));
    }
    Ok(keep)
}

/// A secret's name becomes the name of a file.
fn check_secrets(source: &Source) -> Result<(), SourceError> {
    for (index, secret) in source.secrets.iter().enumerate() {
        for name in secret.name.iter().chain([&secret.file]) {
            validate::secret_name(name)
                .map_err(|error| SourceError::new(error.to_string()).in_list(index).under("secrets"))?;
        }
    }
    Ok(())
}

fn wait(source: &Source, preset: Option<&Preset>) -> Result<Duration, SourceError> {
    match source.wait {
        Some(_) if source.answer != AnswerBy::Function => Err(SourceError::at_key("wait", "needs answer: function")),
        Some(wait) if wait > MAX_WAIT => Err(SourceError::at_key("wait", "must be 60s or less")),
        Some(wait) => Ok(wait),
        None => {
            let within = preset.and_then(|preset| preset.within);
            Ok(within
                .map_or(DEFAULT_WAIT, |within| within.saturating_sub(ANSWER_MARGIN).clamp(ANSWER_MARGIN, MAX_WAIT)))
        }
    }
}

fn methods(given: &[String]) -> Result<Vec<Method>, SourceError> {
    if given.is_empty() {
        return Ok(vec![Method::POST]);
    }
    let read = given.iter().enumerate().map(|(index, text)| {
        METHODS.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(text)).ok_or_else(|| {
            let known = METHODS.map(|method| method.to_string()).join(", ");
            SourceError::new(format!("{:?} is not one of {known}", cut(text))).in_list(index).under("methods")
        })
    });
    read.collect()
}

fn routes(
    name: &SourceName,
    source: &Source,
    namespace: &DefaultNamespace,
    compiling: &mut Compiling<'_>,
) -> Result<Vec<Route>, SourceError> {
    let mut routes: Vec<Route> = Vec::new();
    if source.routes.len() > MAX_ROUTES {
        return Err(SourceError::at_key("routes", format!("has more than {MAX_ROUTES} routes")));
    }
    for (index, spec) in source.routes.iter().enumerate() {
        let error = |error: SourceError| error.in_list(index).under("routes");
        let route = Route::compile(spec.clone(), namespace, compiling).map_err(error)?;
        if routes.iter().any(|other| other.name() == route.name()) {
            let reason = format!("{} is the name of another route; give this one a name of its own", route.name());
            return Err(error(SourceError::at_key("name", reason)));
        }
        routes.push(route);
    }
    if let Kind::Schedule(_) = &source.kind {
        check_schedule(name, source, &routes)?;
    }
    Ok(routes)
}

/// What does not go with a schedule, and ids of calls that would not be valid or not be one route's alone.
fn check_schedule(name: &SourceName, source: &Source, routes: &[Route]) -> Result<(), SourceError> {
    let at = |index: usize, key: &str, reason: String| SourceError::at_key(key, reason).in_list(index).under("routes");
    if source.id.is_some() {
        return Err(SourceError::at_key("id", "changes nothing: an occurrence of a schedule is named by its time"));
    }
    if source.dedup.is_some() {
        return Err(SourceError::at_key("dedup", "changes nothing: each occurrence of a schedule is one event"));
    }
    for (index, route) in routes.iter().enumerate() {
        if route.is_debounced() {
            return Err(at(index, "debounce", "is not possible in a schedule".to_owned()));
        }
        if name.as_str().len() + route.name().as_str().len() > MAX_NAMES {
            let reason = format!("and the name of the source must have at most {MAX_NAMES} characters together");
            return Err(at(index, "name", reason));
        }
        let id = |route: &Route| route.name().as_str().replace('.', "_");
        // Functions may bring such routes along.
        if id(route).starts_with(BROUGHT) || routes.iter().take(index).any(|other| id(other) == id(route)) {
            let reason = "differs from that of another route in a dot alone: give this one a name of its own";
            return Err(at(index, "name", reason.to_owned()));
        }
    }
    Ok(())
}

/// What requests are compared with a secret, and what the author says is one.
fn redacted(source: &Source, preset: Option<&Preset>, verify: &Verify) -> Result<Vec<HeaderName>, SourceError> {
    let mut redacted = preset.map(|preset| preset.redact.clone()).unwrap_or_default();
    for (index, name) in source.redact.iter().enumerate() {
        redacted.push(name.parse().map_err(|_| {
            SourceError::new(format!("{:?} is no name of a header", cut(name))).in_list(index).under("redact")
        })?);
    }
    for token in tokens(verify) {
        match token {
            Reference::Header(name) => redacted.push(name.clone()),
            Reference::Bearer | Reference::Basic => redacted.push(header::AUTHORIZATION),
            _ => {}
        }
    }
    Ok(redacted)
}

fn tokens(verify: &Verify) -> impl Iterator<Item = &Reference> {
    verify.schemes().iter().filter_map(|scheme| match &scheme.check {
        Check::Token(reference) => Some(reference),
        Check::Signed(_) => None,
    })
}

fn tokens_in_query(verify: &Verify) -> Vec<String> {
    let name = |token: &Reference| if let Reference::Query(name) = token { Some(name.clone()) } else { None };
    tokens(verify).filter_map(name).collect()
}

/// Parameters of the query that are there to verify a request, and so differ from try to try.
fn queries(verify: &Verify) -> Vec<String> {
    let mut names = tokens_in_query(verify);
    for scheme in verify.schemes() {
        if let Check::Signed(signed) = &scheme.check {
            let from = signed.timestamp.iter().map(|rule| &rule.from).chain(signed.signature.references());
            names.extend(
                from.filter_map(|from| if let Reference::Query(name) = from { Some(name.clone()) } else { None }),
            );
        }
    }
    names
}

fn has_time(verify: &Verify) -> bool {
    verify.schemes().iter().any(|scheme| matches!(&scheme.check, Check::Signed(signed) if signed.timestamp.is_some()))
}

fn warnings(source: &Source, verify: &Verify) -> Vec<String> {
    let mut warnings = Vec::new();
    if *verify == Verify::None && source.kind.is_webhook() {
        warnings.push("the source is open: it checks nothing, so anybody can send events".to_owned());
    }
    if verify.leaves_body_unsigned() {
        warnings.push("the body of these events is not protected: the provider signs some fields only".to_owned());
    }
    if source.routes.is_empty() {
        warnings.push("the source has no routes: its events are kept, and no function is called".to_owned());
    }
    warnings
}
