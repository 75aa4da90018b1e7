//! A damaged object: the part of its row that can still be read is enough to name it and to destroy it.

use std::fmt;

use super::ROW_IDS;
use slotfs_object::{Handle, Ouid, RowId, SlotId};

/// A value from an object's row, or the damage.
pub type Read<T> = std::result::Result<T, DamagedRow>;

/// The row of an object that is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedRow {
    /// Row id.
    pub id: RowId,
    /// Its slot, if that can be read.
    pub slot: Option<SlotId>,
    /// Its handle, if that can be read.
    pub handle: Option<Handle>,
    /// Its identity, if that can be read.
    pub ouid: Option<Ouid>,
    /// Whether it is in the trash.
    pub in_trash: bool,
    /// In the trash: its number among the objects that had the same handle.
    pub nth: Option<u32>,
    /// What is wrong. Names the column.
    pub what: String,
}

impl DamagedRow {
    /// The same row, in the trash.
    pub(crate) fn in_trash(self) -> Self {
        Self {
            in_trash: true,
            ..self
        }
    }

    /// Whether its row id fits into an inode number.
    pub fn has_inode(&self) -> bool {
        ROW_IDS.contains(&self.id.0)
    }
}

impl fmt::Display for DamagedRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.slot {
            Some(slot) => write!(f, "slot {slot}, object ")?,
            None => f.write_str("object ")?,
        }
        match self.handle {
            Some(handle) => write!(f, "{handle} (row {})", self.id)?,
            None => write!(f, "of row {}", self.id)?,
        }
        if self.in_trash {
            f.write_str(", in the trash")?;
        }
        write!(f, ": {}", self.what)
    }
}
