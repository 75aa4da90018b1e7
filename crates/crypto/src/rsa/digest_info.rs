//! `DigestInfo`, which PKCS#1 v1.5 signatures cover (RFC 8017, 9.2).

use crate::{Error, Hash, Result};

/// The DER encoding of `DigestInfo` with NULL parameters.
///
/// # Errors
/// [`Error::BadLength`] if the digest has not the hash's length
pub(super) fn digest_info(hash: Hash, digest: &[u8]) -> Result<Vec<u8>> {
    if digest.len() != hash.bytes() {
        return Err(Error::BadLength);
    }
    const SHA1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];
    let mut nist = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0];
    let oid = match hash.nist_number() {
        Some(number) => {
            nist[8] = number;
            nist.as_slice()
        }
        None => SHA1,
    };
    // All lengths are below 128: one byte each.
    let algorithm = oid.len() + 4;
    let mut out = vec![0x30, (algorithm + digest.len() + 4) as u8];
    out.extend([0x30, algorithm as u8, 0x06, oid.len() as u8]);
    out.extend(oid);
    out.extend([0x05, 0x00, 0x04, digest.len() as u8]);
    out.extend(digest);
    Ok(out)
}
