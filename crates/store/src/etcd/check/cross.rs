//! What the keys of a store say of each other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::{AT_ONCE, is_id};
use crate::error::Result;
use crate::etcd::fetch::Range;
use crate::etcd::keys::{Key, Keys};
use crate::etcd::objects::at;
use crate::etcd::pages::Pages;
use crate::etcd::values::{self, Where, Writes};
use crate::etcd::{Inner, Store, lock};
use crate::rows::*;
use slotfs_object::{RowId, SlotId};

/// How often a slot is looked at again that is written to.
const TRIES: u32 = 5;

impl Store {
    /// What keys say of each other that cannot all be true.
    pub(crate) fn contradictions(&self) -> Result<Vec<Contradiction>> {
        let inner = &self.inner;
        let mut found = Vec::new();
        let mut of_rows: BTreeMap<RowId, Where> = BTreeMap::new();
        let mut highest = 0;
        let strange = inner.for_each_row(|id, place| {
            highest = highest.max(id.0);
            match place {
                Ok(place) => drop(of_rows.insert(id, place)),
                Err(what) => found.push(contradiction(None, Some(id.0), what)),
            }
        })?;
        found.extend(strange.iter().map(|key| names_nothing(None, 'r', key)));
        for slot in self.slot_numbers()? {
            inner.cross_check(slot, &of_rows, &mut found)?;
        }
        let counter = inner.raw_range(&Range {
            limit: 1,
            ..Range::prefix(inner.keys.next())
        })?;
        let counter = counter.first().map(|(_, value)| values::to_number(value));
        let what = match counter {
            None => "the counter of row ids (key n) is missing".to_owned(),
            Some(Err(what)) => format!("the counter of row ids (key n) is damaged: {what}"),
            Some(Ok(next)) if next <= highest.unsigned_abs() => {
                format!(
                    "the counter of row ids (key n) is {next}, and there are rows up to {highest}"
                )
            }
            Some(Ok(next)) if !is_id(next) => {
                format!("the counter of row ids (key n) is {next}, which is out of range")
            }
            Some(Ok(_)) => return Ok(found),
        };
        found.push(contradiction(None, None, what));
        Ok(found)
    }
}

fn contradiction(slot: Option<SlotId>, row: Option<i64>, what: impl Into<String>) -> Contradiction {
    Contradiction {
        slot,
        row,
        what: what.into(),
    }
}

/// A key whose fields are not those of its kind.
fn names_nothing(slot: Option<SlotId>, kind: char, key: &Key) -> Contradiction {
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    contradiction(slot, None, format!("a key {kind} names no object: {hex}"))
}

impl Inner {
    /// Compares the keys of a slot's objects with each other. A slot that is written to meanwhile is looked at again.
    fn cross_check(
        &self,
        slot: SlotId,
        of_rows: &BTreeMap<RowId, Where>,
        found: &mut Vec<Contradiction>,
    ) -> Result<()> {
        for _ in 0..TRIES {
            let Some((before, writes)) = self.writes(slot)? else {
                return Ok(());
            };
            let wrong = self.cross_check_once(slot, &writes, of_rows)?;
            self.refresh(Instant::now())?;
            let now = lock(&self.cache).writes(slot).map(|it| it.0);
            if now == Some(before) {
                found.extend(wrong);
                return Ok(());
            }
        }
        log::info!("slot {slot} is written to all the time; its keys were not compared");
        Ok(())
    }

    fn cross_check_once(
        &self,
        slot: SlotId,
        writes: &Writes,
        of_rows: &BTreeMap<RowId, Where>,
    ) -> Result<Vec<Contradiction>> {
        let mut wrong = Vec::new();
        let mut tell = |id: RowId, what: &str| {
            wrong.push(contradiction(Some(slot), Some(id.0), what));
        };
        let place = at(slot, writes);
        let keys = &self.keys;
        let rows = writes.objects.saturating_add(writes.trash);
        let (mut sealed, mut strange) = (BTreeSet::new(), Vec::new());
        let all_sealed = keys.all_sealed(place, Some(writes.sealing));
        let pages = Pages::rows(all_sealed, rows, AT_ONCE).keys_only();
        self.each_key(pages, |key, _| match Keys::row_of(key) {
            Some(id) => drop(sealed.insert(id)),
            None => strange.push(('o', key.clone())),
        })?;
        let pages = Pages::handles(keys.handles(place), writes.objects, AT_ONCE).keys_only();
        self.each_key(pages, |key, _| {
            if Keys::handle_of(key).is_none_or(|handle| handle == 0) {
                strange.push(('h', key.clone()));
            }
        })?;
        let pages = Pages::rows(keys.all_trashed(place), writes.trash, AT_ONCE).keys_only();
        self.each_key(pages, |key, _| {
            if Keys::row_of(key).is_none() {
                strange.push(('t', key.clone()));
            }
        })?;
        let mut there = BTreeSet::new();
        self.for_each(slot, |handle, object| {
            let Ok(object) = object else { return };
            let id = object.entry.id;
            if !there.insert(id) {
                tell(id, "two handles lead to it");
            }
            let expected = Where {
                slot,
                epoch: place.epoch,
                handle,
                in_trash: false,
            };
            if of_rows.get(&id) != Some(&expected) {
                tell(id, "the key that says where it is (r) does not lead to it");
            }
        })?;
        self.each_trash_page(slot, AT_ONCE, |page| {
            for found in page.into_iter().flatten() {
                let id = found.it.entry.id;
                if !there.insert(id) {
                    tell(id, "it is both in the slot and in the trash");
                }
                if !of_rows.get(&id).is_some_and(|it| it.in_trash) {
                    tell(
                        id,
                        "the key that says where it is (r) does not lead to the trash",
                    );
                }
            }
            Ok(())
        })?;
        for id in sealed.difference(&there) {
            tell(*id, "a sealed row (o) belongs to no object");
        }
        let strange = strange.iter();
        wrong.extend(strange.map(|(kind, key)| names_nothing(Some(slot), *kind, key)));
        Ok(wrong)
    }
}
