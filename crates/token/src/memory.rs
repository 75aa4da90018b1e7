//! How much memory applications make the server hold: data that is gathered, results that wait to be fetched, what searches
//! found, session objects. No user can take that of the others.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use slotfs_wire::rv::CKR_DEVICE_MEMORY;

use crate::error::{Result, Rv};

/// What all applications together may make the server hold, bytes.
const MOST: usize = 1 << 30;
/// What those of users who are neither root nor the server's own may, bytes: those two always have the other half.
const MOST_OF_OTHERS: usize = MOST / 2;
/// What those of one such user may, bytes: the longest operation there is, twice.
const MOST_OF_ANOTHER: usize = MOST / 4;
/// A holder of so much gets it also where others have taken all, bytes.
const SMALL: usize = 64 << 10;

/// To whom memory is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// root, or the user of the server.
    Server,
    /// Another user, by number.
    Another(u32),
}

/// What all applications of a server make it hold.
#[derive(Default)]
pub(crate) struct Memory {
    all: Arc<AtomicUsize>,
    others: Arc<AtomicUsize>,
    of: Mutex<HashMap<u32, Weak<AtomicUsize>>>,
}

impl Memory {
    /// For a new application.
    pub(crate) fn account(&self, owner: Owner) -> Account {
        let mut counters = vec![(Arc::clone(&self.all), MOST)];
        if let Owner::Another(uid) = owner {
            let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
            of.retain(|_, it| it.strong_count() > 0);
            let own = of.get(&uid).and_then(Weak::upgrade).unwrap_or_default();
            of.insert(uid, Arc::downgrade(&own));
            counters.push((Arc::clone(&self.others), MOST_OF_OTHERS));
            counters.push((own, MOST_OF_ANOTHER));
        }
        Account(counters.into())
    }
}

/// What the applications of one owner make the server hold: counters, each with its limit.
#[derive(Clone)]
pub(crate) struct Account(Arc<[(Arc<AtomicUsize>, usize)]>);

impl Default for Account {
    fn default() -> Self {
        Self(Arc::new([]))
    }
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
        let before = self.bytes;
        let bytes = before.saturating_add(more);
        self.set(bytes);
        // Small ones have a limit too, which others reach only together.
        let factor = if bytes <= SMALL { 2 } else { 1 };
        let mut counters = self.account.0.iter();
        if counters.any(|(taken, most)| taken.load(Ordering::Relaxed) > factor * most) {
            self.set(before);
            return Err(Rv(CKR_DEVICE_MEMORY));
        }
        Ok(())
    }

    /// Says how much it has come to.
    pub(crate) fn set(&mut self, bytes: usize) {
        if bytes == self.bytes {
            return;
        }
        for (taken, _) in &*self.account.0 {
            // Wrapping, which adds what is negative too.
            taken.fetch_add(bytes.wrapping_sub(self.bytes), Ordering::Relaxed);
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

    const FULL: Result<()> = Err(Rv(CKR_DEVICE_MEMORY));

    #[test]
    fn one_user_leaves_room_for_another() {
        let memory = Memory::default();
        let mut held = memory.account(Owner::Another(1)).holder();
        held.make_room(MOST_OF_ANOTHER).unwrap();
        // Another application of the same user.
        let mut more = memory.account(Owner::Another(1)).holder();
        assert_eq!(more.make_room(SMALL + 1), FULL);
        more.make_room(SMALL).unwrap();
        let mut second = memory.account(Owner::Another(2)).holder();
        second.make_room(MOST_OF_ANOTHER - SMALL).unwrap();
        let mut third = memory.account(Owner::Another(3)).holder();
        assert_eq!(third.make_room(SMALL + 1), FULL);
        // The server's own user has half of all.
        let mut own = memory.account(Owner::Server).holder();
        own.make_room(MOST - MOST_OF_OTHERS).unwrap();
        assert_eq!(own.make_room(1), FULL);
        drop((held, second, third, more));
        own.make_room(1).unwrap();
        own.set(0);
        assert_eq!(memory.all.load(Ordering::Relaxed), 0);
        assert_eq!(memory.others.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn many_who_hold_a_little_have_a_limit_too() {
        let memory = Memory::default();
        let account = memory.account(Owner::Another(1));
        let mut all: Vec<Held> = (0..2 * MOST_OF_ANOTHER / SMALL)
            .map(|_| account.holder())
            .collect();
        for it in &mut all {
            it.make_room(SMALL).unwrap();
        }
        assert_eq!(account.holder().make_room(1), FULL);
        let mut other = memory.account(Owner::Another(2)).holder();
        other.make_room(SMALL).unwrap();
    }
}
