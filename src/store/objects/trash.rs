//! The trash: rows of objects that were unlinked, until their slot's retention has passed (DESIGN.md 2).
//!
//! A row keeps its id and its seal: what comes back is the same object, and one that goes there need not open.

use rusqlite::{OptionalExtension, Row, params};

use super::write::{Room, already, check_unmoved, check_version, exactly, identity, insert, query};
use super::{Entry, Place, Put, SEALED_COLUMNS, Stored, entry, sealed_entry};
use crate::credential::SealedRow;
use crate::error::{Error, Result};
use crate::object::{Handle, SlotId};
use crate::store::committer::Tx;
use crate::store::slots::{signed, unsigned};
use crate::store::{SlotVersion, Store, now_secs};

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
/// difference, as a large one would overflow a sum.
const EXPIRED: &str = "trash.trashed_secs <= ?1 - slots.retention_secs";

fn trashed(row: &Row<'_>) -> rusqlite::Result<Trashed> {
    Ok(Trashed {
        entry: entry(row)?,
        nth: row.get(6)?,
        trashed_secs: unsigned(row, 7)?,
    })
}

impl Store {
    /// What is in the trash under the `nth` use of `handle`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn trashed(&self, slot: SlotId, handle: Handle, nth: u32) -> Result<Option<Trashed>> {
        self.read(|connection| {
            connection
                .prepare_cached(&format!(
                    "{SELECT} WHERE slot = ?1 AND handle = ?2 AND nth = ?3"
                ))?
                .query_row(params![slot.0, handle.get(), nth], trashed)
                .optional()
        })
    }

    /// What is in the trash in row `id`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn trashed_by_id(&self, id: i64) -> Result<Option<Trashed>> {
        self.read(|connection| {
            connection
                .prepare_cached(&format!("{SELECT} WHERE id = ?1"))?
                .query_row([id], trashed)
                .optional()
        })
    }

    /// Up to `most` rows of a slot's trash after row `after`, ascending.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list_trash(&self, slot: SlotId, after: i64, most: usize) -> Result<Vec<Trashed>> {
        self.read(|connection| {
            connection
                .prepare_cached(&format!(
                    "{SELECT} INDEXED BY trash_by_slot WHERE slot = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
                ))?
                .query_map(params![slot.0, after, signed(most as u64)], trashed)?
                .collect()
        })
    }

    /// The sealed payload of a row in the trash, and what is in clear of it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn trashed_sealed(&self, id: i64) -> Result<Option<(Entry, SealedRow)>> {
        self.read(|connection| {
            connection
                .prepare_cached(&format!("SELECT {SEALED_COLUMNS} FROM trash WHERE id = ?1"))?
                .query_row([id], sealed_entry)
                .optional()
        })
    }

    /// How many objects are in a slot's trash.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn trash_count(&self, slot: SlotId) -> Result<u64> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT objects FROM trash_usage WHERE slot = ?1")?
                .query_row([slot.0], |row| unsigned(row, 0))
                .optional()
                .map(Option::unwrap_or_default)
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

fn to_trash(tx: &mut Tx<'_>, it: Entry, alike: &Alike) -> Result<()> {
    let sealed = query(
        tx,
        &format!("SELECT {SEALED_COLUMNS} FROM objects WHERE id = ?1"),
        |q| q.query_row([it.id], sealed_entry),
    )?
    .1;
    let twins = query(
        tx,
        &format!("SELECT {SEALED_COLUMNS} FROM trash WHERE slot = ?1 AND ouid = ?2"),
        |q| {
            q.query_map(params![it.slot.0, it.ouid.0], sealed_entry)?
                .collect::<rusqlite::Result<Vec<_>>>()
        },
    )?;
    for (twin, twin_sealed) in twins {
        if alike((it.place(), &sealed), (twin.place(), &twin_sealed)) {
            remove(tx, twin.id)?;
        }
    }
    let room: u64 = query(
        tx,
        "SELECT max(capacity_objects, ?2) - trash_usage.objects
         FROM trash_usage JOIN slots USING (slot) WHERE slot = ?1",
        |q| {
            q.query_row(params![it.slot.0, signed(LEAST_ROOM)], |row| {
                row.get::<_, i64>(0)
            })
        },
    )?
    .try_into()
    .unwrap_or_default();
    if room == 0 {
        return Err(Error::TrashFull { slot: it.slot });
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
    let now = query(tx, &format!("{SELECT} WHERE id = ?1"), |q| {
        q.query_row([it.entry.id], trashed).optional()
    })?;
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
