//! The trash: what becomes of an object that leaves its slot, and how it comes back.

use super::objects::{check_unmoved, delete, store_exactly};
use super::{Rows, check_version};
use crate::rows::{Alike, Entry, Leaving, Put, Stored, Trashed};
use crate::{Error, Result, SlotFault, SlotVersion};
use slotfs_object::SlotId;

/// The trash of a slot holds as many objects as the slot, but never fewer than these.
const LEAST_ROOM: u64 = 10_000;

/// Moves an object to the trash.
pub(crate) fn trash(tx: &mut impl Rows, it: Entry, slot: SlotVersion, how: &Leaving) -> Result<()> {
    check_version(tx, slot)?;
    check_unmoved(tx, it)?;
    leave(tx, it, how)
}

/// Takes a row out of its slot. Nothing was written when that fails for want of room.
pub(super) fn leave(tx: &mut impl Rows, it: Entry, how: &Leaving) -> Result<()> {
    match how {
        Leaving::Destroyed => delete(tx, it),
        Leaving::ToTrash(alike) => {
            tx.purge(it.slot)?;
            to_trash(tx, it, alike)
        }
    }
}

fn to_trash(tx: &mut impl Rows, it: Entry, alike: &Alike) -> Result<()> {
    // A damaged row is never the same object; nor is one whose sealed part is missing, and that can be removed too.
    let same: Vec<Entry> = match tx.sealed(&it)? {
        None => Vec::new(),
        Some(sealed) => tx
            .twins(it.slot, it.ouid)?
            .into_iter()
            .filter(|(twin, other)| alike((it.place(), &sealed), (twin.place(), other)))
            .map(|(twin, _)| twin)
            .collect(),
    };
    if same.is_empty() && room(tx, it.slot)? == 0 {
        return Err(SlotFault::TrashFull.at(it.slot));
    }
    for twin in same {
        tx.take_from_trash(&twin)?;
    }
    tx.to_trash(&it)?;
    tx.forget_runs(it.slot);
    Ok(())
}

/// How many more objects the trash of a slot takes.
fn room(tx: &mut impl Rows, slot: SlotId) -> Result<u64> {
    let (capacity, there) = tx.trash_use(slot)?;
    Ok(capacity.max(LEAST_ROOM).saturating_sub(there))
}

/// Brings an object back from the trash.
pub(crate) fn restore(tx: &mut impl Rows, it: Trashed, put: &Put) -> Result<Stored> {
    check_version(tx, put.slot)?;
    check_there(tx, it)?;
    let slot = put.slot.slot;
    store_exactly(tx, put, |tx, there| match there {
        Some(Stored::Outdated(handle)) => Err(SlotFault::Outdated(handle).at(slot)),
        _ => tx.take_from_trash(&it.entry),
    })
}

/// Destroys an object in the trash.
pub(crate) fn destroy_trashed(tx: &mut impl Rows, it: Trashed, slot: SlotVersion) -> Result<()> {
    check_version(tx, slot)?;
    check_there(tx, it)?;
    tx.take_from_trash(&it.entry)
}

/// Refuses when the row in the trash is no longer as the caller saw it.
fn check_there(tx: &mut impl Rows, it: Trashed) -> Result<()> {
    match tx.trashed(&it)?.transpose().map_err(Error::Object)? {
        Some(now) if now == it => Ok(()),
        _ => Err(Error::Gone),
    }
}
