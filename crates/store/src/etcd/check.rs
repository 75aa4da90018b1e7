//! The reading part of `store check`: what keys of a store say of each other, and whether the members hold the same.

use super::fetch::MOST_OPERATIONS;
use super::keys::{Key, Keys};
use super::objects::at;
use super::pages::Pages;
use super::rows::object_in;
use super::slots::Part as Found;
use super::trash::without_row;
use super::values::{Identity, Where, Writes};
use super::{Inner, Store, lock};
use crate::error::Result;
use crate::rows::{ROW_IDS, *};
use slotfs_object::sealed::{
    COMMITMENT_BYTES, ENCAPSULATED_KEY_BYTES, ENCAPSULATION_BYTES, Method, PUBLIC_KEY_BYTES,
    SALT_BYTES, SealedRow, WRAPPED_BYTES, WRAPPED_PAIR_BYTES,
};
use slotfs_object::secret::KEY_BYTES;
use slotfs_object::{Handle, RowId, SlotId};

mod cross;
mod members;
mod repair;

const SEALED_KEY_BYTES: usize = KEY_BYTES + SealedRow::OVERHEAD_BYTES;
/// Keys that are read together.
const AT_ONCE: usize = 1000;

impl Store {
    /// What the members say: of alarms, and of whether they hold the same at one revision.
    pub(crate) fn check_file(&self) -> Result<Vec<String>> {
        let inner = &self.inner;
        let mut found = inner.alarms();
        found.extend(inner.compare_members());
        for warning in super::members::warnings(inner.admin()) {
            log::warn!("{warning}");
        }
        Ok(found)
    }

    pub(crate) fn orphans(&self) -> Result<Seen<Vec<Indexed>>> {
        let slots: Vec<SlotId> = self.slot_numbers()?;
        let garbage = self.inner.garbage()?;
        let mut orphans = Vec::new();
        self.inner.for_each_row(|id, place| {
            if let Ok(place) = place
                && !slots.contains(&place.slot)
                && !garbage
                    .iter()
                    .any(|it| (it.slot, it.epoch) == (place.slot, place.epoch))
            {
                let handle = Ok(i64::from(place.handle));
                orphans.push((id.0, Ok(i64::from(place.slot.0)), handle));
            }
        })?;
        Ok(Ok(orphans))
    }

    pub(crate) fn slot_numbers(&self) -> Result<Vec<SlotId>> {
        self.inner.fresh()?;
        Ok(lock(&self.inner.cache).slots().map(|it| it.0).collect())
    }

    pub(crate) fn count(&self, slots: &[SlotId]) -> Result<Vec<Count>> {
        let mut counts = Vec::new();
        for &slot in slots {
            let mut table = (0, 0);
            self.inner.for_each(slot, |_, found| {
                let bytes = found.as_ref().map_or(0, |it| it.entry.payload_bytes);
                table = (table.0 + 1, table.1 + i64::from(bytes));
            })?;
            let by_identity = self.inner.count(slot, |keys, at| keys.identities(at))?;
            let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
            counts.push(Count {
                slot,
                usage: Ok(by_identity
                    .as_ref()
                    .map(|(writes, _)| (signed(writes.objects), signed(writes.bytes)))),
                table: Ok(table),
                by_handle: Ok(table.0),
                by_ouid: Ok(by_identity.map_or(0, |(_, count)| signed(count))),
            });
        }
        Ok(counts)
    }

    pub(crate) fn object_rows(&self, after: i64, most: u32) -> Result<(Vec<i64>, Seen<()>)> {
        let mut ids = Vec::new();
        let mut from = RowId(after.max(0));
        loop {
            let page = self.inner.row_page(from, most as usize)?;
            let Some((last, _)) = page.last() else { break };
            from = *last;
            let is_object = |place: &Where| !place.in_trash && self.inner.is_current(place);
            let objects = page.iter().filter_map(|(id, place)| {
                let place = place.as_ref().ok().filter(|it| is_object(it))?;
                Some((*id, *place))
            });
            let objects: Vec<(RowId, Where)> = objects.collect();
            self.inner.read_ahead(&objects)?;
            ids.extend(objects.iter().map(|(id, _)| id.0));
            if ids.len() >= most as usize {
                break;
            }
        }
        Ok((ids, Ok(())))
    }

    /// Every row can be read here, or none.
    pub(crate) fn indexed_between(&self, _after: i64, _before: i64) -> Result<Seen<Vec<Indexed>>> {
        Ok(Ok(Vec::new()))
    }

    pub(crate) fn look_object(&self, id: i64) -> Result<Seen<Option<ObjectRow>>> {
        let id = RowId(id);
        let Some(place) = self.inner.looked_up(id)? else {
            return Ok(Ok(None));
        };
        if place.in_trash || !self.inner.is_current(&place) {
            return Ok(Ok(None));
        }
        let (slot, keys, mut before) = (place.slot, &self.inner.keys, None);
        // Its identity is known by its value alone; then all are read in one state.
        let object = loop {
            let all = |writes: &Writes| {
                let at = at(slot, writes);
                let known = before.iter().flat_map(|it: &Entry| {
                    [
                        keys.identity(at, it.ouid),
                        keys.sealed(at, writes.sealing, it.id),
                    ]
                });
                let handle = keys.handle(at, place.handle);
                std::iter::once(handle).chain(known).collect()
            };
            let Some((_, found)) = self.inner.values(slot, all)? else {
                return Ok(Ok(None));
            };
            let mut found = found.into_iter();
            let Some(value) = found.next().flatten() else {
                return Ok(Ok(None));
            };
            let object = match object_in(slot, place.handle, &value) {
                Ok(object) => object,
                Err(damaged) => return Ok(Ok(Some(damaged_row(&damaged)))),
            };
            // The place may be of an object that is gone, and the handle of another one.
            if object.entry.id != id {
                return Ok(Ok(None));
            }
            if before.replace(object.entry) == Some(object.entry) {
                break (object, found.next().flatten(), found.next().flatten());
            }
        };
        let (object, identity, sealed) = object;
        let identity = identity.and_then(|it| Identity::decode(&it).ok());
        Ok(Ok(Some(object_row(
            &object.entry,
            object.stored_secs,
            sealed.map(|it| it.to_vec()),
            (Some(id.0), identity.map(|it| it.id.0)),
        ))))
    }

    pub(crate) fn trash_rows(
        &self,
        slot: SlotId,
        after: i64,
        most: u32,
    ) -> Result<(Vec<ObjectRow>, Seen<()>)> {
        let mut after = RowId(after);
        loop {
            let page = self.inner.list_trash(slot, after, most as usize)?;
            let ids = page.into_iter().map(|found| match found {
                Ok(found) => found.it.entry.id,
                Err(damaged) => damaged.id,
            });
            let ids: Vec<RowId> = ids.collect();
            let Some(last) = ids.last() else {
                return Ok((Vec::new(), Ok(())));
            };
            after = *last;
            let rows = self.inner.trashed_rows(slot, &ids)?;
            let rows = rows.into_iter().map(|(id, found)| match found {
                Err(damaged) => damaged_row(&damaged),
                Ok((found, None)) => damaged_row(&without_row(&found)),
                Ok((found, Some(row))) => {
                    let indexes = (Some(id.0), Some(id.0));
                    let sealed = Some(row.bytes().to_vec());
                    object_row(&found.it.entry, found.stored_secs, sealed, indexes)
                }
            });
            let rows: Vec<_> = rows.collect();
            // A page that left the trash meanwhile is not the end.
            if !rows.is_empty() {
                return Ok((rows, Ok(())));
            }
        }
    }

    pub(crate) fn count_trash(&self, slot: SlotId) -> Result<Seen<(Option<Seen<i64>>, i64)>> {
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let counted = self.inner.count_trash(slot)?;
        Ok(Ok(match counted {
            Some((kept, there)) => (Some(Ok(signed(kept))), signed(there)),
            None => (None, 0),
        }))
    }

    pub(crate) fn look_slot(&self, slot: SlotId) -> Result<Option<SlotParts>> {
        let Some((row, parts)) = self.inner.parts(slot)? else {
            return Ok(None);
        };
        let (mut credentials, mut domains, mut smks) = (Vec::new(), Vec::new(), Vec::new());
        for part in parts {
            match part {
                Found::Credential(it) => credentials.push(looked(it, |it| (it.id, faults_of(it)))),
                Found::Domain(it) => domains.push(looked(it, |it| {
                    let mut faults = Vec::new();
                    if it.label.is_empty() {
                        faults.push("a domain has no label".to_owned());
                    }
                    let sealed = it.sealed.bytes().len();
                    sized(
                        &mut faults,
                        "a domain",
                        "sealed key",
                        sealed,
                        SEALED_KEY_BYTES,
                    );
                    (it.id, faults)
                })),
                Found::Smk(it) => {
                    let mut faults = Vec::new();
                    let (whose, sealed) = ("a storage master key", it.sealed.bytes().len());
                    sized(&mut faults, whose, "sealed key", sealed, SEALED_KEY_BYTES);
                    smks.push(Part { id: it.id, faults });
                }
            }
        }
        Ok(Some(SlotParts {
            row,
            credentials: Ok(credentials),
            domains: Ok(domains),
            smks: Ok(smks),
        }))
    }
}

fn is_id(number: u64) -> bool {
    i64::try_from(number).is_ok_and(|number| ROW_IDS.contains(&number))
}

fn looked<T>(
    row: std::result::Result<T, (slotfs_object::sealed::PartId, String)>,
    look: impl FnOnce(&T) -> (slotfs_object::sealed::PartId, Vec<String>),
) -> Part {
    let (id, faults) = match &row {
        Ok(row) => look(row),
        Err((id, why)) => (*id, vec![why.clone()]),
    };
    Part { id, faults }
}

fn sized(faults: &mut Vec<String>, whose: &str, what: &str, have: usize, want: usize) {
    if have != want {
        faults.push(format!(
            "{whose} has a {what} of {have} bytes, it should have {want}"
        ));
    }
}

fn faults_of(it: &CredentialRow) -> Vec<String> {
    let mut faults = Vec::new();
    let name = format!("the credential of {}", it.role);
    if let Method::Password(cost) = it.credential.method
        && !cost.is_sane()
    {
        faults.push(format!(
            "{name} asks for an Argon2 cost that is not accepted: {} KiB, {} passes, {} lanes",
            cost.memory_kib, cost.passes, cost.lanes
        ));
    }
    let credential = &it.credential;
    let wrapped = match it.pair {
        Some(_) => WRAPPED_PAIR_BYTES,
        None => WRAPPED_BYTES,
    };
    let mut check = |what, have: &[u8], want| sized(&mut faults, &name, what, have.len(), want);
    check("salt", &credential.salt, SALT_BYTES);
    check("commitment", &credential.commitment, COMMITMENT_BYTES);
    check("wrapped key", &credential.wrapped, wrapped);
    if let Some(pair) = &it.pair {
        check("public key", &pair.public_key, PUBLIC_KEY_BYTES);
        check("encapsulation", &pair.encapsulation, ENCAPSULATION_BYTES);
        let sealed = pair.authentication.bytes();
        check("sealed authentication key", sealed, SEALED_KEY_BYTES);
        // After a renewal of the authentication key it is there twice.
        if pair.wrapped.len() != 2 * ENCAPSULATED_KEY_BYTES {
            check("wrapped slot key", &pair.wrapped, ENCAPSULATED_KEY_BYTES);
        }
    }
    faults
}

fn object_row(
    entry: &Entry,
    stored_secs: u64,
    sealed: Option<Vec<u8>>,
    indexes: Indexes,
) -> ObjectRow {
    let signed = |secs: u64| i64::try_from(secs).unwrap_or(i64::MAX);
    let missing = || vec!["its sealed row is missing".to_owned()];
    ObjectRow {
        id: entry.id.0,
        slot: Some(entry.slot.0.into()),
        handle: Some(entry.handle.get().into()),
        ouid: Some(entry.ouid.0.to_vec()),
        payload_bytes: Some(entry.payload_bytes.into()),
        created_secs: Some(signed(entry.created_secs)),
        stored_secs: Some(signed(stored_secs)),
        changed_secs: entry.changed_secs.map(signed),
        wrong: sealed.as_ref().map_or_else(missing, |_| Vec::new()),
        sealed,
        indexes: Ok(indexes),
    }
}

fn damaged_row(damaged: &DamagedRow) -> ObjectRow {
    ObjectRow {
        id: damaged.id.0,
        slot: damaged.slot.map(|it| it.0.into()),
        handle: damaged.handle.map(|it: Handle| it.get().into()),
        ouid: None,
        payload_bytes: None,
        created_secs: None,
        stored_secs: None,
        changed_secs: None,
        sealed: None,
        wrong: vec![damaged.what.clone()],
        indexes: Ok((Some(damaged.id.0), Some(damaged.id.0))),
    }
}

impl Inner {
    /// Reads what [`Store::look_object`] will ask for, in few questions instead of many.
    fn read_ahead(&self, objects: &[(RowId, Where)]) -> Result<()> {
        let mut slots: Vec<SlotId> = objects.iter().map(|(_, it)| it.slot).collect();
        slots.sort_unstable();
        slots.dedup();
        for slot in slots {
            let here: Vec<_> = objects.iter().filter(|(_, it)| it.slot == slot).collect();
            for some in here.chunks(MOST_OPERATIONS) {
                let handles = |writes: &Writes| {
                    let handles = some.iter().map(|it| it.1.handle);
                    let place = at(slot, writes);
                    handles.map(|it| self.keys.handle(place, it)).collect()
                };
                let Some((_, found)) = self.values(slot, handles)? else {
                    continue;
                };
                let found: Vec<_> = some
                    .iter()
                    .zip(found)
                    .filter_map(|((id, place), value)| {
                        let object = object_in(slot, place.handle, &value?).ok()?;
                        (object.entry.id == *id).then_some(object)
                    })
                    .collect();
                for object in &found {
                    self.guess(object);
                }
                for some in found.chunks(MOST_OPERATIONS / 2) {
                    self.values(slot, |writes: &Writes| {
                        let place = at(slot, writes);
                        let keys = some.iter().flat_map(|it| {
                            [
                                self.keys.identity(place, it.entry.ouid),
                                self.keys.sealed(place, writes.sealing, it.entry.id),
                            ]
                        });
                        keys.collect()
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Where a row is, by what was read ahead or by the cluster.
    fn looked_up(&self, id: RowId) -> Result<Option<Where>> {
        let guess = lock(&self.guesses).get(&id).copied();
        if let Some((slot, handle)) = guess
            && let Some((_, writes)) = self.writes(slot)?
            && let Some(Ok(found)) = self.object_at(slot, handle)?
            && found.entry.id == id
        {
            return Ok(Some(Where {
                slot,
                epoch: writes.epoch,
                handle,
                in_trash: false,
            }));
        }
        self.place_of(id)
    }

    /// About how many rows there are.
    fn about_rows(&self) -> u64 {
        let cache = lock(&self.cache);
        let all = cache.slots().filter_map(|it| it.2.as_ref().ok());
        all.map(|it| it.objects.saturating_add(it.trash))
            .fold(0, u64::saturating_add)
    }

    /// Where rows are, after one of them; none at the end.
    fn row_page(&self, from: RowId, most: usize) -> Result<Vec<(RowId, Seen<Where>)>> {
        let mut pages = Pages::rows(self.keys.rows(), self.about_rows(), most);
        if ROW_IDS.contains(&from.0) {
            pages = pages.after(&self.keys.row(from));
        }
        while let Some(range) = pages.next() {
            let pairs = self.raw_range(&range)?;
            pages.took(&pairs);
            let rows = pairs.iter().filter_map(|(key, value)| {
                let id = Keys::row_of(key)?;
                Some((id, Where::decode(value)))
            });
            let rows: Vec<_> = rows.collect();
            if !rows.is_empty() {
                return Ok(rows);
            }
        }
        Ok(Vec::new())
    }

    /// Where every row is. Gives the keys there that name none.
    fn for_each_row(&self, mut each: impl FnMut(RowId, Seen<Where>)) -> Result<Vec<Key>> {
        let mut strange = Vec::new();
        let pages = Pages::rows(self.keys.rows(), self.about_rows(), AT_ONCE);
        self.each_key(pages, |key, value| match Keys::row_of(key) {
            Some(id) => each(id, Where::decode(value)),
            None => strange.push(key.clone()),
        })?;
        Ok(strange)
    }

    /// Whether a place is of the rows that a slot has now.
    fn is_current(&self, place: &Where) -> bool {
        let cache = lock(&self.cache);
        let there = cache.writes(place.slot);
        there.is_some_and(|(_, writes)| writes.as_ref().is_ok_and(|it| it.epoch == place.epoch))
    }
}
