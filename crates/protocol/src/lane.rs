//! The lanes of the stream of calls: each function is hashed to one.

use crate::FunctionName;

/// How many lanes functions are hashed to: consumers cost the server, functions must not (docs: ARCHITECTURE.md).
const USUAL_LANES: u32 = 16;
/// Further lanes, for hot functions, so that others do not queue behind them.
const BULK_LANES: u32 = 4;
/// How many lanes the invocation stream has.
pub const LANES: u32 = USUAL_LANES + BULK_LANES;

/// The lane of a function: FNV-1a of its name, as the server's own `partition()` computes it.
pub fn lane_of(function: &FunctionName) -> u32 {
    hash_of(function) % USUAL_LANES
}

/// The lane of a function while it is called very often.
pub(crate) fn bulk_lane_of(function: &FunctionName) -> u32 {
    USUAL_LANES + hash_of(function) % BULK_LANES
}

/// All lanes that calls of a function may be in.
pub fn lanes_of(function: &FunctionName) -> [u32; 2] {
    [lane_of(function), bulk_lane_of(function)]
}

pub fn is_bulk(lane: u32) -> bool {
    lane >= USUAL_LANES
}

fn hash_of(function: &FunctionName) -> u32 {
    let bytes = function.as_str().bytes();
    bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_stable_and_in_range() {
        // A changed hash would strand queued calls, so two values are pinned.
        assert_eq!(lane_of(&"a".parse().unwrap()), 0xe40c_292c % USUAL_LANES);
        assert_eq!(lane_of(&"foobar".parse().unwrap()), 0xbf9c_f968 % USUAL_LANES);
    }
}
