//! An object's row that cannot be used, and what of it can still be read: enough to name it, and to destroy it.

use std::fmt;

use rusqlite::Row;

use super::cells::{self, ROW_IDS, Seen};
use slotfs_object::{Handle, Ouid, SlotId};

/// A row of an object, or what is wrong with it.
pub type Read<T> = std::result::Result<T, DamagedRow>;

/// An object's row that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedRow {
    /// Row id.
    pub id: i64,
    /// The slot it is in, where that can be read.
    pub slot: Option<SlotId>,
    /// Its handle, likewise.
    pub handle: Option<Handle>,
    /// Its identity, likewise.
    pub ouid: Option<Ouid>,
    /// Whether it is in the trash.
    pub in_trash: bool,
    /// In the trash, which of those that had one handle.
    pub nth: Option<u32>,
    /// What is wrong: names the column.
    pub what: String,
}

impl DamagedRow {
    /// Of a row whose first columns are `id, slot, handle, ouid`.
    pub(super) fn of(row: &Row<'_>, what: String) -> Self {
        Self {
            // INTEGER PRIMARY KEY: SQLite itself keeps nothing else there.
            id: cells::number(row, 0).unwrap_or(i64::MIN),
            slot: cells::number(row, 1).ok().map(SlotId),
            handle: handle(row, 2).ok(),
            ouid: cells::array(row, 3).ok().map(Ouid),
            in_trash: false,
            nth: None,
            what,
        }
    }

    /// Whether an inode number can name it.
    pub fn has_inode(&self) -> bool {
        ROW_IDS.contains(&self.id)
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

/// A handle from a column.
pub(super) fn handle(row: &Row<'_>, column: usize) -> Seen<Handle> {
    let number: u32 = cells::number(row, column)?;
    Handle::new(number).ok_or_else(|| cells::out_of_range(row, column, 0))
}
