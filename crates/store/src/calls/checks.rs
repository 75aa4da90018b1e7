//! The reading part of `store check`.

use slotfs_object::SlotId;

use crate::{Contradiction, Count, Indexed, ObjectRow, Result, Seen, SlotParts, Store};

impl Store {
    /// What SQLite's own checks and the comparison of the schema find.
    ///
    /// # Errors
    /// When the store cannot be read for another reason than damage.
    pub fn check_file(&self) -> Result<Vec<String>> {
        each!(self, check_file())
    }

    /// Objects whose slot does not exist.
    ///
    /// # Errors
    /// When the store cannot be read for another reason than damage.
    pub fn orphans(&self) -> Result<Seen<Vec<Indexed>>> {
        each!(self, orphans())
    }

    /// The number of every slot, whether its row can be read or not.
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged) when the table itself cannot be read.
    pub fn slot_numbers(&self) -> Result<Vec<SlotId>> {
        each!(self, slot_numbers())
    }

    /// Counts the objects of `slots` in every possible way, in one read: while others write, only counts from one state
    /// can be compared.
    ///
    /// # Errors
    /// When the store cannot be read for another reason than damage.
    pub fn count(&self, slots: &[SlotId]) -> Result<Vec<Count>> {
        each!(self, count(slots))
    }

    /// Up to `most` rows of objects after row `after`, ascending; and why the reading ended early, if it did.
    ///
    /// # Errors
    /// When the store cannot be read for another reason than damage.
    pub fn object_rows(&self, after: i64, most: u32) -> Result<(Vec<i64>, Seen<()>)> {
        each!(self, object_rows(after, most))
    }

    /// The objects between two rows, as the index by handle has them: for a table that cannot be read.
    ///
    /// # Errors
    /// When the store cannot be read for another reason than damage.
    pub fn indexed_between(&self, after: i64, before: i64) -> Result<Seen<Vec<Indexed>>> {
        each!(self, indexed_between(after, before))
    }

    /// How many rows the trash of `slot` has: as the triggers counted them, and in the table; in one read.
    ///
    /// # Errors
    /// When the store cannot be read for another reason than damage.
    pub fn count_trash(&self, slot: SlotId) -> Result<Seen<(Option<Seen<i64>>, i64)>> {
        each!(self, count_trash(slot))
    }

    /// One object's row; `None` when there is none.
    ///
    /// # Errors
    /// When the store cannot be read for another reason than damage.
    pub fn look_object(&self, id: i64) -> Result<Seen<Option<ObjectRow>>> {
        each!(self, look_object(id))
    }

    /// Up to `most` rows of the trash of `slot` after row `after`, read from the table and not by an index; and why the
    /// reading ended early, if it did.
    ///
    /// # Errors
    /// When the store cannot be read for another reason than damage.
    pub fn trash_rows(
        &self,
        slot: SlotId,
        after: i64,
        most: u32,
    ) -> Result<(Vec<ObjectRow>, Seen<()>)> {
        each!(self, trash_rows(slot, after, most))
    }

    /// A slot with its credentials and keys, in one read; `None` when there is no such slot.
    ///
    /// # Errors
    /// When the store cannot be read for another reason than damage.
    pub fn look_slot(&self, slot: SlotId) -> Result<Option<SlotParts>> {
        each!(self, look_slot(slot))
    }

    /// Every contradiction between tables.
    ///
    /// # Errors
    /// When the store cannot be read for another reason than damage.
    pub fn contradictions(&self) -> Result<Vec<Contradiction>> {
        each!(self, contradictions())
    }
}
