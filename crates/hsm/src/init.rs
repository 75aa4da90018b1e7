//! Making a partition.

use std::ops::RangeInclusive;

use super::amend::Change;
use super::header::Header;
use super::policy::Policies;
use super::session::Keys;
use super::{
    Hsm, Key, Partition, PartitionMark, Rekey, Result, Role, SealedRow, Secret, SecretBytes,
    SlotError, SlotId, SlotKind, SlotRow, now_secs,
};
use slotfs_object::partition::PartitionVersion;
use slotfs_object::sealed::PartId;
use slotfs_seal::credential::{PASSWORD_BYTES, SlotKey};
use slotfs_seal::domain::DomainKey;
use slotfs_store::{NewSlot, Objects, SlotRows};

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
    /// The first secret of both po and co. Its kind is the slot's kind.
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
    /// How many objects a partition holds when nobody says how many: [`DEFAULT_CAPACITY_OBJECTS`], and fewer in a cluster.
    pub fn default_capacity(&self) -> u64 {
        /// With more, each member needs gigabytes of memory (docs/cluster.md, "Sizing").
        const IN_CLUSTER: u64 = 250_000;
        match slotfs_store::is_in_cluster(self.path()) {
            true => IN_CLUSTER,
            false => DEFAULT_CAPACITY_OBJECTS,
        }
    }

    /// Makes a partition.
    ///
    /// # Errors
    /// [`SlotError::Malformed`] for a label or password outside the limits,
    /// [`SlotFault::Exists`](super::SlotFault::Exists), or when the store cannot be written.
    pub fn init_partition(&self, new: NewPartition) -> Result<()> {
        self.init_for(new, &[Role::Po, Role::Co])
    }

    /// Makes a partition whose secret is po's alone: C_InitToken of PKCS#11, which gives co its PIN later.
    ///
    /// # Errors
    /// As [`Self::init_partition`].
    pub fn init_partition_of_po(&self, new: NewPartition) -> Result<()> {
        self.init_for(new, &[Role::Po])
    }

    fn init_for(&self, new: NewPartition, roles: &[Role]) -> Result<()> {
        check_label(new.slot, &new.label)?;
        super::domains::check_label(new.slot, &new.domain_label)?;
        let kind = new.secret.kind();
        check_secret(new.slot, kind, &new.secret)?;
        let row = SlotRow {
            slot: new.slot,
            serial: new.serial,
            label: new.label,
            kind,
            version: match new.v1 {
                true => PartitionVersion::V1,
                false => PartitionVersion::V0,
            },
            capacity_objects: new.capacity_objects,
            capacity_bytes: CAPACITY_BYTES,
            retention_secs: new.retention_secs,
            policies: new.policies,
            uid: new.uid,
            gid: new.gid,
            created_secs: now_secs(),
            generation: 1,
            header: SealedRow::stored(Vec::new()),
        };
        let mut partition = Change {
            header: Header {
                generation: row.generation,
                ..Header::default()
            },
            row,
            parts: SlotRows::default(),
            keys: Keys {
                slot_key: SlotKey::random()?,
                pair: None,
            },
            given: Vec::new(),
            objects: Objects::Keep,
        };
        for role in roles {
            partition.give(*role, &new.secret)?;
        }
        let domain = partition.seal_domain(&new.domain_label, &new.domain)?;
        partition.parts.domains.push(domain);
        if new.v1 {
            let smk = partition.seal_smk(&Key::random()?)?;
            partition.parts.smks.push(smk);
        }
        partition.seal_header()?;
        let made = partition.row.as_version();
        self.store.create_slot(NewSlot {
            row: partition.row,
            parts: partition.parts,
            replaces: new.replaces,
        })?;
        self.seen.raise(made);
        Ok(())
    }
}

impl Partition<'_> {
    /// Empties a partition, as C_InitToken of PKCS#11 does: its objects are destroyed, co and cu are taken away, po keeps its
    /// secret. The domains stay, so that backups can still be read, and so do policies and settings. The slot gets another
    /// key, so that the secrets of co and cu open nothing.
    ///
    /// # Errors
    /// As [`Self::login`] of po, which it counts as; [`SlotError::Malformed`] for a label outside the limits.
    pub fn init_again(&self, label: &str, po_secret: &Secret) -> Result<()> {
        let slot = self.slot;
        check_label(slot, label)?;
        self.hsm.refresh()?;
        let it = self.authenticate(Role::Po, po_secret)?;
        let mut change = self.hsm.change_of(&it.session)?;
        change.forget(&Role::ALL);
        change.rekey(&it.session, Rekey::quiet(true))?;
        // Not sealed again under the new key.
        change.objects = Objects::Destroy;
        change.header.trusted.clear();
        change.row.label = label.to_owned();
        change.give(Role::Po, po_secret)?;
        let destroyed = self.hsm.commit_change(&it.session, change)?.destroyed;
        log::info!("slot {slot}: it was initialized again; its {destroyed} objects were destroyed");
        Ok(())
    }
}

/// # Errors
/// [`SlotError::Malformed`] unless the label has 1 to 32 printable characters.
pub fn check_label(slot: SlotId, label: &str) -> Result<()> {
    let bad = SlotError::Malformed("a label has 1 to 32 printable characters");
    is_label(label).then_some(()).ok_or(bad.at(slot))
}

/// Whether it names a partition, or one of its domains.
pub(super) fn is_label(label: &str) -> bool {
    LABEL_CHARS.contains(&label.chars().count()) && !label.chars().any(char::is_control)
}

/// # Errors
/// [`SlotError::Malformed`] unless the password has 8 to 255 bytes.
pub fn check_password(slot: SlotId, password: &SecretBytes) -> Result<()> {
    let bad = SlotError::Malformed("a password has 8 to 255 bytes");
    let fits = PASSWORD_BYTES.contains(&password.bytes().len());
    fits.then_some(()).ok_or(bad.at(slot))
}

/// Why a password that was stretched for one credential cannot become another one.
pub(super) const STRETCHED: &str = "a password that was stretched for a login cannot be set";

/// # Errors
/// [`SlotError::OtherAuthentication`] for what another kind of slot takes, else as [`check_password`].
pub(super) fn check_secret(slot: SlotId, kind: SlotKind, secret: &Secret) -> Result<()> {
    match secret {
        _ if secret.kind() != kind => Err(SlotError::OtherAuthentication(kind).at(slot)),
        Secret::Password(password) => check_password(slot, password),
        Secret::Quorum(_) => Ok(()),
        Secret::Stretched(_) => Err(SlotError::Malformed(STRETCHED).at(slot)),
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

/// Row ids of credentials and domains are random, so that no id is used twice.
pub(super) fn random_id() -> Result<PartId> {
    Ok(PartId((random_u64()? >> 1).cast_signed()))
}
