//! Making a partition, changing it, and removing it with all its rows.

use std::collections::HashSet;
use std::path::Path;

use super::fetch::Range;
use super::keys::{Key, Keys, PartKind, Place as At};
use super::tx::{Planned, Tx};
use super::values::{self, Garbage, Writes};
use super::{Inner, Store, lock};
use crate::MOST_OBJECTS_IN_CLUSTER;
use crate::error::{Error, Result, SlotFault};
use crate::rows::*;
use crate::rules::check_version;
use slotfs_object::SlotId;
use slotfs_object::sealed::PartId;

impl Store {
    pub(crate) fn create_slot(&self, new: NewSlot) -> Result<()> {
        let slot = new.row.slot;
        check_number(slot, &self.inner.path)?;
        if new.row.capacity_objects > MOST_OBJECTS_IN_CLUSTER {
            let why = format!(
                "a slot in a cluster holds {MOST_OBJECTS_IN_CLUSTER} objects at the most; give a lower -capacity"
            );
            return Err(Error::failed(&self.inner.path, why));
        }
        self.write_now(vec![slot], move |tx| create_slot(tx, &new))?;
        self.inner.sweep_now();
        Ok(())
    }

    pub(crate) fn change_slot(&self, change: SlotChange) -> Result<Changed> {
        let SlotChange {
            from,
            row,
            parts,
            objects,
        } = change;
        let slot = row.slot;
        let destroy = match objects {
            Objects::Keep => false,
            Objects::Destroy => true,
            Objects::Reseal {
                reseal,
                leave_damaged,
            } => return self.reseal(from, row, parts, reseal, leave_damaged),
        };
        let changed = self.write_now(vec![slot], move |tx| {
            check_version(tx, from)?;
            let destroyed = match destroy {
                true => clear(tx, slot)?,
                false => 0,
            };
            put_slot(tx, &row, &parts)?;
            Ok(Changed {
                destroyed,
                damaged: 0,
            })
        })?;
        self.inner.sweep_now();
        Ok(changed)
    }

    pub(crate) fn clear_slot(&self, slot: SlotVersion) -> Result<u64> {
        let destroyed = self.write_now(vec![slot.slot], move |tx| {
            check_version(tx, slot)?;
            clear(tx, slot.slot)
        })?;
        self.inner.sweep_now();
        Ok(destroyed)
    }

    pub(crate) fn delete_slot(&self, slot: SlotVersion) -> Result<u64> {
        let destroyed = self.write_now(vec![slot.slot], move |tx| {
            check_version(tx, slot)?;
            let objects = tx.there(slot.slot)?.writes.objects;
            delete(tx, slot.slot)?;
            Ok(objects)
        })?;
        self.inner.sweep_now();
        Ok(destroyed)
    }

    pub(crate) fn delete_marked_slot(&self, slot: SlotId, marked: PartitionMark) -> Result<()> {
        self.write_now(vec![slot], move |tx| {
            if mark_even_damaged(tx, slot)? != Some(marked.clone()) {
                return Err(SlotFault::Changed.at(slot));
            }
            delete(tx, slot)
        })?;
        self.inner.sweep_now();
        Ok(())
    }
}

/// What was seen of the cluster is remembered under the highest number.
pub(super) fn check_number(slot: SlotId, store: &Path) -> Result<()> {
    if slot == SlotId(u32::MAX) {
        let why = format!("slot {slot} cannot be in a cluster; use a lower number");
        return Err(Error::failed(store, why));
    }
    Ok(())
}

fn create_slot(tx: &mut Tx<'_>, new: &NewSlot) -> Result<()> {
    let slot = new.row.slot;
    let there = mark_even_damaged(tx, slot)?;
    if there != new.replaces {
        return Err(SlotFault::Exists.at(slot));
    }
    let replaces = there.is_some();
    if replaces {
        remove_parts(tx, slot, |_, _| false)?;
        throw_away(tx, slot)?;
    }
    let writes = Writes {
        serial: new.row.serial,
        generation: new.row.generation,
        epoch: tx.fresh_id()?,
        sealing: tx.fresh_id()?,
        objects: 0,
        bytes: 0,
        trash: 0,
        highest: 0,
        lock: None,
    };
    let there = tx.slots.get(&slot);
    let planned = Planned {
        revision: there.map_or(0, |it| it.revision),
        before: there.map_or(writes, |it| it.before),
        writes,
        changed: true,
        checked: true,
    };
    tx.slots.insert(slot, planned);
    put_slot(tx, &new.row, &new.parts)
}

/// The mark of what is in a slot. A slot whose `w` cannot be read is planned with what it might be, so that it can be
/// replaced or removed.
fn mark_even_damaged(tx: &mut Tx<'_>, slot: SlotId) -> Result<Option<PartitionMark>> {
    let damaged = {
        let cache = lock(&tx.inner.cache);
        match cache.writes(slot) {
            Some((revision, Err(_))) => Some(revision),
            _ => None,
        }
    };
    if let Some(revision) = damaged {
        let unknown = Writes {
            serial: 0,
            generation: 0,
            epoch: 0,
            sealing: 0,
            objects: 0,
            bytes: 0,
            trash: 0,
            highest: 0,
            lock: None,
        };
        tx.slots.insert(
            slot,
            Planned {
                revision,
                before: unknown,
                writes: unknown,
                changed: true,
                checked: true,
            },
        );
        return Ok(Some(PartitionMark(format!("damaged, revision {revision}"))));
    }
    let there = tx.planned(slot)?;
    Ok(there.map(|it| PartitionMark::from(it.writes.serial)))
}

/// Puts the row of a slot, and the rows that its header names. Credentials that are stored already stay as they are, but
/// for their pairs; domains and SMKs stay altogether.
pub(super) fn put_slot(tx: &mut Tx<'_>, row: &SlotRow, parts: &SlotRows) -> Result<()> {
    let slot = row.slot;
    let ids = |ids: &mut dyn Iterator<Item = PartId>| ids.collect::<HashSet<PartId>>();
    let credentials = ids(&mut parts.credentials.iter().map(|it| it.id));
    let domains = ids(&mut parts.domains.iter().map(|it| it.id));
    let smks = ids(&mut parts.smks.iter().map(|it| it.id));
    let kept = remove_parts(tx, slot, |kind, id| match kind {
        PartKind::Credential => credentials.contains(&id),
        PartKind::Domain => domains.contains(&id),
        PartKind::Smk => smks.contains(&id),
    })?;
    let there = |key: &Key| kept.iter().find(|it| it.0 == *key).map(|it| &it.1);
    for it in &parts.credentials {
        let key = tx.inner.keys.part(slot, PartKind::Credential, it.id);
        let value = match there(&key).map(|value| values::to_credential(it.id, 0, value)) {
            Some(Ok(stored)) => values::credential(&CredentialRow {
                pair: it.pair.clone().or(stored.pair.clone()),
                ..stored
            }),
            _ => values::credential(it),
        };
        tx.set(slot, key, Some(value));
    }
    for it in &parts.domains {
        let key = tx.inner.keys.part(slot, PartKind::Domain, it.id);
        if there(&key).is_none() {
            tx.set(slot, key, Some(values::domain(it)));
        }
    }
    for it in &parts.smks {
        let key = tx.inner.keys.part(slot, PartKind::Smk, it.id);
        if there(&key).is_none() {
            tx.set(slot, key, Some(values::smk(it)));
        }
    }
    let key = tx.inner.keys.slot(slot);
    tx.set(slot, key, Some(values::slot_row(row)));
    tx.change(slot, |writes| {
        writes.serial = row.serial;
        writes.generation = row.generation;
    })
}

/// Removes the rows that `keep` does not name, and the counts of removed credentials; what is kept.
fn remove_parts(
    tx: &mut Tx<'_>,
    slot: SlotId,
    keep: impl Fn(PartKind, PartId) -> bool,
) -> Result<Vec<(Key, Vec<u8>)>> {
    if tx.slots.get(&slot).is_some_and(Planned::is_new) {
        return Ok(Vec::new());
    }
    let all = Range::prefix(tx.inner.keys.parts(slot));
    let mut kept = Vec::new();
    for (key, value) in tx.range(slot, all)? {
        match tx.inner.keys.part_of(slot, &key) {
            Some((kind, id)) if keep(kind, id) => kept.push((key, value)),
            part => {
                tx.set(slot, key, None);
                if let Some((PartKind::Credential, id)) = part {
                    let failures = tx.inner.keys.failures(slot, id);
                    tx.set(slot, failures, None);
                }
            }
        }
    }
    Ok(kept)
}

/// Destroys every object of a slot: its rows lie under another epoch from now on. How many objects there were.
fn clear(tx: &mut Tx<'_>, slot: SlotId) -> Result<u64> {
    let before = tx.there(slot)?.writes;
    throw_away(tx, slot)?;
    let (epoch, sealing) = (tx.fresh_id()?, tx.fresh_id()?);
    tx.change(slot, |writes| {
        *writes = Writes {
            epoch,
            sealing,
            objects: 0,
            bytes: 0,
            trash: 0,
            highest: 0,
            ..*writes
        };
    })?;
    tx.runs.clear();
    Ok(before.objects)
}

/// Removes a slot with all its rows.
fn delete(tx: &mut Tx<'_>, slot: SlotId) -> Result<()> {
    remove_parts(tx, slot, |_, _| false)?;
    throw_away(tx, slot)?;
    for key in [tx.inner.keys.slot(slot), tx.inner.keys.writes(slot)] {
        tx.set(slot, key, None);
    }
    tx.change(slot, |_| ())?;
    Ok(())
}

/// Notes that the rows of a slot are to be deleted.
fn throw_away(tx: &mut Tx<'_>, slot: SlotId) -> Result<()> {
    let epoch = tx.there(slot)?.writes.epoch;
    let epochs = match epoch {
        // It could not be read.
        0 => tx.inner.epochs(slot)?,
        epoch => vec![epoch],
    };
    for epoch in epochs {
        let garbage = Garbage {
            slot,
            epoch,
            sealing: None,
        };
        let key = tx.inner.keys.garbage(tx.fresh_id()?);
        tx.set(slot, key, Some(garbage.encode()));
    }
    Ok(())
}

impl Inner {
    /// The epochs that rows of a slot lie under, by its keys.
    fn epochs(&self, slot: SlotId) -> Result<Vec<u64>> {
        let place = |epoch| At { slot, epoch };
        let mut found = Vec::new();
        let kinds: [fn(&Keys, At) -> Key; 2] = [Keys::handles, Keys::all_trashed];
        for kind in kinds {
            let mut epoch = 0;
            let end = super::keys::end_of(&kind(&self.keys, place(u64::MAX)));
            loop {
                let start = kind(&self.keys, place(epoch));
                let prefix = start.len();
                let first = Range {
                    start,
                    end: end.clone(),
                    limit: 1,
                    keys_only: true,
                };
                let pairs = self.raw_range(&first)?;
                let Some((key, _)) = pairs.first() else { break };
                let there = key.get(prefix - 8..prefix);
                let Some(there) = there.and_then(|it| it.try_into().ok()) else {
                    break;
                };
                let there = u64::from_be_bytes(there);
                if !found.contains(&there) {
                    found.push(there);
                }
                let Some(next) = there.checked_add(1) else {
                    break;
                };
                epoch = next;
            }
        }
        Ok(found)
    }
}
