//! Renaming and removing.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use fuser::RenameFlags;

use super::Inner;
use super::control::ControlFile;
use super::name::{self, IdentityName, Name};
use super::node::Node;
use super::staging::{Folder, Place, Staged};
use super::stats::Stats;
use crate::error::{Error, Result};
use crate::fs::{Done, told};
use crate::hsm::{self, Arrived, ObjectFile, Removed, SlotFault, Source, TrashName, Wish};
use crate::object::SlotId;

/// A name and where it stands: what renaming and removing work on.
pub(super) enum Spot {
    /// A staging file or folder.
    Staged(Place, OsString),
    /// An object, or what would be one: in the slot's own folder or in `.slotfs/ouid`, as the wish says.
    Object(SlotId, Wish),
    /// An object in the trash.
    Trashed(SlotId, TrashName),
    /// An alias.
    Alias(Place, OsString),
    /// What no slot can hold.
    Other(SlotId),
}

impl Spot {
    pub(super) fn slot(&self) -> SlotId {
        match self {
            Self::Staged(place, _) | Self::Alias(place, _) => place.slot,
            Self::Object(slot, _) | Self::Trashed(slot, _) | Self::Other(slot) => *slot,
        }
    }
}

impl Spot {
    /// The spot as what a rename is to make. Nothing is renamed to an alias, or `cp --backup`, editors and
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
    /// An alias, or a temporary file of rsync that is named like one.
    fn alias_spot(&self, place: Place, name: &OsStr) -> Spot {
        match self.staging.find(place, name) {
            Some(_) => Spot::Staged(place, name.to_owned()),
            None => Spot::Alias(place, name.to_owned()),
        }
    }

    fn spot(&self, parent: Node, name: &OsStr, what: &'static str) -> Result<Spot> {
        match parent {
            Node::Slot(slot) => match Name::parse(name) {
                Name::Handle(handle) => Ok(Spot::Object(slot, Wish::Handle(handle))),
                Name::Staging(name) => {
                    let folder = Folder::Slot;
                    Ok(Spot::Staged(Place { slot, folder }, name))
                }
                Name::Alias(_) => {
                    let folder = Folder::Slot;
                    Ok(self.alias_spot(Place { slot, folder }, name))
                }
                Name::Hidden => Err(Error::NotSupported { what }),
                Name::New | Name::Other => Ok(Spot::Other(slot)),
            },
            Node::Control(Some(slot), ControlFile::Identities) => match IdentityName::parse(name) {
                IdentityName::Ouid(ouid) => Ok(Spot::Object(slot, Wish::Identity(ouid))),
                IdentityName::Staging(name) => {
                    let folder = Folder::Identities;
                    Ok(Spot::Staged(Place { slot, folder }, name))
                }
                IdentityName::Alias(_) => {
                    let folder = Folder::Identities;
                    Ok(self.alias_spot(Place { slot, folder }, name))
                }
                IdentityName::Other => Ok(Spot::Other(slot)),
            },
            Node::Control(Some(slot), ControlFile::Trash) => {
                let trashed = name.to_str().and_then(|name| name.parse().ok());
                Ok(trashed.map_or(Spot::Other(slot), |name| Spot::Trashed(slot, name)))
            }
            Node::StagingFolder(id) => Ok(Spot::Staged(self.folder(id)?, name.to_owned())),
            _ => Err(Error::NotSupported { what }),
        }
    }

    /// mkdir(2): staging folders only.
    pub fn mkdir(&self, parent: Node, name: &OsStr, pid: u32) -> Result<Node> {
        match self.spot(parent, name, "mkdir")? {
            Spot::Staged(place, name) if !matches!(place.folder, Folder::Staging(_)) => {
                self.hsm.partition(place.slot).may_write()?;
                let id = self.staging.create_folder(place, &name, pid)?;
                Ok(Node::StagingFolder(id))
            }
            _ => Err(Error::NotSupported { what: "mkdir" }),
        }
    }

    /// rmdir(2): staging folders only.
    pub fn rmdir(&self, parent: Node, name: &OsStr) -> Result<()> {
        match self.spot(parent, name, "rmdir")? {
            Spot::Staged(place, name) if !matches!(place.folder, Folder::Staging(_)) => {
                self.hsm.partition(place.slot).may_write()?;
                self.staging.remove_folder(place, &name)
            }
            _ => Err(Error::NotSupported { what: "rmdir" }),
        }
    }

    /// unlink(2): an object goes to the trash, what is in the trash for good.
    pub fn unlink(self: &Arc<Self>, parent: Node, name: &OsStr, done: impl Done<()>) {
        let spot = self.spot(parent, name, "unlink").and_then(|spot| {
            self.hsm.partition(spot.slot()).may_write()?;
            Ok(spot)
        });
        match spot {
            Ok(Spot::Object(slot, wish)) => self.unlink_object(slot, wish, done),
            Ok(Spot::Trashed(slot, name)) => match self.hsm.partition(slot).find_trashed(name) {
                Ok(trashed) => self.hsm.destroy_trashed(&trashed, told(done)),
                Err(hsm::Error::ObjectDamaged(row)) => {
                    self.hsm.partition(slot).destroy_damaged(row, told(done));
                }
                Err(error) => done(Err(error.into())),
            },
            Ok(Spot::Staged(place, name)) => done(self.staging.remove(place, &name)),
            Ok(Spot::Alias(place, name)) => self.unlink_alias(place, &name, done),
            Ok(Spot::Other(_)) => done(Err(Error::NoSuchFile)),
            Err(error) => done(Err(error)),
        }
    }

    fn unlink_object(self: &Arc<Self>, slot: SlotId, wish: Wish, done: impl Done<()>) {
        let inner = Arc::clone(self);
        let object = match self.named(slot, wish) {
            Ok(object) => object,
            // The trash keeps what can come back whole.
            Err(Error::Hsm(hsm::Error::ObjectDamaged(row))) => {
                let id = row.id;
                let destroyed = move |outcome| {
                    inner.forget_objects(&[id]);
                    done(outcome);
                };
                return self
                    .hsm
                    .partition(slot)
                    .destroy_damaged(row, told(destroyed));
            }
            Err(error) => return done(Err(error)),
        };
        let removed = move |outcome: Result<Removed>| {
            if outcome.is_ok() {
                inner.aliases.left(object.id);
                inner.forget_objects(&[object.id]);
            }
            done(outcome.map(drop));
        };
        self.hsm
            .partition(slot)
            .remove(object.handle, told(removed));
    }

    /// The object of that name.
    fn named(&self, slot: SlotId, wish: Wish) -> Result<ObjectFile> {
        match wish {
            Wish::Handle(handle) => Ok(self.hsm.partition(slot).find(handle)?),
            Wish::Identity(ouid) => Ok(self.hsm.partition(slot).find_by_ouid(ouid)?),
            Wish::Any => Err(Error::NoSuchFile),
        }
    }

    /// renameat2(2). The kernel gives the new name the old one's inode. That of a staging file becomes its object's; that of
    /// a moved object is that of no object when this is done: what the kernel remembers of it is forgotten, so it asks, is
    /// told ESTALE and looks the name up.
    pub fn rename(
        self: &Arc<Self>,
        (from, name): (Node, &OsStr),
        (to_node, newname): (Node, &OsStr),
        flags: RenameFlags,
        done: impl Done<()>,
    ) {
        let spots = (|| {
            let from = self.spot(from, name, "rename")?;
            let to = self.spot(to_node, newname, "rename")?.into_target();
            self.hsm.partition(from.slot()).may_write()?;
            self.hsm.partition(to.slot()).may_write()?;
            if !flags.difference(RenameFlags::RENAME_NOREPLACE).is_empty() {
                return name::refuse(to.slot(), newname);
            }
            Ok((from, to))
        })();
        let keep_existing = flags.contains(RenameFlags::RENAME_NOREPLACE);
        match spots {
            Err(error) => done(Err(error)),
            // The names of staging files are not remembered in the first place.
            Ok((Spot::Staged(from, name), Spot::Staged(to, newname))) => {
                done(
                    self.staging
                        .rename((from, &name), (to, &newname), keep_existing),
                );
            }
            Ok((Spot::Staged(from, name), Spot::Object(to, wish))) => {
                self.publish((from, &name), (to, wish), keep_existing, done);
            }
            Ok((Spot::Object(from, was), Spot::Object(to, wish))) => {
                self.rename_object((from, was), (to, wish), done);
            }
            Ok((Spot::Object(from, was), Spot::Trashed(to, name))) if from == to => {
                self.throw_away(from, was, name, done);
            }
            Ok((Spot::Trashed(from, name), Spot::Object(to, wish))) if from == to => {
                self.bring_back(from, name, wish, done);
            }
            Ok((Spot::Trashed(from, name), Spot::Trashed(to, new)))
                if (from, name) == (to, new) =>
            {
                let there = self.hsm.partition(from).find_trashed(name);
                done(there.map(drop).map_err(Error::from));
            }
            Ok((Spot::Alias(place, name), to)) => {
                let to = (to, newname.to_owned());
                self.rename_alias((place, name), to, keep_existing, done);
            }
            // The trash is no way out of a slot, nor into it.
            Ok((Spot::Trashed(..), Spot::Object(..)) | (Spot::Object(..), Spot::Trashed(..))) => {
                done(Err(Error::NotSupported {
                    what: "moving between a trash and another slot",
                }));
            }
            Ok((Spot::Other(_), _)) => done(Err(Error::NoSuchFile)),
            Ok((_, to)) => done(name::refuse_target(to.slot(), newname)),
        }
    }

    /// `mv 124 .slotfs/trash/`: as rm does, whatever number it gets there.
    fn throw_away(self: &Arc<Self>, slot: SlotId, was: Wish, name: TrashName, done: impl Done<()>) {
        match self.named(slot, was) {
            Ok(object) if object.handle == name.handle => self.unlink_object(slot, was, done),
            Ok(_) => done(name::refuse(slot, OsStr::new(&name.to_string()))),
            Err(error) => done(Err(error)),
        }
    }

    /// `mv .slotfs/trash/124 124`. By identity, it gets its old handle where that is free.
    fn bring_back(
        self: &Arc<Self>,
        slot: SlotId,
        name: TrashName,
        wish: Wish,
        done: impl Done<()>,
    ) {
        let found = self
            .hsm
            .partition(slot)
            .find_trashed(name)
            .and_then(|trashed| {
                wish.check(slot, trashed.object.ouid)?;
                let want = match wish {
                    Wish::Handle(handle) => Some(handle),
                    _ => match self.hsm.partition(slot).find(name.handle) {
                        Err(error) if error.is_no_such_object() => Some(name.handle),
                        // Also where the one that has it is damaged.
                        _ => None,
                    },
                };
                Ok((trashed, want))
            });
        match found {
            Ok((trashed, want)) => {
                let inner = Arc::clone(self);
                let restored = move |outcome: Result<Arrived>| {
                    if let Ok(arrived) = &outcome {
                        // Aliases from before it left do not come back with it.
                        inner.aliases.left(trashed.object.id);
                        inner.aliases.named(slot, arrived.handle);
                    }
                    done(outcome.map(drop));
                };
                self.hsm.restore(&trashed, want, told(restored));
            }
            Err(error) => done(Err(error.into())),
        }
    }

    /// A staging file becomes an object: the verdict. A failing one stays for its owner to unlink; but one
    /// in a staging folder has no owner left (rsync --delay-updates), so it goes.
    fn publish(
        self: &Arc<Self>,
        (from, name): (Place, &OsStr),
        (to, wish): (SlotId, Wish),
        keep_existing: bool,
        done: impl Done<()>,
    ) {
        // Before the file is looked for: it is of this partition, or gone.
        let partition = match self.hsm.partition(to).id() {
            Ok(partition) => partition,
            Err(error) => return done(Err(error.into())),
        };
        let file = match self.staging.find(from, name) {
            Some(Staged::File(file)) => file,
            Some(Staged::Folder(..)) => return done(Err(Error::NotSupported { what: "rename" })),
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
                Stats::count(&self.stats.verdicts_bad);
                self.staging.discard(from, name, &file);
                self.note_refusal(to, &wish.to_string(), None, &why);
                return done(Err(why));
            }
        };
        let inner = Arc::clone(self);
        let name = name.to_owned();
        let row = file.take_row();
        let wish = (wish, wish.to_string());
        self.hsm
            .import(partition, row, wish, blob, None, move |outcome| {
                Stats::count(match outcome {
                    Ok(_) => &inner.stats.verdicts_good,
                    Err(_) => &inner.stats.verdicts_bad,
                });
                match &outcome {
                    Ok(arrived) => {
                        inner.aliases.named(to, arrived.handle);
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
        let object = match self.named(from, was) {
            Ok(object) => object,
            Err(error) => return done(Err(error)),
        };
        if from == to {
            return match wish {
                Wish::Handle(handle) if handle == object.handle => {
                    self.aliases.named(from, handle);
                    done(Ok(()));
                }
                Wish::Handle(handle) => {
                    let inner = Arc::clone(self);
                    let renumbered = move |outcome: Result<()>| {
                        if outcome.is_ok() {
                            inner.aliases.named(from, object.handle);
                            inner.forget_objects(&[object.id]);
                        }
                        done(outcome);
                    };
                    self.hsm
                        .partition(from)
                        .renumber(object.handle, handle, told(renumbered));
                }
                _ => {
                    let outcome = wish.check(to, object.ouid);
                    if outcome.is_ok() {
                        self.aliases.named(from, object.handle);
                    }
                    done(outcome.map_err(Error::from));
                }
            };
        }
        self.move_found(object, to, wish, done);
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
            Stats::count(match outcome {
                Ok(_) => &inner.stats.verdicts_good,
                Err(_) => &inner.stats.verdicts_bad,
            });
            if let Ok(arrived) = &outcome {
                inner.aliases.left(object.id);
                inner.aliases.named(to, arrived.handle);
                inner.forget_objects(&[object.id]);
            }
            done(outcome.map(drop).map_err(Error::from));
        });
    }
}
