//! Whether another program wrote to the store's file in place, as `cp backup.db store.db` does.
//!
//! While a store is in use, only checkpoints write to its file, and the wal-index tells of each. So when the file
//! changed and the wal-index says that there was no checkpoint, it was somebody else. This sees `touch` too.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::statfs::{
    BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, F2FS_SUPER_MAGIC, FsType, OVERLAYFS_SUPER_MAGIC,
    TMPFS_MAGIC, XFS_SUPER_MAGIC, statfs,
};

use super::wal_index::WalIndex;

/// Where a file's time changes only when it is written to. A filesystem that has its times from a server may correct
/// them later; there only the size tells.
const TIMED: [FsType; 6] = [
    BTRFS_SUPER_MAGIC,
    EXT4_SUPER_MAGIC,
    F2FS_SUPER_MAGIC,
    OVERLAYFS_SUPER_MAGIC,
    TMPFS_MAGIC,
    XFS_SUPER_MAGIC,
];

/// The last look at a file that no checkpoint was writing to.
pub struct Overwrite {
    timed: bool,
    last: Option<Look>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Look {
    /// Salts of the log and how many of its frames are in the file: never the same after a checkpoint as before.
    checkpoints: ([u8; 8], u32),
    file: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct State {
    bytes: u64,
    modified: Option<(i64, i64)>,
}

/// Whether a file that was written to certainly has another size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resized {
    /// It may have the content that it had, as after `touch`.
    No,
    /// It is another database now.
    Yes,
}

impl Overwrite {
    /// For the file at `path`.
    pub fn of(path: &Path) -> Self {
        Self {
            timed: statfs(path).is_ok_and(|found| TIMED.contains(&found.filesystem_type())),
            last: None,
        }
    }

    /// Takes a look: `index` was the same before and after the file was found to be as `file` says. Whether somebody
    /// wrote to it, and changed its size.
    pub fn look(&mut self, index: &WalIndex, file: &Metadata) -> Option<Resized> {
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
