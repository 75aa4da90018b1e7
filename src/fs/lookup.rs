//! Names to nodes, nodes to attributes.

use std::ffi::OsStr;
use std::time::Duration;

use fuser::{FileAttr, FileType};

use super::Inner;
use super::attr::{BRIEF_TTL, NO_TTL, Owner, TTL, time};
use super::control::ControlFile;
use super::handles::{OpenFile, lock};
use super::name::{IdentityName, Name};
use super::node::Node;
use super::staging::{Folder, Place, Staged, StagingFile};
use crate::error::{Error, Result};
use crate::hsm::{self, ObjectFile, Session, TrashFile, TrashName};
use crate::object::{Handle, SlotId};

/// Attributes and how long they may be remembered.
pub(super) type Seen = (FileAttr, Duration);

impl Inner {
    /// The entry `name` of a folder.
    pub fn lookup(&self, parent: Node, name: &OsStr) -> Result<Seen> {
        match parent {
            Node::Root => self.lookup_in_root(name),
            Node::Slot(slot) => self.lookup_in_slot(slot, name),
            Node::Control(slot, ControlFile::Folder) => {
                let file = name
                    .to_str()
                    .and_then(|name| ControlFile::find(name, slot.is_some()))
                    .ok_or(Error::NoSuchFile)?;
                self.getattr(Node::Control(slot, file))
            }
            Node::Control(Some(slot), ControlFile::Objects) => {
                let handle: Handle = name
                    .to_str()
                    .and_then(|name| name.parse().ok())
                    .ok_or(Error::NoSuchFile)?;
                let object = self.hsm.partition(slot).find(handle)?;
                self.getattr(Node::Attributes(object.id))
            }
            Node::StagingFolder(id) => self.lookup_staged(self.folder(id)?, name),
            Node::Control(Some(slot), ControlFile::Identities) => match IdentityName::parse(name) {
                IdentityName::Ouid(ouid) => {
                    let session = self.hsm.partition(slot).session()?;
                    let found = self.hsm.partition(slot).find_by_ouid(ouid);
                    self.found_attr(&session, found, Node::Identity)
                }
                IdentityName::Staging(name) => {
                    let folder = Folder::Identities;
                    self.lookup_staged(Place { slot, folder }, &name)
                }
                IdentityName::Alias(_) => {
                    let folder = Folder::Identities;
                    self.lookup_alias(Place { slot, folder }, name)
                }
                IdentityName::Other => {
                    self.hsm.partition(slot).session()?;
                    Err(Error::NoSuchFile)
                }
            },
            Node::Control(Some(slot), ControlFile::Trash) => {
                let session = self.hsm.partition(slot).session()?;
                let name: Option<TrashName> = name.to_str().and_then(|name| name.parse().ok());
                let trashed = self
                    .hsm
                    .partition(slot)
                    .find_trashed(name.ok_or(Error::NoSuchFile)?);
                self.found_trashed_attr(&session, trashed)
            }
            _ => Err(Error::NoSuchFile),
        }
    }

    /// The inside of a staging folder.
    pub(super) fn folder(&self, id: u64) -> Result<Place> {
        match self.staging.by_id(id) {
            Some((Place { slot, .. }, Staged::Folder(..))) => Ok(Place {
                slot,
                folder: Folder::Staging(id),
            }),
            _ => Err(Error::Gone),
        }
    }

    pub(super) fn lookup_staged(&self, place: Place, name: &OsStr) -> Result<Seen> {
        let session = self.hsm.partition(place.slot).session()?;
        let staged = self.staging.find(place, name).ok_or(Error::NoSuchFile)?;
        Ok((self.staging_attr(&session, place, &staged), NO_TTL))
    }

    fn lookup_in_root(&self, name: &OsStr) -> Result<Seen> {
        let name = name.to_str().ok_or(Error::NoSuchFile)?;
        if name == super::name::HIDDEN {
            return self.getattr(Node::Control(None, ControlFile::Folder));
        }
        let slot: SlotId = name.parse().map_err(|_| Error::NoSuchFile)?;
        self.getattr(Node::Slot(slot))
    }

    fn lookup_in_slot(&self, slot: SlotId, name: &OsStr) -> Result<Seen> {
        match Name::parse(name) {
            Name::Hidden => self.getattr(Node::Control(Some(slot), ControlFile::Folder)),
            Name::Handle(handle) => {
                let session = self.hsm.partition(slot).session()?;
                let found = self.hsm.partition(slot).find(handle);
                self.found_attr(&session, found, Node::Object)
            }
            Name::Staging(name) => {
                let folder = Folder::Slot;
                self.lookup_staged(Place { slot, folder }, &name)
            }
            Name::Alias(_) => {
                let folder = Folder::Slot;
                self.lookup_alias(Place { slot, folder }, name)
            }
            Name::New | Name::Other => {
                self.hsm.partition(slot).session()?;
                Err(Error::NoSuchFile)
            }
        }
    }

    /// What a stat of `node` says.
    pub fn getattr(&self, node: Node) -> Result<Seen> {
        let store_time = time(self.hsm.created_secs());
        if let Some((place, staged)) = self.staged(node) {
            let session = self.hsm.partition(place.slot).session()?;
            let mut attr = self.staging_attr(&session, place, &staged);
            attr.ino = node.ino();
            return Ok((attr, NO_TTL));
        }
        match node {
            Node::Root => Ok((self.owner.root_folder(store_time), TTL)),
            Node::Slot(slot) => {
                let owner = match self.slot_owner(slot) {
                    // It can be seen by the mount's owner, and not entered.
                    Err(Error::Hsm(error)) if error.is_slot_damaged() => self.owner,
                    owner => owner?,
                };
                Ok((owner.folder(node, 0o777, store_time), TTL))
            }
            Node::Control(slot, file) => {
                let owner = match slot {
                    Some(slot) => self.slot_owner(slot)?,
                    None => self.owner,
                };
                if let Some(slot) = slot
                    && !file.row().when_locked
                {
                    self.hsm.partition(slot).session()?;
                }
                let mode = file.row().mode;
                Ok(match (file.kind(), slot) {
                    (FileType::Directory, _) => (owner.folder(node, mode, store_time), TTL),
                    (_, Some(slot)) if file == ControlFile::Smk => {
                        // A V0 slot has none.
                        let smk = self
                            .hsm
                            .partition(slot)
                            .smk_file()?
                            .ok_or(Error::NoSuchFile)?;
                        (
                            owner.file(node, mode, smk.size, time(smk.time_secs)),
                            NO_TTL,
                        )
                    }
                    // Its length is known only to who reads it, as in /proc.
                    _ => (owner.file(node, mode, 0, store_time), NO_TTL),
                })
            }
            Node::Alias(id) => self.alias_attr(id),
            Node::Object(id) | Node::Identity(id) => {
                let object = match self.hsm.find_by_id(id) {
                    // Destroyed, yet open: a descriptor still has attributes.
                    Err(hsm::Error::Gone) => match self.files.opened_object(id) {
                        Some((object, partition)) => {
                            self.hsm.check_partition(partition)?;
                            object
                        }
                        None => {
                            let file = self
                                .files
                                .opened_staging(|file| file.row == Some(id))
                                .ok_or(Error::Gone)?;
                            return Ok((self.opened_attr(node, &file)?, NO_TTL));
                        }
                    },
                    Err(hsm::Error::ObjectDamaged(row)) => {
                        let slot = row.slot.ok_or(Error::Gone)?;
                        let session = self.hsm.partition(slot).session()?;
                        return Ok((self.damaged_attr(&session, node), NO_TTL));
                    }
                    found => found?,
                };
                let session = self.hsm.partition(object.slot).session()?;
                Ok((self.object_attr(&session, &object, node), TTL))
            }
            Node::Trashed(id) => {
                let trashed = self.hsm.find_trashed_by_id(id);
                let slot = match &trashed {
                    Ok(trashed) => Some(trashed.object.slot),
                    Err(hsm::Error::ObjectDamaged(row)) => row.slot,
                    Err(_) => None,
                };
                match slot {
                    Some(slot) => {
                        self.found_trashed_attr(&*self.hsm.partition(slot).session()?, trashed)
                    }
                    None => Err(trashed.err().map_or(Error::Gone, Error::from)),
                }
            }
            Node::Attributes(id) => {
                let object = self.hsm.find_by_id(id)?;
                let owner = self.slot_owner(object.slot)?;
                let attr = owner.file(node, 0o444, 0, time(object.created_secs));
                Ok((attr, NO_TTL))
            }
            Node::Incoming(file) => {
                let open = self.files.get(fuser::FileHandle(file)).ok_or(Error::Gone)?;
                self.check_belongs_as_known(&open)?;
                let OpenFile::Incoming(incoming) = &*open else {
                    return Err(Error::Gone);
                };
                let (slot, size) = {
                    let incoming = lock(incoming);
                    (incoming.slot, incoming.len())
                };
                let owner = self.slot_owner(slot)?;
                let attr = owner.file(node, 0o666, size as u64, store_time);
                // Who makes a file asks at once, and twice.
                let ttl = if size == 0 { BRIEF_TTL } else { NO_TTL };
                Ok((attr, ttl))
            }
            Node::Staging(id) | Node::StagingFolder(id) => {
                let file = self
                    .files
                    .opened_staging(|file| file.id == id)
                    .ok_or(Error::Gone)?;
                Ok((self.opened_attr(node, &file)?, NO_TTL))
            }
        }
    }

    /// What is staged under the inode of `node`.
    pub(super) fn staged(&self, node: Node) -> Option<(Place, Staged)> {
        match node {
            Node::Staging(id) | Node::StagingFolder(id) => self.staging.by_id(id),
            Node::Object(row) | Node::Identity(row) => self.staging.by_row(row),
            _ => None,
        }
    }

    /// Of a staging file that is removed or published, yet open: a descriptor still has attributes.
    fn opened_attr(&self, node: Node, file: &StagingFile) -> Result<FileAttr> {
        if let Some(partition) = file.partition() {
            self.hsm.check_partition(partition)?;
        }
        let time = time(self.hsm.created_secs());
        Ok(self.owner.file(node, 0o666, file.len() as u64, time))
    }

    fn slot_owner(&self, slot: SlotId) -> Result<Owner> {
        Ok(match self.hsm.partition(slot).session() {
            Ok(session) => self.owner.of_slot(session.row()),
            Err(_) => self.owner.of_slot(&self.hsm.partition(slot).row()?),
        })
    }

    /// The object as a file; `node` tells by which of its names it was reached.
    pub(super) fn object_attr(
        &self,
        session: &Session,
        object: &ObjectFile,
        node: Node,
    ) -> FileAttr {
        // Who reads it through the page cache reads as far as this says.
        let read = match node {
            Node::Object(id) | Node::Identity(id) => self.seals.size(id),
            _ => None,
        };
        self.owner.of_slot(session.row()).file(
            node,
            0o666,
            read.unwrap_or(object.size),
            time(object.created_secs),
        )
    }

    /// What was looked up; a damaged object has a file too, so that it can be removed.
    fn found_attr(
        &self,
        session: &Session,
        found: hsm::Result<ObjectFile>,
        node: fn(i64) -> Node,
    ) -> Result<Seen> {
        match found {
            Ok(object) => Ok((self.object_attr(session, &object, node(object.id)), TTL)),
            Err(hsm::Error::ObjectDamaged(row)) if row.has_inode() => {
                Ok((self.damaged_attr(session, node(row.id)), NO_TTL))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn found_trashed_attr(&self, session: &Session, found: hsm::Result<TrashFile>) -> Result<Seen> {
        match found {
            Ok(trashed) => Ok((self.trashed_attr(session, &trashed), NO_TTL)),
            Err(hsm::Error::ObjectDamaged(row)) if row.has_inode() => {
                let node = Node::Trashed(row.id);
                Ok((self.damaged_attr(session, node), NO_TTL))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Of an object whose size or time cannot be read. Not of size 0: tools take that for an empty file, and do not
    /// try to read it.
    pub(super) fn damaged_attr(&self, session: &Session, node: Node) -> FileAttr {
        let owner = self.owner.of_slot(session.row());
        owner.file(
            node,
            0o666,
            session.blob_bytes(1),
            time(self.hsm.created_secs()),
        )
    }

    /// Its status changed when it was removed: `ls -lc` shows since when it is here.
    pub(super) fn trashed_attr(&self, session: &Session, trashed: &TrashFile) -> FileAttr {
        let node = Node::Trashed(trashed.object.id);
        FileAttr {
            ctime: time(trashed.trashed_secs),
            ..self.object_attr(session, &trashed.object, node)
        }
    }

    pub(super) fn staging_attr(
        &self,
        session: &Session,
        place: Place,
        staged: &Staged,
    ) -> FileAttr {
        let owner = self.owner.of_slot(session.row());
        let time = time(self.hsm.created_secs());
        match staged {
            Staged::File(file) => {
                let node = match (file.row, place.folder) {
                    (Some(row), Folder::Identities) => Node::Identity(row),
                    (Some(row), _) => Node::Object(row),
                    (None, _) => Node::Staging(file.id),
                };
                owner.file(node, 0o666, file.len() as u64, time)
            }
            Staged::Folder(id, _) => owner.folder(Node::StagingFolder(*id), 0o777, time),
        }
    }
}
