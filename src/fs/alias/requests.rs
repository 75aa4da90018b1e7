//! What requests do with aliases.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use fuser::{FileAttr, FileHandle, OpenFlags};

use super::Alias;
use crate::error::{Error, IncomingError, Result};
use crate::fs::Inner;
use crate::fs::asker;
use crate::fs::attr::{NO_TTL, time};
use crate::fs::handles::{OpenFile, lock};
use crate::fs::incoming::{Ends, Incoming};
use crate::fs::lookup::Seen;
use crate::fs::name;
use crate::fs::node::Node;
use crate::fs::open::verdict_at;
use crate::fs::rename::Spot;
use crate::fs::staging::Place;
use crate::fs::{Done, told};
use crate::hsm::{self, Arrived, ObjectFile, Removed, SlotFault, Wish, cut_short};
use crate::object::{Handle, SlotId};

/// What an alias leads to.
enum Found {
    /// An object.
    Stored(Alias, ObjectFile),
    /// Nothing yet; this open file writes to it.
    Coming(Alias, FileHandle),
    /// Nothing, and nobody writes to it.
    Placeholder(Alias),
}

impl Inner {
    fn find_alias(&self, place: Place, name: &OsStr) -> Result<Option<Found>> {
        let Some(alias) = self.aliases.find(place, name) else {
            return Ok(None);
        };
        if let Some(row) = alias.row {
            match self.hsm.find_by_id(row) {
                Ok(object) if object.slot == place.slot => {
                    return Ok(Some(Found::Stored(alias, object)));
                }
                // Another process removed it.
                Ok(_) | Err(hsm::Error::Gone) => self.aliases.left(row),
                Err(error) => return Err(error.into()),
            }
        }
        // The latest one: its writer is the most likely to ask.
        let coming = alias.writers.iter().rev().map(|file| FileHandle(*file));
        let mut coming = coming.filter(|file| self.is_coming(*file));
        Ok(match coming.next() {
            Some(file) => Some(Found::Coming(alias, file)),
            None => alias.placeholder.then_some(Found::Placeholder(alias)),
        })
    }

    fn is_coming(&self, file: FileHandle) -> bool {
        match self.files.get(file).as_deref() {
            Some(OpenFile::Incoming(incoming)) => lock(incoming).is_coming(),
            _ => false,
        }
    }

    /// lookup(2) of an alias, or of a temporary file of rsync that is named like one. Nothing of it may be remembered:
    /// the next rename ends it.
    pub(in crate::fs) fn lookup_alias(&self, place: Place, name: &OsStr) -> Result<Seen> {
        let session = self.hsm.partition(place.slot).session()?;
        match self.find_alias(place, name)? {
            Some(Found::Stored(alias, object)) => {
                let node = Node::Alias(alias.id);
                Ok((self.object_attr(&session, &object, node), NO_TTL))
            }
            Some(Found::Coming(_, file)) => {
                let (attr, _) = self.getattr(Node::Incoming(file.0))?;
                Ok((attr, NO_TTL))
            }
            Some(Found::Placeholder(alias)) => self.alias_attr(alias.id),
            None => self.lookup_staged(place, name),
        }
    }

    /// The object that an alias leads to, or led to when it ended: a descriptor still has attributes.
    pub(in crate::fs) fn alias_attr(&self, id: u64) -> Result<Seen> {
        let Some((_, row)) = self.aliases.target(id) else {
            let alias = self.aliases.by_id(id).ok_or(Error::Gone)?;
            let session = self.hsm.partition(alias.place.slot).session()?;
            let owner = self.owner.of_slot(session.row());
            let time = time(self.hsm.created_secs());
            return Ok((owner.file(Node::Alias(id), 0o666, 0, time), NO_TTL));
        };
        let object = match self.hsm.find_by_id(row) {
            Err(hsm::Error::Gone) => {
                let (object, partition) = self.files.opened_object(row).ok_or(Error::Gone)?;
                self.hsm.check_partition(partition)?;
                object
            }
            found => found?,
        };
        let session = self.hsm.partition(object.slot).session()?;
        Ok((self.object_attr(&session, &object, Node::Alias(id)), NO_TTL))
    }

    /// Creates an alias: it comes to exist with the verdict.
    pub(in crate::fs) fn create_alias(
        &self,
        (place, name): (Place, &OsStr),
        wish: Wish,
        flags: i32,
        pid: u32,
    ) -> Result<(FileAttr, FileHandle)> {
        self.hsm.partition(place.slot).may_write()?;
        if asker::makes_temporary(pid, flags) {
            return self.create_staged(place, name, flags, pid);
        }
        let exclusive = flags & libc::O_EXCL != 0;
        if exclusive && self.find_alias(place, name)?.is_some() {
            return Err(IncomingError::NameTaken.at(place.slot));
        }
        // mktemp(1) and Java's createTempFile close it and have others open it by its name.
        let placeholder = exclusive && flags & libc::O_ACCMODE == libc::O_RDWR;
        let how = (verdict_at(flags), exclusive && !placeholder);
        let incoming = Incoming::new(place.slot, wish, how.0, how.1);
        let file = self.add_incoming(incoming, pid)?;
        self.write_alias((place, name, wish), file, placeholder)?;
        let (attr, _) = self.getattr(Node::Incoming(file.0))?;
        Ok((attr, file))
    }

    /// Opens an alias for writing. What it leads to is not touched.
    pub(in crate::fs) fn open_alias(
        &self,
        id: u64,
        flags: OpenFlags,
        pid: u32,
    ) -> Result<FileHandle> {
        let alias = self.aliases.by_id(id).ok_or(Error::Gone)?;
        let slot = alias.place.slot;
        self.hsm.partition(slot).may_write()?;
        let incoming = Incoming::new(slot, alias.wish, verdict_at(flags.0), false);
        let file = self.add_incoming(incoming.over(Node::Alias(id), pid), pid)?;
        self.write_alias((alias.place, &alias.name, alias.wish), file, false)
    }

    /// Opens what comes in under an alias once more; a name that is gone since is not made again.
    pub(in crate::fs) fn reopen_alias(&self, id: u64, file: FileHandle) -> Result<FileHandle> {
        match self.aliases.by_id(id) {
            Some(alias) => self.write_alias((alias.place, &alias.name, alias.wish), file, false),
            None => Ok(file),
        }
    }

    fn write_alias(
        &self,
        alias: (Place, &OsStr, Wish),
        file: FileHandle,
        placeholder: bool,
    ) -> Result<FileHandle> {
        match self.aliases.open(alias, file.0, placeholder) {
            Ok(id) => {
                // Before anybody knows the open file's number.
                if let Some(OpenFile::Incoming(incoming)) = self.files.get(file).as_deref() {
                    lock(incoming).alias = Some((id, alias.1.to_owned()));
                }
                Ok(file)
            }
            Err(error) => {
                self.files.remove(file);
                Err(error)
            }
        }
    }

    /// A blob was stored, or found there. `row` was reserved for it.
    pub(in crate::fs) fn arrived(
        &self,
        slot: SlotId,
        alias: Option<u64>,
        row: Option<i64>,
        arrived: &Arrived,
    ) {
        self.aliases.named(slot, arrived.handle);
        let Some(id) = alias else {
            return;
        };
        let found = match row {
            Some(row) if !arrived.already => self.hsm.find_by_id(row),
            _ => self.hsm.partition(slot).find(arrived.handle),
        };
        match found {
            Ok(object) if object.slot == slot => {
                self.aliases.leads_to(id, &object, !arrived.already);
            }
            // Removed, moved or logged out since.
            Ok(_) | Err(_) => log::debug!("slot {slot}: an alias leads nowhere any more"),
        }
    }

    /// unlink(2). The object goes with its alias only if it is there by this alias alone: what a tool takes for its own
    /// half-written file. Any other is somebody else's.
    pub(in crate::fs) fn unlink_alias(
        self: &Arc<Self>,
        place: Place,
        name: &OsStr,
        done: impl Done<()>,
    ) {
        match self.find_alias(place, name) {
            Ok(Some(Found::Stored(alias, object))) if self.aliases.owns(alias.id, &object) => {
                self.remove_found(object, done);
            }
            Ok(Some(
                Found::Stored(alias, _) | Found::Coming(alias, _) | Found::Placeholder(alias),
            )) => {
                self.aliases.end(alias.id);
                done(Ok(()));
            }
            Ok(None) => done(Err(Error::NoSuchFile)),
            Err(error) => done(Err(error)),
        }
    }

    fn remove_found(self: &Arc<Self>, object: ObjectFile, done: impl Done<()>) {
        let inner = Arc::clone(self);
        let removed = move |outcome: Result<Removed>| {
            if outcome.is_ok() {
                inner.aliases.left(object.id);
                inner.forget_objects(&[object.id]);
            }
            done(outcome.map(drop));
        };
        self.hsm.remove_found(&object, false, told(removed));
    }

    /// rename(2) of an alias. Where nothing is stored under it yet, this is when its verdict is due.
    pub(in crate::fs) fn rename_alias(
        self: &Arc<Self>,
        (place, name): (Place, OsString),
        to: (Spot, OsString),
        keep_existing: bool,
        done: impl Done<()>,
    ) {
        if !matches!(to.0, Spot::Object(..) | Spot::Trashed(..)) {
            return done(name::refuse_target(to.0.slot(), &to.1));
        }
        match self.find_alias(place, &name) {
            Ok(Some(Found::Stored(alias, object))) => {
                self.rename_stored((&alias, object), to.0, keep_existing, done);
            }
            Ok(Some(Found::Coming(_, file))) => {
                let inner = Arc::clone(self);
                self.flush(file, 0, Ends::Close, move |_| {
                    match inner.find_alias(place, &name) {
                        Ok(Some(Found::Stored(alias, object))) => {
                            inner.rename_stored((&alias, object), to.0, keep_existing, done);
                        }
                        Ok(Some(Found::Coming(_, file))) => done(Err(inner.unfinished(file))),
                        Ok(Some(Found::Placeholder(_))) => {
                            done(Err(cut_short(place.slot, &[]).into()))
                        }
                        Ok(None) => done(Err(Error::NoSuchFile)),
                        Err(error) => done(Err(error)),
                    }
                });
            }
            Ok(Some(Found::Placeholder(_))) => done(Err(cut_short(place.slot, &[]).into())),
            Ok(None) => done(Err(Error::NoSuchFile)),
            Err(error) => done(Err(error)),
        }
    }

    fn unfinished(&self, file: FileHandle) -> Error {
        let open = self.files.get(file);
        let why = match open.as_deref() {
            Some(OpenFile::Incoming(incoming)) => lock(incoming).release(),
            _ => None,
        };
        why.unwrap_or(Error::NoSuchFile)
    }

    fn rename_stored(
        self: &Arc<Self>,
        (alias, object): (&Alias, ObjectFile),
        to: Spot,
        keep_existing: bool,
        done: impl Done<()>,
    ) {
        let slot = object.slot;
        match to {
            Spot::Object(to, wish) if to != slot => self.move_found(object, to, wish, done),
            Spot::Object(_, Wish::Handle(handle)) => {
                self.settle((alias.id, object), handle, keep_existing, done);
            }
            Spot::Object(_, wish) => {
                let outcome = match (wish.check(slot, object.ouid), keep_existing) {
                    (Err(error), _) => Err(error.into()),
                    (Ok(()), true) => Err(IncomingError::NameTaken.at(slot)),
                    (Ok(()), false) => Ok(()),
                };
                if outcome.is_ok() {
                    self.aliases.named(slot, object.handle);
                    self.aliases.end(alias.id);
                }
                done(outcome);
            }
            Spot::Trashed(to, name) if (to, name.handle) == (slot, object.handle) => {
                self.remove_found(object, done);
            }
            Spot::Trashed(to, name) if to == slot => {
                done(name::refuse(slot, OsStr::new(&name.to_string())));
            }
            _ => done(Err(Error::NotSupported {
                what: "moving between a trash and another slot",
            })),
        }
    }

    /// The alias `id` of `object` is renamed to `handle`: the object gets that handle if it is free, and the alias ends.
    fn settle(
        self: &Arc<Self>,
        (id, object): (u64, ObjectFile),
        handle: Handle,
        keep_existing: bool,
        done: impl Done<()>,
    ) {
        let slot = object.slot;
        let inner = Arc::clone(self);
        let finish = move |outcome: Result<()>| {
            let outcome = match outcome {
                // As a write does: nothing is overwritten, and `clones` says where it is.
                Err(error) if error.is_handle_taken() && !keep_existing => {
                    inner.hsm.partition(slot).note_kept(object.handle, handle);
                    Ok(())
                }
                outcome => outcome,
            };
            if outcome.is_ok() {
                inner.aliases.named(slot, object.handle);
                inner.aliases.end(id);
                inner.forget_objects(&[object.id]);
            }
            done(outcome);
        };
        match self.hsm.partition(slot).find(handle) {
            Ok(there) if there.id == object.id && !keep_existing => finish(Ok(())),
            Ok(_) => {
                let taken = SlotFault::HandleTaken(handle).at(slot);
                finish(Err(hsm::Error::from(taken).into()));
            }
            Err(error) if error.is_no_such_object() => {
                self.hsm
                    .partition(slot)
                    .renumber(object.handle, handle, told(finish));
            }
            Err(error) => finish(Err(error.into())),
        }
    }
}
