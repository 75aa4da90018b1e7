//! Storing objects, moving them and destroying them.

use super::handles::{exactly, near};
use super::trash::leave;
use super::{Room, Rows, check_version};
use crate::rows::{Entry, Meeting, Move, Place, Put, Seal, Stored};
use crate::{Error, Result, SlotFault, SlotVersion};
use slotfs_object::Handle;
use slotfs_object::sealed::SealedRow;

/// Stores one object.
pub(crate) fn store_object(tx: &mut impl Rows, put: &Put) -> Result<Stored> {
    check_version(tx, put.slot)?;
    let mut room = tx.room(put.slot.slot)?;
    store_verified(tx, put, &mut room)?
}

/// The same for each of `puts`, all to one slot: the failure of one leaves the others. `source` is the slot that they come
/// from.
pub(crate) fn store_objects(
    tx: &mut impl Rows,
    puts: &[Put],
    source: Option<SlotVersion>,
) -> Result<Vec<Result<Stored>>> {
    if let Some(source) = source {
        check_version(tx, source)?;
    }
    let Some(first) = puts.first() else {
        return Ok(Vec::new());
    };
    check_version(tx, first.slot)?;
    let mut room = tx.room(first.slot.slot)?;
    puts.iter()
        .map(|put| store_verified(tx, put, &mut room))
        .collect()
}

/// The same, but all of them or none.
pub(crate) fn store_together(tx: &mut impl Rows, puts: &[Put]) -> Result<Vec<Stored>> {
    store_objects(tx, puts, None)?.into_iter().collect()
}

/// The inner error is this object's, and nothing was written for it; the outer one is the store's, and ends
/// the transaction.
pub(super) fn store_verified(
    tx: &mut impl Rows,
    put: &Put,
    room: &mut Room,
) -> Result<Result<Stored>> {
    let slot = put.slot.slot;
    match tx.identity(slot, put.ouid) {
        Ok(None) => {}
        Ok(Some((there, row))) => {
            return match meet(put, there, &row) {
                Ok(None) => revise(tx, put, there, room),
                Ok(Some(stays)) => Ok(Ok(stays)),
                Err(refused) => Ok(Err(refused)),
            };
        }
        Err(damaged @ Error::Object(_)) => return Ok(Err(damaged)),
        Err(error) => return Err(error),
    }
    if put.unless_removed && !tx.twins(slot, put.ouid)?.is_empty() {
        return Ok(Err(SlotFault::Removed(put.ouid).at(slot)));
    }
    if let Err(full) = room.check(slot, put.payload_bytes) {
        return Ok(Err(full));
    }
    let handle = near(tx, slot, put.want, room)?;
    insert(tx, put, handle, room).map(|handle| Ok(Stored::New(handle)))
}

/// Puts an object in the place of the earlier revision `from`.
pub(crate) fn revise_object(tx: &mut impl Rows, from: Entry, put: &Put) -> Result<Stored> {
    check_version(tx, put.slot)?;
    check_unmoved(tx, from)?;
    let mut room = tx.room(from.slot)?;
    revise(tx, put, from, &mut room)?
}

/// Puts an object in the place of an earlier revision. The errors are as those of [`store_verified`].
fn revise(tx: &mut impl Rows, put: &Put, there: Entry, room: &mut Room) -> Result<Result<Stored>> {
    let slot = there.slot;
    if let Err(full) = room.check_instead(slot, put.payload_bytes, there.payload_bytes) {
        return Ok(Err(full));
    }
    match leave(tx, there, &put.replaced) {
        Err(
            full @ Error::Slot {
                why: SlotFault::TrashFull,
                ..
            },
        ) => return Ok(Err(full)),
        left => left?,
    }
    room.left(there.payload_bytes);
    let handle = insert(tx, put, there.handle, room)?;
    Ok(Ok(Stored::Revised {
        handle,
        revision: put.revision,
        replaced: there.id,
    }))
}

/// Moves an object to another slot: both sides or neither.
pub(crate) fn move_object(tx: &mut impl Rows, it: &Move) -> Result<Stored> {
    check_version(tx, it.from_slot)?;
    check_version(tx, it.put.slot)?;
    check_unmoved(tx, it.from)?;
    store_exactly(tx, &it.put, |tx, there| match there {
        Some(Stored::Outdated(_)) => leave(tx, it.from, &it.outdated),
        _ => delete(tx, it.from),
    })
}

/// Stores an object under the handle it must have, once `goes` has removed it from where it was. When its slot has its
/// identity already, that is where it stays; `goes` is told when nothing is stored.
pub(super) fn store_exactly<R: Rows>(
    tx: &mut R,
    put: &Put,
    goes: impl FnOnce(&mut R, Option<Stored>) -> Result<()>,
) -> Result<Stored> {
    let slot = put.slot.slot;
    if let Some((there, row)) = tx.identity(slot, put.ouid)? {
        let stays = meet(put, there, &row)?;
        goes(tx, stays)?;
        return match stays {
            Some(stays) => Ok(stays),
            None => {
                let mut room = tx.room(slot)?;
                revise(tx, put, there, &mut room)?
            }
        };
    }
    let mut room = tx.room(slot)?;
    room.check(slot, put.payload_bytes)?;
    let handle = exactly(tx, slot, put.want, &room)?;
    goes(tx, None)?;
    insert(tx, put, handle, &mut room).map(Stored::New)
}

/// Gives an object another handle in its slot.
pub(crate) fn renumber(
    tx: &mut impl Rows,
    from: Entry,
    slot: SlotVersion,
    to: Handle,
    seal: &Seal,
) -> Result<()> {
    check_version(tx, slot)?;
    check_unmoved(tx, from)?;
    if tx.is_taken(from.slot, to)? {
        return Err(SlotFault::HandleTaken(to).at(from.slot));
    }
    let sealed = seal(Place {
        handle: to,
        ..from.place()
    })?;
    tx.renumber(&from, to, &sealed)?;
    tx.forget_runs(from.slot);
    Ok(())
}

/// Destroys an object.
pub(crate) fn destroy(tx: &mut impl Rows, it: Entry, slot: SlotVersion) -> Result<()> {
    check_version(tx, slot)?;
    check_unmoved(tx, it)?;
    delete(tx, it)
}

pub(super) fn delete(tx: &mut impl Rows, it: Entry) -> Result<()> {
    tx.delete(&it)?;
    tx.forget_runs(it.slot);
    Ok(())
}

/// Refuses when the row is no longer as the caller saw it.
pub(super) fn check_unmoved(tx: &mut impl Rows, it: Entry) -> Result<()> {
    match tx.object(&it)? {
        Some(now) if now == it => Ok(()),
        _ => Err(Error::Gone),
    }
}

/// What stays where an object meets `there`; `None` when it takes its place.
fn meet(put: &Put, there: Entry, row: &SealedRow) -> Result<Option<Stored>> {
    let (ouid, handle) = (put.ouid, there.handle);
    match (put.meet)(there.place(), row)? {
        Meeting::Same => Ok(Some(Stored::Already(handle))),
        Meeting::Newer => Ok(None),
        Meeting::Older => Ok(Some(Stored::Outdated(handle))),
        Meeting::Clash(differs) => Err(SlotFault::IdentityClash {
            ouid,
            handle,
            differs,
        }
        .at(there.slot)),
    }
}

fn insert(tx: &mut impl Rows, put: &Put, handle: Handle, room: &mut Room) -> Result<Handle> {
    let id = match put.id {
        Some(id) => id,
        None => tx.new_id(room)?,
    };
    let at = Place {
        id,
        handle,
        ouid: put.ouid,
        payload_bytes: put.payload_bytes,
        created_secs: put.created_secs,
        changed_secs: put.changed_secs,
    };
    let sealed = (put.seal)(at)?;
    tx.insert(put.slot.slot, at, &sealed, room, put.id.is_some())?;
    room.took(id, handle, put.payload_bytes);
    Ok(handle)
}
