//! The state that handlers share, and the steps that several of them take.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::body::Body;
use http::{HeaderMap, Request, Response};
use skep_bus::GatewayBus;
use skep_dispatch::{Dispatch, Function};
use skep_http::{Peer, Tls};
use skep_own_events::OwnEvents;
use skep_protocol::{
    CallId, FunctionName, NamespaceInfo, Pages,
    control::{Change, ControlRequest, ListNamespaces},
};
use skep_trace::Tracer;
use time::OffsetDateTime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use crate::{
    Error, Result, UiMode,
    audit_log::AuditLog,
    auth::Auth,
    body,
    call_headers::{Entrance, RequestContext},
    config::{ImagesConfig, Limits},
    figures::Figures,
    forwarded::TrustedProxies,
    hooks::Hooks,
    pages,
    queues::Queues,
    spans,
    stats::StatsView,
};

/// How long the answer to a change waits until reads show it.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) struct App {
    pub(crate) bus: GatewayBus,
    pub(crate) dispatch: Dispatch,
    pub(crate) async_body_limit: u64,
    pub(crate) alexa_routing: bool,
    pub(crate) ui: UiMode,
    pub(crate) trace_url: Option<String>,
    /// With the certificate that is in use.
    pub(crate) tls: Option<Tls>,
    pub(crate) body_idle_timeout: Duration,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) tracer: Tracer,
    /// Places for alerts.
    pub(crate) alerts: Arc<Semaphore>,
    pub(crate) queues: Queues,
    pub(crate) stats: StatsView,
    /// What is made of them for those who look.
    pub(crate) figures: Figures,
    /// The place for an audit.
    pub(crate) audits: Arc<Semaphore>,
    /// How images are kept, if they are.
    pub(crate) images: Option<ImagesConfig>,
    pub(crate) hooks: Hooks,
    /// What is noticed of skep itself.
    pub(crate) own_events: OwnEvents,
    pub(crate) auth: Arc<Auth>,
    pub(crate) audit_log: Arc<AuditLog>,
    /// Places for changes.
    pub(crate) changes: Arc<Semaphore>,
    /// Places for followers of calls or logs.
    pub(crate) followers: Arc<Semaphore>,
    /// Places for callers that wait for the end of a call.
    pub(crate) waiters: Semaphore,
    pub(crate) limits: Limits,
    /// What goes on when its request has been answered.
    pub(crate) tasks: TaskTracker,
    pub(crate) shutdown: CancellationToken,
}

impl App {
    /// Where requests to a route come in.
    pub(crate) fn entrance(&self, route: &'static str) -> Entrance<'_> {
        Entrance { trusted: &self.trusted_proxies, tracer: &self.tracer, route }
    }

    /// Reads `NAME` or `NAME.NAMESPACE`, in a namespace that may have been given beside it.
    pub(crate) fn named(&self, name: &str, namespace: &str) -> Result<FunctionName> {
        Ok(self.bus.connection.default_namespace().function_in(name, namespace)?)
    }

    /// All namespaces, the default one first.
    pub(crate) async fn namespaces(&self) -> Result<Vec<NamespaceInfo>> {
        self.control(&ListNamespaces).await
    }

    pub(crate) fn function(&self, name: &FunctionName) -> Result<Arc<Function>> {
        self.dispatch.registry().get(name).ok_or_else(|| Error::UnknownFunction(name.clone()))
    }

    /// Why nothing is known of a call: an id that skep made before results that are gone by now is of one of those.
    pub(crate) fn unknown_call(&self, id: CallId) -> Error {
        let kept = self.bus.connection.keep_records();
        let kept = self.dispatch.registry().shortest_result_ttl().map_or(kept, |ttl| ttl.min(kept));
        unknown_call(id, kept, OffsetDateTime::now_utc())
    }

    /// Refuses a caller who has no token where one of these functions asks for it; the token goes no further.
    pub(crate) async fn let_in(&self, functions: &[&Function], headers: &mut HeaderMap, peer: &Peer) -> Result<()> {
        if functions.iter().all(|function| !function.policy.needs_token) {
            return Ok(());
        }
        let asking = functions.iter().filter(|function| function.policy.needs_token);
        let names: Vec<_> = asking.map(|function| &function.name).collect();
        // Boxed, so that calls of functions that ask for nothing carry nothing of it.
        Box::pin(self.auth.let_in(&names, self.bus.connection.default_namespace(), headers, peer)).await
    }

    /// Calls a function and marks its answer.
    pub(crate) async fn call(
        &self,
        function: &Arc<Function>,
        mut request: Request<skep_http::Body>,
        context: &RequestContext,
    ) -> Result<Response<skep_http::Body>> {
        if let Some(span) = context.scope.span() {
            spans::enter_function(span, function);
        }
        self.admit(function)?;
        context.scope.join(&mut request);
        // Pinned here, because the span takes it by value.
        let called = pin!(self.dispatch.call(function, request, context.scope.span()));
        let called = called.instrument(context.span(&function.name)).await;
        let mut response = called.map_err(|error| self.judged(error))?;
        context.scope.answered(response.status(), response.headers());
        context.function_answer(response.headers_mut());
        if context.is_for_page && function.policy.pages == Pages::Sandboxed {
            pages::sandbox(response.headers_mut());
        }
        Ok(response)
    }

    /// Refuses a call beyond what may be under way; a few more pass when many come in the same moment.
    fn admit(&self, function: &Function) -> Result<()> {
        let Limits { inflight, inflight_per_function, .. } = self.limits;
        if function.under_way() >= inflight_per_function {
            let whose = format!("calls of function {}", function.name);
            return Err(Error::TooManyInFlight {
                whose,
                limit: inflight_per_function,
                setting: "--max-inflight-per-function",
            });
        }
        if self.dispatch.under_way() >= inflight {
            return Err(Error::TooManyInFlight {
                whose: "calls".to_owned(),
                limit: inflight,
                setting: "--max-inflight",
            });
        }
        Ok(())
    }

    /// A place for one who follows, for as long as that lasts.
    pub(crate) fn follower(&self) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.followers).try_acquire_owned().map_err(|_| Error::TooManyFollowers(self.limits.followers))
    }

    /// Fails at once while the bus is away, instead of waiting for its answer.
    pub(crate) async fn require_bus(&self) -> Result<&GatewayBus> {
        if self.bus.connection.is_reachable().await { Ok(&self.bus) } else { Err(Error::Disconnected) }
    }

    /// Sends a request to the controller.
    pub(crate) async fn control<R: ControlRequest>(&self, request: &R) -> Result<R::Reply> {
        Ok(self.require_bus().await?.control.request(request).await?)
    }

    /// Asks the controller for a change of the registry, and waits until reads show it.
    pub(crate) async fn change<R: ControlRequest<Reply = Change>>(&self, request: &R) -> Result<()> {
        let change = self.control(request).await?;
        self.wait_until_seen(change).await;
        Ok(())
    }

    /// Waits until reads show a change of the registry; `false` if they do not soon.
    pub(crate) async fn wait_until_seen(&self, change: Change) -> bool {
        match change {
            Change::Unchanged => true,
            Change::Written(revision) => self.dispatch.registry().wait_for_revision(revision, CHANGE_TIMEOUT).await,
        }
    }

    /// Waits until a function that was deleted is gone from reads too.
    pub(crate) async fn wait_until_gone(&self, name: &FunctionName) {
        self.dispatch.registry().wait_until(|registry| registry.get(name).is_none(), CHANGE_TIMEOUT).await;
    }

    /// All of a request's body.
    pub(crate) async fn gathered(
        &self,
        headers: &HeaderMap,
        body: Body,
        limit: body::BodyLimit,
    ) -> Result<bytes::Bytes> {
        body::gathered(headers, body, limit, self.body_idle_timeout, |_| Ok(())).await
    }

    fn judged(&self, error: skep_dispatch::Error) -> Error {
        match error {
            skep_dispatch::Error::RequestBody(source) if body::is_stalled(source.as_ref()) => {
                Error::SlowBody(self.body_idle_timeout)
            }
            other => other.into(),
        }
    }
}

fn unknown_call(id: CallId, kept: Duration, now: OffsetDateTime) -> Error {
    match id.made_at() {
        Some(made_at) if made_at + kept < now => Error::CallExpired(id),
        Some(_) | None => Error::UnknownCall(id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_skep_made_tells_whether_its_result_is_gone() {
        let kept = Duration::from_secs(3600);
        let id = CallId::generate();
        let made_at = id.made_at().unwrap();
        assert!(matches!(unknown_call(id.clone(), kept, made_at + kept), Error::UnknownCall(_)));
        assert!(matches!(unknown_call(id, kept, made_at + 2 * kept), Error::CallExpired(_)));
        let callers: CallId = "order-17".parse().unwrap();
        assert!(matches!(unknown_call(callers, kept, made_at + 2 * kept), Error::UnknownCall(_)));
    }
}
