//! Renaming and removing.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use fuser::RenameFlags;

use super::Inner;
use super::name::{self, Name};
use super::node::Node;
use super::staging::{Overflow, Place, Staged};
use super::stats::Stats;
use crate::error::{Error, Result};
use crate::hsm::{Done, Source};
use crate::object::{Handle, SlotId};

/// A name and where it stands: what renaming and removing work on.
enum Spot {
    /// A staging file or folder.
    Staged(Place, OsString),
    /// An object.
    Object(SlotId, Handle),
    /// What no slot can hold.
    Other(SlotId),
}

impl Spot {
    fn slot(&self) -> SlotId {
        match self {
            Self::Staged(place, _) => place.slot,
            Self::Object(slot, _) | Self::Other(slot) => *slot,
        }
    }
}

impl Inner {
    fn spot(&self, parent: Node, name: &OsStr, what: &'static str) -> Result<Spot> {
        match parent {
            Node::Slot(slot) => match Name::parse(name) {
                Name::Handle(handle) => Ok(Spot::Object(slot, handle)),
                Name::Staging(name) => Ok(Spot::Staged(Place { slot, folder: None }, name)),
                Name::Hidden => Err(Error::NotSupported { what }),
                Name::New | Name::Other => Ok(Spot::Other(slot)),
            },
            Node::StagingFolder(id) => Ok(Spot::Staged(self.folder(id)?, name.to_owned())),
            _ => Err(Error::NotSupported { what }),
        }
    }

    /// mkdir(2): staging folders only.
    pub fn mkdir(&self, parent: Node, name: &OsStr) -> Result<Node> {
        let refused = Error::NotSupported { what: "mkdir" };
        match self.spot(parent, name, "mkdir")? {
            Spot::Staged(Place { slot, folder: None }, name) => {
                self.hsm.may_write(slot)?;
                let id = self.staging.create_folder(slot, &name)?;
                Ok(Node::StagingFolder(id))
            }
            _ => Err(refused),
        }
    }

    /// rmdir(2): staging folders only.
    pub fn rmdir(&self, parent: Node, name: &OsStr) -> Result<()> {
        let refused = Error::NotSupported { what: "rmdir" };
        match self.spot(parent, name, "rmdir")? {
            Spot::Staged(Place { slot, folder: None }, name) => {
                self.hsm.may_write(slot)?;
                self.staging.remove_folder(slot, &name)
            }
            _ => Err(refused),
        }
    }

    /// unlink(2)
    pub fn unlink(self: &Arc<Self>, parent: Node, name: &OsStr, done: impl Done<()>) {
        let found = self.spot(parent, name, "unlink").and_then(|spot| {
            self.hsm.may_write(spot.slot())?;
            match spot {
                Spot::Object(slot, handle) => Ok(Some((slot, handle))),
                Spot::Staged(place, name) => self.staging.remove(place, &name).map(|()| None),
                Spot::Other(_) => Err(Error::NoSuchFile),
            }
        });
        match found {
            Ok(Some((slot, handle))) => self.hsm.destroy(slot, handle, done),
            Ok(None) => done(Ok(())),
            Err(error) => done(Err(error)),
        }
    }

    /// renameat2(2)
    pub fn rename(
        self: &Arc<Self>,
        (from, name): (Node, &OsStr),
        (to, newname): (Node, &OsStr),
        flags: RenameFlags,
        done: impl Done<()>,
    ) {
        let spots = (|| {
            let from = self.spot(from, name, "rename")?;
            let to = self.spot(to, newname, "rename")?;
            self.hsm.may_write(from.slot())?;
            self.hsm.may_write(to.slot())?;
            if !flags.difference(RenameFlags::RENAME_NOREPLACE).is_empty() {
                return name::refuse(to.slot(), newname);
            }
            Ok((from, to))
        })();
        let keep_existing = flags.contains(RenameFlags::RENAME_NOREPLACE);
        match spots {
            Err(error) => done(Err(error)),
            Ok((Spot::Staged(from, name), Spot::Staged(to, newname))) => {
                done(
                    self.staging
                        .rename((from, &name), (to, &newname), keep_existing),
                );
            }
            Ok((Spot::Staged(from, name), Spot::Object(to, want))) => {
                self.publish((from, &name), (to, want), keep_existing, done);
            }
            Ok((Spot::Object(from, handle), Spot::Object(to, want))) => {
                self.rename_object((from, handle), (to, want), done);
            }
            Ok((Spot::Other(_), _)) => done(Err(Error::NoSuchFile)),
            Ok((_, to)) => done(name::refuse(to.slot(), newname)),
        }
    }

    /// A staging file becomes an object: the verdict. A failing one stays for its owner to unlink; but one
    /// in a staging folder has no owner left (rsync --delay-updates), so it goes.
    fn publish(
        self: &Arc<Self>,
        (from, name): (Place, &OsStr),
        (to, want): (SlotId, Handle),
        keep_existing: bool,
        done: impl Done<()>,
    ) {
        let file = match self.staging.find(from, name) {
            Some(Staged::File(file)) => file,
            Some(Staged::Folder(..)) => return done(Err(Error::NotSupported { what: "rename" })),
            None => return done(Err(Error::NoSuchFile)),
        };
        if keep_existing && self.hsm.find(to, want).is_ok() {
            return done(Err(Error::HandleTaken {
                slot: to,
                handle: want,
            }));
        }
        let blob = file.bytes().map_err(|overflow| match overflow {
            Overflow::TooLarge => Error::BlobTooLarge { slot: to },
            Overflow::NoRoom => Error::StagingFull { slot: to },
        });
        let blob = match blob {
            Ok(blob) => blob,
            Err(why) => {
                Stats::count(&self.stats.verdicts_bad);
                self.staging.discard(from, name, &file);
                return done(Err(self.hsm.note_refusal(to, &want.to_string(), None, why)));
            }
        };
        let inner = Arc::clone(self);
        let (name, written_as) = (name.to_owned(), want.to_string());
        self.hsm
            .import(to, Some(want), blob, None, &written_as, move |outcome| {
                Stats::count(match outcome {
                    Ok(_) => &inner.stats.verdicts_good,
                    Err(_) => &inner.stats.verdicts_bad,
                });
                match &outcome {
                    Ok(_) => {
                        file.published();
                        inner.staging.remove_file(from, &name, &file);
                    }
                    Err(why) if why.is_for_ever() => inner.staging.discard(from, &name, &file),
                    Err(_) => {}
                }
                done(outcome.map(drop));
            });
    }

    /// An object gets another handle, or another slot.
    fn rename_object(
        self: &Arc<Self>,
        (from, handle): (SlotId, Handle),
        (to, want): (SlotId, Handle),
        done: impl Done<()>,
    ) {
        if (from, handle) == (to, want) {
            return done(self.hsm.find(from, handle).map(drop));
        }
        if from == to {
            return self.hsm.renumber(from, handle, want, done);
        }
        let inner = Arc::clone(self);
        let source = Source { slot: from, handle };
        self.hsm.move_object(source, to, want, move |outcome| {
            Stats::count(match outcome {
                Ok(_) => &inner.stats.verdicts_good,
                Err(_) => &inner.stats.verdicts_bad,
            });
            if outcome.is_ok() {
                // The kernel takes the source's inode for the new name; the object has another one now.
                let name = want.to_string();
                inner.invalidator.name(Node::Slot(to), name.into());
            }
            done(outcome.map(drop));
        });
    }
}
