//! Renaming and removing.

use std::ffi::OsStr;
use std::sync::Arc;

use fuser::RenameFlags;

use super::control::ControlFile;
use super::lookup::parse;
use super::name::{self, Name};
use super::node::Node;
use super::staging::{Folder, Place, Staged};
use super::{Done, Inner, for_hsm, unsupported};
use crate::error::{Error, Result};
use crate::hsm::{self, Arrived, ObjectFile, SlotFault, Source, TrashFile, TrashName, Wish};
use crate::object::{Handle, RowId, SlotId};

/// A name and its folder: what renaming and removing work on.
#[derive(Clone, Copy)]
pub(super) enum Spot<'a> {
    /// A staging file or folder.
    Staged(Place, &'a OsStr),
    /// An object, or what would be one: in the slot's own folder or in `.slotfs/ouid`, as the wish says.
    Object(SlotId, Wish),
    /// An object in the trash.
    Trashed(SlotId, TrashName),
    /// An alias.
    Alias(Place, &'a OsStr),
    /// A name that no slot can hold.
    Other(SlotId),
}

impl Spot<'_> {
    pub(super) fn slot(self) -> SlotId {
        match self {
            Self::Staged(place, _) | Self::Alias(place, _) => place.slot,
            Self::Object(slot, _) | Self::Trashed(slot, _) | Self::Other(slot) => slot,
        }
    }

    /// The spot as the target of a rename. Nothing is renamed to an alias, or `cp --backup`, editors and
    /// `mv .slotfs/trash/124.2 .` would take an object's name away.
    fn into_target(self) -> Self {
        match self {
            Self::Alias(place, _) => Self::Other(place.slot),
            Self::Staged(place, name)
                if !matches!(place.folder, Folder::Staging(_))
                    && !name.as_encoded_bytes().starts_with(b".") =>
            {
                Self::Other(place.slot)
            }
            spot => spot,
        }
    }
}

impl Inner {
    fn spot<'a>(&self, parent: Node, name: &'a OsStr, what: &'static str) -> Result<Spot<'a>> {
        if let Some(place) = self.place(parent)? {
            let slot = place.slot;
            return Ok(match Name::parse(place.folder, name) {
                Name::Object(Wish::Any) | Name::Other => Spot::Other(slot),
                Name::Object(wish) => Spot::Object(slot, wish),
                Name::Staging => Spot::Staged(place, name),
                // A temporary file of rsync may have a name like an alias.
                Name::Alias(_) if self.staging.find(place, name).is_some() => {
                    Spot::Staged(place, name)
                }
                Name::Alias(_) => Spot::Alias(place, name),
                Name::Hidden => return unsupported(what),
            });
        }
        match parent {
            Node::Control(Some(slot), ControlFile::Trash) => {
                Ok(parse(name).map_or(Spot::Other(slot), |name| Spot::Trashed(slot, name)))
            }
            _ => unsupported(what),
        }
    }

    /// Checks that the role that is logged in to a slot may write.
    pub(super) fn may_write(&self, slot: SlotId) -> Result<()> {
        Ok(self.hsm.partition(slot).may_write()?)
    }

    /// The place and name of a staging folder to make or remove.
    fn folder_spot<'a>(
        &self,
        parent: Node,
        name: &'a OsStr,
        what: &'static str,
    ) -> Result<(Place, &'a OsStr)> {
        match self.spot(parent, name, what)? {
            Spot::Staged(place, name) if !matches!(place.folder, Folder::Staging(_)) => {
                self.may_write(place.slot)?;
                Ok((place, name))
            }
            _ => unsupported(what),
        }
    }

    /// mkdir(2), of a staging folder.
    pub fn mkdir(&self, parent: Node, name: &OsStr, pid: u32) -> Result<Node> {
        let (place, name) = self.folder_spot(parent, name, "mkdir")?;
        let id = self.staging.create_folder(place, name, pid)?;
        Ok(Node::StagingFolder(id))
    }

    /// rmdir(2), of a staging folder.
    pub fn rmdir(&self, parent: Node, name: &OsStr) -> Result<()> {
        let (place, name) = self.folder_spot(parent, name, "rmdir")?;
        self.staging.remove_folder(place, name)
    }

    /// unlink(2): an object goes to the trash, an object in the trash is destroyed.
    pub fn unlink(self: &Arc<Self>, parent: Node, name: &OsStr, done: impl Done<()>) {
        let spot = or_answer!(done, self.spot(parent, name, "unlink"));
        or_answer!(done, self.may_write(spot.slot()));
        match spot {
            Spot::Object(slot, wish) => self.unlink_object(slot, wish, done),
            Spot::Trashed(slot, name) => match self.hsm.partition(slot).find_trashed(name) {
                Err(hsm::Error::ObjectDamaged(row)) => {
                    self.hsm.partition(slot).destroy_damaged(row, for_hsm(done));
                }
                trashed => {
                    let trashed = or_answer!(done, trashed);
                    self.hsm.destroy_trashed(&trashed, for_hsm(done));
                }
            },
            Spot::Staged(place, name) => done(self.staging.remove(place, name)),
            Spot::Alias(place, name) => self.unlink_alias(place, name, done),
            Spot::Other(_) => done(Err(Error::NoSuchFile)),
        }
    }

    fn unlink_object(self: &Arc<Self>, slot: SlotId, wish: Wish, done: impl Done<()>) {
        let object = match self.named(slot, wish) {
            // The trash keeps only objects that can be restored.
            Err(Error::Hsm(hsm::Error::ObjectDamaged(row))) => {
                let inner = Arc::clone(self);
                let id = row.id;
                let destroyed = move |outcome| {
                    inner.forget_objects([id]);
                    done(outcome);
                };
                return self
                    .hsm
                    .partition(slot)
                    .destroy_damaged(row, for_hsm(destroyed));
            }
            object => or_answer!(done, object),
        };
        let removed = self.after_removal(object.id, done);
        self.hsm
            .partition(slot)
            .remove(object.handle, for_hsm(removed));
    }

    /// What follows the removal of the object in `row`: its aliases end, and the kernel asks for it again.
    pub(super) fn after_removal<T>(
        self: &Arc<Self>,
        row: RowId,
        done: impl Done<()>,
    ) -> impl Done<T> {
        let inner = Arc::clone(self);
        move |outcome: Result<T>| {
            if outcome.is_ok() {
                inner.aliases.left(row);
                inner.forget_objects([row]);
            }
            done(outcome.map(drop));
        }
    }

    /// renameat2(2). The kernel gives the new name the inode of the old one. The inode of a staging file becomes its
    /// object's. The inode of a moved object then belongs to no object: its attributes are invalidated, so the kernel asks
    /// for them, gets ESTALE and looks the name up again.
    pub fn rename(
        self: &Arc<Self>,
        (from, name): (Node, &OsStr),
        (to, newname): (Node, &OsStr),
        flags: RenameFlags,
        done: impl Done<()>,
    ) {
        let from = or_answer!(done, self.spot(from, name, "rename"));
        let to = or_answer!(done, self.spot(to, newname, "rename")).into_target();
        or_answer!(done, self.may_write(from.slot()));
        or_answer!(done, self.may_write(to.slot()));
        if !flags.difference(RenameFlags::RENAME_NOREPLACE).is_empty() {
            return done(name::refuse(to.slot(), newname));
        }
        let keep_existing = flags.contains(RenameFlags::RENAME_NOREPLACE);
        match (from, to) {
            // The kernel does not remember the names of staging files.
            (Spot::Staged(from, name), Spot::Staged(to, newname)) => {
                let renamed = self
                    .staging
                    .rename((from, name), (to, newname), keep_existing);
                done(renamed);
            }
            (Spot::Staged(from, name), Spot::Object(to, wish)) => {
                self.publish((from, name), (to, wish), keep_existing, done);
            }
            (Spot::Object(from, was), Spot::Object(to, wish)) => {
                self.rename_object((from, was), (to, wish), done);
            }
            (Spot::Object(from, was), Spot::Trashed(to, name)) if from == to => {
                self.move_to_trash(from, was, name, done);
            }
            (Spot::Trashed(from, name), Spot::Object(to, wish)) if from == to => {
                self.restore(from, name, wish, done);
            }
            (Spot::Trashed(from, name), Spot::Trashed(to, new)) if (from, name) == (to, new) => {
                let there = self.hsm.partition(from).find_trashed(name);
                done(there.map(drop).map_err(Error::from));
            }
            (Spot::Alias(place, name), to) => {
                self.rename_alias((place, name), (to, newname), keep_existing, done);
            }
            // Objects neither leave a slot through its trash nor enter another slot's trash.
            (Spot::Trashed(..), Spot::Object(..)) | (Spot::Object(..), Spot::Trashed(..)) => {
                done(unsupported("moving between a trash and another slot"));
            }
            (Spot::Other(_), _) => done(Err(Error::NoSuchFile)),
            (_, to) => done(name::refuse_target(to.slot(), newname)),
        }
    }

    /// `mv 124 .slotfs/trash/`: as rm does, whatever number the object gets in the trash.
    fn move_to_trash(
        self: &Arc<Self>,
        slot: SlotId,
        was: Wish,
        name: TrashName,
        done: impl Done<()>,
    ) {
        let object = or_answer!(done, self.named(slot, was));
        match object.handle == name.handle {
            true => self.unlink_object(slot, was, done),
            false => done(name::refuse(slot, OsStr::new(&name.to_string()))),
        }
    }

    /// `mv .slotfs/trash/124 124`. By identity, the object gets its old handle if that is free.
    fn restore(self: &Arc<Self>, slot: SlotId, name: TrashName, wish: Wish, done: impl Done<()>) {
        let (trashed, want) = or_answer!(done, self.find_to_restore(slot, name, wish));
        let inner = Arc::clone(self);
        let row = trashed.object.id;
        let restored = move |outcome: Result<Arrived>| {
            if let Ok(arrived) = &outcome {
                // The aliases that it had before do not come back with it.
                inner.aliases.left(row);
                inner.aliases.named(slot, arrived.handle);
                inner.took_place(arrived);
            }
            done(outcome.map(drop));
        };
        self.hsm.restore(&trashed, want, for_hsm(restored));
    }

    /// An object in the trash, and the handle that it is to get, if not just any.
    fn find_to_restore(
        &self,
        slot: SlotId,
        name: TrashName,
        wish: Wish,
    ) -> Result<(TrashFile, Option<Handle>)> {
        let trashed = self.hsm.partition(slot).find_trashed(name)?;
        wish.check(slot, trashed.object.ouid)?;
        let want = match wish {
            Wish::Handle(handle) => Some(handle),
            _ => match self.hsm.partition(slot).find(name.handle) {
                Err(error) if error.is_no_such_object() => Some(name.handle),
                // Taken, perhaps by a damaged object.
                _ => None,
            },
        };
        Ok((trashed, want))
    }

    /// A staging file becomes an object: the verdict. A refused file stays for its owner to unlink; but in a staging folder
    /// no owner would unlink it (rsync --delay-updates), so there it is removed.
    fn publish(
        self: &Arc<Self>,
        (from, name): (Place, &OsStr),
        (to, wish): (SlotId, Wish),
        keep_existing: bool,
        done: impl Done<()>,
    ) {
        // Before the search for the file: a file that is found then belongs to this partition.
        let partition = or_answer!(done, self.hsm.partition(to).id());
        let file = match self.staging.find(from, name) {
            Some(Staged::File(file)) => file,
            Some(Staged::Folder(..)) => return done(unsupported("rename")),
            None => return done(Err(Error::NoSuchFile)),
        };
        if keep_existing {
            match self.named(to, wish) {
                Ok(there) => {
                    let taken = SlotFault::HandleTaken(there.handle).at(to);
                    return done(Err(hsm::Error::from(taken).into()));
                }
                Err(damaged @ Error::Hsm(hsm::Error::ObjectDamaged(_))) => {
                    return done(Err(damaged));
                }
                Err(_) => {}
            }
        }
        let blob = match file.bytes() {
            Ok(blob) => blob,
            Err(why) => {
                let why = why.error(to);
                self.count_verdict(to, &Err::<(), _>(&why));
                self.staging.discard(from, name, &file);
                self.hsm
                    .partition(to)
                    .note_refusal(&wish.to_string(), None, &why.reason());
                return done(Err(why));
            }
        };
        let inner = Arc::clone(self);
        let name = name.to_owned();
        let row = file.take_row();
        let wish = (wish, wish.to_string());
        self.hsm
            .import(partition, row, wish, blob, None, move |outcome| {
                inner.count_verdict(to, &outcome);
                match &outcome {
                    Ok(arrived) => {
                        inner.aliases.named(to, arrived.handle);
                        inner.took_place(arrived);
                        file.published();
                        inner.staging.remove_file(from, &name, &file);
                    }
                    Err(why) if why.is_final() => inner.staging.discard(from, &name, &file),
                    Err(_) => {}
                }
                done(outcome.map(drop).map_err(Error::from));
            });
    }

    /// An object gets another handle, or another slot.
    fn rename_object(
        self: &Arc<Self>,
        (from, was): (SlotId, Wish),
        (to, wish): (SlotId, Wish),
        done: impl Done<()>,
    ) {
        let object = or_answer!(done, self.named(from, was));
        match wish {
            _ if from != to => self.move_found(object, to, wish, done),
            Wish::Handle(handle) if handle != object.handle => {
                let inner = Arc::clone(self);
                let renumbered = move |outcome: Result<()>| {
                    if outcome.is_ok() {
                        inner.aliases.named(from, object.handle);
                        inner.forget_objects([object.id]);
                    }
                    done(outcome);
                };
                self.hsm
                    .partition(from)
                    .renumber(object.handle, handle, for_hsm(renumbered));
            }
            _ => {
                or_answer!(done, wish.check(to, object.ouid));
                self.aliases.named(from, object.handle);
                done(Ok(()));
            }
        }
    }

    /// An object goes to another slot.
    pub(super) fn move_found(
        self: &Arc<Self>,
        object: ObjectFile,
        to: SlotId,
        wish: Wish,
        done: impl Done<()>,
    ) {
        let inner = Arc::clone(self);
        let source = Source {
            slot: object.slot,
            handle: object.handle,
        };
        self.hsm.move_object(source, to, wish, move |outcome| {
            inner.count_verdict(to, &outcome);
            if let Ok(arrived) = &outcome {
                let row = object.id;
                inner.aliases.left(row);
                inner.aliases.named(to, arrived.handle);
                inner.took_place(arrived);
                inner.forget_objects([row]);
            }
            done(outcome.map(drop).map_err(Error::from));
        });
    }
}
