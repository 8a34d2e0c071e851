//! What the tests are written with: real programs on ports and folders of their own, and clients that know nothing of our crates.

mod address;
mod browser;
mod client;
mod cluster;
mod collector;
mod crowd;
mod disk;
mod function;
mod platform;
mod proc;
mod program;
mod programs;
mod ran;
pub(crate) mod raw;
mod receiver;
mod relay;
mod site;
mod source;
mod swarm;
mod tap;
mod users;
mod wait;
mod webdriver;

pub(crate) use self::{
    address::free_address,
    browser::Attacker,
    client::{Answer, Gateway, answer_to, http_client},
    cluster::Cluster,
    collector::{Collector, SeenSpan},
    crowd::Crowd,
    disk::Disk,
    function::Function,
    platform::{Platform, Roles},
    proc::{Process, processes_with},
    program::Program,
    programs::{FWATCHDOG, NATS_SERVER, SKEP, number, repository, variable},
    ran::Ran,
    receiver::{Callback, Receiver},
    relay::Relay,
    site::{Site, metrics_of},
    source::{payload, signature},
    swarm::{Callers, Calling, EngineRelay, FUNCTION, Load, Machines, Node, Others, Outage, Swarm, deployment},
    tap::{Moment, Tap},
    wait::{DEADLINE, wait_for, wait_until},
    webdriver::{Browser, key},
};
