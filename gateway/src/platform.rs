//! Information about skep itself: `/system/info`, `/healthz`, `/metrics`.

use std::{env::consts::ARCH, sync::Arc, time::Duration};

use axum::{Extension, Json, Router, extract::State, response::IntoResponse, routing::get};
use http::HeaderMap;
use prometheus::Registry;
use skep_http::{Tls, metrics_page};
use skep_protocol::{GatewayInfo, VersionInfo, control::GetInfo, headers};
use time::OffsetDateTime;
use tokio::time::timeout;

use crate::{Result, Routes, app::App, auth::Caller};

/// How long the answer waits for a controller that does not answer.
const INFO_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) fn routes() -> Routes {
    vec![("/system/info", get(info))]
}

/// Open to everyone: `/healthz`, and `/metrics` when a registry is given.
pub(crate) fn open_router(metrics: Option<Registry>) -> Router<Arc<App>> {
    let router = Router::new().route("/healthz", get(healthz));
    match metrics {
        Some(metrics) => {
            router.route("/metrics", get(async move |headers: HeaderMap| metrics_page(&metrics, &headers)))
        }
        None => router,
    }
}

async fn info(State(app): State<Arc<App>>, caller: Extension<Caller>) -> Json<GatewayInfo> {
    let asked = timeout(INFO_TIMEOUT, app.control(&GetInfo)).await;
    Json(GatewayInfo {
        provider: asked.ok().and_then(Result::ok),
        version: VersionInfo::of_this_build(),
        arch: ARCH.to_owned(),
        durability: app.bus.connection.durability(),
        caller: Some(caller.info()),
        ui: Some(app.ui.as_str().to_owned()),
        trace_url: app.trace_url.clone(),
        certificate_ends_at: app.tls.as_ref().and_then(Tls::not_after).and_then(at),
    })
}

fn at(second: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(second).ok()
}

async fn healthz(State(app): State<Arc<App>>) -> Result<impl IntoResponse> {
    let tier = app.require_bus().await?.connection.durability().tier;
    Ok(([(headers::SKEP_DURABILITY, tier.as_str())], "OK"))
}
