//! Roles of a slot: who there is, and their passwords.

use super::Hsm;
use super::policy::Policies;
use crate::credential::Role;
use crate::error::Result;
use crate::object::SlotId;

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

impl Hsm {
    /// Every role of a slot, po first.
    ///
    /// # Errors
    /// [`Error::NoSuchSlot`](crate::error::Error::NoSuchSlot), or when the store cannot be read.
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
}
