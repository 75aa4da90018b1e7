//! Logins of an application: `C_Login`, `C_LoginUser`, `C_Logout`, and what of it `slotfs login` does.

use std::sync::Arc;

use slotfs_hsm::{Login, Presented};
use slotfs_object::SlotId;
use slotfs_object::partition::{Role, SlotKind};
use slotfs_object::secret::SecretBytes;
use slotfs_seal::credential::Secret as Credential;
use slotfs_wire::numbers::CKU_CONTEXT_SPECIFIC;
use slotfs_wire::rv::*;
use slotfs_wire::{Reply, Secret};

use crate::Application;
use crate::error::{Result, Rv};
use crate::provider::{Slot, role_of};
use crate::session::Session;

impl Application {
    /// The application's login to a slot, while it lasts: it ends when the secret was changed elsewhere or the slot was made
    /// anew.
    pub(crate) fn login_of(&self, slot: SlotId) -> Option<Arc<Login>> {
        let login = self.state().logins.get(&slot).cloned()?;
        // A secret that another process changed ends it. Where the store cannot be read, the request fails later.
        let _ = login.hsm().refresh_unless_fresh();
        if login.is_alive() {
            return Some(login);
        }
        self.end_login(slot, Some(&login));
        None
    }

    /// Who is logged in to a slot.
    pub(crate) fn role(&self, slot: SlotId) -> Option<Role> {
        self.login_of(slot).map(|login| login.role())
    }

    /// Ends the login to a slot, if it is still `only`; private session objects and operations with private keys end.
    fn end_login(&self, slot: SlotId, only: Option<&Arc<Login>>) {
        let sessions: Vec<Arc<Session>> = {
            let mut state = self.state_mut();
            let is_it = |there: &Arc<Login>| only.is_none_or(|only| Arc::ptr_eq(there, only));
            if !state.logins.get(&slot).is_some_and(is_it) {
                return;
            }
            state.logins.remove(&slot);
            state
                .objects
                .retain(|_, it| it.slot != slot || !it.is_private());
            let all = state.sessions.values();
            all.filter(|it| it.slot == slot).cloned().collect()
        };
        for session in sessions {
            let mut work = session.work();
            work.operations.retain(|_, running| !running.is_private);
            work.search = None;
        }
    }

    pub(crate) fn login(
        &self,
        session: &Session,
        user: u64,
        pin: Option<Secret>,
        name: Option<Vec<u8>>,
    ) -> Result<Reply> {
        if user == CKU_CONTEXT_SPECIFIC {
            return self.authenticate_again(session, pin);
        }
        let role = match (role_of(user, self.who), name.as_deref()) {
            (Some(role), None | Some(b"")) => role,
            // C_LoginUser with the name of a role.
            (Some(Role::Co | Role::Cu), Some(b"co")) => Role::Co,
            (Some(Role::Co | Role::Cu), Some(b"cu")) => Role::Cu,
            (Some(Role::Po), Some(b"po")) => Role::Po,
            (Some(_), Some(_)) => return Err(Rv(CKR_PIN_INCORRECT)),
            (None, _) => return Err(Rv(CKR_USER_TYPE_INVALID)),
        };
        let slot = session.slot;
        match self.role(slot) {
            Some(there) if there == role => return Err(Rv(CKR_USER_ALREADY_LOGGED_IN)),
            Some(_) => return Err(Rv(CKR_USER_ANOTHER_ALREADY_LOGGED_IN)),
            None => {}
        }
        let has_read_only = || {
            let state = self.state();
            let mut sessions = state.sessions.values();
            sessions.any(|it| it.slot == slot && !it.read_write)
        };
        if role == Role::Po && has_read_only() {
            return Err(Rv(CKR_SESSION_READ_ONLY_EXISTS));
        }
        let login = Arc::new(self.open(slot, role, pin)?);
        let mut state = self.state_mut();
        // The session may have been closed, or another thread logged in, while Argon2id ran.
        if !state.sessions.contains_key(&session.handle) {
            return Err(Rv(CKR_SESSION_HANDLE_INVALID));
        }
        match state.logins.get(&slot) {
            Some(there) if there.role() == role => Err(Rv(CKR_USER_ALREADY_LOGGED_IN)),
            Some(_) => Err(Rv(CKR_USER_ANOTHER_ALREADY_LOGGED_IN)),
            None => {
                state.logins.insert(slot, login);
                Ok(Reply::Done)
            }
        }
    }

    /// A login with a PIN, or of a quorum slot that `slotfs login` opened, without one.
    fn open(&self, slot: SlotId, role: Role, pin: Option<Secret>) -> Result<Login> {
        let logins = &self.provider.logins;
        let kind = self.provider.hsm().partition(slot).row()?.kind;
        match (kind, pin) {
            (SlotKind::Password, Some(pin)) => Ok(logins.login(slot, role, &password(pin))?),
            (SlotKind::Password, None) => Err(Rv(CKR_ARGUMENTS_BAD)),
            (SlotKind::Quorum, Some(pin)) if !pin.bytes().is_empty() => Err(Rv(CKR_PIN_INCORRECT)),
            (SlotKind::Quorum, _) => Ok(logins.join(slot, role)?),
        }
    }

    /// `CKU_CONTEXT_SPECIFIC`: the PIN once more, for a key with `CKA_ALWAYS_AUTHENTICATE`.
    fn authenticate_again(&self, session: &Session, pin: Option<Secret>) -> Result<Reply> {
        let role = self.role(session.slot);
        let role = role.ok_or(Rv(CKR_USER_NOT_LOGGED_IN))?;
        let waits = || {
            let work = session.work();
            work.operations.values().any(|it| it.awaits_pin)
        };
        if !waits() {
            return Err(Rv(CKR_OPERATION_NOT_INITIALIZED));
        }
        drop(self.open(session.slot, role, pin)?);
        for running in session.work().operations.values_mut() {
            running.awaits_pin = false;
        }
        Ok(Reply::Done)
    }

    pub(crate) fn logout(&self, session: &Session) -> Result<Reply> {
        if self.role(session.slot).is_none() {
            return Err(Rv(CKR_USER_NOT_LOGGED_IN));
        }
        self.end_login(session.slot, None);
        Ok(Reply::Done)
    }

    /// `slotfs login`: keeps a slot open, whatever applications do.
    pub(crate) fn open_slot(&self, slot: u64, user: u64, secret: Secret) -> Result<Reply> {
        let (slot, role) = self.slot_and_role(slot, user)?;
        let logins = &self.provider.logins;
        let kind = self.provider.hsm().partition(slot).row()?.kind;
        let login = match kind {
            SlotKind::Password => logins.login(slot, role, &password(secret))?,
            SlotKind::Quorum => {
                let share = SecretBytes::new(secret.into_bytes());
                match logins.present(slot, role, &share)? {
                    (Presented::Share { have, need }, _) => {
                        return Ok(Reply::Number((need - have) as u64));
                    }
                    (Presented::LoggedIn, Some(login)) => login,
                    (Presented::LoggedIn, None) => logins.join(slot, role)?,
                }
            }
        };
        self.provider.kept_open().insert((slot, role), login);
        Ok(Reply::Number(0))
    }

    /// `slotfs logout`.
    pub(crate) fn shut_slot(&self, slot: u64, user: u64) -> Result<Reply> {
        let key = self.slot_and_role(slot, user)?;
        let closed = self.provider.kept_open().remove(&key);
        Ok(Reply::Number(u64::from(closed.is_some())))
    }

    fn slot_and_role(&self, slot: u64, user: u64) -> Result<(SlotId, Role)> {
        let slot = match self.provider.slot(&self.peer, slot)? {
            (slot, Slot::Partition(_)) => slot,
            (_, Slot::Uninitialized | Slot::Damaged) => return Err(Rv(CKR_SLOT_ID_INVALID)),
        };
        let role = role_of(user, slotfs_wire::Who::Co);
        Ok((slot, role.ok_or(Rv(CKR_USER_TYPE_INVALID))?))
    }
}

pub(crate) fn password(pin: Secret) -> Credential {
    Credential::Password(SecretBytes::new(pin.into_bytes()))
}
