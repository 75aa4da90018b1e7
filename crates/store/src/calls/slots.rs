//! Slots, their credentials and keys.

use slotfs_object::SlotId;
use slotfs_object::partition::Role;
use slotfs_object::sealed::PartId;

use crate::{
    Changed, CredentialRow, DomainRow, ListedSlot, NewSlot, PartitionMark, Result, SlotChange,
    SlotRow, SlotRows, SlotVersion, Store,
};

impl Store {
    /// Every slot, by number. A damaged slot hides none of the others.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn slots(&self) -> Result<Vec<ListedSlot>> {
        each!(self, slots())
    }

    /// One slot.
    ///
    /// # Errors
    /// [`SlotFault::Missing`](crate::SlotFault::Missing), [`SlotFault::Damaged`](crate::SlotFault::Damaged), or when the store cannot be read.
    pub fn slot(&self, slot: SlotId) -> Result<SlotRow> {
        each!(self, slot(slot))
    }

    /// The mark of the partition in `slot`, if there is one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn mark(&self, slot: SlotId) -> Result<Option<PartitionMark>> {
        each!(self, mark(slot))
    }

    /// Serial and generation of every slot that has a number; for a damaged one, the error.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn slot_versions(&self) -> Result<Vec<(SlotId, Result<SlotVersion>)>> {
        each!(self, slot_versions())
    }

    /// The domains of a slot, including those that its header no longer names.
    ///
    /// # Errors
    /// [`SlotFault::Damaged`](crate::SlotFault::Damaged), or when the store cannot be read.
    pub fn domains(&self, slot: SlotId) -> Result<Vec<DomainRow>> {
        each!(self, domains(slot))
    }

    /// One slot with its credentials and keys, in one state.
    ///
    /// # Errors
    /// As [`Self::slot`].
    pub fn slot_with_parts(&self, slot: SlotId) -> Result<(SlotRow, SlotRows)> {
        each!(self, slot_with_parts(slot))
    }

    /// The number of objects and payload bytes in a slot, from its counters.
    ///
    /// # Errors
    /// [`SlotFault::Missing`](crate::SlotFault::Missing), [`SlotFault::Damaged`](crate::SlotFault::Damaged), or when the store cannot be read.
    pub fn usage(&self, slot: SlotId) -> Result<(u64, u64)> {
        each!(self, usage(slot))
    }

    /// Makes a partition with all its rows, in one transaction.
    ///
    /// # Errors
    /// [`SlotFault::Exists`](crate::SlotFault::Exists) when the slot holds another partition than `new.replaces`.
    pub fn create_slot(&self, new: NewSlot) -> Result<()> {
        each!(self, create_slot(new))
    }

    /// The credentials of a slot's roles.
    ///
    /// # Errors
    /// [`SlotFault::Damaged`](crate::SlotFault::Damaged) when a row is not a credential, or when the store cannot be read.
    pub fn credentials(&self, slot: SlotId) -> Result<Vec<CredentialRow>> {
        each!(self, credentials(slot))
    }

    /// The credential of `role`, if it has one. A row that cannot be read counts only when no other one is the role's:
    /// it may be.
    ///
    /// # Errors
    /// [`SlotFault::Damaged`](crate::SlotFault::Damaged), or when the store cannot be read.
    pub fn credential(&self, slot: SlotId, role: Role) -> Result<Option<CredentialRow>> {
        each!(self, credential(slot, role))
    }

    /// Counts a failed login of `credential` before the password is checked; the failures now, or `None`
    /// when there were `most` already.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn count_failure(
        &self,
        slot: SlotId,
        credential: PartId,
        most: u32,
    ) -> Result<Option<u32>> {
        each!(self, count_failure(slot, credential, most))
    }

    /// Takes back one failed login of `credential`, after an attempt that was never checked.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn uncount_failure(&self, slot: SlotId, credential: PartId) -> Result<()> {
        each!(self, uncount_failure(slot, credential))
    }

    /// Forgets the failed logins of `credential` after a good one.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn clear_failures(&self, slot: SlotId, credential: PartId) -> Result<()> {
        each!(self, clear_failures(slot, credential))
    }

    /// Makes the change, durably.
    ///
    /// # Errors
    /// [`SlotFault::Changed`](crate::SlotFault::Changed) when another process was first, [`SlotFault::Replaced`](crate::SlotFault::Replaced) when the partition was
    /// re-initialised, or when the store cannot be written.
    pub fn change_slot(&self, change: SlotChange) -> Result<Changed> {
        each!(self, change_slot(change))
    }

    /// Destroys every object of a partition; how many there were.
    ///
    /// # Errors
    /// As [`Self::change_slot`].
    pub fn clear_slot(&self, slot: SlotVersion) -> Result<u64> {
        each!(self, clear_slot(slot))
    }

    /// Destroys a partition with all its rows; how many objects there were.
    ///
    /// # Errors
    /// As [`Self::change_slot`].
    pub fn delete_slot(&self, slot: SlotVersion) -> Result<u64> {
        each!(self, delete_slot(slot))
    }

    /// Destroys a partition with all its rows, even if its row cannot be read.
    ///
    /// # Errors
    /// [`SlotFault::Changed`](crate::SlotFault::Changed) when the slot holds another partition than `marked`, or when the store cannot be written.
    pub fn delete_marked_slot(&self, slot: SlotId, marked: PartitionMark) -> Result<()> {
        each!(self, delete_marked_slot(slot, marked))
    }
}
