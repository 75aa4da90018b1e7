//! Making a partition, and removing one with all its rows.

use rusqlite::{Connection, params};

use super::{mark, signed};
use crate::rows::{NewSlot, SlotRow, SlotRows};
use crate::rules::Rows;
use crate::sqlite::committer::Tx;
use crate::sqlite::credentials::insert_credential;
use crate::sqlite::objects::COUNTERS;
use crate::sqlite::{Result, SlotFault, Store, query};
use slotfs_object::SlotId;

impl Store {
    pub fn create_slot(&self, new: NewSlot) -> Result<()> {
        self.write_now(move |tx| create_slot(tx, &new))
    }
}

fn create_slot(tx: &mut Tx<'_>, new: &NewSlot) -> Result<()> {
    let row = &new.row;
    let there = tx.with(|connection| mark(connection, row.slot))?;
    if there != new.replaces {
        return Err(SlotFault::Exists.at(row.slot));
    }
    if there.is_some() {
        delete_slot(tx, row.slot)?;
    }
    // Counters that are left of a slot would stop the triggers from making new ones.
    for table in COUNTERS {
        tx.execute(
            &format!("DELETE FROM {table} WHERE slot = ?1"),
            [row.slot.0],
        )?;
    }
    tx.with(|connection| insert_slot(connection, row))?;
    tx.with(|connection| insert_parts(connection, row.slot, &new.parts))
}

/// Inserts the row of a slot.
pub(crate) fn insert_slot(connection: &Connection, row: &SlotRow) -> rusqlite::Result<()> {
    query::execute(
        connection,
        "INSERT INTO slots (slot, serial, label, kind, version, capacity_objects, capacity_bytes,
            retention_secs, policies, uid, gid, created_secs, generation, header)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        params![
            row.slot.0,
            signed(row.serial),
            row.label,
            row.kind as u8,
            row.version as u8,
            signed(row.capacity_objects),
            signed(row.capacity_bytes),
            signed(row.retention_secs),
            row.policies.to_stored(),
            row.uid,
            row.gid,
            signed(row.created_secs),
            signed(row.generation),
            row.header.bytes(),
        ],
    )
    .map(drop)
}

/// Every table with rows of a slot, in the order of their removal. The counters go first: the triggers would calculate
/// with the values of a damaged row, and fail.
const TABLES: [&str; 10] = [
    COUNTERS[0],
    COUNTERS[1],
    "objects",
    "trash",
    "quorums",
    "pairs",
    "credentials",
    "domains",
    "smks",
    "slots",
];

/// Removes a partition with all its rows.
pub(crate) fn delete_slot(tx: &mut Tx<'_>, slot: SlotId) -> Result<()> {
    for table in TABLES {
        tx.execute(&format!("DELETE FROM {table} WHERE slot = ?1"), [slot.0])?;
    }
    tx.forget_runs(slot);
    tx.erases = true;
    Ok(())
}

/// Inserts the credentials and keys that are not there yet, and the pairs as they are now.
pub(crate) fn insert_parts(
    connection: &Connection,
    slot: SlotId,
    parts: &SlotRows,
) -> rusqlite::Result<()> {
    for credential in &parts.credentials {
        insert_credential(connection, slot, credential)?;
    }
    for row in &parts.domains {
        query::execute(
            connection,
            "INSERT INTO domains (id, slot, kind, label, sealed) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (id) DO NOTHING",
            (
                row.id.0,
                slot.0,
                row.kind as u8,
                &row.label,
                row.sealed.bytes(),
            ),
        )?;
    }
    for smk in &parts.smks {
        query::execute(
            connection,
            "INSERT INTO smks (id, slot, sealed) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO NOTHING",
            (smk.id.0, slot.0, smk.sealed.bytes()),
        )?;
    }
    Ok(())
}
