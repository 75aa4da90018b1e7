//! The rows of objects inside a transaction, for the rules.

use rusqlite::params;

use super::sequence;
use super::trash::{self, EXPIRED, PURGED_AT_ONCE};
use super::{SEALED_COLUMNS, SELECT, SELECT_SEALED, entry, sealed_entry, whole};
use crate::rows::*;
use crate::rules::{Room, Rows, TakenRuns};
use crate::sqlite::cells::{self, Seen};
use crate::sqlite::committer::Tx;
use crate::sqlite::slots::{NOT_COUNTED, signed};
use crate::{Error, Result, SlotFault};
use slotfs_object::sealed::SealedRow;
use slotfs_object::{Handle, Ouid, RowId, SlotId, now_secs};

impl Rows for Tx<'_> {
    fn version(&mut self, slot: SlotId) -> Result<Option<SlotVersion>> {
        let there = self.row(
            "SELECT serial, generation FROM slots WHERE slot = ?1",
            [slot.0],
            |row| -> Seen<SlotVersion> {
                Ok(SlotVersion {
                    slot,
                    serial: cells::number(row, 0)?,
                    generation: cells::number(row, 1)?,
                })
            },
        )?;
        there.transpose().map_err(SlotFault::damaged(slot))
    }

    fn room(&mut self, slot: SlotId) -> Result<Room> {
        let next = sequence::next_row(self)?;
        let room = self.row(
            // A damaged handle is not the highest.
            "SELECT capacity_objects, capacity_bytes, objects, bytes,
                    coalesce((SELECT CAST(max(handle) AS INTEGER) FROM objects
                              WHERE slot = ?1 AND handle BETWEEN 1 AND 4294967295), 0) AS highest
             FROM usage JOIN slots USING (slot) WHERE slot = ?1",
            [slot.0],
            |row| -> Seen<Room> {
                Ok(Room {
                    capacity_objects: cells::number(row, 0)?,
                    capacity_bytes: cells::number(row, 1)?,
                    objects: cells::number(row, 2)?,
                    bytes: cells::number(row, 3)?,
                    next_id: next.id,
                    state_id: next.state_it,
                    highest: cells::number(row, 4)?,
                })
            },
        )?;
        room.unwrap_or_else(|| Err(NOT_COUNTED.into()))
            .map_err(SlotFault::damaged(slot))
    }

    fn new_id(&mut self, room: &Room) -> Result<RowId> {
        Ok(RowId(room.next_id))
    }

    fn identity(&mut self, slot: SlotId, ouid: Ouid) -> Result<Option<(Entry, SealedRow)>> {
        let text = format!("{SELECT_SEALED} WHERE slot = ?1 AND ouid = ?2");
        whole(self.row(&text, (slot.0, ouid.0), sealed_entry)?)
    }

    fn object(&mut self, it: &Entry) -> Result<Option<Entry>> {
        whole(self.row(&format!("{SELECT} WHERE id = ?1"), [it.id.0], entry)?)
    }

    fn sealed(&mut self, it: &Entry) -> Result<Option<SealedRow>> {
        let text = format!("{SELECT_SEALED} WHERE id = ?1");
        Ok(whole(self.row(&text, [it.id.0], sealed_entry)?)?.map(|(_, row)| row))
    }

    fn is_taken(&mut self, slot: SlotId, handle: Handle) -> Result<bool> {
        self.value(
            "SELECT EXISTS (SELECT 1 FROM objects WHERE slot = ?1 AND handle = ?2)",
            (slot.0, handle.get()),
        )
    }

    fn first_gap(&mut self, slot: SlotId, from: u32) -> Result<Option<u32>> {
        self.with(|connection| {
            let mut handles = connection.prepare_cached(
                "SELECT handle FROM objects WHERE slot = ?1 AND handle BETWEEN ?2 AND 4294967295 ORDER BY handle",
            )?;
            let mut expected = Some(from);
            let mut rows = handles.query((slot.0, from))?;
            while let Some(row) = rows.next()? {
                // A value that is no whole number takes no handle.
                let Ok(taken) = cells::number::<u32>(row, 0) else {
                    continue;
                };
                match expected {
                    Some(free) if taken == free => expected = free.checked_add(1),
                    _ => break,
                }
            }
            Ok(expected)
        })
    }

    fn taken_runs(&mut self) -> &mut TakenRuns {
        self.taken_runs
    }

    fn insert(
        &mut self,
        slot: SlotId,
        at: Place,
        row: &SealedRow,
        room: &Room,
        given: bool,
    ) -> Result<()> {
        let state_id = given || room.state_id;
        // OR FAIL, and AUTOINCREMENT chooses the id: the constraints were checked before, and a statement that cannot
        // abort half done needs no copy of each page that it touches.
        let inserted = self.with(|connection| {
            connection
                .prepare_cached(
                    "INSERT OR FAIL INTO objects (id, slot, handle, ouid, payload_bytes, created_secs, stored_secs, sealed,
                 changed_secs)
             VALUES (?8, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?9)",
                )?
                .insert(params![
                    slot.0,
                    at.handle.get(),
                    at.ouid.0,
                    at.payload_bytes,
                    signed(at.created_secs),
                    signed(now_secs()),
                    row.bytes(),
                    state_id.then_some(at.id.0),
                    at.changed_secs.map(signed),
                ])
        })?;
        if inserted == at.id.0 {
            return Ok(());
        }
        let what = format!("SQLite gave row id {inserted} instead of {}", at.id);
        Err(Error::Damaged(what))
    }

    fn renumber(&mut self, it: &Entry, to: Handle, row: &SealedRow) -> Result<()> {
        let text = "UPDATE objects SET handle = ?2, sealed = ?3 WHERE id = ?1";
        self.execute(text, (it.id.0, to.get(), row.bytes()))
            .map(drop)
    }

    fn delete(&mut self, it: &Entry) -> Result<()> {
        self.execute("DELETE FROM objects WHERE id = ?1", [it.id.0])?;
        self.erases = true;
        Ok(())
    }

    fn twins(&mut self, slot: SlotId, ouid: Ouid) -> Result<Vec<(Entry, SealedRow)>> {
        let text = format!("SELECT {SEALED_COLUMNS} FROM trash WHERE slot = ?1 AND ouid = ?2");
        let twins: Vec<_> = self.rows(&text, (slot.0, ouid.0), sealed_entry)?;
        Ok(twins.into_iter().flatten().collect())
    }

    fn trash_use(&mut self, slot: SlotId) -> Result<(u64, u64)> {
        let room = self.row(
            "SELECT capacity_objects, trash_usage.objects
             FROM trash_usage JOIN slots USING (slot) WHERE slot = ?1",
            [slot.0],
            |row| -> Seen<(u64, u64)> { Ok((cells::number(row, 0)?, cells::number(row, 1)?)) },
        )?;
        let missing = "the count of its trash is missing; 'slotfs store check -repair' recounts";
        room.unwrap_or_else(|| Err(missing.into()))
            .map_err(SlotFault::damaged(slot))
    }

    fn to_trash(&mut self, it: &Entry) -> Result<()> {
        self.execute(
            "INSERT INTO trash (id, slot, handle, ouid, payload_bytes, created_secs, stored_secs, sealed,
                    changed_secs, trashed_secs, nth)
             SELECT id, slot, handle, ouid, payload_bytes, created_secs, stored_secs, sealed, changed_secs, ?2,
                    (SELECT coalesce(max(nth), 0) + 1 FROM trash WHERE slot = ?3 AND handle = ?4)
             FROM objects WHERE id = ?1",
            (it.id.0, signed(now_secs()), it.slot.0, it.handle.get()),
        )?;
        self.execute("DELETE FROM objects WHERE id = ?1", [it.id.0])
            .map(drop)
    }

    fn trashed(&mut self, it: &Trashed) -> Result<Option<Read<Trashed>>> {
        trash::by_id(self, it.entry.id)
    }

    fn take_from_trash(&mut self, it: &Entry) -> Result<()> {
        self.execute("DELETE FROM trash WHERE id = ?1", [it.id.0])
            .map(drop)
    }

    fn purge(&mut self, slot: SlotId) -> Result<()> {
        purge(self, Some(slot)).map(drop)
    }

    fn together<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<Result<T>>,
    ) -> Result<Result<T>> {
        self.execute("SAVEPOINT together", [])?;
        let done = work(self)?;
        if done.is_err() {
            self.execute("ROLLBACK TO together", [])?;
        }
        self.execute("RELEASE together", [])?;
        Ok(done)
    }
}

/// Destroys some of the objects past their slot's retention; how many.
pub(super) fn purge(tx: &mut Tx<'_>, slot: Option<SlotId>) -> Result<u64> {
    let text = format!(
        "DELETE FROM trash WHERE id IN (SELECT trash.id FROM slots CROSS JOIN trash USING (slot)
             WHERE {EXPIRED} AND coalesce(slots.slot = ?2, TRUE) LIMIT {PURGED_AT_ONCE})"
    );
    let destroyed = tx.execute(&text, (signed(now_secs()), slot.map(|slot| slot.0)))?;
    tx.erases |= destroyed > 0;
    Ok(destroyed as u64)
}
