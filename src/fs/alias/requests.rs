//! The requests on aliases.

use std::ffi::OsStr;
use std::sync::Arc;

use fuser::{FileAttr, FileHandle};

use super::Alias;
use crate::error::{Error, IncomingError, Result};
use crate::fs::attr::{NO_TTL, Seen, time};
use crate::fs::incoming::Ends;
use crate::fs::node::{AliasId, Node};
use crate::fs::open::Opener;
use crate::fs::rename::Spot;
use crate::fs::staging::Place;
use crate::fs::{Done, Inner, asker, for_hsm, name, unsupported};
use crate::hsm::{self, Arrived, Became, ObjectFile, SlotFault, Wish, cut_short};
use crate::object::{Handle, RowId, SlotId};

/// What an alias leads to.
enum Found {
    /// An object.
    Stored(AliasId, ObjectFile),
    /// Nothing yet; this open file writes to it.
    Coming(AliasId, FileHandle),
    /// Nothing, and nobody writes to it.
    Placeholder(AliasId),
}

impl Inner {
    fn find_alias(&self, place: Place, name: &OsStr) -> Result<Option<Found>> {
        let Some(alias) = self.aliases.find(place, name) else {
            return Ok(None);
        };
        let Alias { id, writers, .. } = alias;
        if let Some(row) = alias.row {
            match self.hsm.find_by_id(row) {
                Ok(object) if object.slot == place.slot => {
                    return Ok(Some(Found::Stored(id, object)));
                }
                // Another process removed it.
                Ok(_) | Err(hsm::Error::Gone) => self.aliases.left(row),
                Err(error) => return Err(error.into()),
            }
        }
        // The latest one, because its writer is the most likely to ask.
        let mut coming = writers.into_iter().rev().filter(|handle| {
            let file = self.files.incoming(*handle);
            file.is_some_and(|file| file.lock().is_coming())
        });
        Ok(match coming.next() {
            Some(handle) => Some(Found::Coming(id, handle)),
            None => alias.placeholder.then_some(Found::Placeholder(id)),
        })
    }

    /// As [`Self::find_alias`], of an alias that must be there.
    fn existing_alias(&self, place: Place, name: &OsStr) -> Result<Found> {
        self.find_alias(place, name)?.ok_or(Error::NoSuchFile)
    }

    /// A lookup of an alias, or of a temporary file of rsync with a name like an alias. The kernel may remember nothing of
    /// it, because the next rename ends it.
    pub(in crate::fs) fn lookup_alias(&self, place: Place, name: &OsStr) -> Result<Seen> {
        let session = self.hsm.partition(place.slot).session()?;
        match self.find_alias(place, name)? {
            Some(Found::Stored(id, object)) => {
                let node = Node::Alias(id);
                Ok((self.object_attr(&session, &object, node), NO_TTL))
            }
            Some(Found::Coming(_, handle)) => Ok((self.incoming_attr(handle)?.0, NO_TTL)),
            Some(Found::Placeholder(id)) => self.alias_attr(id),
            None => self.lookup_staged(place, name),
        }
    }

    /// The attributes of the object that an alias leads to, or led to when it ended: a descriptor still has attributes.
    pub(in crate::fs) fn alias_attr(&self, id: AliasId) -> Result<Seen> {
        let Some((_, row)) = self.aliases.target(id) else {
            let alias = self.aliases.by_id(id).ok_or(Error::Gone)?;
            let session = self.hsm.partition(alias.place.slot).session()?;
            let owner = self.owner.of_slot(session.row());
            let time = time(self.hsm.created_secs());
            return Ok((owner.file(Node::Alias(id), 0o666, 0, time), NO_TTL));
        };
        let object = match self.hsm.find_by_id(row) {
            Err(hsm::Error::Gone) => self.opened_object(row)?.ok_or(Error::Gone)?,
            found => found?,
        };
        let session = self.hsm.partition(object.slot).session()?;
        Ok((self.object_attr(&session, &object, Node::Alias(id)), NO_TTL))
    }

    /// Creates an alias; it exists from the verdict on.
    pub(in crate::fs) fn create_alias(
        &self,
        (place, name): (Place, &OsStr),
        wish: Wish,
        by: Opener,
    ) -> Result<(FileAttr, FileHandle)> {
        self.may_write(place.slot)?;
        if asker::makes_temporary(by) {
            return self.create_staged(place, name, by);
        }
        let exclusive = by.has(libc::O_EXCL);
        if exclusive && self.find_alias(place, name)?.is_some() {
            return Err(IncomingError::NameTaken.at(place.slot));
        }
        // mktemp(1) and Java's createTempFile close it, and other programs open it by its name.
        let placeholder = exclusive && by.flags & libc::O_ACCMODE == libc::O_RDWR;
        let incoming = by.incoming(place.slot, exclusive && !placeholder);
        let handle = self.add_incoming(wish, incoming, by)?;
        self.write_alias((place, name, wish), handle, placeholder)?;
        Ok((self.incoming_attr(handle)?.0, handle))
    }

    /// Opens an alias for writing. The object that it leads to is not touched.
    pub(in crate::fs) fn open_alias(&self, id: AliasId, by: Opener) -> Result<FileHandle> {
        let alias = self.aliases.by_id(id).ok_or(Error::Gone)?;
        let incoming = by.incoming(alias.place.slot, false);
        let incoming = incoming.over(Node::Alias(id), by.pid());
        let file = self.add_incoming(alias.wish, incoming, by)?;
        self.write_alias((alias.place, &alias.name, alias.wish), file, false)
    }

    /// Makes `file` a writer of an alias, or closes it if that is not possible.
    pub(in crate::fs) fn write_alias(
        &self,
        alias: (Place, &OsStr, Wish),
        file: FileHandle,
        placeholder: bool,
    ) -> Result<FileHandle> {
        let opened = self.aliases.open(alias, file, placeholder);
        let id = opened.inspect_err(|_| drop(self.files.remove(file)))?;
        // Nobody else knows the open file's number yet.
        if let Some(incoming) = self.files.incoming(file) {
            let _ = incoming.alias.set((id, alias.1.to_owned()));
        }
        Ok(file)
    }

    /// A blob was stored, or its object was there already. `row` was reserved for it.
    pub(in crate::fs) fn arrived(
        &self,
        slot: SlotId,
        alias: Option<AliasId>,
        row: Option<RowId>,
        arrived: &Arrived,
    ) {
        self.aliases.named(slot, arrived.handle);
        self.took_place(arrived);
        let Some(id) = alias else {
            return;
        };
        let found = match row {
            Some(row) if arrived.is_stored() => self.hsm.find_by_id(row),
            _ => self.hsm.partition(slot).find(arrived.handle),
        };
        match found {
            Ok(object) if object.slot == slot => {
                // The object of an earlier revision is not the alias's own.
                let stored = arrived.became == Became::New;
                self.aliases.leads_to(id, &object, stored);
            }
            // Removed, moved or logged out since.
            Ok(_) | Err(_) => log::debug!("slot {slot}: an alias leads nowhere any more"),
        }
    }

    /// An object came in the place of an earlier revision: whoever knows the former inode is to ask again.
    pub(in crate::fs) fn took_place(&self, arrived: &Arrived) {
        if let Some(row) = arrived.replaced() {
            self.aliases.left(row);
            self.forget_objects([row]);
        }
    }

    /// unlink(2). The object is removed with its alias only if nothing but the alias needs it: to the tool, it is its own
    /// half-written file.
    pub(in crate::fs) fn unlink_alias(
        self: &Arc<Self>,
        place: Place,
        name: &OsStr,
        done: impl Done<()>,
    ) {
        match or_answer!(done, self.existing_alias(place, name)) {
            Found::Stored(id, object) if self.aliases.owns(id, &object) => {
                self.remove_found(object, done);
            }
            Found::Stored(id, _) | Found::Coming(id, _) | Found::Placeholder(id) => {
                self.aliases.end(id);
                done(Ok(()));
            }
        }
    }

    fn remove_found(self: &Arc<Self>, object: ObjectFile, done: impl Done<()>) {
        let removed = self.after_removal(object.id, done);
        self.hsm.remove_found(&object, false, for_hsm(removed));
    }

    /// rename(2) of an alias. If nothing is stored under it yet, this asks for the verdict.
    pub(in crate::fs) fn rename_alias(
        self: &Arc<Self>,
        (place, name): (Place, &OsStr),
        (to, newname): (Spot<'_>, &OsStr),
        keep_existing: bool,
        done: impl Done<()>,
    ) {
        let to = match to {
            Spot::Object(slot, wish) => Spot::Object(slot, wish),
            Spot::Trashed(slot, name) => Spot::Trashed(slot, name),
            _ => return done(name::refuse_target(to.slot(), newname)),
        };
        match or_answer!(done, self.existing_alias(place, name)) {
            Found::Coming(_, file) => {
                let (inner, name) = (Arc::clone(self), name.to_owned());
                self.flush(file, 0, Ends::Close, move |_| {
                    let found = or_answer!(done, inner.existing_alias(place, &name));
                    inner.rename_found(found, place.slot, to, keep_existing, done);
                });
            }
            found => self.rename_found(found, place.slot, to, keep_existing, done),
        }
    }

    fn rename_found(
        self: &Arc<Self>,
        found: Found,
        slot: SlotId,
        to: Spot<'_>,
        keep_existing: bool,
        done: impl Done<()>,
    ) {
        let (id, object) = match found {
            Found::Stored(id, object) => (id, object),
            Found::Coming(_, file) => {
                let file = self.files.incoming(file);
                let why = file.and_then(|file| file.lock().release());
                return done(Err(why.unwrap_or(Error::NoSuchFile)));
            }
            Found::Placeholder(_) => return done(Err(cut_short(slot, &[]).into())),
        };
        match to {
            Spot::Object(to, wish) if to != slot => self.move_found(object, to, wish, done),
            Spot::Object(_, Wish::Handle(handle)) => {
                self.renumber_alias((id, object), handle, keep_existing, done);
            }
            Spot::Object(_, wish) => {
                or_answer!(done, wish.check(slot, object.ouid));
                if keep_existing {
                    return done(Err(IncomingError::NameTaken.at(slot)));
                }
                self.aliases.named(slot, object.handle);
                self.aliases.end(id);
                done(Ok(()));
            }
            Spot::Trashed(to, name) if (to, name.handle) == (slot, object.handle) => {
                self.remove_found(object, done);
            }
            Spot::Trashed(to, name) if to == slot => {
                done(name::refuse(slot, OsStr::new(&name.to_string())));
            }
            _ => done(unsupported("moving between a trash and another slot")),
        }
    }

    /// The alias `id` of `object` is renamed to `handle`: the object gets that handle if it is free, and the alias ends.
    fn renumber_alias(
        self: &Arc<Self>,
        (id, object): (AliasId, ObjectFile),
        handle: Handle,
        keep_existing: bool,
        done: impl Done<()>,
    ) {
        let slot = object.slot;
        let inner = Arc::clone(self);
        let finish = move |outcome: Result<()>| {
            let outcome = match outcome {
                // Like a write: nothing is overwritten, and `clones` shows the object's handle.
                Err(error) if error.is_handle_taken() && !keep_existing => {
                    inner.hsm.partition(slot).note_kept(object.handle, handle);
                    Ok(())
                }
                outcome => outcome,
            };
            if outcome.is_ok() {
                inner.aliases.named(slot, object.handle);
                inner.aliases.end(id);
                inner.forget_objects([object.id]);
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
                    .renumber(object.handle, handle, for_hsm(finish));
            }
            Err(error) => finish(Err(error.into())),
        }
    }
}
