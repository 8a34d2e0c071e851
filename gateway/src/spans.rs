//! The spans of the gateway: what came in, and what it put into the queue. There are none while nothing is exported.

use std::{borrow::Cow, sync::Arc};

use http::{HeaderMap, HeaderValue, Request, StatusCode, header, request::Parts};
use skep_bus::describe_publish;
use skep_dispatch::Function;
use skep_http::Peer;
use skep_protocol::{Call, headers};
use skep_trace::{Context, Incoming, Kind, Span, Start, Tracer, Value, method_name};

/// Where a request belongs in a trace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    /// What its caller said, if that is trusted or to be linked to.
    incoming: Option<Box<Incoming>>,
    span: Option<Arc<Span>>,
}

impl Scope {
    /// That of a request whose headers said this, if anything.
    pub(crate) fn enter(tracer: &Tracer, kind: Kind, incoming: Option<Incoming>) -> Self {
        let span = if tracer.is_on() {
            let none = Incoming::default();
            let span = tracer.enter(kind, incoming.as_ref().unwrap_or(&none)).map(Arc::new);
            span.inspect(watch)
        } else {
            None
        };
        Self { incoming: incoming.map(Box::new), span }
    }

    pub(crate) fn span(&self) -> Option<&Arc<Span>> {
        self.span.as_ref()
    }

    /// What the next step is a child of.
    pub(crate) fn context(&self) -> Option<&Context> {
        let own = self.span.as_ref().map(|span| span.context());
        own.or_else(|| self.incoming.as_ref().and_then(|incoming| incoming.parent.as_ref()))
    }

    /// Lets a request to a function go on from here, if there is no span, whose own context it gets.
    pub(crate) fn join<B>(&self, request: &mut Request<B>) {
        if self.span.is_none()
            && let Some(context) = self.context()
        {
            context.write(request.headers_mut());
        }
    }

    /// Notes the answer.
    pub(crate) fn answered(&self, status: StatusCode, answer: &HeaderMap) {
        if let Some(span) = &self.span {
            // An answer that is no failure has no code.
            let code = if status.as_u16() < 400 { None } else { code_of(answer) };
            span.answered(status.as_u16(), code);
        }
    }

    /// Puts a call into this trace. The span that is returned lasts until the call is stored.
    pub(crate) fn publish(&self, call: &mut Call) -> Option<Span> {
        let span = self.span.as_ref().map(|span| span.child(Kind::Producer));
        call.trace = span.as_ref().map(Span::context).or(self.context()).cloned();
        span.inspect(|span| describe_publish(span, call))
    }
}

/// Begins a trace for a call that is queued again, and links to the trace that it had before. The function may want it sampled, or not.
pub(crate) fn publish_again(tracer: &Tracer, before: Option<Context>, sampled: Option<bool>) -> Option<Span> {
    let span = tracer.begin(Start { kind: Kind::Producer, parent: None })?;
    sampled.iter().for_each(|sampled| span.decide(*sampled));
    span.describe(move |description| description.links.extend(before));
    Some(span)
}

fn code_of(answer: &HeaderMap) -> Option<Cow<'static, str>> {
    let code = answer.get(headers::SKEP_ERROR).and_then(|code| code.to_str().ok())?;
    Some(code.to_owned().into())
}

/// Describes the span of a request to a route, which may be that of a call.
pub(crate) fn describe_request(
    span: &Span,
    route: &'static str,
    parts: &Parts,
    peer: &Peer,
    (host, call_id): (Option<HeaderValue>, Option<&HeaderValue>),
) {
    let (method, uri, version) = (method_name(&parts.method), parts.uri.clone(), parts.version);
    let agent = parts.headers.get(header::USER_AGENT).cloned();
    let (client, is_encrypted, call_id) = (peer.ip.clone(), peer.is_encrypted, call_id.cloned());
    span.describe(move |description| {
        description.name = [&method, " ", route].concat().into();
        let version = match version {
            http::Version::HTTP_10 => "1.0",
            http::Version::HTTP_2 => "2",
            _ => "1.1",
        };
        let scheme = if is_encrypted { "https" } else { "http" };
        let attributes = [
            ("http.request.method", Value::from(method)),
            ("http.route", route.into()),
            // Without the query, which may hold secrets.
            ("url.path", uri.path().to_owned().into()),
            ("url.scheme", scheme.into()),
            ("client.address", text(&client).into()),
            ("network.protocol.version", version.into()),
        ];
        description.attributes.extend(attributes);
        let texts = [("user_agent.original", agent), ("skep.call.id", call_id)];
        let given = texts.into_iter().filter_map(|(name, value)| Some((name, Value::from(text(&value?)))));
        description.attributes.extend(given);
        host.iter().for_each(|host| add_host(description, host));
    });
}

/// Adds name and port of a host; one with a user, which may be a secret, is left out.
fn add_host(description: &mut skep_trace::Description, host: &HeaderValue) {
    let Some(host) = host.to_str().ok().filter(|host| !host.contains('@')) else { return };
    let port = |(name, port): (&str, &str)| Some((name.to_owned(), port.parse::<u16>().ok()?));
    let (name, port) = match host.rsplit_once(':').and_then(port) {
        Some((name, port)) => (name, Some(port)),
        None => (host.to_owned(), None),
    };
    description.attributes.push(("server.address", name.into()));
    description.attributes.extend(port.map(|port| ("server.port", u64::from(port).into())));
}

/// Adds the id of the call to the span of a request.
pub(crate) fn describe_call(span: &Span, call_id: &HeaderValue) {
    let id = call_id.clone();
    span.describe(move |description| description.attributes.push(("skep.call.id", text(&id).into())));
}

/// A span that is sampled is shown before it ends, if it takes long. All others would cost each call something.
fn watch(span: &Arc<Span>) {
    if span.context().sampled {
        span.watch();
    }
}

/// Adds the name of the function to the span of a request, and samples its trace as the function wants it, if it begins here.
pub(crate) fn enter_function(span: &Arc<Span>, function: &Arc<Function>) {
    if let Some(sampled) = function.policy.traced {
        span.decide(sampled);
        watch(span);
    }
    let function = Arc::clone(function);
    span.describe(move |description| {
        description.attributes.push(("faas.invoked_name", function.name.as_str().to_owned().into()));
        description.attributes.push(("faas.invoked_provider", "skep".into()));
    });
}

fn text(value: &HeaderValue) -> String {
    let bytes = value.as_bytes();
    str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes).into_owned(), str::to_owned)
}
