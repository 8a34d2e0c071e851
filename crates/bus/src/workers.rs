//! Which queue-workers there are: each of them says so every second, and nothing of it is stored.

use futures_util::{Stream, StreamExt};

use crate::{Bus, Error, Result};

impl Bus {
    /// Says that a worker is there.
    pub async fn tell_worker(&self, id: &str) -> Result<()> {
        self.client.publish(self.subjects.workers(), id.to_owned().into()).await.map_err(Error::unavailable)
    }

    /// The ids of workers, each time they say that they are there.
    pub async fn hear_workers(&self) -> Result<impl Stream<Item = String> + use<>> {
        let told = self.client.subscribe(self.subjects.workers()).await.map_err(Error::unavailable)?;
        Ok(told.map(|message| String::from_utf8_lossy(&message.payload).into_owned()))
    }
}
