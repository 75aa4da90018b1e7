//! Opening, reading and closing.

use std::ffi::OsStr;
use std::fmt::Write;
use std::io;
use std::sync::{Arc, Mutex};

use fuser::{FileAttr, FileHandle, FopenFlags};

use super::asker::Visitor;
use super::control::ControlFile;
use super::handles::OpenFile;
use super::incoming::{Incoming, IncomingFile, VerdictAt};
use super::name::{self, Name};
use super::node::Node;
use super::staging::{Place, Refused, Staged};
use super::{Inner, buffer, text, unsupported};
use crate::error::{Error, Result};
use crate::hsm::{ObjectFile, Wish, asker};
use crate::object::{RowId, SlotId, show};

/// Reads and writes bypass the page cache: what is read is this open's own snapshot, and only the slot answers a write.
/// sendfile(2) and splice(2) still read through the cache; an open without FOPEN_KEEP_CACHE empties it first.
pub const DIRECT: FopenFlags = FopenFlags::FOPEN_DIRECT_IO;

/// The close of a file that was only read has no result.
const ONLY_READ: FopenFlags = FopenFlags::FOPEN_NOFLUSH;

/// How a program opens a file.
#[derive(Clone, Copy)]
pub struct Opener {
    /// The flags of open(2).
    pub flags: i32,
    /// Whose process it is.
    pub visitor: Visitor,
}

impl Opener {
    /// Whether the flags contain `flag`.
    pub(super) fn has(self, flag: i32) -> bool {
        self.flags & flag != 0
    }

    /// The process.
    pub(super) fn pid(self) -> u32 {
        self.visitor.pid
    }

    fn writes(self) -> bool {
        matches!(self.flags & libc::O_ACCMODE, libc::O_WRONLY | libc::O_RDWR)
    }

    /// A new incoming blob, whose verdict comes where the program looks for errors (docs/mount.md, "Where the verdict is
    /// given"). A program that appends writes in order, like one that truncates.
    pub(super) fn incoming(self, slot: SlotId, exclusive: bool) -> Incoming {
        let at_write = self.has(libc::O_EXCL | libc::O_TRUNC | libc::O_APPEND);
        let verdict_at = match at_write {
            true => VerdictAt::Write,
            false => VerdictAt::Close,
        };
        Incoming::new(slot, verdict_at, exclusive)
    }
}

impl Inner {
    /// Opens a file that exists; returns how the kernel is to treat it.
    pub fn open(&self, node: Node, by: Opener) -> Result<(FileHandle, FopenFlags)> {
        if let Some((place, Staged::File(file))) = self.staged(node) {
            self.hsm.partition(place.slot).session()?;
            file.opened();
            return Ok((self.files.add(OpenFile::Staging(file)), DIRECT));
        }
        let reads = !by.writes();
        match node {
            Node::Object(row) | Node::Identity(row) if reads => {
                let (fh, shared) = self.open_object(row)?;
                // Through the page cache, if all readers read the same: this saves the request that finds the end.
                Ok((
                    fh,
                    if shared {
                        ONLY_READ
                    } else {
                        ONLY_READ | DIRECT
                    },
                ))
            }
            // It may lead to another object at any time, and the page cache would mix the two.
            Node::Alias(id) if reads => match self.aliases.target(id) {
                Some((_, row)) => Ok((self.open_object(row)?.0, ONLY_READ | DIRECT)),
                None => {
                    self.aliases.by_id(id).ok_or(Error::Gone)?;
                    Ok((self.files.add(OpenFile::Text(Vec::new(), None)), DIRECT))
                }
            },
            _ => Ok((self.open_direct(node, by)?, DIRECT)),
        }
    }

    /// Opens an object for reading; returns whether all its readers read the same bytes, as many as the kernel knows of.
    fn open_object(&self, row: RowId) -> Result<(FileHandle, bool)> {
        let (object, blob, shared) = self.seals.open(&self.hsm, row)?;
        let size = blob.bytes().len() as u64;
        let is_sure = |it: &ObjectFile| self.told_sizes.is_sure(it.slot, it.payload_bytes, size);
        let shared = shared && is_sure(&object);
        Ok((self.files.add(OpenFile::Object(object, blob)), shared))
    }

    fn open_direct(&self, node: Node, by: Opener) -> Result<FileHandle> {
        match node {
            Node::Object(id) | Node::Identity(id) => {
                let object = self.hsm.find_by_id(id)?;
                let wish = match node {
                    Node::Identity(_) => Wish::Identity(object.ouid),
                    _ => Wish::Handle(object.handle),
                };
                let incoming = by
                    .incoming(object.slot, false)
                    .over_object(object.size, by.has(libc::O_APPEND))
                    .over(node, by.pid());
                self.add_incoming(wish, incoming, by)
            }
            Node::Alias(id) => self.open_alias(id, by),
            Node::Incoming(file) => self.reopen_incoming(file, by),
            Node::Staging(_) => Err(Error::Gone),
            // An object in the trash can be neither read nor cloned, only moved back.
            Node::Trashed(_) => unsupported("opening what is in the trash"),
            Node::Control(slot, file) => self.open_control(slot, file, by),
            Node::Attributes(_) if by.writes() => unsupported("write"),
            Node::Attributes(id) => {
                let (file, object) = self.hsm.open_object(id)?;
                let partition = self.hsm.partition(file.slot).id()?;
                let mut text = String::new();
                for (name, value) in show::attributes(&object) {
                    // Writing to a String does not fail.
                    let _ = writeln!(text, "{name}: {value}");
                }
                let text = OpenFile::Text(text.into_bytes(), Some(partition));
                Ok(self.files.add(text))
            }
            Node::Public(_) if by.writes() => unsupported("write"),
            Node::Public(id) => {
                let (file, pem) = self.public_content(id)?;
                let partition = self.hsm.partition(file.slot).id()?;
                Ok(self.files.add(OpenFile::Text(pem, Some(partition))))
            }
            Node::Root | Node::Slot(_) | Node::StagingFolder(_) => unsupported("open"),
        }
    }

    /// An open by way of /proc/self/fd, or of an alias: another incoming blob for the same name, as private as the first.
    fn reopen_incoming(&self, handle: FileHandle, by: Opener) -> Result<FileHandle> {
        let first = self.files.incoming(handle).ok_or(Error::Gone)?;
        if !by.writes() {
            return unsupported("reading a blob that is coming in");
        }
        let again = by.incoming(first.slot(), false);
        let again = again.over(Node::Incoming(handle), by.pid());
        let file = self.add_incoming(first.wish, again, by)?;
        match first.alias_id().and_then(|id| self.aliases.by_id(id)) {
            Some(alias) => self.write_alias((alias.place, &alias.name, alias.wish), file, false),
            // An alias that has ended is not made again.
            None => Ok(file),
        }
    }

    fn open_control(
        &self,
        slot: Option<SlotId>,
        file: ControlFile,
        by: Opener,
    ) -> Result<FileHandle> {
        let writes = by.writes();
        match slot {
            Some(slot) if writes && file.takes_messages() => {
                self.hsm.partition(slot).row()?;
                if file == ControlFile::Smk {
                    self.may_write(slot)?;
                }
                let message = OpenFile::Message(slot, file, Mutex::new(Ok(())));
                Ok(self.files.add(message))
            }
            _ if writes => unsupported("write"),
            _ => {
                // Before the text: if the text is of a later partition, it is never shown.
                let partition = match file {
                    ControlFile::Contents
                    | ControlFile::Removed
                    | ControlFile::Revisions
                    | ControlFile::Smk => slot.and_then(|slot| self.hsm.partition(slot).id().ok()),
                    _ => None,
                };
                if file == ControlFile::Metrics {
                    let seat = self.metrics_seats.take(by.visitor.uid());
                    let seat = seat.ok_or_else(|| Error::File {
                        path: ".slotfs/metrics".into(),
                        source: io::Error::from_raw_os_error(libc::EMFILE),
                    })?;
                    let page = self.metrics(&by.visitor)?.into_bytes();
                    return Ok(self.files.add(OpenFile::Metrics { page, _seat: seat }));
                }
                let content = text::content(&self.hsm, &self.stats, slot, file)?;
                Ok(self.files.add(OpenFile::Text(content, partition)))
            }
        }
    }

    /// Creates a file and opens it.
    pub fn create(&self, parent: Node, name: &OsStr, by: Opener) -> Result<(FileAttr, FileHandle)> {
        let Some(place) = self.place(parent)? else {
            return unsupported("create");
        };
        let slot = place.slot;
        self.hsm.partition(slot).session()?;
        match Name::parse(place.folder, name) {
            Name::Object(wish) => {
                let incoming = by.incoming(slot, by.has(libc::O_EXCL));
                let handle = self.add_incoming(wish, incoming, by)?;
                Ok((self.incoming_attr(handle)?.0, handle))
            }
            Name::Staging => self.create_staged(place, name, by),
            Name::Alias(wish) => self.create_alias((place, name), wish, by),
            Name::Hidden => unsupported("create"),
            Name::Other => name::refuse(slot, name),
        }
    }

    pub(super) fn create_staged(
        &self,
        place: Place,
        name: &OsStr,
        by: Opener,
    ) -> Result<(FileAttr, FileHandle)> {
        let slot = place.slot;
        self.may_write(slot)?;
        if name.len() > name::MOST_BYTES {
            return name::refuse(slot, name);
        }
        let row = self.hsm.reserve_row();
        let file = self.staging.create(place, name, by.pid(), row)?;
        // A logout meanwhile removed the staging files before this one was there.
        if let Err(error) = self.may_write(slot) {
            self.staging.remove_file(place, name, &file);
            return Err(error);
        }
        if by.has(libc::O_TRUNC) {
            let cut = self.staging.truncate(&file, 0);
            cut.map_err(|why| why.error(slot))?;
        }
        file.opened();
        let session = self.hsm.partition(slot).session()?;
        let attr = self.staging_attr(&session, place, &Staged::File(Arc::clone(&file)));
        Ok((attr, self.files.add(OpenFile::Staging(file))))
    }

    pub(super) fn add_incoming(
        &self,
        wish: Wish,
        incoming: Incoming,
        by: Opener,
    ) -> Result<FileHandle> {
        let slot = incoming.slot();
        self.may_write(slot)?;
        let partition = self.hsm.partition(slot).id()?;
        let file = IncomingFile::new(partition, wish, incoming);
        self.files.add_incoming(file, by.pid(), |dropped, why| {
            self.note_refused_file(dropped, dropped.lock().origin(), &why);
        })
    }

    /// Reads from an open file.
    pub fn read(&self, fh: FileHandle, offset: u64, size: u64) -> Result<Vec<u8>, i32> {
        match &*self.opened(fh)? {
            OpenFile::Object(_, blob) => Ok(buffer::slice(blob.bytes(), offset, size).to_vec()),
            OpenFile::Text(text, _) | OpenFile::Metrics { page: text, .. } => {
                Ok(buffer::slice(text, offset, size).to_vec())
            }
            OpenFile::Incoming(file) => file.lock().read(offset, size).map(<[u8]>::to_vec),
            OpenFile::Staging(file) => file.read(offset, size).map_err(Refused::errno),
            OpenFile::Message(..) => Err(libc::EBADF),
        }
    }

    /// The last close.
    pub fn release(&self, fh: FileHandle) {
        let Some(open) = self.files.remove(fh) else {
            return;
        };
        match &*open {
            OpenFile::Incoming(file) => {
                let gone = self.hsm.check_partition_as_known(file.partition).err();
                let incoming = file.lock();
                let (slot, name) = (file.slot(), file.name());
                asker::on_behalf(file.asker(), || {
                    if let Some(why) = gone {
                        // A lost store was reported once, as an error.
                        log::info!("slot {slot}: {name} was not stored: {why}");
                    } else if let Some(why) = incoming.release() {
                        self.note_refused_file(file, incoming.origin(), &why);
                    } else if incoming.left_nothing() {
                        // After O_TRUNC, as busybox cp and shells use it, an empty file looks the same as none.
                        log::info!(
                            "slot {slot}: {name} was opened and closed, nothing was written"
                        );
                    }
                });
                if let Some(id) = file.alias_id() {
                    self.aliases.closed(id, fh, incoming.left_nothing());
                }
            }
            OpenFile::Staging(file) => file.closed(),
            OpenFile::Object(object, _) => {
                let row = object.id;
                drop(open);
                self.seals.tidy(row);
            }
            OpenFile::Text(..) | OpenFile::Metrics { .. } | OpenFile::Message(..) => {}
        }
    }
}
