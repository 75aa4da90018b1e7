//! A filesystem on fuser that only keeps files in memory. It measures what the kernel and fuser cost without slotfs.
//!
//! `scripts/bench` compares slotfs with it. It answers the same requests with the same options and the same number of
//! event loops. It has one lock around everything, no checks and no durability.
//!
//!     cargo run --release --example barefs -- MOUNTPOINT [LOOPS]

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    AccessFlags, BsdFileFlags, Config, CopyFileRangeFlags, Errno, FileAttr, FileHandle, FileType,
    Filesystem, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig, LockOwner, MountOption,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, ReplyXattr, Request, Session, TimeOrNow,
    WriteFlags,
};

/// The number of event loops in slotfs.
const LOOPS: usize = 4;
const TTL: Duration = Duration::from_secs(1);
const GENERATION: Generation = Generation(0);

enum Inode {
    File(Vec<u8>),
    Folder(Folder),
}

/// Entries by name, and by inode number for listings. Inode numbers only grow, so they serve as offsets.
#[derive(Default)]
struct Folder {
    names: HashMap<OsString, u64>,
    listed: BTreeMap<u64, OsString>,
}

impl Folder {
    /// Inserts an entry. Returns the inode that had the name before.
    fn insert(&mut self, name: &OsStr, ino: u64) -> Option<u64> {
        let over = self.names.insert(name.to_owned(), ino);
        if let Some(over) = over {
            self.listed.remove(&over);
        }
        self.listed.insert(ino, name.to_owned());
        over
    }

    fn remove(&mut self, name: &OsStr) -> Option<u64> {
        let ino = self.names.remove(name)?;
        self.listed.remove(&ino);
        Some(ino)
    }
}

struct Tree {
    inodes: HashMap<u64, Inode>,
    next: u64,
    born: SystemTime,
}

impl Tree {
    fn add(&mut self, parent: INodeNo, name: &OsStr, inode: Inode) -> Option<FileAttr> {
        let ino = self.next;
        match self.inodes.get_mut(&parent.0)? {
            Inode::Folder(entries) => entries.insert(name, ino),
            Inode::File(_) => return None,
        };
        self.next += 1;
        self.inodes.insert(ino, inode);
        self.attr(ino)
    }

    fn entry(&self, parent: INodeNo, name: &OsStr) -> Option<u64> {
        match self.inodes.get(&parent.0)? {
            Inode::Folder(entries) => entries.names.get(name).copied(),
            Inode::File(_) => None,
        }
    }

    fn attr(&self, ino: u64) -> Option<FileAttr> {
        let (kind, perm, nlink, size) = match self.inodes.get(&ino)? {
            Inode::File(data) => (FileType::RegularFile, 0o600, 1, data.len() as u64),
            Inode::Folder(_) => (FileType::Directory, 0o700, 2, 0),
        };
        Some(FileAttr {
            ino: INodeNo(ino),
            size,
            blocks: size.div_ceil(512),
            atime: self.born,
            mtime: self.born,
            ctime: self.born,
            crtime: self.born,
            kind,
            perm,
            nlink,
            uid: nix::unistd::getuid().as_raw(),
            gid: nix::unistd::getgid().as_raw(),
            rdev: 0,
            blksize: 128 * 1024,
            flags: 0,
        })
    }

    fn data(&mut self, ino: INodeNo) -> Option<&mut Vec<u8>> {
        match self.inodes.get_mut(&ino.0)? {
            Inode::File(data) => Some(data),
            Inode::Folder(_) => None,
        }
    }

    /// Up to 512 entries of a folder after `offset`.
    fn list(&self, ino: INodeNo, offset: u64) -> Vec<(OsString, FileAttr)> {
        let Some(Inode::Folder(entries)) = self.inodes.get(&ino.0) else {
            return Vec::new();
        };
        let after = entries.listed.range(offset + 1..).take(512);
        after
            .filter_map(|(ino, name)| Some((name.clone(), self.attr(*ino)?)))
            .collect()
    }
}

fn write(data: &mut Vec<u8>, offset: u64, bytes: &[u8]) -> Option<u32> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(bytes.len())?;
    if data.len() < end {
        data.resize(end, 0);
    }
    data[start..end].copy_from_slice(bytes);
    u32::try_from(bytes.len()).ok()
}

fn slice(data: &[u8], offset: u64, size: u64) -> &[u8] {
    let start = usize::try_from(offset).map_or(data.len(), |start| start.min(data.len()));
    let most = usize::try_from(size).unwrap_or(usize::MAX);
    &data[start..start.saturating_add(most).min(data.len())]
}

struct BareFs(Mutex<Tree>);

impl BareFs {
    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Filesystem for BareFs {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        for wanted in [
            InitFlags::FUSE_DO_READDIRPLUS | InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_PARALLEL_DIROPS,
        ] {
            // A kernel without the capability is slower, for slotfs too.
            let _ = config.add_capabilities(wanted);
        }
        let _ = config.set_max_write(128 * 1024);
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let tree = self.tree();
        match tree.entry(parent, name).and_then(|ino| tree.attr(ino)) {
            Some(attr) => reply.entry(&TTL, &attr, GENERATION),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn forget(&self, _req: &Request, _ino: INodeNo, _nlookup: u64) {}

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        match self.tree().attr(ino.0) {
            Some(attr) => reply.attr(&TTL, &attr),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn setattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        _mode: Option<u32>,
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
        let mut tree = self.tree();
        if let (Some(size), Some(data)) = (size, tree.data(ino)) {
            data.resize(usize::try_from(size).unwrap_or(0), 0);
        }
        match tree.attr(ino.0) {
            Some(attr) => reply.attr(&TTL, &attr),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn mkdir(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        let made = self
            .tree()
            .add(parent, name, Inode::Folder(Folder::default()));
        match made {
            Some(attr) => reply.entry(&TTL, &attr, GENERATION),
            None => reply.error(Errno::ENOTDIR),
        }
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut tree = self.tree();
        if let Some(Inode::Folder(entries)) = tree.inodes.get_mut(&parent.0)
            && let Some(ino) = entries.remove(name)
        {
            tree.inodes.remove(&ino);
            return reply.ok();
        }
        reply.error(Errno::ENOENT);
    }

    fn rename(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        _flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let mut tree = self.tree();
        let taken = match tree.inodes.get_mut(&parent.0) {
            Some(Inode::Folder(entries)) => entries.remove(name),
            _ => None,
        };
        let (Some(ino), Some(Inode::Folder(entries))) = (taken, tree.inodes.get_mut(&newparent.0))
        else {
            return reply.error(Errno::ENOENT);
        };
        let over = entries.insert(newname, ino);
        if let Some(over) = over {
            tree.inodes.remove(&over);
        }
        reply.ok();
    }

    fn open(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn create(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let made = self.tree().add(parent, name, Inode::File(Vec::new()));
        match made {
            Some(attr) => reply.created(
                &TTL,
                &attr,
                GENERATION,
                FileHandle(0),
                FopenFlags::FOPEN_DIRECT_IO,
            ),
            None => reply.error(Errno::ENOTDIR),
        }
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
        match self.tree().data(ino) {
            Some(data) => reply.data(slice(data, offset, u64::from(size))),
            None => reply.error(Errno::EISDIR),
        }
    }

    fn write(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        bytes: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut tree = self.tree();
        match tree.data(ino).and_then(|data| write(data, offset, bytes)) {
            Some(length) => reply.written(length),
            None => reply.error(Errno::EFBIG),
        }
    }

    fn copy_file_range(
        &self,
        _req: &Request,
        ino_in: INodeNo,
        _fh_in: FileHandle,
        offset_in: u64,
        ino_out: INodeNo,
        _fh_out: FileHandle,
        offset_out: u64,
        len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        let mut tree = self.tree();
        let bytes = tree
            .data(ino_in)
            .map(|data| slice(data, offset_in, len).to_vec());
        let Some(bytes) = bytes else {
            return reply.error(Errno::EISDIR);
        };
        match tree
            .data(ino_out)
            .and_then(|data| write(data, offset_out, &bytes))
        {
            Some(length) => reply.written(length),
            None => reply.error(Errno::EFBIG),
        }
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

    fn opendir(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
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
        for (name, attr) in self.tree().list(ino, offset) {
            if reply.add(attr.ino, attr.ino.0, attr.kind, name) {
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
        for (name, attr) in self.tree().list(ino, offset) {
            if reply.add(attr.ino, attr.ino.0, name, &TTL, &attr, GENERATION) {
                break;
            }
        }
        reply.ok();
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

    fn access(&self, _req: &Request, _ino: INodeNo, _mask: AccessFlags, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args_os().skip(1);
    let point = words.next().ok_or("usage: barefs MOUNTPOINT [LOOPS]")?;
    let loops = match words.next() {
        Some(word) => word.to_str().ok_or("LOOPS is a number")?.parse()?,
        None => LOOPS,
    };
    let tree = Tree {
        inodes: HashMap::from([(INodeNo::ROOT.0, Inode::Folder(Folder::default()))]),
        next: INodeNo::ROOT.0 + 1,
        born: SystemTime::now(),
    };
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName("barefs".into()),
        MountOption::DefaultPermissions,
        MountOption::NoAtime,
    ];
    config.n_threads = Some(loops);
    config.clone_fd = true;
    Session::new(BareFs(Mutex::new(tree)), Path::new(&point), &config)?.run()?;
    Ok(())
}
