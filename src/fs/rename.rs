//! Renaming and removing.

use std::ffi::OsStr;
use std::sync::Arc;

use fuser::RenameFlags;

use super::Inner;
use super::name::{self, Name};
use super::node::Node;
use super::stats::Stats;
use crate::error::Error;
use crate::hsm::Done;
use crate::object::{Handle, SlotId};

impl Inner {
    /// unlink(2)
    pub fn unlink(self: &Arc<Self>, parent: Node, name: &OsStr, done: impl Done<()>) {
        let Node::Slot(slot) = parent else {
            return done(Err(Error::NotSupported { what: "unlink" }));
        };
        if let Err(error) = self.hsm.may_write(slot) {
            return done(Err(error));
        }
        match Name::parse(name) {
            Name::Handle(handle) => match self.hsm.find(slot, handle) {
                Ok(object) => self.hsm.destroy(object.id, done),
                Err(error) => done(Err(error)),
            },
            Name::Staging(name) => done(match self.staging.remove(slot, &name) {
                true => Ok(()),
                false => Err(Error::NoSuchFile),
            }),
            Name::Hidden => done(Err(Error::NotSupported { what: "unlink" })),
            Name::New | Name::Other => done(Err(Error::NoSuchFile)),
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
        let (Node::Slot(from), Node::Slot(to)) = (from, to) else {
            return done(Err(Error::NotSupported { what: "rename" }));
        };
        let keep_existing = flags.contains(RenameFlags::RENAME_NOREPLACE);
        if !flags.difference(RenameFlags::RENAME_NOREPLACE).is_empty() {
            return done(name::refuse(to, newname));
        }
        if let Err(error) = self
            .hsm
            .may_write(from)
            .and_then(|()| self.hsm.may_write(to))
        {
            return done(Err(error));
        }
        match (Name::parse(name), Name::parse(newname)) {
            (Name::Staging(name), Name::Staging(newname)) => {
                let renamed = self
                    .staging
                    .rename((from, &name), (to, &newname), keep_existing);
                done(renamed.and_then(|renamed| match renamed {
                    true => Ok(()),
                    false => Err(Error::NameTaken { slot: to }),
                }));
            }
            (Name::Staging(name), Name::Handle(want)) => {
                self.publish((from, &name), (to, want), keep_existing, done);
            }
            (Name::Handle(handle), Name::Handle(want)) => {
                self.rename_object((from, handle), (to, want), done);
            }
            (Name::Hidden, _) | (_, Name::Hidden) => {
                done(Err(Error::NotSupported { what: "rename" }));
            }
            (Name::New | Name::Other, _) => done(Err(Error::NoSuchFile)),
            (_, Name::New | Name::Other | Name::Staging(_)) => done(name::refuse(to, newname)),
        }
    }

    /// A staging file becomes an object: the verdict. A failing one stays for its owner to unlink.
    fn publish(
        self: &Arc<Self>,
        (from, name): (SlotId, &OsStr),
        (to, want): (SlotId, Handle),
        keep_existing: bool,
        done: impl Done<()>,
    ) {
        let Some(file) = self.staging.find(from, name) else {
            return done(Err(Error::NoSuchFile));
        };
        if keep_existing && self.hsm.find(to, want).is_ok() {
            return done(Err(Error::HandleTaken {
                slot: to,
                handle: want,
            }));
        }
        let Some(blob) = file.bytes() else {
            let why = Error::BlobTooLarge { slot: to };
            Stats::count(&self.stats.verdicts_bad);
            return done(Err(self.hsm.note_refusal(to, &want.to_string(), None, why)));
        };
        let inner = Arc::clone(self);
        let (name, written_as) = (name.to_owned(), want.to_string());
        self.hsm
            .import(to, Some(want), &blob, None, &written_as, move |outcome| {
                Stats::count(match outcome {
                    Ok(_) => &inner.stats.verdicts_good,
                    Err(_) => &inner.stats.verdicts_bad,
                });
                if outcome.is_ok() {
                    inner.staging.remove_file(from, &name, &file);
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
        let object = match self.hsm.find(from, handle) {
            Ok(object) => object,
            Err(error) => return done(Err(error)),
        };
        if (from, handle) == (to, want) {
            return done(Ok(()));
        }
        if from == to {
            return self.hsm.renumber(object.id, want, done);
        }
        let inner = Arc::clone(self);
        self.hsm.move_object(object.id, to, want, move |outcome| {
            Stats::count(match outcome {
                Ok(_) => &inner.stats.verdicts_good,
                Err(_) => &inner.stats.verdicts_bad,
            });
            if let Ok(arrived) = outcome {
                // Another set of domains is another size.
                inner.invalidator.attributes(Node::Object(object.id));
                if arrived.already {
                    // The kernel takes the source's inode for the new name; it is another object's.
                    inner
                        .invalidator
                        .name(Node::Slot(to), want.to_string().into());
                }
            }
            done(outcome.map(drop));
        });
    }
}
