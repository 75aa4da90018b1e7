//! Which handle a stored object gets.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use super::{Room, Rows};
use crate::{Result, SlotFault};
use slotfs_object::{Handle, SlotId};

/// Which search for a free handle a run of taken handles belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pass {
    /// Up from the handle that the caller asked for.
    FromWish,
    /// Up from the lowest handle.
    FromLowest,
}

/// For each slot and search, a run of handles that are all taken.
pub(crate) type TakenRuns = HashMap<(SlotId, Pass), RangeInclusive<u32>>;

/// `want` or an error, or any free handle when the caller wants none in particular.
pub(super) fn exactly(
    tx: &mut impl Rows,
    slot: SlotId,
    want: Option<Handle>,
    room: &Room,
) -> Result<Handle> {
    match want {
        Some(handle) if tx.is_taken(slot, handle)? => Err(SlotFault::HandleTaken(handle).at(slot)),
        Some(handle) => Ok(handle),
        None => free_at_end(tx, slot, room),
    }
}

/// `want`, or the next free handle when it is taken.
pub(super) fn near(
    tx: &mut impl Rows,
    slot: SlotId,
    want: Option<Handle>,
    room: &Room,
) -> Result<Handle> {
    match want {
        // Above every handle in use, so it is free.
        Some(handle) if handle.get() > room.highest => Ok(handle),
        Some(handle) => free_from(tx, slot, handle, room.capacity_objects),
        None => free_at_end(tx, slot, room),
    }
}

/// The handle after the highest, or the lowest free one when that would pass the slot's capacity.
fn free_at_end(tx: &mut impl Rows, slot: SlotId, room: &Room) -> Result<Handle> {
    match room.highest.checked_add(1).and_then(Handle::new) {
        Some(handle) if u64::from(handle.get()) <= room.capacity_objects => Ok(handle),
        _ => free_from(tx, slot, Handle::FIRST, room.capacity_objects),
    }
}

/// `wish` if it is free, else the next free handle after it, else the lowest. A handle that the slot chooses is within its
/// capacity, where there is always a free one; only an explicitly requested handle may exceed the capacity.
///
/// A run of taken handles is walked once and remembered until a handle in it may have become free. Without that, cloning
/// n objects onto n taken handles would walk n² of them.
fn free_from(tx: &mut impl Rows, slot: SlotId, wish: Handle, capacity: u64) -> Result<Handle> {
    let full = SlotFault::Full.at(slot);
    for (pass, start) in [(Pass::FromWish, wish.get()), (Pass::FromLowest, 1)] {
        let (first, next) = match tx.taken_runs().get(&(slot, pass)) {
            Some(run) if run.contains(&start) => (*run.start(), run.end().checked_add(1)),
            _ => (start, Some(start)),
        };
        let Some(next) = next else { continue };
        let Some(free) = tx.first_gap(slot, next)? else {
            continue;
        };
        if free > first {
            tx.taken_runs().insert((slot, pass), first..=free - 1);
        }
        if u64::from(free) <= capacity || u64::from(start) > capacity {
            return Handle::new(free).ok_or(full);
        }
    }
    Err(full)
}
