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
    /// Another worker, or this one, runs it at this moment.
    Running,
}

impl Bus {
    /// Looks a delivered call up where it can have been worked on before; a first delivery of a new id is not looked up.
    pub async fn standing(&self, delivery: &Delivery<Invocation>, invocation: &Invocation) -> Result<Standing> {
        let is_set_aside = delivery.place == Place::Backlog;
        let was_moved = invocation.last_attempt.is_some() || invocation.run_at.is_some() || is_set_aside;
        if !delivery.may_be_repeated && !invocation.has_callers_id && invocation.begun.is_none() && !was_moved {
            return Ok(Standing::ToBeRun);
        }
        let id = &invocation.call_id;
        if self.ended.has(id).await? {
            return Ok(Standing::Ended);
        }
        if delivery.delivered < 2 && invocation.begun.is_none() {
            return Ok(Standing::ToBeRun);
        }
        // The ack with which it left its lane was lost, or another attempt waits.
        let left_lane = !is_set_aside && self.is_in_backlog(invocation).await?;
        if left_lane || self.waits_further(invocation).await? {
            return Ok(Standing::Further);
        }
        let runs = self.ask_running(id).await.is_some();
        Ok(if runs { Standing::Running } else { Standing::ToBeRun })
    }
}
