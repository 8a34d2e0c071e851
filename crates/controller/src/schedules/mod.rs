//! Schedules: while this controller leads, the next occurrences of each are planned ahead as delayed calls.
//!
//! So an occurrence runs although no controller runs then. `skep_sources::Schedule::step` decides, and this does it.
//! Whatever is done twice makes one call, because the id of a call follows from its schedule, its route and its time.

mod annotations;
mod metrics;
mod planner;

pub(crate) use self::annotations::follow as follow_annotations;
pub use self::metrics::ScheduleMetrics;
pub(crate) use self::planner::run;
pub(crate) use annotations::check as check_annotations;
