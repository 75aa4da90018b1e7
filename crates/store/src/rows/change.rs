//! Changes of a whole partition.

use super::{Place, SlotRow, SlotRows, SlotVersion};
use crate::Result;
use slotfs_object::sealed::SealedRow;

/// Seals a row under the new key; `None` when the row does not open.
pub type Reseal = Box<dyn FnMut(Place, &SealedRow) -> Result<Option<SealedRow>> + Send>;

/// What a change does to the objects.
pub enum Objects {
    /// They stay as they are.
    Keep,
    /// They are destroyed.
    Destroy,
    /// Each is sealed under the new key. If some do not open, nothing is changed unless these may be left behind: sealed
    /// under the old key, which is then lost.
    Reseal {
        /// Seals one row.
        reseal: Reseal,
        /// Whether rows that do not open may be left behind.
        leave_damaged: bool,
    },
}

/// What a change did to the objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// How many were destroyed.
    pub destroyed: u64,
    /// How many did not open and were left behind.
    pub damaged: u64,
}

/// A change of a partition.
pub struct SlotChange {
    /// The version that the change was prepared for.
    pub from: SlotVersion,
    /// The new row.
    pub row: SlotRow,
    /// Every row that its header names. One that is stored already stays as it is, except for the pair of a credential.
    pub parts: SlotRows,
    /// What happens to its objects.
    pub objects: Objects,
}
