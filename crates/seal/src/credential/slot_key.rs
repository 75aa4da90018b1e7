//! The slot key and the rows sealed under it.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce, Tag};
use hkdf::Hkdf;
use sha2::Sha256;

use slotfs_object::sealed::SealedRow;
use slotfs_object::secret::{Key, SecretBytes};

const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// The kinds of rows. Each kind has its own key, so that a row cannot replace one of another kind.
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

/// 32 random bytes. All rows of one slot are sealed under keys derived from it.
#[derive(Clone, Debug)]
pub struct SlotKey {
    key: Key,
    object: Key,
    header: Key,
    domain: Key,
    smk: Key,
    authentication: Key,
}

impl SlotKey {
    /// Expands the row keys of the slot key `key`.
    pub fn new(key: Key) -> Self {
        let expand = |purpose: Purpose| {
            Key::make(|okm| {
                let expanded = Hkdf::<Sha256>::from_prk(key.bytes())
                    .map_err(|_| ())
                    .and_then(|hkdf| hkdf.expand(purpose.label(), okm).map_err(|_| ()));
                // Never use the zero key that `okm` still holds.
                assert!(expanded.is_ok(), "HKDF makes 32 bytes of 32 bytes");
            })
        };
        Self {
            object: expand(Purpose::Object),
            header: expand(Purpose::Header),
            domain: expand(Purpose::Domain),
            smk: expand(Purpose::Smk),
            authentication: expand(Purpose::Authentication),
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

    fn cipher(&self, purpose: Purpose) -> Aes256Gcm {
        let key = match purpose {
            Purpose::Object => &self.object,
            Purpose::Header => &self.header,
            Purpose::Domain => &self.domain,
            Purpose::Smk => &self.smk,
            Purpose::Authentication => &self.authentication,
        };
        Aes256Gcm::new(key.bytes().into())
    }

    /// Seals `plain` for the place that `aad` names. The nonce is random: a slot holds far fewer than
    /// the 2^32 rows after which 96 random bits could repeat (NIST SP 800-38D, 8.3).
    ///
    /// # Errors
    /// When the system has no random numbers to give.
    pub fn seal(
        &self,
        purpose: Purpose,
        aad: &[u8],
        plain: &[u8],
    ) -> Result<SealedRow, getrandom::Error> {
        let mut row = vec![0; NONCE_BYTES + plain.len() + TAG_BYTES];
        let (nonce, rest) = row.split_at_mut(NONCE_BYTES);
        let (body, tag_place) = rest.split_at_mut(plain.len());
        getrandom::fill(nonce)?;
        body.copy_from_slice(plain);
        let mut nonce_array = [0; NONCE_BYTES];
        nonce_array.copy_from_slice(nonce);
        let tag = self
            .cipher(purpose)
            .encrypt_inout_detached(&Nonce::from(nonce_array), aad, body.into())
            // Fails only for a plaintext of 64 GiB.
            .map_err(|_| getrandom::Error::UNEXPECTED)?;
        tag_place.copy_from_slice(&tag);
        Ok(SealedRow::stored(row))
    }

    /// Opens a row at the place that `aad` names; `None` when it was changed, or belongs elsewhere.
    pub fn open(&self, purpose: Purpose, aad: &[u8], row: &SealedRow) -> Option<SecretBytes> {
        let (nonce, rest) = row.bytes().split_first_chunk::<NONCE_BYTES>()?;
        let (body, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
        let mut plain = SecretBytes::from(body);
        let tag = Tag::from(*tag);
        self.cipher(purpose)
            .decrypt_inout_detached(&Nonce::from(*nonce), aad, plain.bytes_mut().into(), &tag)
            .ok()?;
        Some(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
