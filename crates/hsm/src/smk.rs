//! Storage master keys: what a V1 slot seals its objects under. One is active, the earlier ones still open what
//! they sealed (docs/kinds.md, "V1: scalable key storage").

use thiserror::Error as ThisError;

use super::{
    Error, Hsm, Key, Partition, Result, Role, SecretBytes, Session, SlotError, SlotId, reason,
};
use slotfs_object::partition::PartitionVersion;
use slotfs_object::secret::KEY_BYTES;
use slotfs_seal::blob::{self, Fault, Kind, Root, blob_bytes};

/// The most that a slot keeps.
const MOST_SMKS: usize = 16;
/// The most fingerprints of deleted ones that it keeps.
const MOST_DELETED: usize = 64;
/// The first byte of a storage master key's payload.
const PAYLOAD_VERSION: u8 = 1;
/// Version and key.
const PAYLOAD_BYTES: usize = 1 + KEY_BYTES;

/// Why the storage master keys of a slot stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
pub enum SmkFault {
    /// A V0 slot has none.
    #[error("it is V0 and has no storage master key")]
    None,
    /// It has them already.
    #[error("it is V1 already")]
    V1Already,
    /// The ring is full.
    #[error("it already has {MOST_SMKS} storage master keys, the maximum")]
    Full,
    /// Another fingerprint is meant.
    #[error("it has no storage master key with that fingerprint")]
    NoSuchKey,
    /// A slot always has one.
    #[error("that storage master key is the active one")]
    Active,
    /// It was deleted here: whoever kept a copy of it cannot put it back.
    #[error("that storage master key was deleted from it")]
    Deleted,
    /// 32 equal bytes are nobody's random key.
    #[error("that storage master key is {KEY_BYTES} equal bytes")]
    Constant,
}

/// What became of a storage master key that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// It opens what it sealed. What the slot seals stays under its own.
    Added,
    /// It was there already.
    Known,
}

/// A storage master key as a file: what a stat needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmkFile {
    /// Its blob's exact size, bytes.
    pub size: u64,
    /// Seconds since 1970: the same for the same key, and almost always different for different keys. rsync skips a file
    /// of the same size and time, so two keys must not share theirs.
    pub time_secs: u64,
}

/// A time between 2001 and 2023 that stands for a fingerprint.
fn time_of(fingerprint: [u8; 8]) -> u64 {
    1_000_000_000 + u64::from_le_bytes(fingerprint) % 700_000_000
}

impl Hsm {
    fn add_smk(&self, session: &Session, key: &Key, active: bool) -> Result<()> {
        let slot = session.slot();
        if session.smks().len() >= MOST_SMKS {
            return Err(fault(slot, SmkFault::Full));
        }
        self.amend(session, |change| {
            let row = change.seal_smk(key)?;
            let at = if active { 0 } else { change.parts.smks.len() };
            change.parts.smks.insert(at, row);
            let fingerprint = Root::of_smk(key).fingerprint();
            let deleted = &mut change.header.deleted_smks;
            deleted.retain(|it| *it != fingerprint);
            Ok(())
        })?;
        log::info!("slot {slot}: it has another storage master key");
        Ok(())
    }
}

impl Partition<'_> {
    /// The active storage master key of a slot, sealed under its domains.
    ///
    /// # Errors
    /// [`SlotError::NotLoggedIn`], [`SlotError::RoleNeeded`], [`SlotError::Smk`] for a V0 slot.
    pub fn seal_smk(&self) -> Result<Vec<u8>> {
        let slot = self.slot;
        let session = self.reader()?;
        let smk = session.smks().first().ok_or(fault(slot, SmkFault::None))?;
        if session.is_confined() {
            return Err(SlotError::NotForUsers("its storage master key".into()).at(slot));
        }
        let mut payload = SecretBytes::new(vec![PAYLOAD_VERSION; PAYLOAD_BYTES]);
        payload.bytes_mut()[1..].copy_from_slice(smk.key.bytes());
        blob::seal(Kind::Smk, &session.roots, payload.bytes()).map_err(|why| {
            Error::slot_damaged(
                slot,
                format!("its storage master key cannot be sealed: {why}"),
            )
        })
    }

    /// What [`Self::seal_smk`] gives, as a file; `None` for a V0 slot.
    ///
    /// # Errors
    /// [`SlotError::NotLoggedIn`]
    pub fn smk_file(&self) -> Result<Option<SmkFile>> {
        let session = self.session()?;
        let stanzas = session.domains().len();
        Ok(session.smks().first().map(|smk| SmkFile {
            size: blob_bytes(stanzas, PAYLOAD_BYTES) as u64,
            time_secs: time_of(smk.fingerprint()),
        }))
    }

    /// Takes in a storage master key that [`Self::seal_smk`] of a slot with a common domain gave. It joins behind the
    /// others: what it sealed opens, and what the slot seals stays under its own. `again`: also one that was deleted here.
    ///
    /// # Errors
    /// [`SlotError::Unverified`], [`SlotError::PayloadVersion`], [`SlotError::Smk`], [`SlotError::NotLoggedIn`],
    /// [`SlotError::ReadOnly`].
    pub fn import_smk(&self, blob: &[u8], again: bool) -> Result<Received> {
        let (hsm, slot) = (self.hsm, self.slot);
        let outcome = hsm.again_if_changed(|| self.try_import_smk(blob, again));
        let line = match outcome.as_ref().map_err(reason) {
            Ok(Received::Added) => format!("A storage master key was added to slot {slot}"),
            Ok(Received::Known) => format!("The storage master key was on slot {slot} already"),
            Err(why) => format!("A storage master key for slot {slot} was not taken: {why}"),
        };
        hsm.journal.note(slot, line);
        outcome
    }

    fn try_import_smk(&self, blob: &[u8], again: bool) -> Result<Received> {
        let session = self.writer()?;
        if !session.row().is_v1() {
            return Err(fault(self.slot, SmkFault::None));
        }
        let key = verify(&session, blob)?;
        if session.smks().iter().any(|smk| smk.key == key) {
            return Ok(Received::Known);
        }
        let [first, rest @ ..] = key.bytes();
        if rest.iter().all(|byte| byte == first) {
            return Err(fault(self.slot, SmkFault::Constant));
        }
        let fingerprint = Root::of_smk(&key).fingerprint();
        if !again && session.header.deleted_smks.contains(&fingerprint) {
            return Err(fault(self.slot, SmkFault::Deleted));
        }
        self.hsm.add_smk(&session, &key, false)?;
        Ok(Received::Added)
    }

    /// Gives a V1 slot a new storage master key, which is the active one from then on. For co or po.
    ///
    /// # Errors
    /// [`SlotError::Smk`], [`SlotError::RoleNeeded`], [`SlotFault::Changed`](super::SlotFault::Changed).
    pub fn new_smk(&self) -> Result<()> {
        let session = self.officer(&[Role::Co, Role::Po])?;
        if !session.row().is_v1() {
            return Err(fault(self.slot, SmkFault::None));
        }
        self.hsm.add_smk(&session, &Key::random()?, true)
    }

    /// Deletes a storage master key of a slot, which then refuses blobs that only this key opens. For co or po.
    ///
    /// # Errors
    /// As [`Self::new_smk`].
    pub fn delete_smk(&self, fingerprint: [u8; 8]) -> Result<()> {
        let slot = self.slot;
        let session = self.officer(&[Role::Co, Role::Po])?;
        let mut smks = session.smks().iter();
        let at = smks.position(|smk| smk.fingerprint() == fingerprint);
        self.hsm.amend(&session, |change| match at {
            _ if !session.row().is_v1() => Err(fault(slot, SmkFault::None)),
            None => Err(fault(slot, SmkFault::NoSuchKey)),
            Some(0) => Err(fault(slot, SmkFault::Active)),
            Some(at) => {
                change.parts.smks.remove(at);
                let deleted = &mut change.header.deleted_smks;
                deleted.push(fingerprint);
                let excess = deleted.len().saturating_sub(MOST_DELETED);
                deleted.drain(..excess);
                Ok(())
            }
        })?;
        log::info!("slot {slot}: a storage master key was deleted");
        Ok(())
    }

    /// Makes a storage master key that the slot has the active one: what it seals is under that key from then on. For co or
    /// po. Whether it was another one before.
    ///
    /// # Errors
    /// As [`Self::new_smk`].
    pub fn activate_smk(&self, fingerprint: [u8; 8]) -> Result<bool> {
        let slot = self.slot;
        let session = self.officer(&[Role::Co, Role::Po])?;
        if !session.row().is_v1() {
            return Err(fault(slot, SmkFault::None));
        }
        let mut smks = session.smks().iter();
        let at = smks.position(|smk| smk.fingerprint() == fingerprint);
        let at = at.ok_or(fault(slot, SmkFault::NoSuchKey))?;
        if at == 0 {
            return Ok(false);
        }
        self.hsm.amend(&session, |change| {
            let row = change.parts.smks.remove(at);
            change.parts.smks.insert(0, row);
            Ok(())
        })?;
        log::info!("slot {slot}: another storage master key is the active one");
        Ok(true)
    }

    /// Turns a V0 slot into a V1 slot, with a new storage master key. Its objects stay as they are. For po.
    ///
    /// # Errors
    /// As [`Self::new_smk`].
    pub fn upgrade(&self) -> Result<()> {
        let slot = self.slot;
        let session = self.officer(&[Role::Po])?;
        if session.row().is_v1() {
            return Err(fault(slot, SmkFault::V1Already));
        }
        self.hsm.amend(&session, |change| {
            change.row.version = PartitionVersion::V1;
            change.parts.smks.push(change.seal_smk(&Key::random()?)?);
            Ok(())
        })?;
        log::info!("slot {slot}: it is V1 now");
        Ok(())
    }
}

/// Opens a storage master key's blob with the slot's own domains.
fn verify(session: &Session, blob: &[u8]) -> Result<Key> {
    let slot = session.slot();
    let refused = |why| SlotError::Unverified(why).at(slot);
    let payload = blob::open(Kind::Smk, &session.roots, blob).map_err(refused)?;
    match payload.bytes().split_first() {
        Some((&PAYLOAD_VERSION, key)) => {
            Key::from_slice(key).ok_or_else(|| refused(Fault::Malformed))
        }
        Some((&version, _)) => Err(SlotError::PayloadVersion(version, "1").at(slot)),
        None => Err(refused(Fault::Malformed)),
    }
}

fn fault(slot: SlotId, why: SmkFault) -> Error {
    SlotError::Smk(why).at(slot)
}
