//! Reading: each answer has `w` of its slots in it, so that it can be kept, and compared with what was read before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use etcd_client::{GetOptions, GetResponse, Txn, TxnOp};

use super::ask::{gets, transact};
use super::cache::Value;
use super::keys::{Key, end_of};
use super::values::Writes;
use super::{Inner, lock};
use crate::brief::is_brief;
use crate::error::{Result, SlotFault, StoreFault};
use crate::rows::Seen;
use slotfs_object::SlotId;

/// The most operations in one transaction: etcd allows 128. It counts those of nested ones along a path, and takes a
/// transaction with nested ones for a write.
pub(super) const MOST_OPERATIONS: usize = 96;

/// How long requests fail at once after the cluster did not answer one. They wait in the kernel one after the other, so
/// that each would otherwise wait for all before it.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// How long one who asks briefly waits for the question of another thread.
const BRIEFLY: Duration = Duration::from_secs(1);

/// Keys from `start` to before `end`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Range {
    pub(super) start: Key,
    pub(super) end: Key,
    /// At most so many; 0 means all.
    pub(super) limit: i64,
    pub(super) keys_only: bool,
}

impl Range {
    /// All keys that begin with `prefix`.
    pub(super) fn prefix(prefix: Key) -> Self {
        Self {
            end: end_of(&prefix),
            start: prefix,
            limit: 0,
            keys_only: false,
        }
    }

    /// The same without their values.
    pub(super) fn keys(prefix: Key) -> Self {
        Self {
            keys_only: true,
            ..Self::prefix(prefix)
        }
    }

    pub(super) fn operation(&self) -> TxnOp {
        let mut options = GetOptions::new()
            .with_range(self.end.clone())
            .with_limit(self.limit);
        if self.keys_only {
            options = options.with_keys_only();
        }
        TxnOp::get(self.start.clone(), Some(options))
    }
}

/// Keys with their values, in order.
pub(super) type Pairs = Vec<(Key, Vec<u8>)>;

/// The revision of a slot's `w`, and what it holds.
pub(super) type WritesAt = (i64, Seen<Writes>);

/// What one read found, all of it in one state.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// `w` of each slot that was asked for, and its revision; a slot that is not there has none.
    pub(super) writes: BTreeMap<SlotId, WritesAt>,
    /// The values, in the order of the keys.
    pub(super) values: Vec<Value>,
    /// The ranges, in their order.
    pub(super) ranges: Vec<Pairs>,
}

impl Inner {
    /// Asks for all `w`, unless that was done within the last milliseconds.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub(super) fn fresh(&self) -> Result<()> {
        let now = Instant::now();
        let since = now.checked_sub(self.location.fresh).unwrap_or(now);
        if lock(&self.cache).is_fresh(since) {
            return Ok(());
        }
        self.refresh(since)
    }

    /// Asks for all `w`, unless another thread sent that question at `since` or later.
    pub(super) fn refresh(&self, since: Instant) -> Result<()> {
        self.refresh_until(since, self.client.deadline().settling)
    }

    /// The same with a deadline of its own.
    pub(super) fn refresh_until(&self, since: Instant, until: Instant) -> Result<()> {
        let is_fresh = || lock(&self.cache).is_fresh(since).then_some(());
        if is_brief() {
            let ask = || self.ask_all_writes(until);
            let passed = self.refreshing.pass_briefly(BRIEFLY, is_fresh, ask);
            let waits =
                || StoreFault::Unreachable("an earlier question is not answered yet".into());
            return passed.unwrap_or_else(|| Err(self.fault(waits())));
        }
        self.refreshing
            .pass(ASK_AGAIN, is_fresh, || self.ask_all_writes(until))
    }

    fn ask_all_writes(&self, until: Instant) -> Result<()> {
        let asked = Instant::now();
        let all = Range::prefix(self.keys.all_writes());
        let txn = Txn::new().and_then([all.operation(), self.is_there()]);
        let answer = transact(&self.client, until, txn);
        let answer = answer.outcome.map_err(|why| self.failed(why))?;
        let revision = answer.header().map_or(0, |it| it.revision());
        let found = gets(&answer);
        self.check_there(found.get(1))?;
        let all = found.first().map_or_else(Vec::new, |it| self.all_of(it));
        lock(&self.cache).learn_all(asked, revision, all);
        Ok(())
    }

    /// Reads keys and ranges of slots in one state, and keeps the keys.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub(super) fn fetch(
        &self,
        keys: &[(SlotId, Key)],
        ranges: &[(SlotId, Range)],
    ) -> Result<Found> {
        self.fetch_until(self.client.deadline().settling, keys, ranges)
    }

    /// The same with a deadline of its own.
    pub(super) fn fetch_until(
        &self,
        until: Instant,
        keys: &[(SlotId, Key)],
        ranges: &[(SlotId, Range)],
    ) -> Result<Found> {
        let mut slots: Vec<SlotId> = keys.iter().map(|it| it.0).collect();
        slots.extend(ranges.iter().map(|it| it.0));
        slots.sort();
        slots.dedup();
        // All `w`, which are few: so each question also tells whether anything else that is known still holds.
        let mut operations = vec![
            Range::prefix(self.keys.all_writes()).operation(),
            self.is_there(),
        ];
        operations.extend(keys.iter().map(|(_, key)| TxnOp::get(key.clone(), None)));
        operations.extend(ranges.iter().map(|(_, range)| range.operation()));
        let txn = Txn::new().and_then(operations);
        let asked = Instant::now();
        let answer = transact(&self.client, until, txn);
        let answer = answer.outcome.map_err(|why| self.failed(why))?;
        let revision = answer.header().map_or(0, |it| it.revision());
        let mut got = gets(&answer).into_iter();
        let mut found = Found::default();
        let all = got.next().map_or_else(Vec::new, |got| self.all_of(&got));
        self.check_there(got.next().as_ref())?;
        for (slot, revision, writes) in &all {
            if slots.contains(slot) {
                found.writes.insert(*slot, (*revision, writes.clone()));
            }
        }
        for got in got.by_ref().take(keys.len()) {
            let value = got.kvs().first();
            found.values.push(value.map(|it| Arc::from(it.value())));
        }
        for got in got {
            let pairs = got.kvs().iter();
            let pairs = pairs.map(|it| (it.key().to_vec(), it.value().to_vec()));
            found.ranges.push(pairs.collect());
        }
        let mut cache = lock(&self.cache);
        cache.learn_all(asked, revision, all);
        for ((slot, key), value) in keys.iter().zip(&found.values) {
            if let Some((revision, _)) = found.writes.get(slot) {
                cache.learn(*slot, *revision, key.clone(), value.clone());
            }
        }
        drop(cache);
        Ok(found)
    }

    /// Reads many keys, in questions that are sent at the same time.
    ///
    /// # Errors
    /// The first one, when the cluster does not answer.
    pub(super) fn fetch_at_once(
        &self,
        until: Instant,
        keys: &[(SlotId, Key)],
    ) -> Result<Vec<Found>> {
        /// Questions on their way.
        const AT_ONCE: usize = 8;
        let mut all = Vec::new();
        let chunks: Vec<&[(SlotId, Key)]> = keys.chunks(MOST_OPERATIONS).collect();
        for some in chunks.chunks(AT_ONCE) {
            let found: Vec<Result<Found>> = thread::scope(|scope| {
                let asking = some.iter();
                let asking = asking.map(|keys| scope.spawn(|| self.fetch_until(until, keys, &[])));
                let asking: Vec<_> = asking.collect();
                let panicked = || Err(crate::Error::failed(&self.path, "a thread panicked"));
                let answers = asking.into_iter();
                answers
                    .map(|it| it.join().unwrap_or_else(|_| panicked()))
                    .collect()
            });
            for it in found {
                all.push(it?);
            }
        }
        Ok(all)
    }

    /// How many keys of a range there are, and the slot's `w` at that time, with its revision.
    pub(super) fn count_until(
        &self,
        until: Instant,
        slot: SlotId,
        range: &Range,
    ) -> Result<(Option<WritesAt>, u64)> {
        let options = GetOptions::new()
            .with_range(range.end.clone())
            .with_count_only();
        let txn = Txn::new().and_then([
            TxnOp::get(self.keys.writes(slot), None),
            TxnOp::get(range.start.clone(), Some(options)),
        ]);
        let answer = transact(&self.client, until, txn);
        let found = gets(&answer.outcome.map_err(|why| self.failed(why))?);
        let writes = found.first().and_then(|it| it.kvs().first());
        let writes = writes.map(|it| (it.mod_revision(), Writes::decode(it.value())));
        let count = found.get(1).map_or(0, GetResponse::count);
        Ok((writes, count.unsigned_abs()))
    }

    /// Every `w` in an answer, and its revision.
    pub(super) fn all_of(&self, got: &GetResponse) -> Vec<(SlotId, i64, Seen<Writes>)> {
        let pairs = got.kvs().iter();
        let writes = pairs.filter_map(|it| {
            let slot = self.keys.slot_of(it.key())?;
            Some((slot, it.mod_revision(), Writes::decode(it.value())))
        });
        writes.collect()
    }

    /// `w` of a slot as it was a few milliseconds ago at the most, and its revision.
    ///
    /// # Errors
    /// [`SlotFault::Damaged`], or when the cluster does not answer.
    pub(super) fn writes(&self, slot: SlotId) -> Result<Option<(i64, Writes)>> {
        self.fresh()?;
        let cache = lock(&self.cache);
        let Some((revision, writes)) = cache.writes(slot) else {
            return Ok(None);
        };
        let writes = writes.clone().map_err(SlotFault::damaged(slot))?;
        Ok(Some((revision, writes)))
    }

    /// The values of keys of a slot, as `keys_of` names them for the slot's `w`, all in one state; `None` when there is
    /// no such slot.
    ///
    /// # Errors
    /// As [`Self::writes`].
    pub(super) fn values(
        &self,
        slot: SlotId,
        keys_of: impl Fn(&Writes) -> Vec<Key>,
    ) -> Result<Option<(Writes, Vec<Value>)>> {
        let until = self.client.deadline().settling;
        let mut again = false;
        loop {
            let Some((revision, writes)) = self.writes(slot)? else {
                return Ok(None);
            };
            let keys = keys_of(&writes);
            let known: Vec<Option<Value>> = {
                let cache = lock(&self.cache);
                // What is read at once is of one state, however often others write.
                let known = |key: &Key| match again {
                    true => None,
                    false => cache.value(slot, revision, key),
                };
                keys.iter().map(known).collect()
            };
            let unknown = keys.into_iter().zip(&known);
            let unknown = unknown.filter(|(_, known)| known.is_none());
            let unknown: Vec<(SlotId, Key)> = unknown.map(|(key, _)| (slot, key)).collect();
            if unknown.is_empty() {
                return Ok(Some((writes, known.into_iter().flatten().collect())));
            }
            let all = unknown.len() == known.len();
            let found = self.fetch_until(until, &unknown, &[])?;
            again = true;
            match found.writes.get(&slot) {
                None => return Ok(None),
                Some((_, Ok(now)))
                    if all && (now.epoch, now.sealing) == (writes.epoch, writes.sealing) =>
                {
                    return Ok(Some((*now, found.values)));
                }
                Some((now, _)) if *now == revision => {
                    let mut found = found.values.into_iter();
                    let values = known.into_iter().map(|known| match known {
                        Some(known) => known,
                        None => found.next().flatten(),
                    });
                    return Ok(Some((writes, values.collect())));
                }
                // What was known before may be another by now, and the keys have other names in another epoch.
                Some(_) => {}
            }
        }
    }

    /// A range of a slot, as `range_of` names it; nothing when there is no such slot.
    ///
    /// # Errors
    /// As [`Self::writes`].
    pub(super) fn range(
        &self,
        slot: SlotId,
        range_of: impl Fn(&Writes) -> Range,
    ) -> Result<Option<(Writes, Pairs)>> {
        let until = self.client.deadline().settling;
        loop {
            let Some((_, writes)) = self.writes(slot)? else {
                return Ok(None);
            };
            let mut found = self.fetch_until(until, &[], &[(slot, range_of(&writes))])?;
            match found.writes.remove(&slot) {
                None => return Ok(None),
                Some((_, Ok(now)))
                    if (now.epoch, now.sealing) != (writes.epoch, writes.sealing) => {}
                Some((_, now)) => {
                    let now = now.map_err(SlotFault::damaged(slot))?;
                    let pairs = found.ranges.pop().unwrap_or_default();
                    return Ok(Some((now, pairs)));
                }
            }
        }
    }
}

impl Inner {
    /// A range that belongs to no slot.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub(super) fn raw_range(&self, range: &Range) -> Result<Pairs> {
        self.raw_range_until(range, self.client.deadline().settling)
    }

    /// The same with a deadline of its own.
    pub(super) fn raw_range_until(&self, range: &Range, until: Instant) -> Result<Pairs> {
        let txn = Txn::new().and_then([range.operation()]);
        let answer = transact(&self.client, until, txn);
        let answer = answer.outcome.map_err(|why| self.failed(why))?;
        let found = gets(&answer);
        let pairs = found.iter().flat_map(|it| it.kvs());
        Ok(pairs
            .map(|it| (it.key().to_vec(), it.value().to_vec()))
            .collect())
    }
}
