//! Correcting counts and the counter of row ids, and destroying what is damaged.

use std::time::Instant;

use etcd_client::{Compare, CompareOp, Txn, TxnOp};

use super::is_id;
use crate::Reply;
use crate::error::{Error, Result, SlotFault, StoreFault};
use crate::etcd::ask::transact;
use crate::etcd::committer::Weight;
use crate::etcd::fetch::Range;
use crate::etcd::keys::{Key, Keys};
use crate::etcd::objects::at;
use crate::etcd::pages::Pages;
use crate::etcd::rows::object_in;
use crate::etcd::trash::without_row;
use crate::etcd::tx::Tx;
use crate::etcd::values::{self, Identity, Writes};
use crate::etcd::{Inner, Store, lock};
use crate::rows::*;
use slotfs_object::{RowId, SlotId};

/// How far above the highest id in use a repaired counter goes on.
const ABOVE: u64 = 1 << 20;
/// Keys that are read together: none has more than some hundred bytes.
const AT_ONCE: usize = 10_000;
/// How often a slot is counted again that is written to meanwhile.
const TRIES: u32 = 5;

/// What was counted in a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counted {
    objects: u64,
    bytes: u64,
    trash: u64,
    highest: u32,
    identities: u64,
}

impl Store {
    /// Counts the objects of a slot and its trash again; whether the count was wrong. Nothing is done when the lists by
    /// handle and by identity do not agree. The counter of row ids is corrected too: without it nothing could be counted
    /// or stored.
    pub(crate) fn recount(&self, slot: SlotId) -> Result<bool> {
        let inner = &self.inner;
        if self.is_read_only() {
            return Err(inner.fault(StoreFault::ReadOnly));
        }
        inner.repair_next()?;
        for _ in 0..TRIES {
            let there = inner.writes(slot)?.ok_or(SlotFault::Missing.at(slot))?;
            let counted = inner.counted(slot, &there.1)?;
            let set = move |tx: &mut Tx<'_>| tx.set_counts(slot, there, counted);
            if let Some(was_wrong) = self.write_now(vec![slot], set)? {
                return Ok(was_wrong);
            }
        }
        Err(inner.too_busy())
    }

    pub(crate) fn damaged_row(&self, id: RowId) -> Result<DamagedRow> {
        let place = self.inner.place_of(id)?.ok_or(Error::Gone)?;
        let slot = place.slot;
        let whole = |handle| Err(SlotFault::NotDamaged { handle, row: id }.at(slot));
        let there = self.inner.writes(slot)?;
        if there.is_none_or(|(_, writes)| writes.epoch != place.epoch) {
            return Err(Error::Gone);
        }
        if place.in_trash {
            let found = self.inner.trashed_rows(slot, &[id])?.pop();
            return match found.ok_or(Error::Gone)?.1 {
                Err(damaged) => Ok(damaged),
                Ok((found, None)) => Ok(without_row(&found)),
                Ok((found, Some(_))) => whole(found.it.entry.handle),
            };
        }
        let found = self.inner.sealed_or_damaged(slot, place.handle)?;
        match found.ok_or(Error::Gone)? {
            // Its own id may be what cannot be read.
            Err(damaged) => Ok(DamagedRow { id, ..damaged }),
            Ok((entry, _)) if entry.id != id => Err(Error::Gone),
            Ok((entry, _)) => whole(entry.handle),
        }
    }

    pub(crate) fn destroy_damaged(
        &self,
        found: DamagedRow,
        slot: SlotVersion,
        reply: impl Reply<()>,
    ) {
        let leading = match self.damaged_row(found.id) {
            Ok(now) if now == found => {
                let slot = found.slot.unwrap_or(slot.slot);
                self.inner.leading_to(slot, &found)
            }
            Ok(_) => Err(Error::Gone),
            Err(error) => Err(error),
        };
        let leading = match leading {
            Ok(leading) => leading,
            Err(error) => return reply(Err(error)),
        };
        let slots = vec![found.slot.unwrap_or(slot.slot), slot.slot];
        self.write(
            slots,
            Weight::REMOVAL,
            None,
            move |tx| tx.destroy_damaged(&found, &leading, slot),
            reply,
        );
    }
}

impl Inner {
    /// Puts the counter of row ids above everything that was counted with it, where it is missing, damaged or too low.
    fn repair_next(&self) -> Result<()> {
        let mut highest = 0;
        self.for_each_row(|id, _| highest = highest.max(id.0.unsigned_abs()))?;
        self.refresh(Instant::now())?;
        for (_, _, writes) in lock(&self.cache).slots() {
            if let Ok(writes) = writes {
                highest = highest.max(writes.epoch).max(writes.sealing);
            }
        }
        let key = self.keys.next();
        let found = self.raw_range(&Range {
            limit: 1,
            ..Range::prefix(key.clone())
        })?;
        let now = found.first().map(|(_, value)| value.clone());
        if now
            .as_ref()
            .is_some_and(|now| values::to_number(now).is_ok_and(|now| now > highest && is_id(now)))
        {
            return Ok(());
        }
        // Only if nobody else did: a counter that was repaired may have been used since.
        let same = match now {
            Some(now) => Compare::value(key.clone(), CompareOp::Equal, now),
            None => Compare::version(key.clone(), CompareOp::Equal, 0),
        };
        // Other hosts may have ids reserved above the highest one in use.
        let next = values::number(highest + ABOVE);
        let txn = Txn::new()
            .when([same])
            .and_then([TxnOp::put(key, next, None)]);
        let until = self.client.deadline().settling;
        let answer = transact(&self.client, until, txn);
        answer.outcome.map(drop).map_err(|why| self.failed(why))
    }

    /// Counts page by page, which others may write between.
    fn counted(&self, slot: SlotId, writes: &Writes) -> Result<Counted> {
        let (at, keys) = (at(slot, writes), &self.keys);
        let mut counted = Counted::default();
        let pages = Pages::handles(keys.handles(at), writes.objects, AT_ONCE);
        self.each_key(pages, |key, value| {
            let Some(handle) = Keys::handle_of(key) else {
                return;
            };
            let object = object_in(slot, handle, value);
            counted.objects += 1;
            counted.bytes += object.map_or(0, |it| u64::from(it.entry.payload_bytes));
            counted.highest = counted.highest.max(handle);
        })?;
        let all = keys.identities(at);
        let length = all.len() + 16;
        let pages = Pages::identities(all, writes.objects, AT_ONCE).keys_only();
        self.each_key(pages, |key, _| {
            counted.identities += u64::from(key.len() == length);
        })?;
        let pages = Pages::rows(keys.all_trashed(at), writes.trash, AT_ONCE).keys_only();
        self.each_key(pages, |key, _| {
            counted.trash += u64::from(Keys::row_of(key).is_some());
        })?;
        Ok(counted)
    }

    /// The keys of the lists that lead to a damaged object by its row. One whose value cannot be read is among them by its
    /// row alone.
    fn leading_to(&self, slot: SlotId, found: &DamagedRow) -> Result<Vec<Key>> {
        let Some((_, writes)) = self.writes(slot)? else {
            return Err(Error::Gone);
        };
        let (at, keys) = (at(slot, &writes), &self.keys);
        let mut leading = Vec::new();
        let mut add = |key: &Key, value: &[u8]| {
            if leads(key, value, found.id) {
                leading.push(key.clone());
            }
        };
        let pages = Pages::identities(keys.identities(at), writes.objects, AT_ONCE);
        self.each_key(pages, &mut add)?;
        if found.in_trash {
            let names = Pages::handles(keys.all_trash_names(at), writes.trash, AT_ONCE);
            let all = keys.all_trash_identities(at);
            let identities = Pages::identities(all, writes.trash, AT_ONCE);
            let times = Pages::rows(keys.all_trash_times(at), writes.trash, AT_ONCE);
            for pages in [names, identities, times] {
                self.each_key(pages, &mut add)?;
            }
        }
        Ok(leading)
    }
}

/// Whether a key of a list leads to a row: by the row id in it, or by that in its value.
fn leads(key: &[u8], value: &[u8], id: RowId) -> bool {
    if let Some(row) = Keys::row_of(key) {
        return row == id;
    }
    let by_identity = Identity::decode(value).is_ok_and(|it| it.id == id);
    let by_name = values::to_number(value).is_ok_and(|it| it == id.0.unsigned_abs());
    by_identity || by_name
}

impl Tx<'_> {
    /// Corrects the counts of a slot; whether they were wrong. `None` when the slot is another by now than when it was
    /// counted.
    fn set_counts(
        &mut self,
        slot: SlotId,
        (revision, writes): (i64, Writes),
        counted: Counted,
    ) -> Result<Option<bool>> {
        let now = self.there(slot)?;
        if (now.revision, now.writes) != (revision, writes) {
            return Ok(None);
        }
        let Counted {
            objects,
            bytes,
            trash,
            highest,
            identities,
        } = counted;
        if identities != objects {
            return Err(Error::Damaged(format!(
                "slot {slot} has {objects} objects, but {identities} are in the list by identity; its count was not changed"
            )));
        }
        let right = Writes {
            objects,
            bytes,
            trash,
            highest,
            ..writes
        };
        if right != writes {
            self.change(slot, |it| *it = right)?;
        }
        Ok(Some(right != writes))
    }

    /// Destroys the keys of a damaged object, and those of `leading` that lead to it still. One whose value cannot be read
    /// may leave its identity behind, which `store check` names.
    fn destroy_damaged(
        &mut self,
        found: &DamagedRow,
        leading: &[Key],
        version: SlotVersion,
    ) -> Result<()> {
        crate::rules::check_version(self, version)?;
        let slot = found.slot.unwrap_or(version.slot);
        let at = self.place(slot)?;
        let sealing = self.there(slot)?.writes.sealing;
        let keys = &self.inner.keys;
        let mut gone = vec![keys.row(found.id), keys.sealed(at, sealing, found.id)];
        if found.in_trash {
            gone.push(keys.trashed(at, found.id));
        } else if let Some(handle) = found.handle {
            gone.push(keys.handle(at, handle.get()));
        }
        let mut bytes = 0;
        if let (false, Some(handle)) = (found.in_trash, found.handle) {
            match self.object_at(slot, handle.get())? {
                Some(Ok(object)) if object.entry.id == found.id => {
                    bytes = object.entry.payload_bytes;
                    gone.push(self.inner.keys.identity(at, object.entry.ouid));
                }
                Some(Err(_)) => {}
                _ => return Err(Error::Gone),
            }
        } else if found.in_trash
            && self
                .value(slot, self.inner.keys.trashed(at, found.id))?
                .is_none()
        {
            return Err(Error::Gone);
        }
        for key in leading {
            let value = self.value(slot, key.clone())?;
            if value.is_some_and(|value| leads(key, &value, found.id)) {
                gone.push(key.clone());
            }
        }
        for key in gone {
            self.set(slot, key, None);
        }
        let in_trash = found.in_trash;
        self.change(slot, |writes| match in_trash {
            true => writes.trash = writes.trash.saturating_sub(1),
            false => {
                writes.objects = writes.objects.saturating_sub(1);
                writes.bytes = writes.bytes.saturating_sub(bytes.into());
            }
        })
    }
}
