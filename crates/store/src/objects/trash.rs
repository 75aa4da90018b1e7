//! The trash: rows of objects that were unlinked, until their slot's retention has passed (docs/mount.md, "The trash").
//!
//! A row keeps its id and its seal: a restored object is the same object, and a row that does not open can go there too.

use rusqlite::Row;

use super::write::{check_unmoved, check_version, delete, store_exactly};
use super::{Entry, Leaving, Place, Put, SEALED_COLUMNS, Stored, entry, sealed_entry, whole};
use crate::cells::{self, Seen};
use crate::committer::Tx;
use crate::slots::signed;
use crate::{DamagedRow, Error, Read, Reply, Result, SlotFault, SlotVersion, Store};
use slotfs_object::sealed::SealedRow;
use slotfs_object::{Handle, Ouid, RowId, SlotId, now_secs};

/// The trash of a slot holds as many objects as the slot, but never fewer than these.
const LEAST_ROOM: u64 = 10_000;
/// Expired rows destroyed in one transaction: few enough that no other write waits long.
const PURGED_AT_ONCE: u32 = 1024;

/// An object in the trash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trashed {
    /// Its row, as it was among the objects.
    pub entry: Entry,
    /// Counts the objects in the trash that had the same handle, from 1.
    pub nth: u32,
    /// When it was unlinked.
    pub trashed_secs: u64,
}

/// Whether two rows hold the same content.
pub type Alike = Box<dyn Fn((Place, &SealedRow), (Place, &SealedRow)) -> bool + Send>;

const SELECT: &str =
    "SELECT id, slot, handle, ouid, payload_bytes, created_secs, changed_secs, nth, trashed_secs
    FROM trash";

/// Past its slot's retention. A clock that was set back makes nothing older. Retention is compared with a difference:
/// a large one would overflow a sum. With a damaged time or retention, nothing expires.
const EXPIRED: &str = "trash.trashed_secs <= ?1 - slots.retention_secs
    AND typeof(trash.trashed_secs) = 'integer' AND trash.trashed_secs >= 0
    AND typeof(slots.retention_secs) = 'integer' AND slots.retention_secs >= 0";

fn trashed(row: &Row<'_>) -> Read<Trashed> {
    let in_trash = |damaged: DamagedRow| DamagedRow {
        nth: cells::number(row, 7).ok(),
        ..damaged.in_trash()
    };
    let found = entry(row).map_err(in_trash)?;
    let trashed = || -> Seen<Trashed> {
        Ok(Trashed {
            entry: found,
            // Names in the trash count from 1.
            nth: cells::within(row, 7, 1..=u32::MAX.into())? as u32,
            trashed_secs: cells::number(row, 8)?,
        })
    };
    trashed().map_err(|what| in_trash(DamagedRow::of(row, what)))
}

/// The row `id` of the trash, if any.
pub(super) fn by_id(tx: &Tx<'_>, id: RowId) -> Result<Option<Read<Trashed>>> {
    tx.row(&format!("{SELECT} WHERE id = ?1"), [id.0], trashed)
}

impl Store {
    /// The object in the trash under the `nth` use of `handle`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn trashed(&self, slot: SlotId, handle: Handle, nth: u32) -> Result<Option<Trashed>> {
        let text = format!("{SELECT} WHERE slot = ?1 AND handle = ?2 AND nth = ?3");
        self.whole_row(&text, (slot.0, handle.get(), nth), trashed)
    }

    /// The object in row `id` of the trash.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn trashed_by_id(&self, id: RowId) -> Result<Option<Trashed>> {
        self.whole_row(&format!("{SELECT} WHERE id = ?1"), [id.0], trashed)
    }

    /// Up to `most` rows of a slot's trash after row `after`, ascending; damaged ones among them.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list_trash(
        &self,
        slot: SlotId,
        after: RowId,
        most: usize,
    ) -> Result<Vec<Read<Trashed>>> {
        let text = format!(
            "{SELECT} INDEXED BY trash_by_slot WHERE slot = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
        );
        self.rows(&text, (slot.0, after.0, signed(most as u64)), trashed)
    }

    /// A row in the trash: its sealed payload and the part in clear.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn trashed_sealed(&self, id: RowId) -> Result<Option<(Entry, SealedRow)>> {
        let text = format!("SELECT {SEALED_COLUMNS} FROM trash WHERE id = ?1");
        self.whole_row(&text, [id.0], |row| {
            sealed_entry(row).map_err(DamagedRow::in_trash)
        })
    }

    /// How many objects are in a slot's trash.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn trash_count(&self, slot: SlotId) -> Result<u64> {
        let text = "SELECT objects FROM trash_usage WHERE slot = ?1";
        let counted = self.row(text, [slot.0], |row| cells::number(row, 0))?;
        counted.unwrap_or(Ok(0)).map_err(|what| {
            let what = format!(
                "the count of its trash is damaged: {what}; 'slotfs store check -repair' recounts"
            );
            SlotFault::Damaged(what).at(slot)
        })
    }

    /// Whether a slot has an object of identity `ouid`, in its trash or out of it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn keeps(&self, slot: SlotId, ouid: Ouid) -> Result<bool> {
        self.value(
            "SELECT EXISTS (SELECT 1 FROM objects WHERE slot = ?1 AND ouid = ?2)
                OR EXISTS (SELECT 1 FROM trash WHERE slot = ?1 AND ouid = ?2)",
            (slot.0, ouid.0),
        )
    }

    /// Whether something in the trash is past its slot's retention.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn has_expired(&self) -> Result<bool> {
        let text = format!(
            "SELECT EXISTS (SELECT 1 FROM slots CROSS JOIN trash USING (slot) WHERE {EXPIRED})"
        );
        self.value(&text, [signed(now_secs())])
    }

    /// Moves an object to the trash. It replaces one with the same identity and content there, so that removing the
    /// same object again and again does not fill the trash.
    ///
    /// Replies [`Error::Gone`] when the object is not there any more, [`SlotFault::TrashFull`].
    pub fn trash(&self, it: Entry, slot: SlotVersion, alike: Alike, reply: impl Reply<()>) {
        let work = move |tx: &mut Tx<'_>| {
            check_version(tx, slot)?;
            check_unmoved(tx, it)?;
            leave(tx, it, &Leaving::ToTrash(alike))
        };
        self.write(work, reply);
    }

    /// Brings an object back from the trash, under `put.want` or any free handle.
    ///
    /// Replies [`SlotFault::HandleTaken`], [`SlotFault::Full`], [`Error::Gone`]. When the slot holds its identity
    /// already, replies as [`Self::put`]: with the same content, the object only leaves the trash; where the slot holds a
    /// later revision, [`SlotFault::Outdated`], and it stays there.
    pub fn restore(&self, it: Trashed, put: Put, reply: impl Reply<Stored>) {
        self.write(move |tx| restore(tx, it, put), reply);
    }

    /// Destroys an object in the trash.
    ///
    /// Replies [`Error::Gone`] when it is not there any more.
    pub fn destroy_trashed(&self, it: Trashed, slot: SlotVersion, reply: impl Reply<()>) {
        let work = move |tx: &mut Tx<'_>| {
            check_version(tx, slot)?;
            check_there(tx, it)?;
            tx.erases = true;
            remove(tx, it.entry.id)
        };
        self.write(work, reply);
    }

    /// Destroys the objects past their slot's retention; how many.
    ///
    /// # Errors
    /// When the store cannot be written.
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

/// Takes a row out of its slot. Nothing was written when that fails for want of room.
pub(super) fn leave(tx: &mut Tx<'_>, it: Entry, how: &Leaving) -> Result<()> {
    match how {
        Leaving::Destroyed => delete(tx, it),
        Leaving::ToTrash(alike) => {
            purge(tx, Some(it.slot))?;
            to_trash(tx, it, alike)
        }
    }
}

fn to_trash(tx: &mut Tx<'_>, it: Entry, alike: &Alike) -> Result<()> {
    let text = format!("SELECT {SEALED_COLUMNS} FROM objects WHERE id = ?1");
    let (_, sealed) = whole(tx.row(&text, [it.id.0], sealed_entry)?)?.ok_or(Error::Gone)?;
    let text = format!("SELECT {SEALED_COLUMNS} FROM trash WHERE slot = ?1 AND ouid = ?2");
    let twins: Vec<_> = tx.rows(&text, (it.slot.0, it.ouid.0), sealed_entry)?;
    // A damaged row is never the same object.
    let same: Vec<RowId> = twins
        .into_iter()
        .flatten()
        .filter(|(twin, other)| alike((it.place(), &sealed), (twin.place(), other)))
        .map(|(twin, _)| twin.id)
        .collect();
    if same.is_empty() && room(tx, it.slot)? == 0 {
        return Err(SlotFault::TrashFull.at(it.slot));
    }
    for twin in same {
        remove(tx, twin)?;
    }
    tx.execute(
        "INSERT INTO trash (id, slot, handle, ouid, payload_bytes, created_secs, stored_secs, sealed,
                changed_secs, trashed_secs, nth)
         SELECT id, slot, handle, ouid, payload_bytes, created_secs, stored_secs, sealed, changed_secs, ?2,
                (SELECT coalesce(max(nth), 0) + 1 FROM trash WHERE slot = ?3 AND handle = ?4)
         FROM objects WHERE id = ?1",
        (it.id.0, signed(now_secs()), it.slot.0, it.handle.get()),
    )?;
    tx.execute("DELETE FROM objects WHERE id = ?1", [it.id.0])?;
    tx.forget_runs(it.slot);
    Ok(())
}

/// How many more objects the trash of a slot takes.
fn room(tx: &Tx<'_>, slot: SlotId) -> Result<u64> {
    let room = tx.row(
        "SELECT capacity_objects, trash_usage.objects
         FROM trash_usage JOIN slots USING (slot) WHERE slot = ?1",
        [slot.0],
        |row| -> Seen<u64> {
            let (capacity, there): (u64, u64) = (cells::number(row, 0)?, cells::number(row, 1)?);
            Ok(capacity.max(LEAST_ROOM).saturating_sub(there))
        },
    )?;
    let missing = "the count of its trash is missing; 'slotfs store check -repair' recounts";
    room.unwrap_or_else(|| Err(missing.into()))
        .map_err(SlotFault::damaged(slot))
}

fn restore(tx: &mut Tx<'_>, it: Trashed, put: Put) -> Result<Stored> {
    check_version(tx, put.slot)?;
    check_there(tx, it)?;
    let id = it.entry.id;
    let put = Put {
        id: Some(id),
        ..put
    };
    let slot = put.slot.slot;
    store_exactly(tx, put, |tx, there| match there {
        Some(Stored::Outdated(handle)) => Err(SlotFault::Outdated(handle).at(slot)),
        _ => remove(tx, id),
    })
}

/// Refuses when the row in the trash is no longer as the caller saw it.
fn check_there(tx: &Tx<'_>, it: Trashed) -> Result<()> {
    match whole(by_id(tx, it.entry.id)?)? {
        Some(now) if now == it => Ok(()),
        _ => Err(Error::Gone),
    }
}

fn remove(tx: &Tx<'_>, id: RowId) -> Result<()> {
    tx.execute("DELETE FROM trash WHERE id = ?1", [id.0])
        .map(drop)
}

fn purge(tx: &mut Tx<'_>, slot: Option<SlotId>) -> Result<u64> {
    let text = format!(
        "DELETE FROM trash WHERE id IN (SELECT trash.id FROM slots CROSS JOIN trash USING (slot)
             WHERE {EXPIRED} AND coalesce(slots.slot = ?2, TRUE) LIMIT {PURGED_AT_ONCE})"
    );
    let destroyed = tx.execute(&text, (signed(now_secs()), slot.map(|slot| slot.0)))?;
    tx.erases |= destroyed > 0;
    Ok(destroyed as u64)
}
