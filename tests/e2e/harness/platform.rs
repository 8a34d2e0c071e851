//! The platform as users start it, and as a Swarm runs it.

use super::{Function, Gateway, Program, Site};

/// `skep up`: everything in one process.
pub(crate) struct Platform {
    // First, so that it has ended before its folder goes.
    pub(crate) up: Program,
    pub(crate) gateway: Gateway,
    pub(crate) site: Site,
}

impl Platform {
    pub(crate) async fn start(functions: impl IntoIterator<Item = Function>) -> Self {
        Self::start_with(&[], functions).await
    }

    pub(crate) async fn start_with(arguments: &[&str], functions: impl IntoIterator<Item = Function>) -> Self {
        let site = Site::new(functions);
        Self { up: site.up(arguments).await, gateway: site.gateway.clone(), site }
    }
}

/// Each role in a process of its own, so that one can be killed.
pub(crate) struct Roles<Bus = Program> {
    pub(crate) worker: Program,
    pub(crate) role_gateway: Program,
    pub(crate) controller: Program,
    pub(crate) nats: Bus,
    pub(crate) gateway: Gateway,
    pub(crate) site: Site,
}

impl Roles {
    pub(crate) async fn start(functions: impl IntoIterator<Item = Function>) -> Self {
        Self::start_at(Site::new(functions)).await
    }

    pub(crate) async fn start_at(site: Site) -> Self {
        let nats = site.start_nats().await;
        Self::start_with(site, nats).await
    }

    /// With a bus that is there already.
    pub(crate) async fn start_with<Bus>(site: Site, nats: Bus) -> Roles<Bus> {
        let controller = site.start_controller().await;
        let role_gateway = site.start_gateway(&[]).await;
        let worker = site.start_worker().await;
        for function in &site.functions {
            site.deploy(function).await;
        }
        Roles { worker, role_gateway, controller, nats, gateway: site.gateway.clone(), site }
    }
}
