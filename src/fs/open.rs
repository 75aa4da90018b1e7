//! Opening, reading and closing.

use std::ffi::OsStr;
use std::sync::{Arc, Mutex, PoisonError};

use fuser::{FileAttr, FileHandle, FopenFlags, OpenAccMode, OpenFlags};

use super::Inner;
use super::buffer;
use super::control::ControlFile;
use super::handles::{OpenFile, lock};
use super::incoming::{Incoming, VerdictAt};
use super::name::{self, IdentityName, Name};
use super::node::Node;
use super::staging::{Folder, Place, Staged};
use super::text;
use crate::error::{Error, Result};
use crate::hsm::Wish;
use crate::object::{SlotId, show};

/// Reads and writes pass the page cache by: what is read is this open's own snapshot, what is written is
/// answered by the slot and by nobody else. Only sendfile(2) and splice(2) still read through it; an open
/// without FOPEN_KEEP_CACHE empties it first.
pub const DIRECT: FopenFlags = FopenFlags::FOPEN_DIRECT_IO;

/// Closing what was only read has nothing to tell.
const ONLY_READ: FopenFlags = FopenFlags::FOPEN_NOFLUSH;

impl Inner {
    /// Opens what exists; how the kernel is to treat it.
    pub fn open(&self, node: Node, flags: OpenFlags, pid: u32) -> Result<(FileHandle, FopenFlags)> {
        if let Some((place, Staged::File(file))) = self.staged(node) {
            self.hsm.partition(place.slot).session()?;
            file.opened();
            return Ok((self.files.add(OpenFile::Staging(file)), DIRECT));
        }
        match node {
            Node::Object(id) | Node::Identity(id) if flags.acc_mode() == OpenAccMode::O_RDONLY => {
                let opened = self.seals.open(&self.hsm, id)?;
                let file = OpenFile::Object(opened.object, opened.blob);
                // Through the page cache, where all who read it read the same: it saves the request that finds the end.
                let how = match opened.shared {
                    true => ONLY_READ,
                    false => ONLY_READ | DIRECT,
                };
                Ok((self.files.add(file), how))
            }
            Node::Alias(id) if flags.acc_mode() == OpenAccMode::O_RDONLY => {
                // It may lead to another object at any time: past the page cache, which would mix them.
                let Some((_, row)) = self.aliases.target(id) else {
                    self.aliases.by_id(id).ok_or(Error::Gone)?;
                    return Ok((self.files.add(OpenFile::Text(Vec::new(), None)), DIRECT));
                };
                let opened = self.seals.open(&self.hsm, row)?;
                let file = OpenFile::Object(opened.object, opened.blob);
                Ok((self.files.add(file), ONLY_READ | DIRECT))
            }
            _ => self.open_direct(node, flags, pid).map(|fh| (fh, DIRECT)),
        }
    }

    fn open_direct(&self, node: Node, flags: OpenFlags, pid: u32) -> Result<FileHandle> {
        let writes = flags.acc_mode() != OpenAccMode::O_RDONLY;
        match node {
            Node::Object(id) | Node::Identity(id) => {
                let object = self.hsm.find_by_id(id)?;
                self.hsm.partition(object.slot).may_write()?;
                let wish = match node {
                    Node::Identity(_) => Wish::Identity(object.ouid),
                    _ => Wish::Handle(object.handle),
                };
                let incoming = Incoming::new(object.slot, wish, verdict_at(flags.0), false);
                let appends = flags.0 & libc::O_APPEND != 0;
                let incoming = incoming.over_object(object.size, appends);
                self.add_incoming(incoming.over(node, pid), pid)
            }
            Node::Alias(id) => self.open_alias(id, flags, pid),
            Node::Incoming(file) => self.reopen_incoming(file, flags, pid, writes),
            Node::Staging(_) => Err(Error::Gone),
            // Neither read nor cloned: out of the trash there is only mv.
            Node::Trashed(_) => Err(Error::NotSupported {
                what: "opening what is in the trash",
            }),
            Node::Control(slot, file) => self.open_control(slot, file, writes),
            Node::Attributes(_) if writes => Err(Error::NotSupported { what: "write" }),
            Node::Attributes(id) => {
                let (file, object) = self.hsm.open_object(id)?;
                let partition = self.hsm.partition(file.slot).id()?;
                let mut text = String::new();
                for (name, value) in show::attributes(&object) {
                    text.push_str(&format!("{name}: {value}\n"));
                }
                let text = OpenFile::Text(text.into_bytes(), Some(partition));
                Ok(self.files.add(text))
            }
            Node::Root | Node::Slot(_) | Node::StagingFolder(_) => {
                Err(Error::NotSupported { what: "open" })
            }
        }
    }

    /// By way of /proc/self/fd, or of an alias: another incoming blob for the same name, as private as the first.
    fn reopen_incoming(
        &self,
        file: u64,
        flags: OpenFlags,
        pid: u32,
        writes: bool,
    ) -> Result<FileHandle> {
        let open = self.files.get(FileHandle(file)).ok_or(Error::Gone)?;
        match &*open {
            OpenFile::Incoming(incoming) if writes => {
                let (slot, wish, alias) = {
                    let incoming = lock(incoming);
                    let alias = incoming.alias.as_ref().map(|(id, _)| *id);
                    (incoming.slot, incoming.wish, alias)
                };
                self.hsm.partition(slot).may_write()?;
                let again = Incoming::new(slot, wish, verdict_at(flags.0), false);
                let file = self.add_incoming(again.over(Node::Incoming(file), pid), pid)?;
                match alias {
                    Some(id) => self.reopen_alias(id, file),
                    None => Ok(file),
                }
            }
            _ => Err(Error::NotSupported {
                what: "reading a blob that is coming in",
            }),
        }
    }

    fn open_control(
        &self,
        slot: Option<SlotId>,
        file: ControlFile,
        writes: bool,
    ) -> Result<FileHandle> {
        match slot {
            Some(slot) if writes && file.takes_messages() => {
                self.hsm.partition(slot).row()?;
                if file == ControlFile::Smk {
                    self.hsm.partition(slot).may_write()?;
                }
                let message = OpenFile::Message(slot, file, Mutex::new(Ok(())));
                Ok(self.files.add(message))
            }
            _ if writes => Err(Error::NotSupported { what: "write" }),
            _ => {
                // Before the text: one that is of another partition then is never shown.
                let partition = match file {
                    ControlFile::Contents | ControlFile::Smk => {
                        slot.and_then(|slot| self.hsm.partition(slot).id().ok())
                    }
                    _ => None,
                };
                let content = text::content(&self.hsm, &self.stats, slot, file)?;
                Ok(self.files.add(OpenFile::Text(content, partition)))
            }
        }
    }

    /// Opens what does not exist yet.
    pub fn create(
        &self,
        parent: Node,
        name: &OsStr,
        flags: i32,
        pid: u32,
    ) -> Result<(FileAttr, FileHandle)> {
        let (slot, wish) = match parent {
            Node::Slot(slot) => {
                self.hsm.partition(slot).session()?;
                let folder = Folder::Slot;
                match Name::parse(name) {
                    Name::Handle(handle) => (slot, Wish::Handle(handle)),
                    Name::New => (slot, Wish::Any),
                    Name::Staging(name) => {
                        return self.create_staged(Place { slot, folder }, &name, flags, pid);
                    }
                    Name::Alias(wish) => {
                        return self.create_alias((Place { slot, folder }, name), wish, flags, pid);
                    }
                    Name::Hidden => return Err(Error::NotSupported { what: "create" }),
                    Name::Other => return name::refuse(slot, name),
                }
            }
            Node::Control(Some(slot), ControlFile::Identities) => {
                self.hsm.partition(slot).session()?;
                let folder = Folder::Identities;
                match IdentityName::parse(name) {
                    IdentityName::Ouid(ouid) => (slot, Wish::Identity(ouid)),
                    IdentityName::Staging(name) => {
                        return self.create_staged(Place { slot, folder }, &name, flags, pid);
                    }
                    IdentityName::Alias(ouid) => {
                        let alias = (Place { slot, folder }, name);
                        return self.create_alias(alias, Wish::Identity(ouid), flags, pid);
                    }
                    IdentityName::Other => return name::refuse(slot, name),
                }
            }
            Node::StagingFolder(id) => {
                return self.create_staged(self.folder(id)?, name, flags, pid);
            }
            _ => return Err(Error::NotSupported { what: "create" }),
        };
        let fh = self.open_incoming(slot, wish, flags, pid)?;
        let (attr, _) = self.getattr(Node::Incoming(fh.0))?;
        Ok((attr, fh))
    }

    pub(super) fn create_staged(
        &self,
        place: Place,
        name: &OsStr,
        flags: i32,
        pid: u32,
    ) -> Result<(FileAttr, FileHandle)> {
        self.hsm.partition(place.slot).may_write()?;
        if name.len() > name::MOST_BYTES {
            return name::refuse(place.slot, name);
        }
        let file = self
            .staging
            .create(place, name, pid, self.hsm.reserve_row())?;
        // Logged out meanwhile: what is staged was forgotten before this was there to be forgotten.
        if let Err(error) = self.hsm.partition(place.slot).may_write() {
            self.staging.remove_file(place, name, &file);
            return Err(error.into());
        }
        if flags & libc::O_TRUNC != 0 {
            self.staging
                .truncate(&file, 0)
                .map_err(|why| why.error(place.slot))?;
        }
        file.opened();
        let session = self.hsm.partition(place.slot).session()?;
        let attr = self.staging_attr(&session, place, &Staged::File(Arc::clone(&file)));
        Ok((attr, self.files.add(OpenFile::Staging(file))))
    }

    fn open_incoming(&self, slot: SlotId, wish: Wish, flags: i32, pid: u32) -> Result<FileHandle> {
        self.hsm.partition(slot).may_write()?;
        let exclusive = flags & libc::O_EXCL != 0;
        let incoming = Incoming::new(slot, wish, verdict_at(flags), exclusive);
        self.add_incoming(incoming, pid)
    }

    pub(super) fn add_incoming(&self, incoming: Incoming, pid: u32) -> Result<FileHandle> {
        let partition = self.hsm.partition(incoming.slot).id()?;
        let incoming = incoming.belonging_to(partition);
        self.files.add_incoming(incoming, pid, |dropped, why| {
            self.note_refusal(dropped.slot, &dropped.called(), dropped.source(), &why);
        })
    }

    /// Reads from an open file.
    pub fn read(&self, fh: FileHandle, offset: u64, size: u64) -> Result<Vec<u8>, i32> {
        let open = self.opened(fh)?;
        match &*open {
            OpenFile::Object(_, blob) => Ok(buffer::slice(blob.bytes(), offset, size).to_vec()),
            OpenFile::Text(text, _) => Ok(buffer::slice(text, offset, size).to_vec()),
            OpenFile::Incoming(incoming) => lock(incoming).read(offset, size).map(<[u8]>::to_vec),
            OpenFile::Staging(file) => file.read(offset, size).map_err(|why| why.errno()),
            OpenFile::Message(..) => Err(libc::EBADF),
        }
    }

    /// The last close.
    pub fn release(&self, fh: FileHandle) {
        let Some(open) = self.files.remove(fh) else {
            return;
        };
        match &*open {
            OpenFile::Incoming(incoming) => {
                let belongs = self.check_belongs_as_known(&open);
                let incoming = lock(incoming);
                let (slot, name) = (incoming.slot, incoming.called());
                if let Err(why) = belongs {
                    // A store that is lost was told of, once and loudly.
                    log::info!("slot {slot}: {name} was not stored: {why}");
                } else if let Some(why) = incoming.release() {
                    self.note_refusal(slot, &name, incoming.source(), &why);
                } else if incoming.left_nothing() {
                    // By O_TRUNC, as busybox cp and shells do, an empty file cannot be told from nothing.
                    log::info!("slot {slot}: {name} was opened and closed, nothing was written");
                }
                if let Some((id, _)) = &incoming.alias {
                    self.aliases.closed(*id, fh.0, incoming.left_nothing());
                }
            }
            OpenFile::Staging(file) => file.closed(),
            OpenFile::Object(object, _) => {
                let id = object.id;
                drop(open);
                self.seals.tidy(id);
            }
            OpenFile::Text(..) | OpenFile::Message(..) => {}
        }
    }

    /// The result of the last message, for FLUSH to repeat.
    pub(super) fn message_result(result: &Mutex<Result<(), i32>>) -> Result<(), i32> {
        *result.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where who opens a handle with `flags` looks for errors (docs/mount.md, "Where the verdict is given"). What appends writes in order and
/// is as good as what truncates.
pub(super) fn verdict_at(flags: i32) -> VerdictAt {
    if flags & (libc::O_EXCL | libc::O_TRUNC | libc::O_APPEND) == 0 {
        VerdictAt::Close
    } else {
        VerdictAt::Write
    }
}
