//! The next steps.

use super::{Addition, Cluster, Limits, Memory, Node, Pending, Phase, Seconds, Step, Watched, machines};

/// How long tasks must have waited for resources until machines are asked for.
const MIN_SHORTAGE: u64 = 10;
/// How long a node takes no new tasks before it is drained; one that was given a task in the meantime is kept.
const PAUSE: u64 = 15;
/// A drained node keeps its tasks no longer than this.
const MAX_DRAIN: u64 = 600;
/// Swarm needs a moment after a drain to take addresses back.
const MIN_DRAIN: u64 = 15;
/// How long a node may be down until its machine is given up.
const MAX_DOWN: u64 = 600;
/// Between two calls of the hook about the same thing.
const CALL_PAUSE: u64 = 30;

/// What to do now, in this order; at most one step for each node.
///
/// The steps are small, and after each of them the next one follows from the state of the cluster, so they may be repeated or cut off anywhere.
pub fn plan(memory: &mut Memory, cluster: &Cluster, limits: &Limits, now: Seconds) -> Vec<Step> {
    let is_short = cluster.pending.iter().any(|pending| cluster.size.fits(pending.each));
    let mut steps = too_large(memory, cluster, now);
    for node in &cluster.nodes {
        steps.extend(for_node(memory, node, cluster, limits, is_short, now));
    }
    steps.extend(absent(memory, cluster, limits, now));
    // Nodes that come back may be enough.
    let returns = steps.iter().any(|step| matches!(step, Step::Enter { phase: Phase::Active, .. }));
    if !returns {
        steps.extend(add(memory, cluster, limits, now));
    }
    steps
}

fn for_node(
    memory: &mut Memory,
    node: &Node,
    cluster: &Cluster,
    limits: &Limits,
    is_short: bool,
    now: Seconds,
) -> Option<Step> {
    let id = || node.id.clone();
    let enter = |phase| Some(Step::Enter { node: id(), phase });
    let Some(phase) = node.phase else {
        let made_by_hook = cluster.machines.contains(&node.hostname);
        return (node.up && made_by_hook).then(|| Step::Adopt { node: id() });
    };
    let lasts = now.saturating_sub(node.since);
    if phase == Phase::Removing {
        let may = memory.may_call(&format!("remove-{}", node.id), now, CALL_PAUSE);
        return may.then(|| Step::Remove { node: id(), hostname: node.hostname.clone() });
    }
    if !node.up {
        return if memory.lasts(Watched::Down, &node.id, now) >= MAX_DOWN { enter(Phase::Removing) } else { None };
    }
    memory.ends(Watched::Down, &node.id);
    let is_needed = node.tasks > 0 || is_short;
    match phase {
        Phase::Active if is_needed => {
            memory.ends(Watched::Idle, &node.id);
            None
        }
        Phase::Active if memory.lasts(Watched::Idle, &node.id, now) >= limits.idle.as_secs() => {
            memory.ends(Watched::Idle, &node.id);
            enter(Phase::Pausing)
        }
        Phase::Pausing if is_needed => enter(Phase::Active),
        Phase::Pausing if lasts >= PAUSE => enter(Phase::Draining),
        Phase::Draining if lasts >= MIN_DRAIN && node.all_tasks == 0 || lasts >= MAX_DRAIN => enter(Phase::Removing),
        _ => None,
    }
}

/// Machines that have not joined in twice the time that they may take.
fn absent(memory: &mut Memory, cluster: &Cluster, limits: &Limits, now: Seconds) -> Vec<Step> {
    let mut steps = Vec::new();
    for machine in &cluster.machines {
        if cluster.nodes.iter().any(|node| node.hostname == *machine) {
            memory.ends(Watched::Absent, machine);
        } else if memory.lasts(Watched::Absent, machine, now) >= 2 * limits.start.as_secs()
            && memory.may_call(&format!("discard-{machine}"), now, CALL_PAUSE)
        {
            steps.push(Step::Discard { hostname: machine.clone() });
        }
    }
    steps
}

/// Machines for what waits.
fn add(memory: &mut Memory, cluster: &Cluster, limits: &Limits, now: Seconds) -> Option<Step> {
    let waits = |pending: &Pending| now.saturating_sub(pending.since) >= MIN_SHORTAGE;
    if !cluster.pending.iter().any(|pending| waits(pending) && cluster.size.fits(pending.each)) {
        return None;
    }
    if let Some(last) = &cluster.addition
        && now.saturating_sub(last.at) < limits.start.as_secs()
    {
        if !last.accepted {
            let addition = *last;
            return memory.may_call(&addition.key(), now, CALL_PAUSE).then_some(Step::Add { addition });
        }
        if joined(cluster, last) < last.count {
            return None;
        }
    }
    let elastic = cluster.nodes.iter().filter(|node| node.phase.is_some());
    let known = elastic.map(|node| node.hostname.as_str()).chain(cluster.machines.iter().map(String::as_str));
    let known = count(known.collect::<std::collections::BTreeSet<_>>().len());
    let is_node = |machine: &&String| cluster.nodes.iter().any(|node| node.hostname == **machine);
    let arriving = count(cluster.machines.iter().filter(|machine| !is_node(machine)).count());
    let needed = machines(&cluster.pending, cluster.size, limits.max);
    let count = needed.saturating_sub(arriving).min(limits.max.saturating_sub(known));
    let addition = Addition { at: now, count, accepted: false };
    (count > 0 && memory.may_call(&addition.key(), now, CALL_PAUSE)).then_some(Step::Add { addition })
}

/// Nodes that have joined since an addition.
fn joined(cluster: &Cluster, addition: &Addition) -> u32 {
    count(cluster.nodes.iter().filter(|node| node.phase.is_some() && node.up && node.since >= addition.at).count())
}

fn too_large(memory: &mut Memory, cluster: &Cluster, now: Seconds) -> Vec<Step> {
    let too_large = cluster.pending.iter().filter(|pending| !cluster.size.fits(pending.each));
    let once = |pending: &Pending, memory: &mut Memory| {
        memory.may_call(&format!("large-{}", pending.function), now, CALL_PAUSE * 10)
    };
    let mut steps = Vec::new();
    for pending in too_large {
        if once(pending, memory) {
            steps.push(Step::TooLarge { function: pending.function.clone() });
        }
    }
    steps
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
