//! The slot header and what rows are sealed for: the associated data of docs/format.md, "Sealed rows".

use super::SlotRow;
use slotfs_object::Ouid;
use slotfs_object::partition::{DomainKind, Role};
use slotfs_object::sealed::{Pair, PartId};
use slotfs_seal::credential::{self, Binding, pair};
use slotfs_store::{CredentialRow, Place};

/// The header's first byte. Version 1 had no storage master keys, version 2 no pairs, version 3 no trusted keys. A header
/// without trusted keys is still written as version 3, which earlier builds read.
pub(super) const VERSION: u8 = 4;
const WITHOUT_TRUST: u8 = 3;
const WITHOUT_SMKS: u8 = 1;
const WITHOUT_PAIRS: u8 = 2;
/// Bytes in the fingerprint of a storage master key.
const FINGERPRINT_BYTES: usize = 8;

/// What the sealed header says: the rows that count. A credential or domain row that it does not name,
/// put back from an old copy, is not used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// Grows with every change.
    pub(super) generation: u64,
    /// Whether a secret was changed and the slot kept its key, since not every role had a pair.
    pub(super) rekey_due: bool,
    /// The current credentials.
    pub(super) credentials: Vec<NamedCredential>,
    /// The current domains, the primary one first.
    pub(super) domains: Vec<PartId>,
    /// The storage master keys, the active one first.
    pub(super) smks: Vec<PartId>,
    /// The fingerprints of storage master keys that were deleted, the last one last.
    pub(super) deleted_smks: Vec<[u8; FINGERPRINT_BYTES]>,
    /// The keys that po trusts.
    pub(super) trusted: Vec<TrustedKey>,
}

/// A key that po trusts (`CKA_TRUSTED`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TrustedKey {
    pub(super) ouid: Ouid,
    /// The SHA-256 of its value: whoever holds a domain can seal another one under its identity.
    pub(super) value: [u8; 32],
}

/// A credential that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamedCredential {
    /// Its row.
    pub(super) id: PartId,
    /// The SHA-256 of what it says; `None` in headers of earlier versions.
    pub(super) hash: Option<[u8; 32]>,
    /// The pair that belongs to it; none up to schema 3.
    pub(super) pair: Option<NamedPair>,
}

impl NamedCredential {
    /// Whether it is the credential `it` of the slot `row` that it names, with its pair.
    pub(super) fn fits(&self, row: &SlotRow, it: &CredentialRow) -> bool {
        let pair = match (&self.pair, &it.pair) {
            (None, None) => true,
            (Some(named), Some(pair)) => named.fits(pair),
            _ => false,
        };
        pair && self.hash.is_none_or(|hash| hash == hash_of(row, it))
    }

    /// The same; what had no hash has one then.
    pub(super) fn take_hash(&mut self, row: &SlotRow, it: &CredentialRow) -> bool {
        let fits = self.fits(row, it);
        self.hash = Some(hash_of(row, it));
        fits
    }
}

/// Where a credential is.
pub(super) fn binding_of(row: &SlotRow, it: &CredentialRow) -> Binding {
    Binding {
        serial: row.serial,
        role: it.role,
        id: it.id,
    }
}

fn hash_of(row: &SlotRow, it: &CredentialRow) -> [u8; 32] {
    credential::hash(&it.credential, it.pair.is_some(), binding_of(row, it))
}

/// The pair that belongs to a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamedPair {
    /// The SHA-256 of its public key.
    pub(super) public_key: [u8; 32],
    /// The SHA-256 of the slot key's encapsulation to it.
    pub(super) encapsulation: [u8; 32],
    /// Whether an earlier slot key gave its authentication key away: the next login renews that key.
    pub(super) renew: bool,
}

impl NamedPair {
    /// How the header names `pair`.
    pub(super) fn of(pair: &Pair, renew: bool) -> Self {
        Self {
            public_key: pair::hash(&pair.public_key),
            encapsulation: pair::hash(&pair.encapsulation),
            renew,
        }
    }

    /// Whether it is `pair` that it names.
    pub(super) fn fits(&self, pair: &Pair) -> bool {
        *self == Self::of(pair, self.renew)
    }
}

/// What a credential is named with, by the byte after its id.
const SLOT_KEY: u8 = 0;
const PAIR: u8 = 1;
const PAIR_TO_RENEW: u8 = 2;

impl Header {
    /// Whether it names the credential `id`.
    pub(super) fn names(&self, id: PartId) -> bool {
        self.credentials.iter().any(|it| it.id == id)
    }

    /// What it says of the pair of the credential `id`.
    pub(super) fn pair(&self, id: PartId) -> Option<&NamedPair> {
        let named = self.credentials.iter().find(|it| it.id == id);
        named.and_then(|it| it.pair.as_ref())
    }

    /// version, generation, whether a new slot key is due, then each list with its length before it.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![match self.trusted.is_empty() {
            true => WITHOUT_TRUST,
            false => VERSION,
        }];
        bytes.extend_from_slice(&self.generation.to_le_bytes());
        bytes.push(self.rekey_due.into());
        // A slot has three credentials, sixteen of each kind of key, 64 deleted and 64 trusted ones at most.
        bytes.push(self.credentials.len() as u8);
        for NamedCredential { id, hash, pair } in &self.credentials {
            bytes.extend_from_slice(&id.0.to_le_bytes());
            bytes.push(match pair {
                None => SLOT_KEY,
                Some(NamedPair { renew: false, .. }) => PAIR,
                Some(NamedPair { renew: true, .. }) => PAIR_TO_RENEW,
            });
            // Sealing sets every hash.
            bytes.extend_from_slice(&hash.unwrap_or_default());
            if let Some(pair) = pair {
                bytes.extend_from_slice(&pair.public_key);
                bytes.extend_from_slice(&pair.encapsulation);
            }
        }
        for ids in [&self.domains, &self.smks] {
            bytes.push(ids.len() as u8);
            bytes.extend(ids.iter().flat_map(|id| id.0.to_le_bytes()));
        }
        bytes.push(self.deleted_smks.len() as u8);
        bytes.extend(self.deleted_smks.iter().flatten());
        if !self.trusted.is_empty() {
            bytes.push(self.trusted.len() as u8);
            for TrustedKey { ouid, value } in &self.trusted {
                bytes.extend_from_slice(&ouid.0);
                bytes.extend_from_slice(value);
            }
        }
        bytes
    }

    /// `None` for what [`Self::encode`] of this or an earlier version did not write.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = Reader(bytes);
        let version = rest.byte()?;
        let mut header = Self {
            generation: rest.number()?,
            ..Self::default()
        };
        match version {
            WITHOUT_SMKS | WITHOUT_PAIRS => {
                let plain = |id| NamedCredential {
                    id,
                    hash: None,
                    pair: None,
                };
                header.credentials = rest.ids()?.into_iter().map(plain).collect();
                // Secrets that were changed before there were pairs kept the slot key.
                header.rekey_due = true;
            }
            WITHOUT_TRUST | VERSION => {
                header.rekey_due = rest.flag()?;
                header.credentials = rest.list(Reader::credential)?;
            }
            _ => return None,
        }
        header.domains = rest.ids()?;
        if version != WITHOUT_SMKS {
            header.smks = rest.ids()?;
        }
        if matches!(version, WITHOUT_TRUST | VERSION) {
            header.deleted_smks = rest.list(Reader::array)?;
        }
        if version == VERSION {
            header.trusted = rest.list(Reader::trusted)?;
            // One header has one form.
            if header.trusted.is_empty() {
                return None;
            }
        }
        rest.0.is_empty().then_some(header)
    }
}

/// What is left of a header.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn id(&mut self) -> Option<PartId> {
        self.array().map(|id| PartId(i64::from_le_bytes(id)))
    }

    fn trusted(&mut self) -> Option<TrustedKey> {
        Some(TrustedKey {
            ouid: Ouid(self.array()?),
            value: self.array()?,
        })
    }

    fn credential(&mut self) -> Option<NamedCredential> {
        let id = self.id()?;
        let kind = self.byte()?;
        let hash = Some(self.array()?);
        let pair = match kind {
            SLOT_KEY => None,
            PAIR | PAIR_TO_RENEW => Some(NamedPair {
                public_key: self.array()?,
                encapsulation: self.array()?,
                renew: kind == PAIR_TO_RENEW,
            }),
            _ => return None,
        };
        Some(NamedCredential { id, hash, pair })
    }

    fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.byte()?;
        (0..count).map(|_| read(self)).collect()
    }

    fn ids(&mut self) -> Option<Vec<PartId>> {
        self.list(Self::id)
    }
}

/// Every field of the slot that is in clear. When one of them is changed, the header does not open.
pub(super) fn header_aad(row: &SlotRow) -> Vec<u8> {
    // Ids have 32 bits, so none of them equals the number for "no id".
    let id = |id: Option<u32>| id.map_or(u64::MAX, u64::from);
    let (kind, version) = (row.kind as u8, row.version as u8);
    let capacity = [row.capacity_objects, row.capacity_bytes];
    Aad::new("header")
        .numbers([row.slot.0.into(), row.serial])
        .bytes(row.label.as_bytes())
        .numbers([kind.into(), version.into()])
        .numbers(capacity)
        .numbers([row.retention_secs])
        .bytes(row.policies.to_stored().as_bytes())
        .numbers([id(row.uid), id(row.gid)])
        .numbers([row.created_secs, row.generation])
        .0
}

/// serial, handle, OUID, row id, and what else is in clear of the object; the version is in the label.
///
/// The row of an object at revision 0 is sealed as it was before there were revisions.
pub(super) fn object_aad(serial: u64, place: Place) -> Vec<u8> {
    let label = match place.changed_secs {
        None => "object",
        Some(_) => "changed object",
    };
    let aad = Aad::new(label)
        .numbers([serial, place.handle.get().into()])
        .bytes(&place.ouid.0)
        .numbers([place.id.0.cast_unsigned(), place.payload_bytes.into()])
        .numbers([place.created_secs]);
    match place.changed_secs {
        None => aad.0,
        Some(changed_secs) => aad.numbers([changed_secs]).0,
    }
}

/// serial, kind, row id; and the label, which is in clear beside it.
pub(super) fn domain_aad(serial: u64, kind: DomainKind, id: PartId, label: &str) -> Vec<u8> {
    Aad::new("domain")
        .numbers([serial, (kind as u8).into(), id.0.cast_unsigned()])
        .bytes(label.as_bytes())
        .0
}

/// serial, row id.
pub(super) fn smk_aad(serial: u64, id: PartId) -> Vec<u8> {
    Aad::new("smk").numbers([serial, id.0.cast_unsigned()]).0
}

/// serial, role, credential id; and the public key that belongs to it.
pub(super) fn authentication_aad(
    serial: u64,
    role: Role,
    id: PartId,
    public_key: &[u8],
) -> Vec<u8> {
    Aad::new("authentication")
        .numbers([serial, (role as u8).into(), id.0.cast_unsigned()])
        .bytes(public_key)
        .0
}

/// Fixed-width numbers and length-prefixed bytes, so that two different lists of fields never give the same bytes.
struct Aad(Vec<u8>);

impl Aad {
    fn new(what: &str) -> Self {
        Self(format!("slotfs 1 {what}\0").into_bytes())
    }

    fn numbers<const N: usize>(mut self, numbers: [u64; N]) -> Self {
        self.0
            .extend(numbers.iter().flat_map(|it| it.to_le_bytes()));
        self
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        let mut aad = self.numbers([bytes.len() as u64]);
        aad.0.extend_from_slice(bytes);
        aad
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_written_reads_back() {
        let pair = NamedPair {
            public_key: [1; 32],
            encapsulation: [2; 32],
            renew: true,
        };
        let header = Header {
            generation: 3,
            rekey_due: true,
            credentials: vec![
                NamedCredential {
                    id: PartId(1),
                    hash: Some([8; 32]),
                    pair: None,
                },
                NamedCredential {
                    id: PartId(-2),
                    hash: Some([9; 32]),
                    pair: Some(pair.clone()),
                },
                NamedCredential {
                    id: PartId(3),
                    hash: Some([10; 32]),
                    pair: Some(NamedPair {
                        renew: false,
                        ..pair
                    }),
                },
            ],
            domains: vec![PartId(i64::MIN)],
            smks: vec![PartId(7), PartId(9)],
            deleted_smks: vec![[5; 8], [6; 8]],
            trusted: vec![TrustedKey {
                ouid: Ouid([3; 16]),
                value: [4; 32],
            }],
        };
        // Without trusted keys it is what earlier builds write.
        let earlier = Header {
            trusted: Vec::new(),
            ..header.clone()
        };
        let bytes = earlier.encode();
        assert_eq!(bytes[0], 3);
        assert_eq!(Header::decode(&bytes), Some(earlier));
        let mut empty = bytes.clone();
        empty[0] = 4;
        empty.push(0);
        assert_eq!(Header::decode(&empty), None);
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Some(header));
        for cut in 0..bytes.len() {
            assert_eq!(Header::decode(&bytes[..cut]), None);
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(Header::decode(&longer), None);
        // Neither a flag nor the kind of a credential has another value; a later version is not guessed at.
        for at in [0, 9, 19] {
            let mut other = bytes.clone();
            other[at] = 5;
            assert_eq!(Header::decode(&other), None, "{at}");
        }
    }

    /// As they were before there were pairs, and before there were storage master keys.
    #[test]
    fn earlier_versions_are_read() {
        let id = |id: i64| id.to_le_bytes();
        let mut bytes = vec![WITHOUT_PAIRS];
        bytes.extend(3u64.to_le_bytes());
        for ids in [&[1, -2][..], &[4], &[7, 9]] {
            bytes.push(ids.len() as u8);
            bytes.extend(ids.iter().flat_map(|it| id(*it)));
        }
        let plain = |id| NamedCredential {
            id: PartId(id),
            hash: None,
            pair: None,
        };
        let header = Header {
            generation: 3,
            rekey_due: true,
            credentials: vec![plain(1), plain(-2)],
            domains: vec![PartId(4)],
            smks: vec![PartId(7), PartId(9)],
            ..Header::default()
        };
        assert_eq!(Header::decode(&bytes), Some(header.clone()));
        bytes.truncate(bytes.len() - 17);
        bytes[0] = WITHOUT_SMKS;
        let smks = Vec::new();
        assert_eq!(Header::decode(&bytes), Some(Header { smks, ..header }));
    }
}
