//! Sealing all rows of a slot anew: staged beside the old ones while the slot is locked, and switched to in one
//! transaction. Whoever reads meanwhile reads the old ones.

use std::time::Instant;

use etcd_client::{Compare, CompareOp, Txn, TxnOp};

use super::ask::transact;
use super::change::put_slot;
use super::commit::nested;
use super::keys::Place as At;
use super::tx::Tx;
use super::values::{Garbage, Lock, Writes};
use super::{Inner, Store, lock};
use crate::error::{Error, Result, SlotFault, StoreFault};
use crate::rows::*;
use crate::rules::check_version;
use slotfs_object::sealed::SealedRow;
use slotfs_object::{RowId, SlotId};

/// Rows that are sealed and staged together.
const AT_ONCE: usize = 64;
/// The most bytes that are staged in one transaction.
const MOST_BYTES: usize = 900 << 10;

/// A slot that this process has locked.
#[derive(Clone, Copy)]
struct Held {
    slot: SlotId,
    /// Of `w` with the lock in it.
    revision: i64,
    writes: Writes,
    lock: Lock,
}

impl Store {
    /// Changes the slot and seals all its rows under the new key.
    pub(super) fn reseal(
        &self,
        from: SlotVersion,
        row: SlotRow,
        parts: SlotRows,
        mut reseal: Reseal,
        leave_damaged: bool,
    ) -> Result<Changed> {
        let held = self.lock_slot(from)?;
        let inner = &self.inner;
        let staged = inner.stage_all(&held, &mut reseal).and_then(|damaged| {
            match damaged > 0 && !leave_damaged {
                true => Err(SlotFault::WouldLose(damaged).at(held.slot)),
                false => Ok(damaged),
            }
        });
        let switched = staged.and_then(|damaged| {
            self.switch(held, row, parts)?;
            Ok(Changed {
                destroyed: 0,
                damaged,
            })
        });
        // In doubt too: a lock that is still there then was not switched by, and never will be once it is gone.
        if switched.is_err() {
            inner.let_go(held.slot, held.lock);
        }
        inner.sweep_now();
        switched
    }

    /// From now on no process writes to the slot, until the switch.
    fn lock_slot(&self, from: SlotVersion) -> Result<Held> {
        let slot = from.slot;
        if self.is_read_only() {
            return Err(self.inner.fault(StoreFault::ReadOnly));
        }
        let until = self.inner.client.deadline().settling;
        let lock = Lock {
            client: *self.inner.presence.id(),
            sealing: self.inner.fresh_id(until)?,
        };
        let locked = self.write_now(vec![slot], move |tx| {
            check_version(tx, from)?;
            tx.change(slot, |writes| writes.lock = Some(lock))
        });
        if let Err(error) = locked {
            // It may be there all the same, when no answer came.
            self.inner.let_go(slot, lock);
            return Err(error);
        }
        let known = {
            let cache = super::lock(&self.inner.cache);
            let known = cache.writes(slot);
            known.map(|(revision, writes)| (revision, writes.clone()))
        };
        let known = match known {
            Some((revision, Ok(writes))) if writes.lock == Some(lock) => Some((revision, writes)),
            _ => {
                let asked = self.inner.refresh(Instant::now());
                let cache = super::lock(&self.inner.cache);
                match (asked, cache.writes(slot)) {
                    (Ok(()), Some((revision, Ok(writes)))) if writes.lock == Some(lock) => {
                        Some((revision, *writes))
                    }
                    _ => None,
                }
            }
        };
        let Some((revision, writes)) = known else {
            self.inner.let_go(slot, lock);
            return Err(SlotFault::Changed.at(slot));
        };
        Ok(Held {
            slot,
            revision,
            writes,
            lock,
        })
    }

    /// The staged rows count from here on, and the old ones are garbage. On the committer, so that no other transaction of
    /// this process to the slot is on its way at the same time.
    fn switch(&self, held: Held, row: SlotRow, parts: SlotRows) -> Result<()> {
        let slot = held.slot;
        let work = move |tx: &mut Tx<'_>| {
            let there = tx.there(slot)?;
            if there.revision != held.revision || there.writes.lock != Some(held.lock) {
                return Err(SlotFault::Changed.at(slot));
            }
            put_slot(tx, &row, &parts)?;
            let garbage = Garbage {
                slot,
                epoch: held.writes.epoch,
                sealing: Some(held.writes.sealing),
            };
            let key = tx.inner.keys.garbage(tx.fresh_id()?);
            tx.set(slot, key, Some(garbage.encode()));
            tx.change(slot, |writes| {
                writes.sealing = held.lock.sealing;
                writes.lock = None;
            })
        };
        self.write_under(slot, held.lock, work)
    }
}

impl Inner {
    /// Stages every row; how many did not open.
    fn stage_all(&self, held: &Held, reseal: &mut Reseal) -> Result<u64> {
        let slot = held.slot;
        let (mut seen, mut damaged, mut after) = (0u64, 0u64, 0);
        loop {
            let some = self.list(slot, after, AT_ONCE)?;
            let Some((last, _)) = some.last() else { break };
            after = *last;
            seen += some.len() as u64;
            let mut entries = Vec::new();
            for (_, found) in some {
                match found {
                    Ok(object) => entries.push(object.entry),
                    // Its row is not known, so it stays behind.
                    Err(_) => damaged += 1,
                }
            }
            damaged += self.stage(held, &entries, reseal)?;
        }
        self.check_seen(held, "objects", seen, held.writes.objects)?;
        let mut seen = 0u64;
        self.each_trash_page(slot, AT_ONCE, |some| {
            seen += some.len() as u64;
            let mut entries = Vec::new();
            for found in some {
                match found {
                    Ok(found) => entries.push(found.it.entry),
                    Err(_) => damaged += 1,
                }
            }
            damaged += self.stage(held, &entries, reseal)?;
            Ok(())
        })?;
        self.check_seen(held, "trash", seen, held.writes.trash)?;
        Ok(damaged)
    }

    fn check_seen(&self, held: &Held, what: &str, seen: u64, kept: u64) -> Result<()> {
        if seen == kept {
            return Ok(());
        }
        Err(Error::Damaged(format!(
            "slot {} has {kept} rows of {what}, but {seen} can be read",
            held.slot
        )))
    }

    /// Seals some rows anew and stages them; how many did not open. These are staged as they are.
    fn stage(&self, held: &Held, entries: &[Entry], reseal: &mut Reseal) -> Result<u64> {
        let ids: Vec<RowId> = entries.iter().map(|it| it.id).collect();
        let rows = self.sealed_rows(held.slot, &ids)?;
        let mut damaged = 0;
        let (mut puts, mut bytes) = (Vec::new(), 0);
        for (entry, row) in entries.iter().zip(rows) {
            let Some(row) = row else {
                damaged += 1;
                continue;
            };
            let sealed: SealedRow = match reseal(entry.place(), &row)? {
                Some(sealed) => sealed,
                None => {
                    damaged += 1;
                    row
                }
            };
            if bytes + sealed.bytes().len() > MOST_BYTES {
                self.put_staged(held, std::mem::take(&mut puts))?;
                bytes = 0;
            }
            bytes += sealed.bytes().len();
            let at = At {
                slot: held.slot,
                epoch: held.writes.epoch,
            };
            let key = self.keys.sealed(at, held.lock.sealing, entry.id);
            puts.push(TxnOp::put(key, sealed.bytes().to_vec(), None));
        }
        self.put_staged(held, puts)?;
        Ok(damaged)
    }

    /// Nothing is staged any more once the lock is another's. The puts may arrive twice.
    fn put_staged(&self, held: &Held, puts: Vec<TxnOp>) -> Result<()> {
        if puts.is_empty() {
            return Ok(());
        }
        let key = self.keys.writes(held.slot);
        let still = Compare::mod_revision(key, CompareOp::Equal, held.revision);
        let txn = Txn::new().when([still]).and_then(nested(puts));
        let answer = transact(&self.client, self.client.deadline().settling, txn);
        let answer = answer.outcome.map_err(|why| self.failed(why))?;
        match answer.succeeded() {
            true => Ok(()),
            false => Err(SlotFault::Changed.at(held.slot)),
        }
    }

    /// Gives a lock up. Where that fails, it is tried again until it succeeds: this process lives, so no other one would.
    fn let_go(&self, slot: SlotId, held: Lock) {
        lock(&self.given_up).push((slot, held));
        if let Err(error) = self.let_all_go() {
            log::warn!("slot {slot} stays locked until its cluster answers: {error}");
        }
    }

    /// Gives up the locks that are to be given up.
    pub(super) fn let_all_go(&self) -> Result<()> {
        let all = lock(&self.given_up).clone();
        for (slot, held) in all {
            let until = self.client.deadline().settling;
            self.refresh_until(Instant::now(), until)?;
            self.unlock(slot, held, until)?;
            lock(&self.given_up).retain(|it| *it != (slot, held));
        }
        Ok(())
    }

    /// Takes the lock of a process that is gone away from it. Whether somebody should look again.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub(super) fn take_over(&self, slot: SlotId, held: Lock, until: Instant) -> Result<bool> {
        let given_up = lock(&self.given_up).contains(&(slot, held));
        if !given_up && self.is_alive(&held.client, until)? {
            return Ok(false);
        }
        if !given_up {
            log::warn!(
                "slot {slot}: the process that sealed its rows anew is gone; its lock is taken away, and its rows stay as they were"
            );
        }
        self.unlock(slot, held, until)?;
        lock(&self.given_up).retain(|it| *it != (slot, held));
        Ok(true)
    }

    /// Unlocks the slot if that lock is still on it, and throws away what was staged under it. May arrive twice.
    ///
    /// Where the lock is not there, it may be on its way: `w` is put again as it is, so that it can never come.
    fn unlock(&self, slot: SlotId, held: Lock, until: Instant) -> Result<()> {
        let known = {
            let cache = lock(&self.cache);
            let known = cache.writes(slot);
            known.map(|(revision, writes)| (revision, writes.clone()))
        };
        let Some((revision, Ok(writes))) = known else {
            return Ok(());
        };
        let free = Writes {
            lock: writes.lock.filter(|there| *there != held),
            ..writes
        };
        let key = self.keys.writes(slot);
        let still = Compare::mod_revision(key.clone(), CompareOp::Equal, revision);
        let mut puts = vec![TxnOp::put(key, free.encode(), None)];
        // Unless they were switched to: then they are the slot's rows.
        if writes.sealing != held.sealing {
            let garbage = Garbage {
                slot,
                epoch: writes.epoch,
                sealing: Some(held.sealing),
            };
            let note = self.keys.garbage(self.fresh_id(until)?);
            puts.push(TxnOp::put(note, garbage.encode(), None));
        }
        let txn = Txn::new().when([still]).and_then(puts);
        let answer = transact(&self.client, until, txn);
        answer.outcome.map_err(|why| self.failed(why))?;
        self.refresh_until(Instant::now(), until)
    }
}
