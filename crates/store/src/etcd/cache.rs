//! What is known of the cluster's keys: for each slot, values that hold as long as nobody writes to the slot.
//!
//! Every write of a slot changes its key `w`. A value that was read together with `w` at its revision R holds while the
//! slot's `w` is still of revision R. So one question for all `w` tells which values still hold.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use super::keys::Key;
use super::values::Writes;
use crate::rows::Seen;
use identities::Identities;
use slotfs_object::SlotId;

mod identities;
#[cfg(test)]
mod tests;

/// The most bytes of keys and values that are kept for one slot.
const MOST_BYTES: usize = 16 << 20;
/// The same for all slots together.
const MOST_OF_ALL: usize = 96 << 20;
/// What an entry costs beside its key and value.
const ENTRY_BYTES: usize = 64;

/// A value; `None` where there is no such key.
pub(super) type Value = Option<Arc<[u8]>>;

/// What is known.
#[derive(Default)]
pub(super) struct Cache {
    slots: BTreeMap<SlotId, Known>,
    /// When the last question for all `w` was sent that was answered.
    asked: Option<Instant>,
    /// Counts the changes of a slot's serial, generation or existence that were seen.
    pub(super) slot_changes: u64,
    /// Counts the changes that were seen of anything.
    pub(super) changes: u64,
    /// Slots that this process deleted, and at which revision.
    deleted: HashMap<SlotId, i64>,
}

/// What is known of one slot.
struct Known {
    /// Of `w`.
    revision: i64,
    writes: Seen<Writes>,
    values: HashMap<Key, Value>,
    bytes: usize,
    /// All identities, where they were read.
    identities: Option<Identities>,
    /// Whether a commit of this process is on its way.
    sending: bool,
    /// What was known before somebody was told of this revision, while that may be of a commit on its way.
    before: Option<Box<Known>>,
}

impl Cache {
    /// Whether all `w` were asked for at `since` or later.
    pub(super) fn is_fresh(&self, since: Instant) -> bool {
        self.asked.is_some_and(|asked| asked >= since)
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = (SlotId, i64, &Seen<Writes>)> {
        let known = self.slots.iter();
        known.map(|(slot, it)| (*slot, it.revision, &it.writes))
    }

    pub(super) fn writes(&self, slot: SlotId) -> Option<(i64, &Seen<Writes>)> {
        let known = self.slots.get(&slot)?;
        Some((known.revision, &known.writes))
    }

    /// A value that holds while `w` is of `revision`, if it is known.
    pub(super) fn value(&self, slot: SlotId, revision: i64, key: &[u8]) -> Option<Value> {
        let known = self.slots.get(&slot)?;
        if known.revision != revision {
            return None;
        }
        let lacks = |it: &Identities| it.lack(key);
        match known.values.get(key) {
            Some(value) => Some(value.clone()),
            None => known.identities.as_ref().is_some_and(lacks).then_some(None),
        }
    }

    /// The answer to a question for all `w` that was sent at `asked` and answered as of `revision`.
    pub(super) fn learn_all(
        &mut self,
        asked: Instant,
        revision: i64,
        all: Vec<(SlotId, i64, Seen<Writes>)>,
    ) {
        let there: Vec<SlotId> = all.iter().map(|(slot, ..)| *slot).collect();
        for (slot, revision, writes) in all {
            self.learn_writes(slot, revision, writes);
        }
        let before = self.slots.len();
        // A slot that was made after that answer is not gone.
        self.slots
            .retain(|slot, known| known.revision > revision || there.contains(slot));
        if self.slots.len() != before {
            self.slot_changes += 1;
            self.changes += 1;
        }
        self.asked = self.asked.max(Some(asked));
    }

    /// `w` of a slot, as it was read at a revision.
    pub(super) fn learn_writes(&mut self, slot: SlotId, revision: i64, writes: Seen<Writes>) {
        let version = |it: &Seen<Writes>| it.as_ref().ok().map(|it| (it.serial, it.generation));
        match self.slots.get_mut(&slot) {
            Some(known) if known.revision >= revision => {}
            Some(known) => {
                let same = version(&known.writes) == version(&writes) && writes.is_ok();
                self.slot_changes += u64::from(!same);
                self.changes += 1;
                let new = Known::new(revision, writes);
                let before = std::mem::replace(known, new);
                if before.sending {
                    known.sending = true;
                    known.before = Some(before.first());
                }
            }
            // This process deleted it later.
            None if self.deleted.get(&slot).is_some_and(|it| *it >= revision) => {}
            None => {
                self.slot_changes += 1;
                self.changes += 1;
                self.slots.insert(slot, Known::new(revision, writes));
            }
        }
    }

    /// There is no such slot any more, as of `revision`.
    pub(super) fn learn_none(&mut self, slot: SlotId, revision: i64) {
        if self
            .slots
            .get(&slot)
            .is_some_and(|it| it.revision <= revision)
        {
            self.slots.remove(&slot);
            self.slot_changes += 1;
            self.changes += 1;
        }
    }

    /// A value that was read together with a `w` of `revision`.
    pub(super) fn learn(&mut self, slot: SlotId, revision: i64, key: Key, value: Value) {
        if let Some(known) = self.slots.get_mut(&slot)
            && known.revision == revision
        {
            known.keep(key, value);
            self.bound(slot);
        }
    }

    /// Forgets the values of another slot where there are too many of all. `slot` is the one that grew.
    fn bound(&mut self, slot: SlotId) {
        let all: usize = self.slots.values().map(|it| it.bytes).sum();
        if all <= MOST_OF_ALL {
            return;
        }
        let others = self.slots.iter_mut().filter(|(it, _)| **it != slot);
        if let Some((_, largest)) = others.max_by_key(|(_, it)| it.bytes) {
            largest.forget();
        }
    }

    /// All keys under `i`, which begin with `prefix`, as they were read together with a `w` of `revision`.
    pub(super) fn learn_identities<'a>(
        &mut self,
        slot: SlotId,
        revision: i64,
        prefix: Key,
        keys: impl Iterator<Item = &'a [u8]>,
    ) {
        if let Some(known) = self.slots.get_mut(&slot)
            && known.revision == revision
        {
            known.identities = Identities::of(prefix, keys);
        }
    }

    /// A commit that changes the slot from what is known of it is sent, and [`Self::sent`] is called afterwards.
    pub(super) fn sending(&mut self, slot: SlotId) {
        if let Some(known) = self.slots.get_mut(&slot) {
            known.sending = true;
        }
    }

    /// It was answered, and [`Self::committed`] was called if it was done.
    pub(super) fn sent(&mut self, slot: SlotId) {
        if let Some(known) = self.slots.get_mut(&slot) {
            known.sending = false;
            known.before = None;
        }
    }

    /// A commit of this process: `w` went from revision `from` to `to`, and `changes` are all that changed. Everything
    /// else that was known still holds.
    pub(super) fn committed(
        &mut self,
        slot: SlotId,
        (from, to): (i64, i64),
        writes: Writes,
        changes: impl Iterator<Item = (Key, Value)>,
    ) {
        // Somebody may have been told of it already.
        if let Some(known) = self.slots.get_mut(&slot)
            && known.revision == to
            && known.before.as_ref().is_some_and(|it| it.revision == from)
            && let Some(before) = known.before.take()
        {
            *known = *before;
        }
        let same = match self.slots.get_mut(&slot) {
            Some(known) if known.revision == from || known.revision == to => {
                let same = known
                    .writes
                    .as_ref()
                    .is_ok_and(|it| it.version(slot) == writes.version(slot));
                known.revision = to;
                known.writes = Ok(writes);
                for (key, value) in changes {
                    known.keep(key, value);
                }
                same
            }
            // Somebody was told of a later state already.
            Some(known) if known.revision > to => return,
            _ => {
                self.slots.insert(slot, Known::new(to, Ok(writes)));
                false
            }
        };
        self.slot_changes += u64::from(!same);
        self.changes += 1;
        self.bound(slot);
    }

    /// A commit of this process made the slot go away, at `revision`.
    pub(super) fn deleted(&mut self, slot: SlotId, revision: i64) {
        self.deleted.insert(slot, revision);
        self.slots.remove(&slot);
        self.slot_changes += 1;
        self.changes += 1;
    }
}

impl Known {
    fn new(revision: i64, writes: Seen<Writes>) -> Self {
        Self {
            revision,
            writes,
            values: HashMap::new(),
            bytes: 0,
            identities: None,
            sending: false,
            before: None,
        }
    }

    fn keep(&mut self, key: Key, value: Value) {
        if let Some(known) = &mut self.identities
            && !known.change(&key, value.is_some())
        {
            self.identities = None;
        }
        let bytes = key.len() + value.as_ref().map_or(0, |it| it.len()) + ENTRY_BYTES;
        if self.bytes + bytes > MOST_BYTES {
            self.forget();
        }
        self.bytes += bytes;
        self.values.insert(key, value);
    }

    fn forget(&mut self) {
        self.values = HashMap::new();
        self.bytes = 0;
    }

    /// What was known when the commit was sent that is on its way.
    fn first(mut self) -> Box<Self> {
        self.before.take().unwrap_or_else(|| Box::new(self))
    }
}
