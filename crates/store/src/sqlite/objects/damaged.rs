//! Destroying the row of a damaged object, by its row id.

use rusqlite::Connection;
use slotfs_object::RowId;

use super::counters::without_counters;
use super::trash;
use super::{SEALED_COLUMNS, sealed_entry};
use crate::rows::*;
use crate::rules::{Rows, check_version};
use crate::sqlite::committer::Tx;
use crate::sqlite::damaged::damaged;
use crate::sqlite::slots::{mark, signed, usage_row};
use crate::sqlite::{Error, Reply, Result, SlotFault, Store, query};

impl Store {
    pub fn damaged_row(&self, id: RowId) -> Result<DamagedRow> {
        let whole = match self.read(|connection| damage_of(connection, id))? {
            Some(Err(damaged)) => return Ok(damaged),
            Some(Ok(entry)) => entry,
            None => match self.trashed_by_id(id) {
                Err(Error::Object(damaged)) => return Ok(damaged),
                found => found?.ok_or(Error::Gone)?.entry,
            },
        };
        let handle = whole.handle;
        Err(SlotFault::NotDamaged { handle, row: id }.at(whole.slot))
    }

    pub fn destroy_damaged(&self, found: DamagedRow, slot: SlotVersion, reply: impl Reply<()>) {
        self.write(move |tx| destroy(tx, &found, slot), reply);
    }
}

/// The row `id` of the objects. One whose slot has no partition is damaged too.
fn damage_of(connection: &Connection, id: RowId) -> rusqlite::Result<Option<Read<Entry>>> {
    let text = format!("SELECT {SEALED_COLUMNS} FROM objects WHERE id = ?1");
    let found = query::row(connection, &text, [id.0], |row| {
        let orphan = damaged(row, "its slot has no partition".to_owned());
        sealed_entry(row).map(|(entry, _)| (entry, orphan))
    })?;
    Ok(match found {
        None => None,
        Some(Err(damaged)) => Some(Err(damaged)),
        Some(Ok((entry, orphan))) => match mark(connection, entry.slot)? {
            Some(_) => Some(Ok(entry)),
            None => Some(Err(orphan)),
        },
    })
}

fn destroy(tx: &mut Tx<'_>, found: &DamagedRow, slot: SlotVersion) -> Result<()> {
    check_version(tx, slot)?;
    let (table, now) = match found.in_trash {
        true => ("trash", trash::by_id(tx, found.id)?.and_then(Read::err)),
        false => {
            let now = tx.with(|connection| damage_of(connection, found.id))?;
            ("objects", now.and_then(Read::err))
        }
    };
    if now.as_ref() != Some(found) {
        return Err(Error::Gone);
    }
    let remove = |tx: &mut Tx<'_>| {
        tx.execute(&format!("DELETE FROM {table} WHERE id = ?1"), [found.id.0])
            .map(drop)
    };
    tx.erases = true;
    // A row of no slot is not counted.
    let Some(owner) = found.slot else {
        return remove(tx);
    };
    let text = "SELECT objects, bytes FROM usage WHERE slot = ?1";
    let kept = tx
        .row(text, [owner.0], |row| usage_row(row).ok())?
        .flatten();
    without_counters(tx, owner, remove)?;
    tx.forget_runs(owner);
    // A count that is higher than the index shows stays higher: an index may have lost rows.
    if let Some((objects, _)) = kept
        && !found.in_trash
    {
        let text = "UPDATE usage SET objects = ?2 WHERE slot = ?1";
        tx.execute(text, (owner.0, signed(objects.saturating_sub(1))))?;
    }
    Ok(())
}
