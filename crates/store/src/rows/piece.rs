//! A whole store, piece by piece, on its way from one engine to another. Sealed rows stay as they are: they are bound to
//! their serial, handle, identity and row id, which stay the same too.

use super::{Entry, SlotRow, SlotRows, Trashed};
use slotfs_object::sealed::SealedRow;

/// One row, or the rows of a slot.
pub(crate) enum Piece {
    /// A slot, before its objects.
    Slot(SlotRow, SlotRows),
    /// An object, and when it was stored.
    Object(Entry, u64, SealedRow),
    /// An object in the trash, and when it was stored.
    Trashed(Trashed, u64, SealedRow),
}

/// What a store is beside its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct About {
    /// When it was made.
    pub(crate) created_secs: u64,
    /// A row id above all that were ever given.
    pub(crate) next_row: i64,
}
