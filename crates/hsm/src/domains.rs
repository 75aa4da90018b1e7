//! The domains of a slot, up to three: added, relabelled, put first, removed (docs/domains.md). All of it is
//! the partition officer's.

use thiserror::Error as ThisError;

use super::init::is_label;
use super::session::Domain;
use super::{Error, Partition, Result, Role, Session, SlotError, SlotId};
use slotfs_seal::blob::MAX_STANZAS;
use slotfs_seal::domain::DomainKey;

/// Why the domains of a slot stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
pub enum DomainFault {
    /// It has three.
    #[error("the slot already has {MAX_STANZAS} domains, the maximum")]
    Full,
    /// Another label is meant.
    #[error("the slot has no domain with that label")]
    NoSuchLabel,
    /// The label names another one.
    #[error("the slot already has a domain with that label")]
    LabelTaken,
    /// Not a label.
    #[error("a domain label has 1 to 32 printable characters")]
    BadLabel,
    /// The same secret under another label.
    #[error("the slot already has this domain, under another label")]
    Duplicate,
    /// A slot always has one.
    #[error("it is the only domain, and a slot needs at least one")]
    Last,
    /// The primary one.
    #[error("it is the primary domain")]
    Primary,
}

impl Partition<'_> {
    /// The labels of a slot's domains. With a login: the current domains, the primary one first. Without one: what the
    /// rows say in clear, sorted, which may be wrong.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn domain_labels(&self) -> Result<Vec<String>> {
        if let Ok(session) = self.session() {
            let domains = session.domains().iter();
            return Ok(domains.map(|it| it.label.clone()).collect());
        }
        let rows = self.hsm.store.domains(self.slot)?.into_iter();
        let mut labels: Vec<String> = rows.map(|row| row.label).collect();
        labels.sort();
        Ok(labels)
    }

    /// Gives a slot another domain; with `primary`, it becomes the primary one.
    ///
    /// # Errors
    /// [`SlotError::Domain`], [`SlotError::RoleNeeded`], [`SlotFault::Changed`](super::SlotFault::Changed).
    pub fn add_domain(&self, key: &DomainKey, label: &str, primary: bool) -> Result<()> {
        let slot = self.slot;
        let session = self.officer(&[Role::Po])?;
        check_label(slot, label)?;
        let fault = |why| Err(fault(slot, label, why));
        let there = session.domains();
        if there.iter().any(|domain| domain.key.key() == key.key()) {
            return fault(DomainFault::Duplicate);
        }
        if there.iter().any(|domain| domain.label == label) {
            return fault(DomainFault::LabelTaken);
        }
        if there.len() >= MAX_STANZAS {
            return fault(DomainFault::Full);
        }
        self.hsm.amend(&session, |change| {
            let row = change.seal_domain(label, key)?;
            let domains = &mut change.parts.domains;
            domains.insert(if primary { 0 } else { domains.len() }, row);
            Ok(())
        })?;
        log::info!("slot {slot}: a domain was added");
        Ok(())
    }

    /// Deletes a domain of a slot, which then refuses blobs that only this domain opens.
    ///
    /// # Errors
    /// As [`Self::add_domain`]; the primary domain and the last one cannot be deleted.
    pub fn delete_domain(&self, label: &str) -> Result<()> {
        let slot = self.slot;
        let session = self.officer(&[Role::Po])?;
        let (at, _) = find(&session, label)?;
        self.hsm.amend(&session, |change| {
            let domains = &mut change.parts.domains;
            match (domains.len(), at) {
                (1, _) => Err(fault(slot, label, DomainFault::Last)),
                (_, 0) => Err(fault(slot, label, DomainFault::Primary)),
                _ => {
                    domains.remove(at);
                    Ok(())
                }
            }
        })?;
        log::info!("slot {slot}: a domain was deleted");
        Ok(())
    }

    /// Gives a domain another label, or makes it the primary one, or both.
    ///
    /// # Errors
    /// As [`Self::add_domain`].
    pub fn change_domain(&self, label: &str, new_label: Option<&str>, primary: bool) -> Result<()> {
        let slot = self.slot;
        let session = self.officer(&[Role::Po])?;
        let (at, domain) = find(&session, label)?;
        self.hsm.amend(&session, |change| {
            if let Some(new) = new_label.filter(|new| *new != label) {
                check_label(slot, new)?;
                if session.domains().iter().any(|other| other.label == new) {
                    return Err(fault(slot, new, DomainFault::LabelTaken));
                }
                change.parts.domains[at] = change.seal_domain(new, &domain.key)?;
            }
            if primary {
                change.parts.domains[..=at].rotate_right(1);
            }
            Ok(())
        })?;
        log::info!("slot {slot}: a domain was changed");
        Ok(())
    }
}

/// # Errors
/// [`DomainFault::BadLabel`] unless it has 1 to 32 printable characters.
pub(super) fn check_label(slot: SlotId, label: &str) -> Result<()> {
    let bad = || fault(slot, label, DomainFault::BadLabel);
    is_label(label).then_some(()).ok_or_else(bad)
}

fn find<'a>(session: &'a Session, label: &str) -> Result<(usize, &'a Domain)> {
    let mut domains = session.domains().iter().enumerate();
    let found = domains.find(|(_, domain)| domain.label == label);
    found.ok_or_else(|| fault(session.slot(), label, DomainFault::NoSuchLabel))
}

fn fault(slot: SlotId, label: &str, why: DomainFault) -> Error {
    let label = slotfs_object::show::escape(label);
    SlotError::Domain { label, why }.at(slot)
}
