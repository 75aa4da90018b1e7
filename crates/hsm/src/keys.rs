//! Keys in use: opened once, and kept while their slot is open and their rows are as they were.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    Error, Handle, Hsm, Partition, Result, RowId, SlotError, SlotId, decode_own, now_secs,
};
use slotfs_object::usable::{UsableKey, Usage, day_of};
use slotfs_store::StateMark;

/// The most keys that are kept at once, of all slots.
const MOST_KEPT: usize = 1_024;

/// The keys that are kept.
#[derive(Default)]
pub(super) struct Keys(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    entries: HashMap<(SlotId, Handle), Entry>,
    /// Counts uses, so that the key that was not used for the longest time leaves first.
    uses: u64,
    /// The state of the store in which the keys were last compared with it.
    compared: Option<StateMark>,
}

struct Entry {
    key: Arc<UsableKey>,
    row: RowId,
    /// Of the partition.
    serial: u64,
    /// The state of the store in which the handle was last seen to name the row.
    at: StateMark,
    used: u64,
}

impl Keys {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the keys of a slot, which wipes those that nobody uses at this moment.
    pub(super) fn forget(&self, slot: SlotId) {
        self.kept().entries.retain(|(of, _), _| *of != slot);
    }

    /// Forgets the key that was under a handle.
    pub(super) fn forget_one(&self, slot: SlotId, handle: Handle) {
        self.kept().entries.remove(&(slot, handle));
    }

    /// The slots of the keys that are kept.
    fn slots(&self) -> BTreeSet<SlotId> {
        self.kept().entries.keys().map(|(slot, _)| *slot).collect()
    }
}

impl Kept {
    /// A key that was opened before, while nothing was committed since, or its handle still names `row`.
    fn get(
        &mut self,
        place: (SlotId, Handle),
        serial: u64,
        at: StateMark,
        row: Option<RowId>,
    ) -> Option<Arc<UsableKey>> {
        let entry = self.entries.get_mut(&place)?;
        // A row never gets another content, and no number is given twice.
        if entry.serial != serial || (entry.at != at && Some(entry.row) != row) {
            return None;
        }
        self.uses += 1;
        (entry.at, entry.used) = (at, self.uses);
        Some(Arc::clone(&entry.key))
    }

    fn keep(&mut self, place: (SlotId, Handle), mut entry: Entry) {
        if self.entries.len() >= MOST_KEPT && !self.entries.contains_key(&place) {
            let oldest = self.entries.iter().min_by_key(|(_, it)| it.used);
            if let Some(oldest) = oldest.map(|(place, _)| *place) {
                self.entries.remove(&oldest);
            }
        }
        self.uses += 1;
        entry.used = self.uses;
        self.entries.insert(place, entry);
    }
}

impl Hsm {
    /// Forgets the keys of a slot that no view has open for reading any more.
    pub(super) fn forget_keys_unless_open(&self, slot: SlotId) {
        let open = |view: &Arc<Hsm>| {
            let sessions = view.sessions();
            sessions
                .get(&slot)
                .is_some_and(|it| it.role() != super::Role::Po)
        };
        if !self.views().iter().any(open) {
            self.keys.forget(slot);
        }
    }

    /// Forgets the keys that other processes destroyed or revised. A use would notice, but there may never be one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) fn forget_keys_that_left(&self) -> Result<()> {
        let at = self.store.mark_of_state()?;
        if self.keys.kept().compared == Some(at) {
            return Ok(());
        }
        for slot in self.keys.slots() {
            let places: HashMap<Handle, RowId> = self.store.places(slot)?.into_iter().collect();
            let stays = |handle: &Handle, it: &Entry| places.get(handle) == Some(&it.row);
            let mut kept = self.keys.kept();
            let entries = &mut kept.entries;
            entries.retain(|(of, handle), it| *of != slot || stays(handle, it));
        }
        self.keys.kept().compared = Some(at);
        Ok(())
    }
}

impl Partition<'_> {
    /// Calls `work` with the key `handle`, if its attributes let it be used so today (UTC). The key does not leave: it is
    /// neither cloned nor printed, and wiped with the last login of the slot.
    ///
    /// # Errors
    /// [`SlotError::NotUsable`], [`SlotError::NoSuchObject`], [`SlotError::NotLoggedIn`], [`SlotError::RoleNeeded`] for
    /// po, [`SlotFault::Unreadable`](super::SlotFault::Unreadable).
    pub fn with_key<T>(
        &self,
        handle: Handle,
        usage: Usage,
        mechanism: u64,
        work: impl FnOnce(&UsableKey) -> T,
    ) -> Result<T> {
        let key = self.key(handle)?;
        key.check(usage, mechanism, day_of(now_secs()))
            .map_err(|why| SlotError::NotUsable { handle, why }.at(self.slot))?;
        Ok(work(&key))
    }

    /// The object `handle` as a key, whose attributes its user has to check.
    ///
    /// # Errors
    /// As [`Self::with_key`].
    pub fn key(&self, handle: Handle) -> Result<Arc<UsableKey>> {
        let (hsm, slot) = (self.hsm, self.slot);
        // Another process may have changed the role's secret.
        hsm.refresh_unless_fresh()?;
        let session = self.reader()?;
        let (place, serial) = ((slot, handle), session.row().serial);
        // Read before the row: a commit that comes between makes it an old one.
        let at = hsm.store.mark_of_state()?;
        if let Some(key) = hsm.keys.kept().get(place, serial, at, None) {
            return Ok(key);
        }
        let entry = self
            .entry(handle)
            .inspect_err(|_| hsm.keys.forget_one(slot, handle))?;
        if let Some(key) = hsm.keys.kept().get(place, serial, at, Some(entry.id)) {
            return Ok(key);
        }
        let opened = hsm.again_if_changed(|| {
            let session = self.reader()?;
            let (entry, payload) = hsm.open_by_handle(&session, handle)?;
            Ok((entry, decode_own(slot, handle, payload.bytes())?))
        });
        let (entry, object) = opened.map_err(|error| match error {
            // Destroyed since it was found.
            Error::Gone => SlotError::NoSuchObject(handle).at(slot),
            error => error,
        })?;
        let key = Arc::new(UsableKey::new(object));
        slotfs_object::secret::wipe_stack();
        let kept = Entry {
            key: Arc::clone(&key),
            row: entry.id,
            serial,
            at,
            used: 0,
        };
        hsm.keys.kept().keep(place, kept);
        // A logout meanwhile has wiped the others.
        hsm.forget_keys_unless_open(slot);
        Ok(key)
    }
}
