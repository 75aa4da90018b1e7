//! The rows of a store inside a transaction, for the rules.

use std::sync::Arc;

use super::fetch::Range;
use super::keys::{Keys, end_of};
use super::tx::Tx;
use super::values::{self, Identity, InTrash, Object, Where};
use crate::error::{Error, Result, SlotFault};
use crate::rows::*;
use crate::rules::{Room, Rows, TakenRuns};
use slotfs_object::sealed::SealedRow;
use slotfs_object::{Handle, Ouid, RowId, SlotId, now_secs};

/// Handles that are asked for together when a free one is searched.
const WINDOW: u32 = 512;
/// Expired objects that a write destroys on its way.
const PURGED_ON_THE_WAY: i64 = 64;

impl Rows for Tx<'_> {
    fn version(&mut self, slot: SlotId) -> Result<Option<SlotVersion>> {
        let planned = self.planned(slot)?;
        Ok(planned.map(|it| it.writes.version(slot)))
    }

    fn room(&mut self, slot: SlotId) -> Result<Room> {
        let row = self.slot_row(slot)?;
        let writes = self.there(slot)?.writes;
        Ok(Room {
            capacity_objects: row.capacity_objects.min(crate::MOST_OBJECTS_IN_CLUSTER),
            capacity_bytes: row.capacity_bytes,
            objects: writes.objects,
            bytes: writes.bytes,
            next_id: 0,
            state_id: true,
            highest: writes.highest,
        })
    }

    fn new_id(&mut self, _room: &Room) -> Result<RowId> {
        self.inner.fresh_row(self.until)
    }

    fn identity(&mut self, slot: SlotId, ouid: Ouid) -> Result<Option<(Entry, SealedRow)>> {
        let at = self.place(slot)?;
        let key = self.inner.keys.identity(at, ouid);
        let Some(value) = self.value(slot, key)? else {
            return Ok(None);
        };
        let damaged = |id: i64, handle, what: String| DamagedRow {
            id: RowId(id),
            slot: Some(slot),
            handle,
            ouid: Some(ouid),
            in_trash: false,
            nth: None,
            what,
        };
        let found = Identity::decode(&value)
            .map_err(|what| Error::Object(damaged(values::id_of(&value), None, what)))?;
        let handle = Handle::new(found.handle);
        let broken = |what: &str| Error::Object(damaged(found.id.0, handle, what.to_owned()));
        let entry = self.at_handle(slot, found.handle)?;
        let entry =
            entry.ok_or_else(|| broken("its identity leads to a handle without an object"))?;
        if entry.id != found.id || entry.ouid != ouid {
            return Err(broken("its identity leads to another object"));
        }
        let row = self.sealed_row(&entry)?;
        let row = row.ok_or_else(|| broken("its sealed row is missing"))?;
        Ok(Some((entry, row)))
    }

    fn object(&mut self, it: &Entry) -> Result<Option<Entry>> {
        let found = self.at_handle(it.slot, it.handle.get())?;
        Ok(found.filter(|found| found.id == it.id))
    }

    fn sealed(&mut self, it: &Entry) -> Result<Option<SealedRow>> {
        self.sealed_row(it)
    }

    fn is_taken(&mut self, slot: SlotId, handle: Handle) -> Result<bool> {
        let at = self.place(slot)?;
        let key = self.inner.keys.handle(at, handle.get());
        Ok(self.value(slot, key)?.is_some())
    }

    fn first_gap(&mut self, slot: SlotId, from: u32) -> Result<Option<u32>> {
        let at = self.place(slot)?;
        let mut expected = from;
        loop {
            // Windows that begin at the same handles are asked for once in a transaction.
            let start = expected - expected % WINDOW;
            let after = start.checked_add(WINDOW);
            let keys = &self.inner.keys;
            let end = match after {
                Some(after) => keys.handle(at, after),
                None => end_of(&keys.handles(at)),
            };
            let window = Range {
                start: keys.handle(at, start),
                end,
                limit: 0,
                keys_only: true,
            };
            for (key, _) in &self.range(slot, window)? {
                match Keys::handle_of(key) {
                    // It is no object, and one with a handle may come after it.
                    None => {}
                    Some(taken) if taken < expected => {}
                    Some(taken) if taken == expected => match expected.checked_add(1) {
                        Some(next) => expected = next,
                        None => return Ok(None),
                    },
                    _ => return Ok(Some(expected)),
                }
            }
            if Some(expected) != after {
                return Ok(Some(expected));
            }
        }
    }

    fn taken_runs(&mut self) -> &mut TakenRuns {
        &mut self.runs
    }

    fn insert(
        &mut self,
        slot: SlotId,
        at: Place,
        row: &SealedRow,
        _room: &Room,
        _given: bool,
    ) -> Result<()> {
        let entry = Entry {
            id: at.id,
            slot,
            handle: at.handle,
            ouid: at.ouid,
            payload_bytes: at.payload_bytes,
            created_secs: at.created_secs,
            changed_secs: at.changed_secs,
        };
        self.put_object(Object {
            entry,
            stored_secs: now_secs(),
        })?;
        self.put_sealed(&entry, row)?;
        self.change(slot, |writes| {
            writes.objects += 1;
            writes.bytes += u64::from(at.payload_bytes);
            writes.highest = writes.highest.max(at.handle.get());
        })
    }

    fn renumber(&mut self, it: &Entry, to: Handle, row: &SealedRow) -> Result<()> {
        let (slot, at) = (it.slot, self.place(it.slot)?);
        let stored_secs = self.stored_secs(it)?;
        let old = self.inner.keys.handle(at, it.handle.get());
        self.set(slot, old, None);
        let entry = Entry { handle: to, ..*it };
        self.put_object(Object { entry, stored_secs })?;
        self.put_sealed(&entry, row)?;
        self.change(slot, |writes| {
            writes.highest = writes.highest.max(to.get());
        })?;
        self.lower_highest(slot, it.handle.get())
    }

    fn delete(&mut self, it: &Entry) -> Result<()> {
        self.take_out(it)?;
        let (slot, at) = (it.slot, self.place(it.slot)?);
        let sealing = self.there(slot)?.writes.sealing;
        let sealed = self.inner.keys.sealed(at, sealing, it.id);
        let row = self.inner.keys.row(it.id);
        self.set(slot, sealed, None);
        self.set(slot, row, None);
        Ok(())
    }

    fn twins(&mut self, slot: SlotId, ouid: Ouid) -> Result<Vec<(Entry, SealedRow)>> {
        let at = self.place(slot)?;
        let of_identity = Range::keys(self.inner.keys.trash_identities(at, ouid));
        let keys = self.range(slot, of_identity)?;
        let ids: Vec<RowId> = keys.iter().filter_map(|it| Keys::row_of(&it.0)).collect();
        self.prefetch_trashed(slot, &ids, true)?;
        let mut twins = Vec::new();
        for id in ids {
            let Some(found) = self.in_trash(slot, id)? else {
                continue;
            };
            let Ok(found) = found else { continue };
            let entry = found.it.entry;
            if let Some(row) = self.sealed_row(&entry)? {
                twins.push((entry, row));
            }
        }
        Ok(twins)
    }

    fn trash_use(&mut self, slot: SlotId) -> Result<(u64, u64)> {
        let row = self.slot_row(slot)?;
        let capacity = row.capacity_objects.min(crate::MOST_OBJECTS_IN_CLUSTER);
        Ok((capacity, self.there(slot)?.writes.trash))
    }

    fn to_trash(&mut self, it: &Entry) -> Result<()> {
        let (slot, at) = (it.slot, self.place(it.slot)?);
        let stored_secs = self.stored_secs(it)?;
        let names = Range {
            keys_only: true,
            ..Range::prefix(self.inner.keys.trash_names(at, it.handle))
        };
        let names = self.range(slot, names)?;
        // Numbers are in the order of the keys.
        let mut last_first = names.iter().rev();
        let last = last_first.find_map(|(key, _)| Keys::handle_of(key));
        let found = InTrash {
            it: Trashed {
                entry: *it,
                nth: last.unwrap_or(0).saturating_add(1),
                trashed_secs: now_secs(),
            },
            stored_secs,
        };
        self.take_out(it)?;
        self.put_trashed(found)?;
        self.change(slot, |writes| writes.trash += 1)
    }

    fn trashed(&mut self, it: &Trashed) -> Result<Option<Read<Trashed>>> {
        let found = self.in_trash(it.entry.slot, it.entry.id)?;
        Ok(found.map(|found| found.map(|found| found.it)))
    }

    fn take_from_trash(&mut self, it: &Entry) -> Result<()> {
        let (slot, at) = (it.slot, self.place(it.slot)?);
        let Some(Ok(found)) = self.in_trash(slot, it.id)? else {
            return Err(Error::Gone);
        };
        let (entry, keys) = (found.it.entry, &self.inner.keys);
        let sealing = self.there(slot)?.writes.sealing;
        let gone = [
            keys.trashed(at, entry.id),
            keys.trash_name(at, entry.handle, found.it.nth),
            keys.trash_identity(at, entry.ouid, entry.id),
            keys.trash_time(at, found.it.trashed_secs, entry.id),
            keys.sealed(at, sealing, entry.id),
            keys.row(entry.id),
        ];
        for key in gone {
            self.set(slot, key, None);
        }
        self.change(slot, |writes| {
            writes.trash = writes.trash.saturating_sub(1);
        })
    }

    fn purge(&mut self, slot: SlotId) -> Result<()> {
        // Where others write at the same time, there is no time for what a daemon does every minute anyway.
        if self.again {
            return Ok(());
        }
        self.purge_some(slot, PURGED_ON_THE_WAY).map(drop)
    }

    fn together<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<Result<T>>,
    ) -> Result<Result<T>> {
        let mark = self.mark();
        let done = work(self)?;
        if done.is_err() {
            self.go_back(mark);
        }
        Ok(done)
    }
}

impl Tx<'_> {
    /// The object under a handle.
    pub(super) fn at_handle(&mut self, slot: SlotId, handle: u32) -> Result<Option<Entry>> {
        let found = self.object_at(slot, handle)?;
        let found = found.transpose().map_err(Error::Object)?;
        Ok(found.map(|found| found.entry))
    }

    pub(super) fn object_at(&mut self, slot: SlotId, handle: u32) -> Result<Option<Read<Object>>> {
        let at = self.place(slot)?;
        let value = self.value(slot, self.inner.keys.handle(at, handle))?;
        Ok(value.map(|value| object_of(slot, handle, &value)))
    }

    fn stored_secs(&mut self, it: &Entry) -> Result<u64> {
        let found = self.object_at(it.slot, it.handle.get())?;
        let found = found.transpose().map_err(Error::Object)?;
        found.map(|found| found.stored_secs).ok_or(Error::Gone)
    }

    pub(super) fn sealed_row(&mut self, it: &Entry) -> Result<Option<SealedRow>> {
        let at = self.place(it.slot)?;
        let sealing = self.there(it.slot)?.writes.sealing;
        let key = self.inner.keys.sealed(at, sealing, it.id);
        let value = self.value(it.slot, key)?;
        Ok(value.map(|value| SealedRow::stored(value.to_vec())))
    }

    pub(super) fn in_trash(&mut self, slot: SlotId, id: RowId) -> Result<Option<Read<InTrash>>> {
        let at = self.place(slot)?;
        let value = self.value(slot, self.inner.keys.trashed(at, id))?;
        Ok(value.map(|value| trashed_of(slot, id, &value)))
    }

    /// Reads some rows of the trash in few questions, with what is sealed in them if `sealed`.
    fn prefetch_trashed(&mut self, slot: SlotId, ids: &[RowId], sealed: bool) -> Result<()> {
        let at = self.place(slot)?;
        let (sealing, keys) = (self.there(slot)?.writes.sealing, &self.inner.keys);
        let mut wanted = Vec::new();
        for id in ids {
            wanted.push((slot, keys.trashed(at, *id)));
            if sealed {
                wanted.push((slot, keys.sealed(at, sealing, *id)));
            }
        }
        self.prefetch(wanted, Vec::new())
    }

    /// The keys of an object among the objects, but for its sealed row.
    pub(super) fn put_object(&mut self, object: Object) -> Result<()> {
        let entry = object.entry;
        let (slot, at) = (entry.slot, self.place(entry.slot)?);
        let keys = &self.inner.keys;
        let (id, handle) = (entry.id, entry.handle.get());
        let (by_handle, by_identity) = (keys.handle(at, handle), keys.identity(at, entry.ouid));
        let row = keys.row(id);
        self.set(slot, by_handle, Some(object.encode()));
        self.set(slot, by_identity, Some(Identity { id, handle }.encode()));
        let place = Where {
            slot,
            epoch: at.epoch,
            handle,
            in_trash: false,
        };
        self.set(slot, row, Some(place.encode()));
        Ok(())
    }

    pub(super) fn put_sealed(&mut self, it: &Entry, row: &SealedRow) -> Result<()> {
        let at = self.place(it.slot)?;
        let sealing = self.there(it.slot)?.writes.sealing;
        let key = self.inner.keys.sealed(at, sealing, it.id);
        self.set(it.slot, key, Some(row.bytes().to_vec()));
        Ok(())
    }

    /// The keys of an object in the trash, but for its sealed row.
    pub(super) fn put_trashed(&mut self, found: InTrash) -> Result<()> {
        let it = found.it;
        let (slot, at) = (it.entry.slot, self.place(it.entry.slot)?);
        let keys = &self.inner.keys;
        let place = Where {
            slot,
            epoch: at.epoch,
            handle: it.entry.handle.get(),
            in_trash: true,
        };
        let id = values::number(it.entry.id.0.unsigned_abs());
        for (key, value) in [
            (keys.trashed(at, it.entry.id), found.encode()),
            (keys.trash_name(at, it.entry.handle, it.nth), id),
            (
                keys.trash_identity(at, it.entry.ouid, it.entry.id),
                Vec::new(),
            ),
            (
                keys.trash_time(at, it.trashed_secs, it.entry.id),
                Vec::new(),
            ),
            (keys.row(it.entry.id), place.encode()),
        ] {
            self.set(slot, key, Some(value));
        }
        Ok(())
    }

    /// Takes an object out of the lists of its slot; its sealed row and its place stay.
    fn take_out(&mut self, it: &Entry) -> Result<()> {
        let (slot, at) = (it.slot, self.place(it.slot)?);
        let by_handle = self.inner.keys.handle(at, it.handle.get());
        let by_identity = self.inner.keys.identity(at, it.ouid);
        self.set(slot, by_handle, None);
        self.set(slot, by_identity, None);
        self.change(slot, |writes| {
            writes.objects = writes.objects.saturating_sub(1);
            writes.bytes = writes.bytes.saturating_sub(it.payload_bytes.into());
        })?;
        self.lower_highest(slot, it.handle.get())
    }

    /// Finds the highest handle again after `gone` is free. It is searched downwards in windows that grow: etcd would read
    /// a whole range to sort it.
    fn lower_highest(&mut self, slot: SlotId, gone: u32) -> Result<()> {
        if self.there(slot)?.writes.highest != gone {
            return Ok(());
        }
        let at = self.place(slot)?;
        let (mut above, mut window) = (gone, WINDOW);
        let highest = loop {
            let from = above.saturating_sub(window).max(1);
            if above <= 1 {
                break 0;
            }
            let keys = &self.inner.keys;
            let range = Range {
                start: keys.handle(at, from),
                end: keys.handle(at, above),
                limit: 0,
                keys_only: true,
            };
            // A window that grew may meet many: the upper half of it then.
            if window > WINDOW && self.count(slot, &range)? > WINDOW.into() {
                window /= 2;
                continue;
            }
            let there = self.range(slot, range)?;
            let mut last_first = there.iter().rev();
            if let Some(highest) = last_first.find_map(|(key, _)| Keys::handle_of(key)) {
                break highest;
            }
            (above, window) = (from, window.saturating_mul(2));
        };
        self.change(slot, |writes| writes.highest = highest)
    }

    /// Destroys up to `most` objects in the trash of a slot that are past its retention; how many.
    pub(super) fn purge_some(&mut self, slot: SlotId, most: i64) -> Result<u64> {
        if self.there(slot)?.writes.trash == 0 {
            return Ok(0);
        }
        // Where the hosts' clocks differ, nothing is old.
        let Some(now) = self.inner.purging_clock(self.until) else {
            return Ok(0);
        };
        let retention = self.slot_row(slot)?.retention_secs;
        let Some(before) = now.checked_sub(retention) else {
            return Ok(0);
        };
        let at = self.place(slot)?;
        let (start, end) = self.inner.keys.trash_before(at, before.saturating_add(1));
        let expired = Range {
            start,
            end,
            limit: most,
            keys_only: true,
        };
        let expired = self.range(slot, expired)?;
        let ids: Vec<RowId> = expired
            .iter()
            .filter_map(|it| Keys::row_of(&it.0))
            .collect();
        self.prefetch_trashed(slot, &ids, false)?;
        let mut purged = 0;
        for id in ids {
            // What is damaged stays, until somebody destroys it.
            if let Some(Ok(found)) = self.in_trash(slot, id)? {
                self.take_from_trash(&found.it.entry)?;
                purged += 1;
            }
        }
        Ok(purged)
    }
}

/// What the value under a handle says.
pub(super) fn object_of(slot: SlotId, handle: u32, value: &Arc<[u8]>) -> Read<Object> {
    object_in(slot, handle, value)
}

/// The same of a value that is borrowed.
pub(super) fn object_in(slot: SlotId, handle: u32, value: &[u8]) -> Read<Object> {
    Object::decode(slot, handle, value).map_err(|what| DamagedRow {
        id: RowId(values::id_of(value)),
        slot: Some(slot),
        handle: Handle::new(handle),
        ouid: None,
        in_trash: false,
        nth: None,
        what,
    })
}

/// What a value in the trash says.
pub(super) fn trashed_of(slot: SlotId, id: RowId, value: &[u8]) -> Read<InTrash> {
    let found = InTrash::decode(slot, value).and_then(|found| match found.it.entry.id == id {
        true => Ok(found),
        false => Err(format!("its value is that of row {}", found.it.entry.id)),
    });
    found.map_err(|what| DamagedRow {
        id,
        slot: Some(slot),
        handle: None,
        ouid: None,
        in_trash: true,
        nth: None,
        what,
    })
}

/// The error of a slot that is not there.
pub(super) fn missing(slot: SlotId) -> Error {
    SlotFault::Missing.at(slot)
}
