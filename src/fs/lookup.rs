//! Names to nodes, nodes to attributes.

use std::ffi::OsStr;

use fuser::{FileAttr, FileHandle, FileType};

use super::Inner;
use super::attr::{BRIEF_TTL, NO_TTL, Owner, Seen, TTL, time};
use super::control::ControlFile;
use super::name::{HIDDEN, Name};
use super::node::{Node, StagingId};
use super::staging::{Folder, Place, Staged, StagingFile};
use crate::error::{Error, Result};
use crate::hsm::{self, ObjectFile, Session, TrashFile, Wish};
use crate::object::{Handle, RowId, SlotId};

/// `name` as something that has a textual form.
pub(super) fn parse<T: std::str::FromStr>(name: &OsStr) -> Result<T> {
    let parsed = name.to_str().and_then(|name| name.parse().ok());
    parsed.ok_or(Error::NoSuchFile)
}

impl Inner {
    /// The entry `name` of a folder.
    pub fn lookup(&self, parent: Node, name: &OsStr) -> Result<Seen> {
        if let Some(place) = self.place(parent)? {
            return self.lookup_at(place, name);
        }
        match parent {
            Node::Root if name == HIDDEN => self.getattr(Node::Control(None, ControlFile::Folder)),
            Node::Root => self.getattr(Node::Slot(parse(name)?)),
            Node::Control(slot, ControlFile::Folder) => {
                let file = name
                    .to_str()
                    .and_then(|name| ControlFile::find(name, slot.is_some()))
                    .ok_or(Error::NoSuchFile)?;
                self.getattr(Node::Control(slot, file))
            }
            Node::Control(Some(slot), ControlFile::Objects) => {
                let object = self.hsm.partition(slot).find(parse::<Handle>(name)?)?;
                self.getattr(Node::Attributes(object.id))
            }
            Node::Control(Some(slot), ControlFile::Public) => self.lookup_public(slot, name),
            Node::Control(Some(slot), ControlFile::Trash) => {
                let session = self.hsm.partition(slot).session()?;
                let trashed = self.hsm.partition(slot).find_trashed(parse(name)?);
                self.trashed_seen(&session, trashed)
            }
            _ => Err(Error::NoSuchFile),
        }
    }

    /// The place of the names in a folder, if objects, aliases and staging files can have such names.
    pub(super) fn place(&self, parent: Node) -> Result<Option<Place>> {
        let (slot, folder) = match parent {
            Node::Slot(slot) => (slot, Folder::Slot),
            Node::Control(Some(slot), ControlFile::Identities) => (slot, Folder::Identities),
            Node::StagingFolder(id) => return self.folder(id).map(Some),
            _ => return Ok(None),
        };
        Ok(Some(Place { slot, folder }))
    }

    /// The inside of a staging folder.
    pub(super) fn folder(&self, id: StagingId) -> Result<Place> {
        match self.staging.by_id(id) {
            Some((Place { slot, .. }, Staged::Folder(..))) => Ok(Place {
                slot,
                folder: Folder::Staging(id),
            }),
            _ => Err(Error::Gone),
        }
    }

    fn lookup_at(&self, place: Place, name: &OsStr) -> Result<Seen> {
        let slot = place.slot;
        match Name::parse(place.folder, name) {
            Name::Hidden => self.getattr(Node::Control(Some(slot), ControlFile::Folder)),
            Name::Object(wish) => {
                let session = self.hsm.partition(slot).session()?;
                match self.named(slot, wish) {
                    Ok(object) => {
                        let node = place.folder.object(object.id);
                        Ok((self.object_attr(&session, &object, node), TTL))
                    }
                    // It has a file, so that it can be removed.
                    Err(Error::Hsm(hsm::Error::ObjectDamaged(row))) if row.has_inode() => {
                        let node = place.folder.object(row.id);
                        Ok((self.damaged_attr(&session, node), NO_TTL))
                    }
                    Err(error) => Err(error),
                }
            }
            Name::Staging => self.lookup_staged(place, name),
            Name::Alias(_) => self.lookup_alias(place, name),
            Name::Other => {
                self.hsm.partition(slot).session()?;
                Err(Error::NoSuchFile)
            }
        }
    }

    /// The object of that name.
    pub(super) fn named(&self, slot: SlotId, wish: Wish) -> Result<ObjectFile> {
        match wish {
            Wish::Handle(handle) => Ok(self.hsm.partition(slot).find(handle)?),
            Wish::Identity(ouid) => Ok(self.hsm.partition(slot).find_by_ouid(ouid)?),
            Wish::Any => Err(Error::NoSuchFile),
        }
    }

    pub(super) fn lookup_staged(&self, place: Place, name: &OsStr) -> Result<Seen> {
        let session = self.hsm.partition(place.slot).session()?;
        let staged = self.staging.find(place, name).ok_or(Error::NoSuchFile)?;
        Ok((self.staging_attr(&session, place, &staged), NO_TTL))
    }

    /// The attributes of `node`.
    pub fn getattr(&self, node: Node) -> Result<Seen> {
        if let Some((place, staged)) = self.staged(node) {
            let session = self.hsm.partition(place.slot).session()?;
            let mut attr = self.staging_attr(&session, place, &staged);
            attr.ino = node.ino();
            return Ok((attr, NO_TTL));
        }
        let store_time = time(self.hsm.created_secs());
        match node {
            Node::Root => Ok((self.owner.root_folder(store_time), TTL)),
            Node::Slot(slot) => {
                let owner = match self.slot_owner(slot) {
                    // The mount's owner sees it and cannot enter it.
                    Err(Error::Hsm(error)) if error.is_slot_damaged() => self.owner,
                    owner => owner?,
                };
                Ok((owner.folder(node, 0o777, store_time), TTL))
            }
            Node::Control(slot, file) => self.control_attr(node, slot, file),
            Node::Alias(id) => self.alias_attr(id),
            Node::Object(row) | Node::Identity(row) => self.object_seen(node, row),
            Node::Trashed(id) => {
                let trashed = self.hsm.find_trashed_by_id(id);
                let slot = match &trashed {
                    Ok(trashed) => Some(trashed.object.slot),
                    Err(hsm::Error::ObjectDamaged(row)) => row.slot,
                    Err(_) => None,
                };
                match slot {
                    Some(slot) => self.trashed_seen(&*self.hsm.partition(slot).session()?, trashed),
                    None => Err(trashed.err().map_or(Error::Gone, Error::from)),
                }
            }
            Node::Attributes(id) => {
                let object = self.hsm.find_by_id(id)?;
                let owner = self.slot_owner(object.slot)?;
                let attr = owner.file(node, 0o444, 0, time(object.time_secs()));
                Ok((attr, NO_TTL))
            }
            Node::Public(id) => self.public_seen(self.hsm.find_by_id(id)),
            Node::Incoming(handle) => self.incoming_attr(handle),
            Node::Staging(id) | Node::StagingFolder(id) => {
                self.open_staging_attr(node, |file| file.id == id)
            }
        }
    }

    fn control_attr(&self, node: Node, slot: Option<SlotId>, file: ControlFile) -> Result<Seen> {
        let row = file.row();
        let owner = match slot {
            Some(slot) => self.slot_owner(slot)?,
            None => self.owner,
        };
        if let Some(slot) = slot
            && !row.when_locked
        {
            self.hsm.partition(slot).session()?;
        }
        let store_time = time(self.hsm.created_secs());
        if file.kind() == FileType::Directory {
            return Ok((owner.folder(node, row.mode, store_time), TTL));
        }
        let (size, time) = match slot {
            Some(slot) if file == ControlFile::Smk => {
                // A V0 slot has none.
                let smk = self
                    .hsm
                    .partition(slot)
                    .smk_file()?
                    .ok_or(Error::NoSuchFile)?;
                (smk.size, time(smk.time_secs))
            }
            // As in /proc, the length is known only after reading.
            _ => (0, store_time),
        };
        Ok((owner.file(node, row.mode, size, time), NO_TTL))
    }

    fn object_seen(&self, node: Node, row: RowId) -> Result<Seen> {
        let object = match self.hsm.find_by_id(row) {
            // Destroyed and still open: a descriptor has attributes.
            Err(hsm::Error::Gone) => match self.opened_object(row)? {
                Some(object) => object,
                None => return self.replaced_attr(node, row),
            },
            Err(hsm::Error::ObjectDamaged(row)) => {
                let session = self.hsm.partition(row.slot.ok_or(Error::Gone)?).session()?;
                return Ok((self.damaged_attr(&session, node), NO_TTL));
            }
            found => found?,
        };
        let session = self.hsm.partition(object.slot).session()?;
        Ok((self.object_attr(&session, &object, node), TTL))
    }

    /// The attributes of a row that has no object any more: of a staging file that is open, or of the object that a
    /// descriptor of this inode put in the place of the former one. tools ask for them, and set times, before they close.
    fn replaced_attr(&self, node: Node, row: RowId) -> Result<Seen> {
        let Some(file) = self.files.incoming_over(node) else {
            return self.open_staging_attr(node, |file| file.row == Some(row));
        };
        self.hsm.check_partition_as_known(file.partition)?;
        let session = self.hsm.partition(file.slot()).session()?;
        let object = self
            .named(file.slot(), file.wish)
            .map_err(|_| Error::Gone)?;
        Ok((self.object_attr(&session, &object, node), NO_TTL))
    }

    /// The object of a row as it was when it was opened for reading, if it is open.
    pub(super) fn opened_object(&self, row: RowId) -> Result<Option<ObjectFile>> {
        let Some((object, partition)) = self.files.opened_object(row) else {
            return Ok(None);
        };
        self.hsm.check_partition(partition)?;
        Ok(Some(object))
    }

    pub(super) fn incoming_attr(&self, handle: FileHandle) -> Result<Seen> {
        let file = self.files.incoming(handle).ok_or(Error::Gone)?;
        self.hsm.check_partition_as_known(file.partition)?;
        let size = file.lock().len() as u64;
        let owner = self.slot_owner(file.slot())?;
        let time = time(self.hsm.created_secs());
        let attr = owner.file(Node::Incoming(handle), 0o666, size, time);
        // A program that creates a file asks for its attributes at once, and twice.
        Ok((attr, if size == 0 { BRIEF_TTL } else { NO_TTL }))
    }

    /// What is staged under the inode of `node`.
    pub(super) fn staged(&self, node: Node) -> Option<(Place, Staged)> {
        match node {
            Node::Staging(id) | Node::StagingFolder(id) => self.staging.by_id(id),
            Node::Object(row) | Node::Identity(row) => self.staging.by_row(row),
            _ => None,
        }
    }

    /// The attributes of an open staging file that is removed or published: its descriptor still has them.
    fn open_staging_attr(&self, node: Node, is: impl Fn(&StagingFile) -> bool) -> Result<Seen> {
        let file = self.files.opened_staging(is).ok_or(Error::Gone)?;
        if let Some(partition) = file.partition() {
            self.hsm.check_partition(partition)?;
        }
        let time = time(self.hsm.created_secs());
        let attr = self.owner.file(node, 0o666, file.len() as u64, time);
        Ok((attr, NO_TTL))
    }

    fn slot_owner(&self, slot: SlotId) -> Result<Owner> {
        Ok(match self.hsm.partition(slot).session() {
            Ok(session) => self.owner.of_slot(session.row()),
            Err(_) => self.owner.of_slot(&self.hsm.partition(slot).row()?),
        })
    }

    /// The attributes of an object; `node` tells by which of its names it was reached.
    pub(super) fn object_attr(
        &self,
        session: &Session,
        object: &ObjectFile,
        node: Node,
    ) -> FileAttr {
        // A reader reads through the page cache as far as this size.
        let read = match node {
            Node::Object(row) | Node::Identity(row) => self.seals.size(row),
            _ => None,
        };
        let (size, time) = (read.unwrap_or(object.size), time(object.time_secs()));
        self.told_sizes
            .tell(object.slot, object.payload_bytes, size);
        let owner = self.owner.of_slot(session.row());
        owner.file(node, 0o666, size, time)
    }

    /// The attributes of an object in the trash; a damaged one has them too, so that it can be removed.
    fn trashed_seen(&self, session: &Session, found: hsm::Result<TrashFile>) -> Result<Seen> {
        let attr = match found {
            Ok(trashed) => self.trashed_attr(session, &trashed),
            Err(hsm::Error::ObjectDamaged(row)) if row.has_inode() => {
                self.damaged_attr(session, Node::Trashed(row.id))
            }
            Err(error) => return Err(error.into()),
        };
        Ok((attr, NO_TTL))
    }

    /// The attributes of an object whose size or time cannot be read. The size is not 0, because tools do not try to read
    /// an empty file.
    pub(super) fn damaged_attr(&self, session: &Session, node: Node) -> FileAttr {
        let owner = self.owner.of_slot(session.row());
        let time = time(self.hsm.created_secs());
        owner.file(node, 0o666, session.blob_bytes(1), time)
    }

    /// An object's status changed when it was removed: `ls -lc` shows since when it is in the trash.
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
                let node = match file.row {
                    Some(row) => place.folder.object(row),
                    None => Node::Staging(file.id),
                };
                owner.file(node, 0o666, file.len() as u64, time)
            }
            Staged::Folder(id, _) => owner.folder(Node::StagingFolder(*id), 0o777, time),
        }
    }
}
