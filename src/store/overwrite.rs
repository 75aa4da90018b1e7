//! Whether another program wrote to the store's file in place, as `cp backup.db store.db` does.
//!
//! While a store is in use, only checkpoints write to its file, and the wal-index tells of each. So when the file
//! changed and the wal-index says that there was no checkpoint, it was somebody else. This sees `touch` too.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::statfs::{
    BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, F2FS_SUPER_MAGIC, TMPFS_MAGIC, XFS_SUPER_MAGIC, statfs,
};

use super::wal_index::WalIndex;

/// The last look at a file that no checkpoint was writing to.
#[derive(Default)]
pub struct Overwrite {
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
    modified: (i64, i64),
}

impl Overwrite {
    /// Whether a file changes its time only when somebody writes to it, where `path` is. A filesystem that gets its
    /// times from a server may correct them later.
    pub fn can_be_told(path: &Path) -> bool {
        statfs(path).is_ok_and(|found| {
            [
                BTRFS_SUPER_MAGIC,
                EXT4_SUPER_MAGIC,
                F2FS_SUPER_MAGIC,
                TMPFS_MAGIC,
                XFS_SUPER_MAGIC,
            ]
            .contains(&found.filesystem_type())
        })
    }

    /// Takes a look: `index` was the same before and after the file was found to be as `file` says.
    pub fn happened(&mut self, index: &WalIndex, file: &Metadata) -> bool {
        let Some(frames) = index.in_database() else {
            self.last = None;
            return false;
        };
        let now = Look {
            checkpoints: (index.salts(), frames),
            file: State {
                bytes: file.len(),
                modified: (file.mtime(), file.mtime_nsec()),
            },
        };
        let before = self.last.replace(now);
        before.is_some_and(|last| last.checkpoints == now.checkpoints && last.file != now.file)
    }
}
