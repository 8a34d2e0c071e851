//! Memory for bodies of senders that have not proven who they are: without a bound, strangers could take all of it.

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{Error, Result};

/// Bytes of all such bodies together.
const MAX_BYTES: usize = 128 << 20;
/// The beginning of each body takes no room, because connections are bounded; so large bodies of a stranger never keep out the small ones of others.
const FREE: usize = 16 << 10;

pub(super) struct Room(Semaphore);

/// What one body takes of it; when this is dropped, it is free again.
pub(super) struct Place<'room> {
    room: &'room Room,
    /// How much of the body takes no room.
    free: usize,
    taken: Option<SemaphorePermit<'room>>,
}

impl Default for Room {
    fn default() -> Self {
        Self(Semaphore::new(MAX_BYTES))
    }
}

impl Room {
    pub(super) fn place(&self) -> Place<'_> {
        Place { room: self, free: FREE, taken: None }
    }
}

impl<'room> Place<'room> {
    /// Some more of the body has come.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<()> {
        let beyond = bytes.saturating_sub(self.free);
        self.free = self.free.saturating_sub(bytes);
        if beyond == 0 {
            return Ok(());
        }
        let more = u32::try_from(beyond).ok().and_then(|bytes| self.room.0.try_acquire_many(bytes).ok());
        let more: SemaphorePermit<'room> = more.ok_or(Error::TooManyUnverified)?;
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_bodies_share_the_room_and_small_ones_need_none() {
        let room = Room::default();
        let mut large = room.place();
        large.grow(FREE).unwrap();
        large.grow(MAX_BYTES - 1).unwrap();
        let mut other = room.place();
        other.grow(FREE - 1).unwrap();
        other.grow(2).unwrap();
        assert!(matches!(other.grow(1), Err(Error::TooManyUnverified)));
        room.place().grow(FREE).unwrap();
        drop(large);
        other.grow(MAX_BYTES - 1).unwrap();
        drop(other);
        assert_eq!(room.0.available_permits(), MAX_BYTES);
    }
}
