//! Objects that belong together, many groups in one transaction: each group whole or not at all.

use super::write::{Room, check_version, query, store_verified};
use super::{Put, Stored};
use crate::Result;
use crate::Store;
use crate::committer::Tx;

impl Store {
    /// Stores groups of objects that are all for one slot, in one transaction, on the committer's own thread: the
    /// caller makes the next ones meanwhile. A group that fails leaves the others.
    ///
    /// Replies one outcome for each group, in their order: where each of its objects is, or the first reason why none
    /// is; or what failed all of them.
    pub fn put_groups(
        &self,
        groups: Vec<Vec<Put>>,
        reply: impl FnOnce(Result<Vec<Result<Vec<Stored>>>>) + Send + 'static,
    ) {
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
    // One object writes all or nothing by itself; a savepoint would have SQLite copy each page that it touches.
    if group.len() <= 1 {
        return group
            .into_iter()
            .map(|put| store_verified(tx, put, room))
            .collect();
    }
    let slot = group.first().map(|put| put.slot.slot);
    let before = *room;
    tell(tx, "SAVEPOINT together")?;
    let stored: Result<Result<Vec<Stored>>> = group
        .into_iter()
        .map(|put| store_verified(tx, put, room))
        .collect();
    let stored = stored?;
    if stored.is_err() {
        tell(tx, "ROLLBACK TO together")?;
        *room = before;
        if let Some(slot) = slot {
            tx.forget_runs(slot.0);
        }
    }
    tell(tx, "RELEASE together")?;
    Ok(stored)
}

fn tell(tx: &Tx<'_>, statement: &str) -> Result<()> {
    query(tx, statement, |it| it.execute([]).map(drop))
}
