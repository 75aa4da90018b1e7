//! The kernel's side: decode a request, make one call, reply. Every rule is in [`crate::hsm`].

use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, FopenFlags,
    Generation, INodeNo, InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenFlags, PollEvents,
    PollFlags, PollNotifier, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen, ReplyPoll,
    ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};

use crate::error::{Error, Result};
use crate::hsm::{self, Hsm, Source};
use crate::object::SlotId;
use alias::Aliases;
use entrance::Visitor;
use handles::OpenFiles;
use incoming::Ends;
use node::Node;
use seals::Seals;
use staging::Staging;
use stats::Stats;

mod alias;
mod asker;
mod attr;
mod belongs;
mod buffer;
mod control;
mod entrance;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod handles;
mod incoming;
mod invalidate;
mod listing;
mod lookup;
mod message;
#[cfg(test)]
mod model;
mod name;
mod node;
mod open;
mod rename;
mod seals;
mod staging;
mod stats;
mod text;
mod write;

pub use attr::Owner;
pub use invalidate::Invalidator;

/// Inode numbers are never reused, so neither are generations needed.
const GENERATION: Generation = Generation(0);

/// The filesystem over one HSM.
pub struct SlotFs {
    inner: Arc<Inner>,
}

/// What a request, and an answer that comes later, needs.
struct Inner {
    hsm: Arc<Hsm>,
    owner: Owner,
    files: OpenFiles,
    seals: Seals,
    staging: Staging,
    aliases: Aliases,
    stats: Stats,
    invalidator: Invalidator,
}

impl SlotFs {
    /// A filesystem over `hsm`, owned by `owner` where no slot says otherwise.
    pub fn new(hsm: Arc<Hsm>, owner: Owner, invalidator: Invalidator) -> Self {
        let inner = Arc::new(Inner {
            hsm: Arc::clone(&hsm),
            owner,
            files: OpenFiles::default(),
            seals: Seals::default(),
            staging: Staging::of(Arc::clone(&hsm)),
            aliases: Aliases::default(),
            stats: Stats::default(),
            invalidator,
        });
        let listener = Arc::downgrade(&inner);
        inner.hsm.on_change(move |slot| {
            if let Some(inner) = listener.upgrade() {
                inner.slot_changed(slot);
            }
        });
        inner.hsm.on_loss(tell_of_loss);
        Self { inner }
    }

    /// Has `.slotfs/stats` say which mount this is: `slotfs umount` tells it from its bind mounts by that.
    pub fn is_mounted_as(&self, id: u64) {
        self.inner.stats.mount_id.store(id, Ordering::Relaxed);
    }
}

impl Inner {
    /// What every request starts with: it is counted, what other processes did to the store is taken in,
    /// and its inode is one of ours.
    fn begin(&self, counter: &AtomicU64, ino: INodeNo) -> Result<Node> {
        Stats::count(counter);
        self.hsm.refresh_unless_fresh()?;
        Node::of(ino).ok_or(Error::Gone)
    }

    /// The blobs of a slot changed: a remembered size would cut a copy short.
    fn slot_changed(&self, slot: crate::object::SlotId) {
        if self.hsm.partition(slot).session().is_err() {
            self.staging.clear(slot);
            self.aliases.clear(slot);
        }
        let ids = self.hsm.partition(slot).object_ids().unwrap_or_default();
        self.forget_objects(&ids);
        // Also of those that are there no more.
        self.forget_objects(&self.files.opened_rows(slot));
        self.invalidator.attributes(Node::Slot(slot));
    }

    /// Has the kernel ask again for what it knows of these rows, under either of their names.
    fn forget_objects(&self, ids: &[i64]) {
        for &id in ids {
            self.invalidator.attributes(Node::Object(id));
            self.invalidator.attributes(Node::Identity(id));
        }
    }
}

/// How a request that writes is answered: once, when its outcome is durable, on whatever thread that is.
trait Done<T>: FnOnce(Result<T>) + Send + 'static {}
impl<T, F: FnOnce(Result<T>) + Send + 'static> Done<T> for F {}

impl Inner {
    /// Writes down that a blob written as `name` was refused before its slot was asked.
    fn note_refusal(&self, slot: SlotId, name: &str, source: Option<Source>, why: &Error) {
        self.hsm
            .partition(slot)
            .note_refusal(name, source, &why.reason());
    }
}

/// `done` for a call of the HSM.
fn told<T>(done: impl Done<T>) -> impl hsm::Done<T> {
    move |outcome: hsm::Result<T>| done(outcome.map_err(Error::from))
}

/// Every request fails from now on, and only this says why.
fn tell_of_loss(error: hsm::Error) {
    let error = Error::from(error);
    let pid = std::process::id();
    let hint = error.hint().unwrap_or_default();
    log::error!(
        "{error}; every slot is logged out, and logins are refused until this mount has ended; {hint}; before the unmount, files that were removed can be copied from /proc/{pid}/fd"
    );
}

/// Logs `error` as loudly as it deserves and gives its errno. Verdicts are in the log already.
fn failed(what: &str, error: &Error) -> Errno {
    let level = if error.is_verdict() {
        log::Level::Debug
    } else {
        error.outcome().level
    };
    log::log!(level, "{what}: {error}");
    Errno::from_i32(error.errno())
}

/// Answers with what a fallible step gave.
macro_rules! attempt {
    ($reply:ident, $what:literal, $step:expr) => {
        match $step {
            Ok(value) => value,
            Err(error) => return $reply.error(failed($what, &error)),
        }
    };
}

impl Filesystem for SlotFs {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        for wanted in [
            InitFlags::FUSE_DO_READDIRPLUS | InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_PARALLEL_DIROPS,
            // A read from the page cache asks for attributes that are not fresh, so it ends with the object's partition.
            InitFlags::FUSE_AUTO_INVAL_DATA,
        ] {
            if config.add_capabilities(wanted).is_err() {
                log::warn!("the kernel does not know {wanted:?}");
            }
        }
        // The largest blob fits in one write.
        if let Err(most) = config.set_max_write(128 * 1024) {
            log::debug!("the kernel writes at most {most} bytes at once");
        }
        Ok(())
    }

    fn destroy(&mut self) {
        self.inner.hsm.logout_all();
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let inner = &self.inner;
        let (attr, ttl) = attempt!(
            reply,
            "lookup",
            inner
                .begin(&inner.stats.lookup, parent)
                .and_then(|parent| inner.lookup(parent, name))
        );
        reply.entry(&ttl, &attr, GENERATION);
    }

    fn forget(&self, _req: &Request, _ino: INodeNo, _nlookup: u64) {}

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        let inner = &self.inner;
        let (attr, ttl) = attempt!(
            reply,
            "getattr",
            inner
                .begin(&inner.stats.getattr, ino)
                // What unmounts looks at the root, also of a store that cannot be read.
                .or_else(|error| match Node::of(ino) {
                    Some(Node::Root) => Ok(Node::Root),
                    _ => Err(error),
                })
                .and_then(|node| inner.getattr(node))
        );
        reply.attr(&ttl, &attr);
    }

    fn setattr(
        &self,
        req: &Request,
        ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let inner = Arc::clone(&self.inner);
        let node = attempt!(reply, "setattr", inner.begin(&inner.stats.setattr, ino));
        // Mode, owner and times belong to the slot: accepted, without effect.
        let Some(size) = size else {
            let (attr, ttl) = attempt!(reply, "setattr", inner.getattr(node));
            return reply.attr(&ttl, &attr);
        };
        let pid = req.pid();
        self.inner.truncate(node, fh, size, pid, move |outcome| {
            match outcome.and_then(|()| inner.getattr(node).map_err(|error| error.errno())) {
                Ok((attr, ttl)) => reply.attr(&ttl, &attr),
                Err(errno) => reply.error(Errno::from_i32(errno)),
            }
        });
    }

    fn mknod(
        &self,
        _req: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _mode: u32,
        _umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        reply.error(failed("mknod", &Error::NotSupported { what: "mknod" }));
    }

    fn mkdir(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        let inner = &self.inner;
        let made = inner
            .begin(&inner.stats.create, parent)
            .and_then(|parent| inner.mkdir(parent, name, req.pid()))
            .and_then(|folder| inner.getattr(folder));
        let (attr, ttl) = attempt!(reply, "mkdir", made);
        reply.entry(&ttl, &attr, GENERATION);
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let inner = &self.inner;
        let parent = attempt!(reply, "unlink", inner.begin(&inner.stats.unlink, parent));
        inner.unlink(parent, name, move |outcome| {
            answer("unlink", outcome, reply);
        });
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let inner = &self.inner;
        let outcome = inner
            .begin(&inner.stats.unlink, parent)
            .and_then(|parent| inner.rmdir(parent, name));
        answer("rmdir", outcome, reply);
    }

    fn symlink(
        &self,
        _req: &Request,
        _parent: INodeNo,
        _link_name: &OsStr,
        _target: &std::path::Path,
        reply: ReplyEntry,
    ) {
        reply.error(failed("symlink", &Error::NotSupported { what: "symlink" }));
    }

    fn rename(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let inner = &self.inner;
        let parent = attempt!(reply, "rename", inner.begin(&inner.stats.rename, parent));
        let newparent = attempt!(reply, "rename", Node::of(newparent).ok_or(Error::Gone));
        inner.rename(
            (parent, name),
            (newparent, newname),
            flags,
            move |outcome| {
                answer("rename", outcome, reply);
            },
        );
    }

    fn link(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _newparent: INodeNo,
        _newname: &OsStr,
        reply: ReplyEntry,
    ) {
        reply.error(failed("link", &Error::NotSupported { what: "link" }));
    }

    fn open(&self, req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let inner = &self.inner;
        let node = attempt!(reply, "open", inner.begin(&inner.stats.open, ino));
        let (fh, how) = attempt!(reply, "open", inner.open(node, flags, req.pid()));
        reply.opened(fh, how);
    }

    fn read(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        Stats::count(&self.inner.stats.read);
        match self.inner.read(fh, offset, u64::from(size)) {
            Ok(data) => reply.data(&data),
            Err(errno) => reply.error(Errno::from_i32(errno)),
        }
    }

    fn write(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        Stats::count(&self.inner.stats.write);
        // The kernel sends at most max_write bytes.
        let length = data.len() as u32;
        self.inner.write(fh, offset, data, move |outcome| {
            written(outcome, length, reply);
        });
    }

    fn copy_file_range(
        &self,
        req: &Request,
        _ino_in: INodeNo,
        fh_in: FileHandle,
        offset_in: u64,
        _ino_out: INodeNo,
        fh_out: FileHandle,
        offset_out: u64,
        len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        Stats::count(&self.inner.stats.copy_file_range);
        self.inner.copy(
            (fh_in, offset_in),
            (fh_out, offset_out),
            len,
            req.pid(),
            move |outcome| match outcome {
                Ok(length) => reply.written(length),
                Err(errno) => reply.error(Errno::from_i32(errno)),
            },
        );
    }

    fn flush(
        &self,
        req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        Stats::count(&self.inner.stats.flush);
        self.inner
            .flush(fh, req.pid(), Ends::Close, move |outcome| {
                empty(outcome, reply)
            });
    }

    fn fsync(
        &self,
        req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        Stats::count(&self.inner.stats.fsync);
        self.inner.flush(fh, req.pid(), Ends::Sync, move |outcome| {
            empty(outcome, reply)
        });
    }

    fn release(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        Stats::count(&self.inner.stats.release);
        self.inner.release(fh);
        reply.ok();
    }

    fn opendir(&self, _req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let inner = &self.inner;
        attempt!(
            reply,
            "opendir",
            inner
                .begin(&inner.stats.opendir, ino)
                .and_then(|node| inner.opendir(node))
        );
        reply.opened(FileHandle(0), FopenFlags::empty());
    }

    fn readdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let inner = &self.inner;
        let listing = inner
            .begin(&inner.stats.readdir, ino)
            .and_then(|node| inner.list(node, offset));
        for entry in attempt!(reply, "readdir", listing) {
            if reply.add(entry.attr.ino, entry.next, entry.attr.kind, &entry.name) {
                break;
            }
        }
        reply.ok();
    }

    fn readdirplus(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let inner = &self.inner;
        let listing = inner
            .begin(&inner.stats.readdir, ino)
            .and_then(|node| inner.list(node, offset));
        for e in attempt!(reply, "readdir", listing) {
            if reply.add(e.attr.ino, e.next, &e.name, &e.ttl, &e.attr, GENERATION) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    /// Every answered change is on disk already.
    fn fsyncdir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn statfs(&self, req: &Request, ino: INodeNo, reply: ReplyStatfs) {
        let inner = &self.inner;
        let space = attempt!(
            reply,
            "statfs",
            inner
                .begin(&inner.stats.statfs, ino)
                .and_then(|node| inner.space(node, &Visitor::of(req)))
        );
        reply.statfs(
            space.blocks,
            space.blocks_free,
            space.blocks_free,
            space.files,
            space.files_free,
            listing::BLOCK_BYTES,
            255,
            listing::BLOCK_BYTES,
        );
    }

    // ENOSYS once, and the kernel never asks again.
    fn setxattr(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _name: &OsStr,
        _value: &[u8],
        _flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn getxattr(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _name: &OsStr,
        _size: u32,
        reply: ReplyXattr,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn listxattr(&self, _req: &Request, _ino: INodeNo, _size: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }

    fn removexattr(&self, _req: &Request, _ino: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn access(&self, _req: &Request, _ino: INodeNo, _mask: AccessFlags, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let inner = &self.inner;
        let (attr, fh) = attempt!(
            reply,
            "create",
            inner
                .begin(&inner.stats.create, parent)
                .and_then(|parent| inner.create(parent, name, flags, req.pid()))
        );
        reply.created(&Duration::ZERO, &attr, GENERATION, fh, open::DIRECT);
    }

    fn fallocate(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _offset: u64,
        _length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        // What would change bytes is not done, so it is not said to be; tools then write zeros.
        match mode & !libc::FALLOC_FL_KEEP_SIZE {
            0 => reply.ok(),
            _ => reply.error(Errno::EOPNOTSUPP),
        }
    }

    fn ioctl(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: IoctlFlags,
        _cmd: u32,
        _in_data: &[u8],
        _out_size: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
    }

    /// The kernel answers itself then: every file is always ready. Programs in Go ask it of each file they open.
    fn poll(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _ph: PollNotifier,
        _events: PollEvents,
        _flags: PollFlags,
        reply: ReplyPoll,
    ) {
        reply.error(Errno::ENOSYS);
    }

    /// The kernel answers SEEK_DATA and SEEK_HOLE itself then: files here have no holes.
    fn lseek(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _offset: i64,
        _whence: i32,
        reply: ReplyLseek,
    ) {
        reply.error(Errno::ENOSYS);
    }
}

fn answer(what: &str, outcome: Result<()>, reply: ReplyEmpty) {
    match outcome {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(failed(what, &error)),
    }
}

fn empty(outcome: Result<(), i32>, reply: ReplyEmpty) {
    match outcome {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(Errno::from_i32(errno)),
    }
}

fn written(outcome: Result<(), i32>, length: u32, reply: ReplyWrite) {
    match outcome {
        Ok(()) => reply.written(length),
        Err(errno) => reply.error(Errno::from_i32(errno)),
    }
}
