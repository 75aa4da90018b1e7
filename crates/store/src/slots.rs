//! Slots, their domains and storage master keys: rows in, rows out.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::cells::{self, Seen};
use super::credentials::{CredentialRow, insert_credential};
use super::fault::sql;
use super::{Store, committer::Tx};
use crate::{Error, Result, SlotFault};
use slotfs_object::SlotId;
use slotfs_object::partition::{DomainKind, PartitionVersion, Policies, SlotKind};
use slotfs_object::sealed::SealedRow;

/// All of a slot that is in clear, and its sealed header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotRow {
    /// Where the partition is.
    pub slot: SlotId,
    /// Random, one per partition: a slot initialised again gets another.
    pub serial: u64,
    /// 1 to 32 characters.
    pub label: String,
    /// How roles log in.
    pub kind: SlotKind,
    /// What its objects leave it under.
    pub version: PartitionVersion,
    /// The most objects.
    pub capacity_objects: u64,
    /// The most bytes of payload.
    pub capacity_bytes: u64,
    /// How long unlinked objects are kept.
    pub retention_secs: u64,
    /// What the slot allows.
    pub policies: Policies,
    /// Owner on the mount, when not the mounting user.
    pub uid: Option<u32>,
    /// Group likewise.
    pub gid: Option<u32>,
    /// When the partition was initialised.
    pub created_secs: u64,
    /// Grows with every change of the header; a copy of the sealed one, so that change can be seen cheaply.
    pub generation: u64,
    /// Sealed under the slot key.
    pub header: SealedRow,
}

/// What tells whether a slot was changed or made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotVersion {
    /// The slot.
    pub slot: SlotId,
    /// Its partition's serial.
    pub serial: u64,
    /// Its header's generation.
    pub generation: u64,
}

impl SlotRow {
    /// Whether its objects leave it under a storage master key.
    pub fn is_v1(&self) -> bool {
        self.version == PartitionVersion::V1
    }

    /// What tells whether it was changed since.
    pub fn as_version(&self) -> SlotVersion {
        SlotVersion {
            slot: self.slot,
            serial: self.serial,
            generation: self.generation,
        }
    }
}

/// A domain and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainRow {
    /// Random, one per domain ever added.
    pub id: i64,
    /// Where its key came from.
    pub kind: DomainKind,
    /// Names it to people.
    pub label: String,
    /// D, sealed under the slot key.
    pub sealed: SealedRow,
}

/// A storage master key and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmkRow {
    /// Random, one per key that ever came in.
    pub id: i64,
    /// The key, sealed under the slot key.
    pub sealed: SealedRow,
}

/// The keys that a slot seals blobs under.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRows {
    /// Domains: one to three.
    pub domains: Vec<DomainRow>,
    /// Storage master keys: none in a V0 slot, else 1 to 16.
    pub smks: Vec<SmkRow>,
}

/// A partition to be made, with everything in it.
pub struct NewSlot {
    /// The slot itself.
    pub row: SlotRow,
    /// One per role.
    pub credentials: Vec<CredentialRow>,
    /// Its domains and storage master keys.
    pub keys: KeyRows,
    /// The partition that this one destroys and replaces.
    pub replaces: Option<PartitionMark>,
}

/// A slot as a listing finds it.
pub struct ListedSlot {
    /// Its number; `None` for a row whose number is none.
    pub slot: Option<SlotId>,
    /// Its row, or [`Error::SlotDamaged`].
    pub row: Result<SlotRow>,
}

/// What tells a partition from every other that was in its slot, whether its row can be read or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionMark(String);

impl From<u64> for PartitionMark {
    /// Of the partition with this serial.
    fn from(serial: u64) -> Self {
        Self(serial.to_string())
    }
}

impl Store {
    /// Every slot, by number; a damaged one hides none of the others.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn slots(&self) -> Result<Vec<ListedSlot>> {
        self.read(|connection| {
            connection
                .prepare_cached(&format!("{SELECT_SLOT} ORDER BY slot"))?
                .query_map([], |row| Ok(listed_slot(row)))?
                .collect()
        })
    }

    /// One slot.
    ///
    /// # Errors
    /// [`Error::NoSuchSlot`], [`Error::SlotDamaged`], or when the store cannot be read.
    pub fn slot(&self, slot: SlotId) -> Result<SlotRow> {
        self.read(|connection| {
            connection
                .prepare_cached(&format!("{SELECT_SLOT} WHERE slot = ?1"))?
                .query_row([slot.0], |row| Ok(slot_row(row)))
                .optional()
        })?
        .ok_or(SlotFault::Missing.at(slot))?
        .map_err(|what| SlotFault::Damaged(what).at(slot))
    }

    /// What marks the partition in `slot`, if there is one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn mark(&self, slot: SlotId) -> Result<Option<PartitionMark>> {
        self.read(|connection| mark(connection, slot))
    }

    /// Serial and generation of every slot that has a number; a damaged one has an error for them.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn slot_versions(&self) -> Result<Vec<(SlotId, Result<SlotVersion>)>> {
        self.read(|connection| {
            let mut found = Vec::new();
            let mut query = connection
                .prepare_cached("SELECT slot, serial, generation FROM slots ORDER BY slot")?;
            let mut rows = query.query([])?;
            while let Some(row) = rows.next()? {
                // Reported by whoever lists the slots.
                let Ok(slot) = cells::number(row, 0).map(SlotId) else {
                    continue;
                };
                let version = || -> Seen<SlotVersion> {
                    Ok(SlotVersion {
                        slot,
                        serial: cells::number(row, 1)?,
                        generation: cells::number(row, 2)?,
                    })
                };
                found.push((
                    slot,
                    version().map_err(|what| SlotFault::Damaged(what).at(slot)),
                ));
            }
            Ok(found)
        })
    }

    /// The domains of a slot, those its header no longer names included.
    ///
    /// # Errors
    /// [`Error::SlotDamaged`], or when the store cannot be read.
    pub fn domains(&self, slot: SlotId) -> Result<Vec<DomainRow>> {
        self.read(|connection| domain_rows(connection, slot))?
            .map_err(|what| SlotFault::Damaged(what).at(slot))
    }

    /// One slot with the keys that it seals blobs under, as they are at one moment.
    ///
    /// # Errors
    /// As [`Self::slot`].
    pub fn slot_with_keys(&self, slot: SlotId) -> Result<(SlotRow, KeyRows)> {
        self.read(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            let row = snapshot
                .prepare_cached(&format!("{SELECT_SLOT} WHERE slot = ?1"))?
                .query_row([slot.0], |row| Ok(slot_row(row)))
                .optional()?;
            let Some(row) = row else { return Ok(None) };
            let (domains, smks) = (domain_rows(&snapshot, slot)?, smk_rows(&snapshot, slot)?);
            let all = || -> Seen<(SlotRow, KeyRows)> {
                Ok((
                    row?,
                    KeyRows {
                        domains: domains?,
                        smks: smks?,
                    },
                ))
            };
            Ok(Some(all()))
        })?
        .ok_or(SlotFault::Missing.at(slot))?
        .map_err(|what| SlotFault::Damaged(what).at(slot))
    }

    /// Objects and payload bytes in a slot, as they are counted when they come and go.
    ///
    /// # Errors
    /// [`Error::NoSuchSlot`], [`Error::SlotDamaged`], or when the store cannot be read.
    pub fn usage(&self, slot: SlotId) -> Result<(u64, u64)> {
        let counted = self.read(|connection| {
            let counted = connection
                .prepare_cached("SELECT objects, bytes FROM usage WHERE slot = ?1")?
                .query_row([slot.0], |row| Ok(usage_row(row)))
                .optional()?;
            match counted {
                None if mark(connection, slot)?.is_none() => Ok(None),
                counted => Ok(Some(counted.unwrap_or_else(|| Err(NOT_COUNTED.into())))),
            }
        })?;
        counted
            .ok_or(SlotFault::Missing.at(slot))?
            .map_err(|what| SlotFault::Damaged(what).at(slot))
    }

    /// Makes a partition with everything in it, in one transaction.
    ///
    /// # Errors
    /// [`Error::SlotExists`] when the slot holds another partition than `new.replaces`.
    pub fn create_slot(&self, new: NewSlot) -> Result<()> {
        self.write_now(move |tx| create_slot(tx, &new).map_err(|error| error.at(tx)))
    }
}

/// Said where a slot's row of `usage` is not there.
pub(super) const NOT_COUNTED: &str =
    "the count of its objects is missing; 'slotfs store check -repair' counts anew";

/// Objects and payload bytes, from `objects, bytes`.
pub(super) fn usage_row(row: &Row<'_>) -> Seen<(u64, u64)> {
    let counted = || -> Seen<(u64, u64)> { Ok((cells::number(row, 0)?, cells::number(row, 1)?)) };
    counted().map_err(|what| {
        format!(
            "the count of its objects is damaged: {what}; 'slotfs store check -repair' counts anew"
        )
    })
}

/// A serial as SQL writes it: a damaged one has one too.
pub(super) fn mark(
    connection: &Connection,
    slot: SlotId,
) -> rusqlite::Result<Option<PartitionMark>> {
    connection
        .prepare_cached("SELECT quote(serial) FROM slots WHERE slot = ?1")?
        .query_row([slot.0], |row| {
            Ok(PartitionMark(match row.get_ref(0)? {
                ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                _ => String::new(),
            }))
        })
        .optional()
}

fn listed_slot(row: &Row<'_>) -> ListedSlot {
    let slot = cells::number(row, 0).ok().map(SlotId);
    let row = slot_row(row).map_err(|what| match slot {
        Some(slot) => SlotFault::Damaged(what).at(slot),
        None => Error::Damaged(format!("a row of the table slots: {what}")),
    });
    ListedSlot { slot, row }
}

pub(super) const SELECT_SLOT: &str = "SELECT slot, serial, label, kind, version, capacity_objects,
    capacity_bytes, retention_secs, policies, uid, gid, created_secs, generation, header FROM slots";

pub(super) fn slot_row(row: &Row<'_>) -> Seen<SlotRow> {
    Ok(SlotRow {
        slot: SlotId(cells::number(row, 0)?),
        serial: cells::number(row, 1)?,
        label: cells::text(row, 2)?,
        kind: known(row, 3, SlotKind::from_number)?,
        version: known(row, 4, PartitionVersion::from_number)?,
        capacity_objects: cells::number(row, 5)?,
        capacity_bytes: cells::number(row, 6)?,
        retention_secs: cells::number(row, 7)?,
        policies: Policies::from_stored(&cells::text(row, 8)?)
            .ok_or("its policies are not readable")?,
        uid: cells::optional_number(row, 9)?,
        gid: cells::optional_number(row, 10)?,
        created_secs: cells::number(row, 11)?,
        generation: cells::number(row, 12)?,
        header: SealedRow::stored(cells::bytes(row, 13)?.to_vec()),
    })
}

/// A number that stands for something this build knows.
fn known<T>(row: &Row<'_>, column: usize, from: impl Fn(u8) -> Option<T>) -> Seen<T> {
    let number: u8 = cells::number(row, column)?;
    from(number).ok_or_else(|| cells::unknown(row, column, number))
}

/// A number as SQLite keeps it; ours are all far below 2^63.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

enum Failure {
    Sql(rusqlite::Error),
    Exists(SlotId),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl Failure {
    fn at(self, tx: &Tx<'_>) -> Error {
        match self {
            Self::Sql(error) => sql(tx.path)(error),
            Self::Exists(slot) => SlotFault::Exists.at(slot),
        }
    }
}

fn create_slot(tx: &mut Tx<'_>, new: &NewSlot) -> Result<(), Failure> {
    let connection: &Connection = tx.connection;
    let row = &new.row;
    let there = mark(connection, row.slot)?;
    if there != new.replaces {
        return Err(Failure::Exists(row.slot));
    }
    if there.is_some() {
        delete_slot(connection, row.slot)?;
        tx.erases = true;
        tx.forget_runs(row.slot.0);
    }
    // Counts of a slot that is not there would keep a new one from its own.
    for table in ["usage", "trash_usage"] {
        connection.execute(
            &format!("DELETE FROM {table} WHERE slot = ?1"),
            [row.slot.0],
        )?;
    }
    connection.execute(
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
    )?;
    insert_parts(connection, row.slot, &new.credentials, &new.keys)?;
    Ok(())
}

fn smk_rows(connection: &Connection, slot: SlotId) -> rusqlite::Result<Seen<Vec<SmkRow>>> {
    connection
        .prepare_cached("SELECT id, sealed FROM smks WHERE slot = ?1")?
        .query_map([slot.0], |row| {
            let id = row.get(0)?;
            Ok(cells::bytes(row, 1)
                .map(|sealed| SmkRow {
                    id,
                    sealed: SealedRow::stored(sealed.to_vec()),
                })
                .map_err(|what| format!("a storage master key (row {id} of smks): {what}")))
        })?
        .collect()
}

fn domain_rows(connection: &Connection, slot: SlotId) -> rusqlite::Result<Seen<Vec<DomainRow>>> {
    connection
        .prepare_cached("SELECT id, kind, label, sealed FROM domains WHERE slot = ?1")?
        .query_map([slot.0], |row| {
            let id = row.get(0)?;
            let domain = || -> Seen<DomainRow> {
                Ok(DomainRow {
                    id,
                    kind: known(row, 1, DomainKind::from_number)?,
                    label: cells::text(row, 2)?,
                    sealed: SealedRow::stored(cells::bytes(row, 3)?.to_vec()),
                })
            };
            Ok(domain().map_err(|what| format!("a domain (row {id} of domains): {what}")))
        })?
        .collect()
}

/// A partition with everything in it.
///
/// The counters go first: triggers would reckon with what a damaged row holds, and fail.
pub(super) fn delete_slot(connection: &Connection, slot: SlotId) -> rusqlite::Result<()> {
    for table in [
        "usage",
        "trash_usage",
        "objects",
        "trash",
        "quorums",
        "credentials",
        "domains",
        "smks",
        "slots",
    ] {
        connection.execute(&format!("DELETE FROM {table} WHERE slot = ?1"), [slot.0])?;
    }
    Ok(())
}

/// Those that are not there yet.
pub(super) fn insert_parts(
    connection: &Connection,
    slot: SlotId,
    credentials: &[CredentialRow],
    keys: &KeyRows,
) -> rusqlite::Result<()> {
    for credential in credentials {
        insert_credential(connection, slot, credential)?;
    }
    for domain in &keys.domains {
        insert_domain(connection, slot, domain)?;
    }
    for smk in &keys.smks {
        connection.execute(
            "INSERT INTO smks (id, slot, sealed) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO NOTHING",
            params![smk.id, slot.0, smk.sealed.bytes()],
        )?;
    }
    Ok(())
}

fn insert_domain(connection: &Connection, slot: SlotId, row: &DomainRow) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO domains (id, slot, kind, label, sealed) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (id) DO NOTHING",
        params![
            row.id,
            slot.0,
            row.kind as u8,
            row.label,
            row.sealed.bytes()
        ],
    )?;
    Ok(())
}
