//! Whether another program wrote to the store's file in place, as `cp backup.db store.db` does.
//!
//! While a store is in use, only checkpoints write to its file, and the wal-index records each of them. If the file changed
//! without a checkpoint, another program changed it. This detects `touch` too.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::statfs::{
    BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, F2FS_SUPER_MAGIC, FsType, OVERLAYFS_SUPER_MAGIC,
    TMPFS_MAGIC, statfs,
};

use super::wal_index::WalIndex;

/// XFS (statfs(2)), which nix does not name for every C library.
const XFS_SUPER_MAGIC: FsType = FsType(0x5846_5342);

/// Filesystems where a file's time changes only when the file is written. A filesystem with times from a server may
/// correct them later; there, only the size is compared.
const TIMED: [FsType; 6] = [
    BTRFS_SUPER_MAGIC,
    EXT4_SUPER_MAGIC,
    F2FS_SUPER_MAGIC,
    OVERLAYFS_SUPER_MAGIC,
    TMPFS_MAGIC,
    XFS_SUPER_MAGIC,
];

/// The state of a file when no checkpoint was writing to it.
pub(crate) struct Overwrite {
    timed: bool,
    last: Option<Look>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Look {
    /// The log's salts, and how many of its frames are in the file. A checkpoint always changes them.
    checkpoints: ([u8; 8], u32),
    file: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct State {
    bytes: u64,
    modified: Option<(i64, i64)>,
}

/// Whether the size of the overwritten file changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resized {
    /// The content may be the same, as after `touch`.
    No,
    /// It is another database now.
    Yes,
}

impl Overwrite {
    /// For the file at `path`.
    pub(crate) fn of(path: &Path) -> Self {
        Self {
            timed: statfs(path).is_ok_and(|found| TIMED.contains(&found.filesystem_type())),
            last: None,
        }
    }

    /// Compares the file with the last look; `None` when no other program wrote to it. The caller has read `index` before
    /// and after `file`, and found it unchanged.
    pub(crate) fn look(&mut self, index: &WalIndex, file: &Metadata) -> Option<Resized> {
        let Some(frames) = index.in_database() else {
            self.last = None;
            return None;
        };
        let now = Look {
            checkpoints: (index.salts(), frames),
            file: State {
                bytes: file.len(),
                modified: self.timed.then(|| (file.mtime(), file.mtime_nsec())),
            },
        };
        let before = self.last.replace(now)?;
        let is_other = before.checkpoints == now.checkpoints && before.file != now.file;
        let resized = self.timed && before.file.bytes != now.file.bytes;
        is_other.then_some(if resized { Resized::Yes } else { Resized::No })
    }
}
