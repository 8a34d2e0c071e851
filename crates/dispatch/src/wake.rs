//! Waiting for a replica, and waking a function that is scaled to zero: one request to the controller, however many calls wait.

use std::{convert::Infallible, time::Duration};

use skep_bus::Control;
use skep_protocol::{
    FunctionName,
    control::{Change, Wake},
};
use tokio::{
    sync::{Mutex as Turns, Semaphore},
    time::{Instant, timeout},
};
use tracing::warn;

use crate::{
    DispatchConfig, Error, Function, Registry, Result,
    herd::{Herd, Place, Shared},
};

/// When a function that is still at zero, or a controller that does not answer, is asked again.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// What the controller has written is seen here within this time.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) struct Wakes {
    control: Control,
    registry: Registry,
    wake_timeout: Duration,
    scale_from_zero: bool,
    /// Places for calls that wait.
    places: Semaphore,
    /// The caller that asks for a function holds its turn; the others wait for it.
    turns: Shared<Turns<()>>,
    herds: Shared<Herd>,
}

impl Wakes {
    pub(crate) fn new(control: Control, registry: Registry, config: &DispatchConfig) -> Self {
        Self {
            control,
            registry,
            wake_timeout: config.wake_timeout,
            scale_from_zero: config.scale_from_zero,
            places: Semaphore::new(config.held_calls),
            turns: Shared::default(),
            herds: Shared::default(),
        }
    }

    /// Returns when the function has a replica or is gone, or when it took too long; dropping it ends the wait.
    ///
    /// The place, if there is one, is the call's until it is answered.
    pub(crate) async fn ready(&self, function: &Function) -> Result<Option<Place>> {
        if function.replicas() > 0 || self.stays_asleep(function) {
            return Ok(None);
        }
        let Ok(_place) = self.places.try_acquire() else {
            return Err(Error::TooManyHeld(function.name.clone()));
        };
        let _paused = function.usage.paused();
        let is_settled = |registry: &Registry| registry.get(&function.name).is_none_or(|found| found.replicas() > 0);
        let (began, herd) = (Instant::now(), self.herds.of(&function.name));
        tokio::select! {
            _ = self.registry.wait_until(is_settled, self.wake_timeout) => {}
            never = self.keep_awake(&function.name) => match never {},
        }
        if self.registry.get(&function.name).is_none_or(|found| found.replicas() == 0) {
            return Ok(None);
        }
        function.metrics.count_cold_start(began.elapsed());
        Ok(herd.place(&self.registry, &function.name).await)
    }

    /// Has a function woken if it is asleep, and returns when that is seen here, or could not be done in time.
    pub(crate) async fn wake(&self, function: &Function, patience: Duration) {
        function.usage.touch();
        if !self.is_asleep(&function.name) || self.stays_asleep(function) {
            return;
        }
        let turns = self.turns.of(&function.name);
        let asked = timeout(patience, async {
            let _turn = turns.lock().await;
            self.ask(&function.name).await;
        });
        // Callers that wait for a replica check for themselves whether there is one.
        let _ = asked.await;
    }

    /// Asks as often as the function falls asleep, until dropped.
    async fn keep_awake(&self, name: &FunctionName) -> Infallible {
        let turns = self.turns.of(name);
        let _turn = turns.lock().await;
        loop {
            self.ask(name).await;
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }

    async fn ask(&self, name: &FunctionName) {
        if !self.is_asleep(name) {
            return;
        }
        match self.control.request(&Wake(name.clone())).await {
            Ok(Change::Written(revision)) => {
                self.registry.wait_for_revision(revision, REGISTRY_TIMEOUT).await;
            }
            Ok(Change::Unchanged) => {}
            Err(error) => warn!(error = error.chain(), function = %name, "a function could not be woken"),
        }
    }

    fn is_asleep(&self, name: &FunctionName) -> bool {
        self.registry.get(name).is_some_and(|function| function.record.replicas == 0)
    }

    fn stays_asleep(&self, function: &Function) -> bool {
        function.record.replicas == 0 && !self.scale_from_zero
    }
}
