//! Committing: one transaction that is done whole or not at all, and a certain answer of which of the two.
//!
//! A request without an answer may have been done, or may arrive later. It compares `w`, so at most one of its copies is
//! ever done. In the same transaction it puts its own number under `d`. So when `w` is another than the one it compares, `d`
//! tells for ever what became of it.

use std::time::{Duration, Instant};

use etcd_client::{Compare, CompareOp, Txn, TxnOp, TxnResponse};

use super::ask::{gets, transact};
use super::client::{Answer, Deadline, Failure};
use super::fetch::{MOST_OPERATIONS, Range};
use super::tx::{Planned, Tx};
use super::values::{self, Writes};
use super::{Inner, lock};
use crate::error::{Error, Result, StoreFault};
use slotfs_object::SlotId;

/// A transaction that was done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    /// How long that took, if others want to write to its slots next (turns.rs).
    pub(super) others_wait: Option<Duration>,
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is in the cluster. `None` where its revision is not known.
    Committed(Option<i64>),
    /// It is not, and never will be: another host was first.
    Conflict,
}

impl Inner {
    /// Commits what `tx` has decided on, and keeps what is known by it; `None` when another host was first.
    ///
    /// # Errors
    /// [`StoreFault::Unreachable`] when it was not done; [`StoreFault::InDoubt`] when that could not be found out.
    pub(super) fn commit(&self, tx: &Tx<'_>, deadline: Deadline) -> Result<Option<Done>> {
        let slots: Vec<SlotId> = tx.slots.keys().copied().collect();
        self.announce(&slots, deadline.sending)?;
        let number = self.presence.next_number();
        let me = *self.presence.id();
        let mut operations = Vec::with_capacity(tx.changes.len() + 2 * slots.len());
        for (key, (_, value)) in &tx.changes {
            operations.push(match value {
                Some(value) => TxnOp::put(key.clone(), value.to_vec(), None),
                None => TxnOp::delete(key.clone(), None),
            });
        }
        // The rest stays outside of nested transactions, where etcd counts what it costs against the quota.
        let mut operations = nested(operations);
        for (slot, planned) in &tx.slots {
            if !planned.changed {
                continue;
            }
            let key = self.keys.writes(*slot);
            // A slot that goes away takes its `w` with it.
            if !tx.changes.contains_key(&key) {
                operations.push(TxnOp::put(key, planned.writes.encode(), None));
            }
        }
        for slot in &slots {
            let key = self.keys.done(*slot, &me);
            operations.push(TxnOp::put(key, values::number(number), None));
        }
        operations.extend(slots.iter().flat_map(|slot| self.take_claims(*slot)));
        // All `w` as they are afterwards: what is known of other slots stays fresh.
        operations.push(Range::prefix(self.keys.all_writes()).operation());
        let mut compares: Vec<Compare> = self.is_same_store().into_iter().collect();
        for (slot, planned) in &tx.slots {
            let key = self.keys.writes(*slot);
            compares.push(Compare::mod_revision(
                key,
                CompareOp::Equal,
                planned.revision,
            ));
            // There is no `w` that could be put again to keep a late copy away, so another key serves.
            if planned.is_new() {
                let (key, last) = (self.keys.done(*slot, &me), self.presence.last(*slot));
                compares.push(Compare::value(key, CompareOp::Equal, values::number(last)));
            }
        }
        let mut otherwise = self.what_became(&slots);
        for (_, key) in &tx.assumed {
            compares.push(Compare::version(key.clone(), CompareOp::Equal, 0));
            otherwise.push(TxnOp::get(key.clone(), None));
        }
        if tx.again {
            otherwise.extend(self.claim(&slots));
        }
        let txn = Txn::new()
            .when(compares)
            .and_then(operations)
            .or_else(otherwise);
        {
            let mut cache = lock(&self.cache);
            slots.iter().for_each(|slot| cache.sending(*slot));
        }
        let _sent = Sent {
            inner: self,
            slots: &slots,
        };
        let sent = Instant::now();
        let answer = transact(&self.client, deadline.sending, txn);
        let mut done = Done::default();
        let afterwards = match &answer.outcome {
            Ok(answer) if answer.succeeded() => {
                let revision = answer.header().map_or(0, |it| it.revision());
                let found = gets(answer);
                let mut claims = slots.iter().zip(&found);
                let others_wait = claims.any(|(slot, got)| self.is_claimed(*slot, got));
                done.others_wait = others_wait.then(|| sent.elapsed());
                let all = found.last().map(|it| self.all_of(it));
                all.map(|all| (revision, all))
            }
            _ => None,
        };
        match self.judge(answer, &slots, number, tx, deadline)? {
            Outcome::Committed(revision) => {
                self.presence.committed(&slots, number);
                self.remember(tx, revision);
                if let Some((revision, all)) = afterwards {
                    lock(&self.cache).learn_all(sent, revision, all);
                }
                Ok(Some(done))
            }
            Outcome::Conflict => Ok(None),
        }
    }

    /// `w` and `d` of each slot.
    fn what_became(&self, slots: &[SlotId]) -> Vec<TxnOp> {
        let me = self.presence.id();
        let each = slots.iter().flat_map(|slot| {
            [
                TxnOp::get(self.keys.writes(*slot), None),
                TxnOp::get(self.keys.done(*slot, me), None),
            ]
        });
        each.collect()
    }

    fn judge(
        &self,
        answer: Answer<TxnResponse>,
        slots: &[SlotId],
        number: u64,
        tx: &Tx<'_>,
        deadline: Deadline,
    ) -> Result<Outcome> {
        match answer.outcome {
            Ok(done) if done.succeeded() => {
                let revision = done.header().map(|it| it.revision());
                Ok(Outcome::Committed(revision))
            }
            Ok(found) => {
                let done = self.done_number(&found, slots);
                self.learn_assumed(&found, slots, tx);
                if done != Some(number)
                    && (done.is_none() || tx.slots.values().any(Planned::is_new))
                {
                    // Another host may have removed `d`: of a process whose lease had ended, or with the slot.
                    self.presence.forget(slots);
                }
                match done {
                    // An earlier copy of it was done.
                    Some(done) if done == number => Ok(Outcome::Committed(None)),
                    Some(_) => Ok(Outcome::Conflict),
                    // Without an earlier copy, the compare alone tells.
                    None if !answer.doubtful => Ok(Outcome::Conflict),
                    None => Err(self.fault(StoreFault::InDoubt)),
                }
            }
            // It was refused before it was done, or never sent.
            Err(failure @ (Failure::Refused(_) | Failure::Compacted | Failure::Unreachable(_)))
                if !answer.doubtful =>
            {
                Err(self.failed(failure))
            }
            // etcd says that there is no room also of requests that it has done. No copy of this one is on its way, and `w`
            // cannot be put now, so reading is all that can be done, and all that is needed.
            Err(failure @ (Failure::NoSpace | Failure::Corrupt(_))) if !answer.doubtful => {
                self.look(failure, slots, number, deadline.settling)
            }
            Err(failure) => self.settle(failure, slots, number, tx, deadline.settling),
        }
    }

    /// Ends the doubt: either `w` is still what the transaction compares, and is put again so that no copy of it can be
    /// done any more, or `d` tells.
    fn settle(
        &self,
        failure: Failure,
        slots: &[SlotId],
        number: u64,
        tx: &Tx<'_>,
        until: Instant,
    ) -> Result<Outcome> {
        let mut compares = Vec::new();
        let mut puts = Vec::new();
        for (slot, planned) in &tx.slots {
            let key = self.keys.writes(*slot);
            let same = Compare::mod_revision(key.clone(), CompareOp::Equal, planned.revision);
            compares.push(same);
            puts.push(match planned.is_new() {
                false => TxnOp::put(key, planned.before.encode(), None),
                // What makes a slot compares its `d`.
                true => TxnOp::put(
                    self.keys.done(*slot, self.presence.id()),
                    values::number(self.presence.next_number()),
                    None,
                ),
            });
        }
        self.presence.forget(slots);
        let txn = Txn::new()
            .when(compares)
            .and_then(puts)
            .or_else(self.what_became(slots));
        let answer = transact(&self.client, until, txn);
        match answer.outcome {
            Ok(settled) if settled.succeeded() => Err(self.failed(failure)),
            Ok(found) => match self.done_number(&found, slots) {
                Some(done) if done == number => Ok(Outcome::Committed(None)),
                // It was not done, and neither was anything else for the caller.
                Some(_) => Err(self.failed(failure)),
                None => Err(self.fault(StoreFault::InDoubt)),
            },
            Err(_) => Err(self.fault(StoreFault::InDoubt)),
        }
    }

    /// What became of the one copy of a transaction that was answered with `failure`.
    fn look(
        &self,
        failure: Failure,
        slots: &[SlotId],
        number: u64,
        until: Instant,
    ) -> Result<Outcome> {
        let txn = Txn::new().and_then(self.what_became(slots));
        match transact(&self.client, until, txn).outcome {
            Ok(found) => match self.done_number(&found, slots) {
                Some(done) if done == number => Ok(Outcome::Committed(None)),
                _ => Err(self.failed(failure)),
            },
            Err(_) => Err(self.fault(StoreFault::InDoubt)),
        }
    }

    /// The number under `d`, from the answer to [`Self::what_became`], whose `w` are kept. All slots of a transaction have
    /// the same, unless it is that of an earlier one.
    fn done_number(&self, found: &TxnResponse, slots: &[SlotId]) -> Option<u64> {
        let found = gets(found);
        let mut highest = None;
        for (slot, both) in slots.iter().zip(found.chunks(2)) {
            let [writes, done] = both else { return None };
            if let Some(pair) = writes.kvs().first() {
                let value = Writes::decode(pair.value());
                lock(&self.cache).learn_writes(*slot, pair.mod_revision(), value);
            } else {
                let revision = writes.header().map_or(i64::MAX, |it| it.revision());
                lock(&self.cache).learn_none(*slot, revision);
            }
            let done = values::to_number(done.kvs().first()?.value()).ok()?;
            highest = highest.max(Some(done));
        }
        highest
    }

    /// Keeps what a transaction that was not done found under the keys that it took for new.
    fn learn_assumed(&self, found: &TxnResponse, slots: &[SlotId], tx: &Tx<'_>) {
        let found = gets(found);
        let mut cache = lock(&self.cache);
        let values = found.get(2 * slots.len()..).unwrap_or_default();
        for ((slot, key), got) in tx.assumed.iter().zip(values) {
            // Its `w` is in the same answer, and is known by now.
            let nth = slots.iter().position(|it| it == slot);
            let writes = nth.and_then(|nth| found.get(2 * nth)?.kvs().first());
            let Some(revision) = writes.map(etcd_client::KeyValue::mod_revision) else {
                continue;
            };
            let value = got.kvs().first().map(|it| it.value().into());
            cache.learn(*slot, revision, key.clone(), value);
        }
    }

    fn remember(&self, tx: &Tx<'_>, revision: Option<i64>) {
        let mut counters = lock(&self.counters);
        counters.commits += 1;
        drop(counters);
        let Some(revision) = revision else { return };
        let mut cache = lock(&self.cache);
        for (slot, planned) in &tx.slots {
            let key = self.keys.writes(*slot);
            if matches!(tx.changes.get(&key), Some((_, None))) {
                cache.deleted(*slot, revision);
            } else if planned.changed {
                let changes = tx.changes.iter();
                let own = changes.filter(|(_, (of, _))| of == slot);
                let own = own.map(|(key, (_, value))| (key.clone(), value.clone()));
                cache.committed(*slot, (planned.revision, revision), planned.writes, own);
            }
        }
    }

    /// Whether `w` of each slot was what the transaction was decided on at some time since it began.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub(super) fn still_holds(&self, tx: &Tx<'_>, began: Instant) -> Result<bool> {
        if tx.slots.values().all(|it| it.checked) {
            return Ok(true);
        }
        self.refresh(began)?;
        let cache = lock(&self.cache);
        let holds = |(slot, planned): (&SlotId, &Planned)| {
            let now = cache.writes(*slot);
            now.is_some_and(|(revision, _)| revision == planned.revision)
        };
        Ok(tx.slots.iter().all(holds))
    }

    /// The error of a write that found no time left while other hosts wrote to the slot.
    pub(super) fn too_busy(&self) -> Error {
        self.fault(StoreFault::Unreachable(
            "other hosts wrote to the same slot until the deadline".into(),
        ))
    }
}

/// Ends what [`super::cache::Cache::sending`] begins, whatever became of it.
struct Sent<'a> {
    inner: &'a Inner,
    slots: &'a [SlotId],
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        let mut cache = lock(&self.inner.cache);
        self.slots.iter().for_each(|slot| cache.sent(*slot));
    }
}

/// Operations as etcd takes them: at most 128 along a path of nested transactions.
pub(super) fn nested(mut operations: Vec<TxnOp>) -> Vec<TxnOp> {
    /// Three levels of so many: 64,000 operations.
    const WIDTH: usize = 40;
    if operations.len() <= MOST_OPERATIONS {
        return operations;
    }
    while operations.len() > WIDTH {
        let mut outside = Vec::new();
        let mut inside = operations.into_iter().peekable();
        while inside.peek().is_some() {
            let some: Vec<TxnOp> = inside.by_ref().take(WIDTH).collect();
            outside.push(TxnOp::txn(Txn::new().and_then(some)));
        }
        operations = outside;
    }
    operations
}
