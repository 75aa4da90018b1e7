//! Files by device and inode.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};
use rustix::io::Errno;

use super::{Difference, Loss};
use crate::sqlite::{Error, kind};

/// A file, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The file that `metadata` describes.
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }

    /// Whether this file is at `path`.
    pub(super) fn is_at(self, path: &Path) -> bool {
        same(path, self).is_ok()
    }
}

/// The metadata of the file at `path`, which must be `id`.
pub(super) fn same(path: &Path, id: FileId) -> Result<Metadata, Difference> {
    // A link to the same file does not count: a store is not opened by a link, and its log would stand beside the link.
    match fs::symlink_metadata(path) {
        Ok(found) if FileId::of(&found) == id => Ok(found),
        Ok(_) => Err(Loss::Replaced(path.to_owned()).into()),
        Err(error) if kind::is_missing(&error) => Err(Loss::Removed(path.to_owned()).into()),
        Err(error) => Err(unseen(path)(error).into()),
    }
}

/// The size of the file at `path`, which must be `id`. The query leaves out the times: after each query for them the
/// kernel gives the next write a new time, which its fsync has to write as well (multigrain timestamps, Linux 6.13). With
/// them, a commit took a seventh longer.
pub(super) fn same_size(path: &Path, id: FileId) -> Result<u64, Difference> {
    let wanted = StatxFlags::TYPE | StatxFlags::INO | StatxFlags::SIZE;
    match statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, wanted) {
        Ok(found)
            if found.stx_ino == id.inode
                && makedev(found.stx_dev_major, found.stx_dev_minor) == id.device =>
        {
            Ok(found.stx_size)
        }
        Ok(_) => Err(Loss::Replaced(path.to_owned()).into()),
        Err(Errno::NOENT | Errno::NOTDIR) => Err(Loss::Removed(path.to_owned()).into()),
        Err(error) => Err(unseen(path)(error.into()).into()),
    }
}

/// Opens the log to read its header, without updating its access time where the system allows that: the next sync would
/// have to write every update.
pub(super) fn open_log(path: &Path) -> io::Result<File> {
    let open = |flags| {
        OpenOptions::new()
            .read(true)
            .custom_flags(flags | libc::O_NOFOLLOW)
            .open(path)
    };
    // Only the file's owner may use O_NOATIME; others get EPERM.
    open(libc::O_NOATIME).or_else(|_| open(0))
}

pub(super) fn unseen(path: &Path) -> impl Fn(io::Error) -> Error + '_ {
    move |error| Error::failed(path, format!("it cannot be looked at: {error}"))
}
