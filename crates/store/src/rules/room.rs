//! What is left in a slot, kept up to date over the writes of one batch.

use crate::{Result, SlotFault};
use slotfs_object::{Handle, RowId, SlotId};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) capacity_objects: u64,
    pub(crate) capacity_bytes: u64,
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
    /// The next row's id, where the engine gives ids in order: it is known before the insert, as the row is sealed for it.
    pub(crate) next_id: i64,
    /// Whether the insert has to state the id, as SQLite would choose another.
    pub(crate) state_id: bool,
    /// The highest handle in use; 0 when there is none.
    pub(crate) highest: u32,
}

impl Room {
    pub(super) fn check(&self, slot: SlotId, payload_bytes: u32) -> Result<()> {
        let fits = self.objects < self.capacity_objects
            && self.bytes + u64::from(payload_bytes) <= self.capacity_bytes;
        match fits {
            true => Ok(()),
            false => Err(SlotFault::Full.at(slot)),
        }
    }

    /// The same for an object in the place of one with a payload of `replaced` bytes. A smaller one always fits.
    pub(super) fn check_instead(
        &self,
        slot: SlotId,
        payload_bytes: u32,
        replaced: u32,
    ) -> Result<()> {
        let bytes = self.bytes.saturating_sub(replaced.into());
        match payload_bytes <= replaced || bytes + u64::from(payload_bytes) <= self.capacity_bytes {
            true => Ok(()),
            false => Err(SlotFault::Full.at(slot)),
        }
    }

    /// An object left.
    pub(super) fn left(&mut self, payload_bytes: u32) {
        self.objects = self.objects.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(payload_bytes.into());
    }

    pub(super) fn took(&mut self, id: RowId, handle: Handle, payload_bytes: u32) {
        self.highest = self.highest.max(handle.get());
        self.objects += 1;
        self.bytes += u64::from(payload_bytes);
        self.next_id = self.next_id.max(id.0 + 1);
    }
}
