//! How much room staging files have. Each slot has its own, so that one slot cannot fill it for the others, and all
//! slots together have a bound.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::object::SlotId;

/// The most of one thing that may be held.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// In one slot.
    pub slot: usize,
    /// Beyond that, for processes that hold no more than `little` of the slot. A process that fills its slot
    /// leaves this to the others.
    pub spare: usize,
    /// See `spare`.
    pub little: usize,
    /// In all slots together.
    pub mount: usize,
    /// What a slot may hold even when all slots together are at their limit.
    pub assured: usize,
}

/// The limits of a mount.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of content.
    pub bytes: Limit,
    /// Of files and folders.
    pub entries: Limit,
}

/// What a mount has.
pub const LIMITS: Limits = Limits {
    bytes: Limit {
        slot: 64 << 20,
        spare: 16 << 20,
        little: 1 << 20,
        mount: 512 << 20,
        assured: 8 << 20,
    },
    entries: Limit {
        slot: 65_536,
        spare: 4_096,
        little: 64,
        mount: 524_288,
        assured: 8_192,
    },
};

impl Limit {
    /// Whether `more` fits beside what the slot, the process in that slot, and all slots hold.
    fn fits(self, more: usize, slot: usize, process: usize, mount: usize) -> bool {
        let slot = slot.saturating_add(more);
        let little = process.saturating_add(more) <= self.little;
        let in_slot = slot <= self.slot || (little && slot <= self.slot + self.spare);
        in_slot && (slot <= self.assured || mount.saturating_add(more) <= self.mount)
    }
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Held {
    bytes: usize,
    entries: usize,
}

impl Held {
    fn add(&mut self, bytes: usize, entries: usize) {
        self.bytes += bytes;
        self.entries += entries;
    }

    fn subtract(&mut self, bytes: usize, entries: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.entries = self.entries.saturating_sub(entries);
    }
}

/// Who holds how much.
pub(super) struct Ledger {
    limits: Limits,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    mount: Held,
    slots: HashMap<SlotId, Held>,
    processes: HashMap<(SlotId, u32), Held>,
}

impl Ledger {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            books: Mutex::default(),
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, slot: SlotId, pid: u32, bytes: usize, entries: usize) -> bool {
        let mut books = self.books();
        let in_slot = books.slots.get(&slot).copied().unwrap_or_default();
        let process = books
            .processes
            .get(&(slot, pid))
            .copied()
            .unwrap_or_default();
        let all = books.mount;
        let Limits {
            bytes: most_bytes,
            entries: most_entries,
        } = self.limits;
        let fits = (bytes == 0 || most_bytes.fits(bytes, in_slot.bytes, process.bytes, all.bytes))
            && (entries == 0
                || most_entries.fits(entries, in_slot.entries, process.entries, all.entries));
        if fits {
            books.mount.add(bytes, entries);
            books.slots.entry(slot).or_default().add(bytes, entries);
            books
                .processes
                .entry((slot, pid))
                .or_default()
                .add(bytes, entries);
        }
        fits
    }

    fn give_back(&self, slot: SlotId, pid: u32, bytes: usize, entries: usize) {
        let mut books = self.books();
        books.mount.subtract(bytes, entries);
        if let Some(held) = books.slots.get_mut(&slot) {
            held.subtract(bytes, entries);
            if *held == Held::default() {
                books.slots.remove(&slot);
            }
        }
        if let Some(held) = books.processes.get_mut(&(slot, pid)) {
            held.subtract(bytes, entries);
            if *held == Held::default() {
                books.processes.remove(&(slot, pid));
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let books = self.books();
        books.mount == Held::default() && books.slots.is_empty() && books.processes.is_empty()
    }
}

/// The room of one file or folder; given back when this is dropped.
pub(super) struct Room {
    ledger: Arc<Ledger>,
    slot: SlotId,
    pid: u32,
    bytes: usize,
}

impl Room {
    /// Room for one more that `pid` makes in `slot`, if there is any.
    pub(super) fn for_entry(ledger: &Arc<Ledger>, slot: SlotId, pid: u32) -> Option<Self> {
        ledger.take(slot, pid, 0, 1).then(|| Self {
            ledger: Arc::clone(ledger),
            slot,
            pid,
            bytes: 0,
        })
    }

    /// The slot that it is of.
    pub(super) fn slot(&self) -> SlotId {
        self.slot
    }

    /// Holds room for `bytes` from now on; `false` when there is not so much, and nothing has changed.
    pub(super) fn resize(&mut self, bytes: usize) -> bool {
        let done = match bytes.checked_sub(self.bytes) {
            Some(0) => true,
            Some(more) => self.ledger.take(self.slot, self.pid, more, 0),
            None => {
                self.ledger
                    .give_back(self.slot, self.pid, self.bytes - bytes, 0);
                true
            }
        };
        if done {
            self.bytes = bytes;
        }
        done
    }

    /// Takes the room from another slot from now on; `false` when it has not so much, and nothing has changed.
    pub(super) fn move_to(&mut self, slot: SlotId) -> bool {
        if slot == self.slot {
            return true;
        }
        let done = self.ledger.take(slot, self.pid, self.bytes, 1);
        if done {
            self.ledger.give_back(self.slot, self.pid, self.bytes, 1);
            self.slot = slot;
        }
        done
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.ledger.give_back(self.slot, self.pid, self.bytes, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LITTLE: Limit = Limit {
        slot: 100,
        spare: 20,
        little: 5,
        mount: 250,
        assured: 30,
    };

    fn ledger() -> Arc<Ledger> {
        Arc::new(Ledger::new(Limits {
            bytes: LITTLE,
            entries: LIMITS.entries,
        }))
    }

    fn held(ledger: &Arc<Ledger>, slot: u32, pid: u32, bytes: usize) -> Option<Room> {
        let mut room = Room::for_entry(ledger, SlotId(slot), pid)?;
        room.resize(bytes).then_some(room)
    }

    #[test]
    fn one_slot_does_not_fill_it_for_the_others() {
        let ledger = ledger();
        let _full = held(&ledger, 0, 1, 100).unwrap();
        assert!(held(&ledger, 0, 1, 1).is_none());
        let other = held(&ledger, 1, 1, 100);
        assert!(other.is_some(), "the same process in another slot");
    }

    #[test]
    fn who_fills_a_slot_leaves_a_little_to_the_others() {
        let ledger = ledger();
        let _full = held(&ledger, 0, 1, 100).unwrap();
        let others: Vec<_> = (2..6).map(|pid| held(&ledger, 0, pid, 5)).collect();
        assert!(others.iter().all(Option::is_some));
        assert!(held(&ledger, 0, 7, 1).is_none(), "the spare room is full");
        drop(others);
        assert!(held(&ledger, 0, 7, 6).is_none(), "more than a little");
        assert!(held(&ledger, 0, 7, 5).is_some());
    }

    #[test]
    fn all_slots_together_have_a_bound_and_each_something_all_the_same() {
        let ledger = ledger();
        let _full: Vec<_> = [(0, 100), (1, 100), (2, 50)]
            .map(|(slot, bytes)| held(&ledger, slot, 1, bytes).unwrap())
            .into();
        assert!(held(&ledger, 2, 1, 1).is_none());
        let _assured: Vec<_> = (3..100)
            .map(|slot| {
                assert!(held(&ledger, slot, 1, 31).is_none());
                held(&ledger, slot, 1, 30).unwrap()
            })
            .collect();
    }

    #[test]
    fn room_is_given_back_and_moves() {
        let ledger = ledger();
        let mut room = held(&ledger, 0, 1, 60).unwrap();
        assert!(!room.resize(101));
        assert!(room.resize(100) && room.resize(40));
        let other = held(&ledger, 1, 1, 61).unwrap();
        assert!(!room.move_to(SlotId(1)), "it does not fit there");
        drop(other);
        assert!(room.move_to(SlotId(1)));
        assert!(held(&ledger, 0, 1, 100).is_some());
        assert!(held(&ledger, 1, 1, 61).is_none());
        drop(room);
        assert!(ledger.is_empty());
    }
}
