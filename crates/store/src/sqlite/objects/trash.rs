//! The trash: rows of objects that were unlinked, until their slot's retention has passed (docs/mount.md, "The trash").
//!
//! A row keeps its id and its seal: a restored object is the same object, and a row that does not open can go there too.

use rusqlite::Row;

use super::rows::purge;
use super::{SEALED_COLUMNS, entry, sealed_entry};
use crate::rows::*;
use crate::rules;
use crate::sqlite::cells::{self, Seen};
use crate::sqlite::committer::Tx;
use crate::sqlite::damaged::damaged;
use crate::sqlite::slots::signed;
use crate::sqlite::{Reply, Result, SlotFault, Store};
use slotfs_object::sealed::SealedRow;
use slotfs_object::{Handle, Ouid, RowId, SlotId, now_secs};

/// Expired rows destroyed in one transaction: few enough that no other write waits long.
pub(super) const PURGED_AT_ONCE: u32 = 1024;

const SELECT: &str =
    "SELECT id, slot, handle, ouid, payload_bytes, created_secs, changed_secs, nth, trashed_secs
    FROM trash";

/// Past its slot's retention. A clock that was set back makes nothing older. Retention is compared with a difference:
/// a large one would overflow a sum. With a damaged time or retention, nothing expires.
pub(super) const EXPIRED: &str = "trash.trashed_secs <= ?1 - slots.retention_secs
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
    trashed().map_err(|what| in_trash(damaged(row, what)))
}

/// The same with the sealed row that was read beside it.
pub(crate) fn trashed_entry(row: &Row<'_>, sealed: Seen<SealedRow>) -> Read<(Trashed, SealedRow)> {
    let found = trashed(row)?;
    let sealed = sealed.map_err(|what| damaged(row, what).in_trash())?;
    Ok((found, sealed))
}

/// The row `id` of the trash, if any.
pub(super) fn by_id(tx: &Tx<'_>, id: RowId) -> Result<Option<Read<Trashed>>> {
    tx.row(&format!("{SELECT} WHERE id = ?1"), [id.0], trashed)
}

impl Store {
    pub fn trashed(&self, slot: SlotId, handle: Handle, nth: u32) -> Result<Option<Trashed>> {
        let text = format!("{SELECT} WHERE slot = ?1 AND handle = ?2 AND nth = ?3");
        self.whole_row(&text, (slot.0, handle.get(), nth), trashed)
    }

    pub fn trashed_by_id(&self, id: RowId) -> Result<Option<Trashed>> {
        self.whole_row(&format!("{SELECT} WHERE id = ?1"), [id.0], trashed)
    }

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

    pub fn trashed_sealed(&self, id: RowId) -> Result<Option<(Entry, SealedRow)>> {
        let text = format!("SELECT {SEALED_COLUMNS} FROM trash WHERE id = ?1");
        self.whole_row(&text, [id.0], |row| {
            sealed_entry(row).map_err(DamagedRow::in_trash)
        })
    }

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

    pub fn keeps(&self, slot: SlotId, ouid: Ouid) -> Result<bool> {
        self.value(
            "SELECT EXISTS (SELECT 1 FROM objects WHERE slot = ?1 AND ouid = ?2)
                OR EXISTS (SELECT 1 FROM trash WHERE slot = ?1 AND ouid = ?2)",
            (slot.0, ouid.0),
        )
    }

    pub fn has_expired(&self) -> Result<bool> {
        let text = format!(
            "SELECT EXISTS (SELECT 1 FROM slots CROSS JOIN trash USING (slot) WHERE {EXPIRED})"
        );
        self.value(&text, [signed(now_secs())])
    }

    pub fn trash(&self, it: Entry, slot: SlotVersion, alike: Alike, reply: impl Reply<()>) {
        let how = Leaving::ToTrash(alike);
        let work = move |tx: &mut Tx<'_>| rules::trash(tx, it, slot, &how);
        self.write(work, reply);
    }

    pub fn restore(&self, it: Trashed, put: Put, reply: impl Reply<Stored>) {
        self.write(move |tx| rules::restore(tx, it, &put), reply);
    }

    pub fn destroy_trashed(&self, it: Trashed, slot: SlotVersion, reply: impl Reply<()>) {
        let work = move |tx: &mut Tx<'_>| {
            tx.erases = true;
            rules::destroy_trashed(tx, it, slot)
        };
        self.write(work, reply);
    }

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
