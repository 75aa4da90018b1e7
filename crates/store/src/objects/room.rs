//! What is left in a slot, kept up to date over the writes of one batch.

use super::sequence;
use crate::cells::{self, Seen};
use crate::committer::Tx;
use crate::slots::NOT_COUNTED;
use crate::{Result, SlotFault};
use slotfs_object::{Handle, RowId, SlotId};

#[derive(Clone, Copy)]
pub(super) struct Room {
    pub(super) capacity_objects: u64,
    capacity_bytes: u64,
    objects: u64,
    bytes: u64,
    /// The next row's id, by AUTOINCREMENT's own rule. It is known before the insert, as the row is sealed for its id.
    pub(super) next_id: i64,
    /// Whether the insert has to state the id, as SQLite would choose another.
    pub(super) state_id: bool,
    /// The highest handle in use; 0 when there is none.
    pub(super) highest: u32,
}

impl Room {
    pub(super) fn of(tx: &mut Tx<'_>, slot: SlotId) -> Result<Self> {
        let next = sequence::next_row(tx)?;
        let room = tx.row(
            // A damaged handle is not the highest.
            "SELECT capacity_objects, capacity_bytes, objects, bytes,
                    coalesce((SELECT CAST(max(handle) AS INTEGER) FROM objects
                              WHERE slot = ?1 AND handle BETWEEN 1 AND 4294967295), 0) AS highest
             FROM usage JOIN slots USING (slot) WHERE slot = ?1",
            [slot.0],
            |row| -> Seen<Self> {
                Ok(Self {
                    capacity_objects: cells::number(row, 0)?,
                    capacity_bytes: cells::number(row, 1)?,
                    objects: cells::number(row, 2)?,
                    bytes: cells::number(row, 3)?,
                    next_id: next.id,
                    state_id: next.state_it,
                    highest: cells::number(row, 4)?,
                })
            },
        )?;
        room.unwrap_or_else(|| Err(NOT_COUNTED.into()))
            .map_err(SlotFault::damaged(slot))
    }

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
