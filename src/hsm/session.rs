//! A slot that is logged in to: its keys, and what they open.

use crate::blob::{Root, blob_bytes};
use crate::credential::{Purpose, Role, SealedRow, SlotKey};
use crate::domain::{DomainKey, DomainKind};
use crate::error::{Error, Result};
use crate::object::SlotId;
use crate::secret::{Key, SecretBytes};
use crate::store::{DomainRow, Place, SlotRow};

use super::header::{self, Header, domain_aad, header_aad, object_aad};
use super::policy::Policies;

/// One of the slot's domains.
pub struct Domain {
    /// Names it to people.
    pub label: String,
    /// Its key.
    pub key: DomainKey,
}

impl Domain {
    /// Names the key itself, to those who are logged in: two slots that show the same one can clone.
    pub fn fingerprint(&self) -> [u8; 8] {
        Root::of_domain(self.key.key()).fingerprint()
    }
}

/// Who is logged in to a slot, with the keys that this gives. Dropping it wipes them.
pub struct Session {
    row: SlotRow,
    role: Role,
    slot_key: SlotKey,
    header: Header,
    domains: Vec<Domain>,
    roots: Vec<Root>,
    policies: Policies,
}

impl Session {
    /// Opens the slot's header and domains with its key.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the header, or a row that it names, does not open.
    pub fn open(
        row: SlotRow,
        role: Role,
        slot_key: SlotKey,
        domain_rows: &[DomainRow],
    ) -> Result<Self> {
        let slot = row.slot;
        let damaged = |what: &str| Error::Damaged {
            what: format!("slot {slot}: {what}"),
        };
        let does_not_open = || damaged("its header does not open: a field in clear was changed");
        let plain = slot_key
            .open(Purpose::Header, &header_aad(&row), &row.header)
            .ok_or_else(does_not_open)?;
        // Sealed with the slot's own key, so a later build did it.
        if let Some(version) = plain.bytes().first().filter(|it| **it != header::VERSION) {
            return Err(damaged(&format!(
                "its header has version {version}, this build knows {}",
                header::VERSION
            )));
        }
        let header = Header::decode(plain.bytes())
            .filter(|header| header.generation == row.generation)
            .ok_or_else(does_not_open)?;
        let policies = Policies::from_stored(&row.policies)
            .ok_or_else(|| damaged("its policies are not readable"))?;
        let mut domains = Vec::with_capacity(header.domains.len());
        for id in &header.domains {
            let stored = domain_rows
                .iter()
                .find(|domain| domain.id == *id)
                .ok_or_else(|| damaged("a domain that its header names is missing"))?;
            let aad = domain_aad(row.serial, stored.kind, stored.id, &stored.label);
            let key = slot_key
                .open(Purpose::Domain, &aad, &stored.sealed)
                .and_then(|plain| Key::from_slice(plain.bytes()))
                .ok_or_else(|| damaged("one of its domains does not open"))?;
            let kind = if stored.kind == DomainKind::String as u8 {
                DomainKind::String
            } else {
                DomainKind::KeyFile
            };
            domains.push(Domain {
                label: stored.label.clone(),
                key: DomainKey::from_stored(kind, key),
            });
        }
        if domains.is_empty() {
            return Err(damaged("it has no domain"));
        }
        let roots = domains
            .iter()
            .map(|domain| Root::of_domain(domain.key.key()))
            .collect();
        Ok(Self {
            row,
            role,
            slot_key,
            header,
            domains,
            roots,
            policies,
        })
    }

    /// The slot.
    pub fn slot(&self) -> SlotId {
        self.row.slot
    }

    /// All of the slot that is in clear.
    pub fn row(&self) -> &SlotRow {
        &self.row
    }

    /// Who is logged in.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The slot's domains, the primary one first.
    pub fn domains(&self) -> &[Domain] {
        &self.domains
    }

    /// Those domains, as blobs are sealed under them.
    pub(super) fn roots(&self) -> &[Root] {
        &self.roots
    }

    /// What the slot allows.
    pub fn policies(&self) -> Policies {
        self.policies
    }

    /// The key that everything is sealed under.
    pub(super) fn slot_key(&self) -> &SlotKey {
        &self.slot_key
    }

    /// What the sealed header says.
    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// Whether the header names this credential.
    pub(super) fn names_credential(&self, id: i64) -> bool {
        self.header.credentials.contains(&id)
    }

    /// The same login over the slot as it is now.
    pub(super) fn reopen(&self, row: SlotRow, domain_rows: &[DomainRow]) -> Result<Self> {
        Self::open(row, self.role, self.slot_key.clone(), domain_rows)
    }

    /// Exact size of the blob of an object with that much payload.
    pub fn blob_bytes(&self, payload_bytes: u32) -> u64 {
        // At most MAX_BLOB_BYTES, by the schema.
        blob_bytes(self.roots.len(), payload_bytes as usize) as u64
    }

    /// Seals a payload for its place in the store.
    pub(super) fn seal_row(&self, place: Place, payload: &SecretBytes) -> Result<SealedRow> {
        let aad = object_aad(self.row.serial, place);
        Ok(self.slot_key.seal(Purpose::Object, &aad, payload.bytes())?)
    }

    /// Opens a payload at its place in the store.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming slot and handle: never a wrong payload.
    pub(super) fn open_row(&self, place: Place, row: &SealedRow) -> Result<SecretBytes> {
        let aad = object_aad(self.row.serial, place);
        self.slot_key
            .open(Purpose::Object, &aad, row)
            .ok_or_else(|| Error::Damaged {
                what: format!(
                    "slot {}, object {} (row {}): it does not open, its row was changed or moved",
                    self.row.slot, place.handle, place.id
                ),
            })
    }
}
