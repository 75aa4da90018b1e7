//! Changes of a whole partition, in one transaction: its header, and every row that the header names.

use rusqlite::{Connection, params};

use super::cells;
use super::committer::Tx;
use super::objects::{SEALED_COLUMNS, sealed_entry, without_counters};
use super::slots::{NOT_COUNTED, delete_slot, insert_parts, mark, signed};
use super::{Store, query};
use crate::rows::*;
use crate::rules::{Rows, check_version};
use crate::sqlite::{Error, Result, SlotFault};
use slotfs_object::SlotId;
use slotfs_object::sealed::{PartId, SealedRow};

/// Rows that are read together for resealing: memory use stays flat.
const AT_ONCE: usize = 256;

impl Store {
    pub fn change_slot(&self, change: SlotChange) -> Result<Changed> {
        self.write_now(move |tx| change_slot(tx, change))
    }

    pub fn clear_slot(&self, slot: SlotVersion) -> Result<u64> {
        self.write_now(move |tx| {
            check_version(tx, slot)?;
            destroy_all(tx, slot.slot)
        })
    }

    pub fn delete_slot(&self, slot: SlotVersion) -> Result<u64> {
        self.write_now(move |tx| {
            check_version(tx, slot)?;
            let objects = destroy_all(tx, slot.slot)?;
            delete_slot(tx, slot.slot)?;
            Ok(objects)
        })
    }

    pub fn delete_marked_slot(&self, slot: SlotId, marked: PartitionMark) -> Result<()> {
        self.write_now(move |tx| {
            if tx.with(|connection| mark(connection, slot))? != Some(marked) {
                return Err(SlotFault::Changed.at(slot));
            }
            delete_slot(tx, slot)
        })
    }
}

fn change_slot(tx: &mut Tx<'_>, change: SlotChange) -> Result<Changed> {
    check_version(tx, change.from)?;
    let slot = change.row.slot;
    let mut changed = Changed::default();
    match change.objects {
        Objects::Keep => {}
        Objects::Destroy => changed.destroyed = destroy_all(tx, slot)?,
        Objects::Reseal {
            reseal,
            leave_damaged,
        } => {
            changed.damaged = reseal_all(tx, slot, reseal)?;
            if changed.damaged > 0 && !leave_damaged {
                return Err(SlotFault::WouldLose(changed.damaged).at(slot));
            }
        }
    }
    tx.with(|connection| write_rows(connection, &change.row, &change.parts))?;
    // The old rows hold secrets: a slot key wrapped under an old password, a domain.
    tx.erases = true;
    Ok(changed)
}

fn write_rows(connection: &Connection, row: &SlotRow, parts: &SlotRows) -> rusqlite::Result<()> {
    query::execute(
        connection,
        "UPDATE slots SET label = ?2, version = ?3, capacity_objects = ?4, capacity_bytes = ?5,
            retention_secs = ?6, policies = ?7, uid = ?8, gid = ?9, generation = ?10, header = ?11
         WHERE slot = ?1",
        params![
            row.slot.0,
            row.label,
            row.version as u8,
            signed(row.capacity_objects),
            signed(row.capacity_bytes),
            signed(row.retention_secs),
            row.policies.to_stored(),
            row.uid,
            row.gid,
            signed(row.generation),
            row.header.bytes(),
        ],
    )?;
    let list = |ids: &mut dyn Iterator<Item = PartId>| {
        let ids: Vec<String> = ids.map(|id| id.0.to_string()).collect();
        ids.join(",")
    };
    let kept = list(&mut parts.credentials.iter().map(|it| it.id));
    let domains = list(&mut parts.domains.iter().map(|it| it.id));
    let smks = list(&mut parts.smks.iter().map(|it| it.id));
    // Removed before the new ones are inserted: labels and roles are unique.
    for (table, id, kept) in [
        ("quorums", "credential", &kept),
        ("pairs", "credential", &kept),
        ("credentials", "id", &kept),
        ("domains", "id", &domains),
        ("smks", "id", &smks),
    ] {
        let text = format!("DELETE FROM {table} WHERE slot = ?1 AND {id} NOT IN ({kept})");
        connection.execute(&text, [row.slot.0])?;
    }
    insert_parts(connection, row.slot, parts)
}

fn destroy_all(tx: &mut Tx<'_>, slot: SlotId) -> Result<u64> {
    let destroyed = without_counters(tx, slot, |tx| {
        let destroyed = tx.execute("DELETE FROM objects WHERE slot = ?1", [slot.0])?;
        tx.execute("DELETE FROM trash WHERE slot = ?1", [slot.0])?;
        Ok(destroyed)
    })?;
    tx.forget_runs(slot);
    tx.erases = true;
    Ok(destroyed as u64)
}

/// Seals every row under the new key; how many did not open. It reads the tables without an index, which may have lost
/// rows. The trash is included: an object there comes back under the new key or not at all.
fn reseal_all(tx: &mut Tx<'_>, slot: SlotId, mut reseal: Reseal) -> Result<u64> {
    let objects = reseal_table(tx, slot, "objects", "usage", &mut reseal)?;
    let trash = reseal_table(tx, slot, "trash", "trash_usage", &mut reseal)?;
    Ok(objects + trash)
}

fn reseal_table(
    tx: &mut Tx<'_>,
    slot: SlotId,
    table: &str,
    usage: &str,
    reseal: &mut Reseal,
) -> Result<u64> {
    let select = format!(
        "SELECT {SEALED_COLUMNS} FROM {table} NOT INDEXED WHERE slot = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
    );
    let update = format!("UPDATE {table} SET sealed = ?2 WHERE id = ?1");
    let (mut after, mut seen, mut damaged) = (i64::MIN, 0u64, 0u64);
    loop {
        let page = (slot.0, after, signed(AT_ONCE as u64));
        let rows: Vec<Read<(Entry, SealedRow)>> = tx.rows(&select, page, sealed_entry)?;
        let Some(last) = rows.last() else { break };
        after = match last {
            Ok((last, _)) => last.id.0,
            Err(last) => last.id.0,
        };
        for row in &rows {
            seen += 1;
            let resealed = match row {
                Ok((entry, sealed)) => reseal(entry.place(), sealed)?.map(|it| (entry.id, it)),
                Err(_) => None,
            };
            match resealed {
                Some((id, sealed)) => drop(tx.execute(&update, (id.0, sealed.bytes()))?),
                None => damaged += 1,
            }
        }
    }
    let text = format!("SELECT objects FROM {usage} WHERE slot = ?1");
    let kept = tx
        .row(&text, [slot.0], |row| cells::number::<u64>(row, 0))?
        .unwrap_or_else(|| Err(NOT_COUNTED.into()))
        .map_err(SlotFault::damaged(slot))?;
    if seen == kept {
        return Ok(damaged);
    }
    Err(Error::Damaged(format!(
        "slot {slot} has {kept} rows of {table}, but {seen} can be read"
    )))
}
