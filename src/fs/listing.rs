//! Listings of folders, and how much space there is.

use std::ffi::OsString;

use super::asker::Visitor;
use super::attr::{NO_TTL, Seen, TTL, time};
use super::control::ControlFile;
use super::node::{Node, StagingId};
use super::staging::{Folder, Place};
use super::{Inner, public, unsupported};
use crate::error::{Error, Result};
use crate::hsm::{self, ObjectFile, Read, Session, TrashName};
use crate::object::{Handle, RowId, SlotId};

/// The unit of statfs.
pub const BLOCK_BYTES: u32 = 512;
/// Entries fetched for one readdir: a little more than fit into its reply of 4 KiB to 128 KiB.
const AT_ONCE: usize = 512;
/// The offset of an object is its handle plus this.
const FIRST_HANDLE: u64 = 2;
/// The offset of a staging file is its number plus this, past every handle.
const FIRST_STAGING: u64 = 1 << 33;

/// One entry of a listing.
pub struct Listed {
    /// Its name.
    pub name: OsString,
    /// The offset at which the listing goes on.
    pub next: u64,
    /// Its attributes.
    pub seen: Seen,
}

impl Listed {
    fn new(name: impl Into<OsString>, next: u64, seen: Seen) -> Self {
        let name = name.into();
        Self { name, next, seen }
    }
}

/// What statfs answers.
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

fn offset_of(handle: Handle) -> u64 {
    FIRST_HANDLE + u64::from(handle.get())
}

impl Inner {
    /// Whether a folder may be listed. A locked slot must not look empty, or `rsync --delete` would erase a backup of it.
    pub fn opendir(&self, node: Node) -> Result<()> {
        match node {
            Node::Slot(slot)
            | Node::Control(
                Some(slot),
                ControlFile::Objects
                | ControlFile::Identities
                | ControlFile::Trash
                | ControlFile::Public,
            ) => Ok(self.hsm.partition(slot).session().map(drop)?),
            _ => Ok(()),
        }
    }

    /// The entries of a folder after `offset`. Offsets come from handles and numbers, not from positions, so entries that
    /// come and go do not change them.
    pub fn list(&self, node: Node, offset: u64) -> Result<Vec<Listed>> {
        let mut entries = Vec::new();
        for (next, name, of) in [(1, ".", node), (2, "..", self.parent(node)?)] {
            if offset < next {
                entries.push(Listed::new(name, next, self.getattr(of)?));
            }
        }
        if let Some(place) = self.place(node)? {
            self.list_place(place, offset, &mut entries)?;
            return Ok(entries);
        }
        match node {
            Node::Root => self.list_slots(offset, &mut entries)?,
            Node::Control(slot, ControlFile::Folder) => {
                self.list_control(slot, offset, &mut entries)?;
            }
            Node::Control(Some(slot), ControlFile::Objects) => {
                self.list_attributes(slot, offset, &mut entries)?;
            }
            Node::Control(Some(slot), ControlFile::Trash) => {
                self.list_trash(slot, offset, &mut entries)?;
            }
            Node::Control(Some(slot), ControlFile::Public) => {
                self.list_public(slot, offset, &mut entries)?;
            }
            _ => return unsupported("readdir"),
        }
        Ok(entries)
    }

    fn parent(&self, folder: Node) -> Result<Node> {
        Ok(match folder {
            Node::Control(Some(slot), ControlFile::Folder) => Node::Slot(slot),
            Node::Control(
                slot,
                ControlFile::Objects
                | ControlFile::Identities
                | ControlFile::Trash
                | ControlFile::Public,
            ) => Node::Control(slot, ControlFile::Folder),
            Node::StagingFolder(id) => match self.staging.by_id(id) {
                Some((place, _)) if place.folder == Folder::Identities => {
                    Node::Control(Some(place.slot), ControlFile::Identities)
                }
                Some((place, _)) => Node::Slot(place.slot),
                None => return Err(Error::Gone),
            },
            _ => Node::Root,
        })
    }

    fn list_slots(&self, offset: u64, entries: &mut Vec<Listed>) -> Result<()> {
        for listed in self.hsm.slots()? {
            // A slot without a number has no name; 'slot list' and 'store check' show it.
            let Some(slot) = listed.slot else { continue };
            let next = FIRST_HANDLE + 1 + u64::from(slot.0);
            if next > offset {
                let seen = self.getattr(Node::Slot(slot))?;
                entries.push(Listed::new(slot.to_string(), next, seen));
            }
        }
        Ok(())
    }

    /// A folder with objects and staging files: objects first, in the order of handles, by identity too.
    fn list_place(&self, place: Place, offset: u64, entries: &mut Vec<Listed>) -> Result<()> {
        let Place { slot, folder } = place;
        let session = self.hsm.partition(slot).session()?;
        if let Folder::Staging(_) = folder {
            self.list_staged(&session, place, offset, entries);
            return Ok(());
        }
        let objects = self.handles_after(slot, offset)?;
        let all = objects.len() < AT_ONCE;
        entries.extend(objects.into_iter().filter_map(|object| {
            let (handle, ouid, seen) = match object {
                Ok(object) => {
                    let node = folder.object(object.id);
                    let attr = self.object_attr(&session, &object, node);
                    (object.handle, Some(object.ouid), (attr, TTL))
                }
                // A damaged object can be seen and removed where it has a name, and not read.
                Err(row) if row.has_inode() => {
                    let attr = self.damaged_attr(&session, folder.object(row.id));
                    (row.handle?, row.ouid, (attr, NO_TTL))
                }
                Err(_) => return None,
            };
            let name = match folder {
                Folder::Identities => ouid?.to_string(),
                _ => handle.to_string(),
            };
            Some(Listed::new(name, offset_of(handle), seen))
        }));
        if all {
            self.list_staged(&session, place, offset, entries);
            // An error takes the place of the end: first everything that can be listed is listed.
            if entries.is_empty() {
                if folder == Folder::Identities {
                    self.hsm.partition(slot).check_identities()?;
                }
                self.hsm.partition(slot).check_listing()?;
            }
        }
        Ok(())
    }

    /// The trash, in the order of rows, which are its offsets.
    fn list_trash(&self, slot: SlotId, offset: u64, entries: &mut Vec<Listed>) -> Result<()> {
        let session = self.hsm.partition(slot).session()?;
        let after = RowId(offset.saturating_sub(FIRST_HANDLE).cast_signed());
        let mut nameless = None;
        for trashed in self.hsm.partition(slot).list_trash(after, AT_ONCE)? {
            let (name, id, attr) = match trashed {
                Ok(trashed) => {
                    let attr = self.trashed_attr(&session, &trashed);
                    (trashed.name, trashed.object.id, attr)
                }
                Err(row) => match (row.handle, row.nth) {
                    (Some(handle), Some(nth)) if nth > 0 && row.has_inode() => {
                        let attr = self.damaged_attr(&session, Node::Trashed(row.id));
                        (TrashName { handle, nth }, row.id, attr)
                    }
                    _ => {
                        nameless.get_or_insert(row);
                        continue;
                    }
                },
            };
            let next = FIRST_HANDLE + id.0.cast_unsigned();
            entries.push(Listed::new(name.to_string(), next, (attr, NO_TTL)));
        }
        match nameless {
            Some(row) if entries.is_empty() => Err(hsm::Error::ObjectDamaged(row).into()),
            _ => Ok(()),
        }
    }

    fn list_staged(&self, session: &Session, place: Place, offset: u64, entries: &mut Vec<Listed>) {
        let after = offset.saturating_sub(FIRST_STAGING);
        for (name, staged) in self.staging.list(place, StagingId(after)) {
            let attr = self.staging_attr(session, place, &staged);
            let next = FIRST_STAGING + staged.id().0;
            entries.push(Listed::new(name, next, (attr, NO_TTL)));
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
                let seen = self.getattr(Node::Control(slot, row.file))?;
                entries.push(Listed::new(row.name, next, seen));
            }
        }
        Ok(())
    }

    fn list_attributes(&self, slot: SlotId, offset: u64, entries: &mut Vec<Listed>) -> Result<()> {
        let session = self.hsm.partition(slot).session()?;
        // The attributes of a damaged object cannot be read; it is listed beside its blob only.
        for object in self.handles_after(slot, offset)?.into_iter().flatten() {
            let node = Node::Attributes(object.id);
            let owner = self.owner.of_slot(session.row());
            let attr = owner.file(node, 0o444, 0, time(object.time_secs()));
            let name = object.handle.to_string();
            entries.push(Listed::new(name, offset_of(object.handle), (attr, NO_TTL)));
        }
        Ok(())
    }

    /// The objects with public content, in the order of handles.
    fn list_public(&self, slot: SlotId, offset: u64, entries: &mut Vec<Listed>) -> Result<()> {
        let session = self.hsm.partition(slot).session()?;
        let (before, mut offset) = (entries.len(), offset);
        // An answer without entries is the end, so this goes on past any number of objects that have none.
        loop {
            let objects = self.handles_after(slot, offset)?;
            let last = objects.last().filter(|_| objects.len() == AT_ONCE);
            let last = last.map(|last| match last {
                Ok(object) => Some(object.handle),
                Err(row) => row.handle,
            });
            for object in objects {
                let (handle, attr) = match object {
                    Ok(object) => match self.public_attr(&session, &object) {
                        // Destroyed since it was listed.
                        Err(Error::Hsm(hsm::Error::Gone)) => continue,
                        attr => (Some(object.handle), attr?),
                    },
                    Err(row) if row.has_inode() => {
                        let attr = self.damaged_public_attr(&session, Node::Public(row.id));
                        (row.handle, Some(attr))
                    }
                    Err(_) => continue,
                };
                if let (Some(handle), Some(attr)) = (handle, attr) {
                    let name = public::name_of(handle);
                    entries.push(Listed::new(name, offset_of(handle), (attr, NO_TTL)));
                }
            }
            match last {
                _ if entries.len() > before => return Ok(()),
                Some(Some(handle)) => offset = offset_of(handle),
                // An error takes the place of the end.
                _ if entries.is_empty() => return Ok(self.hsm.partition(slot).check_listing()?),
                _ => return Ok(()),
            }
        }
    }

    /// The capacity of a slot, or of all slots together that `visitor` may enter. `visitor` must not learn how full the
    /// others are: a slot that `visitor` may not enter looks like the root.
    pub fn space(&self, node: Node, visitor: &Visitor) -> Result<Space> {
        let staged = self.staged(node).map(|(place, _)| place.slot);
        let slot = staged.or_else(|| match node {
            Node::Slot(slot) | Node::Control(Some(slot), _) => Some(slot),
            Node::Object(row) | Node::Identity(row) | Node::Attributes(row) | Node::Public(row) => {
                self.hsm.find_by_id(row).ok().map(|object| object.slot)
            }
            Node::Trashed(row) => {
                let trashed = self.hsm.find_trashed_by_id(row).ok();
                trashed.map(|trashed| trashed.object.slot)
            }
            Node::Alias(id) => self.aliases.slot(id),
            Node::Incoming(handle) => self.files.incoming(handle).map(|file| file.slot()),
            Node::Root | Node::Control(None, _) | Node::Staging(_) | Node::StagingFolder(_) => None,
        });
        let slot = slot.filter(|slot| self.may_enter(*slot, visitor));
        let mut space = Space::default();
        for listed in self.hsm.slots()? {
            let counts = match slot {
                Some(slot) => listed.slot == Some(slot),
                None => listed
                    .slot
                    .is_some_and(|slot| self.may_enter(slot, visitor)),
            };
            if !counts {
                continue;
            }
            let used = listed.row.and_then(|row| {
                self.hsm
                    .partition(row.slot)
                    .usage()
                    .map(|usage| (row, usage))
            });
            let (row, (objects, bytes)) = match used {
                Ok(used) => used,
                // The sum of all slots leaves out those that cannot be read.
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
