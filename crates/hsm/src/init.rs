//! Making a partition.

use std::ops::RangeInclusive;

use super::amend::{no_header, seal_domain, seal_smk};
use super::header::{Header, header_aad};
use super::policy::Policies;
use super::{Error, Hsm, PartitionMark, Result, SlotError};
use slotfs_object::partition::{PartitionVersion, Role, SlotKind};
use slotfs_object::sealed::KdfParams;
use slotfs_object::secret::{Key, SecretBytes};
use slotfs_object::{SlotId, now_secs};
use slotfs_seal::credential::{self, Binding, KdfError, PASSWORD_BYTES, Purpose, Secret, SlotKey};
use slotfs_seal::domain::DomainKey;
use slotfs_store::{CredentialRow, KeyRows, NewSlot, SlotRow};

/// Characters in a partition's label.
const LABEL_CHARS: RangeInclusive<usize> = 1..=32;
/// The most objects, unless said otherwise.
pub const DEFAULT_CAPACITY_OBJECTS: u64 = 4_000_000;
/// The most bytes of payload.
const CAPACITY_BYTES: u64 = 8 << 30;
/// How long removed objects are in the trash, unless said otherwise: 7 days.
pub const DEFAULT_RETENTION_SECS: u64 = 7 * 24 * 3600;
/// Serials are 1 to 16 decimal digits, as the hardware's are.
const SERIALS: u64 = 10_000_000_000_000_000;
/// What the first domain is called, unless said otherwise.
pub const FIRST_DOMAIN_LABEL: &str = "primary";

/// What a new partition is to be.
pub struct NewPartition {
    /// Where.
    pub slot: SlotId,
    /// From [`new_serial`]: key shares name it.
    pub serial: u64,
    /// Whether its objects leave it under a storage master key.
    pub v1: bool,
    /// 1 to 32 characters.
    pub label: String,
    /// Its first domain.
    pub domain: DomainKey,
    /// What that is called, 1 to 32 characters.
    pub domain_label: String,
    /// Of po and co alike, until they are separated; it says which kind of slot it is.
    pub secret: Secret,
    /// How long removed objects are in the trash, seconds.
    pub retention_secs: u64,
    /// Owner on the mount.
    pub uid: Option<u32>,
    /// Group on the mount.
    pub gid: Option<u32>,
    /// The most objects.
    pub capacity_objects: u64,
    /// What it allows.
    pub policies: Policies,
    /// The partition to be destroyed for it.
    pub replaces: Option<PartitionMark>,
}

impl Hsm {
    /// Makes a partition.
    ///
    /// # Errors
    /// [`SlotError::Malformed`] for a label or password outside the limits, [`SlotFault::Exists`], or what the disk says.
    pub fn init_partition(&self, new: NewPartition) -> Result<()> {
        check_label(new.slot, &new.label)?;
        super::domains::check_label(new.slot, &new.domain_label)?;
        let kind = new.secret.kind();
        check_secret(new.slot, kind, &new.secret)?;
        let slot_key = SlotKey::random()?;
        let serial = new.serial;
        let credential = |role| new_credential(new.slot, serial, role, &new.secret, &slot_key);
        let credentials = vec![credential(Role::Po)?, credential(Role::Co)?];
        let domain = seal_domain(&slot_key, serial, &new.domain_label, &new.domain)?;
        let (version, smks) = match new.v1 {
            true => {
                let smk = seal_smk(&slot_key, serial, &Key::random()?)?;
                (PartitionVersion::V1, vec![smk])
            }
            false => (PartitionVersion::V0, Vec::new()),
        };
        let header = Header {
            generation: 1,
            credentials: credentials.iter().map(|credential| credential.id).collect(),
            domains: vec![domain.id],
            smks: smks.iter().map(|smk| smk.id).collect(),
        };
        let mut row = SlotRow {
            slot: new.slot,
            serial,
            label: new.label,
            kind,
            version,
            capacity_objects: new.capacity_objects,
            capacity_bytes: CAPACITY_BYTES,
            retention_secs: new.retention_secs,
            policies: new.policies,
            uid: new.uid,
            gid: new.gid,
            created_secs: now_secs(),
            generation: header.generation,
            header: no_header(),
        };
        row.header = slot_key.seal(Purpose::Header, &header_aad(&row), &header.encode())?;
        Ok(self.store.create_slot(NewSlot {
            row,
            credentials,
            keys: KeyRows {
                domains: vec![domain],
                smks,
            },
            replaces: new.replaces,
        })?)
    }
}

/// A credential's row, for a place of its own: `secret` opens the slot key.
pub(super) fn new_credential(
    slot: SlotId,
    serial: u64,
    role: Role,
    secret: &Secret,
    slot_key: &SlotKey,
) -> Result<CredentialRow> {
    let id = random_id()?;
    let kib = KdfParams::NEW.memory_kib;
    let wrapped = credential::wrap(secret, slot_key, Binding { serial, role, id });
    let credential = wrapped.map_err(|error| match error {
        KdfError::Random(error) => error.into(),
        KdfError::Memory => SlotError::NoMemory { kib }.at(slot),
        KdfError::Cost => {
            Error::slot_damaged(slot, "it asks for an Argon2 cost that is not accepted")
        }
    })?;
    Ok(CredentialRow {
        id,
        role,
        credential,
        failures: 0,
    })
}

/// # Errors
/// [`SlotError::Malformed`] unless the label has 1 to 32 printable characters.
pub fn check_label(slot: SlotId, label: &str) -> Result<()> {
    match is_label(label) {
        true => Ok(()),
        false => Err(SlotError::Malformed("a label has 1 to 32 printable characters").at(slot)),
    }
}

/// Whether it names a partition, or one of its domains.
pub(super) fn is_label(label: &str) -> bool {
    LABEL_CHARS.contains(&label.chars().count()) && !label.chars().any(char::is_control)
}

/// # Errors
/// [`SlotError::Malformed`] unless the password has 8 to 255 bytes.
pub fn check_password(slot: SlotId, password: &SecretBytes) -> Result<()> {
    match PASSWORD_BYTES.contains(&password.bytes().len()) {
        true => Ok(()),
        false => Err(SlotError::Malformed("a password has 8 to 255 bytes").at(slot)),
    }
}

/// # Errors
/// [`SlotError::OtherAuthentication`] for what another kind of slot takes, else as [`check_password`].
pub(super) fn check_secret(slot: SlotId, kind: SlotKind, secret: &Secret) -> Result<()> {
    match secret {
        _ if secret.kind() != kind => Err(SlotError::OtherAuthentication(kind).at(slot)),
        Secret::Password(password) => check_password(slot, password),
        Secret::Quorum(_) | Secret::Stretched(_) => Ok(()),
    }
}

/// A serial for a partition that is to be made.
///
/// # Errors
/// When the system has no random numbers to give.
pub fn new_serial() -> Result<u64> {
    Ok(random_u64()? % SERIALS)
}

fn random_u64() -> Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Row ids of credentials and domains are random: an id never comes back for another row.
pub(super) fn random_id() -> Result<i64> {
    Ok((random_u64()? >> 1).cast_signed())
}
