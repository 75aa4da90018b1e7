//! Reading objects.

use slotfs_object::sealed::SealedRow;
use slotfs_object::{Handle, Ouid, RowId, SlotId};

use crate::{DamagedRow, Entry, NameColumn, Read, Result, Store};

impl Store {
    /// The object under `handle`, if any. The answer `None` may be up to [`FRESH_FOR`](crate::FRESH_FOR) old when another process creates
    /// the object.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn by_handle(&self, slot: SlotId, handle: Handle) -> Result<Option<Entry>> {
        each!(self, by_handle(slot, handle))
    }

    /// The object in row `id`, if any.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn by_id(&self, id: RowId) -> Result<Option<Entry>> {
        each!(self, by_id(id))
    }

    /// The object of identity `ouid` in `slot`, if any.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn by_ouid(&self, slot: SlotId, ouid: Ouid) -> Result<Option<Entry>> {
        each!(self, by_ouid(slot, ouid))
    }

    /// The rows of the objects of identity `ouid` in any of `slots`, by slot. Only the index is read: the rows may be
    /// damaged.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn rows_with_ouid(&self, slots: &[SlotId], ouid: Ouid) -> Result<Vec<RowId>> {
        each!(self, rows_with_ouid(slots, ouid))
    }

    /// Up to `most` objects with handles above `after`, ascending; damaged ones with a handle are among them. Those
    /// without one are [`Self::nameless`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self, slot: SlotId, after: u32, most: usize) -> Result<Vec<Read<Entry>>> {
        each!(self, list(slot, after, most))
    }

    /// The objects of a slot that no listing by `name` can show.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn nameless(&self, slot: SlotId, name: NameColumn) -> Result<Vec<DamagedRow>> {
        each!(self, nameless(slot, name))
    }

    /// How many objects a listing by handle shows, and how many the slot has. A damaged index shows fewer, and a
    /// program that mirrors the slot would then delete the others.
    ///
    /// # Errors
    /// When the store cannot be read. A damaged count is an error in the place of the count.
    pub fn count_listed(&self, slot: SlotId) -> Result<(u64, Result<u64>)> {
        each!(self, count_listed(slot))
    }

    /// The rows of every object of a slot.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn ids(&self, slot: SlotId) -> Result<Vec<RowId>> {
        each!(self, ids(slot))
    }

    /// The rows of every object of a slot with their handles, ascending; damaged ones are left out. The index alone is read.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn places(&self, slot: SlotId) -> Result<Vec<(Handle, RowId)>> {
        each!(self, places(slot))
    }

    /// Row `id`: its sealed payload and the part in clear, in one read.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn sealed(&self, id: RowId) -> Result<Option<(Entry, SealedRow)>> {
        each!(self, sealed(id))
    }

    /// Up to `most` objects with handles above `after`, ascending, with their sealed payloads. Stops once these reach
    /// `most_bytes`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list_sealed(
        &self,
        slot: SlotId,
        after: u32,
        most: usize,
        most_bytes: usize,
    ) -> Result<Vec<Read<(Entry, SealedRow)>>> {
        each!(self, list_sealed(slot, after, most, most_bytes))
    }

    /// The object under `handle` with its sealed payload, if any.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn sealed_by_handle(
        &self,
        slot: SlotId,
        handle: Handle,
    ) -> Result<Option<(Entry, SealedRow)>> {
        each!(self, sealed_by_handle(slot, handle))
    }

    /// Whether the slot has any object, whatever its counter says.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn has_objects(&self, slot: SlotId) -> Result<bool> {
        each!(self, has_objects(slot))
    }

    /// How many objects of `one` are also in `other`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn count_common(&self, one: SlotId, other: SlotId) -> Result<i64> {
        each!(self, count_common(one, other))
    }
}
