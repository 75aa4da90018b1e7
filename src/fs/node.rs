//! Inode numbers: what each names. Nothing is kept in memory for an inode but what its number says.

use fuser::INodeNo;

use super::control::ControlFile;
use crate::object::SlotId;

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
    Object(i64),
    /// An object's attributes in `.slotfs/objects`, by its row.
    Attributes(i64),
    /// An incoming blob, by its open file.
    Incoming(u64),
    /// A staging file for which no row is reserved; one that has a row is [`Self::Object`], or [`Self::Identity`]
    /// in `.slotfs/ouid`, before it is one.
    Staging(u64),
    /// A folder of staging files.
    StagingFolder(u64),
    /// An object in `.slotfs/ouid`, by its row: another inode, since what is written to it has another meaning.
    Identity(i64),
    /// An object in `.slotfs/trash`, by its row.
    Trashed(i64),
    /// An object under an alias, by the alias. With the object's own inode the kernel would answer a rename to the
    /// object's handle by itself, and the alias would stay.
    Alias(u64),
}

/// A number's low bits; its high ones say what kind of node it is.
const BITS: u32 = 48;
const LOW: u64 = (1 << BITS) - 1;

impl Node {
    /// The node of an inode number, if it can be one of ours.
    pub fn of(ino: INodeNo) -> Option<Self> {
        let low = ino.0 & LOW;
        let row = low.cast_signed();
        // A slot's control file: slot number over the table's index.
        let slot = || u32::try_from(low >> 8).ok().map(SlotId);
        let control = || ControlFile::from_id((low & 0xff) as u8);
        Some(match ino.0 >> BITS {
            0 if low == INodeNo::ROOT.0 => Self::Root,
            1 => Self::Slot(SlotId(u32::try_from(low).ok()?)),
            2 => Self::Control(None, control()?),
            3 => Self::Control(Some(slot()?), control()?),
            4 => Self::Object(row),
            5 => Self::Attributes(row),
            6 => Self::Incoming(low),
            7 => Self::Staging(low),
            8 => Self::StagingFolder(low),
            9 => Self::Identity(row),
            10 => Self::Trashed(row),
            11 => Self::Alias(low),
            _ => return None,
        })
    }

    /// Its inode number. Row ids and open files are counted up from 1 and never come near 2^48.
    pub fn ino(self) -> INodeNo {
        let (kind, low) = match self {
            Self::Root => return INodeNo::ROOT,
            Self::Slot(slot) => (1, u64::from(slot.0)),
            Self::Control(None, file) => (2, u64::from(file.id())),
            Self::Control(Some(slot), file) => (3, u64::from(slot.0) << 8 | u64::from(file.id())),
            Self::Object(row) => (4, row.cast_unsigned()),
            Self::Attributes(row) => (5, row.cast_unsigned()),
            Self::Incoming(file) => (6, file),
            Self::Staging(file) => (7, file),
            Self::StagingFolder(folder) => (8, folder),
            Self::Identity(row) => (9, row.cast_unsigned()),
            Self::Trashed(row) => (10, row.cast_unsigned()),
            Self::Alias(alias) => (11, alias),
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
            Node::Object(1),
            Node::Attributes(1 << 40),
            Node::Incoming(7),
            Node::Staging(9),
            Node::StagingFolder(9),
            Node::Identity(1),
            Node::Trashed(1 << 40),
            Node::Alias(1 << 40),
        ] {
            assert_eq!(Node::of(node.ino()), Some(node), "{node:?}");
        }
        assert_eq!(Node::of(INodeNo(0)), None);
        assert_eq!(Node::of(INodeNo(u64::MAX)), None);
    }
}
