//! Whether a delivery is the one that is to run its call.

use skep_protocol::Invocation;

use crate::{Bus, Delivery, Result};

/// Where a call stands that was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    ToBeRun,
    /// It has its record.
    Ended,
    /// A later attempt of it waits already.
    Further,
    /// Another worker, or this one, runs it at this moment.
    Running,
}

impl Bus {
    /// Looks a delivered call up where it can have been worked on before; a first delivery of a new id is not looked up.
    pub async fn standing(&self, delivery: &Delivery<Invocation>, invocation: &Invocation) -> Result<Standing> {
        let was_moved = invocation.last_attempt.is_some() || invocation.run_at.is_some();
        if !delivery.may_be_repeated && !invocation.has_callers_id && !invocation.was_begun && !was_moved {
            return Ok(Standing::ToBeRun);
        }
        let id = &invocation.call_id;
        if self.record(id).await?.is_some() {
            return Ok(Standing::Ended);
        }
        if delivery.delivered < 2 && !invocation.was_begun {
            return Ok(Standing::ToBeRun);
        }
        if let Some(delayed) = self.find_delayed(id).await?
            && crate::wire::attempts(&delayed.headers) > invocation.attempts()
        {
            return Ok(Standing::Further);
        }
        let runs = self.ask_running(id).await.is_some();
        Ok(if runs { Standing::Running } else { Standing::ToBeRun })
    }
}
