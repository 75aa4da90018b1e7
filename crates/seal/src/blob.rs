//! The sealed blob (docs/format.md, "The sealed blob"): the content of an object's file, and all that crosses the kernel.
//!
//! An object's payload P is encrypted once under a key K that depends on P and on the whole set of
//! domains, and K is wrapped for each domain in a stanza of its own. A slot with any of these domains can open it.
//!
//! Its properties, and the reasons:
//! - *Same object, same set of domains, same bytes*: nothing here is random; K, salts and nonce are
//!   functions of the domains, the header and P.
//! - *A fixed nonce is safe*: it is derived with the key from K, and K changes with P, so an honest sealer never
//!   encrypts two messages under one key. Whoever holds a domain can do so, and learns nothing that they could not read.
//! - *A blob opens under the domains it names and no other*: AES-GCM alone lets one ciphertext open
//!   under two keys; the commitment to K, compared first, does not (as far as HMAC-SHA-256 is collision-resistant).
//! - *A member of one domain cannot forge a blob for another*: the salt of each stanza is a MAC by that stanza's
//!   domain over header, K and P, recomputed after opening, so a stanza copied onto another payload fails.
//! - *One blob for one object*: a slot that has all of a blob's domains computes K again after opening, so it accepts
//!   only the bytes that sealing gives (`blob/one.rs`).

use subtle::ConstantTimeEq;

use crate::primitives::{self, TAG_BYTES};
use slotfs_object::codec::MAX_PAYLOAD_BYTES;
use slotfs_object::secret::SecretBytes;

mod derive;
mod fault;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod header;
mod one;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod vectors;

pub use derive::Root;
pub use fault::Fault;
pub use header::{HEADER_BYTES, Header, Kind, MAX_STANZAS, VERSION};

use derive::{MAC_BYTES, PayloadKeys};

/// salt 32, wrapped key 32
const STANZA_BYTES: usize = 2 * MAC_BYTES;
const COMMITMENT_BYTES: usize = 32;

/// The largest possible blob, bytes.
pub const MAX_BLOB_BYTES: usize = blob_bytes(MAX_STANZAS, MAX_PAYLOAD_BYTES);

/// The exact size of a blob of `stanzas` domains around `payload_bytes` of payload.
pub const fn blob_bytes(stanzas: usize, payload_bytes: usize) -> usize {
    HEADER_BYTES + stanzas * STANZA_BYTES + COMMITMENT_BYTES + payload_bytes + TAG_BYTES
}

/// Seals `payload` under every root of `roots`: 1 to 3, all different, each once.
///
/// # Errors
/// [`Fault::Stanzas`] or [`Fault::PayloadLength`] when no blob can hold this.
pub fn seal(kind: Kind, roots: &[Root], payload: &[u8]) -> Result<Vec<u8>, Fault> {
    let header = Header::new(kind, roots.len(), payload.len())?;
    let head = header.to_bytes();
    let key = derive::object_key(roots, &head, payload);
    let mut stanzas: Vec<[u8; STANZA_BYTES]> = roots
        .iter()
        .map(|root| {
            let salt = root.stanza_salt(&head, &key, payload);
            let mut stanza = [0; STANZA_BYTES];
            stanza[..MAC_BYTES].copy_from_slice(&salt);
            stanza[MAC_BYTES..].copy_from_slice(root.wrap(&salt, &key).bytes());
            stanza
        })
        .collect();
    stanzas.sort_unstable();
    if stanzas.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Fault::StanzaOrder);
    }

    let keys = PayloadKeys::of(&key);
    let mut blob = Vec::with_capacity(header.blob_bytes());
    blob.extend_from_slice(&head);
    blob.extend(stanzas.iter().flatten());
    blob.extend_from_slice(keys.commitment());
    let (aad, mut sealed) = (blob.clone(), SecretBytes::from(payload));
    let tag = primitives::encrypt(keys.key(), keys.nonce(), &aad, sealed.bytes_mut())
        .ok_or(Fault::PayloadLength)?;
    blob.extend_from_slice(sealed.bytes());
    blob.extend_from_slice(&tag);
    Ok(blob)
}

/// Opens `blob` with any of `roots`, which must be of `kind`; what is returned is authentic, but
/// not yet known to be a payload ([`slotfs_object::codec::decode`]).
///
/// # Errors
/// The first [`Fault`] found. No part of the content remains in memory then.
pub fn open(kind: Kind, roots: &[Root], blob: &[u8]) -> Result<SecretBytes, Fault> {
    let header = Header::parse(blob)?;
    if header.kind() != kind {
        return Err(Fault::WrongKind(header.kind()));
    }
    header.check_length(blob.len())?;
    let (head, rest) = blob.split_at(HEADER_BYTES);
    let (stanza_bytes, rest) = rest.split_at(header.stanzas() * STANZA_BYTES);
    let (commitment, rest) = rest.split_at(COMMITMENT_BYTES);
    let (ciphertext, tag) = rest.split_at(header.payload_bytes());
    // Each is a salt and a wrapped key; the header's number of stanzas makes the length a multiple of both.
    let (halves, _) = stanza_bytes.as_chunks::<MAC_BYTES>();
    let (stanzas, _) = halves.as_chunks::<2>();
    if stanzas.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(Fault::StanzaOrder);
    }

    // Every pair is tried, so that the time does not show which of the slot's domains the blob names.
    let mut ours = Vec::new();
    let mut keys = None;
    for [salt, wrapped] in stanzas {
        let mut holder = None;
        for root in roots {
            let key = root.unwrap(salt, wrapped);
            let candidate = PayloadKeys::of(&key);
            if bool::from(candidate.commitment().ct_eq(commitment)) {
                holder = Some((root, salt));
                keys = Some((key, candidate));
            }
        }
        ours.extend(holder);
    }
    let Some((key, keys)) = keys else {
        return Err(Fault::NoDomain);
    };

    let mut payload = SecretBytes::from(ciphertext);
    let aad = &blob[..blob.len() - ciphertext.len() - tag.len()];
    let tag = tag.try_into().map_err(|_| Fault::Altered)?;
    primitives::decrypt(keys.key(), keys.nonce(), aad, payload.bytes_mut(), tag)
        .ok_or(Fault::Altered)?;
    // A holder of another of the blob's domains knows K and could seal another payload under it, but cannot compute the
    // salt of this slot's stanza.
    for (root, salt) in &ours {
        let expected = root.stanza_salt(head, &key, payload.bytes());
        if !bool::from(expected.ct_eq(*salt)) {
            return Err(Fault::Altered);
        }
    }
    let held: Vec<&Root> = ours.iter().map(|(root, _)| *root).collect();
    let missing = stanzas.len() - held.len();
    one::check(roots, &held, missing, head, payload.bytes(), &key)?;
    Ok(payload)
}
