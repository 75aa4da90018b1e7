//! What lies around a handle that is looked up. Objects are read and copied in every order, and one question tells of many.

use std::collections::HashMap;
use std::sync::Arc;

use super::fetch::Range;
use super::keys::{Key, end_of};
use super::objects::at;
use super::values::Writes;
use super::{Inner, lock};
use crate::error::Result;
use slotfs_object::SlotId;

/// Handles that are looked up together: a multiple of this, and those that follow it.
const TOGETHER: u32 = 64;

impl Inner {
    /// Reads the keys of the handles around `handle`, unless its own is known as of `revision`, at which `w` was `writes`.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub(super) fn look_around(
        &self,
        slot: SlotId,
        (revision, writes): (i64, &Writes),
        handle: u32,
    ) -> Result<()> {
        let place = at(slot, writes);
        let key = |handle| self.keys.handle(place, handle);
        if lock(&self.cache)
            .value(slot, revision, &key(handle))
            .is_some()
        {
            return Ok(());
        }
        let first = handle - handle % TOGETHER;
        let last = first + (TOGETHER - 1);
        let range = Range {
            start: key(first),
            end: end_of(&key(last)),
            limit: 0,
            keys_only: false,
        };
        let mut found = self.fetch(&[], &[(slot, range)])?;
        match found.writes.get(&slot) {
            // In another epoch these keys mean nothing.
            Some((revision, Ok(now))) if now.epoch == writes.epoch => {
                let there = found.ranges.pop().unwrap_or_default();
                let mut there: HashMap<Key, Vec<u8>> = there.into_iter().collect();
                let mut cache = lock(&self.cache);
                for handle in first..=last {
                    let key = key(handle);
                    let value = there.remove(&key).map(Arc::from);
                    cache.learn(slot, *revision, key, value);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
