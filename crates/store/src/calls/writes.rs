//! Writing objects.

use slotfs_object::{Handle, RowId, SlotId};

use crate::{DamagedRow, Entry, Move, Put, Reply, Result, Seal, SlotVersion, Store, Stored};

impl Store {
    /// Stores an object; `reply` runs when it is durable, on this thread or another.
    ///
    /// Replies [`SlotFault::IdentityClash`](crate::SlotFault::IdentityClash), [`SlotFault::Full`](crate::SlotFault::Full), [`SlotFault::TrashFull`](crate::SlotFault::TrashFull), [`SlotFault::Replaced`](crate::SlotFault::Replaced), or
    /// the disk's error.
    pub fn put(&self, put: Put, reply: impl Reply<Stored>) {
        each!(self, put(put, reply))
    }

    /// Stores objects for one slot, in one transaction; each fails by itself. `source` is the slot that they come from,
    /// as it was when they were read.
    ///
    /// Replies one outcome for each, in their order, as [`Self::put`]; or the error that failed all of them.
    pub fn put_many(
        &self,
        puts: Vec<Put>,
        source: SlotVersion,
        reply: impl Reply<Vec<Result<Stored>>>,
    ) {
        each!(self, put_many(puts, source, reply))
    }

    /// The same, but all of them or none.
    ///
    /// Replies where each is, or the first error.
    pub fn put_all(&self, puts: Vec<Put>, reply: impl Reply<Vec<Stored>>) {
        each!(self, put_all(puts, reply))
    }

    /// A row id for one object, which the store gives to no other; `None` when the store cannot be written.
    /// AUTOINCREMENT's counter is moved past many ids at once, so it need not change when a row gets one of them.
    pub fn reserve_row(&self) -> Option<RowId> {
        each!(self, reserve_row())
    }

    /// Moves an object to another slot: both sides or neither. It gets a new row there: an inode that the kernel
    /// remembers for the old name must not come to mean another slot.
    ///
    /// Replies as [`Self::put`], and [`SlotFault::HandleTaken`](crate::SlotFault::HandleTaken) when another object has the handle.
    pub fn move_object(&self, it: Move, reply: impl Reply<Stored>) {
        each!(self, move_object(it, reply))
    }

    /// Puts a later revision in the place of the object `from`: a new row under its handle.
    ///
    /// Replies [`Error::Gone`](crate::Error::Gone) when it is not there any more, and as [`Self::put`].
    pub fn revise(&self, from: Entry, put: Put, reply: impl Reply<Stored>) {
        each!(self, revise(from, put, reply))
    }

    /// Gives an object another handle in its slot.
    ///
    /// Replies [`SlotFault::HandleTaken`](crate::SlotFault::HandleTaken), [`Error::Gone`](crate::Error::Gone).
    pub fn renumber(
        &self,
        from: Entry,
        slot: SlotVersion,
        to: Handle,
        seal: Seal,
        reply: impl Reply<()>,
    ) {
        each!(self, renumber(from, slot, to, seal, reply))
    }

    /// Destroys an object.
    ///
    /// Replies [`Error::Gone`](crate::Error::Gone) when it is not there any more.
    pub fn destroy(&self, it: Entry, slot: SlotVersion, reply: impl Reply<()>) {
        each!(self, destroy(it, slot, reply))
    }

    /// Stores groups of objects for one slot, in one transaction, on the committer's own thread: the caller prepares the
    /// next groups meanwhile. A group that fails leaves the others.
    ///
    /// Replies one outcome for each group, in their order: where each of its objects is, or the first error; or the
    /// error that failed all of them.
    pub fn put_groups(&self, groups: Vec<Vec<Put>>, reply: impl Reply<Vec<Result<Vec<Stored>>>>) {
        each!(self, put_groups(groups, reply))
    }

    /// The damaged object in row `id`, among the objects or in the trash.
    ///
    /// # Errors
    /// [`SlotFault::NotDamaged`](crate::SlotFault::NotDamaged) for a whole one, [`Error::Gone`](crate::Error::Gone), or when the store cannot be read.
    pub fn damaged_row(&self, id: RowId) -> Result<DamagedRow> {
        each!(self, damaged_row(id))
    }

    /// Destroys a damaged object, if its row is as it was found.
    ///
    /// Replies [`Error::Gone`](crate::Error::Gone) when it is not.
    pub fn destroy_damaged(&self, found: DamagedRow, slot: SlotVersion, reply: impl Reply<()>) {
        each!(self, destroy_damaged(found, slot, reply))
    }

    /// Counts the objects of a slot and its trash again; whether the count was wrong. Nothing is done when the table and
    /// its indexes do not agree: then rows may be missing, and only the old count shows it.
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged) when they do not agree, or when the store cannot be written.
    pub fn recount(&self, slot: SlotId) -> Result<bool> {
        each!(self, recount(slot))
    }
}
