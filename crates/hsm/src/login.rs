//! Logging in and out.

use std::sync::PoisonError;

use super::inspect::check_method;
use super::{Error, Result, SlotError, SlotFault};
use super::{Hsm, Partition, Session};
use slotfs_object::partition::{Role, SlotKind};
use slotfs_seal::credential::{self, Binding, CredentialError, KdfError, Secret};
use slotfs_store::CredentialRow;

impl Hsm {
    fn uncount_attempt(&self, credential: i64) -> Result<()> {
        if self.store.is_read_only() {
            return Ok(());
        }
        Ok(self.store.uncount_failure(credential)?)
    }

    /// Logs out of every slot; whether anybody was logged in.
    pub fn logout_all(&self) -> bool {
        let mut sessions = self
            .sessions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let was = !sessions.is_empty();
        sessions.clear();
        self.fingerprints.forget();
        was
    }
}

impl Partition<'_> {
    /// Logs `role` in to `slot`. Takes as long as its Argon2id, so never call it on an event loop.
    ///
    /// An attempt with a password is counted durably before it is checked: whoever cuts the power gains no guess.
    /// One with key shares is not counted: nobody guesses 256 random bits, and a count would let whoever reaches
    /// the login lock the others out.
    ///
    /// # Errors
    /// [`Error::PasswordWrong`], [`Error::RoleLocked`], [`Error::RoleMissing`], [`Error::NoSuchSlot`],
    /// [`Error::OtherAuthentication`], [`Error::SlotChanged`], [`Error::Damaged`].
    pub fn login(&self, role: Role, secret: &Secret) -> Result<()> {
        let slot = self.slot;
        let session = self.authenticate(role, secret)?;
        self.hsm.install(session)?;
        log::info!("slot {slot}: {role} logged in");
        Ok(())
    }

    /// The session that a login would begin.
    pub(super) fn authenticate(&self, role: Role, secret: &Secret) -> Result<Session> {
        let (hsm, slot) = (self.hsm, self.slot);
        hsm.check_store()?;
        let row = hsm.store.slot(slot)?;
        let kind = row.kind;
        let stored = self.credential_of(role);
        if let Ok(stored) = &stored {
            check_method(slot, kind, stored)?;
        }
        if secret.kind() != kind {
            return Err(SlotError::OtherAuthentication(kind).at(slot));
        }
        let stored = stored?;
        if let Some(kib) = credential::lacks_memory(&stored.credential) {
            return Err(SlotError::NoMemory { kib }.at(slot));
        }
        // Read from clear text that is only authenticated once logged in: a planted high number buys
        // guesses that the file's owner could make at home anyway.
        let most = row.policies.failed_logins;
        let failures = match kind {
            SlotKind::Password => self.count_attempt(role, stored.id, stored.failures, most)?,
            SlotKind::Quorum => 0,
        };
        let binding = Binding {
            serial: row.serial,
            role,
            id: stored.id,
        };
        let unwrapped = credential::open(&stored.credential, secret, binding);
        if let Err(CredentialError::Kdf(_)) = unwrapped {
            // Nothing was guessed: a machine short of memory must not lock anybody out.
            hsm.uncount_attempt(stored.id)?;
        }
        if let Err(CredentialError::Damaged) = unwrapped {
            // The password was the right one: looking at a damaged slot must not lock anybody out.
            hsm.uncount_attempt(stored.id)?;
        }
        let damaged =
            |what: &str| Error::Damaged(format!("slot {slot}: the credential of {role} {what}"));
        let slot_key = unwrapped.map_err(|error| match error {
            CredentialError::Wrong if failures >= most => SlotError::RoleLocked(role).at(slot),
            CredentialError::Wrong => {
                let left = most - failures;
                SlotError::PasswordWrong { role, left }.at(slot)
            }
            CredentialError::Damaged => damaged("was changed or moved"),
            // Issued again since they were checked one by one.
            CredentialError::OtherMethod => SlotFault::Changed.at(slot).into(),
            CredentialError::Kdf(KdfError::Cost) => {
                damaged("asks for an Argon2 cost that is not accepted")
            }
            CredentialError::Kdf(KdfError::Memory) => {
                let kib = stored.credential.memory_kib();
                SlotError::NoMemory { kib }.at(slot)
            }
            CredentialError::Kdf(KdfError::Random(error)) => error.into(),
        })?;
        let version = row.as_version();
        let (_, keys) = hsm.store.slot_with_keys(slot)?;
        let opened = Session::open(row, role, slot_key, &keys).and_then(|session| {
            match session.names_credential(stored.id) {
                true => Ok(session),
                false => Err(damaged("is not the current one")),
            }
        });
        let session = match opened {
            Ok(session) => session,
            Err(error) => {
                // Again the right one.
                hsm.uncount_attempt(stored.id)?;
                // Parts that do not fit together because they were read before and after a change.
                if hsm.store.slot(slot)?.as_version() != version {
                    return Err(SlotFault::Changed.at(slot).into());
                }
                return Err(error);
            }
        };
        if !hsm.store.is_read_only() {
            hsm.store.clear_failures(stored.id)?;
        }
        Ok(session)
    }

    /// What `role` logs in to `slot` by, as it is at rest.
    pub(super) fn credential_of(&self, role: Role) -> Result<CredentialRow> {
        self.hsm
            .store
            .credentials(self.slot)?
            .into_iter()
            .find(|credential| credential.role == role)
            .ok_or(SlotError::RoleMissing(role).at(self.slot))
    }

    /// A read-only store cannot count, so there only what was counted before locks.
    fn count_attempt(&self, role: Role, credential: i64, failures: u32, most: u32) -> Result<u32> {
        let (hsm, slot) = (self.hsm, self.slot);
        let counted = if hsm.store.is_read_only() {
            (failures < most).then_some(failures + 1)
        } else {
            hsm.store.count_failure(credential, most)?
        };
        match counted {
            Some(failures) => Ok(failures),
            // Replaced since it was read: that is no lock.
            None if !hsm
                .store
                .credentials(slot)?
                .iter()
                .any(|it| it.id == credential) =>
            {
                Err(SlotFault::Changed.at(slot).into())
            }
            None => Err(SlotError::RoleLocked(role).at(slot)),
        }
    }

    /// Logs out of `slot` and wipes its keys once no request uses them; whether anybody was logged in.
    pub fn logout(&self) -> bool {
        let (hsm, slot) = (self.hsm, self.slot);
        let was = hsm
            .sessions
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&slot)
            .is_some();
        hsm.gathered.forget(slot);
        hsm.fingerprints.forget();
        if was {
            log::info!("slot {slot}: logged out");
        }
        was
    }
}
