//! Schedules: while this controller leads, the next occurrences of each are planned ahead as delayed calls.
//!
//! So an occurrence runs although no controller runs then. `skep_sources::Schedule::step` decides, and this does it.
//! Whatever is done twice makes one call, because the id of a call follows from its schedule, its route and its time.

mod annotations;
mod look;
mod metrics;
mod planner;

use std::sync::Arc;

use skep_bus::{ControllerBus, Lease};
use skep_own_events::OwnEvents;

use crate::subscriptions::Subscriptions;

pub(crate) use self::annotations::follow as follow_annotations;
pub use self::metrics::ScheduleMetrics;
pub(crate) use annotations::check as check_annotations;

/// Plans, until it is dropped.
pub(crate) async fn run(
    bus: ControllerBus,
    lease: Arc<Lease>,
    metrics: Option<ScheduleMetrics>,
    own_events: Arc<OwnEvents>,
    subscriptions: Arc<Subscriptions>,
) {
    planner::run(look::Shared { bus, lease, metrics, own_events, subscriptions }).await;
}
