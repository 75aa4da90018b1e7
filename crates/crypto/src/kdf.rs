//! Key derivation: HKDF, PBKDF2, and the functions over a shared secret.

use zeroize::Zeroizing;

use crate::mac::Hmac;
use crate::{Error, Hash, Hasher, Result, sys};

/// The most that one call derives, bytes: no key is longer.
const LONGEST: usize = 1 << 20;

/// HKDF's first half (RFC 5869): a pseudo-random key, as long as a digest. Without a salt, give an empty one.
///
/// # Errors
/// [`Error::Library`]
pub fn hkdf_extract(hash: Hash, salt: &[u8], ikm: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let mut hmac = Hmac::new(hash, salt);
    hmac.update(ikm);
    hmac.finish()
}

/// HKDF's second half (RFC 5869): `length` bytes, at most 255 digests. `prk` may have any length.
///
/// # Errors
/// [`Error::TooLong`], [`Error::Library`]
pub fn hkdf_expand(
    hash: Hash,
    prk: &[u8],
    info: &[u8],
    length: usize,
) -> Result<Zeroizing<Vec<u8>>> {
    if length > 255 * hash.bytes() {
        return Err(Error::TooLong);
    }
    let keyed = Hmac::new(hash, prk);
    let mut out = Zeroizing::new(Vec::with_capacity(length));
    let mut block = Zeroizing::new(Vec::new());
    for counter in 1..=255_u8 {
        if out.len() >= length {
            break;
        }
        let mut hmac = keyed.clone();
        hmac.update(&block);
        hmac.update(info);
        hmac.update(&[counter]);
        block = hmac.finish()?;
        append(&mut out, &block, length);
    }
    Ok(out)
}

/// PBKDF2 with HMAC (RFC 8018): `length` bytes.
///
/// # Errors
/// [`Error::BadParameter`] without iterations, [`Error::TooLong`], [`Error::Library`]
pub fn pbkdf2(
    hash: Hash,
    password: &[u8],
    salt: &[u8],
    iterations: u32,
    length: usize,
) -> Result<Zeroizing<Vec<u8>>> {
    if iterations == 0 {
        return Err(Error::BadParameter);
    }
    if length > LONGEST {
        return Err(Error::TooLong);
    }
    let mut out = Zeroizing::new(vec![0; length]);
    sys::pbkdf2(hash, password, salt, iterations, &mut out)?;
    Ok(out)
}

/// The function of ANSI X9.63 and SEC 1: digests of `z`, a counter from 1, `shared_info`.
///
/// # Errors
/// [`Error::TooLong`], [`Error::Library`]
pub fn x963(hash: Hash, z: &[u8], shared_info: &[u8], length: usize) -> Result<Zeroizing<Vec<u8>>> {
    digests(hash, length, |hasher, counter| {
        hasher.update(z);
        hasher.update(&counter);
        hasher.update(shared_info);
    })
}

/// The one-step function of SP 800-56A and 56C with a hash: digests of a counter from 1, `z`, `info`.
///
/// # Errors
/// [`Error::TooLong`], [`Error::Library`]
pub fn concat_sp800_56a(
    hash: Hash,
    z: &[u8],
    info: &[u8],
    length: usize,
) -> Result<Zeroizing<Vec<u8>>> {
    digests(hash, length, |hasher, counter| {
        hasher.update(&counter);
        hasher.update(z);
        hasher.update(info);
    })
}

fn digests(
    hash: Hash,
    length: usize,
    feed: impl Fn(&mut Hasher, [u8; 4]),
) -> Result<Zeroizing<Vec<u8>>> {
    if length > LONGEST {
        return Err(Error::TooLong);
    }
    let mut out = Zeroizing::new(Vec::with_capacity(length));
    let mut counter = 0_u32;
    while out.len() < length {
        counter += 1;
        let mut hasher = Hasher::new(hash);
        feed(&mut hasher, counter.to_be_bytes());
        append(&mut out, &Zeroizing::new(hasher.finish()?), length);
    }
    Ok(out)
}

/// Appends of `block` what `out` lacks to `length`.
fn append(out: &mut Vec<u8>, block: &[u8], length: usize) {
    let missing = length - out.len();
    out.extend(block.iter().take(missing));
}
