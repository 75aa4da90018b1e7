//! Objects: sealed rows under handles. The writes are in [`write`] and the modules beside it.

use std::time::Instant;

use rusqlite::{Params, Row};

use super::cells::{self, ROW_IDS, Seen};
use super::committer::Committer;
use super::damaged::damaged;
use super::slots::{NOT_COUNTED, signed, usage_row};
use super::{FRESH_FOR, Missing, Store, lock, query};
use crate::rows::*;
use crate::sqlite::{Error, Result, SlotFault};
use slotfs_object::sealed::SealedRow;
use slotfs_object::{Handle, Ouid, RowId, SlotId};

mod counters;
mod damaged;
mod rows;
mod sequence;
mod trash;
mod write;

pub(super) use counters::{COUNTERS, without_counters};
pub(super) use trash::trashed_entry;

/// The range that the schema allows.
fn row_id(row: &Row<'_>) -> rusqlite::Result<RowId> {
    row.get(0).map(RowId)
}

const SELECT: &str =
    "SELECT id, slot, handle, ouid, payload_bytes, created_secs, changed_secs FROM objects";

/// The objects of slot ?1 with handles from ?2 on, at most ?3 of them. The upper bound leaves out text and blobs, which
/// sort after every number.
const BY_HANDLE: &str = "WHERE slot = ?1 AND handle BETWEEN ?2 AND 4294967295
    AND typeof(handle) = 'integer' ORDER BY handle LIMIT ?3";

const NO_HANDLE: &str = "(typeof(handle) <> 'integer' OR handle NOT BETWEEN 1 AND 4294967295)";

/// What [`sealed_entry`] reads.
pub(super) const SEALED_COLUMNS: &str =
    "id, slot, handle, ouid, payload_bytes, created_secs, changed_secs, sealed";

const SELECT_SEALED: &str =
    "SELECT id, slot, handle, ouid, payload_bytes, created_secs, changed_secs, sealed FROM objects";

pub(super) fn sealed_entry(row: &Row<'_>) -> Read<(Entry, SealedRow)> {
    let entry = entry(row)?;
    let sealed = cells::sealed(row, 7).map_err(|what| damaged(row, what))?;
    Ok((entry, sealed))
}

fn entry(row: &Row<'_>) -> Read<Entry> {
    let entry = || -> Seen<Entry> {
        Ok(Entry {
            id: RowId(cells::within(row, 0, ROW_IDS)?),
            slot: SlotId(cells::number(row, 1)?),
            handle: crate::sqlite::damaged::handle(row, 2)?,
            ouid: Ouid(cells::array(row, 3)?),
            // Checked against the schema's range: the size of a blob follows from it.
            payload_bytes: cells::within(row, 4, PAYLOAD_BYTES)? as u32,
            created_secs: cells::number(row, 5)?,
            changed_secs: cells::optional_number(row, 6)?,
        })
    };
    entry().map_err(|what| damaged(row, what))
}

/// The row of a query for one; a damaged row is an error.
pub(super) fn whole<T>(found: Option<Read<T>>) -> Result<Option<T>> {
    found.transpose().map_err(Error::Object)
}

impl Store {
    pub fn by_handle(&self, slot: SlotId, handle: Handle) -> Result<Option<Entry>> {
        // Read before the query: a commit that comes between makes the answer an old one.
        let commits = self.committer.as_ref().map_or(0, Committer::commits);
        let at = Instant::now();
        let is_missing = lock(&self.missing).as_ref().is_some_and(|known| {
            (known.slot, known.handle, known.commits) == (slot, handle, commits)
                && at.duration_since(known.at) < FRESH_FOR
        });
        if is_missing {
            return Ok(None);
        }
        let text = format!("{SELECT} WHERE slot = ?1 AND handle = ?2");
        let found = self.whole_row(&text, (slot.0, handle.get()), entry)?;
        if found.is_none() {
            *lock(&self.missing) = Some(Missing {
                slot,
                handle,
                commits,
                at,
            });
        }
        Ok(found)
    }

    pub fn by_id(&self, id: RowId) -> Result<Option<Entry>> {
        self.whole_row(&format!("{SELECT} WHERE id = ?1"), [id.0], entry)
    }

    pub fn by_ouid(&self, slot: SlotId, ouid: Ouid) -> Result<Option<Entry>> {
        let text = format!("{SELECT} WHERE slot = ?1 AND ouid = ?2");
        self.whole_row(&text, (slot.0, ouid.0), entry)
    }

    pub fn rows_with_ouid(&self, slots: &[SlotId], ouid: Ouid) -> Result<Vec<RowId>> {
        if slots.is_empty() {
            return Ok(Vec::new());
        }
        // In the statement's text: a list cannot be a parameter, and one statement takes the locks only once.
        let slots: Vec<String> = slots.iter().map(|slot| slot.0.to_string()).collect();
        let slots = slots.join(", ");
        let text =
            format!("SELECT id FROM objects WHERE ouid = ?1 AND slot IN ({slots}) ORDER BY slot");
        self.read_short(|connection| {
            query::rows::<_, rusqlite::Result<_>>(connection, &text, [ouid.0], row_id)?
        })
    }

    pub fn list(&self, slot: SlotId, after: u32, most: usize) -> Result<Vec<Read<Entry>>> {
        let range = (slot.0, i64::from(after) + 1, signed(most as u64));
        self.rows(&format!("{SELECT} {BY_HANDLE}"), range, entry)
    }

    pub fn nameless(&self, slot: SlotId, name: NameColumn) -> Result<Vec<DamagedRow>> {
        let names_none = match name {
            NameColumn::Handle => NO_HANDLE,
            NameColumn::Ouid => "(typeof(ouid) <> 'blob' OR length(ouid) <> 16)",
        };
        let (first, last) = (ROW_IDS.start(), ROW_IDS.end());
        let text = format!(
            "{SELECT} WHERE slot = ?1 AND ({names_none} OR id NOT BETWEEN {first} AND {last})"
        );
        let found: Vec<Read<Entry>> = self.rows(&text, [slot.0], entry)?;
        Ok(found.into_iter().filter_map(Read::err).collect())
    }

    pub fn count_listed(&self, slot: SlotId) -> Result<(u64, Result<u64>)> {
        let (listed, kept) = self.snapshot(|snapshot| {
            let text = "SELECT count(*) FROM objects WHERE slot = ?1";
            let listed = query::row(snapshot, text, [slot.0], |row| cells::number::<u64>(row, 0))?;
            let text = "SELECT objects, bytes FROM usage WHERE slot = ?1";
            Ok((listed, query::row(snapshot, text, [slot.0], usage_row)?))
        })?;
        let listed = listed.unwrap_or(Ok(0)).map_err(SlotFault::damaged(slot))?;
        let kept = kept.unwrap_or_else(|| Err(NOT_COUNTED.into()));
        let kept = kept.map(|(objects, _)| objects);
        Ok((listed, kept.map_err(SlotFault::damaged(slot))))
    }

    pub fn ids(&self, slot: SlotId) -> Result<Vec<RowId>> {
        self.read(|connection| {
            let text = "SELECT id FROM objects WHERE slot = ?1";
            query::rows::<_, rusqlite::Result<_>>(connection, text, [slot.0], row_id)?
        })
    }

    pub fn places(&self, slot: SlotId) -> Result<Vec<(Handle, RowId)>> {
        let place = |row: &Row<'_>| {
            let handle = cells::number::<u32>(row, 0).ok().and_then(Handle::new)?;
            let id = row.get(1).ok()?;
            Some((handle, RowId(id)))
        };
        let text = "SELECT handle, id FROM objects WHERE slot = ?1 ORDER BY handle";
        let found: Vec<Option<_>> = self.rows(text, [slot.0], place)?;
        Ok(found.into_iter().flatten().collect())
    }

    pub fn sealed(&self, id: RowId) -> Result<Option<(Entry, SealedRow)>> {
        self.whole_row(
            &format!("{SELECT_SEALED} WHERE id = ?1"),
            [id.0],
            sealed_entry,
        )
    }

    pub fn list_sealed(
        &self,
        slot: SlotId,
        after: u32,
        most: usize,
        most_bytes: usize,
    ) -> Result<Vec<Read<(Entry, SealedRow)>>> {
        self.read(|connection| {
            let mut statement =
                query::prepare(connection, &format!("{SELECT_SEALED} {BY_HANDLE}"))?;
            let range = (slot.0, i64::from(after) + 1, signed(most as u64));
            let mut rows = statement.query(range)?;
            let (mut found, mut bytes) = (Vec::new(), 0);
            while bytes < most_bytes
                && let Some(row) = rows.next()?
            {
                let row = sealed_entry(row);
                bytes += row.as_ref().map_or(0, |(_, sealed)| sealed.bytes().len());
                found.push(row);
            }
            Ok(found)
        })
    }

    pub fn sealed_by_handle(
        &self,
        slot: SlotId,
        handle: Handle,
    ) -> Result<Option<(Entry, SealedRow)>> {
        let text = format!("{SELECT_SEALED} WHERE slot = ?1 AND handle = ?2");
        self.whole_row(&text, (slot.0, handle.get()), sealed_entry)
    }

    pub fn has_objects(&self, slot: SlotId) -> Result<bool> {
        let text = "SELECT EXISTS (SELECT 1 FROM objects WHERE slot = ?1)";
        self.value(text, [slot.0])
    }

    pub fn count_common(&self, one: SlotId, other: SlotId) -> Result<i64> {
        self.value(
            "SELECT count(*) FROM objects AS one JOIN objects AS other USING (ouid)
                     WHERE one.slot = ?1 AND other.slot = ?2",
            [one.0, other.0],
        )
    }

    /// The row of a short query for one object; a damaged row is an error.
    fn whole_row<T>(
        &self,
        text: &str,
        params: impl Params + Clone,
        read: impl Fn(&Row<'_>) -> Read<T>,
    ) -> Result<Option<T>> {
        whole(self.row(text, params, read)?)
    }
}
