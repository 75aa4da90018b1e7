//! Logging in and out, and what a login needs.

use std::sync::Arc;

use super::amend::Change;
use super::session::{Keys, pair_place};
use super::{
    Error, Hsm, Partition, Rekey, Result, Role, Secret, Session, SlotError, SlotFault, SlotId,
    SlotKind, reason,
};
use slotfs_object::sealed::{Method, PartId};
use slotfs_seal::credential::{self, Binding, Contents, CredentialError, KdfError, Opened};
use slotfs_store::CredentialRow;

/// A login that succeeded, before its session begins.
pub(super) struct Authenticated {
    pub(super) session: Arc<Session>,
    /// The credential that the secret opened.
    credential: PartId,
    pub(super) opened: Opened,
}

impl Hsm {
    fn uncount_attempt(&self, slot: SlotId, credential: PartId) -> Result<()> {
        if self.store.is_read_only() {
            return Ok(());
        }
        Ok(self.store.uncount_failure(slot, credential)?)
    }

    /// Logs out of every slot; whether anybody was logged in.
    pub fn logout_all(&self) -> bool {
        let open: Vec<SlotId> = self.sessions_mut().drain().map(|(slot, _)| slot).collect();
        self.fingerprints.forget();
        for slot in &open {
            self.forget_keys_unless_open(*slot);
        }
        !open.is_empty()
    }
}

impl Partition<'_> {
    /// Logs `role` in. Takes as long as its Argon2id, so never call it on an event loop.
    ///
    /// An attempt with a password is counted durably before it is checked, so that cutting the power gains no guess.
    /// An attempt with key shares is not counted: nobody guesses 256 random bits, and a count would let an attacker lock
    /// the role.
    ///
    /// # Errors
    /// [`SlotError::PasswordWrong`], [`SlotError::RoleLocked`], [`SlotError::RoleMissing`], [`SlotFault::Missing`],
    /// [`SlotError::OtherAuthentication`], [`SlotFault::Changed`], [`SlotFault::Damaged`],
    /// [`SlotError::Older`].
    pub fn login(&self, role: Role, secret: &Secret) -> Result<()> {
        /// Another process can change the slot while Argon2 runs, and a login can be that process.
        const ATTEMPTS: usize = 3;
        let slot = self.slot;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let attempt = self.authenticate(role, secret).and_then(|it| {
                let session = self.keep_up(it);
                self.hsm.install(session)
            });
            match attempt {
                Err(error) if error.is_changed() && attempts < ATTEMPTS => {}
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        log::info!("slot {slot}: {role} logged in");
        Ok(())
    }

    /// The session that a login would begin.
    pub(super) fn authenticate(&self, role: Role, secret: &Secret) -> Result<Authenticated> {
        let (hsm, slot) = (self.hsm, self.slot);
        hsm.check_store()?;
        let row = hsm.store.slot(slot)?;
        let kind = row.kind;
        let stored = self.checked_credential(kind, role)?;
        if secret.kind() != kind {
            return Err(SlotError::OtherAuthentication(kind).at(slot));
        }
        let stored = stored.ok_or(SlotError::RoleMissing(role).at(slot))?;
        if let Some(kib) = credential::lacks_memory(&stored.credential) {
            return Err(SlotError::NoMemory { kib }.at(slot));
        }
        // This number is in clear and is authenticated only after the login. A higher one gives an attacker guesses
        // that a copy of the file gives anyway.
        let most = row.policies.failed_logins;
        let failures = match kind {
            SlotKind::Password => self.count_attempt(role, stored.id, stored.failures, most)?,
            SlotKind::Quorum => 0,
        };
        let (serial, id) = (row.serial, stored.id);
        let binding = Binding { serial, role, id };
        let is_pair = stored.pair.is_some();
        let unwrapped = credential::open(&stored.credential, is_pair, secret, binding);
        // Argon2 failed, or it ran for a credential that was replaced since: nothing was guessed. Or the password was right and
        // the slot is damaged. None of it may lock the role.
        if let Err(
            CredentialError::Kdf(_) | CredentialError::Damaged | CredentialError::OtherMethod,
        ) = unwrapped
        {
            hsm.uncount_attempt(slot, stored.id)?;
        }
        let damaged =
            |what: &str| Error::slot_damaged(slot, format!("the credential of {role} {what}"));
        let opened = unwrapped.map_err(|error| match error {
            CredentialError::Wrong if failures >= most => SlotError::RoleLocked(role).at(slot),
            CredentialError::Wrong => {
                let left = most - failures;
                SlotError::PasswordWrong { role, left }.at(slot)
            }
            CredentialError::Damaged => damaged("was changed or moved"),
            // The shares were issued again after they were checked one by one.
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
        let parts = hsm.store.slot_with_parts(slot)?.1;
        let keys = match &opened.contents {
            Contents::SlotKey(slot_key) => Ok(Keys {
                slot_key: slot_key.clone(),
                pair: None,
            }),
            Contents::Pair(pair) => {
                let slot_key = stored.pair.as_ref().zip(pair_place(&row, &stored));
                let slot_key = slot_key.and_then(|(theirs, at)| pair.decapsulate(theirs, at));
                let keys = slot_key.map(|slot_key| Keys {
                    slot_key,
                    pair: Some(pair.clone()),
                });
                keys.ok_or_else(|| damaged("has a key pair that the slot key was not sealed for"))
            }
        };
        let session = match keys.and_then(|keys| Session::open(row, role, keys, &parts)) {
            Ok(session)
                if !session.header.names(stored.id)
                    || !session.credential_fits(&stored)
                    || session.keys.pair.is_some() != stored.pair.is_some() =>
            {
                Err(damaged("is not the current one"))
            }
            // Only now: whoever does not know the password learns nothing, and the header is authentic.
            session => session.and_then(|it| {
                hsm.check_cluster()?;
                let newer = hsm.check_not_older(&it, Some(stored.id))?;
                Ok(newer.unwrap_or(it))
            }),
        };
        if session.is_err() {
            // The password was right here too.
            hsm.uncount_attempt(slot, stored.id)?;
            // Rows that were read before and after a change do not fit together.
            if hsm.store.slot(slot)?.as_version() != version {
                return Err(SlotFault::Changed.at(slot).into());
            }
        }
        let session = session?;
        if !hsm.store.is_read_only() {
            hsm.store.clear_failures(slot, stored.id)?;
        }
        let credential = stored.id;
        Ok(Authenticated {
            session: Arc::new(session),
            credential,
            opened,
        })
    }

    /// Makes a pair for a credential of schema 3, renews the authentication key after the slot got another key, and makes a
    /// new slot key that waited for this role. Only a login can, since it takes the role's secret. Failures are logged and not
    /// returned: the next login tries again.
    fn keep_up(&self, it: Authenticated) -> Arc<Session> {
        let Authenticated {
            session,
            credential,
            opened,
        } = it;
        let (slot, role) = (self.slot, session.role());
        let named = session.header.pair(credential);
        let (own, due) = (named.is_none_or(|it| it.renew), session.header.rekey_due);
        let own_is_new = named.is_none();
        if self.hsm.is_read_only() || !own {
            return session;
        }
        let renew = |mut change: Change| {
            change.renew(role, &opened)?;
            Ok(Arc::new(self.hsm.commit(&session, role, change)?.1))
        };
        let rekey = || {
            let mut change = self.hsm.change_of(&session)?;
            change.forget(&[role]);
            if !change.without_pair().is_empty() {
                return Ok(None);
            }
            change.rekey(&session, Rekey::quiet(false))?;
            renew(change).map(Some)
        };
        let failed = |what: &str, error: Error| {
            let why = reason(&error);
            log::warn!("slot {slot}: {what}: {why}");
        };
        // Only the login that makes the last pair. Trying again at each login would hold up the store.
        if due && own_is_new {
            match rekey() {
                Ok(Some(after)) => {
                    log::info!(
                        "slot {slot}: it has another key; a changed secret was waiting for {role}"
                    );
                    return after;
                }
                Ok(None) => {}
                Err(error) => failed(
                    "the new slot key could not be made, so with old secrets old copies of the store still open it; 'role changepw' makes one (-force loses objects that do not open)",
                    error,
                ),
            }
        }
        if own {
            match self.hsm.change_of(&session).and_then(renew) {
                Ok(after) => return after,
                Err(error) => failed(
                    "its credential could not be renewed, the next login tries again",
                    error,
                ),
            }
        }
        session
    }

    /// The credential of `role`, as it is at rest.
    pub(super) fn credential_of(&self, role: Role) -> Result<CredentialRow> {
        let there = self.hsm.store.credential(self.slot, role)?;
        there.ok_or(SlotError::RoleMissing(role).at(self.slot))
    }

    /// The credential of `role`, if there is one; it must be one for a slot of `kind`.
    fn checked_credential(&self, kind: SlotKind, role: Role) -> Result<Option<CredentialRow>> {
        let there = self.hsm.store.credential(self.slot, role)?;
        if let Some(row) = &there {
            check_method(self.slot, kind, row)?;
        }
        Ok(there)
    }

    /// A read-only store cannot count; there, only earlier attempts can lock the role.
    fn count_attempt(
        &self,
        role: Role,
        credential: PartId,
        failures: u32,
        most: u32,
    ) -> Result<u32> {
        let (store, slot) = (&self.hsm.store, self.slot);
        let counted = match store.is_read_only() {
            true => (failures < most).then_some(failures + 1),
            false => store.count_failure(slot, credential, most)?,
        };
        if let Some(failures) = counted {
            return Ok(failures);
        }
        match store.credential(slot, role)? {
            Some(now) if now.id == credential => Err(SlotError::RoleLocked(role).at(slot)),
            // The credential was replaced after it was read: that is no lock.
            _ => Err(SlotFault::Changed.at(slot).into()),
        }
    }

    /// Logs out, and wipes the slot's keys once no request uses them; whether anybody was logged in.
    pub fn logout(&self) -> bool {
        let was = self.hsm.sessions_mut().remove(&self.slot).is_some();
        self.hsm.gathered.forget(self.slot);
        self.hsm.fingerprints.forget();
        self.hsm.forget_keys_unless_open(self.slot);
        if was {
            log::info!("slot {}: logged out", self.slot);
        }
        was
    }

    /// Whether the rows that a login needs are there, can be read and fit together. What is sealed in them is not looked
    /// at.
    ///
    /// # Errors
    /// [`SlotFault::Damaged`], [`SlotFault::Missing`], or when the store cannot be read.
    pub fn inspect(&self) -> Result<()> {
        let slot = self.slot;
        let (row, keys) = self.hsm.store.slot_with_parts(slot)?;
        if let Some((_, why)) = keys.unreadable.first() {
            return Err(Error::slot_damaged(slot, why));
        }
        if keys.domains.is_empty() {
            return Err(Error::slot_damaged(slot, "it has no domain"));
        }
        if row.is_v1() && keys.smks.is_empty() {
            return Err(Error::slot_damaged(slot, "it has no storage master key"));
        }
        let credentials = self.hsm.store.credentials(slot)?;
        if credentials.iter().all(|it| it.role != Role::Po) {
            return Err(Error::slot_damaged(slot, "it has no credential of po"));
        }
        let mut credentials = credentials.iter();
        credentials.try_for_each(|it| check_method(slot, row.kind, it))
    }

    /// How `role` logs in. Where the slot's kind and the role's credential contradict each other, neither a password nor
    /// key shares can be right, so that is an error of its own.
    ///
    /// # Errors
    /// [`SlotFault::Damaged`], [`SlotFault::Missing`], or when the store cannot be read. A role without a credential is
    /// no error here: its login reports that.
    pub fn login_kind(&self, role: Role) -> Result<SlotKind> {
        let kind = self.row()?.kind;
        self.checked_credential(kind, role).map(|_| kind)
    }

    /// `secret` with its Argon2id done for the login of `role`, ahead of it. Nothing is checked or counted: that is the
    /// login's, which also says what is wrong where this could not be done.
    pub fn stretch(&self, role: Role, secret: &Secret) -> Secret {
        let stored = self.credential_of(role).ok();
        stored
            .and_then(|stored| credential::stretch(&stored.credential, secret).ok())
            .unwrap_or_else(|| secret.clone())
    }
}

/// Whether the credential in `row` is one for a slot of this kind.
pub(super) fn check_method(slot: SlotId, kind: SlotKind, row: &CredentialRow) -> Result<()> {
    let has = match (kind, &row.credential.method) {
        (SlotKind::Password, Method::Password(_)) | (SlotKind::Quorum, Method::Quorum(_)) => {
            return Ok(());
        }
        (SlotKind::Password, Method::Quorum(_)) => "key shares",
        (SlotKind::Quorum, Method::Password(_)) => "no key shares",
    };
    let role = row.role;
    let what = format!("it is a {kind} slot, but the credential of {role} has {has}");
    Err(Error::slot_damaged(slot, what))
}
