//! Counting failed logins. The count is a key of its own, and every change of it compares the revision that it was read at,
//! so that all hosts together allow no guess too many.

use etcd_client::{Compare, CompareOp, Txn, TxnOp};

use super::ask::{gets, transact};
use super::values;
use super::{Inner, Store};
use crate::error::{Error, Result, StoreFault};
use slotfs_object::SlotId;
use slotfs_object::sealed::PartId;

impl Store {
    pub(crate) fn count_failure(
        &self,
        slot: SlotId,
        credential: PartId,
        most: u32,
    ) -> Result<Option<u32>> {
        let mut counted = None;
        self.change_failures(slot, credential, |failures| {
            counted = (failures < most.into()).then_some(failures + 1);
            counted
        })?;
        let counted = counted.map(u32::try_from).transpose();
        counted.map_err(|_| {
            Error::Damaged(format!(
                "a credential (row {}): too many failures",
                credential.0
            ))
        })
    }

    pub(crate) fn uncount_failure(&self, slot: SlotId, credential: PartId) -> Result<()> {
        self.change_failures(slot, credential, |failures| failures.checked_sub(1))
    }

    pub(crate) fn clear_failures(&self, slot: SlotId, credential: PartId) -> Result<()> {
        self.change_failures(slot, credential, |failures| (failures > 0).then_some(0))
    }

    /// Changes the count; `change` says to what, or nothing when it stays. When an answer is lost, the count is read and
    /// changed again, but never lowered again: a failure may be counted twice, and is never forgotten.
    fn change_failures(
        &self,
        slot: SlotId,
        credential: PartId,
        mut change: impl FnMut(u64) -> Option<u64>,
    ) -> Result<()> {
        let inner: &Inner = &self.inner;
        if self.is_read_only() {
            return Err(inner.fault(StoreFault::ReadOnly));
        }
        let key = inner.keys.failures(slot, credential);
        let until = inner.client.deadline().settling;
        let mut write: Option<(i64, u64)> = None;
        loop {
            let read = TxnOp::get(key.clone(), None);
            let txn = match write {
                None => Txn::new().when([Compare::version(key.clone(), CompareOp::Less, 0)]),
                Some((revision, failures)) => Txn::new()
                    .when([Compare::mod_revision(
                        key.clone(),
                        CompareOp::Equal,
                        revision,
                    )])
                    .and_then([TxnOp::put(key.clone(), values::number(failures), None)]),
            };
            let answer = transact(&inner.client, until, txn.or_else([read]));
            let sent_twice = answer.doubtful;
            let answer = answer.outcome.map_err(|why| inner.failed(why))?;
            if answer.succeeded() && write.is_some() {
                super::lock(&inner.counters).commits += 1;
                return Ok(());
            }
            let doubtful = sent_twice && write.is_some();
            let found = gets(&answer);
            let pair = found.first().and_then(|it| it.kvs().first());
            let (revision, failures) = match pair {
                None => (0, 0),
                Some(pair) => {
                    let failures = values::to_number(pair.value()).map_err(|what| {
                        Error::Damaged(format!("a credential (row {}): {what}", credential.0))
                    })?;
                    (pair.mod_revision(), failures)
                }
            };
            match change(failures) {
                // It was lowered, or somebody failed since.
                Some(lower) if doubtful && lower < failures => return Ok(()),
                Some(failures) => write = Some((revision, failures)),
                None => return Ok(()),
            }
        }
    }
}
