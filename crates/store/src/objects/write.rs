//! Writes of objects: each part of a transaction of the committer's.

use slotfs_object::now_secs;
use std::sync::PoisonError;

use rusqlite::{Connection, OptionalExtension, params};

use super::sequence;
use super::{
    Entry, Move, Place, Put, SELECT, SELECT_SEALED, Seal, Stored, entry, sealed_entry, whole,
};
use crate::cells::{self, Seen};
use crate::committer::{Pass, Tx};
use crate::fault::sql;
use crate::slots::{NOT_COUNTED, signed};
use crate::{Error, Result, SlotFault};
use crate::{SlotVersion, Store};
use slotfs_object::sealed::SealedRow;
use slotfs_object::{Handle, Ouid, SlotId};

/// Rows reserved in one commit: what is left of them when the store is closed is nobody's.
const RESERVED_AT_ONCE: i64 = 1024;

impl Store {
    /// Stores an object; `reply` runs when it is durable, on this thread or another.
    ///
    /// Replies [`Error::IdentityClash`], [`Error::SlotFull`], [`Error::NotLoggedIn`], or what the disk says.
    pub fn put(&self, put: Put, reply: impl FnOnce(Result<Stored>) + Send + 'static) {
        self.write(move |tx| store_object(tx, put), reply);
    }

    /// Stores objects that are all for one slot, in one transaction; each fails by itself. `source` is the slot
    /// that they come from, as it was when it gave them.
    ///
    /// Replies one outcome for each, in their order, as [`Self::put`]; or what failed all of them.
    pub fn put_many(
        &self,
        puts: Vec<Put>,
        source: SlotVersion,
        reply: impl FnOnce(Result<Vec<Result<Stored>>>) + Send + 'static,
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
    /// Replies where each is, or the first reason why none is.
    pub fn put_all(
        &self,
        puts: Vec<Put>,
        reply: impl FnOnce(Result<Vec<Stored>>) + Send + 'static,
    ) {
        self.write(
            move |tx| store_objects(tx, puts)?.into_iter().collect(),
            reply,
        );
    }

    /// The id of a row that no object has or will have but the one it is for; `None` where the store cannot be written.
    /// AUTOINCREMENT's counter is moved past many at once, so it stays as it is when one of them comes.
    pub fn reserve_row(&self) -> Option<i64> {
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        if reserved.is_empty() {
            match self.write_now(reserve) {
                Ok(last) => *reserved = last - RESERVED_AT_ONCE + 1..last + 1,
                Err(error) => {
                    log::debug!("no rows can be reserved: {error}");
                    return None;
                }
            }
        }
        reserved.next()
    }

    /// Moves an object to another slot: both sides or neither. It gets a row of its own there: an inode that
    /// the kernel remembers for the old name must not come to mean another slot.
    ///
    /// Replies as [`Self::put`], and [`Error::HandleTaken`] when another object has the handle.
    pub fn move_object(&self, it: Move, reply: impl FnOnce(Result<Stored>) + Send + 'static) {
        self.write(move |tx| move_object(tx, it), reply);
    }

    /// Gives an object another handle in its slot.
    ///
    /// Replies [`Error::HandleTaken`], [`Error::Gone`].
    pub fn renumber(
        &self,
        from: Entry,
        slot: SlotVersion,
        to: Handle,
        seal: Seal,
        reply: impl FnOnce(Result<()>) + Send + 'static,
    ) {
        self.write(move |tx| renumber(tx, from, slot, to, seal), reply);
    }

    /// Destroys an object.
    ///
    /// Replies [`Error::Gone`] when it is not there any more.
    pub fn destroy(
        &self,
        it: Entry,
        slot: SlotVersion,
        reply: impl FnOnce(Result<()>) + Send + 'static,
    ) {
        self.write(move |tx| destroy(tx, it, slot), reply);
    }
}

/// The last of so many.
fn reserve(tx: &mut Tx<'_>) -> Result<i64> {
    sequence::next_row(tx)?;
    query(
        tx,
        "UPDATE sqlite_sequence SET seq = seq + ?1 WHERE name = 'objects' RETURNING seq",
        |q| q.query_row([RESERVED_AT_ONCE], |row| row.get(0)),
    )
}

fn store_object(tx: &mut Tx<'_>, put: Put) -> Result<Stored> {
    tx.spares_slots = true;
    check_version(tx, put.slot)?;
    let mut room = Room::of(tx, put.slot.slot)?;
    store_verified(tx, put, &mut room)?
}

/// The same for each of `puts`, all to one slot: one that is refused leaves the others.
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
        Ok(Some((there, row))) => return Ok(already(put, there, &row).map(Stored::Already)),
        Err(damaged @ Error::Object(_)) => return Ok(Err(damaged)),
        Err(error) => return Err(error),
    }
    if let Err(full) = room.check(slot, put.payload_bytes) {
        return Ok(Err(full));
    }
    let handle = match put.want {
        // Above all that there is: nothing to look for.
        Some(handle) if handle.get() > room.highest => handle,
        Some(handle) => free_from(tx, slot, handle, room.capacity_objects)?,
        None => free_at_end(tx, slot, room)?,
    };
    insert(tx, put, handle, room).map(|handle| Ok(Stored::New(handle)))
}

/// What is left in a slot, kept up to date over the writes of one batch.
#[derive(Clone, Copy)]
pub(super) struct Room {
    capacity_objects: u64,
    capacity_bytes: u64,
    objects: u64,
    bytes: u64,
    /// The next row's id: AUTOINCREMENT's own rule, asked beforehand, as the row is sealed for its id.
    next_id: i64,
    /// Whether it has to be given to SQLite, which would choose another.
    say_id: bool,
    /// The highest handle in use; 0 when there is none.
    highest: u32,
}

impl Room {
    pub(super) fn of(tx: &mut Tx<'_>, slot: SlotId) -> Result<Self> {
        let next = sequence::next_row(tx)?;
        let room = query(
            tx,
            // A handle that is none is not the highest.
            "SELECT capacity_objects, capacity_bytes, objects, bytes,
                    coalesce((SELECT CAST(max(handle) AS INTEGER) FROM objects
                              WHERE slot = ?1 AND handle BETWEEN 1 AND 4294967295), 0) AS highest
             FROM usage JOIN slots USING (slot) WHERE slot = ?1",
            |q| {
                q.query_row([slot.0], |row| {
                    let room = || -> Seen<Self> {
                        Ok(Self {
                            capacity_objects: cells::number(row, 0)?,
                            capacity_bytes: cells::number(row, 1)?,
                            objects: cells::number(row, 2)?,
                            bytes: cells::number(row, 3)?,
                            next_id: next.id,
                            say_id: next.say_it,
                            highest: cells::number(row, 4)?,
                        })
                    };
                    Ok(room())
                })
                .optional()
            },
        )?;
        room.unwrap_or_else(|| Err(NOT_COUNTED.into()))
            .map_err(|what| SlotFault::Damaged(what).at(slot))
    }

    pub(super) fn check(&self, slot: SlotId, payload_bytes: u32) -> Result<()> {
        let fits = self.objects < self.capacity_objects
            && self.bytes + u64::from(payload_bytes) <= self.capacity_bytes;
        if fits {
            Ok(())
        } else {
            Err(SlotFault::Full.at(slot))
        }
    }

    fn took(&mut self, id: i64, handle: Handle, payload_bytes: u32) {
        self.highest = self.highest.max(handle.get());
        self.objects += 1;
        self.bytes += u64::from(payload_bytes);
        self.next_id = self.next_id.max(id + 1);
    }
}

fn move_object(tx: &mut Tx<'_>, it: Move) -> Result<Stored> {
    let Move {
        from,
        from_slot,
        put,
    } = it;
    check_version(tx, from_slot)?;
    check_version(tx, put.slot)?;
    check_unmoved(tx, from)?;
    let slot = put.slot.slot;
    if let Some((there, row)) = identity(tx, slot, put.ouid)? {
        let handle = already(put, there, &row)?;
        delete(tx, from)?;
        return Ok(Stored::Already(handle));
    }
    let mut room = Room::of(tx, slot)?;
    room.check(slot, put.payload_bytes)?;
    let handle = exactly(tx, slot, put.want, &room)?;
    delete(tx, from)?;
    insert(tx, put, handle, &mut room).map(Stored::New)
}

/// The handle that is asked for and no other, or any when none is.
pub(super) fn exactly(
    tx: &mut Tx<'_>,
    slot: SlotId,
    want: Option<Handle>,
    room: &Room,
) -> Result<Handle> {
    match want {
        Some(handle) if is_taken(tx, slot, handle)? => Err(SlotFault::HandleTaken(handle).at(slot)),
        Some(handle) => Ok(handle),
        None => free_at_end(tx, slot, room),
    }
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
    tx.connection
        .prepare_cached("UPDATE objects SET handle = ?2, sealed = ?3 WHERE id = ?1")
        .and_then(|mut update| update.execute(params![from.id, to.get(), sealed.bytes()]))
        .map_err(sql(tx.path))?;
    tx.forget_runs(from.slot.0);
    Ok(())
}

fn destroy(tx: &mut Tx<'_>, it: Entry, slot: SlotVersion) -> Result<()> {
    check_version(tx, slot)?;
    check_unmoved(tx, it)?;
    delete(tx, it)
}

fn delete(tx: &mut Tx<'_>, it: Entry) -> Result<()> {
    tx.connection
        .prepare_cached("DELETE FROM objects WHERE id = ?1")
        .and_then(|mut delete| delete.execute([it.id]))
        .map_err(sql(tx.path))?;
    tx.forget_runs(it.slot.0);
    tx.erases = true;
    Ok(())
}

/// Another process may have changed the slot, or initialised it again, since the caller looked.
pub(crate) fn check_version(tx: &Tx<'_>, wanted: SlotVersion) -> Result<()> {
    let slot = wanted.slot;
    let there = query(
        tx,
        "SELECT serial, generation FROM slots WHERE slot = ?1",
        |q| {
            q.query_row([slot.0], |row| {
                let version =
                    || -> Seen<(u64, u64)> { Ok((cells::number(row, 0)?, cells::number(row, 1)?)) };
                Ok(version())
            })
            .optional()
        },
    )?;
    let there = there
        .transpose()
        .map_err(|what| SlotFault::Damaged(what).at(slot))?;
    match there {
        Some((serial, generation))
            if (serial, generation) == (wanted.serial, wanted.generation) =>
        {
            Ok(())
        }
        Some((serial, _)) if serial == wanted.serial => Err(SlotFault::Changed.at(slot)),
        _ => Err(SlotFault::Replaced.at(slot)),
    }
}

/// The row is still where the caller saw it.
pub(super) fn check_unmoved(tx: &Tx<'_>, it: Entry) -> Result<()> {
    let now = whole(query(tx, &format!("{SELECT} WHERE id = ?1"), |q| {
        q.query_row([it.id], |row| Ok(entry(row))).optional()
    })?)?;
    if now == Some(it) {
        Ok(())
    } else {
        Err(Error::Gone)
    }
}

pub(super) fn identity(
    tx: &Tx<'_>,
    slot: SlotId,
    ouid: Ouid,
) -> Result<Option<(Place, SealedRow)>> {
    let there = whole(query(
        tx,
        &format!("{SELECT_SEALED} WHERE slot = ?1 AND ouid = ?2"),
        |q| {
            q.query_row(params![slot.0, ouid.0], |row| Ok(sealed_entry(row)))
                .optional()
        },
    )?)?;
    Ok(there.map(|(entry, row)| (entry.place(), row)))
}

pub(super) fn already(put: Put, there: Place, row: &SealedRow) -> Result<Handle> {
    if (put.same)(there, row)? {
        Ok(there.handle)
    } else {
        let (ouid, handle) = (put.ouid, there.handle);
        Err(SlotFault::IdentityClash { ouid, handle }.at(put.slot.slot))
    }
}

fn is_taken(tx: &Tx<'_>, slot: SlotId, handle: Handle) -> Result<bool> {
    query(
        tx,
        "SELECT EXISTS (SELECT 1 FROM objects WHERE slot = ?1 AND handle = ?2)",
        |q| q.query_row(params![slot.0, handle.get()], |row| row.get(0)),
    )
}

/// The handle after the highest, or the lowest free one when that would pass the slot's capacity.
fn free_at_end(tx: &mut Tx<'_>, slot: SlotId, room: &Room) -> Result<Handle> {
    match room.highest.checked_add(1).and_then(Handle::new) {
        Some(handle) if u64::from(handle.get()) <= room.capacity_objects => Ok(handle),
        _ => free_from(tx, slot, Handle::FIRST, room.capacity_objects),
    }
}

/// `wish` when it is free, else the next free handle after it, else the lowest. What a slot chooses is
/// within its capacity, where there is always one; above it is only who was asked to be.
///
/// A run of taken handles is walked once and remembered until a handle in it may have become free, or
/// cloning n objects onto n taken handles would walk n² of them.
fn free_from(tx: &mut Tx<'_>, slot: SlotId, wish: Handle, capacity: u64) -> Result<Handle> {
    let full = SlotFault::Full.at(slot);
    for (pass, start) in [(Pass::FromWish, wish.get()), (Pass::FromLowest, 1)] {
        let (first, next) = match tx.dense.get(&(slot.0, pass)) {
            Some(run) if run.contains(&start) => (*run.start(), run.end().checked_add(1)),
            _ => (start, Some(start)),
        };
        let Some(next) = next else { continue };
        let Some(free) = first_gap(tx, slot, next)? else {
            continue;
        };
        if free > first {
            tx.dense.insert((slot.0, pass), first..=free - 1);
        }
        if u64::from(free) <= capacity || u64::from(start) > capacity {
            return Handle::new(free).ok_or(full);
        }
    }
    Err(full)
}

/// The lowest free handle that is not below `from`.
fn first_gap(tx: &Tx<'_>, slot: SlotId, from: u32) -> Result<Option<u32>> {
    query(
        tx,
        "SELECT handle FROM objects WHERE slot = ?1 AND handle BETWEEN ?2 AND 4294967295 ORDER BY handle",
        |q| {
            let mut expected = Some(from);
            let mut rows = q.query(params![slot.0, from])?;
            while let Some(row) = rows.next()? {
                // One that is no whole number takes no handle.
                let Ok(taken) = cells::number::<u32>(row, 0) else {
                    continue;
                };
                match expected {
                    Some(free) if taken == free => expected = free.checked_add(1),
                    _ => break,
                }
            }
            Ok(expected)
        },
    )
}

pub(super) fn insert(tx: &mut Tx<'_>, put: Put, handle: Handle, room: &mut Room) -> Result<Handle> {
    let id = put.id.unwrap_or(room.next_id);
    let sealed = (put.seal)(Place {
        id,
        handle,
        ouid: put.ouid,
        payload_bytes: put.payload_bytes,
        created_secs: put.created_secs,
    })?;
    // OR FAIL, and AUTOINCREMENT left to give the id: the constraints were asked beforehand, and a statement that
    // cannot abort half done needs no copy of each page that it touches.
    let inserted = tx
        .connection
        .prepare_cached(
            "INSERT OR FAIL INTO objects (id, slot, handle, ouid, payload_bytes, created_secs, stored_secs, sealed)
             VALUES (?8, ?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )
        .and_then(|mut insert| {
            insert.insert(params![
                put.slot.slot.0,
                handle.get(),
                put.ouid.0,
                put.payload_bytes,
                signed(put.created_secs),
                signed(now_secs()),
                sealed.bytes(),
                put.id.or(room.say_id.then_some(id)),
            ])
        })
        .map_err(sql(tx.path))?;
    if inserted != id {
        return Err(Error::Damaged(format!(
            "row {inserted} was given where {id} was due"
        )));
    }
    room.took(id, handle, put.payload_bytes);
    Ok(handle)
}

/// Runs a prepared query inside the transaction.
pub(super) fn query<T>(
    tx: &Tx<'_>,
    text: &str,
    run: impl FnOnce(&mut rusqlite::CachedStatement<'_>) -> rusqlite::Result<T>,
) -> Result<T> {
    let connection: &Connection = tx.connection;
    connection
        .prepare_cached(text)
        .and_then(|mut statement| run(&mut statement))
        .map_err(sql(tx.path))
}
