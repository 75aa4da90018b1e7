//! The kernel's side of the disk.

use std::ffi::OsStr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::fault::{Faults, is_memory};
use super::state::{Change, Kind, State, When};
use super::survive::{Image, Survives};

const TTL: Duration = Duration::from_secs(3600);
/// How long the disk stands still before the cut kills: a success that was told too early gets out meanwhile.
const GRACE: Duration = Duration::from_millis(10);

/// Where the power goes, and which images to keep of that moment.
pub struct Cut {
    /// The how manyth step since counting began, from 0.
    pub step: usize,
    pub when: When,
    pub keep: Vec<Survives>,
}

pub struct Inner {
    pub state: State,
    pub faults: Faults,
    pub refused: usize,
    pub cut: Option<Cut>,
    pub victim: Option<Pid>,
    pub images: Option<Vec<(Survives, Image)>>,
    /// The power is gone: nothing is done any more.
    dead: bool,
}

pub struct Shared {
    inner: Mutex<Inner>,
    pub changed: Condvar,
}

impl Shared {
    pub fn new(image: &Image) -> Self {
        Self {
            inner: Mutex::new(Inner {
                state: State::new(image),
                faults: Faults::default(),
                refused: 0,
                cut: None,
                victim: None,
                images: None,
                dead: false,
            }),
            changed: Condvar::new(),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does a request that changes the disk, unless the power is gone or goes.
    fn step(&self, kind: Kind, apply: impl FnOnce(&mut State)) -> Result<(), Errno> {
        let mut inner = self.lock();
        if inner.dead {
            return Err(Errno::EIO);
        }
        let step = inner.state.steps.len();
        inner.state.steps.push(kind);
        let cut = inner.cut.take_if(|cut| cut.step == step);
        if cut.as_ref().is_none_or(|cut| cut.when == When::After) {
            apply(&mut inner.state);
        }
        let Some(cut) = cut else { return Ok(()) };
        let images = cut.keep.iter().map(|&it| (it, inner.state.image(it)));
        inner.images = Some(images.collect());
        inner.dead = true;
        let inner = self
            .changed
            .wait_while(inner, |inner| inner.victim.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        let victim = inner.victim;
        drop(inner);
        std::thread::sleep(GRACE);
        if let Some(victim) = victim {
            // It is a child of this process and not waited for yet: the number is its own.
            let _ = kill(victim, Signal::SIGKILL);
        }
        Err(Errno::EIO)
    }
}

impl Inner {
    fn name(&self, ino: INodeNo) -> &str {
        let named = self.state.names.iter().find(|(_, it)| **it == ino.0);
        named.map_or("", |(name, _)| name)
    }

    fn refuse(&mut self, fault: Option<i32>) -> Result<(), Errno> {
        match fault {
            Some(errno) => {
                self.refused += 1;
                Err(Errno::from_i32(errno))
            }
            None => Ok(()),
        }
    }

    fn attr(&self, ino: INodeNo) -> Result<FileAttr, Errno> {
        let (kind, perm, size) = match self.state.files.get(&ino.0) {
            Some(file) => (FileType::RegularFile, file.mode, file.data.len() as u64),
            None if ino == INodeNo::ROOT => (FileType::Directory, 0o700, 0),
            None => return Err(Errno::ENOENT),
        };
        let time = SystemTime::UNIX_EPOCH;
        Ok(FileAttr {
            ino,
            size,
            blocks: size.div_ceil(512),
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind,
            perm,
            nlink: 1,
            uid: nix::unistd::getuid().as_raw(),
            gid: nix::unistd::getgid().as_raw(),
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }

    fn lookup(&self, name: &OsStr) -> Result<FileAttr, Errno> {
        let ino = name.to_str().and_then(|name| self.state.names.get(name));
        self.attr(INodeNo(*ino.ok_or(Errno::ENOENT)?))
    }

    /// SQLite maps `-shm`, so that goes through the page cache; anything else comes here each time.
    fn flags(&self, ino: INodeNo) -> FopenFlags {
        match is_memory(self.name(ino)) {
            true => FopenFlags::FOPEN_KEEP_CACHE,
            false => FopenFlags::FOPEN_DIRECT_IO,
        }
    }
}

/// The filesystem.
pub struct Serve(pub Arc<Shared>);

impl Serve {
    fn change_names(&self, apply: impl FnOnce(&mut State)) -> Result<(), Errno> {
        let mut inner = self.0.lock();
        let fault = inner.faults.write;
        inner.refuse(fault)?;
        drop(inner);
        self.0.step(Kind::Other, apply)
    }

    fn make(&self, name: &OsStr, mode: u32) -> Result<(FileAttr, FopenFlags), Errno> {
        let name = name.to_str().ok_or(Errno::EINVAL)?;
        let mut inner = self.0.lock();
        let fault = inner.faults.write.or(inner.faults.grow);
        inner.refuse(fault)?;
        drop(inner);
        self.0.step(Kind::Other, |state| {
            state.create(name, (mode & 0o777) as u16);
        })?;
        let inner = self.0.lock();
        let attr = inner.lookup(OsStr::new(name))?;
        Ok((attr, inner.flags(attr.ino)))
    }

    fn write_at(&self, ino: INodeNo, offset: usize, data: &[u8]) -> Result<(), Errno> {
        let change = Change::Write {
            offset,
            bytes: data.to_vec(),
        };
        let mut inner = self.0.lock();
        let name = inner.name(ino).to_owned();
        let end = offset + data.len();
        let fault = inner.faults.of_write(&inner.state, ino.0, &name, end);
        inner.refuse(fault)?;
        if is_memory(&name) {
            // When the kernel writes a mapped page back is its own affair: no step.
            inner.state.change(ino.0, change);
            return Ok(());
        }
        drop(inner);
        self.0
            .step(Kind::Write, |state| state.change(ino.0, change))
    }

    fn sync(&self, kind: Kind, apply: impl FnOnce(&mut State)) -> Result<(), Errno> {
        let mut inner = self.0.lock();
        let fault = inner.faults.sync;
        inner.refuse(fault)?;
        drop(inner);
        self.0.step(kind, apply)
    }
}

/// Answers with what a fallible step gave.
macro_rules! attempt {
    ($reply:ident, $step:expr) => {
        match $step {
            Ok(value) => value,
            Err(errno) => return $reply.error(errno),
        }
    };
}

impl Filesystem for Serve {
    fn lookup(&self, _req: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let attr = attempt!(reply, self.0.lock().lookup(name));
        reply.entry(&TTL, &attr, Generation(0));
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        let attr = attempt!(reply, self.0.lock().attr(ino));
        reply.attr(&TTL, &attr);
    }

    fn setattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        if let Some(size) = size {
            let size = usize::try_from(size).unwrap_or(0);
            attempt!(
                reply,
                self.change_names(|state| state.change(ino.0, Change::Resize(size)))
            );
        }
        let mut inner = self.0.lock();
        if let (Some(mode), Some(file)) = (mode, inner.state.files.get_mut(&ino.0)) {
            file.mode = (mode & 0o777) as u16;
        }
        let attr = attempt!(reply, inner.attr(ino));
        reply.attr(&TTL, &attr);
    }

    fn create(
        &self,
        _req: &Request,
        _parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let (attr, flags) = attempt!(reply, self.make(name, mode & !umask));
        reply.created(&TTL, &attr, Generation(0), FileHandle(0), flags);
    }

    fn unlink(&self, _req: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.to_str().unwrap_or_default();
        attempt!(
            reply,
            self.change_names(|state| {
                state.names.remove(name);
            })
        );
        reply.ok();
    }

    fn rename(
        &self,
        _req: &Request,
        _parent: INodeNo,
        name: &OsStr,
        _newparent: INodeNo,
        newname: &OsStr,
        _flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let (from, to) = (name.to_str().unwrap_or_default(), newname.to_str());
        attempt!(
            reply,
            self.change_names(|state| {
                if let (Some(ino), Some(to)) = (state.names.remove(from), to) {
                    state.names.insert(to.to_owned(), ino);
                }
            })
        );
        reply.ok();
    }

    fn open(&self, _req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), self.0.lock().flags(ino));
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let (offset, size) = (usize::try_from(offset).unwrap(), size as usize);
        let mut inner = self.0.lock();
        let fault = inner.faults.of_read(inner.name(ino), offset, size);
        attempt!(reply, inner.refuse(fault));
        let file = inner.state.files.get(&ino.0);
        let data = file.map_or(&[][..], |file| &file.data);
        let start = offset.min(data.len());
        reply.data(&data[start..(start + size).min(data.len())]);
    }

    fn write(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let offset = usize::try_from(offset).unwrap();
        attempt!(reply, self.write_at(ino, offset, data));
        reply.written(u32::try_from(data.len()).unwrap());
    }

    fn flush(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn fsync(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        attempt!(reply, self.sync(Kind::Sync, |state| state.sync(ino.0)));
        reply.ok();
    }

    fn fsyncdir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        attempt!(reply, self.sync(Kind::SyncFolder, State::sync_folder));
        reply.ok();
    }

    fn readdir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let inner = self.0.lock();
        let names = (1..).zip(&inner.state.names);
        for (at, (name, ino)) in names.skip(usize::try_from(offset).unwrap()) {
            if reply.add(INodeNo(*ino), at, FileType::RegularFile, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        let free = match self.0.lock().faults.grow {
            Some(_) => 0,
            None => 1 << 20,
        };
        reply.statfs(1 << 20, free, free, 1 << 20, 1 << 20, 4096, 255, 4096);
    }
}
