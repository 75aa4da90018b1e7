//! Inode numbers and what each one names. Nothing is kept in memory for an inode: its number says everything.

use fuser::{FileHandle, INodeNo};

use super::control::ControlFile;
use crate::object::{RowId, SlotId};

/// The number of an alias, in the order in which they were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AliasId(pub u64);

/// The number of a staging file or folder, in the order in which they were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StagingId(pub u64);

/// What an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// The mount's root.
    Root,
    /// A slot's directory.
    Slot(SlotId),
    /// A file or folder of a `.slotfs` tree: of a slot, or of the whole mount.
    Control(Option<SlotId>, ControlFile),
    /// An object, by its row.
    Object(RowId),
    /// An object's attributes in `.slotfs/objects`, by its row.
    Attributes(RowId),
    /// An incoming blob, by its open file.
    Incoming(FileHandle),
    /// A staging file for which no row is reserved. One with a row has the inode of its later object, [`Self::Object`] or,
    /// in `.slotfs/ouid`, [`Self::Identity`].
    Staging(StagingId),
    /// A folder of staging files.
    StagingFolder(StagingId),
    /// An object in `.slotfs/ouid`, by its row: another inode, because a write to it means something else.
    Identity(RowId),
    /// An object in `.slotfs/trash`, by its row.
    Trashed(RowId),
    /// An object's public content in `.slotfs/public`, by its row.
    Public(RowId),
    /// An object under an alias. With the object's own inode, the kernel would answer a rename to the object's handle
    /// itself, and the alias would stay.
    Alias(AliasId),
}

/// The low bits of an inode number are an id; the high bits say what kind of node it is.
const BITS: u32 = 48;
const LOW: u64 = (1 << BITS) - 1;

impl Node {
    /// The node of an inode number; `None` if this daemon gives out no such number.
    pub fn of(ino: INodeNo) -> Option<Self> {
        let low = ino.0 & LOW;
        let row = RowId(low.cast_signed());
        // A slot's control file: the slot's number above the index in the table.
        let slot = || u32::try_from(low >> 8).ok().map(SlotId);
        let control = || ControlFile::from_id((low & 0xff) as u8);
        Some(match ino.0 >> BITS {
            0 if low == INodeNo::ROOT.0 => Self::Root,
            1 => Self::Slot(SlotId(u32::try_from(low).ok()?)),
            2 => Self::Control(None, control()?),
            3 => Self::Control(Some(slot()?), control()?),
            4 => Self::Object(row),
            5 => Self::Attributes(row),
            6 => Self::Incoming(FileHandle(low)),
            7 => Self::Staging(StagingId(low)),
            8 => Self::StagingFolder(StagingId(low)),
            9 => Self::Identity(row),
            10 => Self::Trashed(row),
            11 => Self::Alias(AliasId(low)),
            12 => Self::Public(row),
            _ => return None,
        })
    }

    /// The inode number. Ids count up from 1 and never come near 2^48.
    pub fn ino(self) -> INodeNo {
        let (kind, low) = match self {
            Self::Root => return INodeNo::ROOT,
            Self::Slot(slot) => (1, u64::from(slot.0)),
            Self::Control(None, file) => (2, u64::from(file.id())),
            Self::Control(Some(slot), file) => (3, u64::from(slot.0) << 8 | u64::from(file.id())),
            Self::Object(row) => (4, row.0.cast_unsigned()),
            Self::Attributes(row) => (5, row.0.cast_unsigned()),
            Self::Incoming(file) => (6, file.0),
            Self::Staging(file) => (7, file.0),
            Self::StagingFolder(folder) => (8, folder.0),
            Self::Identity(row) => (9, row.0.cast_unsigned()),
            Self::Trashed(row) => (10, row.0.cast_unsigned()),
            Self::Alias(alias) => (11, alias.0),
            Self::Public(row) => (12, row.0.cast_unsigned()),
        };
        INodeNo(kind << BITS | (low & LOW))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_comes_back_from_its_number() {
        for node in [
            Node::Root,
            Node::Slot(SlotId(0)),
            Node::Slot(SlotId(u32::MAX)),
            Node::Control(None, ControlFile::Stats),
            Node::Control(Some(SlotId(u32::MAX)), ControlFile::Login),
            Node::Object(RowId(1)),
            Node::Attributes(RowId(1 << 40)),
            Node::Incoming(FileHandle(7)),
            Node::Staging(StagingId(9)),
            Node::StagingFolder(StagingId(9)),
            Node::Identity(RowId(1)),
            Node::Trashed(RowId(1 << 40)),
            Node::Alias(AliasId(1 << 40)),
            Node::Public(RowId(1 << 40)),
        ] {
            assert_eq!(Node::of(node.ino()), Some(node), "{node:?}");
        }
        assert_eq!(Node::of(INodeNo(0)), None);
        assert_eq!(Node::of(INodeNo(u64::MAX)), None);
    }
}
