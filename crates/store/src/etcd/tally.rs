//! How many a listing found: whether it was whole is known at its end without a question, if nobody wrote to the slot.

use std::sync::Mutex;

use super::lock;
use slotfs_object::SlotId;

/// The last listing of objects, and the last one of a trash.
#[derive(Default)]
pub(super) struct Tallies {
    pub(super) objects: Tally,
    pub(super) trash: Tally,
}

/// What a listing found from its begin to `to`.
#[derive(Default)]
pub(super) struct Tally(Mutex<Option<Part>>);

#[derive(Clone, Copy)]
struct Part {
    slot: SlotId,
    revision: i64,
    to: u64,
    count: u64,
}

impl Tally {
    /// `count` were found from `from` to before `to`, when the slot's `w` had this revision. A listing begins at 1.
    pub(super) fn add(&self, slot: SlotId, revision: i64, (from, to): (u64, u64), count: usize) {
        let mut part = lock(&self.0);
        let before = match (*part, from) {
            (_, ..=1) => 0,
            (Some(it), _) if (it.slot, it.revision, it.to) == (slot, revision, from) => it.count,
            _ => return,
        };
        *part = Some(Part {
            slot,
            revision,
            to,
            count: before + count as u64,
        });
    }

    /// How many there are below `to`, if they were all listed at this revision.
    pub(super) fn below(&self, slot: SlotId, revision: i64, to: u64) -> Option<u64> {
        let part = (*lock(&self.0))?;
        ((part.slot, part.revision) == (slot, revision) && part.to >= to).then_some(part.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_listing_without_a_gap_and_without_a_write_counts() {
        let (tally, slot) = (Tally::default(), SlotId(3));
        tally.add(slot, 7, (1, 100), 20);
        assert_eq!(tally.below(slot, 7, 101), None);
        tally.add(slot, 7, (100, 200), 5);
        assert_eq!(tally.below(slot, 7, 150), Some(25));
        assert_eq!(tally.below(slot, 8, 150), None);
        assert_eq!(tally.below(SlotId(4), 7, 150), None);
        // Of another listing, or after a write.
        tally.add(slot, 7, (300, 400), 5);
        tally.add(slot, 8, (200, 400), 5);
        assert_eq!(tally.below(slot, 7, 200), Some(25));
        assert_eq!(tally.below(slot, 8, 200), None);
        tally.add(slot, 8, (1, 400), 9);
        assert_eq!(tally.below(slot, 8, 400), Some(9));
    }
}
