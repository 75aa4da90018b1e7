//! Counts of objects, which are kept beside them: whether a listing was whole.

use super::{DamagedRow, Error, Partition, Result, SlotError};
use slotfs_store::NameColumn;

const REPAIR: &str = "'slotfs store check -repair' corrects a wrong count";

impl Partition<'_> {
    /// Objects and payload bytes in a slot.
    ///
    /// # Errors
    /// [`SlotFault::Missing`](super::SlotFault::Missing), or when the store cannot be read.
    pub fn usage(&self) -> Result<(u64, u64)> {
        Ok(self.hsm.store.usage(self.slot)?)
    }

    /// Whether a listing by handle that has come to its end was whole.
    ///
    /// # Errors
    /// [`Error::ObjectDamaged`] of one that has no handle, else [`SlotError::Miscounted`] when fewer can be listed than
    /// there are.
    pub fn check_listing(&self) -> Result<()> {
        self.check_names(NameColumn::Handle)
    }

    /// The same of a listing by identity.
    ///
    /// # Errors
    /// As [`Self::check_listing`].
    pub fn check_identities(&self) -> Result<()> {
        self.check_names(NameColumn::Ouid)
    }

    fn check_names(&self, name: NameColumn) -> Result<()> {
        match self.hsm.store.nameless(self.slot, name)?.into_iter().next() {
            Some(nameless) => Err(Error::ObjectDamaged(nameless)),
            None => self.check_count(),
        }
    }

    /// The objects of a slot that have no handle. They can only be destroyed, by their row.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn without_handle(&self) -> Result<Vec<DamagedRow>> {
        let mut nameless = self.hsm.store.nameless(self.slot, NameColumn::Handle)?;
        nameless.retain(|row| row.handle.is_none());
        Ok(nameless)
    }

    /// Whether as many objects can be listed as there are.
    ///
    /// # Errors
    /// [`SlotError::Miscounted`], [`SlotFault::Damaged`](super::SlotFault::Damaged)
    pub(super) fn check_count(&self) -> Result<()> {
        let slot = self.slot;
        let (listed, kept) = self.hsm.store.count_listed(slot)?;
        match kept? {
            kept if listed == kept => Ok(()),
            kept => Err(SlotError::Miscounted(format!(
                "it counts {kept} objects, but {listed} can be listed; {REPAIR}"
            ))
            .at(slot)),
        }
    }

    /// How many objects are in a slot's trash.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn trash_count(&self) -> Result<u64> {
        Ok(self.hsm.store.trash_count(self.slot)?)
    }

    /// Whether the trash holds as many objects as were counted.
    ///
    /// # Errors
    /// [`SlotError::Miscounted`], [`SlotFault::Damaged`](super::SlotFault::Damaged)
    pub fn check_trash_count(&self) -> Result<()> {
        let slot = self.slot;
        let counted = self.hsm.store.count_trash(slot)?;
        let (kept, there) = counted.map_err(|what| Error::slot_damaged(slot, what))?;
        let kept = match kept {
            Some(Ok(kept)) if kept == there => return Ok(()),
            // A store from before there was a trash, looked at only.
            None if there == 0 => return Ok(()),
            Some(Ok(kept)) => format!("it counts {kept} objects in its trash"),
            Some(Err(what)) => format!("its count of its trash is damaged ({what})"),
            None => "it has no count of its trash".to_owned(),
        };
        let what = format!("{kept}, but {there} are there; {REPAIR}");
        Err(SlotError::Miscounted(what).at(slot))
    }

    /// Counts the objects of a slot anew; whether the count was wrong. No login is needed: a count is in clear, and the
    /// objects stay as they are.
    ///
    /// # Errors
    /// As [`Store::recount`](slotfs_store::Store::recount).
    pub fn recount(&self) -> Result<bool> {
        let wrong = self.hsm.store.recount(self.slot)?;
        if wrong {
            log::warn!(
                "slot {}: the count of its objects was wrong, and was corrected",
                self.slot
            );
        }
        Ok(wrong)
    }
}
