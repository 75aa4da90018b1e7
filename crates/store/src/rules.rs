//! The rules of a store: what a write does with the rows that it finds. They know no engine: an engine runs them in a
//! transaction of its own, over its [`Rows`], and commits what they wrote there. One that finds at its commit that another
//! host was first runs them again, so a rule changes nothing but rows.

use crate::rows::{Entry, Place, Read, Trashed};
use crate::{Result, SlotFault, SlotVersion};
use slotfs_object::sealed::SealedRow;
use slotfs_object::{Handle, Ouid, RowId, SlotId};

mod groups;
mod handles;
mod objects;
mod room;
mod trash;

pub(crate) use groups::store_groups;
pub(crate) use handles::{Pass, TakenRuns};
pub(crate) use objects::{
    destroy, move_object, renumber, revise_object, store_object, store_objects, store_together,
};
pub(crate) use room::Room;
pub(crate) use trash::{destroy_trashed, restore, trash};

/// The rows of a store inside one transaction. An error of a call ends the transaction, except [`Error::Object`], which
/// is of that row alone.
///
/// [`Error::Object`]: crate::Error::Object
pub(crate) trait Rows {
    /// Serial and generation of the partition in `slot`.
    fn version(&mut self, slot: SlotId) -> Result<Option<SlotVersion>>;
    /// What is left in a slot.
    fn room(&mut self, slot: SlotId) -> Result<Room>;
    /// The id of a row that is to come, which no other row ever had.
    fn new_id(&mut self, room: &Room) -> Result<RowId>;

    /// The object of that identity, with its row.
    fn identity(&mut self, slot: SlotId, ouid: Ouid) -> Result<Option<(Entry, SealedRow)>>;
    /// The object in the row of `it`, as it is now.
    fn object(&mut self, it: &Entry) -> Result<Option<Entry>>;
    /// The same with its sealed row.
    fn sealed(&mut self, it: &Entry) -> Result<Option<SealedRow>>;
    /// Whether an object has the handle.
    fn is_taken(&mut self, slot: SlotId, handle: Handle) -> Result<bool>;
    /// The lowest free handle that is not below `from`.
    fn first_gap(&mut self, slot: SlotId, from: u32) -> Result<Option<u32>>;
    /// Known runs of taken handles.
    fn taken_runs(&mut self) -> &mut TakenRuns;

    /// A new object. `given`: whether the caller chose the row id.
    fn insert(
        &mut self,
        slot: SlotId,
        at: Place,
        row: &SealedRow,
        room: &Room,
        given: bool,
    ) -> Result<()>;
    /// Another handle for an object, which is sealed for it.
    fn renumber(&mut self, it: &Entry, to: Handle, row: &SealedRow) -> Result<()>;
    /// Destroys an object.
    fn delete(&mut self, it: &Entry) -> Result<()>;

    /// The objects of that identity in the trash; damaged ones are left out.
    fn twins(&mut self, slot: SlotId, ouid: Ouid) -> Result<Vec<(Entry, SealedRow)>>;
    /// How many objects a slot may hold, and how many are in its trash.
    fn trash_use(&mut self, slot: SlotId) -> Result<(u64, u64)>;
    /// Moves an object to the trash.
    fn to_trash(&mut self, it: &Entry) -> Result<()>;
    /// What is in the trash in the row of `it`, as it is now.
    fn trashed(&mut self, it: &Trashed) -> Result<Option<Read<Trashed>>>;
    /// Takes a row out of the trash: destroyed, unless it is inserted again.
    fn take_from_trash(&mut self, it: &Entry) -> Result<()>;
    /// Destroys some of the objects in the trash of a slot that are past its retention.
    fn purge(&mut self, slot: SlotId) -> Result<()>;

    /// Does `work`; where its inner outcome is an error, no row that it wrote stays.
    fn together<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<Result<T>>,
    ) -> Result<Result<T>>;

    /// Forgets the runs of taken handles of a slot: one of these handles may be free now.
    fn forget_runs(&mut self, slot: SlotId) {
        for pass in [Pass::FromWish, Pass::FromLowest] {
            self.taken_runs().remove(&(slot, pass));
        }
    }
}

/// Refuses when another process changed the slot, or initialised it again, since the caller looked.
pub(crate) fn check_version(tx: &mut impl Rows, wanted: SlotVersion) -> Result<()> {
    let slot = wanted.slot;
    match tx.version(slot)? {
        Some(there) if there == wanted => Ok(()),
        Some(there) if there.serial == wanted.serial => Err(SlotFault::Changed.at(slot)),
        _ => Err(SlotFault::Replaced.at(slot)),
    }
}
