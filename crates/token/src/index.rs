//! The objects of a slot, without their secret values, for searches: read once, and brought up to date when something was
//! committed.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};

use slotfs_hsm::{self as hsm, Hsm, Partition, StateMark};
use slotfs_object::pkcs11::*;
use slotfs_object::usable::UsableKey;
use slotfs_object::{Handle, Object, RowId};

use crate::attributes;

/// Attributes that searches name, and that few objects share.
const FAST: &[u32] = &[
    CKA_ID,
    CKA_LABEL,
    CKA_SUBJECT,
    CKA_UNIQUE_ID,
    CKA_SERIAL_NUMBER,
    CKA_ISSUER,
    CKA_MODULUS,
    CKA_EC_POINT,
    CKA_APPLICATION,
];

/// The index of one slot.
#[derive(Default)]
pub(crate) struct Index {
    at: Option<StateMark>,
    objects: BTreeMap<Handle, Indexed>,
    /// Those that do not open: each is reported once.
    damaged: BTreeMap<Handle, RowId>,
    /// For each value of a [`FAST`] attribute, by a hash that only this process can make, the handles of its objects.
    fast: HashMap<u64, Vec<Handle>>,
    hasher: RandomState,
}

struct Indexed {
    row: RowId,
    object: Object,
}

impl Index {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Takes in what was committed since, by whatever process.
    ///
    /// # Errors
    /// As [`Partition::places`].
    pub(crate) fn refresh(&mut self, hsm: &Hsm, partition: &Partition<'_>) -> hsm::Result<()> {
        let at = hsm.mark_of_state()?;
        if self.at == Some(at) {
            return Ok(());
        }
        hsm.refresh_unless_fresh()?;
        let places = partition.places()?;
        let (gone, new) = self.compare(&places);
        for handle in gone {
            self.remove(handle);
        }
        for (handle, row) in new {
            match hsm.open_object(row) {
                Ok((file, object)) if file.handle == handle => self.insert(handle, row, object),
                // Destroyed or renumbered since it was listed: the next search sees it.
                Ok(_) | Err(hsm::Error::Gone) => {}
                Err(error) if error.is_damage() => {
                    if self.damaged.insert(handle, row) != Some(row) {
                        log::warn!("left out of searches: {error}");
                    }
                }
                Err(error) => return Err(error),
            }
        }
        let stays = |it: &(Handle, RowId)| self.damaged.get(&it.0) == Some(&it.1);
        self.damaged = places.into_iter().filter(stays).collect();
        self.at = Some(at);
        Ok(())
    }

    /// The handles that are not in `places` with the same row, and what is there and not here. Both lists ascend.
    fn compare(&self, places: &[(Handle, RowId)]) -> (Vec<Handle>, Vec<(Handle, RowId)>) {
        let (mut gone, mut new) = (Vec::new(), Vec::new());
        let mut known = self.objects.iter().peekable();
        for &(handle, row) in places {
            while let Some((before, _)) = known.next_if(|(known, _)| **known < handle) {
                gone.push(*before);
            }
            match known.next_if(|(known, _)| **known == handle) {
                Some((_, it)) if it.row == row => {}
                there => {
                    gone.extend(there.map(|(handle, _)| *handle));
                    new.push((handle, row));
                }
            }
        }
        gone.extend(known.map(|(handle, _)| *handle));
        (gone, new)
    }

    /// The hash of a value of an attribute.
    fn hash(&self, number: u32, bytes: &[u8]) -> u64 {
        self.hasher.hash_one((number, bytes))
    }

    fn hashes(&self, object: &Object) -> Vec<u64> {
        let value = |number: &u32| Some((*number, attributes::encode(object, *number)?));
        let all = FAST.iter().filter_map(value);
        all.map(|(number, bytes)| self.hash(number, &bytes))
            .collect()
    }

    fn insert(&mut self, handle: Handle, row: RowId, object: Object) {
        // Its secrets are wiped here.
        let object = UsableKey::new(object).into_described();
        for hash in self.hashes(&object) {
            let handles = self.fast.entry(hash).or_default();
            if let Err(place) = handles.binary_search(&handle) {
                handles.insert(place, handle);
            }
        }
        self.objects.insert(handle, Indexed { row, object });
    }

    fn remove(&mut self, handle: Handle) {
        let Some(it) = self.objects.remove(&handle) else {
            return;
        };
        for hash in self.hashes(&it.object) {
            if let Some(handles) = self.fast.get_mut(&hash) {
                if let Ok(place) = handles.binary_search(&handle) {
                    handles.remove(place);
                }
                if handles.is_empty() {
                    self.fast.remove(&hash);
                }
            }
        }
    }

    /// The handles, ascending, of the objects that have all of these attributes with exactly these bytes.
    pub(crate) fn matching(&self, wanted: &[(u32, Vec<u8>)], private_too: bool) -> Vec<Handle> {
        let matches = |it: &Indexed| {
            (private_too || !it.object.is_private())
                && wanted.iter().all(|(number, bytes)| {
                    attributes::encode(&it.object, *number).as_deref() == Some(bytes)
                })
        };
        // The fewest candidates that one of the attributes leaves.
        let fast = wanted.iter().filter(|(number, _)| FAST.contains(number));
        let few = fast
            .map(|(number, bytes)| {
                let handles = self.fast.get(&self.hash(*number, bytes));
                handles.map_or(&[][..], Vec::as_slice)
            })
            .min_by_key(|handles| handles.len());
        match few {
            Some(handles) => {
                let there = |handle: &&Handle| self.objects.get(handle).is_some_and(&matches);
                handles.iter().filter(there).copied().collect()
            }
            None => {
                let all = self.objects.iter().filter(|(_, it)| matches(it));
                all.map(|(handle, _)| *handle).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests;
