//! The commands that ask a gateway: `skep deploy`, `skep invoke` and all others that are not roles.
//!
//! They are clients of its HTTP API and of nothing else, so they work from any machine that reaches it.

pub(crate) mod adopt;
mod api;
pub(crate) mod args;
mod audit;
mod audit_log;
mod calls;
mod contexts;
pub(crate) mod daily;
mod dead;
mod describe;
mod events;
mod images;
mod lines;
pub(crate) mod login;
pub(crate) mod sources;
pub(crate) mod status;
pub(crate) mod table;
mod target;

use serde::Serialize;

pub(crate) use self::{
    audit::run as audit, audit_log::run as audit_log, calls::more, calls::run as calls, daily::run as daily,
    dead::run as dead, describe::run as describe, sources::run as sources,
};
use crate::{failure::Result, output};

/// Prints what programs read.
pub(crate) fn print_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(crate::failure::Failure::internal)?;
    output::line(text);
    Ok(())
}
