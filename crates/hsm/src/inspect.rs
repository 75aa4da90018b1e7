//! A look at the rows of a slot that are in clear, without a login: what is there fits together, or the slot is damaged.

use super::Partition;
use super::{Error, Result, SlotError};
use slotfs_object::SlotId;
use slotfs_object::partition::{Role, SlotKind};
use slotfs_object::sealed::Method;
use slotfs_store::CredentialRow;

impl Partition<'_> {
    /// Whether the rows that a login to `slot` needs are there and can be read. What is sealed in them is not looked at.
    ///
    /// # Errors
    /// [`Error::SlotDamaged`], [`Error::NoSuchSlot`], or when the store cannot be read.
    pub fn inspect(&self) -> Result<()> {
        let slot = self.slot;
        let damaged = |what: String| Error::slot_damaged(slot, what);
        let (row, keys) = self.hsm.store.slot_with_keys(slot)?;
        let kind = row.kind;
        if keys.domains.is_empty() {
            return Err(damaged("it has no domain".into()));
        }
        if row.is_v1() && keys.smks.is_empty() {
            return Err(damaged("it has no storage master key".into()));
        }
        let credentials = self.hsm.store.credentials(slot)?;
        if credentials.iter().all(|it| it.role != Role::Po) {
            return Err(damaged("it has no credential of po".into()));
        }
        credentials
            .iter()
            .try_for_each(|it| check_method(slot, kind, it))
    }

    /// How `role` logs in to `slot`. Where the slot's kind and the role's credential contradict each other, neither a
    /// password nor key shares can be right, so that is an error of its own.
    ///
    /// # Errors
    /// [`Error::SlotDamaged`], [`Error::NoSuchSlot`], or when the store cannot be read. A role without a credential is no
    /// error here: its login reports that.
    pub fn login_kind(&self, role: Role) -> Result<SlotKind> {
        let kind = self.row()?.kind;
        match self.credential_of(role) {
            Ok(row) => check_method(self.slot, kind, &row).map(|()| kind),
            Err(Error::Slot {
                why: SlotError::RoleMissing(_),
                ..
            }) => Ok(kind),
            Err(error) => Err(error),
        }
    }
}

/// Whether the credential in `row` is one for a slot of this kind.
pub(super) fn check_method(slot: SlotId, kind: SlotKind, row: &CredentialRow) -> Result<()> {
    let asks_for = match row.credential.method {
        Method::Password(_) => SlotKind::Password,
        Method::Quorum(_) => SlotKind::Quorum,
    };
    match asks_for == kind {
        true => Ok(()),
        false => {
            let role = row.role;
            let what = format!(
                "it is a {kind} slot, but the credential of {role} is one of a {asks_for} slot"
            );
            Err(Error::slot_damaged(slot, what))
        }
    }
}
