//! What runs functions, behind the traits in `provider.rs`: as local commands, or as services of a Docker Swarm.
//!
//! The local provider ([`LocalConfig`]) runs each replica as a watchdog on this machine; it does not know the bus's subjects, streams or buckets.
//! It accepts and does not enforce `limits`, `requests`, `constraints`, `readOnlyRootFilesystem`, `network` and `image`.
//! Only the Swarm provider ([`SwarmConfig`]) talks to Docker.

mod collector;
mod error;
mod local;
mod provider;
mod ready;
mod secret_value;
mod swarm;
mod tagged;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub use swarm::frames::laws as log_frames;

pub use error::{Error, Result};
pub use local::{LocalConfig, MAX_REPLICAS, SECRETS_DIR, WATCHDOG, check_command, read_secrets, write_secret};
pub use provider::{
    Cause, Logs, ProgramProcess, ProgramSpec, Programs, Provider, ProviderConfig, Replicas, Runtime, Secrets,
    StartedProgram,
};
pub use swarm::{DockerHost, Hardening, NodeHook, NodesConfig, OwnImages, SwarmConfig};
