//! What one who holds a domain of a blob can make of it, for [`crate::fuzzing`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // that is how a property fails

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};

use super::derive::{MAC_BYTES, PayloadKeys};
use super::{HEADER_BYTES, Header, Root, STANZA_BYTES};
use slotfs_object::secret::Key;

/// A holder of some of a blob's domains, who so has its key K.
pub struct Insider<'a> {
    header: Header,
    roots: &'a [Root],
    key: Key,
    /// Each with the place in `roots` of the domain that made it, if it is held.
    stanzas: Vec<(Option<usize>, Vec<u8>)>,
}

impl<'a> Insider<'a> {
    /// `None` when none of `roots` opens the blob.
    pub fn of(blob: &[u8], roots: &'a [Root]) -> Option<Self> {
        let header = Header::parse(blob).ok()?;
        let (stanzas, rest) = blob[HEADER_BYTES..].split_at(header.stanzas() * STANZA_BYTES);
        let mut key = None;
        let (halves, _) = stanzas.as_chunks::<MAC_BYTES>();
        let stanzas = halves
            .as_chunks::<2>()
            .0
            .iter()
            .map(|[salt, wrapped]| {
                let holder = roots.iter().position(|root| {
                    let candidate = root.unwrap(salt, wrapped);
                    let right = rest.starts_with(PayloadKeys::of(&candidate).commitment());
                    if right {
                        key = Some(candidate);
                    }
                    right
                });
                (holder, [*salt, *wrapped].concat())
            })
            .collect();
        Some(Self {
            header,
            roots,
            key: key?,
            stanzas,
        })
    }

    /// A blob of another payload under the same key: header, order, commitment and tag are right, and the salts of
    /// the domains held too when it `signs`. The stanzas of others are as they were.
    pub fn put(&self, payload: &[u8], signs: bool) -> Option<Vec<u8>> {
        let header = Header::new(self.header.kind(), self.stanzas.len(), payload.len()).ok()?;
        let head = header.to_bytes();
        let mut stanzas: Vec<Vec<u8>> = self
            .stanzas
            .iter()
            .map(|(holder, stanza)| match holder {
                Some(holder) if signs => {
                    let root = &self.roots[*holder];
                    let salt = root.stanza_salt(&head, &self.key, payload);
                    [&salt[..], root.wrap(&salt, &self.key).bytes()].concat()
                }
                _ => stanza.clone(),
            })
            .collect();
        stanzas.sort_unstable();
        let keys = PayloadKeys::of(&self.key);
        let mut blob = [&head, &stanzas.concat()[..], keys.commitment()].concat();
        let mut sealed = payload.to_vec();
        let tag = Aes256Gcm::new(keys.key().into())
            .encrypt_inout_detached(
                &Nonce::from(keys.nonce()),
                &blob,
                sealed.as_mut_slice().into(),
            )
            .ok()?;
        blob.extend(sealed);
        blob.extend_from_slice(&tag);
        Some(blob)
    }
}
