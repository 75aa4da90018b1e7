//! Deleting what nothing leads to any more, in pieces that no other write waits for. Any host may do it, at any time.

use std::time::{Duration, Instant};

use etcd_client::{DeleteOptions, Txn, TxnOp};

use super::Inner;
use super::ask::transact;
use super::commit::nested;
use super::fetch::Range;
use super::keys::{Key, Place as At, after};
use super::pages::Pages;
use super::values::{self, Garbage};
use crate::error::Result;
use slotfs_object::{RowId, SlotId};

/// Keys that are deleted in one transaction, with as many places of rows.
const AT_ONCE: usize = 1024;
/// How long a command deletes what it left. The rest is deleted by a process that keeps the store.
const FOR_A_COMMAND: Duration = Duration::from_secs(10);

impl Inner {
    /// Deletes what is to be deleted, for some seconds. What is left stays for the next time, and for other hosts.
    pub(super) fn sweep_now(&self) {
        let until = Instant::now() + FOR_A_COMMAND;
        match self.sweep(&|| Instant::now() < until) {
            Ok(true) => {}
            Ok(false) => log::info!("the rest of the destroyed rows is deleted by a daemon"),
            Err(error) => {
                log::warn!("destroyed rows are not yet deleted from the cluster: {error}");
            }
        }
    }

    /// The same while `go_on`; whether nothing is left.
    pub(super) fn sweep(&self, go_on: &dyn Fn() -> bool) -> Result<bool> {
        for (key, value) in self.raw_range(&Range::prefix(self.keys.all_garbage()))? {
            match Garbage::decode(&value) {
                Ok(garbage) if !self.delete_garbage(garbage, go_on)? => return Ok(false),
                Ok(_) => {}
                Err(what) => log::warn!("a note of what is to be deleted cannot be read: {what}"),
            }
            self.delete(vec![TxnOp::delete(key, None)])?;
        }
        Ok(true)
    }

    fn delete_garbage(&self, garbage: Garbage, go_on: &dyn Fn() -> bool) -> Result<bool> {
        let at = At {
            slot: garbage.slot,
            epoch: garbage.epoch,
        };
        let keys = &self.keys;
        if let Some(sealing) = garbage.sealing {
            let rows = self.pages_of(garbage.slot, keys.all_sealed(at, Some(sealing)), 8)?;
            return self.delete_pages(rows.keys_only(), |_, _| None, go_on);
        }
        // Where a row is lies apart from it, so it goes with the key that leads to it.
        let by_handle = |_: &Key, value: &[u8]| Some(RowId(values::id_of(value)));
        let handles = self.pages_of(garbage.slot, keys.handles(at), 4)?;
        if !self.delete_pages(handles, by_handle, go_on)? {
            return Ok(false);
        }
        let by_row = |key: &Key, _: &[u8]| super::keys::Keys::row_of(key);
        let trashed = self.pages_of(garbage.slot, keys.all_trashed(at), 8)?;
        if !self.delete_pages(trashed.keys_only(), by_row, go_on)? {
            return Ok(false);
        }
        for (prefix, digits) in [
            (keys.identities(at), 16),
            (keys.all_sealed(at, None), 16),
            (keys.all_trash_names(at), 8),
            (keys.all_trash_identities(at), 16),
            (keys.all_trash_times(at), 16),
        ] {
            let all = self.pages_of(garbage.slot, prefix, digits)?;
            if !self.delete_pages(all.keys_only(), |_, _| None, go_on)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn pages_of(&self, slot: SlotId, prefix: Key, digits: usize) -> Result<Pages> {
        let until = self.client.deadline().settling;
        let (_, keys) = self.count_until(until, slot, &Range::prefix(prefix.clone()))?;
        Ok(Pages::of(prefix, digits, keys, AT_ONCE))
    }

    /// Deletes all keys of some pages, and the places of the rows that they lead to; whether nothing is left.
    fn delete_pages(
        &self,
        mut pages: Pages,
        leads_to: impl Fn(&Key, &[u8]) -> Option<RowId>,
        go_on: &dyn Fn() -> bool,
    ) -> Result<bool> {
        while let Some(range) = pages.next() {
            if !go_on() {
                return Ok(false);
            }
            let found = self.raw_range(&range)?;
            pages.took(&found);
            let (Some((first, _)), Some((last, _))) = (found.first(), found.last()) else {
                continue;
            };
            let rows = found.iter().filter_map(|(key, value)| leads_to(key, value));
            let mut gone: Vec<TxnOp> = rows
                .map(|id| TxnOp::delete(self.keys.row(id), None))
                .collect();
            let all = DeleteOptions::new().with_range(after(last));
            gone.push(TxnOp::delete(first.clone(), Some(all)));
            self.delete(gone)?;
        }
        Ok(true)
    }

    /// Deletes may arrive twice: no key under an epoch that is gone is ever put again.
    fn delete(&self, operations: Vec<TxnOp>) -> Result<()> {
        let txn = Txn::new().and_then(nested(operations));
        let answer = transact(&self.client, self.client.deadline().settling, txn);
        answer.outcome.map(drop).map_err(|why| self.failed(why))
    }
}
