//! A partition changed as a whole: its header with all that it names, in one transaction.

use rusqlite::{Connection, OptionalExtension, params};

use super::cells;
use super::committer::Tx;
use super::fault::sql;
use super::objects::{SEALED_COLUMNS, check_version, sealed_entry, without_counters};
use super::slots::{NOT_COUNTED, delete_slot, insert_parts, mark, signed};
use super::{
    CredentialRow, Entry, KeyRows, PartitionMark, Place, Read, SlotRow, SlotVersion, Store,
};
use crate::{Error, Result, SlotFault};
use slotfs_object::SlotId;
use slotfs_object::sealed::SealedRow;

/// Rows resealed before the next are read: memory stays flat.
const AT_ONCE: usize = 256;

/// Seals a row anew, or leaves it as it is.
pub type Reseal = Box<dyn FnMut(Place, &SealedRow) -> Result<Option<SealedRow>> + Send>;

/// What a change does to the objects.
pub enum Objects {
    /// Nothing.
    Keep,
    /// Destroys them.
    Destroy,
    /// Seals each row anew. When some do not open, nothing is changed unless these may be left behind: under
    /// the old key, which is then gone.
    Reseal {
        /// Seals one.
        reseal: Reseal,
        /// Whether those that do not open may be left behind.
        leave_damaged: bool,
    },
}

/// What a change did to the objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// How many were destroyed.
    pub destroyed: u64,
    /// How many did not open and were left behind.
    pub damaged: u64,
}

/// A partition as it is to be.
pub struct SlotChange {
    /// As it was when the change was made up.
    pub from: SlotVersion,
    /// As it is to be.
    pub row: SlotRow,
    /// Every credential that its header names; one that is there already stays as it is.
    pub credentials: Vec<CredentialRow>,
    /// Every domain and storage master key that its header names, likewise.
    pub keys: KeyRows,
    /// Its objects.
    pub objects: Objects,
}

impl Store {
    /// Makes the change, durably.
    ///
    /// # Errors
    /// [`Error::SlotChanged`] when another process was first,
    /// [`Error::NotLoggedIn`] when the partition was replaced, or what the disk says.
    pub fn change_slot(&self, change: SlotChange) -> Result<Changed> {
        self.write_now(move |tx| change_slot(tx, change))
    }

    /// Destroys every object of a partition; how many there were.
    ///
    /// # Errors
    /// As [`Self::change_slot`].
    pub fn clear_slot(&self, slot: SlotVersion) -> Result<u64> {
        self.write_now(move |tx| {
            check_version(tx, slot)?;
            destroy_all(tx, slot.slot.0)
        })
    }

    /// Destroys a partition with everything in it; how many objects there were.
    ///
    /// # Errors
    /// As [`Self::change_slot`].
    pub fn delete_slot(&self, slot: SlotVersion) -> Result<u64> {
        self.write_now(move |tx| {
            check_version(tx, slot)?;
            let objects = destroy_all(tx, slot.slot.0)?;
            delete_slot(tx.connection, slot.slot).map_err(sql(tx.path))?;
            Ok(objects)
        })
    }
}

impl Store {
    /// Destroys a partition with everything in it, whatever of it can be read.
    ///
    /// # Errors
    /// [`Error::SlotChanged`] when the slot holds another partition than `marked`, or what the disk says.
    pub fn delete_marked_slot(&self, slot: SlotId, marked: PartitionMark) -> Result<()> {
        self.write_now(move |tx| {
            if mark(tx.connection, slot).map_err(sql(tx.path))? != Some(marked) {
                return Err(SlotFault::Changed.at(slot));
            }
            delete_slot(tx.connection, slot).map_err(sql(tx.path))?;
            tx.forget_runs(slot.0);
            tx.erases = true;
            Ok(())
        })
    }
}

fn change_slot(tx: &mut Tx<'_>, change: SlotChange) -> Result<Changed> {
    check_version(tx, change.from)?;
    let slot = change.row.slot;
    let mut changed = Changed::default();
    match change.objects {
        Objects::Keep => {}
        Objects::Destroy => changed.destroyed = destroy_all(tx, slot.0)?,
        Objects::Reseal {
            reseal,
            leave_damaged,
        } => {
            changed.damaged = reseal_all(tx, slot, reseal)?;
            if changed.damaged > 0 && !leave_damaged {
                return Err(Error::Damaged(format!(
                    "slot {slot}: {} of its objects do not open, and could never again under another key",
                    changed.damaged
                )));
            }
        }
    }
    write_rows(
        tx.connection,
        &change.row,
        &change.credentials,
        &change.keys,
    )
    .map_err(sql(tx.path))?;
    // What was replaced: a wrap of the slot key by an old password, a domain.
    tx.erases = true;
    Ok(changed)
}

fn write_rows(
    connection: &Connection,
    row: &SlotRow,
    credentials: &[CredentialRow],
    keys: &KeyRows,
) -> rusqlite::Result<()> {
    connection.execute(
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
    let keep = |ids: Vec<i64>| {
        let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
        ids.join(",")
    };
    // Those that go first: labels and roles are unique.
    let credential_ids = || credentials.iter().map(|it| it.id).collect();
    for (table, id, kept) in [
        ("quorums", "credential", keep(credential_ids())),
        ("credentials", "id", keep(credential_ids())),
        (
            "domains",
            "id",
            keep(keys.domains.iter().map(|it| it.id).collect()),
        ),
        (
            "smks",
            "id",
            keep(keys.smks.iter().map(|it| it.id).collect()),
        ),
    ] {
        connection.execute(
            &format!("DELETE FROM {table} WHERE slot = ?1 AND {id} NOT IN ({kept})"),
            [row.slot.0],
        )?;
    }
    insert_parts(connection, row.slot, credentials, keys)
}

fn destroy_all(tx: &mut Tx<'_>, slot: u32) -> Result<u64> {
    let destroyed = without_counters(tx, SlotId(slot), |tx| {
        let destroyed = tx
            .connection
            .execute("DELETE FROM objects WHERE slot = ?1", [slot])
            .map_err(sql(tx.path))?;
        tx.connection
            .execute("DELETE FROM trash WHERE slot = ?1", [slot])
            .map_err(sql(tx.path))?;
        Ok(destroyed)
    })?;
    tx.forget_runs(slot);
    tx.erases = true;
    Ok(destroyed as u64)
}

/// Seals every row anew, by the tables themselves and not by an index, which may have lost some; how many did
/// not open. What is in the trash comes back under the new key or not at all.
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
    let (mut after, mut seen, mut damaged) = (i64::MIN, 0u64, 0u64);
    loop {
        let rows = page(tx.connection, table, slot, after).map_err(sql(tx.path))?;
        let Some(last) = rows.last() else { break };
        after = match last {
            Ok((last, _)) => last.id,
            Err(last) => last.id,
        };
        for row in &rows {
            seen += 1;
            let Ok((entry, sealed)) = row else {
                damaged += 1;
                continue;
            };
            let Some(sealed) = reseal(entry.place(), sealed)? else {
                damaged += 1;
                continue;
            };
            tx.connection
                .prepare_cached(&format!("UPDATE {table} SET sealed = ?2 WHERE id = ?1"))
                .and_then(|mut update| update.execute(params![entry.id, sealed.bytes()]))
                .map_err(sql(tx.path))?;
        }
    }
    let kept = tx
        .connection
        .query_row(
            &format!("SELECT objects FROM {usage} WHERE slot = ?1"),
            [slot.0],
            |row| Ok(cells::number::<u64>(row, 0)),
        )
        .optional()
        .map_err(sql(tx.path))?
        .unwrap_or_else(|| Err(NOT_COUNTED.into()))
        .map_err(|what| SlotFault::Damaged(what).at(slot))?;
    if seen == kept {
        return Ok(damaged);
    }
    Err(Error::Damaged(format!(
        "slot {slot} has {kept} rows of {table}, but {seen} can be read"
    )))
}

fn page(
    connection: &Connection,
    table: &str,
    slot: SlotId,
    after: i64,
) -> rusqlite::Result<Vec<Read<(Entry, SealedRow)>>> {
    connection
        .prepare_cached(&format!(
            "SELECT {SEALED_COLUMNS} FROM {table} NOT INDEXED WHERE slot = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
        ))?
        .query_map(params![slot.0, after, signed(AT_ONCE as u64)], |row| {
            Ok(sealed_entry(row))
        })?
        .collect()
}
