//! The kernel's requests: each is decoded, handed to one call, and answered.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, FopenFlags,
    Generation, INodeNo, InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenFlags, PollEvents,
    PollFlags, PollNotifier, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen, ReplyPoll,
    ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};

use super::asker::Visitor;
use super::incoming::Ends;
use super::metrics::{Operation, Pending};
use super::node::Node;
use super::open::{DIRECT, Opener};
use super::stats::Stats;
use super::{OrErrno, SlotFs, listing};
use crate::error::{Error, Result};
use crate::hsm::asker;

/// Inode numbers are never reused, so generations are not needed.
const GENERATION: Generation = Generation(0);

/// What a request failed with.
trait Failure {
    /// The errno of the answer.
    fn errno(&self, request: &str) -> Errno;
}

impl Failure for Error {
    /// Logs the error too; verdicts are in the log already.
    fn errno(&self, request: &str) -> Errno {
        let level = if self.is_verdict() {
            log::Level::Debug
        } else {
            self.outcome().level
        };
        log::log!(level, "{request}: {self}");
        Errno::from_i32(Error::errno(self))
    }
}

impl Failure for i32 {
    fn errno(&self, _request: &str) -> Errno {
        Errno::from_i32(*self)
    }
}

/// The value of a fallible step. If it fails, replies with the errno and returns.
macro_rules! attempt {
    ($reply:ident, $request:literal, $step:expr) => {
        match $step {
            Ok(value) => value,
            Err(error) => return $reply.error(Failure::errno(&error, $request)),
        }
    };
}

/// Begins a request: its reply is timed from here on, and its inode becomes a node. If the request cannot start, replies
/// with the errno and returns.
macro_rules! begin {
    ($fs:ident, $asked:ident, $operation:ident, $reply:ident) => {
        asker::set($asked.uid());
        let $reply = Pending::new(&$fs.inner.metrics, Operation::$operation, $reply);
    };
    ($fs:ident, $asked:ident, $operation:ident, $reply:ident, $request:literal, $counter:ident, $node:ident = $ino:ident) => {
        begin!($fs, $asked, $operation, $reply);
        let $node = attempt!($reply, $request, $fs.begin(&$fs.inner.stats.$counter, $ino));
    };
}

/// Requests that always fail with one errno.
macro_rules! always_fail {
    ($($request:ident($($argument:ty),*; $reply:ty) $errno:expr;)*) => {$(
        fn $request(&self, _: &Request, $(_: $argument,)* reply: $reply) {
            reply.error($errno);
        }
    )*};
}

fn not_supported(what: &'static str) -> Errno {
    Failure::errno(&Error::NotSupported { what }, what)
}

fn empty<E: Failure>(request: &str, outcome: Result<(), E>, reply: Pending<ReplyEmpty>) {
    match outcome {
        Ok(()) => reply.give(ReplyEmpty::ok),
        Err(error) => reply.error(error.errno(request)),
    }
}

fn written(outcome: Result<u32, i32>, reply: Pending<ReplyWrite>) {
    match outcome {
        Ok(length) => {
            reply.metrics().written(length);
            reply.give(|reply| reply.written(length));
        }
        Err(errno) => reply.error(Errno::from_i32(errno)),
    }
}

/// What the kernel is asked for.
const WANTED: [InitFlags; 3] = [
    InitFlags::FUSE_DO_READDIRPLUS.union(InitFlags::FUSE_READDIRPLUS_AUTO),
    InitFlags::FUSE_PARALLEL_DIROPS,
    // Before it reads from the page cache, the kernel asks for attributes that have expired. So a read ends with the
    // object's partition.
    InitFlags::FUSE_AUTO_INVAL_DATA,
];

/// The names of what the kernel is asked for, as in `linux/fuse.h`.
pub(crate) fn kernel_features() -> Vec<&'static str> {
    let all = WANTED.iter().flat_map(InitFlags::iter_names);
    all.map(|(name, _)| name).collect()
}

impl Filesystem for SlotFs {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        for wanted in WANTED {
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

    fn lookup(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        begin!(self, req, Lookup, reply);
        let counter = &self.inner.stats.lookup;
        let parent = attempt!(reply, "lookup", self.begin_name(counter, parent, name));
        let (attr, ttl) = attempt!(reply, "lookup", self.inner.lookup(parent, name));
        reply.give(|reply| reply.entry(&ttl, &attr, GENERATION));
    }

    fn getattr(&self, req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        begin!(self, req, Getattr, reply);
        let counter = &self.inner.stats.getattr;
        let node = match Node::of(ino) {
            // An unmount looks at the root, also when the store cannot be read.
            Some(Node::Root) => {
                Stats::count(counter);
                Node::Root
            }
            _ => attempt!(reply, "getattr", self.begin_look(counter, ino)),
        };
        let (attr, ttl) = attempt!(reply, "getattr", self.inner.getattr(node));
        reply.give(|reply| reply.attr(&ttl, &attr));
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
        begin!(self, req, Setattr, reply, "setattr", setattr, node = ino);
        // Mode, owner and times belong to the slot: changes are accepted and have no effect.
        let Some(size) = size else {
            let (attr, ttl) = attempt!(reply, "setattr", inner.getattr(node));
            return reply.give(|reply| reply.attr(&ttl, &attr));
        };
        let answer = move |outcome: Result<(), i32>| {
            let seen = outcome.and_then(|()| inner.getattr(node).errno());
            let (attr, ttl) = attempt!(reply, "setattr", seen);
            reply.give(|reply| reply.attr(&ttl, &attr));
        };
        self.inner.truncate(node, fh, size, req.pid(), answer);
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
        begin!(self, req, Mkdir, reply, "mkdir", create, parent = parent);
        let folder = attempt!(reply, "mkdir", self.inner.mkdir(parent, name, req.pid()));
        let (attr, ttl) = attempt!(reply, "mkdir", self.inner.getattr(folder));
        reply.give(|reply| reply.entry(&ttl, &attr, GENERATION));
    }

    fn unlink(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        begin!(self, req, Unlink, reply, "unlink", unlink, parent = parent);
        let by = asker::current();
        let done = move |outcome| asker::on_behalf(by, || empty("unlink", outcome, reply));
        self.inner.unlink(parent, name, done);
    }

    fn rmdir(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        begin!(self, req, Rmdir, reply, "rmdir", unlink, parent = parent);
        empty("rmdir", self.inner.rmdir(parent, name), reply);
    }

    fn rename(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        begin!(self, req, Rename, reply, "rename", rename, parent = parent);
        let newparent = attempt!(reply, "rename", Node::of(newparent).ok_or(Error::Gone));
        let by = asker::current();
        let done = move |outcome| asker::on_behalf(by, || empty("rename", outcome, reply));
        self.inner
            .rename((parent, name), (newparent, newname), flags, done);
    }

    fn open(&self, req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        begin!(self, req, Open, reply, "open", open, node = ino);
        let by = Opener {
            flags: flags.0,
            visitor: Visitor::of(req),
        };
        let (fh, how) = attempt!(reply, "open", self.inner.open(node, by));
        reply.give(|reply| reply.opened(fh, how));
    }

    fn read(
        &self,
        req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        begin!(self, req, Read, reply);
        Stats::count(&self.inner.stats.read);
        let read = self.inner.read(fh, offset, u64::from(size));
        let data = attempt!(reply, "read", read);
        reply.metrics().read(data.len());
        reply.give(|reply| reply.data(&data));
    }

    fn write(
        &self,
        req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        begin!(self, req, Write, reply);
        Stats::count(&self.inner.stats.write);
        // The kernel sends at most max_write bytes.
        let length = data.len() as u32;
        self.inner.write(None, fh, offset, data, move |outcome| {
            written(outcome.map(|()| length), reply);
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
        begin!(self, req, CopyFileRange, reply);
        Stats::count(&self.inner.stats.copy_file_range);
        let (from, to) = ((fh_in, offset_in), (fh_out, offset_out));
        let answer = move |outcome| written(outcome, reply);
        self.inner.copy(from, to, len, req.pid(), answer);
    }

    fn flush(&self, req: &Request, _: INodeNo, fh: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        begin!(self, req, Flush, reply);
        Stats::count(&self.inner.stats.flush);
        let answer = move |outcome| empty("flush", outcome, reply);
        self.inner.flush(fh, req.pid(), Ends::Close, answer);
    }

    fn fsync(&self, req: &Request, _: INodeNo, fh: FileHandle, _: bool, reply: ReplyEmpty) {
        begin!(self, req, Fsync, reply);
        Stats::count(&self.inner.stats.fsync);
        let answer = move |outcome| empty("fsync", outcome, reply);
        self.inner.flush(fh, req.pid(), Ends::Sync, answer);
    }

    fn release(
        &self,
        req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        begin!(self, req, Release, reply);
        Stats::count(&self.inner.stats.release);
        self.inner.release(fh);
        reply.give(ReplyEmpty::ok);
    }

    fn opendir(&self, req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        begin!(self, req, Opendir, reply, "opendir", opendir, node = ino);
        attempt!(reply, "opendir", self.inner.opendir(node));
        reply.give(|reply| reply.opened(FileHandle(0), FopenFlags::empty()));
    }

    fn readdir(
        &self,
        req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        reply: ReplyDirectory,
    ) {
        begin!(self, req, Readdir, reply, "readdir", readdir, node = ino);
        let entries = attempt!(reply, "readdir", self.inner.list(node, offset));
        reply.give(|mut reply| {
            for entry in entries {
                let (attr, _) = entry.seen;
                if reply.add(attr.ino, entry.next, attr.kind, &entry.name) {
                    break;
                }
            }
            reply.ok();
        });
    }

    fn readdirplus(
        &self,
        req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        reply: ReplyDirectoryPlus,
    ) {
        begin!(self, req, Readdir, reply, "readdir", readdir, node = ino);
        let entries = attempt!(reply, "readdir", self.inner.list(node, offset));
        reply.give(|mut reply| {
            for entry in entries {
                let (attr, ttl) = entry.seen;
                if reply.add(attr.ino, entry.next, &entry.name, &ttl, &attr, GENERATION) {
                    break;
                }
            }
            reply.ok();
        });
    }

    /// Every change is on disk before it is answered.
    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn statfs(&self, req: &Request, ino: INodeNo, reply: ReplyStatfs) {
        begin!(self, req, Statfs, reply, "statfs", statfs, node = ino);
        let space = attempt!(reply, "statfs", self.inner.space(node, &Visitor::of(req)));
        reply.give(|reply| {
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
        });
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
        begin!(self, req, Create, reply, "create", create, parent = parent);
        let visitor = Visitor::of(req);
        let by = Opener { flags, visitor };
        let (attr, fh) = attempt!(reply, "create", self.inner.create(parent, name, by));
        reply.give(|reply| reply.created(&Duration::ZERO, &attr, GENERATION, fh, DIRECT));
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
        // A mode that changes bytes is refused, because it is not carried out; tools then write zeros.
        match mode & !libc::FALLOC_FL_KEEP_SIZE {
            0 => reply.ok(),
            _ => reply.error(Errno::EOPNOTSUPP),
        }
    }

    // After ENOSYS the kernel does not ask again. It then answers poll (every file is always ready; programs in Go poll
    // each file that they open), and SEEK_DATA and SEEK_HOLE (no file has holes).
    always_fail! {
        mknod(INodeNo, &OsStr, u32, u32, u32; ReplyEntry) not_supported("mknod");
        symlink(INodeNo, &OsStr, &Path; ReplyEntry) not_supported("symlink");
        link(INodeNo, INodeNo, &OsStr; ReplyEntry) not_supported("link");
        setxattr(INodeNo, &OsStr, &[u8], i32, u32; ReplyEmpty) Errno::ENOSYS;
        getxattr(INodeNo, &OsStr, u32; ReplyXattr) Errno::ENOSYS;
        listxattr(INodeNo, u32; ReplyXattr) Errno::ENOSYS;
        removexattr(INodeNo, &OsStr; ReplyEmpty) Errno::ENOSYS;
        access(INodeNo, AccessFlags; ReplyEmpty) Errno::ENOSYS;
        ioctl(INodeNo, FileHandle, IoctlFlags, u32, &[u8], u32; ReplyIoctl) Errno::ENOTTY;
        poll(INodeNo, FileHandle, PollNotifier, PollEvents, PollFlags; ReplyPoll) Errno::ENOSYS;
        lseek(INodeNo, FileHandle, i64, i32; ReplyLseek) Errno::ENOSYS;
    }
}
