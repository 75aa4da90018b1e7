//! The trash.

use slotfs_object::sealed::SealedRow;
use slotfs_object::{Handle, Ouid, RowId, SlotId};

use crate::{Alike, Entry, Put, Read, Reply, Result, SlotVersion, Store, Stored, Trashed};

impl Store {
    /// The object in the trash under the `nth` use of `handle`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn trashed(&self, slot: SlotId, handle: Handle, nth: u32) -> Result<Option<Trashed>> {
        each!(self, trashed(slot, handle, nth))
    }

    /// The object in row `id` of the trash.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn trashed_by_id(&self, id: RowId) -> Result<Option<Trashed>> {
        each!(self, trashed_by_id(id))
    }

    /// Up to `most` rows of a slot's trash after row `after`, ascending; damaged ones among them.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list_trash(
        &self,
        slot: SlotId,
        after: RowId,
        most: usize,
    ) -> Result<Vec<Read<Trashed>>> {
        each!(self, list_trash(slot, after, most))
    }

    /// A row in the trash: its sealed payload and the part in clear.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn trashed_sealed(&self, id: RowId) -> Result<Option<(Entry, SealedRow)>> {
        each!(self, trashed_sealed(id))
    }

    /// How many objects are in a slot's trash.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn trash_count(&self, slot: SlotId) -> Result<u64> {
        each!(self, trash_count(slot))
    }

    /// Whether a slot has an object of identity `ouid`, in its trash or out of it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn keeps(&self, slot: SlotId, ouid: Ouid) -> Result<bool> {
        each!(self, keeps(slot, ouid))
    }

    /// Whether something in the trash is past its slot's retention.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn has_expired(&self) -> Result<bool> {
        each!(self, has_expired())
    }

    /// Moves an object to the trash. It replaces one with the same identity and content there, so that removing the
    /// same object again and again does not fill the trash.
    ///
    /// Replies [`Error::Gone`](crate::Error::Gone) when the object is not there any more, [`SlotFault::TrashFull`](crate::SlotFault::TrashFull).
    pub fn trash(&self, it: Entry, slot: SlotVersion, alike: Alike, reply: impl Reply<()>) {
        each!(self, trash(it, slot, alike, reply))
    }

    /// Brings an object back from the trash, under `put.want` or any free handle.
    ///
    /// Replies [`SlotFault::HandleTaken`](crate::SlotFault::HandleTaken), [`SlotFault::Full`](crate::SlotFault::Full), [`Error::Gone`](crate::Error::Gone). When the slot holds its identity
    /// already, replies as [`Self::put`]: with the same content, the object only leaves the trash; where the slot holds a
    /// later revision, [`SlotFault::Outdated`](crate::SlotFault::Outdated), and it stays there.
    pub fn restore(&self, it: Trashed, put: Put, reply: impl Reply<Stored>) {
        // The same object in the same row.
        let id = Some(it.entry.id);
        let put = Put { id, ..put };
        each!(self, restore(it, put, reply))
    }

    /// Destroys an object in the trash.
    ///
    /// Replies [`Error::Gone`](crate::Error::Gone) when it is not there any more.
    pub fn destroy_trashed(&self, it: Trashed, slot: SlotVersion, reply: impl Reply<()>) {
        each!(self, destroy_trashed(it, slot, reply))
    }

    /// Destroys the objects past their slot's retention; how many.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn purge(&self) -> Result<u64> {
        each!(self, purge())
    }
}
