//! An object that was to get a handle and did not.

use super::Partition;
use slotfs_object::Handle;

impl Partition<'_> {
    /// Writes down that the object `handle` keeps its handle, because another one has the handle `wanted`.
    pub fn note_kept(&self, handle: Handle, wanted: Handle) {
        let slot = self.slot;
        self.hsm.journal.note(
            slot,
            format!(
                "Handle {handle} on slot {slot} is still handle {handle}: another object has handle {wanted}"
            ),
        );
    }
}
