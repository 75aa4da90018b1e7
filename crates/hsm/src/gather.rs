//! Key shares presented one by one, until they are enough (docs/kinds.md, "Quorum").

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::login::check_method;
use super::{
    Hsm, Partition, Result, Role, Secret, SecretBytes, SlotError, SlotId, SlotKind, SlotRow,
};
use slotfs_object::sealed::{Method, Quorum, ShareSet};
use slotfs_seal::credential::{KeyShare, QuorumSecret, ShareFault};

/// How long some shares wait for the others, unless said otherwise.
const FORGET_AFTER: Duration = Duration::from_secs(5 * 60);

/// The shares that one role has shown so far.
pub struct Gathering {
    slot: SlotId,
    role: Role,
    serial: u64,
    set: ShareSet,
    shares: Vec<KeyShare>,
}

impl Gathering {
    /// How many it takes, of how many there are.
    pub fn quorum(&self) -> Quorum {
        self.set.quorum
    }

    /// How many there are so far.
    pub fn have(&self) -> usize {
        self.shares.len()
    }

    /// Adds the share in `text`; gives the secret once there are enough. Errors call the share `name`.
    ///
    /// # Errors
    /// [`SlotError::ShareRefused`]; the other shares are kept.
    pub fn add(&mut self, name: &str, text: &[u8]) -> Result<Option<Secret>> {
        let (slot, role) = (self.slot, self.role);
        let refused = |share: String, why| SlotError::ShareRefused { role, share, why }.at(slot);
        let share = KeyShare::parse(text).map_err(|why| refused(name.to_owned(), why))?;
        let refused = |why| {
            let name = format!("{name} (share {} of {})", share.index, share.quorum.n());
            refused(name, why)
        };
        share.check(&self.set, self.serial).map_err(refused)?;
        if self.shares.iter().any(|there| there.index == share.index) {
            return Err(refused(ShareFault::Repeated));
        }
        self.shares.push(share);
        Ok(QuorumSecret::combine(&self.set, &self.shares).map(Secret::Quorum))
    }
}

/// What became of what was written to a login file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented {
    /// It was enough.
    LoggedIn,
    /// A good share, and more are needed.
    Share {
        /// How many there are.
        have: usize,
        /// How many it takes.
        need: usize,
    },
}

type Sets = HashMap<(SlotId, Role), (Gathering, Instant)>;

/// The shares that are waiting for others, with the time of the last one.
#[derive(Default)]
pub(super) struct Gathered {
    sets: Mutex<Sets>,
    forget_after: Mutex<Option<Duration>>,
}

impl Gathered {
    fn sets(&self) -> MutexGuard<'_, Sets> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_after(&self) -> MutexGuard<'_, Option<Duration>> {
        let forget_after = self.forget_after.lock();
        forget_after.unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the shares for `slot`.
    pub(super) fn forget(&self, slot: SlotId) {
        self.sets().retain(|(of, _), _| *of != slot);
    }

    /// Forgets all shares.
    pub(super) fn forget_all(&self) {
        self.sets().clear();
    }

    /// Forgets the shares that have waited too long.
    fn forget_old(&self) {
        let limit = self.forget_after().unwrap_or(FORGET_AFTER);
        self.sets().retain(|(slot, role), (gathering, last)| {
            let fresh = last.elapsed() < limit;
            let have = gathering.have();
            if !fresh && have > 0 {
                log::warn!(
                    "slot {slot}: {have} key shares for {role} waited too long and are forgotten"
                );
            }
            fresh
        });
    }
}

impl Hsm {
    /// Forgets key shares that have waited for too long; for a daemon to call now and then.
    pub fn forget_old_shares(&self) {
        self.gathered.forget_old();
    }

    /// Sets how long some shares wait for the others.
    pub fn forget_shares_after(&self, time: Duration) {
        *self.gathered.forget_after() = Some(time);
    }
}

impl Partition<'_> {
    /// Begins to gather key shares of `role`.
    ///
    /// # Errors
    /// [`SlotError::OtherAuthentication`] where it has a password, [`SlotError::RoleMissing`],
    /// [`SlotFault::Missing`](super::SlotFault::Missing).
    pub fn gather(&self, role: Role) -> Result<Gathering> {
        let slot = self.slot;
        let SlotRow { serial, kind, .. } = self.row()?;
        let stored = self.credential_of(role)?;
        match &stored.credential.method {
            Method::Quorum(set) => Ok(Gathering {
                slot,
                role,
                serial,
                set: set.clone(),
                shares: Vec::new(),
            }),
            Method::Password(_) => {
                check_method(slot, kind, &stored)?;
                Err(SlotError::OtherAuthentication(kind).at(slot))
            }
        }
    }

    /// Takes what was written to a login file: a password, or a key share. The last key share that is needed logs in.
    ///
    /// # Errors
    /// As [`Self::login`] and [`Gathering::add`].
    pub fn present(&self, role: Role, message: &SecretBytes) -> Result<Presented> {
        let slot = self.slot;
        let kind = self.login_kind(role)?;
        // A key share must not count as a wrong password, nor a password as a bad share.
        if KeyShare::looks_like(message.bytes()) != (kind == SlotKind::Quorum) {
            return Err(SlotError::OtherAuthentication(kind).at(slot));
        }
        if kind == SlotKind::Password {
            let password = message.clone().without_newline();
            self.login(role, &Secret::Password(password))?;
            return Ok(Presented::LoggedIn);
        }
        self.hsm.gathered.forget_old();
        let now = self.gather(role)?;
        let secret = {
            let mut sets = self.hsm.gathered.sets();
            // Shares that came before they were issued again, or before the partition was initialised again, are useless.
            sets.retain(|(of, whose), (there, _)| {
                (*of, *whose) != (slot, role)
                    || (there.serial, &there.set) == (now.serial, &now.set)
            });
            let (gathering, last) = sets.entry((slot, role)).or_insert((now, Instant::now()));
            let Some(secret) = gathering.add("what was written", message.bytes())? else {
                *last = Instant::now();
                let (have, need) = (gathering.have(), usize::from(gathering.quorum().m()));
                log::info!("slot {slot}: {have} of {need} key shares for {role}");
                return Ok(Presented::Share { have, need });
            };
            sets.remove(&(slot, role));
            secret
        };
        self.login(role, &secret)?;
        Ok(Presented::LoggedIn)
    }

    /// The shares that wait for others of a slot: role, how many there are, how many it takes.
    pub fn waiting_shares(&self) -> Vec<(Role, usize, usize)> {
        let slot = self.slot;
        self.hsm.gathered.forget_old();
        let mut waiting = Vec::new();
        for ((of, role), (gathering, _)) in self.hsm.gathered.sets().iter() {
            let (have, need) = (gathering.have(), gathering.quorum().m());
            if *of == slot && have > 0 {
                waiting.push((*role, have, need.into()));
            }
        }
        waiting.sort_unstable();
        waiting
    }
}
