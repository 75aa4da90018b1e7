//! Deleting what nothing leads to any more, in pieces that no other write waits for. Any host may do it, at any time.

use std::time::{Duration, Instant};

use etcd_client::{DeleteOptions, GetOptions, Txn, TxnOp};

use super::Inner;
use super::ask::{gets, transact};
use super::commit::nested;
use super::fetch::Range;
use super::keys::{Key, Place as At, end_of};
use super::values::{self, Garbage};
use super::windows::Windows;
use crate::error::Result;
use slotfs_object::RowId;

/// Rows that are deleted in one transaction, with two keys each.
const AT_ONCE: usize = 512;
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
            return self.delete_all(keys.all_sealed(at, Some(sealing)), 8, go_on);
        }
        // Where a row is lies apart from it, so these two are read first.
        let by_handle = |_: &Key, value: &[u8]| Some(RowId(values::id_of(value)));
        let by_row = |key: &Key, _: &[u8]| super::keys::Keys::row_of(key);
        if !self.delete_rows((keys.handles(at), 4), by_handle, go_on)?
            || !self.delete_rows((keys.all_trashed(at), 8), by_row, go_on)?
        {
            return Ok(false);
        }
        // Identities are as good as random, and so are their first bytes.
        for (prefix, bytes) in [
            (keys.identities(at), 8),
            (keys.all_sealed(at, None), 8),
            (keys.all_trash_names(at), 4),
            (keys.all_trash_identities(at), 8),
            (keys.all_trash_times(at), 8),
        ] {
            if !self.delete_all(prefix, bytes, go_on)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn delete_rows(
        &self,
        (prefix, bytes): (Key, usize),
        id_of: impl Fn(&Key, &[u8]) -> Option<RowId>,
        go_on: &dyn Fn() -> bool,
    ) -> Result<bool> {
        let mut left = self.raw_count(&prefix, &end_of(&prefix))?;
        let mut windows = Windows::of(prefix, bytes, left);
        while left > 0
            && let Some((start, end)) = windows.next()
        {
            if !go_on() {
                return Ok(false);
            }
            let keys = self.raw_count(&start, &end)?;
            if !windows.holds(keys) || keys == 0 {
                continue;
            }
            left = left.saturating_sub(keys);
            let rows = self.raw_range(&Range {
                start,
                end,
                limit: 0,
                keys_only: false,
            })?;
            for some in rows.chunks(AT_ONCE) {
                let mut gone = Vec::with_capacity(2 * some.len());
                for (key, value) in some {
                    let id = id_of(key, value);
                    gone.extend(id.map(|id| TxnOp::delete(self.keys.row(id), None)));
                    gone.push(TxnOp::delete(key.clone(), None));
                }
                self.delete(gone)?;
            }
        }
        Ok(true)
    }

    /// Deletes all keys that begin with `prefix` and go on with a number of so many bytes.
    fn delete_all(&self, prefix: Key, bytes: usize, go_on: &dyn Fn() -> bool) -> Result<bool> {
        let mut left = self.raw_count(&prefix, &end_of(&prefix))?;
        let mut windows = Windows::of(prefix, bytes, left);
        while left > 0
            && let Some((start, end)) = windows.next()
        {
            if !go_on() {
                return Ok(false);
            }
            let keys = self.raw_count(&start, &end)?;
            if !windows.holds(keys) || keys == 0 {
                continue;
            }
            left = left.saturating_sub(keys);
            if keys > super::windows::MOST {
                // All of them have the same number, and go on with another one.
                if !self.delete_all(start, 8, go_on)? {
                    return Ok(false);
                }
            } else {
                let all = Some(DeleteOptions::new().with_range(end));
                self.delete(vec![TxnOp::delete(start, all)])?;
            }
        }
        Ok(true)
    }

    /// How many keys there are from `start` to before `end`.
    fn raw_count(&self, start: &Key, end: &Key) -> Result<u64> {
        let options = GetOptions::new().with_range(end.clone()).with_count_only();
        let txn = Txn::new().and_then([TxnOp::get(start.clone(), Some(options))]);
        let answer = transact(&self.client, self.client.deadline().settling, txn);
        let answer = answer.outcome.map_err(|why| self.failed(why))?;
        let count = gets(&answer).first().map_or(0, |it| it.count());
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Deletes may arrive twice: no key under an epoch that is gone is ever put again.
    fn delete(&self, operations: Vec<TxnOp>) -> Result<()> {
        let txn = Txn::new().and_then(nested(operations));
        let answer = transact(&self.client, self.client.deadline().settling, txn);
        answer.outcome.map(drop).map_err(|why| self.failed(why))
    }
}
