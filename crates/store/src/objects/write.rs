//! Writes of objects. Each runs inside a transaction of the committer.

use rusqlite::params;

use super::handles::{exactly, is_taken, near};
use super::room::Room;
use super::sequence;
use super::trash::leave;
use super::{
    Entry, Meeting, Move, Place, Put, SELECT, SELECT_SEALED, Seal, Stored, entry, sealed_entry,
    whole,
};
use crate::cells::{self, Seen};
use crate::committer::Tx;
use crate::slots::signed;
use crate::{Error, Reply, Result, SlotFault, SlotVersion, Store, lock};
use slotfs_object::sealed::SealedRow;
use slotfs_object::{Handle, Ouid, RowId, SlotId, now_secs};

/// Row ids reserved in one commit. Those that are left when the store is closed stay unused.
const RESERVED_AT_ONCE: i64 = 1024;

impl Store {
    /// Stores an object; `reply` runs when it is durable, on this thread or another.
    ///
    /// Replies [`SlotFault::IdentityClash`], [`SlotFault::Full`], [`SlotFault::TrashFull`], [`SlotFault::Replaced`], or
    /// the disk's error.
    pub fn put(&self, put: Put, reply: impl Reply<Stored>) {
        self.write(move |tx| store_object(tx, put), reply);
    }

    /// Stores objects for one slot, in one transaction; each fails by itself. `source` is the slot that they come from,
    /// as it was when they were read.
    ///
    /// Replies one outcome for each, in their order, as [`Self::put`]; or the error that failed all of them.
    pub fn put_many(
        &self,
        puts: Vec<Put>,
        source: SlotVersion,
        reply: impl Reply<Vec<Result<Stored>>>,
    ) {
        self.write_and_go_on(
            move |tx| {
                check_version(tx, source)?;
                store_objects(tx, puts)
            },
            reply,
        );
    }

    /// The same, but all of them or none.
    ///
    /// Replies where each is, or the first error.
    pub fn put_all(&self, puts: Vec<Put>, reply: impl Reply<Vec<Stored>>) {
        let work = move |tx: &mut Tx<'_>| store_objects(tx, puts)?.into_iter().collect();
        self.write(work, reply);
    }

    /// A row id for one object, which the store gives to no other; `None` when the store cannot be written.
    /// AUTOINCREMENT's counter is moved past many ids at once, so it need not change when a row gets one of them.
    pub fn reserve_row(&self) -> Option<RowId> {
        let mut reserved = lock(&self.reserved);
        if reserved.is_empty() {
            match self.write_now(reserve) {
                Ok(last) => *reserved = last - RESERVED_AT_ONCE + 1..last + 1,
                Err(error) => {
                    log::debug!("no rows can be reserved: {error}");
                    return None;
                }
            }
        }
        reserved.next().map(RowId)
    }

    /// Moves an object to another slot: both sides or neither. It gets a new row there: an inode that the kernel
    /// remembers for the old name must not come to mean another slot.
    ///
    /// Replies as [`Self::put`], and [`SlotFault::HandleTaken`] when another object has the handle.
    pub fn move_object(&self, it: Move, reply: impl Reply<Stored>) {
        self.write(move |tx| move_object(tx, it), reply);
    }

    /// Puts a later revision in the place of the object `from`: a new row under its handle.
    ///
    /// Replies [`Error::Gone`] when it is not there any more, and as [`Self::put`].
    pub fn revise(&self, from: Entry, put: Put, reply: impl Reply<Stored>) {
        let work = move |tx: &mut Tx<'_>| {
            check_version(tx, put.slot)?;
            check_unmoved(tx, from)?;
            let mut room = Room::of(tx, from.slot)?;
            revise(tx, put, from, &mut room)?
        };
        self.write(work, reply);
    }

    /// Gives an object another handle in its slot.
    ///
    /// Replies [`SlotFault::HandleTaken`], [`Error::Gone`].
    pub fn renumber(
        &self,
        from: Entry,
        slot: SlotVersion,
        to: Handle,
        seal: Seal,
        reply: impl Reply<()>,
    ) {
        self.write(move |tx| renumber(tx, from, slot, to, seal), reply);
    }

    /// Destroys an object.
    ///
    /// Replies [`Error::Gone`] when it is not there any more.
    pub fn destroy(&self, it: Entry, slot: SlotVersion, reply: impl Reply<()>) {
        self.write(move |tx| destroy(tx, it, slot), reply);
    }
}

/// Reserves row ids; the last of them.
fn reserve(tx: &mut Tx<'_>) -> Result<i64> {
    sequence::next_row(tx)?;
    tx.value(
        "UPDATE sqlite_sequence SET seq = seq + ?1 WHERE name = 'objects' RETURNING seq",
        [RESERVED_AT_ONCE],
    )
}

fn store_object(tx: &mut Tx<'_>, put: Put) -> Result<Stored> {
    tx.spares_slots = true;
    check_version(tx, put.slot)?;
    let mut room = Room::of(tx, put.slot.slot)?;
    store_verified(tx, put, &mut room)?
}

/// The same for each of `puts`, all to one slot: the failure of one leaves the others.
fn store_objects(tx: &mut Tx<'_>, puts: Vec<Put>) -> Result<Vec<Result<Stored>>> {
    let Some(first) = puts.first() else {
        return Ok(Vec::new());
    };
    check_version(tx, first.slot)?;
    let mut room = Room::of(tx, first.slot.slot)?;
    puts.into_iter()
        .map(|put| store_verified(tx, put, &mut room))
        .collect()
}

/// The inner error is this object's, and nothing was written for it; the outer one is the store's, and ends
/// the transaction.
pub(super) fn store_verified(tx: &mut Tx<'_>, put: Put, room: &mut Room) -> Result<Result<Stored>> {
    let slot = put.slot.slot;
    match identity(tx, slot, put.ouid) {
        Ok(None) => {}
        Ok(Some((there, row))) => {
            return match meet(&put, there, &row) {
                Ok(None) => revise(tx, put, there, room),
                Ok(Some(stays)) => Ok(Ok(stays)),
                Err(refused) => Ok(Err(refused)),
            };
        }
        Err(damaged @ Error::Object(_)) => return Ok(Err(damaged)),
        Err(error) => return Err(error),
    }
    if let Err(full) = room.check(slot, put.payload_bytes) {
        return Ok(Err(full));
    }
    let handle = near(tx, slot, put.want, room)?;
    insert(tx, put, handle, room).map(|handle| Ok(Stored::New(handle)))
}

/// Puts an object in the place of an earlier revision. The errors are as those of [`store_verified`].
fn revise(tx: &mut Tx<'_>, put: Put, there: Entry, room: &mut Room) -> Result<Result<Stored>> {
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
    let revision = put.revision;
    let handle = insert(tx, put, there.handle, room)?;
    Ok(Ok(Stored::Revised {
        handle,
        revision,
        replaced: there.id,
    }))
}

fn move_object(tx: &mut Tx<'_>, it: Move) -> Result<Stored> {
    let Move {
        from,
        from_slot,
        put,
        outdated,
    } = it;
    check_version(tx, from_slot)?;
    check_version(tx, put.slot)?;
    check_unmoved(tx, from)?;
    store_exactly(tx, put, |tx, there| match there {
        Some(Stored::Outdated(_)) => leave(tx, from, &outdated),
        _ => delete(tx, from),
    })
}

/// Stores an object under the handle it must have, once `goes` has removed it from where it was. When its slot has its
/// identity already, that is where it stays; `goes` is told when nothing is stored.
pub(super) fn store_exactly(
    tx: &mut Tx<'_>,
    put: Put,
    goes: impl FnOnce(&mut Tx<'_>, Option<Stored>) -> Result<()>,
) -> Result<Stored> {
    let slot = put.slot.slot;
    if let Some((there, row)) = identity(tx, slot, put.ouid)? {
        let stays = meet(&put, there, &row)?;
        goes(tx, stays)?;
        return match stays {
            Some(stays) => Ok(stays),
            None => {
                let mut room = Room::of(tx, slot)?;
                revise(tx, put, there, &mut room)?
            }
        };
    }
    let mut room = Room::of(tx, slot)?;
    room.check(slot, put.payload_bytes)?;
    let handle = exactly(tx, slot, put.want, &room)?;
    goes(tx, None)?;
    insert(tx, put, handle, &mut room).map(Stored::New)
}

fn renumber(tx: &mut Tx<'_>, from: Entry, slot: SlotVersion, to: Handle, seal: Seal) -> Result<()> {
    check_version(tx, slot)?;
    check_unmoved(tx, from)?;
    if is_taken(tx, from.slot, to)? {
        return Err(SlotFault::HandleTaken(to).at(from.slot));
    }
    let sealed = seal(Place {
        handle: to,
        ..from.place()
    })?;
    tx.execute(
        "UPDATE objects SET handle = ?2, sealed = ?3 WHERE id = ?1",
        (from.id.0, to.get(), sealed.bytes()),
    )?;
    tx.forget_runs(from.slot);
    Ok(())
}

fn destroy(tx: &mut Tx<'_>, it: Entry, slot: SlotVersion) -> Result<()> {
    check_version(tx, slot)?;
    check_unmoved(tx, it)?;
    delete(tx, it)
}

pub(super) fn delete(tx: &mut Tx<'_>, it: Entry) -> Result<()> {
    tx.execute("DELETE FROM objects WHERE id = ?1", [it.id.0])?;
    tx.forget_runs(it.slot);
    tx.erases = true;
    Ok(())
}

/// Refuses when another process changed the slot, or initialised it again, since the caller looked.
pub(crate) fn check_version(tx: &Tx<'_>, wanted: SlotVersion) -> Result<()> {
    let slot = wanted.slot;
    let there = tx.row(
        "SELECT serial, generation FROM slots WHERE slot = ?1",
        [slot.0],
        |row| -> Seen<(u64, u64)> { Ok((cells::number(row, 0)?, cells::number(row, 1)?)) },
    )?;
    match there.transpose().map_err(SlotFault::damaged(slot))? {
        Some(there) if there == (wanted.serial, wanted.generation) => Ok(()),
        Some((serial, _)) if serial == wanted.serial => Err(SlotFault::Changed.at(slot)),
        _ => Err(SlotFault::Replaced.at(slot)),
    }
}

/// Refuses when the row is no longer as the caller saw it.
pub(super) fn check_unmoved(tx: &Tx<'_>, it: Entry) -> Result<()> {
    match whole(tx.row(&format!("{SELECT} WHERE id = ?1"), [it.id.0], entry)?)? {
        Some(now) if now == it => Ok(()),
        _ => Err(Error::Gone),
    }
}

/// The object of that identity in a slot, if any.
fn identity(tx: &Tx<'_>, slot: SlotId, ouid: Ouid) -> Result<Option<(Entry, SealedRow)>> {
    let text = format!("{SELECT_SEALED} WHERE slot = ?1 AND ouid = ?2");
    whole(tx.row(&text, (slot.0, ouid.0), sealed_entry)?)
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

fn insert(tx: &mut Tx<'_>, put: Put, handle: Handle, room: &mut Room) -> Result<Handle> {
    let id = put.id.unwrap_or(RowId(room.next_id));
    let sealed = (put.seal)(Place {
        id,
        handle,
        ouid: put.ouid,
        payload_bytes: put.payload_bytes,
        created_secs: put.created_secs,
        changed_secs: put.changed_secs,
    })?;
    // OR FAIL, and AUTOINCREMENT chooses the id: the constraints were checked before, and a statement that cannot abort
    // half done needs no copy of each page that it touches.
    let inserted = tx.with(|connection| {
        connection
            .prepare_cached(
                "INSERT OR FAIL INTO objects (id, slot, handle, ouid, payload_bytes, created_secs, stored_secs, sealed,
                 changed_secs)
             VALUES (?8, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?9)",
            )?
            .insert(params![
                put.slot.slot.0,
                handle.get(),
                put.ouid.0,
                put.payload_bytes,
                signed(put.created_secs),
                signed(now_secs()),
                sealed.bytes(),
                put.id.or(room.state_id.then_some(id)).map(|id| id.0),
                put.changed_secs.map(signed),
            ])
    })?;
    if inserted != id.0 {
        let what = format!("SQLite gave row id {inserted} instead of {id}");
        return Err(Error::Damaged(what));
    }
    room.took(id, handle, put.payload_bytes);
    Ok(handle)
}
