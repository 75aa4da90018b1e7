//! What a stat says of each node.

use std::time::{Duration, SystemTime};

use fuser::{FileAttr, FileType};

use super::node::Node;
use crate::hsm::SlotRow;
pub use crate::object::system_time as time;

/// How long the kernel may remember entries and attributes.
pub const TTL: Duration = Duration::from_secs(1);
/// Incoming and staging names are looked up every time: what they mean changes with a verdict.
pub const NO_TTL: Duration = Duration::ZERO;
/// Until the kernel's next tick or the one after: of a file to which nothing was written.
pub const BRIEF_TTL: Duration = Duration::from_millis(1);
/// `st_blocks` counts these.
const BLOCK_BYTES: u64 = 512;

/// Whose the files are, and what of the modes is left.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// Owner of everything that no slot owns.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Bits taken from every mode.
    pub umask: u16,
    /// Other users may come in: then the root, which shows slot numbers only, must let them through to
    /// the slots that are theirs.
    pub others: bool,
}

impl Owner {
    /// The owner of a slot's files.
    pub fn of_slot(self, slot: &SlotRow) -> Self {
        Self {
            uid: slot.uid.unwrap_or(self.uid),
            gid: slot.gid.unwrap_or(self.gid),
            ..self
        }
    }

    /// A regular file of `size` bytes. `st_blocks` is never 0 for an object: tools skip the data of a file
    /// that has none.
    pub fn file(self, node: Node, mode: u16, size: u64, time: SystemTime) -> FileAttr {
        FileAttr {
            size,
            blocks: size.div_ceil(BLOCK_BYTES),
            ..self.attr(node, FileType::RegularFile, mode, 1, time)
        }
    }

    /// The mount's root.
    pub fn root_folder(self, time: SystemTime) -> FileAttr {
        let open = if self.others { 0o055 } else { 0 };
        let umask = self.umask & !open;
        Self { umask, ..self }.folder(Node::Root, if self.others { 0o755 } else { 0o777 }, time)
    }

    /// A folder.
    pub fn folder(self, node: Node, mode: u16, time: SystemTime) -> FileAttr {
        self.attr(node, FileType::Directory, mode, 2, time)
    }

    fn attr(self, node: Node, kind: FileType, mode: u16, nlink: u32, time: SystemTime) -> FileAttr {
        FileAttr {
            ino: node.ino(),
            size: 0,
            blocks: 0,
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind,
            perm: mode & !self.umask,
            nlink,
            uid: self.uid,
            gid: self.gid,
            rdev: 0,
            // One read or write takes the largest blob.
            blksize: 128 * 1024,
            flags: 0,
        }
    }
}
