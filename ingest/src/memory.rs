//! Memory of request bodies: all of them together have a bound.
//!
//! A body reserves before it reads, and gives back when it is dropped. Nobody waits: what is not
//! there at once is a 503, so that memory stays flat and a client learns early.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Semaphores count in `u32`; in kibibytes they reach four tebibytes.
const UNIT_BYTES: usize = 1024;

/// What bodies may take together.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    units: Arc<Semaphore>,
    units_max: usize,
}

impl Memory {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let units_max = bytes_max.div_ceil(UNIT_BYTES).min(Semaphore::MAX_PERMITS);
        Self { units: Arc::new(Semaphore::new(units_max)), units_max }
    }

    /// Bytes that are taken.
    pub(crate) fn taken_bytes(&self) -> usize {
        (self.units_max - self.units.available_permits()) * UNIT_BYTES
    }

    pub(crate) fn reserve_nothing(&self) -> Reservation {
        Reservation { memory: self.clone(), permit: None, spare_bytes: 0 }
    }
}

/// A body's part, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    memory: Memory,
    permit: Option<OwnedSemaphorePermit>,
    /// Reserved because of whole units, and not used.
    spare_bytes: usize,
}

impl Reservation {
    /// Takes `bytes` more; says whether they were there.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let Some(wanted) = bytes.checked_sub(self.spare_bytes) else {
            self.spare_bytes -= bytes;
            return true;
        };
        let units = wanted.div_ceil(UNIT_BYTES);
        let Ok(count) = u32::try_from(units) else { return false };
        let Ok(more) = Arc::clone(&self.memory.units).try_acquire_many_owned(count) else {
            return false;
        };
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        self.spare_bytes = units * UNIT_BYTES - wanted;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_back() {
        let memory = Memory::new(10 * UNIT_BYTES);
        let mut one = memory.reserve_nothing();
        assert!(one.grow(1) && one.grow(UNIT_BYTES - 1));
        assert_eq!(memory.taken_bytes(), UNIT_BYTES);
        assert!(one.grow(5 * UNIT_BYTES));
        let mut two = memory.reserve_nothing();
        assert!(!two.grow(4 * UNIT_BYTES + 1));
        assert!(two.grow(4 * UNIT_BYTES));
        drop(one);
        assert_eq!(memory.taken_bytes(), 4 * UNIT_BYTES);
        drop(two);
        assert_eq!(memory.taken_bytes(), 0);
    }
}
