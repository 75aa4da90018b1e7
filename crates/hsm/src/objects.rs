//! Objects of one slot: found, listed, read, made, renumbered, destroyed.

use slotfs_object::RowId;
use std::sync::Arc;

use super::done::{go_on, pass_on};
use super::put::put;
use super::{
    Arrived, DamagedRow, Done, Entry, Error, Handle, Hsm, Object, Ouid, Partition, PartitionId,
    Read, Result, SealedRow, SecretBytes, Session, SlotError, SlotFault, SlotId, Stored, codec,
    decode_own, store,
};
use slotfs_object::pkcs11::{CKO_PRIVATE_KEY, class_name};
use slotfs_store::{SlotVersion, StateMark};

/// An object as a file: what a stat needs, and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectFile {
    /// Its row: never used twice while the store lives.
    pub id: RowId,
    /// The slot it is in.
    pub slot: SlotId,
    /// Its handle there.
    pub handle: Handle,
    /// Its identity.
    pub ouid: Ouid,
    /// Its blob's exact size, bytes.
    pub size: u64,
    /// Of that, its payload.
    pub payload_bytes: u32,
    /// When it was made, seconds since 1970.
    pub created_secs: u64,
    /// When it was described anew, likewise; `None` at birth.
    pub changed_secs: Option<u64>,
}

impl ObjectFile {
    pub(super) fn of(session: &Session, entry: &Entry) -> Self {
        Self {
            id: entry.id,
            slot: entry.slot,
            handle: entry.handle,
            ouid: entry.ouid,
            size: session.blob_bytes(entry.payload_bytes),
            payload_bytes: entry.payload_bytes,
            created_secs: entry.created_secs,
            changed_secs: entry.changed_secs,
        }
    }

    /// The time of its file, seconds since 1970: that of the last change, so that tools that mirror see each change.
    pub fn time_secs(&self) -> u64 {
        self.changed_secs.unwrap_or(self.created_secs)
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
        let SlotVersion { slot, serial, .. } = self.slot;
        PartitionId { slot, serial }
    }

    /// The blob.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// One line of `partition contents`.
pub struct ContentsRow {
    /// Its row.
    pub row: RowId,
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
    /// The state of the store now, to tell cheaply later that nothing was committed since.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn mark_of_state(&self) -> Result<StateMark> {
        Ok(self.store.mark_of_state()?)
    }

    /// The object in row `id`.
    ///
    /// # Errors
    /// [`Error::Gone`], [`SlotError::NotLoggedIn`]
    pub fn find_by_id(&self, id: RowId) -> Result<ObjectFile> {
        let entry = self.store.by_id(id)?.ok_or(Error::Gone)?;
        let session = self.partition(entry.slot).session()?;
        Ok(ObjectFile::of(&session, &entry))
    }

    /// The sealed blob of the object in row `id`, and the object as a file.
    ///
    /// # Errors
    /// [`SlotError::PolicyForbids`], [`SlotError::NotLoggedIn`], [`Error::Gone`], [`SlotFault::Unreadable`]
    pub fn seal(&self, id: RowId) -> Result<(ObjectFile, SealedBlob)> {
        let (session, entry, payload) = self.open_by_id(id)?;
        // The reader of a blob may write it to another slot.
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
    pub fn gives(&self, id: RowId, blob: &SealedBlob) -> Result<Option<ObjectFile>> {
        let entry = self.store.by_id(id)?.ok_or(Error::Gone)?;
        let session = self.partition(entry.slot).reader()?;
        // What co read may not be cu's to read.
        let same = session.row().as_version() == blob.slot && !session.is_confined();
        Ok(same.then(|| ObjectFile::of(&session, &entry)))
    }

    /// The object in row `id`, opened.
    ///
    /// # Errors
    /// As [`Self::seal`], policy aside.
    pub fn open_object(&self, id: RowId) -> Result<(ObjectFile, Object)> {
        let (session, entry, payload) = self.open_by_id(id)?;
        let object = decode_own(entry.slot, entry.handle, payload.bytes())?;
        Ok((ObjectFile::of(&session, &entry), object))
    }

    /// The object in row `id`, whose value is to leave the slot unsealed, opened. Of a private key only the public half may.
    ///
    /// # Errors
    /// As [`Self::open_object`], and [`SlotError::NotForUsers`].
    pub fn open_object_to_export(&self, id: RowId) -> Result<(ObjectFile, Object)> {
        let (file, object) = self.open_object(id)?;
        if object.class != CKO_PRIVATE_KEY {
            let reader = self.partition(file.slot).reader()?;
            check_user(&reader, file.handle, &object)?;
        }
        Ok((file, object))
    }

    fn open_by_id(&self, id: RowId) -> Result<(Arc<Session>, Entry, SecretBytes)> {
        self.again_if_changed(|| {
            let (entry, row) = self.store.sealed(id)?.ok_or(Error::Gone)?;
            let session = self.partition(entry.slot).reader()?;
            let payload = self.open_entry(&session, &entry, &row)?;
            Ok((session, entry, payload))
        })
    }

    /// Opens a row. A row that does not open because the slot was sealed again, as after a password reset, is
    /// [`SlotFault::Changed`] and not damaged.
    pub(super) fn open_entry(
        &self,
        session: &Session,
        entry: &Entry,
        row: &SealedRow,
    ) -> Result<SecretBytes> {
        let opened = session.open_row(entry.place(), row);
        opened.map_err(|error| match self.store.slot(entry.slot) {
            Ok(now) if now.as_version() != session.row().as_version() => {
                SlotFault::Changed.at(entry.slot).into()
            }
            // It was read before the slot was sealed again, and the session is from after it.
            _ if self.is_replaced(entry.id, row) => SlotFault::Changed.at(entry.slot).into(),
            _ => error.into(),
        })
    }

    /// Whether the object of that row, in the slot or in the trash, is sealed otherwise now.
    fn is_replaced(&self, id: RowId, row: &SealedRow) -> bool {
        let listed = self.store.sealed(id).ok().flatten();
        let now = listed.or_else(|| self.store.trashed_sealed(id).ok().flatten());
        now.is_some_and(|(_, now)| now != *row)
    }

    /// Opens a row that was read with others. If the slot was sealed again after that and `session` is from after it, the
    /// row of now is opened.
    pub(super) fn open_listed(
        &self,
        session: &Session,
        entry: &Entry,
        row: &SealedRow,
    ) -> Result<SecretBytes> {
        match self.open_entry(session, entry, row) {
            Err(error) if error.is_changed() => {
                let (entry, row) = self.store.sealed(entry.id)?.ok_or(Error::Gone)?;
                self.open_entry(session, &entry, &row)
            }
            opened => opened,
        }
    }

    /// The object that `handle` names now. The store compares the row again when it changes the object, so that no
    /// other object is changed.
    pub(super) fn open_by_handle(
        &self,
        session: &Session,
        handle: Handle,
    ) -> Result<(Entry, SecretBytes)> {
        let named = self.partition(session.slot()).entry(handle)?;
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
    /// [`SlotError::NotLoggedIn`], [`SlotError::NoSuchObject`]
    pub fn find(&self, handle: Handle) -> Result<ObjectFile> {
        let session = self.session()?;
        let entry = self.entry(handle)?;
        Ok(ObjectFile::of(&session, &entry))
    }

    /// The handles of every object with their rows, ascending. A row never gets another content.
    ///
    /// # Errors
    /// [`SlotError::NotLoggedIn`], or when the store cannot be read.
    pub fn places(&self) -> Result<Vec<(Handle, RowId)>> {
        self.reader()?;
        Ok(self.hsm.store.places(self.slot)?)
    }

    /// The object of identity `ouid`.
    ///
    /// # Errors
    /// [`SlotError::NotLoggedIn`], [`SlotError::NoSuchIdentity`]
    pub fn find_by_ouid(&self, ouid: Ouid) -> Result<ObjectFile> {
        let session = self.session()?;
        let entry = self.hsm.store.by_ouid(self.slot, ouid)?;
        let entry = entry.ok_or(SlotError::NoSuchIdentity(ouid).at(self.slot))?;
        Ok(ObjectFile::of(&session, &entry))
    }

    /// Up to `most` objects with handles above `after`, ascending; a damaged one has its handle too.
    ///
    /// # Errors
    /// [`SlotError::NotLoggedIn`]
    pub fn list(&self, after: u32, most: usize) -> Result<Vec<Read<ObjectFile>>> {
        let session = self.session()?;
        let entries = self.hsm.store.list(self.slot, after, most)?.into_iter();
        let file = |entry| ObjectFile::of(&session, &entry);
        Ok(entries.map(|entry| entry.map(file)).collect())
    }

    /// The object under `handle`, opened.
    ///
    /// # Errors
    /// [`SlotError::NoSuchObject`], [`SlotError::NotLoggedIn`], [`SlotFault::Unreadable`]
    pub fn object(&self, handle: Handle) -> Result<Object> {
        match self.hsm.open_object(self.find(handle)?.id) {
            Ok((_, object)) => Ok(object),
            // Destroyed since it was found.
            Err(Error::Gone) => Err(SlotError::NoSuchObject(handle).at(self.slot)),
            Err(error) => Err(error),
        }
    }

    /// The object under `handle`, whose value is to leave the slot unsealed. Of a private key only the public half may.
    ///
    /// # Errors
    /// As [`Self::object`], and [`SlotError::NotForUsers`].
    pub fn object_to_export(&self, handle: Handle) -> Result<Object> {
        match self.hsm.open_object_to_export(self.find(handle)?.id) {
            Ok((_, object)) => Ok(object),
            // Destroyed since it was found.
            Err(Error::Gone) => Err(SlotError::NoSuchObject(handle).at(self.slot)),
            Err(error) => Err(error),
        }
    }

    /// Every object of a slot, by handle; `each` sees one at a time.
    ///
    /// # Errors
    /// [`SlotError::NotLoggedIn`], or when the store cannot be read. A damaged row is an error in its row.
    pub fn contents(&self, mut each: impl FnMut(ContentsRow)) -> Result<()> {
        const AT_ONCE: usize = 256;
        let mut after = 0;
        loop {
            self.reader()?;
            let entries = self.hsm.store.list(self.slot, after, AT_ONCE)?;
            after = match entries.last() {
                Some(Ok(entry)) => entry.handle.get(),
                Some(Err(row)) => row.handle.map_or(u32::MAX, Handle::get),
                None => break,
            };
            for entry in entries {
                match entry.map(|entry| (entry, self.hsm.open_object(entry.id))) {
                    // Destroyed since it was listed.
                    Ok((_, Err(Error::Gone))) => {}
                    Ok((entry, opened)) => each(ContentsRow {
                        row: entry.id,
                        handle: Some(entry.handle),
                        ouid: Some(entry.ouid),
                        object: opened.map(|(_, object)| object),
                    }),
                    Err(row) => each(ContentsRow::damaged(row)),
                }
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
        let puts = self.writer().and_then(|session| {
            let put = |object| {
                let payload = payload_of(self.slot, object)?;
                Ok(put(&session, object, payload, None))
            };
            objects.iter().map(put).collect::<Result<_>>()
        });
        go_on(puts, done, |puts, done| {
            let arrived = |all: Vec<Stored>| all.into_iter().map(Arrived::from).collect();
            let done =
                move |stored: store::Result<_>| done(stored.map(arrived).map_err(Error::from));
            self.hsm.store.put_all(puts, done);
        });
    }

    /// Gives the object `from` another handle in its slot.
    ///
    /// Calls `done` with [`SlotError::NoSuchObject`], [`SlotFault::HandleTaken`], [`SlotError::ReadOnly`], or when the
    /// store cannot be written.
    pub fn renumber(&self, from: Handle, to: Handle, done: impl Done<()>) {
        let opened = self.hsm.again_if_changed(|| {
            let session = self.writer()?;
            let (entry, payload) = self.hsm.open_by_handle(&session, from)?;
            Ok((session, entry, payload))
        });
        go_on(opened, done, |(session, entry, payload), done| {
            let version = session.row().as_version();
            let seal = Box::new(move |place| Ok(session.seal_row(place, &payload)?));
            let store = &self.hsm.store;
            store.renumber(entry, version, to, seal, pass_on(done));
        });
    }

    pub(super) fn entry(&self, handle: Handle) -> Result<Entry> {
        let entry = self.hsm.store.by_handle(self.slot, handle)?;
        entry.ok_or(SlotError::NoSuchObject(handle).at(self.slot))
    }
}

/// Seals a payload under the slot's domains or storage master key, where its policy lets the object's class leave.
pub(super) fn seal_for_cloning(
    session: &Session,
    handle: Handle,
    payload: &SecretBytes,
) -> Result<Vec<u8>> {
    let slot = session.slot();
    if session.restricts_cloning() {
        check_policy(session, handle, payload)?;
    }
    session.seal_blob(payload.bytes()).map_err(|why| {
        let what = format!("it cannot be sealed: {why}");
        SlotFault::Unreadable { handle, what }.at(slot).into()
    })
}

/// Whether policy lets the object leave the slot for the role that is logged in; its class.
pub(super) fn check_policy(
    session: &Session,
    handle: Handle,
    payload: &SecretBytes,
) -> Result<u32> {
    let slot = session.slot();
    let object = decode_own(slot, handle, payload.bytes())?;
    if !session.policies().allow_cloning(object.class) {
        return Err(SlotError::PolicyForbids(class_name(object.class)).at(slot));
    }
    check_user(session, handle, &object)?;
    Ok(object.class)
}

/// Whether a crypto user, if that is who is logged in, may take the object out.
fn check_user(session: &Session, handle: Handle, object: &Object) -> Result<()> {
    if session.is_confined() && object.is_private() {
        let what = format!("object {handle}, a {}", class_name(object.class));
        return Err(SlotError::NotForUsers(what).at(session.slot()));
    }
    Ok(())
}

/// A new object's payload.
///
/// # Errors
/// [`Error::ObjectRefused`] when it is too large for `slot` or any other.
pub(super) fn payload_of(slot: SlotId, object: &Object) -> Result<SecretBytes> {
    codec::encode(object).ok_or_else(|| {
        let most = codec::MAX_PAYLOAD_BYTES;
        let what = format!("slot {slot}: an object holds at most {most} bytes in all");
        Error::ObjectRefused(what)
    })
}
