//! Listings, and how much space there is.

use std::ffi::OsString;
use std::time::Duration;

use fuser::FileAttr;

use super::Inner;
use super::attr::{NO_TTL, TTL};
use super::control::ControlFile;
use super::entrance::Visitor;
use super::handles::{OpenFile, lock};
use super::node::Node;
use super::staging::{Folder, Place};
use crate::error::{Error, Result};
use crate::hsm::{self, DamagedRow, ObjectFile, Read, Session, TrashName};
use crate::object::SlotId;

/// What statfs counts in.
pub const BLOCK_BYTES: u32 = 512;
/// Entries fetched for one readdir: a little more than fit into its reply of 4 KiB to 128 KiB.
const AT_ONCE: usize = 512;
/// Offsets of handles: the handle plus this.
const FIRST_HANDLE: u64 = 2;
/// Offsets of staging files: their number plus this, past every handle.
const FIRST_STAGING: u64 = 1 << 33;

/// One entry of a listing.
pub struct Listed {
    /// Its name.
    pub name: OsString,
    /// Where the listing goes on after it.
    pub next: u64,
    /// Its attributes.
    pub attr: FileAttr,
    /// How long those may be remembered.
    pub ttl: Duration,
}

/// What statfs says.
#[derive(Default)]
pub struct Space {
    /// Capacity, in blocks.
    pub blocks: u64,
    /// Free blocks.
    pub blocks_free: u64,
    /// Capacity, in objects.
    pub files: u64,
    /// Objects that still fit.
    pub files_free: u64,
}

impl Inner {
    /// Whether a folder may be listed. A locked slot must not look empty: rsync --delete would erase a
    /// backup of it.
    pub fn opendir(&self, node: Node) -> Result<()> {
        match node {
            Node::Slot(slot)
            | Node::Control(
                Some(slot),
                ControlFile::Objects | ControlFile::Identities | ControlFile::Trash,
            ) => Ok(self.hsm.partition(slot).session().map(drop)?),
            _ => Ok(()),
        }
    }

    /// The entries of a folder after `offset`. Offsets are stable: they come from handles and numbers, not
    /// from positions, so entries that come and go disturb nothing.
    pub fn list(&self, node: Node, offset: u64) -> Result<Vec<Listed>> {
        let mut entries = Vec::new();
        let parent = match node {
            Node::Control(Some(slot), ControlFile::Folder) => Node::Slot(slot),
            Node::Control(
                slot,
                ControlFile::Objects | ControlFile::Identities | ControlFile::Trash,
            ) => Node::Control(slot, ControlFile::Folder),
            Node::StagingFolder(id) => match self.staging.by_id(id) {
                Some((place, _)) if place.folder == Folder::Identities => {
                    Node::Control(Some(place.slot), ControlFile::Identities)
                }
                Some((place, _)) => Node::Slot(place.slot),
                None => return Err(Error::Gone),
            },
            _ => Node::Root,
        };
        for (at, name, of) in [(1, ".", node), (2, "..", parent)] {
            if offset < at {
                let (attr, ttl) = self.getattr(of)?;
                entries.push(Listed {
                    name: name.into(),
                    next: at,
                    attr,
                    ttl,
                });
            }
        }
        match node {
            Node::Root => self.list_slots(offset, &mut entries)?,
            Node::Slot(slot) => self.list_slot(slot, offset, &mut entries)?,
            Node::StagingFolder(id) => {
                let place = self.folder(id)?;
                let session = self.hsm.partition(place.slot).session()?;
                self.list_staged(&session, place, offset, &mut entries);
            }
            Node::Control(slot, ControlFile::Folder) => {
                self.list_control(slot, offset, &mut entries)?;
            }
            Node::Control(Some(slot), ControlFile::Objects) => {
                self.list_attributes(slot, offset, &mut entries)?;
            }
            Node::Control(Some(slot), ControlFile::Identities) => {
                self.list_identities(slot, offset, &mut entries)?;
            }
            Node::Control(Some(slot), ControlFile::Trash) => {
                self.list_trash(slot, offset, &mut entries)?;
            }
            _ => return Err(Error::NotSupported { what: "readdir" }),
        }
        Ok(entries)
    }

    fn list_slots(&self, offset: u64, entries: &mut Vec<Listed>) -> Result<()> {
        for listed in self.hsm.slots()? {
            // A slot without a number has no name; 'slot list' and 'store check' tell of it.
            let Some(slot) = listed.slot else { continue };
            let next = FIRST_HANDLE + 1 + u64::from(slot.0);
            if next > offset {
                let (attr, ttl) = self.getattr(Node::Slot(slot))?;
                entries.push(Listed {
                    name: slot.to_string().into(),
                    next,
                    attr,
                    ttl,
                });
            }
        }
        Ok(())
    }

    fn list_slot(&self, slot: SlotId, offset: u64, entries: &mut Vec<Listed>) -> Result<()> {
        let session = self.hsm.partition(slot).session()?;
        let objects = self.handles_after(slot, offset)?;
        let all = objects.len() < AT_ONCE;
        entries.extend(objects.into_iter().filter_map(|object| match object {
            Ok(object) => Some(Listed {
                name: object.handle.to_string().into(),
                next: FIRST_HANDLE + u64::from(object.handle.get()),
                attr: self.object_attr(&session, &object, Node::Object(object.id)),
                ttl: TTL,
            }),
            Err(row) => {
                let name = row.handle.map(|handle| handle.to_string());
                self.listed_damaged(&session, &row, name, Node::Object(row.id))
            }
        }));
        if all {
            let folder = Folder::Slot;
            self.list_staged(&session, Place { slot, folder }, offset, entries);
            // What can be listed is listed first: an error takes the place of the end.
            if entries.is_empty() {
                self.hsm.partition(slot).check_listing()?;
            }
        }
        Ok(())
    }

    /// A damaged object can be seen and removed where it has a name, and not read.
    fn listed_damaged(
        &self,
        session: &Session,
        row: &DamagedRow,
        name: Option<String>,
        node: Node,
    ) -> Option<Listed> {
        let handle = row.handle?;
        row.has_inode().then_some(())?;
        Some(Listed {
            name: name?.into(),
            next: FIRST_HANDLE + u64::from(handle.get()),
            attr: self.damaged_attr(session, node),
            ttl: NO_TTL,
        })
    }

    /// In the order of handles too: an offset has no room for an identity.
    fn list_identities(&self, slot: SlotId, offset: u64, entries: &mut Vec<Listed>) -> Result<()> {
        let session = self.hsm.partition(slot).session()?;
        let objects = self.handles_after(slot, offset)?;
        let all = objects.len() < AT_ONCE;
        entries.extend(objects.into_iter().filter_map(|object| match object {
            Ok(object) => Some(Listed {
                name: object.ouid.to_string().into(),
                next: FIRST_HANDLE + u64::from(object.handle.get()),
                attr: self.object_attr(&session, &object, Node::Identity(object.id)),
                ttl: TTL,
            }),
            Err(row) => {
                let name = row.ouid.map(|ouid| ouid.to_string());
                self.listed_damaged(&session, &row, name, Node::Identity(row.id))
            }
        }));
        if all {
            let folder = Folder::Identities;
            self.list_staged(&session, Place { slot, folder }, offset, entries);
            if entries.is_empty() {
                self.hsm.partition(slot).check_identities()?;
                self.hsm.partition(slot).check_listing()?;
            }
        }
        Ok(())
    }

    /// In the order of rows, whose numbers are offsets as they are.
    fn list_trash(&self, slot: SlotId, offset: u64, entries: &mut Vec<Listed>) -> Result<()> {
        let session = self.hsm.partition(slot).session()?;
        let after = offset.saturating_sub(FIRST_HANDLE).cast_signed();
        let mut nameless = None;
        for trashed in self.hsm.partition(slot).list_trash(after, AT_ONCE)? {
            let (name, id, attr) = match trashed {
                Ok(trashed) => (
                    trashed.name,
                    trashed.object.id,
                    self.trashed_attr(&session, &trashed),
                ),
                Err(row) => match (row.handle, row.nth) {
                    (Some(handle), Some(nth)) if nth > 0 && row.has_inode() => (
                        TrashName { handle, nth },
                        row.id,
                        self.damaged_attr(&session, Node::Trashed(row.id)),
                    ),
                    _ => {
                        nameless.get_or_insert(row);
                        continue;
                    }
                },
            };
            entries.push(Listed {
                name: name.to_string().into(),
                next: FIRST_HANDLE + id.cast_unsigned(),
                attr,
                ttl: NO_TTL,
            });
        }
        match nameless {
            Some(row) if entries.is_empty() => Err(hsm::Error::ObjectDamaged(row).into()),
            _ => Ok(()),
        }
    }

    fn list_staged(&self, session: &Session, place: Place, offset: u64, entries: &mut Vec<Listed>) {
        let after = offset.saturating_sub(FIRST_STAGING);
        for (name, staged) in self.staging.list(place, after) {
            entries.push(Listed {
                name,
                next: FIRST_STAGING + staged.id(),
                attr: self.staging_attr(session, place, &staged),
                ttl: NO_TTL,
            });
        }
    }

    fn handles_after(&self, slot: SlotId, offset: u64) -> Result<Vec<Read<ObjectFile>>> {
        match u32::try_from(offset.saturating_sub(FIRST_HANDLE)) {
            Ok(after) => Ok(self.hsm.partition(slot).list(after, AT_ONCE)?),
            Err(_) => Ok(Vec::new()),
        }
    }

    fn list_control(
        &self,
        slot: Option<SlotId>,
        offset: u64,
        entries: &mut Vec<Listed>,
    ) -> Result<()> {
        let has_smk = |slot| matches!(self.hsm.partition(slot).smk_file(), Ok(Some(_)));
        for row in ControlFile::listed(slot.is_some()) {
            if row.file == ControlFile::Smk && !slot.is_some_and(has_smk) {
                continue;
            }
            let next = FIRST_HANDLE + 1 + u64::from(row.file.id());
            let locked = slot.is_some_and(|slot| self.hsm.partition(slot).session().is_err());
            if next > offset && (row.when_locked || !locked) {
                let (attr, ttl) = self.getattr(Node::Control(slot, row.file))?;
                entries.push(Listed {
                    name: row.name.into(),
                    next,
                    attr,
                    ttl,
                });
            }
        }
        Ok(())
    }

    fn list_attributes(&self, slot: SlotId, offset: u64, entries: &mut Vec<Listed>) -> Result<()> {
        let session = self.hsm.partition(slot).session()?;
        // Those of a damaged one cannot be read; it is listed beside its blob.
        for object in self.handles_after(slot, offset)?.into_iter().flatten() {
            let mut attr = self.object_attr(&session, &object, Node::Attributes(object.id));
            attr.perm &= !0o222;
            attr.size = 0;
            attr.blocks = 0;
            entries.push(Listed {
                name: OsString::from(object.handle.to_string()),
                next: FIRST_HANDLE + u64::from(object.handle.get()),
                attr,
                ttl: NO_TTL,
            });
        }
        Ok(())
    }

    /// The capacity of a slot, or of all of them together: of those that `visitor` may enter. How full the others are is
    /// none of their business; a slot that they may not enter looks as the root does.
    pub fn space(&self, node: Node, visitor: &Visitor) -> Result<Space> {
        let staged = self.staged(node).map(|(place, _)| place.slot);
        let slot = staged.or_else(|| match node {
            Node::Slot(slot) | Node::Control(Some(slot), _) => Some(slot),
            Node::Object(id) | Node::Identity(id) | Node::Attributes(id) => {
                self.hsm.find_by_id(id).ok().map(|object| object.slot)
            }
            Node::Trashed(id) => {
                let trashed = self.hsm.find_trashed_by_id(id).ok();
                trashed.map(|trashed| trashed.object.slot)
            }
            Node::Alias(id) => self.aliases.slot(id),
            Node::Incoming(file) => self.files.get(fuser::FileHandle(file)).and_then(|open| {
                let OpenFile::Incoming(incoming) = &*open else {
                    return None;
                };
                Some(lock(incoming).slot)
            }),
            Node::Root | Node::Control(None, _) | Node::Staging(_) | Node::StagingFolder(_) => None,
        });
        let slot = slot.filter(|slot| self.may_enter(*slot, visitor));
        let mut space = Space::default();
        for listed in self.hsm.slots()? {
            if slot.is_some_and(|slot| Some(slot) != listed.slot) {
                continue;
            }
            if listed
                .slot
                .is_none_or(|slot| !self.may_enter(slot, visitor))
            {
                continue;
            }
            let row = match listed.row {
                Ok(row) => row,
                // Of all together, those that can be read.
                Err(error) if slot.is_none() && error.is_damage() => continue,
                Err(error) => return Err(error.into()),
            };
            let (objects, bytes) = match self.hsm.partition(row.slot).usage() {
                Ok(usage) => usage,
                Err(error) if slot.is_none() && error.is_damage() => continue,
                Err(error) => return Err(error.into()),
            };
            let block = u64::from(BLOCK_BYTES);
            let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
            add(&mut space.blocks, row.capacity_bytes / block);
            let free_bytes = row.capacity_bytes.saturating_sub(bytes);
            add(&mut space.blocks_free, free_bytes / block);
            add(&mut space.files, row.capacity_objects);
            let free = row.capacity_objects.saturating_sub(objects);
            add(&mut space.files_free, free);
        }
        Ok(space)
    }
}
