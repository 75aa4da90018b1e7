//! Removing objects: into the trash, out of it, for good.

use slotfs_object::now_secs;
use std::sync::Arc;

use super::objects::put;
use super::{
    Arrived, DamagedRow, Done, Hsm, ObjectFile, Partition, Read, Session, TrashName, decode_own,
};
use super::{Error, Result, SlotError};
use slotfs_object::sealed::SealedRow;
use slotfs_object::{Handle, Object};
use slotfs_store::{self as store, Entry, Place, Trashed};

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
    /// `None` for one whose time has come: it is as good as destroyed.
    fn of(session: &Session, found: Trashed) -> Option<Self> {
        let until_secs = found
            .trashed_secs
            .saturating_add(session.row().retention_secs);
        (until_secs > now_secs()).then(|| Self {
            object: ObjectFile::of(session, &found.entry),
            name: TrashName {
                handle: found.entry.handle,
                nth: found.nth,
            },
            trashed_secs: found.trashed_secs,
            until_secs,
            found,
        })
    }
}

impl Hsm {
    /// Removes the object that was found before, as long as its handle still names it: another object that
    /// has the handle by now is none of this. `destroy`: not to the trash.
    ///
    /// Calls `done` as [`Self::remove`] does.
    pub fn remove_found(&self, found: &ObjectFile, destroy: bool, done: impl Done<Removed>) {
        let (slot, handle) = (found.slot, found.handle);
        match self.partition(slot).entry(handle) {
            Ok(entry) if entry.id == found.id => self.remove_entry(entry, destroy, done),
            Ok(_) => done(Err(SlotError::NoSuchObject(handle).at(slot))),
            Err(error) => done(Err(error)),
        }
    }

    fn remove_entry(&self, entry: Entry, destroy: bool, done: impl Done<Removed>) {
        let session = match self.partition(entry.slot).writer() {
            Ok(session) => session,
            Err(error) => return done(Err(error)),
        };
        let version = session.row().as_version();
        let removed = match session.row().retention_secs {
            0 => Removed::Destroyed,
            _ if destroy => Removed::Destroyed,
            _ => Removed::ToTrash,
        };
        let told = move |outcome: store::Result<()>| {
            if outcome.is_ok() {
                let Entry {
                    slot, handle, ouid, ..
                } = entry;
                let what = match removed {
                    Removed::ToTrash => "is in the trash",
                    Removed::Destroyed => "was destroyed",
                };
                log::info!("slot {slot}: object {handle} ({ouid}) {what}");
            }
            done(outcome.map(|()| removed).map_err(Error::from));
        };
        match removed {
            Removed::Destroyed => self.store.destroy(entry, version, told),
            Removed::ToTrash => {
                let alike = move |one: (Place, &SealedRow), other: (Place, &SealedRow)| {
                    let opened = |(place, row)| session.open_row(place, row);
                    matches!((opened(one), opened(other)), (Ok(one), Ok(other)) if one == other)
                };
                self.store.trash(entry, version, Box::new(alike), told);
            }
        }
    }

    /// What is in the trash in row `id`.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::NotLoggedIn`]
    pub fn find_trashed_by_id(&self, id: i64) -> Result<TrashFile> {
        let found = self.store.trashed_by_id(id)?.ok_or(Error::Gone)?;
        let session = self.partition(found.entry.slot).session()?;
        TrashFile::of(&session, found).ok_or(Error::Gone)
    }

    /// The damaged object in row `id`, for it to be destroyed.
    ///
    /// # Errors
    /// [`Error::NotDamaged`] for a whole one, [`Error::Gone`].
    pub fn damaged_row(&self, id: i64) -> Result<DamagedRow> {
        Ok(self.store.damaged_row(id)?)
    }

    /// The object in the trash, opened, for who lists it: no blob of it is ever sealed.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::NotLoggedIn`], [`Error::Damaged`]
    pub fn open_trashed(&self, it: &TrashFile) -> Result<Object> {
        let (session, payload) = self.trashed_payload(it)?;
        decode_own(session.slot(), it.object.handle, payload.bytes())
    }

    /// Brings an object back from the trash, under `want` or any free handle. It has its row, its identity and its
    /// content again; where the slot holds the same object by now, it just leaves the trash.
    ///
    /// Calls `done` with [`Error::HandleTaken`], [`Error::IdentityClash`], [`Error::SlotFull`], [`Error::Gone`],
    /// [`Error::ReadOnly`], or what the disk says.
    pub fn restore(&self, it: &TrashFile, want: Option<Handle>, done: impl Done<Arrived>) {
        let found = it.found;
        let prepared = || {
            let session = self.partition(it.object.slot).writer()?;
            let (_, payload) = self.trashed_payload(it)?;
            let object = decode_own(session.slot(), it.object.handle, payload.bytes())?;
            Ok(put(&session, &object, payload, want))
        };
        match prepared() {
            Ok(put) => self.store.restore(found, put, move |stored| {
                let outcome = stored.map(Arrived::from).map_err(Error::from);
                if let Ok(arrived) = &outcome {
                    let Entry { slot, ouid, .. } = found.entry;
                    log::info!(
                        "slot {slot}: object {ouid} came back from the trash, as handle {}",
                        arrived.handle
                    );
                }
                done(outcome);
            }),
            Err(error) => done(Err(error)),
        }
    }

    /// Destroys what is in the trash.
    ///
    /// Calls `done` with [`Error::Gone`], [`Error::ReadOnly`], or what the disk says.
    pub fn destroy_trashed(&self, it: &TrashFile, done: impl Done<()>) {
        let entry = it.found.entry;
        match self.partition(entry.slot).writer() {
            Ok(session) => {
                let version = session.row().as_version();
                self.store
                    .destroy_trashed(it.found, version, move |outcome| {
                        if outcome.is_ok() {
                            log::info!(
                                "slot {}: object {} ({}), which was in the trash, was destroyed",
                                entry.slot,
                                entry.handle,
                                entry.ouid
                            );
                        }
                        done(outcome.map_err(Error::from));
                    });
            }
            Err(error) => done(Err(error)),
        }
    }

    /// Destroys what is in the trash of any slot past its retention; nobody needs to be logged in for that.
    ///
    /// # Errors
    /// What the disk says.
    pub fn empty_expired_trash(&self) -> Result<()> {
        if self.is_read_only() || !self.store.has_expired()? {
            return Ok(());
        }
        let destroyed = self.store.purge()?;
        log::info!("{destroyed} objects were destroyed: their time in the trash had passed");
        Ok(())
    }

    fn trashed_payload(
        &self,
        it: &TrashFile,
    ) -> Result<(Arc<Session>, slotfs_object::secret::SecretBytes)> {
        let (entry, row) = self
            .store
            .trashed_sealed(it.object.id)?
            .ok_or(Error::Gone)?;
        let session = self.partition(entry.slot).reader()?;
        let payload = self.open_entry(&session, &entry, &row)?;
        Ok((session, payload))
    }
}

impl Partition<'_> {
    /// Removes the object `handle`: to the trash, or for good where the slot keeps none.
    ///
    /// Calls `done` with [`Error::NoSuchObject`], [`Error::ReadOnly`], [`Error::TrashFull`], or what the disk says.
    pub fn remove(&self, handle: Handle, done: impl Done<Removed>) {
        match self.entry(handle) {
            Ok(entry) => self.hsm.remove_entry(entry, false, done),
            Err(error) => done(Err(error)),
        }
    }

    /// What is in the trash under `name`.
    ///
    /// # Errors
    /// [`Error::NotLoggedIn`], [`Error::NotInTrash`]
    pub fn find_trashed(&self, name: TrashName) -> Result<TrashFile> {
        let session = self.session()?;
        self.hsm
            .store
            .trashed(self.slot, name.handle, name.nth)?
            .and_then(|found| TrashFile::of(&session, found))
            .ok_or_else(|| SlotError::NotInTrash(name.to_string()).at(self.slot))
    }

    /// Up to `most` objects of a slot's trash in rows after `after`, ascending; none at the end. Damaged ones never expire.
    ///
    /// # Errors
    /// [`Error::NotLoggedIn`]
    pub fn list_trash(&self, after: i64, most: usize) -> Result<Vec<Read<TrashFile>>> {
        let session = self.session()?;
        let mut after = after;
        loop {
            let found = self.hsm.store.list_trash(self.slot, after, most)?;
            let Some(last) = found.last() else {
                return Ok(Vec::new());
            };
            after = match last {
                Ok(last) => last.entry.id,
                Err(last) => last.id,
            };
            let kept: Vec<Read<TrashFile>> = found
                .into_iter()
                .filter_map(|found| match found {
                    Ok(found) => TrashFile::of(&session, found).map(Ok),
                    Err(damaged) => Some(Err(damaged)),
                })
                .collect();
            // A page of which all has expired is not the end.
            if !kept.is_empty() {
                return Ok(kept);
            }
        }
    }

    /// Destroys a damaged object at once: nothing of it can go to the trash. `slot` is the one that is logged in to; a
    /// row of another one is none of this, a row of no slot at all is.
    ///
    /// Calls `done` with [`Error::Gone`] when its row is another by now, [`Error::ReadOnly`], or what the disk says.
    pub fn destroy_damaged(&self, found: DamagedRow, done: impl Done<()>) {
        let (hsm, slot) = (self.hsm, self.slot);
        let session = self.writer().and_then(|session| match found.slot {
            Some(of) if of != slot && hsm.store.mark(of)?.is_some() => {
                Err(SlotError::NotLoggedIn.at(of))
            }
            _ => Ok(session),
        });
        match session {
            Ok(session) => {
                let text = found.to_string();
                let version = session.row().as_version();
                hsm.store.destroy_damaged(found, version, move |outcome| {
                    if outcome.is_ok() {
                        log::warn!("{text}; it was destroyed");
                    }
                    done(outcome.map_err(Error::from));
                });
            }
            Err(error) => done(Err(error)),
        }
    }

    /// How many objects are in a slot's trash.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn trash_count(&self) -> Result<u64> {
        Ok(self.hsm.store.trash_count(self.slot)?)
    }
}
