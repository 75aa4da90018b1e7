//! How much memory applications make the server hold: data that is gathered, results that wait to be fetched, what searches
//! found, session objects. One application that takes its share cannot take that of the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use slotfs_wire::rv::CKR_DEVICE_MEMORY;

use crate::error::{Result, Rv};

/// What one application may make the server hold, bytes: several of the longest operations at once.
const MOST_OF_ONE: usize = 512 << 20;
/// What all may together, bytes.
const MOST: usize = 1 << 30;
/// So much one holder gets as long as its application has room, whatever the others take, bytes.
const SMALL: usize = 64 << 10;

/// What all applications of a server make it hold.
#[derive(Default)]
pub(crate) struct Memory(Arc<AtomicUsize>);

impl Memory {
    /// For a new application.
    pub(crate) fn account(&self) -> Account {
        Account {
            own: Arc::default(),
            all: Arc::clone(&self.0),
        }
    }
}

/// What one application makes the server hold.
#[derive(Clone, Default)]
pub(crate) struct Account {
    own: Arc<AtomicUsize>,
    all: Arc<AtomicUsize>,
}

impl Account {
    /// Memory for one holder, which has none yet.
    pub(crate) fn holder(&self) -> Held {
        Held {
            account: self.clone(),
            bytes: 0,
        }
    }
}

/// What one session, or one object, makes the server hold. It is given back when dropped.
#[derive(Default)]
pub(crate) struct Held {
    account: Account,
    bytes: usize,
}

impl Held {
    /// Asks for `more` bytes before they are taken.
    ///
    /// # Errors
    /// `CKR_DEVICE_MEMORY`
    pub(crate) fn make_room(&mut self, more: usize) -> Result<()> {
        let bytes = self.bytes.saturating_add(more);
        self.set(bytes);
        let own = self.account.own.load(Ordering::Relaxed);
        let all = self.account.all.load(Ordering::Relaxed);
        if own > MOST_OF_ONE || (bytes > SMALL && all > MOST) {
            self.set(bytes - more.min(bytes));
            return Err(Rv(CKR_DEVICE_MEMORY));
        }
        Ok(())
    }

    /// Says how much it has come to.
    pub(crate) fn set(&mut self, bytes: usize) {
        if bytes == self.bytes {
            return;
        }
        for counter in [&self.account.own, &self.account.all] {
            // Wrapping, which adds what is negative too.
            counter.fetch_add(bytes.wrapping_sub(self.bytes), Ordering::Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_application_leaves_room_for_another() {
        let memory = Memory::default();
        let (first, second) = (memory.account(), memory.account());
        let mut held = first.holder();
        held.make_room(MOST_OF_ONE).unwrap();
        let mut more = first.holder();
        assert_eq!(more.make_room(1), Err(Rv(CKR_DEVICE_MEMORY)));
        let mut other = second.holder();
        other.make_room(MOST_OF_ONE).unwrap();
        drop(held);
        more.make_room(1).unwrap();
        more.set(0);
        other.set(0);
        assert_eq!(memory.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_little_is_had_when_all_is_taken() {
        let memory = Memory::default();
        let full: Vec<_> = (0..MOST / MOST_OF_ONE)
            .map(|_| {
                let mut held = memory.account().holder();
                held.make_room(MOST_OF_ONE).unwrap();
                held
            })
            .collect();
        let mut other = memory.account().holder();
        assert_eq!(other.make_room(SMALL + 1), Err(Rv(CKR_DEVICE_MEMORY)));
        other.make_room(SMALL).unwrap();
        drop(full);
    }
}
