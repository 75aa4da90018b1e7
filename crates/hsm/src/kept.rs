//! An object that was to get a handle and did not.

use super::Hsm;
use slotfs_object::{Handle, SlotId};

impl Hsm {
    /// Writes down that the object `handle` keeps its handle, because another one has the handle `wanted`.
    pub fn note_kept(&self, slot: SlotId, handle: Handle, wanted: Handle) {
        self.journal.note(
            slot,
            format!(
                "Handle {handle} on slot {slot} is still handle {handle}: another object has handle {wanted}"
            ),
        );
    }
}
