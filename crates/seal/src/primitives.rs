//! HMAC-SHA-256, HKDF-SHA-256 and AES-256-GCM as blobs and rows use them: with 32-byte keys, and without a way to go on with
//! a key that was not derived. `primitives/wycheproof.rs` runs the Wycheproof vectors against these functions.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use hkdf::{Hkdf, HkdfExtract};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use slotfs_object::secret::KEY_BYTES;

#[cfg(test)]
mod wycheproof;

/// Bytes in an HMAC.
pub(crate) const MAC_BYTES: usize = 32;
/// Bytes in a nonce.
pub(crate) const NONCE_BYTES: usize = 12;
/// Bytes in a tag.
pub(crate) const TAG_BYTES: usize = 16;

/// HMAC (RFC 2104) of the parts of a message, one after another.
pub(crate) fn hmac(key: &[u8; KEY_BYTES], message: &[&[u8]]) -> [u8; MAC_BYTES] {
    // RFC 2104 pads a short key with zeros to the block. Padding it here means that `new` cannot fail.
    let mut block = Zeroizing::new([0; 64]);
    block[..KEY_BYTES].copy_from_slice(key);
    let mut mac = Hmac::<Sha256>::new((&*block).into());
    for part in message {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// HKDF-Extract (RFC 5869) of the parts of the input, one after another.
pub(crate) fn extract(salt: &[u8], ikm: &[&[u8]]) -> Zeroizing<[u8; KEY_BYTES]> {
    let mut extract = HkdfExtract::<Sha256>::new(Some(salt));
    for part in ikm {
        extract.input_ikm(part);
    }
    let (prk, _) = extract.finalize();
    Zeroizing::new(prk.into())
}

/// HKDF-Expand (RFC 5869). It always fills `okm`: a key that was not derived would be all zeros.
pub(crate) fn expand<const N: usize>(prk: &[u8; KEY_BYTES], info: &[&[u8]], okm: &mut [u8; N]) {
    // RFC 5869: at most 255 blocks of the hash.
    const { assert!(N <= 255 * 32) };
    let expanded = expand_into(prk, info, okm);
    assert!(
        expanded.is_some(),
        "HKDF takes a 32-byte key and this many bytes"
    );
}

fn expand_into(prk: &[u8; KEY_BYTES], info: &[&[u8]], okm: &mut [u8]) -> Option<()> {
    let hkdf = Hkdf::<Sha256>::from_prk(prk).ok()?;
    hkdf.expand_multi_info(info, okm).ok()
}

/// Encrypts `plain` in place with AES-256-GCM and gives the tag; `None` only for 64 GiB and more.
///
/// No two calls may have the same key and nonce and different data.
pub(crate) fn encrypt(
    key: &[u8; KEY_BYTES],
    nonce: [u8; NONCE_BYTES],
    aad: &[u8],
    plain: &mut [u8],
) -> Option<[u8; TAG_BYTES]> {
    let tag = Aes256Gcm::new(key.into())
        .encrypt_inout_detached(&Nonce::from(nonce), aad, plain.into())
        .ok()?;
    Some(tag.into())
}

/// Decrypts `sealed` in place; `None` if anything differs from what was encrypted.
pub(crate) fn decrypt(
    key: &[u8; KEY_BYTES],
    nonce: [u8; NONCE_BYTES],
    aad: &[u8],
    sealed: &mut [u8],
    tag: [u8; TAG_BYTES],
) -> Option<()> {
    Aes256Gcm::new(key.into())
        .decrypt_inout_detached(&Nonce::from(nonce), aad, sealed.into(), &Tag::from(tag))
        .ok()
}
