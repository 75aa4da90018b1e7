//! The room that staging files have. Each slot has its own limit, so that one slot cannot use up the room of the others,
//! and all slots together have a limit.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use crate::fs::lock;
use crate::object::SlotId;

/// The most of one thing that may be held.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// In one slot.
    pub slot: usize,
    /// Beyond that, for processes that hold no more than `little` in the slot. A process that fills the slot cannot use
    /// it.
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
    /// On content.
    pub bytes: Limit,
    /// On files and folders.
    pub entries: Limit,
}

/// The limits of every mount.
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
    /// Whether `more` fits, if the slot, the process in that slot, and all slots together hold this much.
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

/// How much each slot and process holds.
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

    fn take(&self, slot: SlotId, pid: u32, bytes: usize, entries: usize) -> bool {
        let mut books = lock(&self.books);
        let Books {
            mount,
            slots,
            processes,
        } = &mut *books;
        let in_slot = slots.get(&slot).copied().unwrap_or_default();
        let own = processes.get(&(slot, pid)).copied().unwrap_or_default();
        let Limits {
            bytes: of_bytes,
            entries: of_entries,
        } = self.limits;
        let fits = (bytes == 0 || of_bytes.fits(bytes, in_slot.bytes, own.bytes, mount.bytes))
            && (entries == 0
                || of_entries.fits(entries, in_slot.entries, own.entries, mount.entries));
        if fits {
            mount.add(bytes, entries);
            slots.entry(slot).or_default().add(bytes, entries);
            let own = processes.entry((slot, pid)).or_default();
            own.add(bytes, entries);
        }
        fits
    }

    fn give_back(&self, slot: SlotId, pid: u32, bytes: usize, entries: usize) {
        let mut books = lock(&self.books);
        books.mount.subtract(bytes, entries);
        give_back(&mut books.slots, slot, bytes, entries);
        give_back(&mut books.processes, (slot, pid), bytes, entries);
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let books = lock(&self.books);
        books.mount == Held::default() && books.slots.is_empty() && books.processes.is_empty()
    }
}

fn give_back<K: Eq + Hash>(held: &mut HashMap<K, Held>, key: K, bytes: usize, entries: usize) {
    if let Entry::Occupied(mut held) = held.entry(key) {
        held.get_mut().subtract(bytes, entries);
        if *held.get() == Held::default() {
            held.remove();
        }
    }
}

/// The room of one file or folder, which `drop` gives back.
pub(super) struct Room {
    ledger: Arc<Ledger>,
    slot: SlotId,
    pid: u32,
    bytes: usize,
}

impl Room {
    /// Room for one more file or folder of `pid` in `slot`, if there is any.
    pub(super) fn for_entry(ledger: &Arc<Ledger>, slot: SlotId, pid: u32) -> Option<Self> {
        ledger.take(slot, pid, 0, 1).then(|| Self {
            ledger: Arc::clone(ledger),
            slot,
            pid,
            bytes: 0,
        })
    }

    /// The slot whose room it is.
    pub(super) fn slot(&self) -> SlotId {
        self.slot
    }

    /// Changes the size to `bytes`; `false`, and no change, if there is not so much room.
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

    /// Moves the room to another slot; `false`, and no change, if that slot has not so much.
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
