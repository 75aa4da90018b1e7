//! Taking blobs apart and putting them together without asking whether they belong together.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};

use super::super::derive::PayloadKeys;
use super::super::{COMMITMENT_BYTES, HEADER_BYTES, Header, STANZA_BYTES};
use slotfs_object::secret::Key;

/// A blob cut at its boundaries.
pub struct Parts {
    head: Vec<u8>,
    pub stanzas: Vec<Vec<u8>>,
    pub commitment: Vec<u8>,
    /// Ciphertext and tag.
    sealed: Vec<u8>,
}

impl Parts {
    pub fn of(blob: &[u8]) -> Self {
        let (head, rest) = blob.split_at(HEADER_BYTES);
        let (stanzas, rest) = rest.split_at(Header::parse(blob).unwrap().stanzas() * STANZA_BYTES);
        let (commitment, sealed) = rest.split_at(COMMITMENT_BYTES);
        let stanzas = stanzas.chunks_exact(STANZA_BYTES).map(<[u8]>::to_vec);
        Self {
            head: head.to_vec(),
            stanzas: stanzas.collect(),
            commitment: commitment.to_vec(),
            sealed: sealed.to_vec(),
        }
    }

    /// The blob with these stanzas instead, and n made to fit.
    pub fn with_stanzas(&self, stanzas: &[Vec<u8>]) -> Vec<u8> {
        let mut blob = self.head.clone();
        blob[9] = u8::try_from(stanzas.len()).unwrap();
        blob.extend(stanzas.iter().flatten());
        blob.extend(&self.commitment);
        blob.extend(&self.sealed);
        blob
    }
}

/// What a holder of K can make: commitment, ciphertext and tag are right for it.
pub fn assemble(head: &[u8], stanzas: &[Vec<u8>], key: &Key, payload: &[u8]) -> Vec<u8> {
    let keys = PayloadKeys::of(key);
    let mut blob = [head, &stanzas.concat(), keys.commitment()].concat();
    let mut sealed = payload.to_vec();
    let tag = Aes256Gcm::new(keys.key().into())
        .encrypt_inout_detached(
            &Nonce::from(keys.nonce()),
            &blob,
            sealed.as_mut_slice().into(),
        )
        .unwrap();
    blob.extend(sealed);
    blob.extend(tag);
    blob
}
