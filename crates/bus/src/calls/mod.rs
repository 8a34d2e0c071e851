//! One call from submit to its record: accepting, looking up, listing, recording, cancelling, events.

pub(crate) mod callback_attempts;
pub(crate) mod cancel;
pub(crate) mod events;
pub(crate) mod list;
pub(crate) mod lookup;
pub(crate) mod plan;
pub(crate) mod records;
pub(crate) mod running;
pub(crate) mod scan;
pub(crate) mod status;
pub(crate) mod submit;
