//! Writes of objects.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::committer::{Hint, Hints, MOST_OBJECTS, MOST_PAYLOAD_BYTES, Weight, Work};
use super::fetch::Range;
use super::keys::{Keys, Place as At};
use super::tx::Tx;
use super::values::Lock;
use super::{Inner, Store, lock};
use crate::Reply;
use crate::error::{Error, Result, StoreFault};
use crate::rows::*;
use crate::rules;
use slotfs_object::{Handle, RowId, SlotId};

impl Store {
    pub(crate) fn put(&self, put: Put, reply: impl Reply<Stored>) {
        let (slots, weight) = (vec![put.slot.slot], weight_of(&put));
        let hint = identities(std::slice::from_ref(&put));
        self.write_new(
            slots,
            weight,
            Some(hint),
            move |tx| rules::store_object(tx, &put),
            reply,
        );
    }

    pub(crate) fn put_many(
        &self,
        puts: Vec<Put>,
        source: SlotVersion,
        reply: impl Reply<Vec<Result<Stored>>>,
    ) {
        let parts = parted(puts, weight_of);
        let gather = Gather::new(parts.len(), reply);
        for (nth, puts) in parts.into_iter().enumerate() {
            let count = puts.len();
            let mut slots: Vec<SlotId> = puts.iter().map(|put| put.slot.slot).collect();
            slots.push(source.slot);
            let (weight, hint) = (total(puts.iter().map(weight_of)), identities(&puts));
            let work = move |tx: &mut Tx<'_>| rules::store_objects(tx, &puts, Some(source));
            let gather = Arc::clone(&gather);
            let reply = move |outcome| gather.take(nth, count, outcome);
            self.write_new(slots, weight, Some(hint), work, reply);
        }
    }

    pub(crate) fn put_groups(
        &self,
        groups: Vec<Vec<Put>>,
        reply: impl Reply<Vec<Result<Vec<Stored>>>>,
    ) {
        let of_group = |group: &Vec<Put>| total(group.iter().map(weight_of));
        let parts = parted(groups, of_group);
        let gather = Gather::new(parts.len(), reply);
        for (nth, groups) in parts.into_iter().enumerate() {
            let count = groups.len();
            let slots = groups.iter().flatten().map(|put| put.slot.slot).collect();
            let weight = total(groups.iter().map(of_group));
            let hint = of_identities(groups.iter().flatten());
            let work = move |tx: &mut Tx<'_>| rules::store_groups(tx, &groups);
            let gather = Arc::clone(&gather);
            let reply = move |outcome| gather.take(nth, count, outcome);
            self.write_new(slots, weight, Some(hint), work, reply);
        }
    }

    pub(crate) fn put_all(&self, puts: Vec<Put>, reply: impl Reply<Vec<Stored>>) {
        let slots = puts.iter().map(|put| put.slot.slot).collect();
        let (weight, hint) = (total(puts.iter().map(weight_of)), identities(&puts));
        let work = move |tx: &mut Tx<'_>| rules::store_together(tx, &puts);
        self.write_new(slots, weight, Some(hint), work, reply);
    }

    pub(crate) fn reserve_row(&self) -> Option<RowId> {
        self.committer.as_ref()?;
        let until = self.inner.client.deadline().settling;
        match self.inner.fresh_row(until) {
            Ok(id) => Some(id),
            Err(error) => {
                log::debug!("no rows can be reserved: {error}");
                None
            }
        }
    }

    pub(crate) fn move_object(&self, it: Move, reply: impl Reply<Stored>) {
        let slots = vec![it.from_slot.slot, it.put.slot.slot];
        let weight = weight_of(&it.put);
        let mut hint = Hints::default();
        hint.identities.push((it.put.slot.slot, it.put.ouid));
        let hint: Hint = Box::new(move |_, _| hint.clone());
        let work = move |tx: &mut Tx<'_>| rules::move_object(tx, &it);
        self.write(slots, weight, Some(hint), work, reply);
    }

    pub(crate) fn revise(&self, from: Entry, put: Put, reply: impl Reply<Stored>) {
        let (slots, weight) = (vec![from.slot], weight_of(&put));
        let hint = Some(of_leaving(from));
        let work = move |tx: &mut Tx<'_>| rules::revise_object(tx, from, &put);
        self.write(slots, weight, hint, work, reply);
    }

    pub(crate) fn renumber(
        &self,
        from: Entry,
        slot: SlotVersion,
        to: Handle,
        seal: Seal,
        reply: impl Reply<()>,
    ) {
        let hint: Hint = Box::new(move |keys, writes| {
            let mut hints = Hints::default();
            if let Some(at) = place(from.slot, writes) {
                for handle in [from.handle, to] {
                    hints.keys.push((from.slot, keys.handle(at, handle.get())));
                }
            }
            hints
        });
        let weight = Weight {
            objects: 1,
            bytes: from.payload_bytes as usize + Weight::REMOVAL.bytes,
        };
        let work = move |tx: &mut Tx<'_>| rules::renumber(tx, from, slot, to, &seal);
        self.write(vec![from.slot], weight, Some(hint), work, reply);
    }

    pub(crate) fn destroy(&self, it: Entry, slot: SlotVersion, reply: impl Reply<()>) {
        let work = move |tx: &mut Tx<'_>| rules::destroy(tx, it, slot);
        self.write(
            vec![it.slot],
            Weight::REMOVAL,
            Some(of_leaving(it)),
            work,
            reply,
        );
    }

    /// Queues a write that brings an object in: refused while the quota is almost used up.
    fn write_new<T: Send + 'static>(
        &self,
        slots: Vec<SlotId>,
        weight: Weight,
        hint: Option<Hint>,
        work: impl Work<T>,
        reply: impl Reply<T>,
    ) {
        if let Some(why) = lock(&self.inner.full).clone() {
            log::warn!("{}: {why}", slotfs_object::shown::path(&self.inner.path));
            return reply(Err(self.inner.fault(StoreFault::QuotaFull)));
        }
        self.write(slots, weight, hint, work, reply);
    }

    /// Queues a write; `reply` is called with its outcome.
    pub(super) fn write<T: Send + 'static>(
        &self,
        slots: Vec<SlotId>,
        weight: Weight,
        hint: Option<Hint>,
        work: impl Work<T>,
        reply: impl Reply<T>,
    ) {
        self.write_with(slots, weight, (hint, None), work, reply);
    }

    fn write_with<T: Send + 'static>(
        &self,
        slots: Vec<SlotId>,
        weight: Weight,
        how: (Option<Hint>, Option<Lock>),
        work: impl Work<T>,
        reply: impl Reply<T>,
    ) {
        match &self.committer {
            Some(committer) => committer.submit(slots, weight, how, work, reply),
            None => reply(Err(self.inner.fault(StoreFault::ReadOnly))),
        }
    }

    /// The same, and waits for the outcome.
    pub(super) fn write_now<T: Send + 'static>(
        &self,
        slots: Vec<SlotId>,
        work: impl Work<T>,
    ) -> Result<T> {
        self.write_alone(slots, None, work)
    }

    /// The same to a slot that this process has locked.
    pub(super) fn write_under<T: Send + 'static>(
        &self,
        slot: SlotId,
        held: Lock,
        work: impl Work<T>,
    ) -> Result<T> {
        self.write_alone(vec![slot], Some(held), work)
    }

    fn write_alone<T: Send + 'static>(
        &self,
        slots: Vec<SlotId>,
        key_to: Option<Lock>,
        work: impl Work<T>,
    ) -> Result<T> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        self.write_with(slots, Weight::ALONE, (None, key_to), work, move |outcome| {
            // The receiver waits below.
            let _ = sender.send(outcome);
        });
        let stopped = |_| Err(Error::failed(&self.inner.path, "the committer stopped"));
        receiver.recv().unwrap_or_else(stopped)
    }
}

impl Inner {
    /// A row id that no object ever had.
    pub(super) fn fresh_row(&self, until: Instant) -> Result<RowId> {
        let id = self.fresh_id(until)?;
        i64::try_from(id)
            .map(RowId)
            .map_err(|_| Error::failed(&self.path, "no row ids are left"))
    }
}

fn weight_of(put: &Put) -> Weight {
    Weight {
        objects: 1,
        bytes: put.payload_bytes as usize,
    }
}

fn total(weights: impl Iterator<Item = Weight>) -> Weight {
    weights.fold(Weight::default(), |one, other| Weight {
        objects: one.objects + other.objects,
        bytes: one.bytes + other.bytes,
    })
}

/// What fits into one transaction each, in order. At least one part.
fn parted<T>(all: Vec<T>, weight: impl Fn(&T) -> Weight) -> Vec<Vec<T>> {
    let mut parts = vec![Vec::new()];
    let mut filled = Weight::default();
    for it in all {
        let more = weight(&it);
        let sum = total([filled, more].into_iter());
        let full = sum.objects > MOST_OBJECTS || sum.bytes > MOST_PAYLOAD_BYTES;
        if full && parts.last().is_some_and(|part| !part.is_empty()) {
            parts.push(Vec::new());
            filled = more;
        } else {
            filled = sum;
        }
        if let Some(part) = parts.last_mut() {
            part.push(it);
        }
    }
    parts
}

/// The outcomes of the parts of one call.
struct Gather<T, R> {
    parts: Mutex<Option<Parts<T, R>>>,
}

struct Parts<T, R> {
    outcomes: Vec<Option<Result<Vec<Result<T>>>>>,
    reply: R,
}

impl<T: Send + 'static, R: Reply<Vec<Result<T>>>> Gather<T, R> {
    fn new(count: usize, reply: R) -> Arc<Self> {
        let outcomes = (0..count).map(|_| None).collect();
        Arc::new(Self {
            parts: Mutex::new(Some(Parts { outcomes, reply })),
        })
    }

    /// Takes the outcome of one part, which had `count` entries; replies when it was the last. Where the slot changed
    /// meanwhile, the caller does all of it again; any other error is that of the entries in its part.
    fn take(&self, nth: usize, count: usize, outcome: Result<Vec<Result<T>>>) {
        let mut parts = lock(&self.parts);
        let Some(known) = parts.as_mut() else { return };
        let alone = known.outcomes.len() == 1;
        if let Some(place) = known.outcomes.get_mut(nth) {
            *place = Some(match outcome {
                Err(error) if !alone && !error.is_changed() => {
                    Ok((0..count).map(|_| Err(error.clone())).collect())
                }
                outcome => outcome,
            });
        }
        if known.outcomes.iter().any(Option::is_none) {
            return;
        }
        let Some(done) = parts.take() else { return };
        drop(parts);
        let all: Result<Vec<Vec<Result<T>>>> = done.outcomes.into_iter().flatten().collect();
        (done.reply)(all.map(|all| all.into_iter().flatten().collect()));
    }
}

/// Where the rows of a slot lie.
pub(super) fn place(
    slot: SlotId,
    writes: &dyn Fn(SlotId) -> Option<super::values::Writes>,
) -> Option<At> {
    let epoch = writes(slot)?.epoch;
    Some(At { slot, epoch })
}

fn identities(puts: &[Put]) -> Hint {
    of_identities(puts.iter())
}

fn of_identities<'a>(puts: impl Iterator<Item = &'a Put>) -> Hint {
    let all = puts.map(|put| (put.slot.slot, put.ouid, put.unless_removed));
    let all: Vec<_> = all.collect();
    Box::new(move |keys, writes| {
        let mut hints = Hints::default();
        for (slot, ouid, unless_removed) in &all {
            hints.identities.push((*slot, *ouid));
            if *unless_removed && let Some(at) = place(*slot, writes) {
                let prefix = keys.trash_identities(at, *ouid);
                hints.ranges.push((*slot, Range::keys(prefix)));
            }
        }
        hints
    })
}

/// What is read of an object that leaves its slot.
pub(super) fn of_leaving(it: Entry) -> Hint {
    Box::new(move |keys: &Keys, writes| {
        let mut hints = Hints::default();
        let Some(now) = writes(it.slot) else {
            return hints;
        };
        let at = At {
            slot: it.slot,
            epoch: now.epoch,
        };
        for key in [
            keys.handle(at, it.handle.get()),
            keys.sealed(at, now.sealing, it.id),
            keys.slot(it.slot),
        ] {
            hints.keys.push((it.slot, key));
        }
        for prefix in [
            keys.trash_identities(at, it.ouid),
            keys.trash_names(at, it.handle),
        ] {
            hints.ranges.push((it.slot, Range::keys(prefix)));
        }
        hints
    })
}
