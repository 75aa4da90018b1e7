//! AES-GCM (SP 800-38D) and AES-CCM (SP 800-38C).
//!
//! Decryption releases nothing before the tag is verified, so it takes all of a message at once; the caller limits its
//! length.

use zeroize::{Zeroize, Zeroizing};

use crate::sys::{AesMode, AesState, Tag, wipe};
use crate::{Error, Result};

/// Bytes of the longest plaintext of GCM: 2^36 - 32.
const LONGEST_GCM: u64 = (1 << 36) - 32;
/// Bytes of the longest IV of GCM. The standard allows more; nobody uses it.
pub const LONGEST_GCM_IV: usize = 1 << 16;

/// Refuses parameters of GCM out of range: an IV of 1 to 65,536 bytes, a tag of 4, 8 or 12 to 16.
fn check_gcm(iv: &[u8], tag_bytes: usize) -> Result<()> {
    let iv_fits = (1..=LONGEST_GCM_IV).contains(&iv.len());
    if iv_fits && matches!(tag_bytes, 4 | 8 | 12..=16) {
        Ok(())
    } else {
        Err(Error::BadParameter)
    }
}

/// A running encryption with GCM.
pub struct GcmEncrypt {
    state: AesState,
    tag_bytes: usize,
    taken: u64,
}

impl GcmEncrypt {
    /// Starts with a key of 16, 24 or 32 bytes, an IV of 1 to 65,536 and a tag of 4, 8 or 12 to 16. An IV must never be
    /// used twice with a key.
    ///
    /// # Errors
    /// [`Error::BadKey`], [`Error::BadParameter`], [`Error::Library`]
    pub fn new(key: &[u8], iv: &[u8], aad: &[u8], tag_bytes: usize) -> Result<Self> {
        check_gcm(iv, tag_bytes)?;
        let state = AesState::new_aead(AesMode::Gcm, key, iv, &Tag::Made(tag_bytes), aad, 0)?;
        Ok(Self {
            state,
            tag_bytes,
            taken: 0,
        })
    }

    /// Takes the next part of the plaintext and returns its ciphertext, of the same length.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::Library`]
    pub fn update(&mut self, data: &[u8]) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.update_into(data, &mut out)?;
        Ok(out)
    }

    /// As [`Self::update`], appending to `out`: one pass, no copy.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::Library`]
    pub fn update_into(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.taken = self.taken.saturating_add(data.len() as u64);
        if self.taken > LONGEST_GCM {
            return Err(Error::TooLong);
        }
        self.state.update_into(data, out, Error::Library)
    }

    /// Ends, and returns the tag.
    ///
    /// # Errors
    /// [`Error::Library`]
    pub fn finish(mut self) -> Result<Vec<u8>> {
        self.state.finish_gcm(Error::Library)?;
        self.state.tag(self.tag_bytes)
    }
}

/// GCM at once: the ciphertext, then the tag. Parameters as [`GcmEncrypt::new`].
///
/// # Errors
/// [`Error::BadKey`], [`Error::BadParameter`], [`Error::TooLong`], [`Error::Library`]
pub fn gcm_seal(
    key: &[u8],
    iv: &[u8],
    aad: &[u8],
    plaintext: &[u8],
    tag_bytes: usize,
) -> Result<Vec<u8>> {
    let mut running = GcmEncrypt::new(key, iv, aad, tag_bytes)?;
    let mut out = Vec::new();
    running.update_into(plaintext, &mut out)?;
    out.extend(running.finish()?);
    Ok(out)
}

/// The plaintext of `ciphertext`, if `tag` is its tag; the tag's length is one that [`GcmEncrypt::new`] takes.
///
/// Wiping a long plaintext when it is dropped takes longer than decrypting it: see [`gcm_open_into`].
///
/// # Errors
/// [`Error::BadKey`], [`Error::BadParameter`], [`Error::DecryptFailed`], [`Error::TooLong`], [`Error::Library`]
pub fn gcm_open(
    key: &[u8],
    iv: &[u8],
    aad: &[u8],
    ciphertext: &[u8],
    tag: &[u8],
) -> Result<Zeroizing<Vec<u8>>> {
    let mut out = Zeroizing::new(Vec::new());
    gcm_open_into(key, iv, aad, ciphertext, tag, &mut out)?;
    Ok(out)
}

/// As [`gcm_open`], appending to `out`, which the caller wipes, with [`crate::wipe`] if it is long.
///
/// # Errors
/// As [`gcm_open`]; `out` keeps its length, and what was written behind it is wiped.
pub fn gcm_open_into(
    key: &[u8],
    iv: &[u8],
    aad: &[u8],
    ciphertext: &[u8],
    tag: &[u8],
    out: &mut Vec<u8>,
) -> Result<()> {
    check_gcm(iv, tag.len())?;
    if ciphertext.len() as u64 > LONGEST_GCM {
        return Err(Error::TooLong);
    }
    let tag = Tag::Expected(tag);
    let mut state = AesState::new_aead(AesMode::Gcm, key, iv, &tag, aad, 0)?;
    let before = out.len();
    let opened = state
        .update_into(ciphertext, out, Error::Library)
        .and_then(|()| state.finish_gcm(Error::DecryptFailed));
    if opened.is_err() {
        wipe(out.get_mut(before..).unwrap_or_default());
        out.truncate(before);
    }
    opened
}

/// Refuses parameters of CCM out of range: a nonce of 7 to 13 bytes, a MAC of 4 to 16, even, and data whose length fits
/// the rest of a block.
fn check_ccm(nonce: &[u8], mac_bytes: usize, data: &[u8]) -> Result<()> {
    if !(7..=13).contains(&nonce.len()) || !matches!(mac_bytes, 4 | 6 | 8 | 10 | 12 | 14 | 16) {
        return Err(Error::BadParameter);
    }
    let length_bits = 8 * (15 - nonce.len()) as u32;
    // One call of the library takes less than 2^30 bytes.
    let limit = 1_usize.checked_shl(length_bits.min(30)).unwrap_or(1 << 30);
    if data.len() < limit {
        Ok(())
    } else {
        Err(Error::TooLong)
    }
}

/// CCM: the ciphertext, then the MAC. The key has 16, 24 or 32 bytes, the nonce 7 to 13, the MAC 4 to 16, even.
///
/// # Errors
/// [`Error::BadKey`], [`Error::BadParameter`], [`Error::TooLong`], [`Error::Library`]
pub fn ccm_seal(
    key: &[u8],
    nonce: &[u8],
    aad: &[u8],
    plaintext: &[u8],
    mac_bytes: usize,
) -> Result<Vec<u8>> {
    check_ccm(nonce, mac_bytes, plaintext)?;
    let tag = Tag::Made(mac_bytes);
    let mut state = AesState::new_aead(AesMode::Ccm, key, nonce, &tag, aad, plaintext.len())?;
    let mut out = Vec::new();
    state.update_part(plaintext, &mut out, Error::Library)?;
    out.extend(state.tag(mac_bytes)?);
    Ok(out)
}

/// The plaintext of `ciphertext`, if `mac` is its MAC. Lengths as [`ccm_seal`].
///
/// # Errors
/// [`Error::BadKey`], [`Error::BadParameter`], [`Error::DecryptFailed`], [`Error::TooLong`], [`Error::Library`]
pub fn ccm_open(
    key: &[u8],
    nonce: &[u8],
    aad: &[u8],
    ciphertext: &[u8],
    mac: &[u8],
) -> Result<Zeroizing<Vec<u8>>> {
    check_ccm(nonce, mac.len(), ciphertext)?;
    let tag = Tag::Expected(mac);
    let mut state = AesState::new_aead(AesMode::Ccm, key, nonce, &tag, aad, ciphertext.len())?;
    let mut out = Zeroizing::new(Vec::with_capacity(ciphertext.len() + 16));
    // CCM verifies in this call, and wipes what it wrote if the MAC is another one.
    let opened = state.update_part(ciphertext, &mut out, Error::DecryptFailed);
    if opened.is_err() {
        out.zeroize();
    }
    opened.map(|()| out)
}
