//! Keys wrapped by AES keys of 16, 24 or 32 bytes.
//!
//! There are three schemes. KW (RFC 3394) takes multiples of 8 bytes. KWP (RFC 5649) takes any length and marks it in
//! its IV. The older PKCS#11 mechanism with padding is KW over data with PKCS#7 padding: the same name in some
//! libraries means KWP, so both are here.

use zeroize::Zeroizing;

use crate::mac::equal;
use crate::sys::AesKey;
use crate::{Error, Result};

/// Bytes of padding are at most these.
const BLOCK: usize = 8;

/// KW (RFC 3394): `data` has 16 bytes or more, a multiple of 8. The IV is the standard's own unless one is given.
///
/// # Errors
/// [`Error::BadKey`], [`Error::BadLength`]
pub fn kw_wrap(key: &[u8], iv: Option<&[u8; 8]>, data: &[u8]) -> Result<Vec<u8>> {
    let key = AesKey::new(key, true)?;
    if data.len() < 2 * BLOCK || !data.len().is_multiple_of(BLOCK) {
        return Err(Error::BadLength);
    }
    key.wrap(iv, data)
}

/// The inverse of [`kw_wrap`].
///
/// # Errors
/// [`Error::BadKey`], [`Error::BadLength`], [`Error::DecryptFailed`]
pub fn kw_unwrap(key: &[u8], iv: Option<&[u8; 8]>, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let key = AesKey::new(key, false)?;
    if wrapped.len() < 3 * BLOCK || !wrapped.len().is_multiple_of(BLOCK) {
        return Err(Error::BadLength);
    }
    key.unwrap(iv, wrapped)
}

/// KWP (RFC 5649): `data` has 1 byte or more.
///
/// # Errors
/// [`Error::BadKey`], [`Error::BadLength`]
pub fn kwp_wrap(key: &[u8], data: &[u8]) -> Result<Vec<u8>> {
    let key = AesKey::new(key, true)?;
    if data.is_empty() || u32::try_from(data.len()).is_err() {
        return Err(Error::BadLength);
    }
    key.wrap_padded(data)
}

/// The inverse of [`kwp_wrap`].
///
/// # Errors
/// [`Error::BadKey`], [`Error::BadLength`], [`Error::DecryptFailed`]
pub fn kwp_unwrap(key: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let key = AesKey::new(key, false)?;
    if wrapped.len() < 2 * BLOCK || !wrapped.len().is_multiple_of(BLOCK) {
        return Err(Error::BadLength);
    }
    key.unwrap_padded(wrapped)
}

/// KW over `data` with PKCS#7 padding to 8 bytes, which always adds 1 to 8; `data` has 8 bytes or more.
///
/// # Errors
/// [`Error::BadKey`], [`Error::BadLength`]
pub fn kw_pad_wrap(key: &[u8], iv: Option<&[u8; 8]>, data: &[u8]) -> Result<Vec<u8>> {
    let padded_bytes = (data.len() + 1).next_multiple_of(BLOCK);
    let count = padded_bytes - data.len();
    let mut padded = Zeroizing::new(Vec::with_capacity(padded_bytes));
    padded.extend_from_slice(data);
    padded.resize(padded_bytes, count as u8);
    kw_wrap(key, iv, &padded)
}

/// The inverse of [`kw_pad_wrap`].
///
/// # Errors
/// [`Error::BadKey`], [`Error::BadLength`], [`Error::DecryptFailed`]
pub fn kw_pad_unwrap(
    key: &[u8],
    iv: Option<&[u8; 8]>,
    wrapped: &[u8],
) -> Result<Zeroizing<Vec<u8>>> {
    let mut data = kw_unwrap(key, iv, wrapped)?;
    // KW has authenticated the padding: what is wrong here was wrapped so.
    let count = usize::from(data.last().copied().unwrap_or(0));
    let kept = match data.len().checked_sub(count) {
        Some(kept) if (1..=BLOCK).contains(&count) => kept,
        _ => return Err(Error::DecryptFailed),
    };
    let expected = [count as u8; BLOCK];
    let padding = data.get(kept..).unwrap_or_default();
    if !equal(padding, expected.get(..count).unwrap_or_default()) {
        return Err(Error::DecryptFailed);
    }
    data.truncate(kept);
    Ok(data)
}
