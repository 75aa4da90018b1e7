//! The logins of many applications to one store (docs/architecture.md, "The token server"): one view of it for each role,
//! which is logged in to a slot while any application is.
//!
//! Argon2id runs once for each role while its slot stays open: a later password is compared with a verifier. A wrong one
//! takes the full path, and is counted there.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{
    Hsm, Partition, Presented, Result, Role, Secret, SecretBytes, SlotError, SlotId, SlotKind,
};
use slotfs_object::sealed::PartId;
use slotfs_seal::credential::Verifier;

/// The logins of every application that one process serves.
pub struct Logins {
    /// What the process itself is logged in to, such as a mount.
    own: Arc<Hsm>,
    /// For po, co and cu.
    views: [Arc<Hsm>; 3],
    places: Mutex<HashMap<(SlotId, Role), Arc<Place>>>,
    linger: Mutex<Duration>,
    /// Whether the log was told that keys may still be in memory.
    has_warned: AtomicBool,
}

/// One role of one slot.
struct Place {
    view: Arc<Hsm>,
    slot: SlotId,
    role: Role,
    /// Counts the times that it was opened. A login of an earlier time is dead.
    time: AtomicU64,
    gate: Mutex<Gate>,
}

/// Held while somebody logs in or out, so that Argon2id runs once where many log in at once.
#[derive(Default)]
struct Gate {
    users: u64,
    verifier: Option<Held>,
    /// When it is closed, with no users left.
    until: Option<Instant>,
    /// Wrong passwords since the last right one, where the store cannot count them.
    failures: u32,
}

/// A verifier, and the credential that its password opened.
struct Held {
    verifier: Verifier,
    credential: (PartId, Option<u64>),
}

/// A login of one application. It ends when it is dropped, and the last one of a role closes the slot for it.
pub struct Login {
    logins: Arc<Logins>,
    place: Arc<Place>,
    time: u64,
}

impl Logins {
    /// Of a process that is itself logged in through `own`.
    pub fn new(own: &Arc<Hsm>) -> Arc<Self> {
        Arc::new(Self {
            own: Arc::clone(own),
            views: [own.view(), own.view(), own.view()],
            places: Mutex::default(),
            linger: Mutex::default(),
            has_warned: AtomicBool::new(false),
        })
    }

    /// Keeps a slot open for some time after its last login, so that the next one is cheap. It never replaces a password.
    pub fn set_linger(&self, time: Duration) {
        *self.linger.lock().unwrap_or_else(PoisonError::into_inner) = time;
    }

    fn view(&self, role: Role) -> &Arc<Hsm> {
        let [po, co, cu] = &self.views;
        match role {
            Role::Po => po,
            Role::Co => co,
            Role::Cu => cu,
        }
    }

    fn place(&self, slot: SlotId, role: Role) -> Arc<Place> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let place = places.entry((slot, role)).or_insert_with(|| {
            Arc::new(Place {
                view: Arc::clone(self.view(role)),
                slot,
                role,
                time: AtomicU64::new(0),
                gate: Mutex::default(),
            })
        });
        Arc::clone(place)
    }

    /// Logs an application in. The first login of a role takes as long as its Argon2id.
    ///
    /// # Errors
    /// As [`Partition::login`].
    pub fn login(self: &Arc<Self>, slot: SlotId, role: Role, secret: &Secret) -> Result<Login> {
        let place = self.place(slot, role);
        let mut gate = place.gate();
        place.view.refresh()?;
        if !place.accepts(&gate, secret)? {
            place.log_in(&mut gate, secret)?;
        }
        let login = self.enter(&place, &mut gate);
        drop(gate);
        Ok(login)
    }

    /// Takes one key share of a role after the other, in a quorum slot; the last one gives the login.
    ///
    /// # Errors
    /// As [`Partition::present`].
    pub fn present(
        self: &Arc<Self>,
        slot: SlotId,
        role: Role,
        share: &SecretBytes,
    ) -> Result<(Presented, Option<Login>)> {
        let place = self.place(slot, role);
        let mut gate = place.gate();
        place.view.refresh()?;
        let was_open = place.is_open();
        let presented = place.partition().present(role, share)?;
        if matches!(presented, Presented::Share { .. }) {
            return Ok((presented, None));
        }
        if !was_open {
            place.begin(&mut gate);
        }
        let login = self.enter(&place, &mut gate);
        drop(gate);
        Ok((presented, Some(login)))
    }

    /// Logs an application in to a quorum slot that somebody opened with key shares.
    ///
    /// # Errors
    /// [`SlotError::NotLoggedIn`], [`SlotError::OtherAuthentication`] for a slot of passwords.
    pub fn join(self: &Arc<Self>, slot: SlotId, role: Role) -> Result<Login> {
        let place = self.place(slot, role);
        let mut gate = place.gate();
        place.view.refresh()?;
        let kind = place.partition().row()?.kind;
        if kind != SlotKind::Quorum {
            return Err(SlotError::OtherAuthentication(kind).at(slot));
        }
        if !place.is_open() || gate.users == 0 {
            return Err(SlotError::NotLoggedIn.at(slot));
        }
        let login = self.enter(&place, &mut gate);
        drop(gate);
        Ok(login)
    }

    fn enter(self: &Arc<Self>, place: &Arc<Place>, gate: &mut Gate) -> Login {
        gate.users += 1;
        gate.until = None;
        Login {
            logins: Arc::clone(self),
            place: Arc::clone(place),
            time: place.time.load(Ordering::Acquire),
        }
    }

    /// A view through which the slot can be read, whoever is logged in there.
    pub fn reader(&self, slot: SlotId) -> Option<Arc<Hsm>> {
        let [_, co, cu] = &self.views;
        let reads = |view: &&Arc<Hsm>| {
            let role = view.partition(slot).role();
            matches!(role, Some(Role::Co | Role::Cu))
        };
        [co, cu, &self.own].into_iter().find(reads).cloned()
    }

    /// For a server to call now and then: closes what lingered for long enough, and forgets keys that other processes
    /// destroyed.
    pub fn house_keeping(&self) {
        match self.own.forget_keys_that_left() {
            Ok(_) => self.has_warned.store(false, Ordering::Relaxed),
            // Once, until it succeeds again.
            Err(error) if !self.has_warned.swap(true, Ordering::Relaxed) => {
                log::warn!("keys that were destroyed may still be in memory: {error}");
            }
            Err(_) => {}
        }
        let places: Vec<Arc<Place>> = {
            let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            places.values().cloned().collect()
        };
        for place in places {
            // While somebody logs in, it does not end.
            let Ok(mut gate) = place.gate.try_lock() else {
                continue;
            };
            if gate.users == 0 && gate.until.is_some_and(|until| until <= Instant::now()) {
                place.close(&mut gate);
            }
        }
    }
}

impl Place {
    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn partition(&self) -> Partition<'_> {
        self.view.partition(self.slot)
    }

    fn is_open(&self) -> bool {
        self.partition().role() == Some(self.role)
    }

    /// Whether the password is that of the login that lasts. A locked role, a credential that was replaced and a wrong
    /// password take the full path, which says what is wrong.
    fn accepts(&self, gate: &Gate, secret: &Secret) -> Result<bool> {
        let Some(held) = gate.verifier.as_ref().filter(|_| self.is_open()) else {
            return Ok(false);
        };
        let partition = self.partition();
        let stored = partition.credential_of(self.role)?;
        let most = partition.row()?.policies.failed_logins;
        let is_locked = stored.failures.saturating_add(gate.failures) >= most;
        let generation = stored.pair.as_ref().map(|pair| pair.generation);
        if is_locked || (stored.id, generation) != held.credential || !held.verifier.accepts(secret)
        {
            return Ok(false);
        }
        if stored.failures > 0 && !self.view.is_read_only() {
            self.view.store.clear_failures(partition.slot, stored.id)?;
        }
        Ok(true)
    }

    /// The full path.
    fn log_in(&self, gate: &mut Gate, secret: &Secret) -> Result<()> {
        let (slot, role, partition) = (self.slot, self.role, self.partition());
        let read_only = self.view.is_read_only();
        if read_only && gate.failures > 0 {
            let stored = partition.credential_of(role)?;
            let most = partition.row()?.policies.failed_logins;
            if stored.failures.saturating_add(gate.failures) >= most {
                return Err(SlotError::RoleLocked(role).at(slot));
            }
        }
        let was_open = self.is_open();
        let outcome = partition.login(role, secret);
        if let Err(error) = &outcome
            && matches!(error.slot_error(), Some(SlotError::PasswordWrong { .. }))
            && read_only
        {
            gate.failures = gate.failures.saturating_add(1);
        }
        outcome?;
        gate.failures = 0;
        if !was_open {
            self.begin(gate);
        }
        let stored = partition.credential_of(role)?;
        let generation = stored.pair.as_ref().map(|pair| pair.generation);
        gate.verifier = Verifier::new(secret)?.map(|verifier| Held {
            verifier,
            credential: (stored.id, generation),
        });
        Ok(())
    }

    /// A new time: whoever was logged in before is not any more.
    fn begin(&self, gate: &mut Gate) {
        gate.users = 0;
        self.time.fetch_add(1, Ordering::AcqRel);
    }

    fn close(&self, gate: &mut Gate) {
        (gate.verifier, gate.until) = (None, None);
        self.partition().logout();
        self.time.fetch_add(1, Ordering::AcqRel);
    }
}

impl Login {
    /// The view of the store that is logged in.
    pub fn hsm(&self) -> &Arc<Hsm> {
        &self.place.view
    }

    /// The partition that it is logged in to.
    pub fn partition(&self) -> Partition<'_> {
        self.place.partition()
    }

    /// Its slot.
    pub fn slot(&self) -> SlotId {
        self.place.slot
    }

    /// Its role.
    pub fn role(&self) -> Role {
        self.place.role
    }

    /// Whether it lasts: it ends when the role's secret was changed elsewhere or the slot was made anew, and no later login
    /// brings it back.
    pub fn is_alive(&self) -> bool {
        self.place.time.load(Ordering::Acquire) == self.time && self.place.is_open()
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        let mut gate = self.place.gate();
        if self.place.time.load(Ordering::Acquire) != self.time {
            return;
        }
        gate.users = gate.users.saturating_sub(1);
        if gate.users > 0 {
            return;
        }
        let linger = *self
            .logins
            .linger
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match linger.is_zero() {
            true => self.place.close(&mut gate),
            false => gate.until = Some(Instant::now() + linger),
        }
    }
}
