//! Listing the objects of a slot, by handle.

use std::sync::Arc;
use std::time::Instant;

use super::fetch::{Pairs, Range};
use super::keys::{Key, Keys, Place as At, end_of};
use super::objects::at;
use super::rows::object_in;
use super::values::{Object, Writes};
use super::{Inner, lock};
use crate::error::{Result, SlotFault};
use crate::rows::*;
use slotfs_object::SlotId;

/// Handles of a slot that are read together for listings.
const WINDOW: u32 = 4096;
/// The most objects that are read together.
const MOST_LISTED: i64 = 4 * WINDOW as i64;

/// An object under its handle, as the key has it.
pub(super) type Numbered = (u32, Read<Object>);
/// Objects with their handles, ascending.
pub(super) type Listed = Arc<Vec<Numbered>>;

/// A part of a slot's listing, as long as nobody writes to the slot.
pub(super) struct Ahead {
    pub(super) slot: SlotId,
    pub(super) revision: i64,
    /// Handles from here, to before there.
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) found: Listed,
}

impl Inner {
    /// Up to `most` objects with handles above `after`.
    pub(super) fn list(
        &self,
        slot: SlotId,
        after: u32,
        most: usize,
    ) -> Result<Vec<(u32, Read<Object>)>> {
        let mut listed = Vec::new();
        let mut from = u64::from(after) + 1;
        let mut window = u64::from(WINDOW);
        let until = self.client.deadline().settling;
        while listed.len() < most {
            let Some((revision, writes)) = self.writes(slot)? else {
                break;
            };
            if from > u64::from(writes.highest) {
                break;
            }
            let Some((found, to)) = self.window(slot, (revision, &writes), from, window)? else {
                if Instant::now() >= until {
                    return Err(self.too_busy());
                }
                continue;
            };
            let start = found.partition_point(|(handle, _)| u64::from(*handle) < from);
            let some = found.get(start..).unwrap_or_default();
            let room = most - listed.len();
            listed.extend(some.iter().take(room).cloned());
            if some.len() > room {
                break;
            }
            // Handles may lie far apart.
            window = match some.is_empty() {
                true => window.saturating_mul(2),
                false => WINDOW.into(),
            };
            from = to;
        }
        Ok(listed)
    }

    /// The objects with handles from `from` to before the number that is given back; `None` where the slot's rows lie
    /// elsewhere by now. A part that was read before serves as
    /// long as nobody writes to the slot.
    fn window(
        &self,
        slot: SlotId,
        (revision, writes): (i64, &Writes),
        from: u64,
        window: u64,
    ) -> Result<Option<(Listed, u64)>> {
        if let Some(ahead) = lock(&self.ahead).as_ref()
            && (ahead.slot, ahead.revision) == (slot, revision)
            && ahead.from <= from
            && from < ahead.to
        {
            return Ok(Some((Arc::clone(&ahead.found), ahead.to)));
        }
        let mut to = from + window;
        let range = |writes: &Writes| {
            let at = at(slot, writes);
            let start = u32::try_from(from).unwrap_or(u32::MAX);
            let end = u32::try_from(to).map_or_else(
                |_| end_of(&self.keys.handles(at)),
                |to| self.keys.handle(at, to),
            );
            Range {
                start: self.keys.handle(at, start),
                end,
                // A window that grew while it was empty may meet many.
                limit: MOST_LISTED,
                keys_only: false,
            }
        };
        let asked = self.fetch(&[], &[(slot, range(writes))])?;
        let now = match asked.writes.get(&slot) {
            Some((now, Ok(then))) if then.epoch == writes.epoch => *now,
            // The slot was cleared or made anew.
            _ => return Ok(None),
        };
        let pairs: Pairs = asked.ranges.into_iter().flatten().collect();
        let is_cut = pairs.len() as i64 >= MOST_LISTED;
        let found = pairs.into_iter().filter_map(|(key, value)| {
            let handle = Keys::handle_of(&key)?;
            Some((handle, object_in(slot, handle, &value)))
        });
        let found: Listed = Arc::new(found.collect());
        if let Some((last, _)) = found.last()
            && is_cut
        {
            to = u64::from(*last) + 1;
        }
        for (_, object) in found.iter() {
            if let Ok(object) = object {
                self.guess(object);
            }
        }
        let tally = &self.tallies.objects;
        tally.add(slot, now, (from, to), found.len());
        *lock(&self.ahead) = Some(Ahead {
            slot,
            revision: now,
            from,
            to,
            found: Arc::clone(&found),
        });
        Ok(Some((found, to)))
    }

    /// Every object of a slot, by handle.
    pub(super) fn for_each(
        &self,
        slot: SlotId,
        mut each: impl FnMut(u32, &Read<Object>),
    ) -> Result<()> {
        let mut after = 0;
        loop {
            let some = self.list(slot, after, WINDOW as usize)?;
            let Some((last, _)) = some.last() else {
                return Ok(());
            };
            after = *last;
            for (handle, found) in &some {
                each(*handle, found);
            }
        }
    }

    /// How many objects the last listing found, if it was of the slot as it is and came to its end.
    pub(super) fn listed_whole(&self, slot: SlotId) -> Result<Option<(Writes, u64)>> {
        let Some((revision, writes)) = self.writes(slot)? else {
            return Ok(None);
        };
        let highest = u64::from(writes.highest);
        let listed = match highest {
            0 => Some(0),
            _ => self.tallies.objects.below(slot, revision, highest + 1),
        };
        Ok(listed.map(|listed| (writes, listed)))
    }

    /// How many keys there are with a prefix that `prefix` names; with `w` at that time.
    pub(super) fn count(
        &self,
        slot: SlotId,
        prefix: impl Fn(&Keys, At) -> Key,
    ) -> Result<Option<(Writes, u64)>> {
        let until = self.client.deadline().settling;
        while Instant::now() < until {
            let Some((_, writes)) = self.writes(slot)? else {
                return Ok(None);
            };
            let all = Range::prefix(prefix(&self.keys, at(slot, &writes)));
            let (now, counted) = self.count_until(until, slot, &all)?;
            let Some((_, now)) = now else {
                return Ok(None);
            };
            let now = now.map_err(SlotFault::damaged(slot))?;
            if now.epoch == writes.epoch {
                return Ok(Some((now, counted)));
            }
        }
        Err(self.too_busy())
    }
}
