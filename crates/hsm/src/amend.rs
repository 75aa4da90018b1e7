//! Changes a partition: seals its header again, with everything that it names, in one transaction.

use std::sync::Arc;

use super::header::{Header, domain_aad, header_aad, smk_aad};
use super::init::{STRETCHED, random_id};
use super::{Hsm, Key, Partition, Result, Role, Secret, Session, SlotError, SlotFault, SlotRow};
use slotfs_object::sealed::{KdfParams, PartId};
use slotfs_seal::credential::{self, Binding, KdfError, Purpose, SlotKey};
use slotfs_seal::domain::DomainKey;
use slotfs_store::{Changed, CredentialRow, DomainRow, KeyRows, Objects, SlotChange, SmkRow};

/// A partition as it will be. Nothing takes effect before [`Hsm::commit_change`].
pub(super) struct Change {
    /// What is in clear; its generation and header are set when it is committed.
    pub(super) row: SlotRow,
    /// Every credential.
    pub(super) credentials: Vec<CredentialRow>,
    /// Every domain, the primary one first, and storage master key, the active one first.
    pub(super) keys: KeyRows,
    /// What everything is sealed under.
    pub(super) slot_key: SlotKey,
    /// What becomes of the objects.
    pub(super) objects: Objects,
}

impl Hsm {
    /// Changes the partition by `edit`, and goes on with the login over the partition as it then is.
    ///
    /// # Errors
    /// Those of `edit`; [`SlotFault::Changed`] when another process was first. Then nothing was done.
    pub(super) fn amend(
        &self,
        session: &Session,
        edit: impl FnOnce(&mut Change) -> Result<()>,
    ) -> Result<Changed> {
        let mut change = self.change_of(session)?;
        edit(&mut change)?;
        self.commit_change(session, change)
    }

    /// The partition as `session` sees it, to be changed.
    pub(super) fn change_of(&self, session: &Session) -> Result<Change> {
        let slot = session.slot();
        let (row, mut keys) = self.store.slot_with_keys(slot)?;
        if row.as_version() != session.row().as_version() {
            self.refresh()?;
            return Err(SlotFault::Changed.at(slot).into());
        }
        let Header { domains, smks, .. } = &session.header;
        let place = |named: &[PartId], id| named.iter().position(|it| *it == id);
        keys.domains.retain(|domain| domains.contains(&domain.id));
        keys.domains.sort_by_key(|domain| place(domains, domain.id));
        keys.smks.retain(|smk| smks.contains(&smk.id));
        keys.smks.sort_by_key(|smk| place(smks, smk.id));
        let mut credentials = self.store.credentials(slot)?;
        credentials.retain(|credential| session.names_credential(credential.id));
        Ok(Change {
            row,
            credentials,
            keys,
            slot_key: session.slot_key.clone(),
            objects: Objects::Keep,
        })
    }

    /// Makes the change, and goes on with the login over the partition as it then is.
    ///
    /// # Errors
    /// [`SlotFault::Changed`] when another process was first. Then nothing was done.
    pub(super) fn commit_change(&self, session: &Session, mut change: Change) -> Result<Changed> {
        let (slot, from) = (session.slot(), session.row().as_version());
        change.seal_header(session.row().generation + 1)?;
        // The sealed header must open: one that does not would lock everybody out.
        let (row, role) = (change.row.clone(), session.role());
        let after = Session::open(row, role, change.slot_key, &change.keys)?;
        let outcome = self.store.change_slot(SlotChange {
            from,
            row: change.row,
            credentials: change.credentials,
            keys: change.keys,
            objects: change.objects,
        });
        if outcome.as_ref().is_err_and(|e| e.is_changed()) {
            self.refresh()?;
        }
        let changed = outcome?;
        let _not_while_refreshing = self.lock_refreshing();
        // The next refresh takes care of a session of another role.
        if let Ok(there) = self.partition(slot).session()
            && there.role() == after.role()
            && there.row().as_version() == from
        {
            self.replace(&there, Some(after));
            // The blobs of its objects may have changed.
            if let Some(listener) = self.on_change.get() {
                listener(slot);
            }
        }
        slotfs_object::secret::wipe_stack();
        Ok(changed)
    }
}

impl Change {
    /// Gives a role a credential: `secret` opens the slot key that the partition is to have.
    pub(super) fn give(&mut self, role: Role, secret: &Secret) -> Result<()> {
        let SlotRow { slot, serial, .. } = self.row;
        let id = random_id()?;
        let kib = KdfParams::NEW.memory_kib;
        let wrapped = credential::wrap(secret, &self.slot_key, Binding { serial, role, id });
        let credential = wrapped.map_err(|error| match error {
            KdfError::Random(error) => error.into(),
            KdfError::Memory => SlotError::NoMemoryForPassword { kib }.at(slot),
            KdfError::Cost => SlotError::Malformed(STRETCHED).at(slot),
        })?;
        self.credentials.push(CredentialRow {
            id,
            role,
            credential,
            failures: 0,
        });
        Ok(())
    }

    /// A domain's row, sealed for a place of its own.
    pub(super) fn seal_domain(&self, label: &str, key: &DomainKey) -> Result<DomainRow> {
        let (id, kind) = (random_id()?, key.kind());
        let aad = domain_aad(self.row.serial, kind, id, label);
        Ok(DomainRow {
            id,
            kind,
            label: label.to_owned(),
            sealed: self
                .slot_key
                .seal(Purpose::Domain, &aad, key.key().bytes())?,
        })
    }

    /// A storage master key's row, sealed for a place of its own.
    pub(super) fn seal_smk(&self, smk: &Key) -> Result<SmkRow> {
        let id = random_id()?;
        let aad = smk_aad(self.row.serial, id);
        let sealed = self.slot_key.seal(Purpose::Smk, &aad, smk.bytes())?;
        Ok(SmkRow { id, sealed })
    }

    /// Seals the header, after everything that it names is in place.
    pub(super) fn seal_header(&mut self, generation: u64) -> Result<()> {
        let header = Header {
            generation,
            credentials: self.credentials.iter().map(|it| it.id).collect(),
            domains: self.keys.domains.iter().map(|it| it.id).collect(),
            smks: self.keys.smks.iter().map(|it| it.id).collect(),
        };
        self.row.generation = generation;
        let aad = header_aad(&self.row);
        self.row.header = self
            .slot_key
            .seal(Purpose::Header, &aad, &header.encode())?;
        Ok(())
    }
}

impl Partition<'_> {
    /// The session of the role that may change this.
    pub(super) fn officer(&self, roles: &[Role]) -> Result<Arc<Session>> {
        if self.hsm.is_read_only() {
            return Err(SlotError::ReadOnly("the store is read-only").at(self.slot));
        }
        let session = self.session()?;
        match (session.role(), roles.first()) {
            (role, Some(&needed)) if !roles.contains(&role) => {
                Err(SlotError::RoleNeeded { role, needed }.at(self.slot))
            }
            _ => Ok(session),
        }
    }
}
