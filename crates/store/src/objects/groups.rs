//! Objects that belong together, many groups in one transaction: each group whole or not at all.

use super::room::Room;
use super::write::{check_version, store_verified};
use super::{Put, Stored};
use crate::committer::Tx;
use crate::{Reply, Result, Store};

impl Store {
    /// Stores groups of objects for one slot, in one transaction, on the committer's own thread: the caller prepares the
    /// next groups meanwhile. A group that fails leaves the others.
    ///
    /// Replies one outcome for each group, in their order: where each of its objects is, or the first error; or the
    /// error that failed all of them.
    pub fn put_groups(&self, groups: Vec<Vec<Put>>, reply: impl Reply<Vec<Result<Vec<Stored>>>>) {
        self.write_and_go_on(move |tx| store_groups(tx, groups), reply);
    }
}

fn store_groups(tx: &mut Tx<'_>, groups: Vec<Vec<Put>>) -> Result<Vec<Result<Vec<Stored>>>> {
    let Some(slot) = groups.iter().flatten().map(|put| put.slot).next() else {
        return Ok(groups.iter().map(|_| Ok(Vec::new())).collect());
    };
    check_version(tx, slot)?;
    let mut room = Room::of(tx, slot.slot)?;
    groups
        .into_iter()
        .map(|group| store_group(tx, group, &mut room))
        .collect()
}

/// The inner error is this group's, and nothing was written for it; the outer one is the store's, and ends the
/// transaction.
fn store_group(tx: &mut Tx<'_>, group: Vec<Put>, room: &mut Room) -> Result<Result<Vec<Stored>>> {
    let before = *room;
    let slot = group.first().map(|put| put.slot.slot);
    // One object writes all or nothing by itself; a savepoint would have SQLite copy each page that it touches.
    let together = group.len() > 1;
    if together {
        tx.execute("SAVEPOINT together", [])?;
    }
    let stored: Result<Vec<Stored>> = group
        .into_iter()
        .map(|put| store_verified(tx, put, room))
        .collect::<Result<_>>()?;
    if together {
        if stored.is_err() {
            tx.execute("ROLLBACK TO together", [])?;
            *room = before;
            if let Some(slot) = slot {
                tx.forget_runs(slot);
            }
        }
        tx.execute("RELEASE together", [])?;
    }
    Ok(stored)
}
