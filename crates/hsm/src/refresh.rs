//! Noticing what other processes did to a slot that is logged in to here.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError, TryLockError};

use super::{Error, Hsm, Result, Session, SlotFault, SlotId, briefly, reason};

impl Hsm {
    /// As [`Self::refresh`], unless that was done just before: within the time that the store's engine allows.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn refresh_unless_fresh(&self) -> Result<()> {
        let now = self.microseconds();
        let since = now.saturating_sub(self.refreshed.load(Ordering::Acquire));
        if u128::from(since) < self.store.fresh_for().as_micros() {
            return Ok(());
        }
        self.refresh()
    }

    /// Since the HSM was opened, plus the limit, so that the first request always compares.
    fn microseconds(&self) -> u64 {
        let passed = self.opened.elapsed() + self.store.fresh_for();
        u64::try_from(passed.as_micros()).unwrap_or(u64::MAX)
    }

    /// Calls `listener` with each slot whose blobs or login another process changed, before any request can see the new
    /// blobs of its objects. There is only one listener: a second one is ignored.
    pub fn on_change(&self, listener: impl Fn(SlotId) + Send + Sync + 'static) {
        // Set once, by the one who mounts.
        let _ = self.on_change.set(Box::new(listener));
    }

    /// The same for a thread that must not wait, neither for a cluster nor for another thread that does it.
    ///
    /// # Errors
    /// When the store cannot be read within about a second.
    pub fn refresh_briefly(&self) -> Result<()> {
        let _one_at_a_time = match self.refreshing.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            // That one takes it in.
            Err(TryLockError::WouldBlock) => return Ok(()),
        };
        briefly(|| self.refresh_in_turn())
    }

    /// Takes in what other processes did to the slots since the last call: a changed header is opened
    /// anew, a slot made anew is logged out.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn refresh(&self) -> Result<()> {
        let _one_at_a_time = self.lock_refreshing();
        self.refresh_in_turn()
    }

    fn refresh_in_turn(&self) -> Result<()> {
        // The comparison below may miss later commits.
        let now = self.microseconds();
        self.check_store()?;
        // One view alone would learn of the change, and the others would not.
        self.store.if_slots_changed(|| {
            let mut views = self.views().into_iter();
            views.try_for_each(|view| view.take_in())
        })?;
        self.refreshed.store(now, Ordering::Release);
        Ok(())
    }

    /// Keeps every comparison of sessions with the store away while it is held.
    pub(super) fn lock_refreshing(&self) -> MutexGuard<'_, ()> {
        let refreshing = self.refreshing.lock();
        refreshing.unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the store's files are still those that were opened; if not, every slot is logged out, and stays so.
    ///
    /// # Errors
    /// [`StoreFault::Lost`](super::StoreFault::Lost), or when the files cannot be looked at.
    pub fn check_store(&self) -> Result<()> {
        let checked = self.store.check_identity_for_reading().map_err(Error::from);
        if checked.as_ref().is_err_and(Error::is_store_lost) {
            for view in self.views() {
                view.logout_all();
                view.gathered.forget_all();
            }
        }
        checked
    }

    /// Has `tell` called once, when the store's files are found to be others. There is one listener.
    pub fn on_loss(&self, tell: impl Fn(Error) + Send + Sync + 'static) {
        self.store.on_loss(move |error| tell(error.clone().into()));
    }

    fn take_in(&self) -> Result<()> {
        // First: what is seen from here on may be newer than what is read below.
        let seen = self.seen.until_now();
        let now = self.store.slot_versions()?;
        let sessions: Vec<Arc<Session>> = self.sessions().values().cloned().collect();
        for session in sessions {
            let (slot, then) = (session.slot(), session.row().as_version());
            let now = now.iter().find(|(number, _)| *number == slot);
            match now.map(|(_, version)| version) {
                Some(Ok(now)) if self.logged_out_as_older(&session, *now, &seen) => {}
                Some(Ok(now)) if *now == then => continue,
                Some(Ok(now)) if now.serial == then.serial => {
                    let reopened = self.reopen(&session)?;
                    let at = reopened.as_ref().map(|it| it.row().as_version());
                    let same = reopened
                        .as_ref()
                        .is_some_and(|it| it.shows_the_same(&session));
                    // It is read anew, so it may have gone back since.
                    if !at.is_some_and(|at| self.logged_out_as_older(&session, at, &seen)) {
                        self.replace(&session, reopened);
                        at.inspect(|at| self.seen.raise(*at));
                        if same {
                            continue;
                        }
                    }
                }
                // Only this slot: the others stay logged in.
                Some(Err(damaged)) => {
                    crate::asker::for_itself(|| {
                        log::error!("slot {slot}: logged out: {damaged}");
                    });
                    self.replace(&session, None);
                }
                _ => {
                    log::warn!("slot {slot}: its partition was replaced; logged out");
                    self.replace(&session, None);
                }
            }
            if let Some(listener) = self.on_change.get() {
                listener(slot);
            }
        }
        Ok(())
    }

    /// The same login over the slot as it is now; `None` when neither its key nor its pair opens it.
    fn reopen(&self, session: &Session) -> Result<Option<Session>> {
        let slot = session.slot();
        let now = self.store.slot_with_parts(slot).map_err(Error::from);
        match now.and_then(|(row, parts)| session.reopen(row, &parts)) {
            Ok(reopened) => Ok(Some(reopened)),
            Err(error) if error.is_damage() => {
                log::warn!(
                    "slot {slot}: logged out: the secret of {} was changed by another process, or the slot is damaged: {}",
                    session.role(),
                    reason(&error)
                );
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Puts `new` in the place of `old`, unless somebody logged in or out meanwhile.
    pub(super) fn replace(&self, old: &Arc<Session>, new: Option<Session>) {
        let (slot, ends) = (old.slot(), new.is_none());
        {
            let mut sessions = self.sessions_mut();
            if sessions.get(&slot).is_some_and(|now| Arc::ptr_eq(now, old)) {
                match new {
                    Some(new) => sessions.insert(slot, Arc::new(new)),
                    None => sessions.remove(&slot),
                };
            }
        }
        if ends {
            self.forget_keys_unless_open(slot);
        }
    }

    /// Begins a session with the slot as it is now, not as it was before Argon2 ran.
    ///
    /// # Errors
    /// [`SlotFault::Changed`] when the slot was initialised again meanwhile; [`SlotError::Older`](super::SlotError).
    pub(super) fn install(&self, session: Arc<Session>) -> Result<()> {
        let _not_while_refreshing = self.lock_refreshing();
        self.store.not_lost()?;
        let (slot, then) = (session.slot(), session.row().as_version());
        let (row, parts) = self.store.slot_with_parts(slot)?;
        let session = match row.as_version() {
            now if now == then => session,
            // The key no longer opens the slot, as after a reset during this login.
            now if now.serial == then.serial => match session.reopen(row, &parts) {
                Err(error) if error.is_damage() => return Err(SlotFault::Changed.at(slot).into()),
                reopened => Arc::new(reopened?),
            },
            _ => return Err(SlotFault::Changed.at(slot).into()),
        };
        let newer = self.check_not_older(&session, None)?;
        let session = newer.map_or(session, Arc::new);
        self.sessions_mut().insert(slot, session);
        slotfs_object::secret::wipe_stack();
        Ok(())
    }
}
