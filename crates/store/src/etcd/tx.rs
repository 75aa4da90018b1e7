//! A transaction while it is decided on: what it reads of the cluster, and what it is going to write.
//!
//! Every read is of the state that `w` stands for. Once one shows another `w`, another host was first, and the transaction
//! is begun again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use super::cache::Value;
use super::fetch::{Found, MOST_OPERATIONS, Pairs, Range};
use super::keys::{Key, Place};
use super::values::{Identity, Lock, Writes};
use super::{Inner, lock};
use crate::error::{Error, Result, SlotFault};
use crate::rows::SlotRow;
use crate::rules::TakenRuns;
use slotfs_object::{Ouid, SlotId};

/// Why a transaction cannot go on as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Another host wrote to this slot meanwhile.
    Conflict(SlotId),
    /// Another process seals the slot's rows anew.
    Locked(SlotId, Lock),
}

/// A slot that the transaction looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    /// Of the `w` that everything is decided on.
    pub(super) revision: i64,
    /// As it is.
    pub(super) before: Writes,
    /// As it will be.
    pub(super) writes: Writes,
    /// Whether it will be put.
    pub(super) changed: bool,
    /// Whether `w` was read since the transaction began.
    pub(super) checked: bool,
}

impl Planned {
    /// Whether the transaction makes the slot.
    pub(super) fn is_new(&self) -> bool {
        self.revision == 0
    }
}

/// A transaction that is being decided on.
pub(super) struct Tx<'a> {
    pub(super) inner: &'a Inner,
    pub(super) slots: BTreeMap<SlotId, Planned>,
    /// What will be put or deleted, and the slot that each key belongs to.
    pub(super) changes: BTreeMap<Key, (SlotId, Value)>,
    ranges: HashMap<Range, Pairs>,
    undo: Vec<Undo>,
    pub(super) runs: TakenRuns,
    pub(super) stop: Option<Stop>,
    /// Why the cluster could not be read. Nothing more is asked then.
    pub(super) failure: Option<Error>,
    pub(super) until: Instant,
    /// Who may write to a locked slot.
    pub(super) key_to: Option<Lock>,
    /// Identities that nobody asked for, and that are taken not to be there: the commit compares them.
    pub(super) assumed: Vec<(SlotId, Key)>,
    /// Whether another host was first before.
    pub(super) again: bool,
}

enum Undo {
    Change(Key, Option<(SlotId, Value)>),
    Slot(SlotId, Planned),
}

impl<'a> Tx<'a> {
    pub(super) fn new(inner: &'a Inner, until: Instant) -> Self {
        Self {
            inner,
            slots: BTreeMap::new(),
            changes: BTreeMap::new(),
            ranges: HashMap::new(),
            undo: Vec::new(),
            runs: TakenRuns::new(),
            stop: None,
            failure: None,
            until,
            key_to: None,
            assumed: Vec::new(),
            again: false,
        }
    }

    /// The slot as the transaction finds it; `None` when there is none.
    pub(super) fn planned(&mut self, slot: SlotId) -> Result<Option<Planned>> {
        if let Some(planned) = self.slots.get(&slot) {
            return Ok(Some(*planned));
        }
        let known = {
            let cache = lock(&self.inner.cache);
            let known = cache.writes(slot);
            known.map(|(revision, writes)| (revision, writes.clone()))
        };
        let (revision, writes) = match known {
            Some(known) => known,
            None => {
                let key = self.inner.keys.writes(slot);
                let mut found = self.fetch(&[(slot, key)], &[])?;
                match found.writes.remove(&slot) {
                    Some(found) => found,
                    None => return Ok(None),
                }
            }
        };
        let writes = writes.map_err(SlotFault::damaged(slot))?;
        if let Some(held) = writes.lock
            && self.key_to != Some(held)
        {
            self.stop = Some(Stop::Locked(slot, held));
            return Err(SlotFault::Resealing.at(slot));
        }
        let planned = Planned {
            revision,
            before: writes,
            writes,
            changed: false,
            checked: false,
        };
        self.slots.insert(slot, planned);
        Ok(Some(planned))
    }

    /// The slot, which must be there.
    pub(super) fn there(&mut self, slot: SlotId) -> Result<Planned> {
        self.planned(slot)?.ok_or(SlotFault::Missing.at(slot))
    }

    /// What the rows of a slot lie under.
    pub(super) fn place(&mut self, slot: SlotId) -> Result<Place> {
        let epoch = self.there(slot)?.writes.epoch;
        Ok(Place { slot, epoch })
    }

    /// Changes what `w` will be.
    pub(super) fn change(&mut self, slot: SlotId, change: impl FnOnce(&mut Writes)) -> Result<()> {
        let before = self.there(slot)?;
        self.undo.push(Undo::Slot(slot, before));
        let mut after = Planned {
            changed: true,
            ..before
        };
        change(&mut after.writes);
        self.slots.insert(slot, after);
        Ok(())
    }

    /// Puts a key, or deletes it.
    pub(super) fn set(&mut self, slot: SlotId, key: Key, value: Option<Vec<u8>>) {
        let value = value.map(Arc::from);
        let before = self.changes.insert(key.clone(), (slot, value));
        self.undo.push(Undo::Change(key, before));
    }

    /// The value of a key as the transaction leaves it.
    pub(super) fn value(&mut self, slot: SlotId, key: Key) -> Result<Value> {
        if let Some((_, value)) = self.changes.get(&key) {
            return Ok(value.clone());
        }
        let revision = self.there(slot)?.revision;
        if let Some(value) = lock(&self.inner.cache).value(slot, revision, &key) {
            return Ok(value);
        }
        if self.assumed.contains(&(slot, key.clone())) {
            return Ok(None);
        }
        let mut found = self.fetch(&[(slot, key)], &[])?;
        self.check(slot, revision, found.writes.get(&slot).map(|it| it.0))?;
        Ok(found.values.pop().flatten())
    }

    /// A range as the transaction leaves it. A limit counts what is in the cluster.
    pub(super) fn range(&mut self, slot: SlotId, range: Range) -> Result<Pairs> {
        let revision = self.there(slot)?.revision;
        let pairs = match self.ranges.get(&range) {
            Some(pairs) => pairs.clone(),
            None => {
                let mut found = self.fetch(&[], &[(slot, range.clone())])?;
                self.check(slot, revision, found.writes.get(&slot).map(|it| it.0))?;
                let pairs = found.ranges.pop().unwrap_or_default();
                self.ranges.insert(range.clone(), pairs.clone());
                pairs
            }
        };
        let mut pairs: BTreeMap<Key, Vec<u8>> = pairs.into_iter().collect();
        for (key, (_, value)) in self.changes.range(range.start..range.end) {
            match value {
                Some(value) => pairs.insert(key.clone(), value.to_vec()),
                None => pairs.remove(key),
            };
        }
        Ok(pairs.into_iter().collect())
    }

    /// How many keys of a range there are in the cluster.
    pub(super) fn count(&mut self, slot: SlotId, range: &Range) -> Result<u64> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let revision = self.there(slot)?.revision;
        let counted = self.inner.count_until(self.until, slot, range);
        self.failure = counted.as_ref().err().cloned();
        let (now, count) = counted?;
        self.check(slot, revision, now.map(|it| it.0))?;
        Ok(count)
    }

    fn fetch(&mut self, keys: &[(SlotId, Key)], ranges: &[(SlotId, Range)]) -> Result<Found> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let found = self.inner.fetch_until(self.until, keys, ranges);
        self.failure = found.as_ref().err().cloned();
        found
    }

    fn check(&mut self, slot: SlotId, revision: i64, now: Option<i64>) -> Result<()> {
        if now == Some(revision) {
            if let Some(planned) = self.slots.get_mut(&slot) {
                planned.checked = true;
            }
            return Ok(());
        }
        self.stop = Some(Stop::Conflict(slot));
        Err(SlotFault::Changed.at(slot))
    }

    /// Reads what is going to be asked for, in few questions instead of many.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub(super) fn prefetch(
        &mut self,
        keys: Vec<(SlotId, Key)>,
        ranges: Vec<(SlotId, Range)>,
    ) -> Result<()> {
        let unknown: Vec<(SlotId, Key)> = {
            let cache = lock(&self.inner.cache);
            let is_unknown = |(slot, key): &(SlotId, Key)| {
                let planned = self.slots.get(slot);
                planned.is_some_and(|it| cache.value(*slot, it.revision, key).is_none())
            };
            keys.into_iter().filter(is_unknown).collect()
        };
        if unknown.len() > MOST_OPERATIONS {
            let found = self.inner.fetch_at_once(self.until, &unknown);
            self.failure = found.as_ref().err().cloned();
            for found in found? {
                self.check_all(&found.writes)?;
            }
            return self.prefetch(Vec::new(), ranges);
        }
        let (mut unknown, mut ranges) = (unknown.as_slice(), ranges.as_slice());
        while !unknown.is_empty() || !ranges.is_empty() {
            let (keys, more) = unknown.split_at(unknown.len().min(MOST_OPERATIONS));
            unknown = more;
            let room = MOST_OPERATIONS - keys.len();
            let (some, more) = ranges.split_at(ranges.len().min(room));
            ranges = more;
            let found = self.fetch(keys, some)?;
            self.check_all(&found.writes)?;
            let asked = some.iter().map(|(_, range)| range.clone());
            self.ranges.extend(asked.zip(found.ranges));
        }
        Ok(())
    }

    /// The same for identities, and for the objects that they lead to. With `assume`, a few that are not known are taken for
    /// new, as most are.
    pub(super) fn prefetch_identities(
        &mut self,
        identities: &[(SlotId, Ouid)],
        assume: bool,
    ) -> Result<()> {
        /// A compare for each of them costs no more than a question.
        const FEW: usize = 8;
        let mut keys = Vec::new();
        for (slot, ouid) in identities {
            let Some(planned) = self.slots.get(slot) else {
                continue;
            };
            let at = Place {
                slot: *slot,
                epoch: planned.writes.epoch,
            };
            keys.push((*slot, self.inner.keys.identity(at, *ouid)));
        }
        let unknown = self.unknown(&keys)?;
        if assume && unknown.len() <= FEW {
            self.assumed = unknown;
        } else {
            self.know_identities(&unknown)?;
            self.prefetch(unknown, Vec::new())?;
        }
        let mut objects = Vec::new();
        for (slot, key) in keys {
            let planned = self.there(slot)?;
            let known = lock(&self.inner.cache).value(slot, planned.revision, &key);
            let Some(Some(value)) = known else { continue };
            let Ok(found) = Identity::decode(&value) else {
                continue;
            };
            let (epoch, sealing) = (planned.writes.epoch, planned.writes.sealing);
            let (at, keys) = (Place { slot, epoch }, &self.inner.keys);
            objects.push((slot, keys.handle(at, found.handle)));
            objects.push((slot, keys.sealed(at, sealing, found.id)));
        }
        self.prefetch(objects, Vec::new())
    }

    /// Those that nothing is known of.
    fn unknown(&mut self, keys: &[(SlotId, Key)]) -> Result<Vec<(SlotId, Key)>> {
        let mut unknown = Vec::new();
        for (slot, key) in keys {
            let revision = self.there(*slot)?.revision;
            if lock(&self.inner.cache)
                .value(*slot, revision, key)
                .is_none()
            {
                unknown.push((*slot, key.clone()));
            }
        }
        Ok(unknown)
    }

    /// Reads all identities of slots that do not have many more than are asked for: nothing is asked for the next ones then.
    fn know_identities(&mut self, keys: &[(SlotId, Key)]) -> Result<()> {
        /// How many keys, without values, cost as much as asking for one.
        const MANY: u64 = 64;
        let mut unknown: BTreeMap<SlotId, u64> = BTreeMap::new();
        for (slot, _) in keys {
            *unknown.entry(*slot).or_default() += 1;
        }
        for (slot, asked) in unknown {
            let Planned {
                revision, before, ..
            } = self.there(slot)?;
            let most = asked * MANY;
            if before.objects > most {
                continue;
            }
            let epoch = before.epoch;
            let prefix = self.inner.keys.identities(Place { slot, epoch });
            let range = Range {
                // The count in `w` may be wrong.
                limit: i64::try_from(most + 1).unwrap_or(i64::MAX),
                keys_only: true,
                ..Range::prefix(prefix.clone())
            };
            let mut found = self.fetch(&[], &[(slot, range)])?;
            self.check_all(&found.writes)?;
            let there = found.ranges.pop().unwrap_or_default();
            if there.len() as u64 <= most {
                let there = there.iter().map(|(key, _)| key.as_slice());
                lock(&self.inner.cache).learn_identities(slot, revision, prefix, there);
            }
        }
        Ok(())
    }

    fn check_all(&mut self, now: &BTreeMap<SlotId, (i64, crate::Seen<Writes>)>) -> Result<()> {
        for (slot, (now, _)) in now {
            if let Some(planned) = self.slots.get(slot) {
                self.check(*slot, planned.revision, Some(*now))?;
            }
        }
        Ok(())
    }

    /// The row of a slot.
    pub(super) fn slot_row(&mut self, slot: SlotId) -> Result<SlotRow> {
        let writes = self.there(slot)?.writes;
        let value = self.value(slot, self.inner.keys.slot(slot))?;
        let value = value
            .ok_or_else(|| SlotFault::Damaged("its row (key s) is missing".to_owned()).at(slot))?;
        super::values::to_slot_row(slot, &writes, &value).map_err(SlotFault::damaged(slot))
    }

    /// An id that nothing in the store ever had.
    pub(super) fn fresh_id(&self) -> Result<u64> {
        self.inner.fresh_id(self.until)
    }

    /// Whether nothing will be written.
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty() && !self.slots.values().any(|it| it.changed)
    }

    /// A point to come back to.
    pub(super) fn mark(&self) -> usize {
        self.undo.len()
    }

    /// Takes back everything since `mark`.
    pub(super) fn go_back(&mut self, mark: usize) {
        while self.undo.len() > mark {
            match self.undo.pop() {
                Some(Undo::Change(key, Some(before))) => {
                    self.changes.insert(key, before);
                }
                Some(Undo::Change(key, None)) => {
                    self.changes.remove(&key);
                }
                Some(Undo::Slot(slot, before)) => {
                    self.slots.insert(slot, before);
                }
                None => return,
            }
        }
    }
}
