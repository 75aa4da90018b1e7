//! Roles of a slot: who there is, and their passwords.

use std::sync::Arc;

use super::amend::Change;
use super::header::object_aad;
use super::init::check_secret;
use super::{Partition, Result, Role, Secret, Session, SlotError, SlotId};
use slotfs_object::sealed::{Method, Quorum};
use slotfs_seal::credential::{Purpose, SlotKey};
use slotfs_store::{Objects, Reseal};

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

/// What a changed password, or shares that were issued again, took with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reissued {
    /// Roles whose shares these were: all of them have the new ones.
    pub roles: Vec<Role>,
    /// Whether the slot has another key, so that the old shares open nothing at all any more.
    pub rekeyed: bool,
    /// Objects that did not open, and never will.
    pub damaged: u64,
}

/// What a reset password took with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reset {
    /// Roles that have no password any more.
    pub lost: Vec<Role>,
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
            if change.credentials.iter().any(|it| it.role == role) {
                return Err(SlotError::RoleExists(role).at(slot));
            }
            change.give(role, secret)
        })?;
        log::info!("slot {slot}: {role} was initialized");
        Ok(())
    }

    /// Gives a role another password, or new key shares. Sessions stay.
    ///
    /// Every role that has the old shares gets the new ones. Where no role has other shares, the slot also gets another
    /// key and every row is sealed again, so that the old shares open nothing, not even with an old copy of the
    /// credential. An object that does not open then would never open again: nothing is done, unless `force` leaves it
    /// behind.
    ///
    /// # Errors
    /// As [`Self::login`] with the old secret, which counts as a login; [`SlotError::Malformed`] for a new password
    /// outside the limits; [`SlotFault::Changed`](super::SlotFault::Changed), [`SlotFault::Damaged`](super::SlotFault::Damaged).
    pub fn change_secret(
        &self,
        role: Role,
        old: &Secret,
        new: &Secret,
        force: bool,
    ) -> Result<Reissued> {
        let slot = self.slot;
        check_secret(slot, self.row()?.kind, new)?;
        let session = Arc::new(self.authenticate(role, old)?);
        let mut change = self.hsm.change_of(&session)?;
        let same = |method: &Method| match (old, method) {
            (Secret::Quorum(old), Method::Quorum(set)) => old.set() == set,
            _ => false,
        };
        let mut roles: Vec<Role> = Vec::new();
        for it in &change.credentials {
            if it.role == role || same(&it.credential.method) {
                roles.push(it.role);
            }
        }
        let rekeyed = matches!(old, Secret::Quorum(_)) && roles.len() == change.credentials.len();
        change.credentials.retain(|it| !roles.contains(&it.role));
        if rekeyed {
            rekey(&session, &mut change, force)?;
        }
        for role in &roles {
            change.give(*role, new)?;
        }
        let damaged = self.hsm.commit_change(&session, change)?.damaged;
        for role in &roles {
            log::info!("slot {slot}: the credential of {role} was changed");
        }
        Ok(Reissued {
            roles,
            rekeyed,
            damaged,
        })
    }

    /// Lets po give a role, locked or not, another password or other key shares; po's own secret is needed again. The
    /// slot gets another key and every row is sealed again, so that the old password opens nothing, not even with an old
    /// copy of its credential. The third role loses its secret, since nobody here can wrap the new key for it. An object
    /// that does not open then would never open again: nothing is done, unless `force` leaves it behind.
    ///
    /// # Errors
    /// As [`Self::change_secret`]; [`SlotError::Malformed`] for po, whom nobody can reset; [`SlotError::RoleMissing`];
    /// [`SlotFault::Damaged`](super::SlotFault::Damaged).
    pub fn reset_secret(
        &self,
        role: Role,
        new: &Secret,
        po_secret: &Secret,
        force: bool,
    ) -> Result<Reset> {
        let slot = self.slot;
        check_resettable(slot, role)?;
        check_secret(slot, self.row()?.kind, new)?;
        let session = Arc::new(self.authenticate(Role::Po, po_secret)?);
        let mut lost = Vec::new();
        let changed = self.hsm.amend(&session, |change| {
            if !change.credentials.iter().any(|it| it.role == role) {
                return Err(SlotError::RoleMissing(role).at(slot));
            }
            lost = lost_by_reset(change.credentials.iter().map(|it| it.role), role);
            rekey(&session, change, force)?;
            change.credentials.clear();
            change.give(Role::Po, po_secret)?;
            change.give(role, new)
        })?;
        let damaged = changed.damaged;
        log::info!("slot {slot}: the credential of {role} was reset");
        Ok(Reset { lost, damaged })
    }
}

/// Who may give `role` its first password: any of these, the first as lunacm has it.
pub fn makers(role: Role) -> &'static [Role] {
    match role {
        Role::Cu => &[Role::Co, Role::Po],
        Role::Co | Role::Po => &[Role::Po],
    }
}

/// The roles of `there` that lose their password when `role` is reset: nobody can wrap the new key for them.
pub fn lost_by_reset(there: impl Iterator<Item = Role>, role: Role) -> Vec<Role> {
    there.filter(|it| ![Role::Po, role].contains(it)).collect()
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

/// Gives the slot another key, for everything but its credentials.
fn rekey(session: &Arc<Session>, change: &mut Change, leave_damaged: bool) -> Result<()> {
    change.slot_key = SlotKey::random()?;
    let domains = session.domains().iter();
    let domains = domains.map(|it| change.seal_domain(&it.label, &it.key));
    change.keys.domains = domains.collect::<Result<_>>()?;
    let smks = session.smks().iter();
    let smks = smks.map(|it| change.seal_smk(&it.key));
    change.keys.smks = smks.collect::<Result<_>>()?;
    change.objects = Objects::Reseal {
        reseal: reseal(session, &change.slot_key),
        leave_damaged,
    };
    Ok(())
}

/// From one slot key to another; `None` for a row that does not open.
fn reseal(session: &Arc<Session>, slot_key: &SlotKey) -> Reseal {
    let (session, slot_key) = (Arc::clone(session), slot_key.clone());
    Box::new(move |place, row| match session.open_row(place, row) {
        Ok(payload) => {
            let aad = object_aad(session.row().serial, place);
            Ok(Some(slot_key.seal(
                Purpose::Object,
                &aad,
                payload.bytes(),
            )?))
        }
        Err(error) => {
            log::error!("{error}");
            Ok(None)
        }
    })
}
