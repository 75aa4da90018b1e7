//! The trash: objects that were unlinked, until their slot's retention has passed.

use std::time::Instant;

use super::committer::Weight;
use super::fetch::{MOST_OPERATIONS, Range};
use super::keys::Keys;
use super::objects::{at, whole};
use super::pages::Pages;
use super::rows::{missing, trashed_of};
use super::tx::Tx;
use super::values::{InTrash, Writes};
use super::write::of_leaving;
use super::{Inner, Store, lock};
use crate::Reply;
use crate::error::{Error, Result, SlotFault};
use crate::rows::{ROW_IDS, *};
use crate::rules;
use slotfs_object::sealed::SealedRow;
use slotfs_object::{Handle, Ouid, RowId, SlotId};

/// Expired objects destroyed in one transaction: six keys each.
const PURGED_AT_ONCE: i64 = 256;

/// Rows of the trash that are read together to be counted.
const LISTED_AT_ONCE: usize = 4096;

/// A row of the trash, and what is sealed in it where that is not missing.
pub(super) type TrashedRow = (RowId, Read<(InTrash, Option<SealedRow>)>);

/// What is wrong with an object in the trash whose sealed row is missing.
pub(super) fn without_row(found: &InTrash) -> DamagedRow {
    let entry = found.it.entry;
    DamagedRow {
        id: entry.id,
        slot: Some(entry.slot),
        handle: Some(entry.handle),
        ouid: Some(entry.ouid),
        in_trash: true,
        nth: Some(found.it.nth),
        what: "its sealed row is missing".to_owned(),
    }
}

impl Store {
    pub(crate) fn trashed(
        &self,
        slot: SlotId,
        handle: Handle,
        nth: u32,
    ) -> Result<Option<Trashed>> {
        let keys = &self.inner.keys;
        let name = |writes: &Writes| vec![keys.trash_name(at(slot, writes), handle, nth)];
        let Some((_, found)) = self.inner.values(slot, name)? else {
            return Ok(None);
        };
        let Some(value) = found.into_iter().flatten().next() else {
            return Ok(None);
        };
        let id = super::values::to_number(&value).map_err(SlotFault::damaged(slot))?;
        let id = RowId(i64::try_from(id).unwrap_or(i64::MAX));
        let found = whole(self.inner.trashed_in(slot, id)?)?;
        Ok(found.map(|it| it.it))
    }

    pub(crate) fn trashed_by_id(&self, id: RowId) -> Result<Option<Trashed>> {
        Ok(whole(self.inner.trashed_by_id(id)?)?.map(|it| it.it))
    }

    pub(crate) fn list_trash(
        &self,
        slot: SlotId,
        after: RowId,
        most: usize,
    ) -> Result<Vec<Read<Trashed>>> {
        let listed = self.inner.list_trash(slot, after, most)?;
        Ok(listed.into_iter().map(|it| it.map(|it| it.it)).collect())
    }

    pub(crate) fn trashed_sealed(&self, id: RowId) -> Result<Option<(Entry, SealedRow)>> {
        let slot = match self.inner.place_of(id)? {
            Some(place) if place.in_trash => place.slot,
            _ => return Ok(None),
        };
        let found = self.inner.trashed_rows(slot, &[id])?.pop();
        let found = whole(found.map(|it| it.1))?;
        let Some((found, row)) = found else {
            return Ok(None);
        };
        let row = row.ok_or_else(|| Error::Object(without_row(&found)))?;
        Ok(Some((found.it.entry, row)))
    }

    pub(crate) fn trash_count(&self, slot: SlotId) -> Result<u64> {
        Ok(self.inner.writes(slot)?.map_or(0, |(_, it)| it.trash))
    }

    pub(crate) fn keeps(&self, slot: SlotId, ouid: Ouid) -> Result<bool> {
        if self.by_ouid(slot, ouid)?.is_some() {
            return Ok(true);
        }
        let keys = &self.inner.keys;
        let twins = |writes: &Writes| Range {
            keys_only: true,
            limit: 1,
            ..Range::prefix(keys.trash_identities(at(slot, writes), ouid))
        };
        let found = self.inner.range(slot, twins)?;
        Ok(found.is_some_and(|(_, found)| !found.is_empty()))
    }

    pub(crate) fn has_expired(&self) -> Result<bool> {
        self.inner.fresh()?;
        let slots: Vec<SlotId> = {
            let cache = lock(&self.inner.cache);
            let with_trash = |writes: &Seen<Writes>| writes.as_ref().is_ok_and(|it| it.trash > 0);
            let slots = cache.slots().filter(|(_, _, it)| with_trash(it));
            slots.map(|it| it.0).collect()
        };
        for slot in slots {
            if self.inner.has_expired(slot)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(crate) fn trash(&self, it: Entry, slot: SlotVersion, alike: Alike, reply: impl Reply<()>) {
        let how = Leaving::ToTrash(alike);
        let work = move |tx: &mut Tx<'_>| rules::trash(tx, it, slot, &how);
        self.write(
            vec![it.slot],
            Weight::REMOVAL,
            Some(of_leaving(it)),
            work,
            reply,
        );
    }

    pub(crate) fn restore(&self, it: Trashed, put: Put, reply: impl Reply<Stored>) {
        let weight = Weight {
            objects: 1,
            bytes: put.payload_bytes as usize,
        };
        let work = move |tx: &mut Tx<'_>| rules::restore(tx, it, &put);
        self.write(vec![it.entry.slot], weight, None, work, reply);
    }

    pub(crate) fn destroy_trashed(&self, it: Trashed, slot: SlotVersion, reply: impl Reply<()>) {
        let work = move |tx: &mut Tx<'_>| rules::destroy_trashed(tx, it, slot);
        self.write(vec![it.entry.slot], Weight::REMOVAL, None, work, reply);
    }

    pub(crate) fn purge(&self) -> Result<u64> {
        let slots: Vec<SlotId> = {
            self.inner.fresh()?;
            let cache = lock(&self.inner.cache);
            cache.slots().map(|it| it.0).collect()
        };
        let mut all = 0;
        for slot in slots {
            loop {
                if !self.inner.has_expired(slot)? {
                    break;
                }
                let purge = move |tx: &mut Tx<'_>| match tx.planned(slot)? {
                    Some(_) => tx.purge_some(slot, PURGED_AT_ONCE),
                    None => Ok(0),
                };
                let destroyed = self.write_now(vec![slot], purge)?;
                all += destroyed;
                if destroyed == 0 {
                    break;
                }
            }
        }
        Ok(all)
    }
}

impl Inner {
    /// An object in the trash, by its row.
    pub(super) fn trashed_in(&self, slot: SlotId, id: RowId) -> Result<Option<Read<InTrash>>> {
        let key = |writes: &Writes| vec![self.keys.trashed(at(slot, writes), id)];
        let Some((_, found)) = self.values(slot, key)? else {
            return Ok(None);
        };
        let value = found.into_iter().flatten().next();
        Ok(value.map(|value| trashed_of(slot, id, &value)))
    }

    fn trashed_by_id(&self, id: RowId) -> Result<Option<Read<InTrash>>> {
        match self.place_of(id)? {
            Some(place) if place.in_trash => self.trashed_in(place.slot, id),
            _ => Ok(None),
        }
    }

    /// Rows of a slot's trash with what is sealed in them, each read in one state with it: one that is restored meanwhile is
    /// sealed for its new handle. Those that are no more there are left out.
    pub(super) fn trashed_rows(&self, slot: SlotId, ids: &[RowId]) -> Result<Vec<TrashedRow>> {
        let mut rows = Vec::with_capacity(ids.len());
        for some in ids.chunks(MOST_OPERATIONS / 2) {
            let both = |writes: &Writes| {
                let at = at(slot, writes);
                let keys = some.iter().flat_map(|id| {
                    [
                        self.keys.trashed(at, *id),
                        self.keys.sealed(at, writes.sealing, *id),
                    ]
                });
                keys.collect()
            };
            let Some((_, values)) = self.values(slot, both)? else {
                return Ok(Vec::new());
            };
            for (id, both) in some.iter().zip(values.chunks(2)) {
                let [Some(found), row] = both else { continue };
                let row = row.as_ref().map(|it| SealedRow::stored(it.to_vec()));
                let found = trashed_of(slot, *id, found);
                rows.push((*id, found.map(|found| (found, row))));
            }
        }
        Ok(rows)
    }

    /// Up to `most` rows of a slot's trash after row `after`; none at the end. Keys that name no row are passed over.
    pub(super) fn list_trash(
        &self,
        slot: SlotId,
        after: RowId,
        most: usize,
    ) -> Result<Vec<Read<InTrash>>> {
        let until = self.client.deadline().settling;
        'again: loop {
            if Instant::now() >= until {
                return Err(self.too_busy());
            }
            let Some((_, writes)) = self.writes(slot)? else {
                return Ok(Vec::new());
            };
            let at = at(slot, &writes);
            let mut pages = Pages::rows(self.keys.all_trashed(at), writes.trash, most);
            let (mut from, mut revision) = (1, None);
            if ROW_IDS.contains(&after.0) {
                pages = pages.after(&self.keys.trashed(at, after));
                from = after.0.unsigned_abs() + 1;
            }
            while let Some(range) = pages.next() {
                let mut found = self.fetch_until(until, &[], &[(slot, range)])?;
                match found.writes.remove(&slot) {
                    None => return Ok(Vec::new()),
                    Some((read, now)) => {
                        let now = now.map_err(SlotFault::damaged(slot))?;
                        if now.epoch != writes.epoch || *revision.get_or_insert(read) != read {
                            continue 'again;
                        }
                    }
                }
                let pairs = found.ranges.pop().unwrap_or_default();
                pages.took(&pairs);
                let rows = pairs.iter().filter_map(|(key, value)| {
                    let id = Keys::row_of(key)?;
                    Some(trashed_of(slot, id, value))
                });
                let rows: Vec<_> = rows.collect();
                if let Some(last) = rows.last() {
                    let last = last.as_ref().map_or_else(|it| it.id, |it| it.it.entry.id);
                    self.tally_trash(
                        slot,
                        revision,
                        (from, last.0.unsigned_abs() + 1),
                        rows.len(),
                    );
                    return Ok(rows);
                }
            }
            self.tally_trash(slot, revision, (from, u64::MAX), 0);
            return Ok(Vec::new());
        }
    }

    /// All rows of a slot's trash, up to `most` at once.
    pub(super) fn each_trash_page(
        &self,
        slot: SlotId,
        most: usize,
        mut each: impl FnMut(Vec<Read<InTrash>>) -> Result<()>,
    ) -> Result<()> {
        let mut after = RowId(0);
        loop {
            let page = self.list_trash(slot, after, most)?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = last.as_ref().map_or_else(|it| it.id, |it| it.it.entry.id);
            each(page)?;
        }
    }

    fn tally_trash(&self, slot: SlotId, revision: Option<i64>, range: (u64, u64), count: usize) {
        if let Some(revision) = revision {
            self.tallies.trash.add(slot, revision, range, count);
        }
    }

    /// How many objects the trash of a slot counts, and how many are there; `None` without a slot.
    pub(super) fn count_trash(&self, slot: SlotId) -> Result<Option<(u64, u64)>> {
        let listed = || -> Result<Option<(u64, u64)>> {
            let Some((revision, writes)) = self.writes(slot)? else {
                return Ok(None);
            };
            let listed = self.tallies.trash.below(slot, revision, u64::MAX);
            Ok(listed.map(|listed| (writes.trash, listed)))
        };
        if let Some(listed) = listed()? {
            return Ok(Some(listed));
        }
        let counted = self.count(slot, |keys, at| keys.all_trashed(at))?;
        let Some((writes, there)) = counted.filter(|(writes, there)| writes.trash != *there) else {
            return Ok(counted.map(|(writes, there)| (writes.trash, there)));
        };
        // A key that names no row may be among them.
        self.each_trash_page(slot, LISTED_AT_ONCE, |_| Ok(()))?;
        Ok(Some(listed()?.unwrap_or((writes.trash, there))))
    }

    fn has_expired(&self, slot: SlotId) -> Result<bool> {
        let Some(now) = self.purging_clock(self.client.deadline().settling) else {
            return Ok(false);
        };
        let key = |_: &Writes| vec![self.keys.slot(slot)];
        let Some((writes, found)) = self.values(slot, key)? else {
            return Ok(false);
        };
        if writes.trash == 0 {
            return Ok(false);
        }
        let row = super::slots::slot_row(slot, &writes, found.first().and_then(|it| it.as_deref()));
        // With a damaged retention, nothing expires.
        let Some(before) = row.ok().and_then(|row| now.checked_sub(row.retention_secs)) else {
            return Ok(false);
        };
        let expired = |writes: &Writes| {
            let (start, end) = self
                .keys
                .trash_before(at(slot, writes), before.saturating_add(1));
            Range {
                start,
                end,
                limit: 1,
                keys_only: true,
            }
        };
        let found = self.range(slot, expired)?;
        Ok(!found.ok_or(missing(slot))?.1.is_empty())
    }
}
