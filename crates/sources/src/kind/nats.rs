//! Events that are NATS or MQTT messages.

use serde::Deserialize;

use crate::error::SourceError;

/// Which NATS messages are events.
#[derive(Clone, Debug, Deserialize)]
pub struct Nats {}

/// Which MQTT messages are events.
#[derive(Clone, Debug, Deserialize)]
pub struct Mqtt {}

pub(super) fn read(_nats: Nats) -> Result<Nats, SourceError> {
    Err(SourceError::at_key("nats", "is not supported yet"))
}

pub(super) fn read_mqtt(_mqtt: Mqtt) -> Result<Mqtt, SourceError> {
    Err(SourceError::at_key("mqtt", "is not supported yet"))
}
