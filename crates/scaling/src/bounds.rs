//! How many replicas are of use on one machine.

use crate::{Observation, Policy, state::State};

/// Cores are used up at this share of them.
const USED_UP: f64 = 0.85;
/// Replicas per core while it is not known whether calls use the processor.
const REPLICAS_PER_CORE: f64 = 8.0;
/// Slots are fewer than calls that use the processor all the time, so that cores do not wait for the next call.
const SPARE: f64 = 1.25;

/// The most replicas that are of use where all share the cores of one machine; `None` if they do not.
///
/// Calls that sleep leave the cores to others, so any number of them may run; calls that compute need a core each.
/// While the cores are used up, nobody can see which of the two they are, so what was seen before counts.
pub(crate) fn useful(state: &mut State, seen: &Observation, policy: &Policy) -> Option<u32> {
    let cores = policy.cores.filter(|cores| *cores > 0.0)?;
    let last = state.history.last();
    let used = last.per_second(last.cores);
    let busy = last.per_second(last.busy);
    if seen.cpu.is_some() && busy >= 0.5 && used < USED_UP * cores {
        let share = used / busy;
        let before = state.cores_per_call.unwrap_or(share);
        state.cores_per_call = Some(before + (share - before) * 0.2);
    }
    let many = (cores * REPLICAS_PER_CORE).max(1.0);
    let Some(share) = state.cores_per_call else {
        // As many as run already are of no more use if they use all cores.
        return Some(if used >= USED_UP * cores { seen.replicas().max(1) } else { whole(many) });
    };
    let slots = cores * SPARE / share.max(0.001);
    Some(whole(slots / f64::from(policy.slots.max(1))).max(1))
}

fn whole(replicas: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = replicas.ceil().clamp(0.0, f64::from(u32::MAX)) as u32;
    whole
}
