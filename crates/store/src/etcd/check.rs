//! The reading part of `store check`: what keys of a store say of each other, and whether the members hold the same.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use etcd_client::{Compare, CompareOp, Txn, TxnOp};

use super::fetch::{MOST_OPERATIONS, Range};
use super::keys::{Keys, Place as At, after};
use super::objects::at;
use super::rows::object_in;
use super::slots::Part as Found;
use super::values::{self, Identity, Where, Writes};
use super::{Inner, Store, ask, lock, members};
use crate::Reply;
use crate::error::{Error, Result, SlotFault, StoreFault};
use crate::rows::ROW_IDS;
use crate::rows::*;
use slotfs_object::sealed::{
    COMMITMENT_BYTES, ENCAPSULATED_KEY_BYTES, ENCAPSULATION_BYTES, Method, PUBLIC_KEY_BYTES,
    SALT_BYTES, SealedRow, WRAPPED_BYTES, WRAPPED_PAIR_BYTES,
};
use slotfs_object::secret::KEY_BYTES;
use slotfs_object::{Handle, RowId, SlotId};

const SEALED_KEY_BYTES: usize = KEY_BYTES + SealedRow::OVERHEAD_BYTES;
/// How far above the highest id in use a repaired counter goes on.
const ABOVE: u64 = 1 << 20;
/// Keys that are read together.
const AT_ONCE: i64 = 1000;

impl Store {
    /// What the members say: of alarms, and of whether they hold the same at one revision.
    pub(crate) fn check_file(&self) -> Result<Vec<String>> {
        let inner = &self.inner;
        let mut found = inner.alarms();
        found.extend(inner.compare_members());
        for warning in members::warnings(inner.admin()) {
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
            let page = self.inner.row_page(from, i64::from(most))?;
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
        let slot = place.slot;
        let key = |writes: &Writes| vec![self.inner.keys.handle(at(slot, writes), place.handle)];
        let Some((_, found)) = self.inner.values(slot, key)? else {
            return Ok(Ok(None));
        };
        let Some(value) = found.into_iter().flatten().next() else {
            return Ok(Ok(None));
        };
        let object = match object_in(slot, place.handle, &value) {
            Ok(object) => object,
            Err(damaged) => return Ok(Ok(Some(damaged_row(&damaged)))),
        };
        let entry = object.entry;
        let both = |writes: &Writes| {
            let at = at(slot, writes);
            vec![
                self.inner.keys.identity(at, entry.ouid),
                self.inner.keys.sealed(at, writes.sealing, entry.id),
            ]
        };
        let Some((_, found)) = self.inner.values(slot, both)? else {
            return Ok(Ok(None));
        };
        let mut found = found.into_iter();
        let identity = found.next().flatten();
        let identity = identity.and_then(|it| Identity::decode(&it).ok());
        let sealed = found.next().flatten();
        let indexes = (Some(entry.id.0), identity.map(|it| it.id.0));
        // The place may be of an object that is gone, and the handle of another one.
        if entry.id != id {
            return Ok(Ok(None));
        }
        Ok(Ok(Some(object_row(
            &entry,
            object.stored_secs,
            sealed.map(|it| it.to_vec()),
            indexes,
        ))))
    }

    pub(crate) fn trash_rows(
        &self,
        slot: SlotId,
        after: i64,
        most: u32,
    ) -> Result<(Vec<ObjectRow>, Seen<()>)> {
        let page = self.inner.list_trash(slot, RowId(after), most as usize)?;
        let ids = page.iter().filter_map(|it| it.as_ref().ok());
        let ids: Vec<RowId> = ids.map(|it| it.it.entry.id).collect();
        let mut rows = Vec::new();
        for some in ids.chunks(MOST_OPERATIONS) {
            rows.extend(self.inner.sealed_rows(slot, some)?);
        }
        let mut rows = rows.into_iter();
        let listed = page.into_iter().map(|found| match found {
            Err(damaged) => damaged_row(&damaged),
            Ok(found) => {
                let entry = found.it.entry;
                let sealed = rows.next().flatten().map(|it| it.bytes().to_vec());
                let indexes = (Some(entry.id.0), Some(entry.id.0));
                object_row(&entry, found.stored_secs, sealed, indexes)
            }
        });
        Ok((listed.collect(), Ok(())))
    }

    pub(crate) fn count_trash(&self, slot: SlotId) -> Result<Seen<(Option<Seen<i64>>, i64)>> {
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let counted = self.inner.count(slot, |keys, at| keys.all_trashed(at))?;
        Ok(Ok(match counted {
            Some((writes, there)) => (Some(Ok(signed(writes.trash))), signed(there)),
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

    /// What keys say of each other that cannot all be true.
    pub(crate) fn contradictions(&self) -> Result<Vec<Contradiction>> {
        let inner = &self.inner;
        let mut found = Vec::new();
        let mut of_rows: BTreeMap<RowId, Where> = BTreeMap::new();
        let mut highest = 0;
        inner.for_each_row(|id, place| {
            highest = highest.max(id.0);
            match place {
                Ok(place) => drop(of_rows.insert(id, place)),
                Err(what) => found.push(contradiction(None, Some(id.0), what)),
            }
        })?;
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

    /// The counter of row ids is corrected too: without it nothing could be counted or stored.
    pub(crate) fn recount(&self, slot: SlotId) -> Result<bool> {
        if self.is_read_only() {
            return Err(self.inner.fault(StoreFault::ReadOnly));
        }
        self.inner.repair_next()?;
        self.write_now(vec![slot], move |tx| tx.recount(slot))
    }

    pub(crate) fn damaged_row(&self, id: RowId) -> Result<DamagedRow> {
        let place = self.inner.place_of(id)?.ok_or(Error::Gone)?;
        let whole = |handle| Err(SlotFault::NotDamaged { handle, row: id }.at(place.slot));
        let there = self.inner.writes(place.slot)?;
        if there.is_none_or(|(_, writes)| writes.epoch != place.epoch) {
            return Err(Error::Gone);
        }
        if place.in_trash {
            return match self.inner.trashed_in(place.slot, id)?.ok_or(Error::Gone)? {
                Err(damaged) => Ok(damaged),
                Ok(found) => whole(found.it.entry.handle),
            };
        }
        match self
            .inner
            .object_at(place.slot, place.handle)?
            .ok_or(Error::Gone)?
        {
            Err(damaged) => Ok(DamagedRow { id, ..damaged }),
            Ok(found) if found.entry.id != id => Err(Error::Gone),
            Ok(found) => {
                let row = self.inner.sealed_rows(place.slot, &[id])?.pop().flatten();
                match row {
                    Some(_) => whole(found.entry.handle),
                    None => Ok(DamagedRow {
                        id,
                        slot: Some(place.slot),
                        handle: Some(found.entry.handle),
                        ouid: Some(found.entry.ouid),
                        in_trash: false,
                        nth: None,
                        what: "its sealed row is missing".to_owned(),
                    }),
                }
            }
        }
    }

    pub(crate) fn destroy_damaged(
        &self,
        found: DamagedRow,
        slot: SlotVersion,
        reply: impl Reply<()>,
    ) {
        match self.damaged_row(found.id) {
            Ok(now) if now == found => {}
            Ok(_) => return reply(Err(Error::Gone)),
            Err(error) => return reply(Err(error)),
        }
        let slots = vec![found.slot.unwrap_or(slot.slot), slot.slot];
        let weight = super::committer::Weight::REMOVAL;
        self.write(
            slots,
            weight,
            None,
            move |tx| tx.destroy_damaged(&found, slot),
            reply,
        );
    }
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

fn is_id(number: u64) -> bool {
    i64::try_from(number).is_ok_and(|number| ROW_IDS.contains(&number))
}

fn contradiction(slot: Option<SlotId>, row: Option<i64>, what: impl Into<String>) -> Contradiction {
    Contradiction {
        slot,
        row,
        what: what.into(),
    }
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
        let answer = super::ask::transact(&self.client, until, txn);
        answer.outcome.map(drop).map_err(|why| self.failed(why))
    }

    /// Where rows are, after one of them.
    fn row_page(&self, from: RowId, most: i64) -> Result<Vec<(RowId, Seen<Where>)>> {
        let page = Range {
            start: after(&self.keys.row(from)),
            limit: most,
            ..Range::prefix(self.keys.rows())
        };
        let pairs = self.raw_range(&page)?;
        let rows = pairs.iter().filter_map(|(key, value)| {
            let id = Keys::row_of(key)?;
            Some((id, Where::decode(value)))
        });
        Ok(rows.collect())
    }

    /// Where every row is.
    fn for_each_row(&self, mut each: impl FnMut(RowId, Seen<Where>)) -> Result<()> {
        let mut from = RowId(0);
        loop {
            let page = self.row_page(from, AT_ONCE)?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            from = *last;
            for (id, place) in page {
                each(id, place);
            }
        }
    }

    /// Whether a place is of the rows that a slot has now.
    fn is_current(&self, place: &Where) -> bool {
        let cache = lock(&self.cache);
        let there = cache.writes(place.slot);
        there.is_some_and(|(_, writes)| writes.as_ref().is_ok_and(|it| it.epoch == place.epoch))
    }

    /// Compares the keys of a slot's objects with each other. A slot that is written to meanwhile is looked at again.
    fn cross_check(
        &self,
        slot: SlotId,
        of_rows: &BTreeMap<RowId, Where>,
        found: &mut Vec<Contradiction>,
    ) -> Result<()> {
        const TRIES: u32 = 5;
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
        let mut sealed = BTreeSet::new();
        let all_sealed = self.keys.all_sealed(place, Some(writes.sealing));
        self.each_key(all_sealed, |key| sealed.extend(Keys::row_of(key)))?;
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
        let mut after = RowId(0);
        loop {
            let page = self.list_trash(slot, after, AT_ONCE as usize)?;
            after = match page.last() {
                Some(Ok(last)) => last.it.entry.id,
                Some(Err(last)) => last.id,
                None => break,
            };
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
        }
        for id in sealed.difference(&there) {
            tell(*id, "a sealed row (o) belongs to no object");
        }
        Ok(wrong)
    }

    fn each_key(&self, prefix: Vec<u8>, mut each: impl FnMut(&[u8])) -> Result<()> {
        let mut page = Range {
            limit: AT_ONCE,
            keys_only: true,
            ..Range::prefix(prefix)
        };
        loop {
            let keys = self.raw_range(&page)?;
            let Some((last, _)) = keys.last() else {
                return Ok(());
            };
            page.start = after(last);
            for (key, _) in &keys {
                each(key);
            }
        }
    }

    fn alarms(&self) -> Vec<String> {
        let until = self.client.deadline().settling;
        let alarms = self.admin().ask(until, |client| {
            Box::pin(async move {
                use etcd_client::{AlarmAction, AlarmType};
                let mut client = client.maintenance_client();
                client.alarm(AlarmAction::Get, AlarmType::None, None).await
            })
        });
        match alarms.outcome {
            Err(why) => {
                log::warn!(
                    "the alarms of the cluster were not asked for: {}",
                    ask::fault(why)
                );
                Vec::new()
            }
            Ok(alarms) => alarms
                .alarms()
                .iter()
                .map(|it| {
                    let what = match it.alarm() {
                        etcd_client::AlarmType::Nospace => "NOSPACE, its quota is used up",
                        etcd_client::AlarmType::Corrupt => {
                            "CORRUPT, its data differs from that of others"
                        }
                        _ => "an unknown alarm",
                    };
                    format!("member {:x} of the cluster raised {what}", it.member_id())
                })
                .collect(),
        }
    }

    /// Compares a hash of all keys at one revision over all members. etcd lets only its administrators ask for it.
    fn compare_members(&self) -> Vec<String> {
        let revision = match self.raw_revision() {
            Ok(revision) => revision,
            Err(error) => return vec![format!("the members were not compared: {error}")],
        };
        let until = Instant::now() + Duration::from_secs(10);
        let hashes = self.admin().ask_all(until, move |client| {
            Box::pin(async move {
                let hash = client.maintenance_client().hash_kv(revision).await?;
                Ok((hash.hash(), hash.compact_version()))
            })
        });
        let mut known: Option<(String, (u32, i64))> = None;
        let mut found = Vec::new();
        for (member, hash) in hashes {
            match (hash, &known) {
                (Err(why), _) => log::warn!("member {member} of the cluster was not compared: {}", ask::fault(why)),
                (Ok(hash), None) => known = Some((member, hash)),
                // A hash covers what is not compacted.
                (Ok(hash), Some((_, first))) if hash == *first || hash.1 != first.1 => {}
                (Ok(_), Some((first, _))) => found.push(format!(
                    "members {first} and {member} of the cluster hold different data at revision {revision}"
                )),
            }
        }
        found
    }

    fn raw_revision(&self) -> Result<i64> {
        let txn = Txn::new().and_then([TxnOp::get(self.keys.version(), None)]);
        let answer = super::ask::transact(&self.client, self.client.deadline().settling, txn);
        let answer = answer.outcome.map_err(|why| self.failed(why))?;
        Ok(answer.header().map_or(0, |it| it.revision()))
    }
}

impl super::tx::Tx<'_> {
    /// Counts the objects of a slot and its trash again; whether the count was wrong. Nothing is done when the lists by
    /// handle and by identity do not agree.
    fn recount(&mut self, slot: SlotId) -> Result<bool> {
        let before = self.there(slot)?.writes;
        let at = self.place(slot)?;
        let (mut objects, mut bytes, mut highest) = (0u64, 0u64, 0);
        let keys = &self.inner.keys;
        let (handles, identities) = (keys.handles(at), keys.identities(at));
        let trashed = keys.all_trashed(at);
        for (key, value) in self.range(slot, Range::prefix(handles))? {
            let handle = Keys::handle_of(&key).unwrap_or(0);
            let object = object_in(slot, handle, &value);
            objects += 1;
            bytes += object.map_or(0, |it| u64::from(it.entry.payload_bytes));
            highest = highest.max(handle);
        }
        let only_keys = |prefix| Range {
            keys_only: true,
            ..Range::prefix(prefix)
        };
        let by_identity = self.range(slot, only_keys(identities))?.len() as u64;
        if by_identity != objects {
            return Err(Error::Damaged(format!(
                "slot {slot} has {objects} objects, but {by_identity} are in the list by identity; its count was not changed"
            )));
        }
        let trash = self.range(slot, only_keys(trashed))?.len() as u64;
        let counted = (objects, bytes, trash, highest);
        if counted == (before.objects, before.bytes, before.trash, before.highest) {
            return Ok(false);
        }
        self.change(slot, |writes| {
            (writes.objects, writes.bytes, writes.trash, writes.highest) = counted;
        })?;
        Ok(true)
    }

    /// Destroys the keys of a damaged object. One whose value cannot be read may leave its identity behind, which
    /// `store check` names.
    fn destroy_damaged(&mut self, found: &DamagedRow, version: SlotVersion) -> Result<()> {
        crate::rules::check_version(self, version)?;
        let slot = found.slot.unwrap_or(version.slot);
        let at: At = self.place(slot)?;
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
        }
        // The lists that lead to it by its row.
        let leads = |key: &[u8]| Keys::row_of(key) == Some(found.id);
        let identities = self.range(slot, Range::prefix(self.inner.keys.identities(at)))?;
        gone.extend(identities.into_iter().filter_map(|(key, value)| {
            let it = Identity::decode(&value).ok()?;
            (it.id == found.id).then_some(key)
        }));
        if found.in_trash {
            for prefix in [
                self.inner.keys.all_trash_identities(at),
                self.inner.keys.all_trash_times(at),
            ] {
                let keys = self.range(
                    slot,
                    Range {
                        keys_only: true,
                        ..Range::prefix(prefix)
                    },
                )?;
                gone.extend(keys.into_iter().map(|it| it.0).filter(|key| leads(key)));
            }
            let names = self.range(slot, Range::prefix(self.inner.keys.all_trash_names(at)))?;
            gone.extend(names.into_iter().filter_map(|(key, value)| {
                let id = values::to_number(&value).ok()?;
                (id == found.id.0.unsigned_abs()).then_some(key)
            }));
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
