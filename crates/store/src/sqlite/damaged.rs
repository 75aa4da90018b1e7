//! What can still be read of the row of a damaged object.

use rusqlite::Row;

use super::cells::{self, Seen};
use crate::rows::DamagedRow;
use slotfs_object::{Handle, Ouid, RowId, SlotId};

/// For a row whose first columns are `id, slot, handle, ouid`.
pub(super) fn damaged(row: &Row<'_>, what: String) -> DamagedRow {
    DamagedRow {
        id: RowId(cells::id(row)),
        slot: cells::number(row, 1).ok().map(SlotId),
        handle: handle(row, 2).ok(),
        ouid: cells::array(row, 3).ok().map(Ouid),
        in_trash: false,
        nth: None,
        what,
    }
}

/// A handle from a column.
pub(super) fn handle(row: &Row<'_>, column: usize) -> Seen<Handle> {
    let number: u32 = cells::number(row, column)?;
    Handle::new(number).ok_or_else(|| cells::out_of_range(row, column, 0))
}
