//! Objects that belong together, many groups in one transaction: each group whole or not at all.

use super::objects::store_verified;
use super::{Room, Rows, check_version};
use crate::Result;
use crate::rows::{Put, Stored};

/// Stores groups of objects for one slot; a group that fails leaves the others.
pub(crate) fn store_groups(
    tx: &mut impl Rows,
    groups: &[Vec<Put>],
) -> Result<Vec<Result<Vec<Stored>>>> {
    let Some(slot) = groups.iter().flatten().map(|put| put.slot).next() else {
        return Ok(groups.iter().map(|_| Ok(Vec::new())).collect());
    };
    check_version(tx, slot)?;
    let mut room = tx.room(slot.slot)?;
    groups
        .iter()
        .map(|group| store_group(tx, group, &mut room))
        .collect()
}

/// The inner error is this group's, and nothing was written for it; the outer one is the store's, and ends the
/// transaction.
fn store_group<R: Rows>(tx: &mut R, group: &[Put], room: &mut Room) -> Result<Result<Vec<Stored>>> {
    let before = *room;
    let mut each = |tx: &mut R| -> Result<Result<Vec<Stored>>> {
        let stored = group.iter().map(|put| store_verified(tx, put, room));
        stored.collect::<Result<_>>()
    };
    // One object writes all or nothing by itself, and is spared the cost.
    if group.len() < 2 {
        return each(tx);
    }
    let stored = tx.together(each)?;
    if stored.is_err() {
        *room = before;
        if let Some(put) = group.first() {
            tx.forget_runs(put.slot.slot);
        }
    }
    Ok(stored)
}
