//! The connection to NATS, and what is known about its servers.

pub(crate) mod clock;
pub(crate) mod connect;
pub(crate) mod connection;
pub(crate) mod durability;
mod health;
mod judgement;
pub(crate) mod measure;
pub(crate) mod monitor;
pub(crate) mod patience;
mod reconnect;
pub(crate) mod servers;
pub(crate) mod system_account;
