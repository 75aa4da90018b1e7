//! The keys inside a blob, each as docs/format.md, "The sealed blob" defines it. HMAC and HKDF are over SHA-256.
//!
//! What is assumed, and for what:
//! - HMAC-SHA-256 is a pseudorandom function of its key: salts, pads, K, and what R and K are expanded to.
//! - HKDF-Extract gives a key from a domain key, and from the set of all R. Its salts are public labels and the secrets are
//!   its input, so that HMAC must be an extractor here, or a random oracle. A pseudorandom function need not be one.
//! - HMAC-SHA-256 is collision-resistant where an attacker chooses the key: the commitment to K.
//!
//! A domain key is as hard to guess as what it was made from: 256 random bits of a key file, or a string.

use zeroize::Zeroizing;

pub(crate) use crate::primitives::MAC_BYTES;
use crate::primitives::{NONCE_BYTES, expand, extract, hmac};
use slotfs_object::secret::{KEY_BYTES, Key};

/// R of docs/format.md, "The sealed blob": a domain key or SMK, extracted for use in blobs.
///
/// Domains and SMKs are extracted under different labels: a key that is used as both does not open a blob of one kind as
/// the other.
#[derive(Clone, Debug)]
pub struct Root(Key);

impl Root {
    /// The root of a domain key D.
    pub fn of_domain(domain: &Key) -> Self {
        Self::extract(b"slotfs 1 domain", domain)
    }

    /// The root of a storage master key.
    pub fn of_smk(smk: &Key) -> Self {
        Self::extract(b"slotfs 1 smk", smk)
    }

    fn extract(label: &[u8], ikm: &Key) -> Self {
        Self(Key::make(|root| {
            root.copy_from_slice(&*extract(label, &[ikm.bytes()]));
        }))
    }

    /// HKDF-Expand(R, info, 32).
    fn expand(&self, info: &[&[u8]]) -> Key {
        Key::make(|okm| expand(self.0.bytes(), info, okm))
    }

    /// `HMAC(HKDF-Expand(R, "slotfs 1 salt", 32), H then K then P)`: the domain's MAC over the header, the key and the
    /// payload.
    pub fn stanza_salt(&self, head: &[u8], key: &Key, payload: &[u8]) -> [u8; MAC_BYTES] {
        let mac_key = self.expand(&[b"slotfs 1 salt"]);
        hmac(mac_key.bytes(), &[head, key.bytes(), payload])
    }

    /// `K xor HKDF-Expand(R, "slotfs 1 wrap" then salt, 32)`. [`super::seal`] uses a pad once: the salt that makes it is a
    /// MAC over K and all that K encrypts.
    pub fn wrap(&self, salt: &[u8], key: &Key) -> Key {
        let pad = self.expand(&[b"slotfs 1 wrap", salt]);
        Key::make(|out| {
            for (out, (pad, key)) in out.iter_mut().zip(pad.bytes().iter().zip(key.bytes())) {
                *out = pad ^ key;
            }
        })
    }

    /// The inverse of [`Self::wrap`]. The key is right only if its commitment matches. The type fixes the length: with fewer
    /// bytes, the rest of the key would be zero.
    pub fn unwrap(&self, salt: &[u8], wrapped: &[u8; MAC_BYTES]) -> Key {
        let pad = self.expand(&[b"slotfs 1 wrap", salt]);
        Key::make(|out| {
            for (out, (pad, wrapped)) in out.iter_mut().zip(pad.bytes().iter().zip(wrapped)) {
                *out = pad ^ wrapped;
            }
        })
    }

    /// HKDF-Expand(R, "slotfs 1 fingerprint", 8): names a domain to those who are logged in.
    pub fn fingerprint(&self) -> [u8; 8] {
        let mut out = [0; 8];
        expand(self.0.bytes(), &[b"slotfs 1 fingerprint"], &mut out);
        out
    }

    /// R itself, for the golden vectors.
    #[cfg(test)]
    pub fn bytes(&self) -> &[u8; KEY_BYTES] {
        self.0.bytes()
    }
}

/// K: a function of the whole set of domains and of the whole payload. The same object under the same domains is the
/// same blob, and any other is under another key unless HMAC-SHA-256 collides.
pub(crate) fn object_key<'a>(
    roots: impl IntoIterator<Item = &'a Root>,
    head: &[u8],
    payload: &[u8],
) -> Key {
    let roots = roots.into_iter();
    let mut ascending: Vec<&[u8]> = roots.map(|root| &root.0.bytes()[..]).collect();
    ascending.sort_unstable();
    let prk = extract(b"slotfs 1 domains", &ascending);
    let mac_key = Key::make(|okm| expand(&prk, &[b"slotfs 1 object key"], okm));
    Key::make(|key| key.copy_from_slice(&hmac(mac_key.bytes(), &[head, payload])))
}

const PAYLOAD_OKM_BYTES: usize = KEY_BYTES + NONCE_BYTES + MAC_BYTES;

/// What K expands to: key 32, nonce 12, commitment 32.
pub(crate) struct PayloadKeys {
    key: Zeroizing<[u8; KEY_BYTES]>,
    nonce: [u8; NONCE_BYTES],
    commitment: [u8; MAC_BYTES],
}

impl PayloadKeys {
    /// HKDF-Expand(K, "slotfs 1 payload", 76).
    pub(crate) fn of(key: &Key) -> Self {
        let mut okm = Zeroizing::new([0; PAYLOAD_OKM_BYTES]);
        expand(key.bytes(), &[b"slotfs 1 payload"], &mut okm);
        // The three parts have the total length: a copy between different lengths would panic.
        let (key, rest) = okm.split_at(KEY_BYTES);
        let (nonce, commitment) = rest.split_at(NONCE_BYTES);
        let mut parts = Self {
            key: Zeroizing::default(),
            nonce: Default::default(),
            commitment: Default::default(),
        };
        parts.key.copy_from_slice(key);
        parts.nonce.copy_from_slice(nonce);
        parts.commitment.copy_from_slice(commitment);
        parts
    }

    /// The AES-256-GCM key.
    pub(crate) fn key(&self) -> &[u8; KEY_BYTES] {
        &self.key
    }

    /// The nonce. It is fixed for K, and an honest sealer encrypts only one payload under K.
    pub(crate) fn nonce(&self) -> [u8; NONCE_BYTES] {
        self.nonce
    }

    /// The commitment to K, in clear. Two keys with the same one are a collision of 256 bits of HMAC-SHA-256, whose keys
    /// the attacker may choose: about 2^128 work.
    pub(crate) fn commitment(&self) -> &[u8] {
        &self.commitment
    }
}
