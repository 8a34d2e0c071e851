//! `/hooks/NAME`: requests of senders that skep does not know. What is verified becomes an event, and is answered when that is stored.
//!
//! The order of the steps matters: what costs something, or counts against a sender, comes after the proof that it is the sender.

mod accept;
mod events;
mod follow;
mod held;
mod hook;
mod learn;
mod metrics;
mod own_events;
mod receive;
mod refusals;
mod release;
mod replay;
mod request;
mod room;
mod samples;
mod send;
mod silence;
mod sources;
mod trial;
mod wanted;

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::any,
};
use governor::DefaultDirectRateLimiter;
use prometheus::Registry;
use skep_http::Peer;
use skep_sources::SealKey;
use url::Url;

pub(crate) use self::{events::api_routes, silence::is_silent, sources::compile};
use self::{hook::Hook, metrics::HookMetrics, refusals::Refusals, room::Room, sources::Sources};
use crate::{Error, GatewayConfig, Result, app::App};

const ROUTE: &str = "/hooks/";

/// What the gateway keeps of its sources.
pub(crate) struct Hooks {
    sources: Sources,
    refusals: Refusals,
    /// For bodies that are not verified yet.
    room: Room,
    /// How many copies of refused requests are stored in a second.
    copies: DefaultDirectRateLimiter,
    metrics: HookMetrics,
    /// What secrets are opened with.
    pub(crate) seal_key: Option<Arc<SealKey>>,
    public_url: Option<Url>,
}

impl Hooks {
    pub(crate) fn register(config: &GatewayConfig, registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            sources: Sources::default(),
            refusals: Refusals::default(),
            room: Room::default(),
            copies: held::limiter(),
            metrics: HookMetrics::register(registry)?,
            seal_key: config.seal_key.clone(),
            public_url: config.public_url.clone(),
        })
    }

    /// A source by its name. A gateway that has just started may not know it yet, which is no reason to answer its sender that there is none.
    fn source(&self, name: &str) -> Result<Arc<Hook>> {
        let unknown = || match self.sources.is_complete() {
            true => Error::UnknownSource,
            false => Error::Bus(skep_bus::Error::unavailable("the sources have not been read yet")),
        };
        self.sources.get(name).ok_or_else(unknown)
    }
}

/// Follows the sources, and notices which of them are silent, until shutdown.
pub(crate) async fn follow(app: &App) {
    tokio::join!(sources::follow(app), silence::follow(app), app.own_events.follow(&app.shutdown));
}

/// Sources are open: their senders prove who they are by other means than a password.
pub(crate) fn routes() -> Router<Arc<App>> {
    ["/hooks/{name}", "/hooks/{name}/", "/hooks/{name}/{*rest}"]
        .into_iter()
        .fold(Router::new(), |router, shape| router.route(shape, any(receive)))
}

async fn receive(State(app): State<Arc<App>>, Extension(peer): Extension<Peer>, request: Request) -> Response {
    Box::pin(receive::receive(&app, &peer, request)).await.unwrap_or_else(IntoResponse::into_response)
}
