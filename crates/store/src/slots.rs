//! Slots, their domains and storage master keys.

use super::cells::{self, Seen};
use super::credentials::{CredentialRow, credential_rows};
use super::{Store, query};
use crate::{Result, SlotFault};
use slotfs_object::SlotId;
use slotfs_object::partition::{DomainKind, PartitionVersion, Policies, SlotKind};
use slotfs_object::sealed::{PartId, SealedRow};

mod rows;
mod write;

pub(super) use rows::{PartRow, SELECT_SLOT, mark, signed, slot_row, usage_row};
use rows::{domain_rows, listed_slot, smk_rows};
pub(super) use write::{delete_slot, insert_parts};

/// A slot's row: the part in clear, and the sealed header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotRow {
    /// The partition's slot.
    pub slot: SlotId,
    /// Random, one per partition: re-initialising a slot gives it another.
    pub serial: u64,
    /// 1 to 32 characters.
    pub label: String,
    /// How its roles log in.
    pub kind: SlotKind,
    /// The format of the blobs that it makes.
    pub version: PartitionVersion,
    /// The most objects.
    pub capacity_objects: u64,
    /// The most bytes of payload.
    pub capacity_bytes: u64,
    /// How long unlinked objects are kept.
    pub retention_secs: u64,
    /// What the slot allows.
    pub policies: Policies,
    /// Owner on the mount, when it is not the mounting user.
    pub uid: Option<u32>,
    /// Group on the mount, when it is not the mounting user's.
    pub gid: Option<u32>,
    /// When the partition was initialised.
    pub created_secs: u64,
    /// Grows with every change of the header. A copy of the number in the sealed header, so that a change is cheap to
    /// detect.
    pub generation: u64,
    /// Sealed under the slot key.
    pub header: SealedRow,
}

/// Tells whether a slot was changed or re-initialised.
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
    /// Whether it seals blobs under a storage master key.
    pub fn is_v1(&self) -> bool {
        self.version == PartitionVersion::V1
    }

    /// The version to compare with later.
    pub fn as_version(&self) -> SlotVersion {
        SlotVersion {
            slot: self.slot,
            serial: self.serial,
            generation: self.generation,
        }
    }
}

/// A domain in its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainRow {
    /// Random, one per domain ever added.
    pub id: PartId,
    /// Where its key came from.
    pub kind: DomainKind,
    /// Its name for users.
    pub label: String,
    /// D, sealed under the slot key.
    pub sealed: SealedRow,
}

/// A storage master key in its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmkRow {
    /// Random, one per key ever imported.
    pub id: PartId,
    /// The key, sealed under the slot key.
    pub sealed: SealedRow,
}

/// The rows of a slot that its header names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotRows {
    /// One per role.
    pub credentials: Vec<CredentialRow>,
    /// Domains: one to three.
    pub domains: Vec<DomainRow>,
    /// Storage master keys: none in a V0 slot, else 1 to 16.
    pub smks: Vec<SmkRow>,
    /// Rows of any of them that cannot be read, and why: only the header tells which rows count. Nothing is written of them.
    pub unreadable: Vec<(PartId, String)>,
}

impl SlotRows {
    /// Why the row `id` cannot be read, if that is so.
    pub fn fault(&self, id: PartId) -> Option<&str> {
        let found = self.unreadable.iter().find(|(row, _)| *row == id);
        found.map(|(_, why)| why.as_str())
    }
}

/// A partition to be made, with everything in it.
pub struct NewSlot {
    /// The slot itself.
    pub row: SlotRow,
    /// Its credentials, domains and storage master keys.
    pub parts: SlotRows,
    /// The partition that this one destroys and replaces.
    pub replaces: Option<PartitionMark>,
}

/// A slot as a listing finds it.
pub struct ListedSlot {
    /// Its number; `None` when the row holds no number.
    pub slot: Option<SlotId>,
    /// Its row, or [`SlotFault::Damaged`].
    pub row: Result<SlotRow>,
}

/// Tells a partition from every other that was in its slot, whether its row can be read or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionMark(String);

impl From<u64> for PartitionMark {
    /// Of the partition with this serial.
    fn from(serial: u64) -> Self {
        Self(serial.to_string())
    }
}

impl Store {
    /// Every slot, by number. A damaged slot hides none of the others.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn slots(&self) -> Result<Vec<ListedSlot>> {
        self.rows(&format!("{SELECT_SLOT} ORDER BY slot"), [], listed_slot)
    }

    /// One slot.
    ///
    /// # Errors
    /// [`SlotFault::Missing`], [`SlotFault::Damaged`], or when the store cannot be read.
    pub fn slot(&self, slot: SlotId) -> Result<SlotRow> {
        self.row(
            &format!("{SELECT_SLOT} WHERE slot = ?1"),
            [slot.0],
            slot_row,
        )?
        .ok_or(SlotFault::Missing.at(slot))?
        .map_err(SlotFault::damaged(slot))
    }

    /// The mark of the partition in `slot`, if there is one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn mark(&self, slot: SlotId) -> Result<Option<PartitionMark>> {
        self.read(|connection| mark(connection, slot))
    }

    /// Serial and generation of every slot that has a number; for a damaged one, the error.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn slot_versions(&self) -> Result<Vec<(SlotId, Result<SlotVersion>)>> {
        let text = "SELECT slot, serial, generation FROM slots ORDER BY slot";
        let found: Vec<Option<_>> = self.rows(text, [], |row| {
            // A row without a number is reported by the listing of slots.
            let slot = cells::number(row, 0).map(SlotId).ok()?;
            let version = || -> Seen<SlotVersion> {
                Ok(SlotVersion {
                    slot,
                    serial: cells::number(row, 1)?,
                    generation: cells::number(row, 2)?,
                })
            };
            Some((slot, version().map_err(SlotFault::damaged(slot))))
        })?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The domains of a slot, including those that its header no longer names.
    ///
    /// # Errors
    /// [`SlotFault::Damaged`], or when the store cannot be read.
    pub fn domains(&self, slot: SlotId) -> Result<Vec<DomainRow>> {
        let domains: Seen<Vec<DomainRow>> = self
            .read(|connection| domain_rows(connection, slot))?
            .into_iter()
            .map(|domain| domain.map_err(|(_, why)| why))
            .collect();
        domains.map_err(SlotFault::damaged(slot))
    }

    /// One slot with its credentials and keys, in one state.
    ///
    /// # Errors
    /// As [`Self::slot`].
    pub fn slot_with_parts(&self, slot: SlotId) -> Result<(SlotRow, SlotRows)> {
        self.snapshot(|snapshot| {
            let text = format!("{SELECT_SLOT} WHERE slot = ?1");
            let Some(row) = query::row(snapshot, &text, [slot.0], slot_row)? else {
                return Ok(None);
            };
            let mut keys = SlotRows::default();
            for credential in credential_rows(snapshot, slot)? {
                match credential {
                    Ok(credential) => keys.credentials.push(credential),
                    Err(fault) => keys.unreadable.push(fault),
                }
            }
            for domain in domain_rows(snapshot, slot)? {
                match domain {
                    Ok(domain) => keys.domains.push(domain),
                    Err(fault) => keys.unreadable.push(fault),
                }
            }
            for smk in smk_rows(snapshot, slot)? {
                match smk {
                    Ok(smk) => keys.smks.push(smk),
                    Err(fault) => keys.unreadable.push(fault),
                }
            }
            Ok(Some(row.map(|row| (row, keys))))
        })?
        .ok_or(SlotFault::Missing.at(slot))?
        .map_err(SlotFault::damaged(slot))
    }

    /// The number of objects and payload bytes in a slot, from its counters.
    ///
    /// # Errors
    /// [`SlotFault::Missing`], [`SlotFault::Damaged`], or when the store cannot be read.
    pub fn usage(&self, slot: SlotId) -> Result<(u64, u64)> {
        let counted = self.read(|connection| {
            let text = "SELECT objects, bytes FROM usage WHERE slot = ?1";
            match query::row(connection, text, [slot.0], usage_row)? {
                None if mark(connection, slot)?.is_none() => Ok(None),
                counted => Ok(Some(counted.unwrap_or_else(|| Err(NOT_COUNTED.into())))),
            }
        })?;
        counted
            .ok_or(SlotFault::Missing.at(slot))?
            .map_err(SlotFault::damaged(slot))
    }
}

/// The message when a slot's row of `usage` is missing.
pub(super) const NOT_COUNTED: &str =
    "the count of its objects is missing; 'slotfs store check -repair' recounts";
