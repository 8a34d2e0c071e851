//! What makes replicas out of "deploy X": the controller, and the provider that runs functions as local commands.
//!
//! The [`Controller`] is the only writer of the registry and answers the operations on the bus; it does not know how a replica runs.
//! What it asks of a provider is in `provider.rs`.
//! The local provider ([`LocalConfig`]) runs each replica as a watchdog on this machine; it does not know the bus's subjects, streams or buckets.
//!
//! What the local provider accepts and does not enforce: `limits`, `requests`, `constraints`, `readOnlyRootFilesystem`, `network` and `image`.

mod control;
mod controller;
mod error;
mod function;
mod functions;
mod in_use;
mod local;
mod namespaces;
mod provider;
mod ready;
mod secret_value;
mod swarm;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub use swarm::frames::laws as log_frames;

pub use controller::{Config, Controller, ProviderConfig};
pub use error::{Error, Result};
pub use local::{LocalConfig, MAX_REPLICAS, SECRETS_DIR, check_command};

pub use swarm::{DockerHost, Hardening, SwarmConfig};

use provider::{Cause, Provider, Replicas};
