//! What the kernel was told of the sizes of blobs.
//!
//! What is read through the page cache ends at the size that the kernel remembers. It asks again when it was told that the
//! size is another one by now, but it throws an answer away when it is told of one more change meanwhile, and then reads with
//! the size from before (fuse_change_attributes in the kernel's fs/fuse/inode.c). So a slot whose blobs ever had another size
//! under this mount is not read through the page cache any more.

use std::collections::HashMap;
use std::sync::Mutex;

use super::lock;
use crate::object::SlotId;

/// For each slot, by how much its blobs are longer than their payloads; `None` if that ever was another number.
#[derive(Default)]
pub struct ToldSizes(Mutex<HashMap<SlotId, Option<u64>>>);

impl ToldSizes {
    /// The kernel is told that a blob of so many bytes of payload has `size` bytes.
    pub fn tell(&self, slot: SlotId, payload_bytes: u32, size: u64) {
        let more = size.checked_sub(payload_bytes.into());
        let mut told = lock(&self.0);
        let before = told.entry(slot).or_insert(more);
        if *before != more {
            *before = None;
        }
    }

    /// Whether the kernel can remember no other size for a blob of the slot than this.
    pub fn is_sure(&self, slot: SlotId, payload_bytes: u32, size: u64) -> bool {
        let more = size.checked_sub(payload_bytes.into());
        more.is_some() && lock(&self.0).get(&slot) == Some(&more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_changed_once_is_never_sure_again() {
        let told = ToldSizes::default();
        assert!(!told.is_sure(SlotId(1), 32, 132));
        told.tell(SlotId(1), 32, 132);
        told.tell(SlotId(1), 100, 200);
        assert!(told.is_sure(SlotId(1), 32, 132));
        // A blob with one more domain, which the kernel was not told of.
        assert!(!told.is_sure(SlotId(1), 32, 196));
        assert!(!told.is_sure(SlotId(2), 32, 132));
        told.tell(SlotId(1), 32, 196);
        told.tell(SlotId(1), 32, 132);
        assert!(!told.is_sure(SlotId(1), 32, 132));
        assert!(!told.is_sure(SlotId(1), 32, 196));
        told.tell(SlotId(1), 32, 0);
        assert!(!told.is_sure(SlotId(1), 32, 0));
    }
}
