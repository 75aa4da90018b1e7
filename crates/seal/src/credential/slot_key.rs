//! The slot key and the rows sealed under it (docs/format.md, "Sealed rows").

use crate::primitives::{NONCE_BYTES, TAG_BYTES, decrypt, encrypt, expand, hmac};
use slotfs_object::sealed::SealedRow;
use slotfs_object::secret::{KEY_BYTES, Key, SecretBytes};

/// Random bytes that go into a nonce.
const RANDOM_BYTES: usize = 32;

/// The kinds of rows. Each kind has its own keys, so that a row cannot replace one of another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// An object's payload.
    Object,
    /// The slot's header.
    Header,
    /// A domain key.
    Domain,
    /// A storage master key.
    Smk,
    /// The authentication key of a role.
    Authentication,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Object => b"slotfs 1 row",
            Self::Header => b"slotfs 1 header",
            Self::Domain => b"slotfs 1 domain row",
            Self::Smk => b"slotfs 1 smk row",
            Self::Authentication => b"slotfs 2 authentication row",
        }
    }
}

/// The keys of the rows of one kind.
#[derive(Clone, Debug)]
struct RowKeys {
    /// Encrypts.
    cipher: Key,
    /// Makes nonces.
    nonce: Key,
}

impl RowKeys {
    fn of(slot_key: &Key, purpose: Purpose) -> Self {
        let derive = |info: &[&[u8]]| Key::make(|okm| expand(slot_key.bytes(), info, okm));
        Self {
            cipher: derive(&[purpose.label()]),
            nonce: derive(&[b"slotfs 2 nonce ", purpose.label()]),
        }
    }

    /// The nonce of a row: an HMAC over random bytes and all that the row seals.
    ///
    /// Random bytes alone would repeat in a virtual machine that is resumed twice from one snapshot, and GCM gives its
    /// authentication key away when one nonce serves two plaintexts. Here a repeat of the random bytes repeats the nonce
    /// only for the same row. With good random bytes the nonces are as random as before.
    fn nonce(&self, random: &[u8; RANDOM_BYTES], aad: &[u8], plain: &[u8]) -> [u8; NONCE_BYTES] {
        // The length tells where the associated data end.
        let aad_bytes = (aad.len() as u64).to_le_bytes();
        let mac = hmac(self.nonce.bytes(), &[random, &aad_bytes, aad, plain]);
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&mac[..NONCE_BYTES]);
        nonce
    }
}

/// 32 random bytes. All rows of one slot are sealed under keys derived from it.
#[derive(Clone, Debug)]
pub struct SlotKey {
    key: Key,
    object: RowKeys,
    header: RowKeys,
    domain: RowKeys,
    smk: RowKeys,
    authentication: RowKeys,
}

impl SlotKey {
    /// Expands the row keys of the slot key `key`.
    pub fn new(key: Key) -> Self {
        Self {
            object: RowKeys::of(&key, Purpose::Object),
            header: RowKeys::of(&key, Purpose::Header),
            domain: RowKeys::of(&key, Purpose::Domain),
            smk: RowKeys::of(&key, Purpose::Smk),
            authentication: RowKeys::of(&key, Purpose::Authentication),
            key,
        }
    }

    /// A fresh slot key.
    ///
    /// # Errors
    /// When the system has no random numbers to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        Key::random().map(Self::new)
    }

    /// The slot key itself, for wrapping.
    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    fn keys(&self, purpose: Purpose) -> &RowKeys {
        match purpose {
            Purpose::Object => &self.object,
            Purpose::Header => &self.header,
            Purpose::Domain => &self.domain,
            Purpose::Smk => &self.smk,
            Purpose::Authentication => &self.authentication,
        }
    }

    /// Seals `plain` for the place that `aad` names, under a nonce that depends on both and on random bytes. A slot
    /// holds far fewer than the 2^32 rows after which 96 bits could repeat (NIST SP 800-38D, 8.3).
    ///
    /// # Errors
    /// When the system has no random numbers to give.
    pub fn seal(
        &self,
        purpose: Purpose,
        aad: &[u8],
        plain: &[u8],
    ) -> Result<SealedRow, getrandom::Error> {
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random)?;
        self.seal_with(purpose, aad, plain, &random)
    }

    /// [`Self::seal`] with these random bytes.
    fn seal_with(
        &self,
        purpose: Purpose,
        aad: &[u8],
        plain: &[u8],
        random: &[u8; RANDOM_BYTES],
    ) -> Result<SealedRow, getrandom::Error> {
        let keys = self.keys(purpose);
        let nonce = keys.nonce(random, aad, plain);
        let mut row = vec![0; NONCE_BYTES + plain.len() + TAG_BYTES];
        let (nonce_place, rest) = row.split_at_mut(NONCE_BYTES);
        let (body, tag_place) = rest.split_at_mut(plain.len());
        nonce_place.copy_from_slice(&nonce);
        body.copy_from_slice(plain);
        // Fails only for a plaintext of 64 GiB.
        let tag =
            encrypt(keys.cipher.bytes(), nonce, aad, body).ok_or(getrandom::Error::UNEXPECTED)?;
        tag_place.copy_from_slice(&tag);
        Ok(SealedRow::stored(row))
    }

    /// Opens a row at the place that `aad` names; `None` when it was changed, or belongs elsewhere.
    ///
    /// The nonce is taken as it is: earlier versions chose it at random, and the tag covers it.
    pub fn open(&self, purpose: Purpose, aad: &[u8], row: &SealedRow) -> Option<SecretBytes> {
        let (nonce, rest) = row.bytes().split_first_chunk::<NONCE_BYTES>()?;
        let (body, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
        let mut plain = SecretBytes::from(body);
        let key: &[u8; KEY_BYTES] = self.keys(purpose).cipher.bytes();
        decrypt(key, *nonce, aad, plain.bytes_mut(), *tag)?;
        Some(plain)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use data_encoding::HEXLOWER;
    use serde_json::Value;

    use super::*;

    const PURPOSES: [Purpose; 5] = [
        Purpose::Object,
        Purpose::Header,
        Purpose::Domain,
        Purpose::Smk,
        Purpose::Authentication,
    ];

    /// A machine that is resumed twice has the same random bytes twice, and other rows to seal.
    #[test]
    fn the_same_random_bytes_give_other_rows_other_nonces() {
        let slot_key = SlotKey::new(Key::make(|key| key.fill(7)));
        let random = [9; RANDOM_BYTES];
        // Each moves one byte over a border, or changes one thing.
        let rows: [(&[u8], &[u8]); 8] = [
            (b"here", b"payload"),
            (b"there", b"payload"),
            (b"here", b"another"),
            (b"herep", b"ayload"),
            (b"her", b"epayload"),
            (b"", b"herepayload"),
            (b"herepayload", b""),
            (b"", b""),
        ];
        let (mut nonces, mut keys) = (HashSet::new(), HashSet::new());
        for purpose in PURPOSES {
            for (aad, plain) in rows {
                let seal = || slot_key.seal_with(purpose, aad, plain, &random).unwrap();
                let row = seal();
                // The same row again is the same bytes, which says nothing but that.
                assert_eq!(row.bytes(), seal().bytes());
                assert_eq!(slot_key.open(purpose, aad, &row).unwrap().bytes(), plain);
                nonces.insert(row.bytes()[..NONCE_BYTES].to_vec());
            }
            let RowKeys { cipher, nonce } = slot_key.keys(purpose);
            keys.extend([*cipher.bytes(), *nonce.bytes()]);
        }
        assert_eq!(nonces.len(), PURPOSES.len() * rows.len());
        assert_eq!(keys.len(), 2 * PURPOSES.len());
    }

    #[test]
    fn other_random_bytes_give_the_same_row_another_nonce() {
        let slot_key = SlotKey::new(Key::make(|key| key.fill(7)));
        let rows: HashSet<Vec<u8>> = (0..1000)
            .map(|_| slot_key.seal(Purpose::Object, b"here", b"payload").unwrap())
            .map(|row| row.bytes()[..NONCE_BYTES].to_vec())
            .collect();
        assert_eq!(rows.len(), 1000);
    }

    /// tests/vectors/README.md: made by an implementation of its own.
    #[test]
    fn golden_rows() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/row.json");
        let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let vectors = file["vectors"].as_array().unwrap();
        assert_eq!(vectors.len(), 9);
        for vector in vectors {
            let name = &vector["name"];
            let hex = |field: &str| {
                let text = vector[field].as_str().unwrap();
                HEXLOWER.decode(text.as_bytes()).unwrap()
            };
            let label = vector["label"].as_str().unwrap().as_bytes();
            let purpose = PURPOSES.into_iter().find(|it| it.label() == label);
            let purpose = purpose.expect("a kind of row");
            let slot_key = SlotKey::new(Key::from_slice(&hex("slot_key")).unwrap());
            let RowKeys { cipher, nonce } = slot_key.keys(purpose);
            assert_eq!(cipher.bytes().as_slice(), hex("key"), "{name}");
            assert_eq!(nonce.bytes().as_slice(), hex("nonce_key"), "{name}");
            let (aad, plain) = (hex("aad"), hex("plaintext"));
            let random = hex("random").try_into().unwrap();
            let row = slot_key.seal_with(purpose, &aad, &plain, &random).unwrap();
            assert_eq!(row.bytes(), hex("row"), "{name}");
            // Sealed before version 2 of the nonce, with a random one.
            let earlier = SealedRow::stored(hex("row_of_a_random_nonce"));
            let opened = slot_key.open(purpose, &aad, &earlier).unwrap();
            assert_eq!(opened.bytes(), plain, "{name}");
        }
    }

    #[test]
    fn a_row_opens_only_as_what_it_is_where_it_is() {
        let slot_key = SlotKey::random().unwrap();
        let row = slot_key.seal(Purpose::Object, b"here", b"payload").unwrap();
        let opened = slot_key.open(Purpose::Object, b"here", &row).unwrap();
        assert_eq!(opened.bytes(), b"payload");
        assert!(slot_key.open(Purpose::Object, b"there", &row).is_none());
        assert!(slot_key.open(Purpose::Domain, b"here", &row).is_none());
        for at in 0..row.bytes().len() {
            let mut flipped = row.bytes().to_vec();
            flipped[at] ^= 1;
            let flipped = SealedRow::stored(flipped);
            assert!(slot_key.open(Purpose::Object, b"here", &flipped).is_none());
        }
        let short = SealedRow::stored(vec![0; 27]);
        assert!(slot_key.open(Purpose::Object, b"here", &short).is_none());
    }
}
