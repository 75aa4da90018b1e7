//! A partition changed as a whole: its header with all that it names, in one transaction.

use rusqlite::{Connection, params};

use super::committer::Tx;
use super::fault::sql;
use super::objects::{SELECT_SEALED, check_version, sealed_entry};
use super::slots::{delete_slot, insert_credential, insert_domain, signed};
use super::{CredentialRow, DomainRow, Entry, Place, SlotRow, SlotVersion, Store};
use crate::credential::SealedRow;
use crate::error::Result;

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
    /// Seals each row anew.
    Reseal(Reseal),
}

/// A partition as it is to be.
pub struct SlotChange {
    /// As it was when the change was made up.
    pub from: SlotVersion,
    /// As it is to be.
    pub row: SlotRow,
    /// Every credential that its header names; one that is there already stays as it is.
    pub credentials: Vec<CredentialRow>,
    /// Every domain that its header names, likewise.
    pub domains: Vec<DomainRow>,
    /// Its objects.
    pub objects: Objects,
}

impl Store {
    /// Makes the change, durably; how many objects were destroyed.
    ///
    /// # Errors
    /// [`Error::SlotChanged`](crate::error::Error::SlotChanged) when another process was first,
    /// [`Error::NotLoggedIn`](crate::error::Error::NotLoggedIn) when the partition was replaced, or what the disk says.
    pub fn change_slot(&self, change: SlotChange) -> Result<u64> {
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

fn change_slot(tx: &mut Tx<'_>, change: SlotChange) -> Result<u64> {
    check_version(tx, change.from)?;
    let destroyed = match change.objects {
        Objects::Keep => 0,
        Objects::Destroy => destroy_all(tx, change.row.slot.0)?,
        Objects::Reseal(reseal) => {
            reseal_all(tx, change.row.slot.0, reseal)?;
            0
        }
    };
    write_rows(
        tx.connection,
        &change.row,
        &change.credentials,
        &change.domains,
    )
    .map_err(sql(tx.path))?;
    // What was replaced: a wrap of the slot key by an old password, a domain.
    tx.erases = true;
    Ok(destroyed)
}

fn write_rows(
    connection: &Connection,
    row: &SlotRow,
    credentials: &[CredentialRow],
    domains: &[DomainRow],
) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE slots SET label = ?2, version = ?3, capacity_objects = ?4, capacity_bytes = ?5,
            retention_secs = ?6, policies = ?7, uid = ?8, gid = ?9, generation = ?10, header = ?11
         WHERE slot = ?1",
        params![
            row.slot.0,
            row.label,
            row.version,
            signed(row.capacity_objects),
            signed(row.capacity_bytes),
            signed(row.retention_secs),
            row.policies,
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
    for (table, kept) in [
        (
            "credentials",
            keep(credentials.iter().map(|it| it.id).collect()),
        ),
        ("domains", keep(domains.iter().map(|it| it.id).collect())),
    ] {
        connection.execute(
            &format!("DELETE FROM {table} WHERE slot = ?1 AND id NOT IN ({kept})"),
            [row.slot.0],
        )?;
    }
    for credential in credentials {
        insert_credential(connection, row.slot, credential)?;
    }
    for domain in domains {
        insert_domain(connection, row.slot, domain)?;
    }
    Ok(())
}

fn destroy_all(tx: &mut Tx<'_>, slot: u32) -> Result<u64> {
    let destroyed = tx
        .connection
        .execute("DELETE FROM objects WHERE slot = ?1", [slot])
        .map_err(sql(tx.path))?;
    tx.forget_runs(slot);
    tx.erases = true;
    Ok(destroyed as u64)
}

fn reseal_all(tx: &mut Tx<'_>, slot: u32, mut reseal: Reseal) -> Result<()> {
    let mut after = 0;
    loop {
        let rows = page(tx.connection, slot, after).map_err(sql(tx.path))?;
        let Some((last, _)) = rows.last() else {
            return Ok(());
        };
        after = last.handle.get();
        for (entry, sealed) in &rows {
            if let Some(sealed) = reseal(entry.place(), sealed)? {
                tx.connection
                    .prepare_cached("UPDATE objects SET sealed = ?2 WHERE id = ?1")
                    .and_then(|mut update| update.execute(params![entry.id, sealed.bytes()]))
                    .map_err(sql(tx.path))?;
            }
        }
    }
}

fn page(
    connection: &Connection,
    slot: u32,
    after: u32,
) -> rusqlite::Result<Vec<(Entry, SealedRow)>> {
    connection
        .prepare_cached(&format!(
            "{SELECT_SEALED} WHERE slot = ?1 AND handle > ?2 ORDER BY handle LIMIT ?3"
        ))?
        .query_map(params![slot, after, signed(AT_ONCE as u64)], sealed_entry)?
        .collect()
}
