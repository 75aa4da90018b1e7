//! A slot that is logged in to: its keys, and what they open.

use super::header::{
    self, Header, authentication_aad, binding_of, domain_aad, header_aad, object_aad, smk_aad,
};
use super::policy::Policies;
use super::{
    Error, Key, PartitionId, Result, Role, SealedRow, SecretBytes, SlotFault, SlotId, SlotRow,
    store,
};
use slotfs_seal::blob::{self, Fault, Kind, Root, blob_bytes};
use slotfs_seal::credential::pair::Place;
use slotfs_seal::credential::{PairSecret, Purpose, SlotKey};
use slotfs_seal::domain::DomainKey;
use slotfs_store::{CredentialRow, Place as RowPlace, SlotRows, SmkRow};

/// One of the slot's domains.
pub struct Domain {
    /// Its name.
    pub label: String,
    /// Its key.
    pub key: DomainKey,
}

impl Domain {
    /// Identifies the key, for users who are logged in: two slots that show the same fingerprint can clone.
    pub fn fingerprint(&self) -> [u8; 8] {
        Root::of_domain(self.key.key()).fingerprint()
    }
}

/// What a login gives.
#[derive(Clone)]
pub(super) struct Keys {
    /// What everything at rest is sealed under.
    pub(super) slot_key: SlotKey,
    /// What its role takes a new slot key in with; `None` where its credential has no pair.
    pub(super) pair: Option<PairSecret>,
}

/// A login to a slot, with the keys that it opens. Dropping it wipes them.
pub struct Session {
    row: SlotRow,
    role: Role,
    /// The pair is one that the header names.
    pub(super) keys: Keys,
    /// What the sealed header says.
    pub(super) header: Header,
    domains: Vec<Domain>,
    /// The domains, as blobs are sealed under them.
    pub(super) roots: Vec<Root>,
    smks: Vec<Smk>,
    smk_roots: Vec<Root>,
}

/// A storage master key: what a V1 slot seals its objects under.
pub struct Smk {
    pub(super) key: Key,
}

impl Smk {
    /// Identifies it, for users who are logged in.
    pub fn fingerprint(&self) -> [u8; 8] {
        Root::of_smk(&self.key).fingerprint()
    }
}

/// Where the slot key in the pair of a credential was encapsulated; `None` where there is no pair.
pub(super) fn pair_place(row: &SlotRow, it: &CredentialRow) -> Option<Place> {
    Some(Place {
        slot: row.slot,
        binding: binding_of(row, it),
        generation: it.pair.as_ref()?.generation,
    })
}

/// `pair` with the authentication key that it has now, if the header names it. Another login of the role may have renewed that
/// key.
fn current(
    row: &SlotRow,
    role: Role,
    slot_key: &SlotKey,
    pair: &PairSecret,
    (header, parts): (&Header, &SlotRows),
) -> Option<PairSecret> {
    let public_key = pair.public_key();
    let mut theirs = parts.credentials.iter().filter(|it| it.role == role);
    let (id, stored) = theirs.find_map(|it| {
        let stored = it.pair.as_ref()?;
        (stored.public_key == public_key).then_some((it.id, stored))
    })?;
    header.pair(id).filter(|named| named.fits(stored))?;
    let aad = authentication_aad(row.serial, role, id, &public_key);
    let authentication = slot_key.open(Purpose::Authentication, &aad, &stored.authentication)?;
    Key::from_slice(authentication.bytes()).map(|key| pair.with_authentication(key))
}

impl Session {
    /// Opens the slot's header and domains with its key.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the header, or a row that it names, does not open.
    pub(super) fn open(row: SlotRow, role: Role, mut keys: Keys, parts: &SlotRows) -> Result<Self> {
        let (slot, slot_key) = (row.slot, &keys.slot_key);
        let damaged = |what: &str| Error::slot_damaged(slot, what);
        let does_not_open = || damaged("its header does not open: a field in clear was changed");
        let plain = slot_key
            .open(Purpose::Header, &header_aad(&row), &row.header)
            .ok_or_else(does_not_open)?;
        // It is sealed with the slot's own key, so a later version of slotfs wrote it.
        if let Some(version) = plain.bytes().first().filter(|it| **it > header::VERSION) {
            let known = header::VERSION;
            let what = format!("its header has version {version}, this build knows {known}");
            return Err(damaged(&what));
        }
        let header = Header::decode(plain.bytes())
            .filter(|header| header.generation == row.generation)
            .ok_or_else(does_not_open)?;
        let open_key = |purpose, aad: &[u8], sealed| {
            let plain = slot_key.open(purpose, aad, sealed)?;
            Key::from_slice(plain.bytes())
        };
        let mut domains = Vec::with_capacity(header.domains.len());
        for id in &header.domains {
            let stored = parts.domains.iter().find(|domain| domain.id == *id);
            let missing = "a domain that its header names is missing";
            let stored = stored.ok_or_else(|| damaged(parts.fault(*id).unwrap_or(missing)))?;
            let aad = domain_aad(row.serial, stored.kind, stored.id, &stored.label);
            let key = open_key(Purpose::Domain, &aad, &stored.sealed)
                .ok_or_else(|| damaged("one of its domains does not open"))?;
            domains.push(Domain {
                label: stored.label.clone(),
                key: DomainKey::from_stored(stored.kind, key),
            });
        }
        if domains.is_empty() {
            return Err(damaged("it has no domain"));
        }
        let mut smks = Vec::with_capacity(header.smks.len());
        for id in &header.smks {
            let stored = parts.smks.iter().find(|smk| smk.id == *id);
            let missing = "a storage master key that its header names is missing";
            let SmkRow { id, sealed } =
                stored.ok_or_else(|| damaged(parts.fault(*id).unwrap_or(missing)))?;
            let key = open_key(Purpose::Smk, &smk_aad(row.serial, *id), sealed)
                .ok_or_else(|| damaged("one of its storage master keys does not open"))?;
            smks.push(Smk { key });
        }
        if smks.is_empty() == row.is_v1() {
            let what = "its version and its storage master keys do not fit";
            return Err(damaged(what));
        }
        keys.pair = keys
            .pair
            .as_ref()
            .and_then(|pair| current(&row, role, slot_key, pair, (&header, parts)));
        let of_domain = |domain: &Domain| Root::of_domain(domain.key.key());
        Ok(Self {
            row,
            role,
            keys,
            header,
            roots: domains.iter().map(of_domain).collect(),
            domains,
            smk_roots: smks.iter().map(|smk| Root::of_smk(&smk.key)).collect(),
            smks,
        })
    }

    /// The slot.
    pub(super) fn slot(&self) -> SlotId {
        self.row.slot
    }

    /// The partition.
    pub fn partition(&self) -> PartitionId {
        let SlotRow { slot, serial, .. } = self.row;
        PartitionId { slot, serial }
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

    /// The slot's storage master keys, the active one first; none in a V0 slot.
    pub fn smks(&self) -> &[Smk] {
        &self.smks
    }

    /// Whether whoever uses the slot sees the same with both: the same blobs, and all that is in clear. Another slot key
    /// shows nowhere. After any other change the kernel has to forget sizes, which takes seconds in a large slot.
    pub(super) fn shows_the_same(&self, other: &Self) -> bool {
        let clear = |it: &Self| SlotRow {
            generation: 0,
            header: SealedRow::stored(Vec::new()),
            ..it.row.clone()
        };
        let domains = |it: &Self| it.domains.iter().map(Domain::fingerprint).collect();
        let smks = |it: &Self| it.smks.iter().map(Smk::fingerprint).collect();
        let fingerprints = |it: &Self| -> [Vec<[u8; 8]>; 2] { [domains(it), smks(it)] };
        self.role == other.role
            && clear(self) == clear(other)
            && fingerprints(self) == fingerprints(other)
    }

    /// An object's payload as the blob that leaves the slot: under its domains, or of a V1 slot under its active
    /// storage master key.
    ///
    /// # Errors
    /// As [`blob::seal`].
    pub(super) fn seal_blob(&self, payload: &[u8]) -> Result<Vec<u8>, Fault> {
        match self.smk_roots.first() {
            Some(active) => blob::seal(Kind::ObjectUnderSmk, std::slice::from_ref(active), payload),
            None => blob::seal(Kind::Object, &self.roots, payload),
        }
    }

    /// Opens an object's blob: with any of the slot's domains, and of a V1 slot any of its storage master keys.
    ///
    /// # Errors
    /// As [`blob::open`].
    pub(super) fn open_blob(&self, blob: &[u8]) -> Result<SecretBytes, Fault> {
        match blob::Header::parse(blob)?.kind() {
            Kind::Object => blob::open(Kind::Object, &self.roots, blob),
            Kind::ObjectUnderSmk if self.row.is_v1() => {
                blob::open(Kind::ObjectUnderSmk, &self.smk_roots, blob).map_err(|why| match why {
                    Fault::NoDomain => Fault::NoSmk,
                    why => why,
                })
            }
            kind @ Kind::ObjectUnderSmk => Err(Fault::NotForV0(kind)),
            kind @ Kind::Smk => Err(Fault::WrongKind(kind)),
        }
    }

    /// Whether it is a crypto user's, who uses private and secret objects and does not take them out (policy 1000).
    pub fn is_confined(&self) -> bool {
        self.role == Role::Cu && !self.policies().allow_crypto_user_cloning()
    }

    /// Whether some objects may not leave the slot by this session.
    pub(super) fn restricts_cloning(&self) -> bool {
        self.policies().restrict_cloning() || self.is_confined()
    }

    /// What the slot allows.
    pub fn policies(&self) -> Policies {
        self.row.policies
    }

    /// Whether the header says the same of a credential and its pair as their rows, and the authentication key in it opens. A
    /// credential that the header does not name is ignored.
    pub(super) fn credential_fits(&self, it: &CredentialRow) -> bool {
        let mut named = self.header.credentials.iter();
        let Some(named) = named.find(|named| named.id == it.id) else {
            return true;
        };
        named.fits(&self.row, it)
            && it.pair.as_ref().is_none_or(|pair| {
                let serial = self.row.serial;
                let aad = authentication_aad(serial, it.role, it.id, &pair.public_key);
                let (slot_key, sealed) = (&self.keys.slot_key, &pair.authentication);
                let opened = slot_key.open(Purpose::Authentication, &aad, sealed);
                opened.is_some()
            })
    }

    /// The same login over the slot as it is now. If the slot has another key, the role's pair gives it.
    pub(super) fn reopen(&self, row: SlotRow, parts: &SlotRows) -> Result<Self> {
        let opened = Self::open(row.clone(), self.role, self.keys.clone(), parts);
        match (opened, &self.keys.pair) {
            (Err(error), Some(pair)) if error.is_damage() => {
                let taken_in = self.take_in(pair, row, parts);
                slotfs_object::secret::wipe_stack();
                taken_in.ok_or(error)
            }
            // The slot keeps its key until every role has a pair; who has this role's old secret is out all the same.
            (Ok(opened), Some(_)) if opened.keys.pair.is_none() => {
                let what = format!("the secret of {} was changed", self.role);
                Err(Error::slot_damaged(self.row.slot, what))
            }
            (opened, _) => opened,
        }
    }

    /// The same login with the slot's new key, which was encapsulated to the role's `pair`.
    fn take_in(&self, pair: &PairSecret, row: SlotRow, parts: &SlotRows) -> Option<Self> {
        let mut theirs = parts.credentials.iter().filter(|it| it.role == self.role);
        theirs.find_map(|it| {
            let slot_key = pair.decapsulate(it.pair.as_ref()?, pair_place(&row, it)?)?;
            let keys = Keys {
                slot_key,
                pair: Some(pair.clone()),
            };
            let opened = Self::open(row.clone(), self.role, keys, parts).ok()?;
            opened.keys.pair.is_some().then_some(opened)
        })
    }

    /// Exact size of the blob of an object with that much payload.
    pub fn blob_bytes(&self, payload_bytes: u32) -> u64 {
        // At most MAX_BLOB_BYTES, by the schema.
        let stanzas = match self.row.is_v1() {
            true => 1,
            false => self.roots.len(),
        };
        blob_bytes(stanzas, payload_bytes as usize) as u64
    }

    /// Seals a payload for its place in the store.
    pub(super) fn seal_row(
        &self,
        place: RowPlace,
        payload: &SecretBytes,
    ) -> Result<SealedRow, getrandom::Error> {
        let aad = object_aad(self.row.serial, place);
        self.keys
            .slot_key
            .seal(Purpose::Object, &aad, payload.bytes())
    }

    /// Opens a payload at its place in the store.
    ///
    /// # Errors
    /// [`SlotFault::Unreadable`]: never a wrong payload.
    pub(super) fn open_row(&self, place: RowPlace, row: &SealedRow) -> store::Result<SecretBytes> {
        let aad = object_aad(self.row.serial, place);
        let opened = self.keys.slot_key.open(Purpose::Object, &aad, row);
        opened.ok_or_else(|| {
            let what = "it does not open, its row was changed or moved".to_owned();
            let handle = place.handle;
            SlotFault::Unreadable { handle, what }.at(self.row.slot)
        })
    }
}
