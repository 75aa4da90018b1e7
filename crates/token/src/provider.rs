//! What all applications of one store share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use slotfs_hsm::{Hsm, ListedSlot, Login, Logins, SlotRow};
use slotfs_object::SlotId;
use slotfs_object::partition::Role;
use slotfs_wire::Who;
use slotfs_wire::rv::{CKR_DEVICE_ERROR, CKR_SLOT_ID_INVALID};

use crate::error::{Result, Rv};
use crate::index::Index;
use crate::memory::{Memory, Owner};
use crate::{Application, Peer};

/// Session objects have handles above every handle of a slot.
pub(crate) const FIRST_SESSION_OBJECT: u64 = 1 << 32;

/// How a provider behaves.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether a free slot number is shown as a slot with an uninitialised token, for `C_InitToken`.
    pub uninitialized_slot: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            uninitialized_slot: true,
        }
    }
}

/// Serves the applications of one store.
pub struct Provider {
    pub(crate) logins: Arc<Logins>,
    hsm: Arc<Hsm>,
    options: Options,
    /// The next session handle. The first one is random, so that handles of an earlier server mean nothing to this one.
    sessions: AtomicU64,
    objects: AtomicU64,
    indexes: Mutex<HashMap<SlotId, Arc<Mutex<SlotIndex>>>>,
    pub(crate) memory: Memory,
    /// What `slotfs login` opened.
    kept_open: Mutex<HashMap<(SlotId, Role), Login>>,
}

/// The index of one slot's objects, of one partition in it.
#[derive(Default)]
pub(crate) struct SlotIndex {
    serial: Option<u64>,
    pub(crate) index: Index,
}

/// A slot as applications see it.
pub(crate) enum Slot {
    /// A partition.
    Partition(Box<SlotRow>),
    /// The place for one.
    Uninitialized,
    /// A partition whose row cannot be read.
    Damaged,
}

impl Provider {
    /// A provider over `hsm` with its logins.
    ///
    /// # Errors
    /// When the system has no random numbers to give.
    pub fn new(
        hsm: &Arc<Hsm>,
        logins: Arc<Logins>,
        options: Options,
    ) -> slotfs_hsm::Result<Arc<Self>> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes)?;
        // Room for more sessions than a server can open, and never 0.
        let first = (u64::from_ne_bytes(bytes) >> 2) | 1;
        Ok(Arc::new(Self {
            logins,
            hsm: Arc::clone(hsm),
            options,
            sessions: AtomicU64::new(first),
            objects: AtomicU64::new(FIRST_SESSION_OBJECT),
            indexes: Mutex::default(),
            memory: Memory::default(),
            kept_open: Mutex::default(),
        }))
    }

    /// A new application of the server's own user, or of root: one `C_Initialize`.
    pub fn application(self: &Arc<Self>, peer: Peer, who: Who) -> Arc<Application> {
        self.application_of(Owner::Server, peer, who)
    }

    /// A new application: one `C_Initialize`.
    pub fn application_of(
        self: &Arc<Self>,
        owner: Owner,
        peer: Peer,
        who: Who,
    ) -> Arc<Application> {
        Application::new(Arc::clone(self), owner, peer, who)
    }

    /// Changes how long a slot stays open after its last login.
    pub fn set_linger(&self, time: std::time::Duration) {
        self.logins.set_linger(time);
    }

    /// For a server to call now and then: ends what lingers, and forgets the indexes of slots that nobody uses.
    pub fn house_keeping(&self) {
        self.logins.house_keeping();
        let mut indexes = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        indexes.retain(|slot, index| {
            Arc::strong_count(index) > 1 || self.logins.reader(*slot).is_some()
        });
    }

    /// Whether a slot is open until `slotfs logout`, so that the server must not end.
    pub fn is_kept_open(&self) -> bool {
        !self.kept_open().is_empty()
    }

    pub(crate) fn kept_open(&self) -> std::sync::MutexGuard<'_, HashMap<(SlotId, Role), Login>> {
        let kept = self.kept_open.lock();
        kept.unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn hsm(&self) -> &Arc<Hsm> {
        &self.hsm
    }

    pub(crate) fn next_session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn next_object(&self) -> u64 {
        self.objects.fetch_add(1, Ordering::Relaxed)
    }

    /// The slots that `peer` may see, by number.
    pub(crate) fn slots(&self, peer: &Peer) -> Result<Vec<(SlotId, Slot)>> {
        let listed = self.hsm.slots()?;
        let free = self.free_slot(peer, &listed);
        let mut slots: Vec<(SlotId, Slot)> = Vec::new();
        for it in listed {
            let Some(slot) = it.slot else { continue };
            match it.row {
                Ok(row) if peer.admits(&row) => slots.push((slot, Slot::Partition(Box::new(row)))),
                Ok(_) => {}
                Err(_) if *peer == Peer::All => slots.push((slot, Slot::Damaged)),
                Err(_) => {}
            }
        }
        slots.extend(free.map(|slot| (slot, Slot::Uninitialized)));
        slots.sort_by_key(|(slot, _)| *slot);
        Ok(slots)
    }

    /// The lowest free number, where a partition can be made.
    fn free_slot(&self, peer: &Peer, listed: &[ListedSlot]) -> Option<SlotId> {
        let shown = self.options.uninitialized_slot && *peer == Peer::All;
        if !shown || self.hsm.is_read_only() {
            return None;
        }
        let taken = |number: u32| listed.iter().any(|it| it.slot == Some(SlotId(number)));
        (0..=u32::MAX).find(|number| !taken(*number)).map(SlotId)
    }

    /// One slot, if `peer` may see it.
    ///
    /// # Errors
    /// `CKR_SLOT_ID_INVALID`
    pub(crate) fn slot(&self, peer: &Peer, number: u64) -> Result<(SlotId, Slot)> {
        let invalid = Rv(CKR_SLOT_ID_INVALID);
        let slot = u32::try_from(number).map(SlotId).map_err(|_| invalid)?;
        match self.hsm.partition(slot).row() {
            Ok(row) if peer.admits(&row) => Ok((slot, Slot::Partition(Box::new(row)))),
            Ok(_) => Err(invalid),
            Err(error) if error.is_no_such_slot() => {
                let free = self.free_slot(peer, &self.hsm.slots()?);
                let free = free.filter(|free| *free == slot);
                free.map(|_| (slot, Slot::Uninitialized)).ok_or(invalid)
            }
            Err(error) if error.is_slot_damaged() && *peer == Peer::All => {
                Ok((slot, Slot::Damaged))
            }
            Err(error) if error.is_slot_damaged() => Err(invalid),
            Err(error) => Err(error.into()),
        }
    }

    /// Calls `work` with the index of a slot, brought up to date through `hsm`.
    pub(crate) fn with_index<T>(
        &self,
        slot: SlotId,
        hsm: &Hsm,
        work: impl FnOnce(&Index) -> T,
    ) -> Result<T> {
        let index = {
            let mut indexes = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(indexes.entry(slot).or_default())
        };
        let mut index = index.lock().unwrap_or_else(PoisonError::into_inner);
        let partition = hsm.partition(slot);
        let serial = partition.id()?.serial;
        if index.serial != Some(serial) {
            *index = SlotIndex {
                serial: Some(serial),
                index: Index::new(),
            };
        }
        index.index.refresh(hsm, &partition)?;
        Ok(work(&index.index))
    }
}

/// The role of a CKU number, where it names one; `CKU_USER` is who the application says.
pub(crate) fn role_of(user: u64, who: Who) -> Option<Role> {
    use slotfs_wire::numbers::{CKU_SO, CKU_USER};
    /// Luna's crypto user.
    const CKU_LIMITED_USER: u64 = 0x8000_0001;
    match (user, who) {
        (CKU_SO, _) => Some(Role::Po),
        (CKU_USER, Who::Co) => Some(Role::Co),
        (CKU_USER, Who::Cu) | (CKU_LIMITED_USER, _) => Some(Role::Cu),
        _ => None,
    }
}

/// The error of a slot whose row is damaged.
pub(crate) const DAMAGED: Rv = Rv(CKR_DEVICE_ERROR);
