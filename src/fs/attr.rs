//! The attributes of files and folders.

use std::time::{Duration, SystemTime};

use fuser::{FileAttr, FileType};

use super::node::Node;
use crate::hsm::SlotRow;
pub use crate::object::system_time as time;

/// How long the kernel may remember entries and attributes.
pub const TTL: Duration = Duration::from_secs(1);
/// For incoming and staging names: what they mean changes with a verdict.
pub const NO_TTL: Duration = Duration::ZERO;
/// One or two of the kernel's ticks: for a file to which nothing was written.
pub const BRIEF_TTL: Duration = Duration::from_millis(1);
/// `st_blocks` counts these.
const BLOCK_BYTES: u64 = 512;

/// Attributes, and how long the kernel may remember them.
pub type Seen = (FileAttr, Duration);

/// The owner of files, and the permissions that others get.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Bits that are removed from every mode.
    pub umask: u16,
    /// Other users may use the mount. The root then lets them through to their own slots; it shows nothing but slot
    /// numbers.
    pub others: bool,
    /// The kernel checks no permissions, and the session admits this user alone: slots of other owners are closed.
    pub alone: bool,
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

    /// A regular file of `size` bytes. `st_blocks` is never 0 for an object, because tools skip the data of a file without
    /// blocks.
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
