//! Removing objects: into the trash, out of it, for good.

use slotfs_object::RowId;
use std::sync::Arc;

use super::done::go_on;
use super::put::{leaving, put};
use super::{
    Arrived, DamagedRow, Done, Entry, Error, Handle, Hsm, Object, ObjectFile, Partition, Read,
    Result, SecretBytes, Session, SlotError, TrashName, decode_own, now_secs, store,
};
use slotfs_store::{Leaving, Trashed};

/// What became of an object that was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// It is in the trash, until the slot's retention has passed.
    ToTrash,
    /// It is no more.
    Destroyed,
}

/// An object in the trash, as a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrashFile {
    /// The object as it was.
    pub object: ObjectFile,
    /// Its name in the trash.
    pub name: TrashName,
    /// When it was removed, seconds since 1970.
    pub trashed_secs: u64,
    /// When it will be destroyed.
    pub until_secs: u64,
    found: Trashed,
}

impl TrashFile {
    /// `None` for an object whose retention has passed: it counts as destroyed.
    fn of(session: &Session, found: Trashed) -> Option<Self> {
        let (entry, trashed_secs) = (&found.entry, found.trashed_secs);
        let until_secs = trashed_secs.saturating_add(session.row().retention_secs);
        let (handle, nth) = (entry.handle, found.nth);
        (until_secs > now_secs()).then(|| Self {
            object: ObjectFile::of(session, entry),
            name: TrashName { handle, nth },
            trashed_secs,
            until_secs,
            found,
        })
    }
}

impl Hsm {
    /// Removes the object that was found before, while its handle still names it. Another object that has the handle by
    /// now is not touched. With `destroy` it does not go to the trash.
    ///
    /// Calls `done` as [`Self::remove`](super::Partition::remove) does.
    pub fn remove_found(&self, found: &ObjectFile, destroy: bool, done: impl Done<Removed>) {
        let (slot, handle) = (found.slot, found.handle);
        let entry = match self.partition(slot).entry(handle) {
            Ok(entry) if entry.id != found.id => Err(SlotError::NoSuchObject(handle).at(slot)),
            entry => entry,
        };
        self.remove_entry(entry, destroy, done);
    }

    fn remove_entry(&self, entry: Result<Entry>, destroy: bool, done: impl Done<Removed>) {
        let session = entry.and_then(|entry| Ok((self.partition(entry.slot).writer()?, entry)));
        go_on(session, done, |(session, entry), done| {
            let version = session.row().as_version();
            let (slot, handle, ouid) = (entry.slot, entry.handle, entry.ouid);
            let (removed, what) = match destroy || session.row().retention_secs == 0 {
                true => (Removed::Destroyed, "was destroyed"),
                false => (Removed::ToTrash, "is in the trash"),
            };
            let keys = Arc::clone(&self.keys);
            let told = move |outcome: store::Result<()>| {
                if outcome.is_ok() {
                    keys.forget_one(slot, handle);
                    log::info!("slot {slot}: object {handle} ({ouid}) {what}");
                }
                done(outcome.map(|()| removed).map_err(Error::from));
            };
            match leaving(&session) {
                Leaving::ToTrash(alike) if !destroy => {
                    self.store.trash(entry, version, alike, told);
                }
                _ => self.store.destroy(entry, version, told),
            }
        });
    }

    /// What is in the trash in row `id`.
    ///
    /// # Errors
    /// [`Error::Gone`], [`SlotError::NotLoggedIn`]
    pub fn find_trashed_by_id(&self, id: RowId) -> Result<TrashFile> {
        let found = self.store.trashed_by_id(id)?.ok_or(Error::Gone)?;
        let session = self.partition(found.entry.slot).session()?;
        TrashFile::of(&session, found).ok_or(Error::Gone)
    }

    /// The damaged object in row `id`, for it to be destroyed.
    ///
    /// # Errors
    /// [`SlotFault::NotDamaged`](super::SlotFault::NotDamaged) for a whole one, [`Error::Gone`].
    pub fn damaged_row(&self, id: RowId) -> Result<DamagedRow> {
        Ok(self.store.damaged_row(id)?)
    }

    /// The object in the trash, opened for a listing. No blob of it is ever sealed.
    ///
    /// # Errors
    /// [`Error::Gone`], [`SlotError::NotLoggedIn`], [`SlotFault::Unreadable`](super::SlotFault::Unreadable)
    pub fn open_trashed(&self, it: &TrashFile) -> Result<Object> {
        let (session, payload) = self.trashed_payload(it)?;
        decode_own(session.slot(), it.object.handle, payload.bytes())
    }

    /// Restores an object from the trash, under `want` or any free handle, with its row, identity and content. Where the
    /// slot holds the same object by now, the one in the trash is just dropped; an earlier revision that the slot holds
    /// goes to the trash in its place.
    ///
    /// Calls `done` with [`SlotFault::HandleTaken`](super::SlotFault::HandleTaken),
    /// [`SlotFault::IdentityClash`](super::SlotFault::IdentityClash), [`SlotFault::Full`](super::SlotFault::Full),
    /// [`SlotFault::Outdated`](super::SlotFault::Outdated) when the slot holds a later revision, [`Error::Gone`], [`SlotError::ReadOnly`], or when the store cannot be written.
    pub fn restore(&self, it: &TrashFile, want: Option<Handle>, done: impl Done<Arrived>) {
        let (found, slot, ouid) = (it.found, it.object.slot, it.object.ouid);
        let prepared = self.partition(slot).writer().and_then(|_| {
            let (_, payload) = self.trashed_payload(it)?;
            let object = decode_own(slot, it.object.handle, payload.bytes())?;
            // The session may be another by now: see `again_if_changed`.
            let session = self.partition(slot).writer()?;
            Ok(put(&session, &object, payload, want))
        });
        go_on(prepared, done, |put, done| {
            self.store.restore(found, put, move |stored| {
                let outcome = stored.map(Arrived::from).map_err(Error::from);
                if let Ok(Arrived { handle, .. }) = &outcome {
                    log::info!(
                        "slot {slot}: object {ouid} was restored from the trash, as handle {handle}"
                    );
                }
                done(outcome);
            });
        });
    }

    /// Destroys what is in the trash.
    ///
    /// Calls `done` with [`Error::Gone`], [`SlotError::ReadOnly`], or when the store cannot be written.
    pub fn destroy_trashed(&self, it: &TrashFile, done: impl Done<()>) {
        let (found, it) = (it.found, it.object);
        let (slot, handle, ouid) = (it.slot, it.handle, it.ouid);
        go_on(self.partition(slot).writer(), done, |session, done| {
            let version = session.row().as_version();
            self.store.destroy_trashed(found, version, move |outcome| {
                if outcome.is_ok() {
                    log::info!("slot {slot}: object {handle} ({ouid}), which was in the trash, was destroyed");
                }
                done(outcome.map_err(Error::from));
            });
        });
    }

    /// Destroys the objects in the trash of every slot whose retention has passed. This needs no login.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn empty_expired_trash(&self) -> Result<()> {
        self.remember_cluster_now_and_then();
        if self.is_read_only() || !self.store.has_expired()? {
            return Ok(());
        }
        let destroyed = self.store.purge()?;
        log::info!("{destroyed} objects were destroyed: their time in the trash had passed");
        Ok(())
    }

    fn trashed_payload(&self, it: &TrashFile) -> Result<(Arc<Session>, SecretBytes)> {
        self.again_if_changed(|| {
            let there = self.store.trashed_sealed(it.object.id)?;
            let (entry, row) = there.ok_or(Error::Gone)?;
            let session = self.partition(entry.slot).reader()?;
            let payload = self.open_entry(&session, &entry, &row)?;
            Ok((session, payload))
        })
    }
}

impl Partition<'_> {
    /// Removes the object `handle`: to the trash, or for good where the slot has no retention.
    ///
    /// Calls `done` with [`SlotError::NoSuchObject`], [`SlotError::ReadOnly`],
    /// [`SlotFault::TrashFull`](super::SlotFault::TrashFull), or when the store cannot be written.
    pub fn remove(&self, handle: Handle, done: impl Done<Removed>) {
        self.hsm.remove_entry(self.entry(handle), false, done);
    }

    /// What is in the trash under `name`.
    ///
    /// # Errors
    /// [`SlotError::NotLoggedIn`], [`SlotError::NotInTrash`]
    pub fn find_trashed(&self, name: TrashName) -> Result<TrashFile> {
        let session = self.session()?;
        let found = self.hsm.store.trashed(self.slot, name.handle, name.nth)?;
        let file = found.and_then(|found| TrashFile::of(&session, found));
        file.ok_or_else(|| SlotError::NotInTrash(name.to_string()).at(self.slot))
    }

    /// Up to `most` objects of a slot's trash in rows after `after`, ascending; none at the end. Damaged ones never expire.
    ///
    /// # Errors
    /// [`SlotError::NotLoggedIn`]
    pub fn list_trash(&self, after: RowId, most: usize) -> Result<Vec<Read<TrashFile>>> {
        let (session, mut after) = (self.session()?, after);
        let file = |found: Read<Trashed>| match found {
            Ok(found) => TrashFile::of(&session, found).map(Ok),
            Err(damaged) => Some(Err(damaged)),
        };
        loop {
            let found = self.hsm.store.list_trash(self.slot, after, most)?;
            after = match found.last() {
                Some(Ok(last)) => last.entry.id,
                Some(Err(last)) => last.id,
                None => return Ok(Vec::new()),
            };
            let kept: Vec<_> = found.into_iter().filter_map(file).collect();
            // A page whose objects have all expired is not the end.
            if !kept.is_empty() {
                return Ok(kept);
            }
        }
    }

    /// Destroys a damaged object at once: it cannot go to the trash. It must be in this slot, or in no slot at all.
    ///
    /// Calls `done` with [`Error::Gone`] when its row is another by now, [`SlotError::ReadOnly`], or when the store cannot be written.
    pub fn destroy_damaged(&self, found: DamagedRow, done: impl Done<()>) {
        let (hsm, slot) = (self.hsm, self.slot);
        let session = self.writer().and_then(|session| match found.slot {
            Some(of) if of != slot && hsm.store.mark(of)?.is_some() => {
                Err(SlotError::NotLoggedIn.at(of))
            }
            _ => Ok(session),
        });
        go_on(session, done, |session, done| {
            let text = found.to_string();
            let version = session.row().as_version();
            hsm.store.destroy_damaged(found, version, move |outcome| {
                if outcome.is_ok() {
                    log::warn!("{text}; it was destroyed");
                }
                done(outcome.map_err(Error::from));
            });
        });
    }
}
