//! Reading objects.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use etcd_client::{Txn, TxnOp};

use super::ask::{gets, transact};
use super::cache::Value;
use super::fetch::{MOST_OPERATIONS, Range};
use super::keys::{Key, Place as At, end_of};
use super::list::Numbered;
use super::rows::{missing, object_of};
use super::values::{Identity, Object, Where, Writes};
use super::{Inner, Store, lock};
use crate::error::{Error, Result, SlotFault};
use crate::rows::*;
use slotfs_object::sealed::SealedRow;
use slotfs_object::{Handle, Ouid, RowId, SlotId};

/// The most guesses where a row is that are kept.
const MOST_GUESSES: usize = 200_000;
/// Rows that are read and not asked for, when that takes fewer questions. The largest has 64 KiB.
const MOST_OTHERS: i64 = 64;
/// How often it is looked up again where a row is that another host is moving.
const MOST_LOOKS: u32 = 8;

/// An object and what is sealed in it.
type SealedObject = Read<(Entry, SealedRow)>;

impl Store {
    pub(crate) fn by_handle(&self, slot: SlotId, handle: Handle) -> Result<Option<Entry>> {
        let found = self.inner.object_at(slot, handle.get())?;
        whole(found.map(|found| found.map(|it| it.entry)))
    }

    pub(crate) fn by_id(&self, id: RowId) -> Result<Option<Entry>> {
        whole(self.inner.by_id(id)?)
    }

    pub(crate) fn by_ouid(&self, slot: SlotId, ouid: Ouid) -> Result<Option<Entry>> {
        let keys = &self.inner.keys;
        let by_identity = |writes: &Writes| vec![keys.identity(at(slot, writes), ouid)];
        for _ in 0..MOST_LOOKS {
            let Some((_, found)) = self.inner.values(slot, by_identity)? else {
                return Ok(None);
            };
            let Some(value) = found.into_iter().flatten().next() else {
                return Ok(None);
            };
            let found = Identity::decode(&value)
                .map_err(|what| SlotFault::Damaged(format!("identity {ouid}: {what}")).at(slot))?;
            let entry = whole(self.inner.object_at(slot, found.handle)?)?;
            // Else it got another handle between the two questions.
            if let Some(found) = entry.filter(|it| it.entry.ouid == ouid) {
                return Ok(Some(found.entry));
            }
        }
        Ok(None)
    }

    pub(crate) fn rows_with_ouid(&self, slots: &[SlotId], ouid: Ouid) -> Result<Vec<RowId>> {
        let inner = &self.inner;
        inner.fresh()?;
        let (mut found, mut unknown) = (Vec::new(), Vec::new());
        {
            let cache = lock(&inner.cache);
            for slot in slots {
                let Some((revision, Ok(writes))) = cache.writes(*slot) else {
                    continue;
                };
                let key = inner.keys.identity(at(*slot, writes), ouid);
                match cache.value(*slot, revision, &key) {
                    Some(value) => found.push((*slot, value)),
                    None => unknown.push((*slot, key)),
                }
            }
        }
        for some in unknown.chunks(MOST_OPERATIONS / 2) {
            let asked = inner.fetch(some, &[])?;
            found.extend(some.iter().map(|it| it.0).zip(asked.values));
        }
        found.sort_by_key(|it| it.0);
        let ids = found.into_iter().filter_map(|(_, value)| {
            let found = Identity::decode(value.as_ref()?).ok()?;
            Some(found.id)
        });
        Ok(ids.collect())
    }

    pub(crate) fn list(&self, slot: SlotId, after: u32, most: usize) -> Result<Vec<Read<Entry>>> {
        let listed = self.inner.list(slot, after, most)?;
        Ok(listed
            .into_iter()
            .map(|(_, found)| found.map(|it| it.entry))
            .collect())
    }

    /// A handle is a part of the key, so each object has one.
    pub(crate) fn nameless(&self, slot: SlotId, name: NameColumn) -> Result<Vec<DamagedRow>> {
        let mut nameless = Vec::new();
        if name == NameColumn::Ouid {
            self.inner.for_each(slot, |_, found| {
                nameless.extend(found.as_ref().err().cloned());
            })?;
        }
        Ok(nameless)
    }

    pub(crate) fn count_listed(&self, slot: SlotId) -> Result<(u64, Result<u64>)> {
        let inner = &self.inner;
        if let Some((writes, listed)) = inner.listed_whole(slot)? {
            return Ok((listed, Ok(writes.objects)));
        }
        let Some((writes, there)) = inner.count(slot, |keys, at| keys.handles(at))? else {
            return Ok((0, Err(missing(slot))));
        };
        if there != writes.objects {
            // A key that names no object may be among them, or one above the highest handle.
            inner.for_each(slot, |_, _| {})?;
            if let Some((writes, listed)) = inner.listed_whole(slot)? {
                return Ok((listed, Ok(writes.objects)));
            }
        }
        Ok((there, Ok(writes.objects)))
    }

    pub(crate) fn ids(&self, slot: SlotId) -> Result<Vec<RowId>> {
        let mut ids = Vec::new();
        self.inner.for_each(slot, |_, found| {
            ids.push(match found {
                Ok(found) => found.entry.id,
                Err(damaged) => damaged.id,
            });
        })?;
        Ok(ids)
    }

    pub(crate) fn places(&self, slot: SlotId) -> Result<Vec<(Handle, RowId)>> {
        let mut places = Vec::new();
        self.inner.for_each(slot, |_, found| {
            if let Ok(found) = found {
                places.push((found.entry.handle, found.entry.id));
            }
        })?;
        Ok(places)
    }

    pub(crate) fn sealed(&self, id: RowId) -> Result<Option<(Entry, SealedRow)>> {
        for _ in 0..MOST_LOOKS {
            let Some(entry) = whole(self.inner.by_id(id)?)? else {
                return Ok(None);
            };
            if let Some(found) = self.inner.sealed_at(entry.slot, entry.handle)?
                && found.0.id == id
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    pub(crate) fn list_sealed(
        &self,
        slot: SlotId,
        after: u32,
        most: usize,
        most_bytes: usize,
    ) -> Result<Vec<SealedObject>> {
        let mut after = after;
        loop {
            let (found, last) = self.list_sealed_once(slot, after, most, most_bytes)?;
            match last {
                // All that was listed went away before it was read, and there may be more after it.
                Some(last) if found.is_empty() => after = last,
                _ => return Ok(found),
            }
        }
    }

    /// The same, and the last handle that was listed.
    fn list_sealed_once(
        &self,
        slot: SlotId,
        after: u32,
        most: usize,
        most_bytes: usize,
    ) -> Result<(Vec<SealedObject>, Option<u32>)> {
        let before = self.inner.writes(slot)?.map(|it| it.0);
        let listed = self.inner.list(slot, after, most)?;
        let last = listed.last().map(|it| it.0);
        self.inner.read_sealed(slot, &listed, most_bytes)?;
        let (mut found, mut bytes) = (Vec::new(), 0);
        for some in listed.chunks(MOST_OPERATIONS / 2) {
            let ids = some.iter().filter_map(|(_, it)| it.as_ref().ok());
            let ids: Vec<RowId> = ids.map(|it| it.entry.id).collect();
            let mut rows = self.inner.sealed_rows(slot, &ids)?;
            let now = lock(&self.inner.cache).writes(slot).map(|it| it.0);
            let mut objects = some.to_vec();
            if now != before {
                // Somebody wrote since they were listed: a row may be sealed for another handle by now.
                (objects, rows) = self.inner.objects_with_rows(slot, some)?;
            }
            let mut rows = rows.into_iter();
            for (handle, object) in objects {
                if bytes >= most_bytes {
                    return Ok((found, last));
                }
                match object {
                    Err(damaged) => found.push(Err(damaged)),
                    Ok(object) => match rows.next().flatten() {
                        Some(row) => {
                            bytes += row.bytes().len();
                            found.push(Ok((object.entry, row)));
                        }
                        // What went away meanwhile is not there.
                        None => found.extend(self.inner.sealed_or_damaged(slot, handle)?),
                    },
                }
            }
        }
        Ok((found, last))
    }

    pub(crate) fn sealed_by_handle(
        &self,
        slot: SlotId,
        handle: Handle,
    ) -> Result<Option<(Entry, SealedRow)>> {
        self.inner.sealed_at(slot, handle)
    }

    pub(crate) fn has_objects(&self, slot: SlotId) -> Result<bool> {
        Ok(!self.inner.list(slot, 0, 1)?.is_empty())
    }

    pub(crate) fn count_common(&self, one: SlotId, other: SlotId) -> Result<i64> {
        let identities = |slot| -> Result<HashSet<Ouid>> {
            let mut all = HashSet::new();
            self.inner.for_each(slot, |_, found| {
                all.extend(found.as_ref().ok().map(|it| it.entry.ouid));
            })?;
            Ok(all)
        };
        let (one, other) = (identities(one)?, identities(other)?);
        Ok(i64::try_from(one.intersection(&other).count()).unwrap_or(i64::MAX))
    }
}

/// The first and the last of ids that leave few out between them. Each of those may be a large object in another place.
fn dense(ids: &[RowId]) -> Option<(RowId, RowId)> {
    let (first, last) = (ids.iter().min()?, ids.iter().max()?);
    let rows = last.0.checked_sub(first.0)?.checked_add(1)?;
    let others = rows.checked_sub(i64::try_from(ids.len()).ok()?)?;
    (others <= MOST_OTHERS).then_some((*first, *last))
}

/// A damaged row is an error.
pub(super) fn whole<T>(found: Option<Read<T>>) -> Result<Option<T>> {
    found.transpose().map_err(Error::Object)
}

/// Where the rows of a slot lie.
pub(super) fn at(slot: SlotId, writes: &Writes) -> At {
    At {
        slot,
        epoch: writes.epoch,
    }
}

impl Inner {
    /// The object under a handle.
    pub(super) fn object_at(&self, slot: SlotId, handle: u32) -> Result<Option<Read<Object>>> {
        let Some((revision, writes)) = self.writes(slot)? else {
            return Ok(None);
        };
        if let Some(listed) = self.listed(slot, revision, handle) {
            // It is asked for again beside its sealed row.
            if let Some(Ok(object)) = &listed {
                let key = self.keys.handle(at(slot, &writes), handle);
                let value = Some(Arc::from(object.encode()));
                lock(&self.cache).learn(slot, revision, key, value);
            }
            return Ok(listed);
        }
        self.look_around(slot, (revision, &writes), handle)?;
        let by_handle = |writes: &Writes| vec![self.keys.handle(at(slot, writes), handle)];
        let Some((_, found)) = self.values(slot, by_handle)? else {
            return Ok(None);
        };
        let value = found.into_iter().flatten().next();
        let found = value.map(|value| object_of(slot, handle, &value));
        if let Some(Ok(object)) = &found {
            self.guess(object);
        }
        Ok(found)
    }

    /// What a listing found under a handle, as long as nobody wrote to the slot since; `None` where none looked there.
    fn listed(&self, slot: SlotId, revision: i64, handle: u32) -> Option<Option<Read<Object>>> {
        let ahead = lock(&self.ahead);
        let ahead = ahead.as_ref()?;
        let is_there = (ahead.slot, ahead.revision) == (slot, revision)
            && (ahead.from..ahead.to).contains(&handle.into());
        let find = || ahead.found.binary_search_by_key(&handle, |it| it.0).ok();
        is_there.then(|| find().map(|it| ahead.found[it].1.clone()))
    }

    /// Remembers where a row was seen.
    pub(super) fn guess(&self, object: &Object) {
        let mut guesses = lock(&self.guesses);
        if guesses.len() >= MOST_GUESSES {
            guesses.clear();
        }
        let entry = object.entry;
        guesses.insert(entry.id, (entry.slot, entry.handle.get()));
    }

    /// The object in a row.
    pub(super) fn by_id(&self, id: RowId) -> Result<Option<Read<Entry>>> {
        let guess = lock(&self.guesses).get(&id).copied();
        if let Some((slot, handle)) = guess
            && let Some(Ok(found)) = self.object_at(slot, handle)?
            && found.entry.id == id
        {
            return Ok(Some(Ok(found.entry)));
        }
        let mut before = None;
        for _ in 0..MOST_LOOKS {
            let Some(place) = self.place_of(id)? else {
                return Ok(None);
            };
            let there = self.writes(place.slot)?;
            if place.in_trash || there.is_none_or(|(_, writes)| writes.epoch != place.epoch) {
                return Ok(None);
            }
            match self.object_at(place.slot, place.handle)? {
                Some(Ok(found)) if found.entry.id == id => return Ok(Some(Ok(found.entry))),
                Some(Err(damaged)) if damaged.id == id => return Ok(Some(Err(damaged))),
                // Another host moved it between both questions, or the place is wrong.
                _ if before == Some(place) => return Ok(None),
                _ => before = Some(place),
            }
        }
        Ok(None)
    }

    /// Where a row is, by the cluster.
    pub(super) fn place_of(&self, id: RowId) -> Result<Option<Where>> {
        let txn = Txn::new().and_then([TxnOp::get(self.keys.row(id), None)]);
        let answer = transact(&self.client, self.client.deadline().settling, txn);
        let answer = answer.outcome.map_err(|why| self.failed(why))?;
        let found = gets(&answer);
        let Some(value) = found.first().and_then(|it| it.kvs().first()) else {
            return Ok(None);
        };
        let place = Where::decode(value.value());
        place
            .map(Some)
            .map_err(|what| Error::Damaged(format!("row {id}: {what}")))
    }

    /// The object under a handle with its sealed row.
    fn sealed_at(&self, slot: SlotId, handle: Handle) -> Result<Option<(Entry, SealedRow)>> {
        whole(self.sealed_or_damaged(slot, handle.get())?)
    }

    pub(super) fn sealed_or_damaged(
        &self,
        slot: SlotId,
        handle: u32,
    ) -> Result<Option<Read<(Entry, SealedRow)>>> {
        let until = self.client.deadline().settling;
        while Instant::now() < until {
            let object = match self.object_at(slot, handle)? {
                None => return Ok(None),
                Some(Err(damaged)) => return Ok(Some(Err(damaged))),
                Some(Ok(object)) => object,
            };
            let id = object.entry.id;
            let next = self.next_to_read(slot, handle, id)?;
            let both = |writes: &Writes| {
                let at = at(slot, writes);
                let mut keys = vec![
                    self.keys.handle(at, handle),
                    self.keys.sealed(at, writes.sealing, id),
                ];
                let next = next.iter();
                keys.extend(next.map(|id| self.keys.sealed(at, writes.sealing, *id)));
                keys
            };
            let Some((_, found)) = self.values(slot, both)? else {
                return Ok(None);
            };
            let mut found = found.into_iter();
            let (now, row) = (found.next().flatten(), found.next().flatten());
            let Some(now) = now else { return Ok(None) };
            match object_of(slot, handle, &now) {
                Ok(now) if now.entry.id == id => {
                    let damaged = || DamagedRow {
                        id,
                        slot: Some(slot),
                        handle: Handle::new(handle),
                        ouid: Some(now.entry.ouid),
                        in_trash: false,
                        nth: None,
                        what: "its sealed row is missing".to_owned(),
                    };
                    let row = row.map(|row| (now.entry, SealedRow::stored(row.to_vec())));
                    return Ok(Some(row.ok_or_else(damaged)));
                }
                // Another object has the handle by now.
                Ok(_) => {}
                Err(damaged) => return Ok(Some(Err(damaged))),
            }
        }
        Err(self.too_busy())
    }

    /// The rows that will be read next, where objects are read one after the other, as by `cat *`, rsync and the list of keys
    /// of a token. Nothing for a row that is known.
    fn next_to_read(&self, slot: SlotId, handle: u32, id: RowId) -> Result<Vec<RowId>> {
        /// Rows, and bytes of payload, that are read ahead.
        const MOST: usize = 32;
        const MOST_BYTES: u64 = 512 << 10;
        let last = lock(&self.last_read).replace((slot, handle));
        let Some((revision, writes)) = self.writes(slot)? else {
            return Ok(Vec::new());
        };
        let known = |id: RowId| {
            let key = self.keys.sealed(at(slot, &writes), writes.sealing, id);
            lock(&self.cache).value(slot, revision, &key).is_some()
        };
        let ahead = lock(&self.ahead);
        let Some(ahead) = ahead
            .as_ref()
            .filter(|it| (it.slot, it.revision) == (slot, revision))
        else {
            return Ok(Vec::new());
        };
        let here = ahead.found.partition_point(|it| it.0 < handle);
        let before = here.checked_sub(1).and_then(|it| ahead.found.get(it));
        if before.is_none_or(|it| last != Some((slot, it.0))) || known(id) {
            return Ok(Vec::new());
        }
        let mut bytes = 0;
        let next = ahead.found.iter().skip(here + 1).take(MOST);
        let next = next.map_while(|(_, object)| {
            let entry = object.as_ref().ok()?.entry;
            bytes += u64::from(entry.payload_bytes);
            (bytes <= MOST_BYTES).then_some(entry.id)
        });
        Ok(next.collect())
    }

    /// Reads the sealed rows of the first of `listed`, as many as have `most_bytes`, in questions that are sent at once.
    fn read_sealed(
        &self,
        slot: SlotId,
        listed: &[(u32, Read<Object>)],
        most_bytes: usize,
    ) -> Result<()> {
        let Some((revision, writes)) = self.writes(slot)? else {
            return Ok(());
        };
        let (place, mut bytes) = (at(slot, &writes), 0);
        let (mut keys, mut ids) = (Vec::new(), Vec::new());
        for (_, object) in listed {
            let Ok(object) = object else { continue };
            if bytes >= most_bytes {
                break;
            }
            bytes += object.entry.payload_bytes as usize;
            let key = self.keys.sealed(place, writes.sealing, object.entry.id);
            if lock(&self.cache).value(slot, revision, &key).is_none() {
                keys.push((slot, key));
                ids.push(object.entry.id);
            }
        }
        if keys.len() > MOST_OPERATIONS
            && let Some((first, last)) = dense(&ids)
        {
            // They were made one after the other, and lie so.
            let row = |id| self.keys.sealed(place, writes.sealing, id);
            let range = Range {
                start: row(first),
                end: end_of(&row(last)),
                limit: 0,
                keys_only: false,
            };
            let found = self.fetch(&[], &[(slot, range)])?;
            if let Some((revision, _)) = found.writes.get(&slot) {
                let mut cache = lock(&self.cache);
                for (key, value) in found.ranges.into_iter().flatten() {
                    cache.learn(slot, *revision, key, Some(value.into()));
                }
            }
            return Ok(());
        }
        let until = self.client.deadline().settling;
        self.fetch_at_once(until, &keys).map(drop)
    }

    /// Objects that were listed as they are now, with their sealed rows, which are those of the ones that can be read. What is
    /// no more under its handle has no row.
    fn objects_with_rows(
        &self,
        slot: SlotId,
        listed: &[(u32, Read<Object>)],
    ) -> Result<(Vec<Numbered>, Vec<Option<SealedRow>>)> {
        let keys = |writes: &Writes| -> Vec<Key> {
            let at = at(slot, writes);
            let handles = listed
                .iter()
                .map(|(handle, _)| self.keys.handle(at, *handle));
            let ids = listed.iter().filter_map(|(_, it)| it.as_ref().ok());
            let rows = ids.map(|it| self.keys.sealed(at, writes.sealing, it.entry.id));
            handles.chain(rows).collect()
        };
        let Some((_, values)) = self.values(slot, keys)? else {
            return Ok((Vec::new(), Vec::new()));
        };
        let (now, rows) = values.split_at(listed.len().min(values.len()));
        let mut rows = rows.iter();
        let (mut objects, mut sealed) = (Vec::new(), Vec::new());
        for ((handle, before), now) in listed.iter().zip(now) {
            let row = before.as_ref().ok().and_then(|_| rows.next());
            let Some(now) = now else { continue };
            let now = object_of(slot, *handle, now);
            if let Ok(now) = &now {
                let same = before.as_ref().is_ok_and(|it| it.entry.id == now.entry.id);
                let row = row.and_then(Option::as_ref).filter(|_| same);
                sealed.push(row.map(|row| SealedRow::stored(row.to_vec())));
            }
            objects.push((*handle, now));
        }
        Ok((objects, sealed))
    }

    /// The sealed rows of some ids, at most as many as one question takes.
    pub(super) fn sealed_rows(
        &self,
        slot: SlotId,
        ids: &[RowId],
    ) -> Result<Vec<Option<SealedRow>>> {
        let keys = |writes: &Writes| -> Vec<Key> {
            let at = at(slot, writes);
            let keys = ids.iter();
            keys.map(|id| self.keys.sealed(at, writes.sealing, *id))
                .collect()
        };
        let found: Option<(Writes, Vec<Value>)> = match ids.is_empty() {
            true => None,
            false => self.values(slot, keys)?,
        };
        let found = found.map_or_else(Vec::new, |(_, values)| values);
        let row = |value: Value| value.map(|it| SealedRow::stored(it.to_vec()));
        Ok(found.into_iter().map(row).collect())
    }
}
