//! Roles of a slot: who there is, and their passwords.

use super::amend::Change;
use super::init::check_secret;
use super::{Partition, Rekey, Result, Role, Secret, Session, SlotError, SlotId};
use slotfs_object::sealed::{Method, Quorum};
use slotfs_seal::credential::Opened;
use std::sync::Arc;

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
    /// How many key shares it takes, in a quorum slot.
    pub quorum: Option<Quorum>,
}

/// What a changed secret did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reissued {
    /// Roles that had the old shares: all of them have the new ones.
    pub roles: Vec<Role>,
    /// Roles that have not logged in since the store was of schema 3. The slot keeps its key until each of them has: until
    /// then the old secret and an old copy of the store open it.
    pub waiting: Vec<Role>,
    /// Objects that did not open, and never will.
    pub damaged: u64,
}

impl Partition<'_> {
    /// Every role of a slot, po first.
    ///
    /// # Errors
    /// [`SlotFault::Missing`](super::SlotFault::Missing), or when the store cannot be read.
    pub fn roles(&self) -> Result<Vec<RoleState>> {
        let most = self.row()?.policies.failed_logins;
        let credentials = self.hsm.store.credentials(self.slot)?;
        let state = |role| {
            let there = credentials.iter().find(|it| it.role == role);
            let failures = there.map_or(0, |it| it.failures);
            RoleState {
                role,
                initialized: there.is_some(),
                locked: there.is_some() && failures >= most,
                failures,
                quorum: there.and_then(|it| match &it.credential.method {
                    Method::Quorum(set) => Some(set.quorum),
                    Method::Password(_) => None,
                }),
            }
        };
        Ok(Role::ALL.into_iter().map(state).collect())
    }

    /// Gives a role that has none its password or key shares: co is made by po, cu by co or po.
    ///
    /// # Errors
    /// [`SlotError::RoleExists`], [`SlotError::RoleNeeded`], [`SlotError::Malformed`] for a password outside the limits,
    /// [`SlotError::OtherAuthentication`].
    pub fn init_role(&self, role: Role, secret: &Secret) -> Result<()> {
        let slot = self.slot;
        let session = self.officer(makers(role))?;
        check_secret(slot, session.row().kind, secret)?;
        self.hsm.amend(&session, |change| {
            if change.parts.credentials.iter().any(|it| it.role == role) {
                return Err(SlotError::RoleExists(role).at(slot));
            }
            change.give(role, secret)
        })?;
        log::info!("slot {slot}: {role} was initialized");
        Ok(())
    }

    /// Gives a role another password, or new key shares. The slot gets another key and every row is sealed again, so that
    /// the old secret opens nothing, not even with an old copy of the store. The other roles keep their secrets: the new
    /// key is encapsulated to them. Sessions of the role stay in this process and end in others; those of other roles stay.
    ///
    /// Every role that has the old shares gets the new ones. An object that does not open then would never open again:
    /// nothing is done, unless `rekey` leaves it behind.
    ///
    /// # Errors
    /// As [`Self::login`] with the old secret, which counts as a login; [`SlotError::Malformed`] for a new password
    /// outside the limits; [`SlotFault::Changed`](super::SlotFault::Changed), [`SlotFault::Damaged`](super::SlotFault::Damaged).
    pub fn change_secret(
        &self,
        role: Role,
        old: &Secret,
        new: &Secret,
        rekey: Rekey,
    ) -> Result<Reissued> {
        let slot = self.slot;
        check_secret(slot, self.row()?.kind, new)?;
        // The session here, if it is this role's, must be of the state that is changed: it then stays.
        self.hsm.refresh()?;
        let it = self.authenticate(role, old)?;
        let change = self.hsm.change_of(&it.session)?;
        let same = |method: &Method| match (old, method) {
            (Secret::Quorum(old), Method::Quorum(set)) => old.set() == set,
            _ => false,
        };
        let mut roles: Vec<Role> = Vec::new();
        for it in &change.parts.credentials {
            if it.role == role || same(&it.credential.method) {
                roles.push(it.role);
            }
        }
        self.replace_secret((&it.session, Some(&it.opened)), change, roles, new, rekey)
    }

    /// Lets po give a role, locked or not, another password or other key shares; po's own secret is needed again. The
    /// slot gets another key, as by [`Self::change_secret`].
    ///
    /// # Errors
    /// As [`Self::change_secret`]; [`SlotError::Malformed`] for po, whom nobody can reset; [`SlotError::RoleMissing`].
    pub fn reset_secret(
        &self,
        role: Role,
        new: &Secret,
        po_secret: &Secret,
        rekey: Rekey,
    ) -> Result<Reissued> {
        let slot = self.slot;
        check_resettable(slot, role)?;
        check_secret(slot, self.row()?.kind, new)?;
        self.hsm.refresh()?;
        let it = self.authenticate(Role::Po, po_secret)?;
        let change = self.hsm.change_of(&it.session)?;
        if !change.parts.credentials.iter().any(|it| it.role == role) {
            return Err(SlotError::RoleMissing(role).at(slot));
        }
        self.replace_secret(
            (&it.session, Some(&it.opened)),
            change,
            vec![role],
            new,
            rekey,
        )
    }

    /// As [`Self::reset_secret`], by the po that is logged in: C_InitPIN of PKCS#11.
    ///
    /// # Errors
    /// As [`Self::reset_secret`]; [`SlotError::NotLoggedIn`], [`SlotError::RoleNeeded`].
    pub fn reset_secret_as_po(&self, role: Role, new: &Secret, rekey: Rekey) -> Result<Reissued> {
        let slot = self.slot;
        check_resettable(slot, role)?;
        check_secret(slot, self.row()?.kind, new)?;
        self.hsm.refresh()?;
        let session = self.officer(&[Role::Po])?;
        let change = self.hsm.change_of(&session)?;
        if !change.parts.credentials.iter().any(|it| it.role == role) {
            return Err(SlotError::RoleMissing(role).at(slot));
        }
        self.replace_secret((&session, None), change, vec![role], new, rekey)
    }

    /// `by` is the session of the role that makes the change, and what its secret opened, where that was just given.
    fn replace_secret(
        &self,
        by: (&Arc<Session>, Option<&Opened>),
        mut change: Change,
        roles: Vec<Role>,
        new: &Secret,
        rekey: Rekey,
    ) -> Result<Reissued> {
        let (session, opened) = by;
        change.forget(&roles);
        // po, who resets another role: where its secret is at hand, it need not log in once more for a pair.
        let own = session.role();
        let renewed = opened.filter(|_| !roles.contains(&own));
        if opened.is_some() {
            change.forget(&[own]);
        }
        let waiting = change.without_pair();
        match waiting.is_empty() {
            true => change.rekey(session, rekey)?,
            false => change.header.rekey_due = true,
        }
        if let Some(opened) = renewed {
            change.renew(own, opened)?;
        }
        for role in &roles {
            change.give(*role, new)?;
        }
        let damaged = self.hsm.commit_change(session, change)?.damaged;
        for role in &roles {
            log::info!("slot {}: the credential of {role} was changed", self.slot);
        }
        if !waiting.is_empty() {
            let waiting: Vec<_> = waiting.iter().map(Role::to_string).collect();
            log::warn!(
                "slot {}: with the old secret, old copies of the store still open this slot until each of these roles has logged in once: {}",
                self.slot,
                waiting.join(", ")
            );
        }
        Ok(Reissued {
            roles,
            waiting,
            damaged,
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

/// # Errors
/// [`SlotError::Malformed`] for po, whom nobody can reset.
pub fn check_resettable(slot: SlotId, role: Role) -> Result<()> {
    match role {
        Role::Co | Role::Cu => Ok(()),
        Role::Po => {
            let why = "po's password cannot be reset; whoever knows it can change it";
            Err(SlotError::Malformed(why).at(slot))
        }
    }
}
