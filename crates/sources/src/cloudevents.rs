//! CloudEvents over HTTP: how they are read, in three modes, and how an event is sent as one.

mod receive;
mod send;
#[cfg(test)]
mod tests;

pub(crate) use self::{
    receive::{attribute, read, stored_type},
    send::{binary, structured, to_binary, to_structured},
};

use thiserror::Error;

/// Why a request holds no events that can be stored.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum EventError {
    /// It is in another format of CloudEvents, such as Avro.
    #[error("the format {0:?} is not understood: send application/cloudevents+json, a batch of it, or ce-* headers")]
    UnsupportedFormat(String),
    /// It is no event, or lacks an attribute that is required.
    #[error("no CloudEvent: {0}")]
    Malformed(String),
}

const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";
