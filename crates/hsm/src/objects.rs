//! Objects of one slot: found, listed, read, made, renumbered, destroyed.

use std::sync::Arc;

use super::{Arrived, DamagedRow, Done, Hsm, Partition, PartitionId, Read, Session, decode_own};
use super::{Error, Result, SlotError, SlotFault};
use slotfs_object::codec;
use slotfs_object::pkcs11::class_name;
use slotfs_object::sealed::SealedRow;
use slotfs_object::secret::SecretBytes;
use slotfs_object::{Handle, Object, Ouid, SlotId};
use slotfs_store::{self as store, Entry, NameColumn, Put, SlotVersion};

/// An object as a file: what a stat needs, and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectFile {
    /// Its row: never used twice while the store lives.
    pub id: i64,
    /// The slot it is in.
    pub slot: SlotId,
    /// Its handle there.
    pub handle: Handle,
    /// Its identity.
    pub ouid: Ouid,
    /// Its blob's exact size, bytes.
    pub size: u64,
    /// The object's own time, seconds since 1970.
    pub created_secs: u64,
}

impl ObjectFile {
    pub(super) fn of(session: &Session, entry: &Entry) -> Self {
        Self {
            id: entry.id,
            slot: entry.slot,
            handle: entry.handle,
            ouid: entry.ouid,
            size: session.blob_bytes(entry.payload_bytes),
            created_secs: entry.created_secs,
        }
    }
}

/// A blob as a slot gives it.
pub struct SealedBlob {
    slot: SlotVersion,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for SealedBlob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealedBlob({} bytes)", self.bytes.len())
    }
}

impl SealedBlob {
    /// The partition that gave it.
    pub fn partition(&self) -> PartitionId {
        PartitionId {
            slot: self.slot.slot,
            serial: self.slot.serial,
        }
    }

    /// The blob.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// One line of `partition contents`.
pub struct ContentsRow {
    /// Its row.
    pub row: i64,
    /// Its handle; `None` where that is damaged.
    pub handle: Option<Handle>,
    /// Its identity, likewise.
    pub ouid: Option<Ouid>,
    /// The object, or that its row is damaged.
    pub object: Result<Object>,
}

impl ContentsRow {
    fn damaged(row: DamagedRow) -> Self {
        Self {
            row: row.id,
            handle: row.handle,
            ouid: row.ouid,
            object: Err(Error::ObjectDamaged(row)),
        }
    }
}

impl Hsm {
    /// The object in row `id`.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::NotLoggedIn`]
    pub fn find_by_id(&self, id: i64) -> Result<ObjectFile> {
        let entry = self.store.by_id(id)?.ok_or(Error::Gone)?;
        let session = self.partition(entry.slot).session()?;
        Ok(ObjectFile::of(&session, &entry))
    }

    /// The sealed blob of the object in row `id`, and the object as a file.
    ///
    /// # Errors
    /// [`Error::PolicyForbids`], [`Error::NotLoggedIn`], [`Error::Gone`], [`Error::Damaged`]
    pub fn seal(&self, id: i64) -> Result<(ObjectFile, SealedBlob)> {
        let (session, entry, payload) = self.open_by_id(id)?;
        // Whoever reads a blob may write it to another slot.
        self.fingerprints.keep(id, self.fingerprints.of(&payload));
        let blob = SealedBlob {
            slot: session.row().as_version(),
            bytes: seal_for_cloning(&session, entry.handle, &payload)?,
        };
        Ok((ObjectFile::of(&session, &entry), blob))
    }

    /// The object in row `id` as a file, if `blob`, which was sealed from it, is what [`Self::seal`] would give now.
    ///
    /// # Errors
    /// As [`Self::seal`].
    pub fn gives(&self, id: i64, blob: &SealedBlob) -> Result<Option<ObjectFile>> {
        let entry = self.store.by_id(id)?.ok_or(Error::Gone)?;
        let session = self.partition(entry.slot).reader()?;
        Ok((session.row().as_version() == blob.slot).then(|| ObjectFile::of(&session, &entry)))
    }

    /// The object in row `id`, opened.
    ///
    /// # Errors
    /// As [`Self::seal`], policy aside.
    pub fn open_object(&self, id: i64) -> Result<(ObjectFile, Object)> {
        let (session, entry, payload) = self.open_by_id(id)?;
        let object = decode_own(entry.slot, entry.handle, payload.bytes())?;
        Ok((ObjectFile::of(&session, &entry), object))
    }

    fn open_by_id(&self, id: i64) -> Result<(Arc<Session>, Entry, SecretBytes)> {
        let (entry, row) = self.store.sealed(id)?.ok_or(Error::Gone)?;
        let session = self.partition(entry.slot).reader()?;
        let payload = self.open_entry(&session, &entry, &row)?;
        Ok((session, entry, payload))
    }

    /// Opens a row; one that does not open because it was sealed anew since, as by a reset password, is not
    /// damaged but [`Error::SlotChanged`].
    pub(super) fn open_entry(
        &self,
        session: &Session,
        entry: &Entry,
        row: &SealedRow,
    ) -> Result<SecretBytes> {
        session
            .open_row(entry.place(), row)
            .map_err(|error| match self.store.slot(entry.slot) {
                Ok(now) if now.as_version() != session.row().as_version() => {
                    SlotFault::Changed.at(entry.slot).into()
                }
                _ => error.into(),
            })
    }

    /// The object that `handle` names now: what is done to it is checked against this row again when it
    /// is done, so that nothing is done to another one.
    pub(super) fn open_by_handle(
        &self,
        session: &Session,
        handle: Handle,
    ) -> Result<(Entry, SecretBytes)> {
        let slot = session.slot();
        let named = self.partition(slot).entry(handle)?;
        let (entry, row) = self.store.sealed(named.id)?.ok_or(Error::Gone)?;
        if entry != named {
            return Err(Error::Gone);
        }
        let payload = self.open_entry(session, &entry, &row)?;
        Ok((entry, payload))
    }
}

impl Partition<'_> {
    /// The object under `handle`.
    ///
    /// # Errors
    /// [`Error::NotLoggedIn`], [`Error::NoSuchObject`]
    pub fn find(&self, handle: Handle) -> Result<ObjectFile> {
        let session = self.session()?;
        let entry = self.entry(handle)?;
        Ok(ObjectFile::of(&session, &entry))
    }

    /// The object of identity `ouid`.
    ///
    /// # Errors
    /// [`Error::NotLoggedIn`], [`Error::NoSuchFile`]
    pub fn find_by_ouid(&self, ouid: Ouid) -> Result<ObjectFile> {
        let session = self.session()?;
        let entry = self
            .hsm
            .store
            .by_ouid(self.slot, ouid)?
            .ok_or(SlotError::NoSuchIdentity(ouid).at(self.slot))?;
        Ok(ObjectFile::of(&session, &entry))
    }

    /// Up to `most` objects with handles above `after`, ascending; a damaged one has its handle too.
    ///
    /// # Errors
    /// [`Error::NotLoggedIn`]
    pub fn list(&self, after: u32, most: usize) -> Result<Vec<Read<ObjectFile>>> {
        let session = self.session()?;
        let entries = self.hsm.store.list(self.slot, after, most)?;
        Ok(entries
            .into_iter()
            .map(|entry| entry.map(|entry| ObjectFile::of(&session, &entry)))
            .collect())
    }

    /// Whether a listing by handle that has come to its end was whole.
    ///
    /// # Errors
    /// [`Error::ObjectDamaged`] of one that has no handle, else as [`Self::check_count`].
    pub fn check_listing(&self) -> Result<()> {
        self.check_names(NameColumn::Handle)
    }

    /// The same of a listing by identity.
    ///
    /// # Errors
    /// As [`Self::check_listing`].
    pub fn check_identities(&self) -> Result<()> {
        self.check_names(NameColumn::Ouid)
    }

    fn check_names(&self, name: NameColumn) -> Result<()> {
        match self.hsm.store.nameless(self.slot, name)?.into_iter().next() {
            Some(nameless) => Err(Error::ObjectDamaged(nameless)),
            None => self.check_count(),
        }
    }

    /// The objects of a slot that have no handle: they can be destroyed by their row, and nothing else.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn without_handle(&self) -> Result<Vec<DamagedRow>> {
        let mut nameless = self.hsm.store.nameless(self.slot, NameColumn::Handle)?;
        nameless.retain(|row| row.handle.is_none());
        Ok(nameless)
    }

    /// Whether as many objects can be listed as there are.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::SlotDamaged`]
    pub fn check_count(&self) -> Result<()> {
        let slot = self.slot;
        let (listed, kept) = self.hsm.store.count_listed(slot)?;
        match kept? {
            kept if listed == kept => Ok(()),
            kept => Err(Error::Damaged(format!(
                "slot {slot} counts {kept} objects, but {listed} can be listed; 'slotfs store check -repair' puts a wrong count right"
            ))),
        }
    }

    /// Whether the trash holds as many objects as were counted.
    ///
    /// # Errors
    /// [`Error::SlotDamaged`]
    pub fn check_trash_count(&self) -> Result<()> {
        let slot = self.slot;
        let (kept, there) = self
            .hsm
            .store
            .count_trash(slot)?
            .map_err(|what| Error::slot_damaged(slot, what))?;
        let kept = match kept {
            Some(Ok(kept)) if kept == there => return Ok(()),
            // A store from before there was a trash, looked at only.
            None if there == 0 => return Ok(()),
            Some(Ok(kept)) => format!("counts {kept} objects in its trash"),
            Some(Err(what)) => format!("has a damaged count of its trash ({what})"),
            None => "has no count of its trash".to_owned(),
        };
        Err(Error::Damaged(format!(
            "slot {slot} {kept}, but {there} are there; 'slotfs store check -repair' puts a wrong count right"
        )))
    }

    /// The object under `handle`, opened.
    ///
    /// # Errors
    /// [`Error::NoSuchObject`], [`Error::NotLoggedIn`], [`Error::Damaged`]
    pub fn object(&self, handle: Handle) -> Result<Object> {
        match self.hsm.open_object(self.find(handle)?.id) {
            Ok((_, object)) => Ok(object),
            // Destroyed since it was found.
            Err(Error::Gone) => Err(SlotError::NoSuchObject(handle).at(self.slot)),
            Err(error) => Err(error),
        }
    }

    /// Every object of a slot, by handle; `each` sees one at a time.
    ///
    /// # Errors
    /// [`Error::NotLoggedIn`], or when the store cannot be read. A damaged row is an error in its row.
    pub fn contents(&self, mut each: impl FnMut(ContentsRow)) -> Result<()> {
        const AT_ONCE: usize = 256;
        let mut after = 0;
        loop {
            let entries = {
                self.reader()?;
                self.hsm.store.list(self.slot, after, AT_ONCE)?
            };
            let Some(last) = entries.last() else {
                break;
            };
            after = match last {
                Ok(entry) => entry.handle.get(),
                Err(row) => row.handle.map_or(u32::MAX, Handle::get),
            };
            for entry in entries {
                let entry = match entry {
                    Ok(entry) => entry,
                    Err(row) => {
                        each(ContentsRow::damaged(row));
                        continue;
                    }
                };
                let object = match self.hsm.open_object(entry.id) {
                    // Destroyed since it was listed.
                    Err(Error::Gone) => continue,
                    outcome => outcome.map(|(_, object)| object),
                };
                each(ContentsRow {
                    row: entry.id,
                    handle: Some(entry.handle),
                    ouid: Some(entry.ouid),
                    object,
                });
            }
        }
        for row in self.without_handle()? {
            each(ContentsRow::damaged(row));
        }
        self.check_count()
    }

    /// Stores a new object under any free handle.
    pub fn add(&self, object: &Object, done: impl Done<Arrived>) {
        self.add_all(std::slice::from_ref(object), |stored| {
            done(stored.and_then(|all| all.first().copied().ok_or(Error::Gone)));
        });
    }

    /// Stores new objects that belong together under free handles: all of them or none.
    pub fn add_all(&self, objects: &[Object], done: impl Done<Vec<Arrived>>) {
        let slot = self.slot;
        let puts = || {
            let session = self.writer()?;
            objects
                .iter()
                .map(|object| Ok(put(&session, object, payload_of(slot, object)?, None)))
                .collect::<Result<Vec<_>>>()
        };
        match puts() {
            Ok(puts) => self.hsm.store.put_all(puts, |stored| {
                let arrived = stored.map(|all| all.into_iter().map(Arrived::from).collect());
                done(arrived.map_err(Error::from));
            }),
            Err(error) => done(Err(error)),
        }
    }

    /// Gives the object `from` another handle in its slot.
    ///
    /// Calls `done` with [`Error::NoSuchObject`], [`Error::HandleTaken`], [`Error::ReadOnly`], or what the disk says.
    pub fn renumber(&self, from: Handle, to: Handle, done: impl Done<()>) {
        let hsm = self.hsm;
        let opened = self.writer().and_then(|session| {
            let (entry, payload) = hsm.open_by_handle(&session, from)?;
            Ok((session, entry, payload))
        });
        match opened {
            Ok((session, entry, payload)) => {
                let version = session.row().as_version();
                let seal = Box::new(move |place| Ok(session.seal_row(place, &payload)?));
                let done = |outcome: store::Result<()>| done(outcome.map_err(Error::from));
                hsm.store.renumber(entry, version, to, seal, done);
            }
            Err(error) => done(Err(error)),
        }
    }

    pub(super) fn entry(&self, handle: Handle) -> Result<Entry> {
        self.hsm
            .store
            .by_handle(self.slot, handle)?
            .ok_or(SlotError::NoSuchObject(handle).at(self.slot))
    }
}

/// Seals a payload under the slot's domains or storage master key, where its policy lets the object's class leave.
pub(super) fn seal_for_cloning(
    session: &Session,
    handle: Handle,
    payload: &SecretBytes,
) -> Result<Vec<u8>> {
    let slot = session.slot();
    if session.policies().restrict_cloning() {
        check_policy(session, handle, payload)?;
    }
    session.seal_blob(payload.bytes()).map_err(|why| {
        Error::Damaged(format!(
            "slot {slot}, object {handle}: it cannot be sealed: {why}"
        ))
    })
}

/// Whether policy lets the object leave the slot; its class.
pub(super) fn check_policy(
    session: &Session,
    handle: Handle,
    payload: &SecretBytes,
) -> Result<u32> {
    let slot = session.slot();
    let object = decode_own(slot, handle, payload.bytes())?;
    if session.policies().allow_cloning(object.class) {
        return Ok(object.class);
    }
    Err(SlotError::PolicyForbids(class_name(object.class)).at(slot))
}

/// A new object's payload.
///
/// # Errors
/// [`Error::ObjectRefused`] when it is too large for `slot` or any other.
pub(super) fn payload_of(slot: SlotId, object: &Object) -> Result<SecretBytes> {
    codec::encode(object).ok_or_else(|| {
        let most = codec::MAX_PAYLOAD_BYTES;
        Error::ObjectRefused(format!(
            "slot {slot}: an object holds at most {most} bytes in all"
        ))
    })
}

/// What the store needs of a verified object.
pub(super) fn put(
    session: &Arc<Session>,
    object: &Object,
    payload: SecretBytes,
    want: Option<Handle>,
) -> Put {
    let payload = Arc::new(payload);
    let (sealer, comparer) = (Arc::clone(session), Arc::clone(session));
    let (sealed, compared) = (Arc::clone(&payload), Arc::clone(&payload));
    Put {
        slot: session.row().as_version(),
        id: None,
        want,
        ouid: object.ouid,
        // The codec keeps payloads at 64 KiB.
        payload_bytes: payload.bytes().len() as u32,
        // As SQLite can keep it: the row is bound to this number.
        created_secs: object.created_secs.min(i64::MAX as u64),
        seal: Box::new(move |place| Ok(sealer.seal_row(place, &sealed)?)),
        same: Box::new(move |place, row| {
            let there = comparer.open_row(place, row)?;
            Ok(there == *compared)
        }),
    }
}

impl From<slotfs_store::Stored> for Arrived {
    fn from(stored: slotfs_store::Stored) -> Self {
        Self {
            handle: stored.handle(),
            already: matches!(stored, slotfs_store::Stored::Already(_)),
        }
    }
}
