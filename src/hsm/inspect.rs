//! A look at the rows of a slot that are in clear, without a login: what is there fits together, or the slot is damaged.

use super::Hsm;
use crate::credential::{Method, Role, SlotKind};
use crate::error::{Error, Result};
use crate::object::SlotId;

impl Hsm {
    /// Whether the rows that a login to `slot` needs are there and can be read. What is sealed in them is not looked at.
    ///
    /// # Errors
    /// [`Error::SlotDamaged`], [`Error::NoSuchSlot`], or when the store cannot be read.
    pub fn inspect(&self, slot: SlotId) -> Result<()> {
        let damaged = |what: String| Error::SlotDamaged { slot, what };
        let (row, keys) = self.store.slot_with_keys(slot)?;
        let kind = row.slot_kind()?;
        if keys.domains.is_empty() {
            return Err(damaged("it has no domain".into()));
        }
        if row.is_v1() && keys.smks.is_empty() {
            return Err(damaged("it has no storage master key".into()));
        }
        let credentials = self.store.credentials(slot)?;
        if credentials.iter().all(|it| it.role != Role::Po) {
            return Err(damaged("it has no credential of po".into()));
        }
        for it in credentials {
            let asks_for = match it.credential.method {
                Method::Password(_) => SlotKind::Password,
                Method::Quorum(_) => SlotKind::Quorum,
            };
            if asks_for != kind {
                return Err(damaged(format!(
                    "it is a {kind} slot, but the credential of {} is one of a {asks_for} slot",
                    it.role
                )));
            }
        }
        Ok(())
    }
}
