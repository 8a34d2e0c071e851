//! Lanes: a fixed number of consumers over the stream of calls, each function hashed to one.

use skep_protocol::{Call, is_bulk};

use crate::{Place, Queue, Queues, wire};

impl Queues {
    /// One lane's queue of calls, from 0 to [`LANES`](skep_protocol::LANES).
    pub fn lane(&self, lane: u32) -> Queue<Call> {
        let filter = self.nats.subjects.invoke_lane(lane);
        let queue = Queue::new(&self.nats, "INVOKE", lane_name(lane), filter, |message| {
            wire::read_call(wire::headers(message), message.payload.clone())
        });
        queue.at(if is_bulk(lane) { Place::BulkLane } else { Place::Lane })
    }
}

pub(crate) fn lane_name(lane: u32) -> String {
    format!("lane-{lane}")
}
