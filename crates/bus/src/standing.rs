//! Whether a delivery is the one that is to run its call.

use skep_protocol::Invocation;

use crate::{Bus, Delivery, Place, Result};

/// Where a call stands that was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    ToBeRun,
    /// It has its record.
    Ended,
    /// It waits elsewhere already, or a later attempt of it does.
    Further,
}

impl Delivery<Invocation> {
    /// Whether another worker may have this call too: it may have been delivered before, or its lease has run out.
    pub fn may_be_held_elsewhere(&self, invocation: &Invocation) -> bool {
        self.may_be_repeated || invocation.begun.is_some()
    }
}

impl Bus {
    /// Looks a delivered call up where it can have been worked on before; a first delivery of a new id is not looked up unless it is in doubt.
    ///
    /// Nobody else may hold the call: someone who does could store its record right after this look.
    pub async fn standing(
        &self,
        delivery: &Delivery<Invocation>,
        invocation: &Invocation,
        is_in_doubt: bool,
    ) -> Result<Standing> {
        let is_set_aside = delivery.place == Place::Backlog;
        let was_moved = invocation.last_attempt.is_some() || invocation.run_at.is_some() || is_set_aside;
        if !is_in_doubt && !invocation.has_callers_id && !was_moved {
            return Ok(Standing::ToBeRun);
        }
        if self.ended.has(&invocation.call_id).await? {
            return Ok(Standing::Ended);
        }
        if delivery.delivered < 2 && invocation.begun.is_none() {
            return Ok(Standing::ToBeRun);
        }
        // The ack with which it left its lane was lost, or another attempt waits.
        let left_lane = !is_set_aside && self.is_in_backlog(invocation).await?;
        let is_further = left_lane || self.waits_further(invocation).await?;
        Ok(if is_further { Standing::Further } else { Standing::ToBeRun })
    }
}
