//! Tries to deliver a callback; they are kept only if the first one failed.

use skep_protocol::{CallId, CallStatus, CallbackTry};

use crate::{Calls, Error, Outcomes, Result, calls::records, publish::Message, wire};

impl Outcomes {
    /// Keeps what came of a try.
    pub async fn store_callback_try(&self, call: &CallStatus, one: &CallbackTry) -> Result<()> {
        let subject = self.nats.subjects.callback_try(&call.call_id);
        let unreadable =
            |error: serde_json::Error| Error::Unreadable { subject: subject.clone(), reason: error.to_string() };
        let body = serde_json::to_vec(one).map_err(unreadable)?.into();
        let mut headers = async_nats::HeaderMap::new();
        headers.insert(wire::FUNCTION, call.function.as_str());
        self.nats.publisher.publish(Message { subject, headers, body }).await?;
        Ok(())
    }
}

impl Calls {
    /// The tries that are kept of a call's callback, the last ones if they are many.
    pub async fn callback_tries(&self, id: &CallId) -> Result<Vec<CallbackTry>> {
        let (mut tries, mut after) = (Vec::new(), 0);
        while let Some(message) =
            records::find_after(&self.nats.streams.tries, self.nats.subjects.callback_try(id), after).await?
        {
            after = message.sequence;
            tries.extend(serde_json::from_slice::<CallbackTry>(&message.payload).ok());
        }
        Ok(tries)
    }
}
