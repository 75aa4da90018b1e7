//! The names of staging files and folders.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::file::LONGEST_IDLE;
use super::{Folder, Place, Staged};
use crate::fs::node::StagingId;
use crate::hsm::PartitionId;
use crate::object::{RowId, SlotId};

/// The shortest time between two searches for abandoned files.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Table {
    last_id: u64,
    /// No place in it is empty.
    places: BTreeMap<Place, HashMap<Arc<OsStr>, Staged>>,
    names: HashMap<StagingId, (Place, Arc<OsStr>)>,
    /// The files for which a row is reserved.
    rows: HashMap<RowId, StagingId>,
    /// The partition that the entries of each slot belong to.
    partitions: HashMap<SlotId, PartitionId>,
    swept: Option<Instant>,
}

impl Table {
    pub(super) fn get(&self, place: Place, name: &OsStr) -> Option<&Staged> {
        self.places.get(&place)?.get(name)
    }

    pub(super) fn by_id(&self, id: StagingId) -> Option<(Place, &Staged)> {
        let (place, name) = self.names.get(&id)?;
        Some((*place, self.get(*place, name)?))
    }

    pub(super) fn by_row(&self, row: RowId) -> Option<(Place, &Staged)> {
        self.by_id(*self.rows.get(&row)?)
    }

    pub(super) fn insert(&mut self, place: Place, name: &OsStr, staged: Staged) {
        self.remove(place, name);
        let name: Arc<OsStr> = name.into();
        self.names.insert(staged.id(), (place, Arc::clone(&name)));
        if let Some(row) = staged.row() {
            self.rows.insert(row, staged.id());
        }
        self.places.entry(place).or_default().insert(name, staged);
    }

    pub(super) fn remove(&mut self, place: Place, name: &OsStr) -> Option<Staged> {
        let names = self.places.get_mut(&place)?;
        let staged = names.remove(name)?;
        if names.is_empty() {
            self.places.remove(&place);
        }
        self.names.remove(&staged.id());
        if let Some(row) = staged.row() {
            self.rows.remove(&row);
        }
        Some(staged)
    }

    /// Removes what has number `id`.
    pub(super) fn remove_by_id(&mut self, id: StagingId) {
        if let Some((place, name)) = self.names.get(&id).cloned() {
            self.remove(place, &name);
        }
    }

    fn remove_where(&mut self, goes: impl Fn(&Self, Place, &Staged) -> bool) {
        let all = self.places.iter().flat_map(|(place, names)| {
            let staged = names.values();
            staged.filter(|staged| goes(self, *place, staged))
        });
        let ids: Vec<StagingId> = all.map(Staged::id).collect();
        for id in ids {
            self.remove_by_id(id);
        }
    }

    /// Notes the partition that is at `slot` now, if anybody is logged in, and removes what belongs to the one before.
    pub(super) fn enter(&mut self, slot: SlotId, partition: Option<PartitionId>) {
        if let Some(now) = partition
            && let Some(before) = self.partitions.insert(slot, now)
            && before != now
        {
            self.clear(slot);
        }
    }

    /// The partition that the entries of `slot` belong to.
    pub(super) fn partition(&self, slot: SlotId) -> Option<PartitionId> {
        self.partitions.get(&slot).copied()
    }

    pub(super) fn clear(&mut self, slot: SlotId) {
        self.remove_where(|_, place, _| place.slot == slot);
    }

    /// The names at `place`.
    pub(super) fn at(&self, place: Place) -> impl Iterator<Item = (&OsStr, &Staged)> {
        let names = self.places.get(&place).into_iter().flatten();
        names.map(|(name, staged)| (&**name, staged))
    }

    pub(super) fn is_empty_folder(&self, slot: SlotId, id: StagingId) -> bool {
        let folder = Folder::Staging(id);
        !self.places.contains_key(&Place { slot, folder })
    }

    /// Removes abandoned files, and then the old folders that are empty.
    pub(super) fn sweep(&mut self) {
        self.swept = Some(Instant::now());
        self.remove_where(|_, _, staged| match staged {
            Staged::File(file) => file.is_abandoned(),
            Staged::Folder(..) => false,
        });
        self.remove_where(|table, place, staged| match staged {
            Staged::File(_) => false,
            Staged::Folder(id, made) => {
                made.at.elapsed() > LONGEST_IDLE && table.is_empty_folder(place.slot, *id)
            }
        });
    }

    /// Sweeps, but not more often than [`SWEEP_EVERY`], because a program that is refused may try again at once. Returns
    /// whether it swept.
    pub(super) fn sweep_if_due(&mut self) -> bool {
        let due = self.swept.is_none_or(|at| at.elapsed() > SWEEP_EVERY);
        if due {
            self.sweep();
        }
        due
    }

    pub(super) fn next_id(&mut self) -> StagingId {
        self.last_id += 1;
        StagingId(self.last_id)
    }
}
