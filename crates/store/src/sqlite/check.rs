//! The reading part of `store check`: it reads every row and reports the damage. It writes nothing and trusts no value.
//!
//! Whatever can be damaged comes back as [`Seen`], so that one bad page or row does not hide the rest. Values that are
//! compared with each other are read in one transaction. The rows themselves are read in pages: a check of a store in use
//! must neither keep its write-ahead log from being emptied for long, nor take a change for damage.

use std::collections::HashMap;

use rusqlite::{Connection, Params, Row};

use super::cells::{self, Seen};
use super::fault::is_damage;
use super::{Store, query, schema};
use crate::rows::PAYLOAD_BYTES;
use crate::sqlite::{Count, Indexed, Result};
use slotfs_object::SlotId;

mod object;
mod parts;

impl Store {
    pub fn check_file(&self) -> Result<Vec<String>> {
        type Look = fn(&Connection) -> rusqlite::Result<Vec<String>>;
        let mut found = Vec::new();
        for (look, ended) in [
            (schema::differences as Look, "its schema cannot be read"),
            (integrity, "integrity_check ended early"),
            (foreign_keys, "foreign_key_check ended early"),
        ] {
            match self.look(look)? {
                Ok(lines) => found.extend(lines),
                Err(what) => found.push(format!("{ended}: {what}")),
            }
        }
        Ok(found)
    }

    pub fn orphans(&self) -> Result<Seen<Vec<Indexed>>> {
        let text = "SELECT id, slot, handle FROM objects NOT INDEXED
                     WHERE slot IS NULL OR slot NOT IN (SELECT slot FROM slots NOT INDEXED)";
        self.look(|connection| query::rows(connection, text, [], indexed))
    }

    pub fn slot_numbers(&self) -> Result<Vec<SlotId>> {
        let text = "SELECT slot FROM slots NOT INDEXED ORDER BY slot";
        let found: Vec<_> = self.rows(text, [], |row| cells::number(row, 0).ok().map(SlotId))?;
        Ok(found.into_iter().flatten().collect())
    }

    pub fn count(&self, slots: &[SlotId]) -> Result<Vec<Count>> {
        self.snapshot(|snapshot| {
            let table = seen(count_table(snapshot))?;
            let count = |&slot: &SlotId| {
                let text = "SELECT objects, bytes FROM usage WHERE slot = ?1";
                let usage = query::row(snapshot, text, [slot.0], usage_counts);
                let in_index = |index| {
                    let text =
                        format!("SELECT count(*) FROM objects INDEXED BY {index} WHERE slot = ?1");
                    seen(query::value(snapshot, &text, [slot.0]))
                };
                let counted = |counts: &Counts| {
                    let counted = counts.get(&i64::from(slot.0)).copied();
                    counted.unwrap_or_default()
                };
                Ok(Count {
                    slot,
                    usage: seen(usage)?.and_then(Option::transpose),
                    table: table.as_ref().map(counted).map_err(Clone::clone),
                    by_handle: in_index(BY_HANDLE)?,
                    by_ouid: in_index(BY_OUID)?,
                })
            };
            slots.iter().map(count).collect()
        })
    }

    pub fn object_rows(&self, after: i64, most: u32) -> Result<(Vec<i64>, Seen<()>)> {
        let text = "SELECT id FROM objects NOT INDEXED WHERE id > ?1 ORDER BY id LIMIT ?2";
        self.look_rows(text, (after, most), |row| row.get(0))
    }

    pub fn indexed_between(&self, after: i64, before: i64) -> Result<Seen<Vec<Indexed>>> {
        let text = format!(
            "SELECT id, slot, handle FROM objects INDEXED BY {BY_HANDLE}
                     WHERE id > ?1 AND id < ?2 ORDER BY slot, handle"
        );
        self.look(|connection| query::rows(connection, &text, [after, before], indexed))
    }

    pub fn count_trash(&self, slot: SlotId) -> Result<Seen<(Option<Seen<i64>>, i64)>> {
        self.look(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            let text = "SELECT objects FROM trash_usage WHERE slot = ?1";
            let kept = query::row(&snapshot, text, [slot.0], |row| cells::number(row, 0))?;
            let text = "SELECT count(*) FROM trash NOT INDEXED WHERE slot = ?1";
            Ok((kept, query::value(&snapshot, text, [slot.0])?))
        })
    }

    /// [`Self::read`], with damage kept apart from every other failure.
    pub(super) fn look<T>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<Seen<T>> {
        self.read(|connection| seen(query(connection)))
    }

    /// The first row of a query, if it has any.
    fn look_row<T>(
        &self,
        text: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Seen<Option<T>>> {
        self.look(|connection| query::row(connection, text, params, read)?.transpose())
    }

    /// The rows of a query, and why the reading ended early, if it did.
    fn look_rows<T>(
        &self,
        text: &str,
        params: impl Params,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<(Vec<T>, Seen<()>)> {
        let mut found = Vec::new();
        let ended = self.look(|connection| {
            let mut query = query::prepare(connection, text)?;
            let mut rows = query.query(params)?;
            while let Some(row) = rows.next()? {
                found.push(read(row)?);
            }
            Ok(())
        })?;
        Ok((found, ended))
    }
}

/// SQLite's name for the index of `UNIQUE (slot, handle, nth)`.
const TRASH_BY_NAME: &str = "sqlite_autoindex_trash_1";

/// SQLite's names for the indexes of `UNIQUE (slot, handle)` and `UNIQUE (slot, ouid)`.
pub(super) const BY_HANDLE: &str = "sqlite_autoindex_objects_1";
pub(super) const BY_OUID: &str = "sqlite_autoindex_objects_2";

/// Objects and bytes by slot.
type Counts = HashMap<i64, (i64, i64)>;

/// Keeps damage apart from every other failure.
fn seen<T>(outcome: rusqlite::Result<T>) -> rusqlite::Result<Seen<T>> {
    match outcome {
        Err(error) if is_damage(&error) => Ok(Err(error.to_string())),
        outcome => outcome.map(Ok),
    }
}

fn indexed(row: &Row<'_>) -> Indexed {
    (cells::id(row), cells::number(row, 1), cells::number(row, 2))
}

/// What `PRAGMA integrity_check` finds; nothing when it says "ok".
pub(super) fn integrity(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut check = connection.prepare("PRAGMA integrity_check")?;
    let mut rows = check.query([])?;
    let mut found = Vec::new();
    loop {
        // The lines before an early end are reported too.
        match rows.next() {
            Ok(Some(row)) => match row.get::<_, String>(0)?.as_str() {
                "ok" => {}
                line => found.push(format!("integrity_check: {line}")),
            },
            Ok(None) => return Ok(found),
            Err(error) if is_damage(&error) && !found.is_empty() => {
                found.push(format!("integrity_check ended early: {error}"));
                return Ok(found);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Rows whose parent row is missing. Those of objects are [`Store::orphans`].
fn foreign_keys(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut check = connection.prepare("PRAGMA foreign_key_check")?;
    let rows = check.query_map([], |row| {
        let (table, id, parent): (String, Option<i64>, String) = row.try_into()?;
        let id = id.map_or_else(|| "?".to_owned(), |id| id.to_string());
        let found = format!("row {id} of {table} belongs to no row of {parent}");
        Ok((table != "objects").then_some(found))
    })?;
    rows.filter_map(rusqlite::Result::transpose).collect()
}

fn count_table(connection: &Connection) -> rusqlite::Result<Counts> {
    let mut counts = Counts::new();
    let mut scan = connection.prepare("SELECT slot, payload_bytes FROM objects NOT INDEXED")?;
    let mut rows = scan.query([])?;
    while let Some(row) = rows.next()? {
        // A row of no slot is an orphan; a damaged size counts as nothing.
        let Ok(slot) = cells::number(row, 0) else {
            continue;
        };
        let bytes = cells::within(row, 1, PAYLOAD_BYTES).unwrap_or(0);
        let count = counts.entry(slot).or_default();
        *count = (count.0 + 1, count.1.saturating_add(bytes));
    }
    Ok(counts)
}

/// Objects and bytes, from `objects, bytes`.
fn usage_counts(row: &Row<'_>) -> Seen<(i64, i64)> {
    Ok((cells::number(row, 0)?, cells::number(row, 1)?))
}
