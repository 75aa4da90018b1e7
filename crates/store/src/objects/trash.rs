//! The trash: rows of objects that were unlinked, until their slot's retention has passed (docs/mount.md, "The trash").
//!
//! A row keeps its id and its seal: what comes back is the same object, and one that goes there need not open.

use rusqlite::{OptionalExtension, Row, params};
use slotfs_object::now_secs;

use super::write::{Room, already, check_unmoved, check_version, exactly, identity, insert, query};
use super::{Entry, Place, Put, SEALED_COLUMNS, Stored, entry, sealed_entry, whole};
use crate::cells::{self, Seen};
use crate::committer::Tx;
use crate::slots::signed;
use crate::{DamagedRow, Read, SlotVersion, Store};
use crate::{Error, Result, SlotFault};
use slotfs_object::sealed::SealedRow;
use slotfs_object::{Handle, SlotId};

/// The trash of a slot holds as many objects as the slot, but never fewer than these.
const LEAST_ROOM: u64 = 10_000;
/// Rows destroyed in one transaction when their time has come: nobody waits long behind it.
const PURGED_AT_ONCE: u32 = 1024;

/// An object in the trash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trashed {
    /// Its row, as it was among the objects.
    pub entry: Entry,
    /// Tells those apart that had one handle, from 1.
    pub nth: u32,
    /// When it was unlinked.
    pub trashed_secs: u64,
}

/// Whether two rows hold the same content.
pub type Alike = Box<dyn Fn((Place, &SealedRow), (Place, &SealedRow)) -> bool + Send>;

const SELECT: &str = "SELECT id, slot, handle, ouid, payload_bytes, created_secs, nth, trashed_secs
    FROM trash";

/// Past its slot's retention. A clock that was set back makes nothing older; retention is compared with a
/// difference, as a large one would overflow a sum. A damaged time or retention lets nothing expire.
const EXPIRED: &str = "trash.trashed_secs <= ?1 - slots.retention_secs
    AND typeof(trash.trashed_secs) = 'integer' AND trash.trashed_secs >= 0
    AND typeof(slots.retention_secs) = 'integer' AND slots.retention_secs >= 0";

fn trashed(row: &Row<'_>) -> Read<Trashed> {
    let in_trash = |damaged: DamagedRow| DamagedRow {
        in_trash: true,
        nth: cells::number(row, 6).ok(),
        ..damaged
    };
    let found = entry(row).map_err(in_trash)?;
    let trashed = || -> Seen<Trashed> {
        Ok(Trashed {
            entry: found,
            // No name counts from 0.
            nth: cells::within(row, 6, 1..=u32::MAX.into())? as u32,
            trashed_secs: cells::number(row, 7)?,
        })
    };
    trashed().map_err(|what| in_trash(DamagedRow::of(row, what)))
}

/// The row `id` of the trash, if it is damaged.
pub(super) fn damaged(tx: &Tx<'_>, id: i64) -> Result<Option<DamagedRow>> {
    let found = query(tx, &format!("{SELECT} WHERE id = ?1"), |q| {
        q.query_row([id], |row| Ok(trashed(row).err())).optional()
    })?;
    Ok(found.flatten())
}

impl Store {
    /// What is in the trash under the `nth` use of `handle`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn trashed(&self, slot: SlotId, handle: Handle, nth: u32) -> Result<Option<Trashed>> {
        whole(self.read(|connection| {
            connection
                .prepare_cached(&format!(
                    "{SELECT} WHERE slot = ?1 AND handle = ?2 AND nth = ?3"
                ))?
                .query_row(params![slot.0, handle.get(), nth], |row| Ok(trashed(row)))
                .optional()
        })?)
    }

    /// What is in the trash in row `id`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn trashed_by_id(&self, id: i64) -> Result<Option<Trashed>> {
        whole(self.read(|connection| {
            connection
                .prepare_cached(&format!("{SELECT} WHERE id = ?1"))?
                .query_row([id], |row| Ok(trashed(row)))
                .optional()
        })?)
    }

    /// Up to `most` rows of a slot's trash after row `after`, ascending; damaged ones among them.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list_trash(&self, slot: SlotId, after: i64, most: usize) -> Result<Vec<Read<Trashed>>> {
        self.read(|connection| {
            connection
                .prepare_cached(&format!(
                    "{SELECT} INDEXED BY trash_by_slot WHERE slot = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
                ))?
                .query_map(params![slot.0, after, signed(most as u64)], |row| {
                    Ok(trashed(row))
                })?
                .collect()
        })
    }

    /// The sealed payload of a row in the trash, and what is in clear of it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn trashed_sealed(&self, id: i64) -> Result<Option<(Entry, SealedRow)>> {
        whole(self.read(|connection| {
            connection
                .prepare_cached(&format!("SELECT {SEALED_COLUMNS} FROM trash WHERE id = ?1"))?
                .query_row([id], |row| Ok(in_trash(sealed_entry(row))))
                .optional()
        })?)
    }

    /// How many objects are in a slot's trash.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn trash_count(&self, slot: SlotId) -> Result<u64> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT objects FROM trash_usage WHERE slot = ?1")?
                .query_row([slot.0], |row| Ok(cells::number(row, 0)))
                .optional()
        })?
        .unwrap_or(Ok(0))
        .map_err(|what| {
            let what = format!(
                "the count of its trash is wrong: {what}; 'slotfs store check -repair' recounts"
            );
            SlotFault::Damaged(what).at(slot)
        })
    }

    /// Whether something in the trash is past its slot's retention.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn has_expired(&self) -> Result<bool> {
        self.read(|connection| {
            connection
                .prepare_cached(&format!(
                    "SELECT EXISTS (SELECT 1 FROM slots CROSS JOIN trash USING (slot) WHERE {EXPIRED})"
                ))?
                .query_row([signed(now_secs())], |row| row.get(0))
        })
    }

    /// Moves an object to the trash. One there with the same identity and content makes place for it, so that
    /// removing the same object again and again fills nothing.
    ///
    /// Replies [`Error::Gone`] when the object is not there any more, [`Error::TrashFull`].
    pub fn trash(
        &self,
        it: Entry,
        slot: SlotVersion,
        alike: Alike,
        reply: impl FnOnce(Result<()>) + Send + 'static,
    ) {
        self.write(
            move |tx| {
                check_version(tx, slot)?;
                check_unmoved(tx, it)?;
                purge(tx, Some(it.slot))?;
                to_trash(tx, it, &alike)
            },
            reply,
        );
    }

    /// Brings an object back from the trash, under `put.want` or any free handle.
    ///
    /// Replies [`Error::HandleTaken`], [`Error::SlotFull`], [`Error::Gone`]; as [`Self::put`] where the slot holds
    /// its identity already: with the same content, it just leaves the trash.
    pub fn restore(
        &self,
        it: Trashed,
        put: Put,
        reply: impl FnOnce(Result<Stored>) + Send + 'static,
    ) {
        self.write(move |tx| restore(tx, it, put), reply);
    }

    /// Destroys what is in the trash.
    ///
    /// Replies [`Error::Gone`] when it is not there any more.
    pub fn destroy_trashed(
        &self,
        it: Trashed,
        slot: SlotVersion,
        reply: impl FnOnce(Result<()>) + Send + 'static,
    ) {
        self.write(
            move |tx| {
                check_version(tx, slot)?;
                check_there(tx, it)?;
                remove(tx, it.entry.id)?;
                tx.erases = true;
                Ok(())
            },
            reply,
        );
    }

    /// Destroys what is past its slot's retention; how much it was.
    ///
    /// # Errors
    /// What the disk says.
    pub fn purge(&self) -> Result<u64> {
        let mut all = 0;
        loop {
            let destroyed = self.write_now(|tx| purge(tx, None))?;
            all += destroyed;
            if destroyed < u64::from(PURGED_AT_ONCE) {
                return Ok(all);
            }
        }
    }
}

/// As [`trashed`] marks them.
fn in_trash<T>(found: Read<T>) -> Read<T> {
    found.map_err(|damaged| DamagedRow {
        in_trash: true,
        ..damaged
    })
}

fn to_trash(tx: &mut Tx<'_>, it: Entry, alike: &Alike) -> Result<()> {
    let (_, sealed) = query(
        tx,
        &format!("SELECT {SEALED_COLUMNS} FROM objects WHERE id = ?1"),
        |q| q.query_row([it.id], |row| Ok(sealed_entry(row))),
    )?
    .map_err(Error::Object)?;
    let twins = query(
        tx,
        &format!("SELECT {SEALED_COLUMNS} FROM trash WHERE slot = ?1 AND ouid = ?2"),
        |q| {
            q.query_map(params![it.slot.0, it.ouid.0], |row| Ok(sealed_entry(row)))?
                .collect::<rusqlite::Result<Vec<_>>>()
        },
    )?;
    // One that is damaged is no twin of any.
    for (twin, twin_sealed) in twins.into_iter().flatten() {
        if alike((it.place(), &sealed), (twin.place(), &twin_sealed)) {
            remove(tx, twin.id)?;
        }
    }
    let room = query(
        tx,
        "SELECT capacity_objects, trash_usage.objects
         FROM trash_usage JOIN slots USING (slot) WHERE slot = ?1",
        |q| {
            q.query_row([it.slot.0], |row| {
                let room = || -> Seen<u64> {
                    let (capacity, there): (u64, u64) =
                        (cells::number(row, 0)?, cells::number(row, 1)?);
                    Ok(capacity.max(LEAST_ROOM).saturating_sub(there))
                };
                Ok(room())
            })
            .optional()
        },
    )?;
    let room = room
        .unwrap_or_else(|| {
            Err(
                "the count of its trash is missing; 'slotfs store check -repair' counts anew"
                    .into(),
            )
        })
        .map_err(|what| SlotFault::Damaged(what).at(it.slot))?;
    if room == 0 {
        return Err(SlotFault::TrashFull.at(it.slot));
    }
    query(
        tx,
        "INSERT INTO trash (id, slot, handle, ouid, payload_bytes, created_secs, stored_secs, sealed,
                trashed_secs, nth)
         SELECT id, slot, handle, ouid, payload_bytes, created_secs, stored_secs, sealed, ?2,
                (SELECT coalesce(max(nth), 0) + 1 FROM trash WHERE slot = ?3 AND handle = ?4)
         FROM objects WHERE id = ?1",
        |q| q.execute(params![it.id, signed(now_secs()), it.slot.0, it.handle.get()]),
    )?;
    query(tx, "DELETE FROM objects WHERE id = ?1", |q| {
        q.execute([it.id])
    })?;
    tx.forget_runs(it.slot.0);
    Ok(())
}

fn restore(tx: &mut Tx<'_>, it: Trashed, put: Put) -> Result<Stored> {
    check_version(tx, put.slot)?;
    check_there(tx, it)?;
    let slot = put.slot.slot;
    if let Some((there, row)) = identity(tx, slot, put.ouid)? {
        let handle = already(put, there, &row)?;
        remove(tx, it.entry.id)?;
        return Ok(Stored::Already(handle));
    }
    let mut room = Room::of(tx, slot)?;
    room.check(slot, put.payload_bytes)?;
    let handle = exactly(tx, slot, put.want, &room)?;
    remove(tx, it.entry.id)?;
    let put = Put {
        id: Some(it.entry.id),
        ..put
    };
    insert(tx, put, handle, &mut room).map(Stored::New)
}

/// The row is still in the trash as the caller saw it.
fn check_there(tx: &Tx<'_>, it: Trashed) -> Result<()> {
    let now = whole(query(tx, &format!("{SELECT} WHERE id = ?1"), |q| {
        q.query_row([it.entry.id], |row| Ok(trashed(row)))
            .optional()
    })?)?;
    if now == Some(it) {
        Ok(())
    } else {
        Err(Error::Gone)
    }
}

fn remove(tx: &Tx<'_>, id: i64) -> Result<()> {
    query(tx, "DELETE FROM trash WHERE id = ?1", |q| q.execute([id])).map(drop)
}

fn purge(tx: &mut Tx<'_>, slot: Option<SlotId>) -> Result<u64> {
    let destroyed = query(
        tx,
        &format!(
            "DELETE FROM trash WHERE id IN (SELECT trash.id FROM slots CROSS JOIN trash USING (slot)
             WHERE {EXPIRED} AND coalesce(slots.slot = ?2, TRUE) LIMIT {PURGED_AT_ONCE})"
        ),
        |q| q.execute(params![signed(now_secs()), slot.map(|slot| slot.0)]),
    )?;
    tx.erases |= destroyed > 0;
    Ok(destroyed as u64)
}
