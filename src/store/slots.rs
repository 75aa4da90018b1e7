//! Slots, their domains and storage master keys: rows in, rows out.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::credentials::{CredentialRow, insert_credential};
use super::fault::sql;
use super::{Store, committer::Tx};
use crate::credential::{SealedRow, SlotKind};
use crate::error::{Error, Result};
use crate::object::SlotId;

/// All of a slot that is in clear, and its sealed header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotRow {
    /// Where the partition is.
    pub slot: SlotId,
    /// Random, one per partition: a slot initialised again gets another.
    pub serial: u64,
    /// 1 to 32 characters.
    pub label: String,
    /// A [`SlotKind`]'s number.
    pub kind: u8,
    /// 0: V0, 1: V1.
    pub version: u8,
    /// The most objects.
    pub capacity_objects: u64,
    /// The most bytes of payload.
    pub capacity_bytes: u64,
    /// How long unlinked objects are kept.
    pub retention_secs: u64,
    /// Policies by lunacm's numbers, as `number:value` with commas.
    pub policies: String,
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
    /// How it is logged in to.
    ///
    /// # Errors
    /// [`Error::Damaged`] for a kind that this build does not know.
    pub fn slot_kind(&self) -> Result<SlotKind> {
        SlotKind::from_number(self.kind).ok_or_else(|| Error::Damaged {
            what: format!(
                "slot {}: it is of kind {}, which this build does not know",
                self.slot, self.kind
            ),
        })
    }

    /// [`Self::slot_kind`] in a word.
    pub fn kind_name(&self) -> String {
        match SlotKind::from_number(self.kind) {
            Some(kind) => kind.to_string(),
            None => format!("unknown ({})", self.kind),
        }
    }

    /// Whether its objects leave it under a storage master key.
    pub fn is_v1(&self) -> bool {
        self.version == 1
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
    /// 1: string, 2: key file.
    pub kind: u8,
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
    /// The serial of the partition that this one destroys and replaces.
    pub replaces: Option<u64>,
}

impl Store {
    /// Every slot, by number.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn slots(&self) -> Result<Vec<SlotRow>> {
        self.read(|connection| {
            connection
                .prepare_cached(&format!("{SELECT_SLOT} ORDER BY slot"))?
                .query_map([], slot_row)?
                .collect()
        })
    }

    /// One slot.
    ///
    /// # Errors
    /// [`Error::NoSuchSlot`], or when the store cannot be read.
    pub fn slot(&self, slot: SlotId) -> Result<SlotRow> {
        self.read(|connection| {
            connection
                .prepare_cached(&format!("{SELECT_SLOT} WHERE slot = ?1"))?
                .query_row([slot.0], slot_row)
                .optional()
        })?
        .ok_or(Error::NoSuchSlot { slot })
    }

    /// Serial and generation of every slot.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn slot_versions(&self) -> Result<Vec<SlotVersion>> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT slot, serial, generation FROM slots ORDER BY slot")?
                .query_map([], |row| {
                    Ok(SlotVersion {
                        slot: SlotId(row.get(0)?),
                        serial: unsigned(row, 1)?,
                        generation: unsigned(row, 2)?,
                    })
                })?
                .collect()
        })
    }

    /// The domains of a slot, those its header no longer names included.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn domains(&self, slot: SlotId) -> Result<Vec<DomainRow>> {
        self.read(|connection| domain_rows(connection, slot))
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
                .query_row([slot.0], slot_row)
                .optional()?;
            let keys = || -> rusqlite::Result<KeyRows> {
                Ok(KeyRows {
                    domains: domain_rows(&snapshot, slot)?,
                    smks: smk_rows(&snapshot, slot)?,
                })
            };
            row.map(|row| Ok((row, keys()?))).transpose()
        })?
        .ok_or(Error::NoSuchSlot { slot })
    }

    /// Objects and payload bytes in a slot.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn usage(&self, slot: SlotId) -> Result<(u64, u64)> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT objects, bytes FROM usage WHERE slot = ?1")?
                .query_row([slot.0], |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?)))
                .optional()
        })?
        .ok_or(Error::NoSuchSlot { slot })
    }

    /// Makes a partition with everything in it, in one transaction.
    ///
    /// # Errors
    /// [`Error::SlotExists`] when the slot holds another partition than `new.replaces`.
    pub fn create_slot(&self, new: NewSlot) -> Result<()> {
        self.write_now(move |tx| create_slot(tx, &new).map_err(|error| error.at(tx)))
    }
}

pub(super) const SELECT_SLOT: &str = "SELECT slot, serial, label, kind, version, capacity_objects,
    capacity_bytes, retention_secs, policies, uid, gid, created_secs, generation, header FROM slots";

pub(super) fn slot_row(row: &Row<'_>) -> rusqlite::Result<SlotRow> {
    Ok(SlotRow {
        slot: SlotId(row.get(0)?),
        serial: unsigned(row, 1)?,
        label: row.get(2)?,
        kind: row.get(3)?,
        version: row.get(4)?,
        capacity_objects: unsigned(row, 5)?,
        capacity_bytes: unsigned(row, 6)?,
        retention_secs: unsigned(row, 7)?,
        policies: row.get(8)?,
        uid: row.get(9)?,
        gid: row.get(10)?,
        created_secs: unsigned(row, 11)?,
        generation: unsigned(row, 12)?,
        header: SealedRow::stored(row.get(13)?),
    })
}

/// SQLite's integers are signed; none of ours is negative.
pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| out_of_range(column, value))
}

/// A number as SQLite keeps it; ours are all far below 2^63.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn out_of_range(column: usize, value: i64) -> rusqlite::Error {
    rusqlite::Error::IntegralValueOutOfRange(column, value)
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
            Self::Exists(slot) => Error::SlotExists { slot },
        }
    }
}

fn create_slot(tx: &mut Tx<'_>, new: &NewSlot) -> Result<(), Failure> {
    let connection: &Connection = tx.connection;
    let row = &new.row;
    let there: Option<u64> = connection
        .query_row(
            "SELECT serial FROM slots WHERE slot = ?1",
            [row.slot.0],
            |row| unsigned(row, 0),
        )
        .optional()?;
    if there != new.replaces {
        return Err(Failure::Exists(row.slot));
    }
    if there.is_some() {
        delete_slot(connection, row.slot)?;
        tx.erases = true;
        tx.forget_runs(row.slot.0);
    }
    connection.execute(
        "INSERT INTO slots (slot, serial, label, kind, version, capacity_objects, capacity_bytes,
            retention_secs, policies, uid, gid, created_secs, generation, header)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        params![
            row.slot.0,
            signed(row.serial),
            row.label,
            row.kind,
            row.version,
            signed(row.capacity_objects),
            signed(row.capacity_bytes),
            signed(row.retention_secs),
            row.policies,
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

fn smk_rows(connection: &Connection, slot: SlotId) -> rusqlite::Result<Vec<SmkRow>> {
    connection
        .prepare_cached("SELECT id, sealed FROM smks WHERE slot = ?1")?
        .query_map([slot.0], |row| {
            Ok(SmkRow {
                id: row.get(0)?,
                sealed: SealedRow::stored(row.get(1)?),
            })
        })?
        .collect()
}

fn domain_rows(connection: &Connection, slot: SlotId) -> rusqlite::Result<Vec<DomainRow>> {
    connection
        .prepare_cached("SELECT id, kind, label, sealed FROM domains WHERE slot = ?1")?
        .query_map([slot.0], |row| {
            Ok(DomainRow {
                id: row.get(0)?,
                kind: row.get(1)?,
                label: row.get(2)?,
                sealed: SealedRow::stored(row.get(3)?),
            })
        })?
        .collect()
}

/// A partition with everything in it.
pub(super) fn delete_slot(connection: &Connection, slot: SlotId) -> rusqlite::Result<()> {
    for table in [
        "objects",
        "trash",
        "quorums",
        "credentials",
        "domains",
        "smks",
        "usage",
        "trash_usage",
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
        params![row.id, slot.0, row.kind, row.label, row.sealed.bytes()],
    )?;
    Ok(())
}
