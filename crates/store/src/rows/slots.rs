//! The rows of slots, and of what their headers name.

use crate::{Result, SlotFault};
use slotfs_object::SlotId;
use slotfs_object::partition::{DomainKind, PartitionVersion, Policies, Role, SlotKind};
use slotfs_object::sealed::{Credential, Pair, PartId, SealedRow};

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
    /// Its row, or [`SlotFault::Damaged`](crate::SlotFault::Damaged).
    pub row: Result<SlotRow>,
}

/// Tells a partition from every other that was in its slot, whether its row can be read or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionMark(pub(crate) String);

impl From<u64> for PartitionMark {
    /// Of the partition with this serial.
    fn from(serial: u64) -> Self {
        Self(serial.to_string())
    }
}

/// A credential in its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialRow {
    /// Random, one per credential ever made.
    pub id: PartId,
    /// The role that logs in with it.
    pub role: Role,
    /// The wrapped secret half of its pair or, where there is none, the wrapped slot key.
    pub credential: Credential,
    /// The role's pair; none up to schema 3.
    pub pair: Option<Pair>,
    /// Failed logins since the last good one.
    pub failures: u32,
}

/// A row, or its id and why it cannot be read.
pub(crate) type PartRow<T> = std::result::Result<T, (PartId, String)>;

/// All credentials of a slot.
///
/// # Errors
/// [`SlotFault::Damaged`](crate::SlotFault::Damaged) when one cannot be read.
pub(crate) fn all_credentials(
    slot: SlotId,
    found: Vec<PartRow<CredentialRow>>,
) -> Result<Vec<CredentialRow>> {
    let all: PartRow<Vec<CredentialRow>> = found.into_iter().collect();
    all.map_err(|(_, what)| SlotFault::damaged(slot)(what))
}

/// The credential of `role`, if it has one. A row that cannot be read counts only when no other one is the role's: it may
/// be.
///
/// # Errors
/// [`SlotFault::Damaged`](crate::SlotFault::Damaged)
pub(crate) fn credential_of(
    slot: SlotId,
    role: Role,
    found: Vec<PartRow<CredentialRow>>,
) -> Result<Option<CredentialRow>> {
    let mut fault = None;
    for found in found {
        match found {
            Ok(row) if row.role == role => return Ok(Some(row)),
            Ok(_) => {}
            Err((_, what)) => fault = fault.or(Some(what)),
        }
    }
    fault.map_or(Ok(None), |what| Err(SlotFault::damaged(slot)(what)))
}
