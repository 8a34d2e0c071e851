//! What the tests are written with: real programs on ports and folders of their own, and clients that know nothing of our crates.

mod client;
mod function;
mod platform;
mod proc;
mod program;
mod programs;
pub(crate) mod raw;
mod receiver;
mod site;
mod swarm;
mod wait;

pub(crate) use self::{
    client::{Answer, Gateway, answer_to, http_client},
    function::Function,
    platform::{Platform, Roles},
    proc::{Process, processes_with},
    program::Program,
    programs::{SKEP, repository, variable},
    receiver::{Callback, Receiver},
    site::{Site, free_address, metrics_of},
    swarm::{FUNCTION, Load, Others, Relay, Swarm, deployment},
    wait::{DEADLINE, wait_for, wait_until},
};
