//! Roles of a slot: who there is, and their passwords.

use std::sync::Arc;

use super::init::{check_password, random_id};
use super::policy::Policies;
use super::{Hsm, Session};
use crate::credential::{Binding, Credential, Role, SlotKey};
use crate::error::{Error, Result};
use crate::object::SlotId;
use crate::secret::SecretBytes;
use crate::store::{CredentialRow, Objects};

/// What anybody can see of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleState {
    /// The role.
    pub role: Role,
    /// Whether it has a password.
    pub initialized: bool,
    /// Whether it had too many wrong ones.
    pub locked: bool,
    /// Wrong passwords since the last right one.
    pub failures: u32,
}

/// What a reset password took with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reset {
    /// Roles that have no password any more.
    pub lost: Vec<Role>,
    /// Objects that did not open, and never will.
    pub damaged: u64,
}

impl Hsm {
    /// Every role of a slot, po first.
    ///
    /// # Errors
    /// [`Error::NoSuchSlot`], or when the store cannot be read.
    pub fn roles(&self, slot: SlotId) -> Result<Vec<RoleState>> {
        let row = self.store.slot(slot)?;
        let most = Policies::from_stored(&row.policies)
            .unwrap_or_default()
            .failed_logins;
        let credentials = self.store.credentials(slot)?;
        Ok(Role::ALL
            .into_iter()
            .map(|role| {
                let there = credentials.iter().find(|it| it.role == role);
                let failures = there.map_or(0, |it| it.failures);
                RoleState {
                    role,
                    initialized: there.is_some(),
                    locked: there.is_some() && failures >= most,
                    failures,
                }
            })
            .collect())
    }

    /// Gives a role that has none its password: co is made by po, cu by co or po.
    ///
    /// # Errors
    /// [`Error::RoleExists`], [`Error::RoleNeeded`], [`Error::Usage`] for a password outside the limits.
    pub fn init_role(&self, slot: SlotId, role: Role, password: &SecretBytes) -> Result<()> {
        let session = self.officer(slot, makers(role))?;
        check_password(slot, password)?;
        let mut change = self.change_of(&session)?;
        if change.credentials.iter().any(|it| it.role == role) {
            return Err(Error::RoleExists { slot, role });
        }
        let serial = session.row().serial;
        let credential = self.credential(slot, serial, role, password, &change.slot_key)?;
        change.credentials.push(credential);
        self.commit_change(&session, change)?;
        log::info!("slot {slot}: {role} was initialized");
        Ok(())
    }

    /// Gives a role another password. Who is logged in stays so.
    ///
    /// # Errors
    /// As [`Self::login`] with the old password, which counts as a login; [`Error::Usage`] for a new one
    /// outside the limits; [`Error::SlotChanged`].
    pub fn change_password(
        &self,
        slot: SlotId,
        role: Role,
        old: &SecretBytes,
        new: &SecretBytes,
    ) -> Result<()> {
        check_password(slot, new)?;
        let session = self.authenticate(slot, role, old)?;
        let mut change = self.change_of(&session)?;
        change.credentials.retain(|it| it.role != role);
        let serial = session.row().serial;
        let credential = self.credential(slot, serial, role, new, &change.slot_key)?;
        change.credentials.push(credential);
        self.commit_change(&session, change)?;
        log::info!("slot {slot}: the password of {role} was changed");
        Ok(())
    }

    /// Gives a role, locked or not, another password by po, whose own is asked for again: the slot gets
    /// another slot key and every row is sealed anew, so that the old password opens nothing any more, not even
    /// with an old copy of its credential. Roles beside po and this one lose theirs, as nobody else can
    /// wrap the new key for them. An object that does not open could never again: then nothing is done, unless
    /// `force` leaves it behind.
    ///
    /// # Errors
    /// As [`Self::change_password`]; [`Error::Usage`] for po, whom nobody can reset; [`Error::RoleMissing`];
    /// [`Error::Damaged`].
    pub fn reset_password(
        &self,
        slot: SlotId,
        role: Role,
        new: &SecretBytes,
        po_password: &SecretBytes,
        force: bool,
    ) -> Result<Reset> {
        check_resettable(slot, role)?;
        check_password(slot, new)?;
        let session = Arc::new(self.authenticate(slot, Role::Po, po_password)?);
        let mut change = self.change_of(&session)?;
        if !change.credentials.iter().any(|it| it.role == role) {
            return Err(Error::RoleMissing { slot, role });
        }
        let lost = lost_by_reset(change.credentials.iter().map(|it| it.role), role);
        let slot_key = SlotKey::random()?;
        let serial = session.row().serial;
        change.credentials = vec![
            self.credential(slot, serial, Role::Po, po_password, &slot_key)?,
            self.credential(slot, serial, role, new, &slot_key)?,
        ];
        change.domains = session
            .domains()
            .iter()
            .map(|it| super::amend::seal_domain(&slot_key, serial, &it.label, &it.key))
            .collect::<Result<_>>()?;
        change.objects = Objects::Reseal {
            reseal: reseal(&session, &slot_key),
            leave_damaged: force,
        };
        change.slot_key = slot_key;
        let damaged = self.commit_change(&session, change)?.damaged;
        log::info!("slot {slot}: the password of {role} was reset");
        Ok(Reset { lost, damaged })
    }

    fn credential(
        &self,
        slot: SlotId,
        serial: u64,
        role: Role,
        password: &SecretBytes,
        slot_key: &SlotKey,
    ) -> Result<CredentialRow> {
        let id = random_id()?;
        let binding = Binding { serial, role, id };
        let credential = Credential::wrap(password, slot_key, binding)
            .map_err(|error| self.kdf_error(slot, error))?;
        Ok(CredentialRow {
            id,
            role,
            credential,
            failures: 0,
        })
    }
}

/// Who may give `role` its first password: any of these, the first as lunacm has it.
pub fn makers(role: Role) -> &'static [Role] {
    match role {
        Role::Cu => &[Role::Co, Role::Po],
        Role::Co | Role::Po => &[Role::Po],
    }
}

/// Those of `there` whose password a reset of `role` takes away: for whom nobody can wrap the new key.
pub fn lost_by_reset(there: impl Iterator<Item = Role>, role: Role) -> Vec<Role> {
    there.filter(|it| ![Role::Po, role].contains(it)).collect()
}

/// # Errors
/// [`Error::Usage`] for po, whom nobody can reset.
pub fn check_resettable(slot: SlotId, role: Role) -> Result<()> {
    match role {
        Role::Co | Role::Cu => Ok(()),
        Role::Po => Err(Error::Usage(format!(
            "slot {slot}: po's password cannot be reset, only changed by who knows it"
        ))),
    }
}

/// From one slot key to another; `None` for a row that does not open.
fn reseal(session: &Arc<Session>, slot_key: &SlotKey) -> crate::store::Reseal {
    let (session, slot_key) = (Arc::clone(session), slot_key.clone());
    Box::new(move |place, row| {
        let payload = match session.open_row(place, row) {
            Ok(payload) => payload,
            Err(error) => {
                log::error!("{error}");
                return Ok(None);
            }
        };
        let aad = super::header::object_aad(session.row().serial, place);
        let purpose = crate::credential::Purpose::Object;
        Ok(Some(slot_key.seal(purpose, &aad, payload.bytes())?))
    })
}
