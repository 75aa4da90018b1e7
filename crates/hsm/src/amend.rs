//! Changes a partition: seals its header again, with everything that it names, in one transaction.

use std::sync::Arc;

use super::header::{Header, domain_aad, header_aad, smk_aad};
use super::init::random_id;
use super::session::Keys;
use super::{Error, Hsm, Key, Partition, Result, Role, Session, SlotError, SlotFault, SlotRow};
use slotfs_object::sealed::PartId;
use slotfs_seal::credential::{PairSecret, Purpose};
use slotfs_seal::domain::DomainKey;
use slotfs_store::{Changed, DomainRow, Objects, SlotChange, SlotRows, SmkRow};

/// A partition as it will be. Nothing takes effect before [`Hsm::commit_change`].
pub(super) struct Change {
    /// What is in clear; its header is set when it is committed.
    pub(super) row: SlotRow,
    /// What the header will say; its lists of domains and storage master keys are set when it is committed.
    pub(super) header: Header,
    /// Every credential, every domain, the primary one first, and storage master key, the active one first.
    pub(super) parts: SlotRows,
    /// What everything is sealed under, and the pair of the role that makes the change.
    pub(super) keys: Keys,
    /// Roles with other pairs than before.
    pub(super) given: Vec<(Role, PairSecret)>,
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
        let (stored, mut parts) = self.store.slot_with_parts(slot)?;
        if stored.as_version() != session.row().as_version() {
            self.refresh()?;
            return Err(SlotFault::Changed.at(slot).into());
        }
        // What is in clear was checked when the header was opened. Sealing what somebody changed since would make it true.
        if stored != *session.row() {
            return Err(Error::slot_damaged(slot, "a field in clear was changed"));
        }
        let mut row = stored;
        let mut header = session.header.clone();
        // What is not there would not be named any more, and be gone. Each kind by itself: the id of a row that was taken away
        // can be given to one of another kind.
        let domains: Vec<PartId> = parts.domains.iter().map(|it| it.id).collect();
        let smks: Vec<PartId> = parts.smks.iter().map(|it| it.id).collect();
        let credentials: Vec<PartId> = parts.credentials.iter().map(|it| it.id).collect();
        let named: Vec<PartId> = header.credentials.iter().map(|it| it.id).collect();
        for (what, named, there) in [
            ("domain", &header.domains, domains),
            ("storage master key", &header.smks, smks),
            ("credential", &named, credentials),
        ] {
            if let Some(id) = named.iter().find(|id| !there.contains(id)) {
                let missing = format!("a {what} that its header names is missing");
                let why = parts.fault(*id).unwrap_or(&missing);
                return Err(Error::slot_damaged(slot, why));
            }
        }
        let place = |named: &[PartId], id| named.iter().position(|it| *it == id);
        parts.domains.retain(|it| header.domains.contains(&it.id));
        parts
            .domains
            .sort_by_key(|it| place(&header.domains, it.id));
        parts.smks.retain(|it| header.smks.contains(&it.id));
        parts.smks.sort_by_key(|it| place(&header.smks, it.id));
        parts.credentials.retain(|it| header.names(it.id));
        header.generation = row.generation + 1;
        row.generation = header.generation;
        Ok(Change {
            row,
            header,
            parts,
            keys: session.keys.clone(),
            given: Vec::new(),
            objects: Objects::Keep,
        })
    }

    /// Makes the change, and goes on with the login over the partition as it then is.
    ///
    /// # Errors
    /// [`SlotFault::Changed`] when another process was first. Then nothing was done.
    pub(super) fn commit_change(&self, session: &Session, change: Change) -> Result<Changed> {
        let (slot, from) = (session.slot(), session.row().as_version());
        // A role whose secret this process changes stays logged in to it, whoever made the change.
        let there = self.partition(slot).session().map(|it| it.role());
        let given = |role: &Role| change.given.iter().any(|(it, _)| it == role);
        let role = there.ok().filter(given).unwrap_or(session.role());
        let (changed, after) = self.commit(session, role, change)?;
        let _not_while_refreshing = self.lock_refreshing();
        // The next refresh takes care of a session of another role.
        if let Ok(there) = self.partition(slot).session()
            && there.role() == after.role()
            && there.row().as_version() == from
        {
            let same = after.shows_the_same(&there);
            self.replace(&there, Some(after));
            if let Some(listener) = self.on_change.get().filter(|_| !same) {
                listener(slot);
            }
        }
        slotfs_object::secret::wipe_stack();
        Ok(changed)
    }

    /// Makes the change; what it did, and the login of `role` over the partition as it then is. That is the role of
    /// `session`, or one that gets another pair.
    ///
    /// # Errors
    /// As [`Self::commit_change`].
    pub(super) fn commit(
        &self,
        session: &Session,
        role: Role,
        mut change: Change,
    ) -> Result<(Changed, Session)> {
        change.seal_header()?;
        if let Some((_, pair)) = change.given.into_iter().find(|(it, _)| *it == role) {
            change.keys.pair = Some(pair);
        }
        // The sealed header must open: one that does not would lock everybody out.
        let row = change.row.clone();
        let after = Session::open(row, role, change.keys, &change.parts)?;
        let outcome = self.store.change_slot(SlotChange {
            from: session.row().as_version(),
            row: change.row,
            parts: change.parts,
            objects: change.objects,
        });
        if outcome.as_ref().is_err_and(|e| e.is_changed()) {
            self.refresh()?;
        }
        let changed = outcome?;
        self.seen.raise(after.row().as_version());
        if changed.destroyed > 0 {
            self.keys.forget(after.slot());
        }
        Ok((changed, after))
    }
}

impl Change {
    /// A domain's row, sealed for a place of its own.
    pub(super) fn seal_domain(&self, label: &str, key: &DomainKey) -> Result<DomainRow> {
        let (id, kind) = (random_id()?, key.kind());
        let aad = domain_aad(self.row.serial, kind, id, label);
        let slot_key = &self.keys.slot_key;
        Ok(DomainRow {
            id,
            kind,
            label: label.to_owned(),
            sealed: slot_key.seal(Purpose::Domain, &aad, key.key().bytes())?,
        })
    }

    /// A storage master key's row, sealed for a place of its own.
    pub(super) fn seal_smk(&self, smk: &Key) -> Result<SmkRow> {
        let id = random_id()?;
        let aad = smk_aad(self.row.serial, id);
        let sealed = self.keys.slot_key.seal(Purpose::Smk, &aad, smk.bytes())?;
        Ok(SmkRow { id, sealed })
    }

    /// Seals the header, after everything that it names is in place.
    ///
    /// # Errors
    /// [`SlotFault::Damaged`] for a credential that is not the one that the header names: it would be named again.
    pub(super) fn seal_header(&mut self) -> Result<()> {
        for it in &self.parts.credentials {
            let mut all = self.header.credentials.iter_mut();
            let named = all.find(|named| named.id == it.id);
            if named.is_none_or(|named| !named.take_hash(&self.row, it)) {
                let role = it.role;
                let what = format!("the credential of {role} is not the one that its header names");
                return Err(Error::slot_damaged(self.row.slot, what));
            }
        }
        self.header.domains = self.parts.domains.iter().map(|it| it.id).collect();
        self.header.smks = self.parts.smks.iter().map(|it| it.id).collect();
        let (aad, plain) = (header_aad(&self.row), self.header.encode());
        self.row.header = self.keys.slot_key.seal(Purpose::Header, &aad, &plain)?;
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
