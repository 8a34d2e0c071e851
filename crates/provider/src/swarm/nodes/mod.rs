//! Machines for tasks that wait for resources, by a hook, and their removal when nothing runs on them.
//!
//! `skep_scaling::nodes` plans; here is what it plans from (`look.rs`), what it plans with (`hook.rs`), and the steps.
//! Labels of nodes hold what has to survive this process; operators may read them, and remove them to keep a node.

mod hook;
mod look;

use std::{collections::HashMap, sync::Arc, time::Duration};

use bollard::models::{NodeSpec, NodeSpecAvailabilityEnum as Availability};
use skep_scaling::nodes::{Addition, Cluster, Limits, Memory, Phase, Seconds, Step, plan};
use time::OffsetDateTime;
use tokio::time::Instant;
use tracing::{info, warn};

use self::hook::{Ask, Machines, Waiting};
use super::{ProviderContext, engine::Engine};

pub use self::hook::NodeHook;

/// Marks a node whose machine the hook has made.
const ELASTIC: &str = "skep.node";
/// Its phase, and when it came into it, in seconds since 1970.
const PHASE: &str = "skep.node.state";
const SINCE: &str = "skep.node.since";
/// The last addition; on the manager with the lowest id.
const ADDITION: &str = "skep.node.addition";

/// Between two looks at the cluster.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// How old the hook's list may be while nothing happens, and while something does.
const LIST_TTL: Duration = Duration::from_secs(60);
const SHORT_LIST_TTL: Duration = Duration::from_secs(10);

/// The hook, and how far it may go.
#[derive(Clone, Debug)]
pub struct NodesConfig {
    pub hook: NodeHook,
    /// The most machines that the hook may have made at once.
    pub max: u32,
    /// How long a machine may take until it has joined.
    pub start: Duration,
    /// How long a node must have had no task until it is let go.
    pub idle: Duration,
}

/// Looks at the cluster again and again, while this is the controller.
pub(super) async fn run(context: Arc<ProviderContext>, config: NodesConfig) {
    let mut nodes = Nodes::new(config);
    let mut is_away = false;
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        if !context.may_write() {
            nodes = Nodes::new(nodes.config);
            continue;
        }
        let looked = nodes.look(&context).await;
        match &looked {
            Err(reason) if !is_away => warn!(reason, "a look at the nodes failed; it is repeated"),
            Ok(()) if is_away => info!("a look at the nodes succeeds again"),
            _ => {}
        }
        is_away = looked.is_err();
    }
}

struct Nodes {
    config: NodesConfig,
    memory: Memory,
    /// When each function's tasks were first seen to wait for resources.
    short_since: HashMap<String, Seconds>,
    listed: Option<(Instant, Machines)>,
}

impl Nodes {
    fn new(config: NodesConfig) -> Self {
        Self { config, memory: Memory::default(), short_since: HashMap::new(), listed: None }
    }

    /// One look, and the steps that follow from it; the error is for the log.
    async fn look(&mut self, context: &ProviderContext) -> Result<(), String> {
        let engine = &context.engine;
        let now = now();
        let mut seen = look::look(engine, &mut self.short_since, now).await.map_err(|error| error.to_string())?;
        let machines = self.machines(&seen.cluster).await.map_err(|error| format!("--node-hook: {error}"))?;
        seen.cluster.size = machines.size();
        seen.cluster.machines = machines.machines;
        let NodesConfig { max, start, idle, .. } = self.config;
        let mut failure = Ok(());
        for step in plan(&mut self.memory, &seen.cluster, &Limits { max, start, idle }, now) {
            if !context.may_write() {
                return Ok(());
            }
            if matches!(step, Step::Add { .. } | Step::Remove { .. } | Step::Discard { .. }) {
                self.listed = None;
            }
            // One that fails, as a machine that cannot be removed, does not keep others from being carried out.
            failure = failure.and(self.carry_out(engine, &seen, step, now).await);
        }
        failure
    }

    async fn machines(&mut self, cluster: &Cluster) -> Result<Machines, String> {
        let is_busy = !cluster.pending.is_empty() || cluster.nodes.iter().any(|node| node.phase != Some(Phase::Active));
        let ttl = if is_busy { SHORT_LIST_TTL } else { LIST_TTL };
        if let Some((_, machines)) = self.listed.as_ref().filter(|(at, _)| at.elapsed() < ttl) {
            return Ok(machines.clone());
        }
        let machines = self.config.hook.list().await?;
        self.listed = Some((Instant::now(), machines.clone()));
        Ok(machines)
    }

    async fn carry_out(&self, engine: &Engine, seen: &look::Seen, step: Step, now: Seconds) -> Result<(), String> {
        match step {
            Step::Adopt { node } => {
                info!(node, "a machine of the hook has joined");
                enter(engine, &node, Phase::Active, now).await
            }
            Step::Enter { node, phase } => {
                info!(node, state = phase.as_str(), "a node changes its state");
                enter(engine, &node, phase, now).await
            }
            Step::Add { addition } => self.add(engine, seen, addition).await,
            Step::Remove { node, hostname } => {
                let key = format!("remove-{node}");
                self.call(&Ask::Remove { key, hostname: &hostname, node: Some(&node) }).await?;
                engine.remove_node(&node).await.map_err(|error| error.to_string())?;
                info!(node, hostname, "a machine that was not needed is removed");
                Ok(())
            }
            Step::Discard { hostname } => {
                warn!(hostname, "a machine that has not joined in twice --node-start is removed");
                self.call(&Ask::Remove { key: format!("discard-{hostname}"), hostname: &hostname, node: None }).await
            }
            Step::TooLarge { function } => {
                warn!(function, "its tasks reserve more than a machine of the hook has, so none is added");
                Ok(())
            }
        }
    }

    /// Writes what is asked for before it is asked, so that another controller asks for the same and not for more.
    async fn add(&self, engine: &Engine, seen: &look::Seen, addition: Addition) -> Result<(), String> {
        let manager = seen.manager.as_deref().ok_or("the Swarm has no manager")?;
        let write = async |addition: Addition| {
            let label = |spec: &mut NodeSpec| {
                spec.labels.get_or_insert_default().insert(ADDITION.to_owned(), addition.to_string());
            };
            engine.change_node(manager, label).await.map_err(|error| error.to_string())
        };
        write(addition).await?;
        let pending = &seen.cluster.pending;
        let tasks: u32 = pending.iter().map(|pending| pending.tasks).sum();
        let reason = format!("{tasks} tasks wait for resources: {}", seen.reason);
        info!(count = addition.count, reason, "machines are asked for");
        let pending = pending.iter().map(Waiting::from).collect();
        self.call(&Ask::Add { key: addition.key(), count: addition.count, reason, pending }).await?;
        write(Addition { accepted: true, ..addition }).await
    }

    async fn call(&self, ask: &Ask<'_>) -> Result<(), String> {
        self.config.hook.call(ask).await.map(|_| ()).map_err(|error| format!("--node-hook: {error}"))
    }
}

/// Writes a node's phase, and lets it take tasks only while it is active.
async fn enter(engine: &Engine, node: &str, phase: Phase, now: Seconds) -> Result<(), String> {
    let change = |spec: &mut NodeSpec| {
        let labels = spec.labels.get_or_insert_default();
        for (key, value) in [(ELASTIC, "elastic"), (PHASE, phase.as_str()), (SINCE, &now.to_string())] {
            labels.insert(key.to_owned(), value.to_owned());
        }
        spec.availability = Some(match phase {
            Phase::Active => Availability::ACTIVE,
            Phase::Pausing => Availability::PAUSE,
            Phase::Draining | Phase::Removing => Availability::DRAIN,
        });
    };
    engine.change_node(node, change).await.map_err(|error| error.to_string())
}

fn now() -> Seconds {
    u64::try_from(OffsetDateTime::now_utc().unix_timestamp()).unwrap_or_default()
}
