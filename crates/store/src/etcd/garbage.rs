//! Deleting what nothing leads to any more, in pieces that no other write waits for. Any host may do it, at any time.

use etcd_client::{DeleteOptions, Txn, TxnOp};

use super::Inner;
use super::ask::transact;
use super::fetch::{MOST_OPERATIONS, Range};
use super::keys::{Key, Place as At};
use super::values::{self, Garbage};
use crate::error::Result;
use slotfs_object::RowId;

/// Rows that are deleted in one transaction, with two keys each.
const AT_ONCE: i64 = (MOST_OPERATIONS / 2) as i64;

impl Inner {
    /// Deletes what is to be deleted. What fails stays for the next time, and for other hosts.
    pub(super) fn sweep_now(&self) {
        if let Err(error) = self.sweep() {
            log::warn!("destroyed rows are not yet deleted from the cluster: {error}");
        }
    }

    /// The same; how many pieces of garbage there were.
    pub(super) fn sweep(&self) -> Result<usize> {
        let all = self.raw_range(&Range::prefix(self.keys.all_garbage()))?;
        let count = all.len();
        for (key, value) in all {
            match Garbage::decode(&value) {
                Ok(garbage) => self.delete_garbage(garbage)?,
                Err(what) => log::warn!("a note of what is to be deleted cannot be read: {what}"),
            }
            self.delete(vec![TxnOp::delete(key, None)])?;
        }
        Ok(count)
    }

    fn delete_garbage(&self, garbage: Garbage) -> Result<()> {
        let at = At {
            slot: garbage.slot,
            epoch: garbage.epoch,
        };
        if let Some(sealing) = garbage.sealing {
            return self.delete_prefix(self.keys.all_sealed(at, Some(sealing)));
        }
        // Where a row is lies apart from it, so these two are read first.
        let by_handle = |_: &Key, value: &[u8]| Some(RowId(values::id_of(value)));
        let by_row = |key: &Key, _: &[u8]| super::keys::Keys::row_of(key);
        self.delete_rows(self.keys.handles(at), by_handle)?;
        self.delete_rows(self.keys.all_trashed(at), by_row)?;
        for prefix in [
            self.keys.identities(at),
            self.keys.all_sealed(at, None),
            self.keys.all_trash_names(at),
            self.keys.all_trash_identities(at),
            self.keys.all_trash_times(at),
        ] {
            self.delete_prefix(prefix)?;
        }
        Ok(())
    }

    fn delete_rows(&self, prefix: Key, id_of: impl Fn(&Key, &[u8]) -> Option<RowId>) -> Result<()> {
        loop {
            let some = Range {
                limit: AT_ONCE,
                ..Range::prefix(prefix.clone())
            };
            let rows = self.raw_range(&some)?;
            if rows.is_empty() {
                return Ok(());
            }
            let mut gone = Vec::new();
            for (key, value) in rows {
                let id = id_of(&key, &value);
                gone.extend(id.map(|id| TxnOp::delete(self.keys.row(id), None)));
                gone.push(TxnOp::delete(key, None));
            }
            self.delete(gone)?;
        }
    }

    fn delete_prefix(&self, prefix: Key) -> Result<()> {
        let all = Some(DeleteOptions::new().with_prefix());
        self.delete(vec![TxnOp::delete(prefix, all)])
    }

    /// Deletes may arrive twice.
    fn delete(&self, operations: Vec<TxnOp>) -> Result<()> {
        let txn = Txn::new().and_then(operations);
        let answer = transact(&self.client, self.client.deadline().settling, txn);
        answer.outcome.map(drop).map_err(|why| self.failed(why))
    }
}
