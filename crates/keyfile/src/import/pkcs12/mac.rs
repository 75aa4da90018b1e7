//! The MAC of a PKCS#12 store (RFC 7292 section 4 and appendix B), which detects a wrong password or a damaged store.

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY as SHA1, SHA224, SHA256, SHA384, SHA512};
use aws_lc_rs::hmac::{
    self, HMAC_SHA1_FOR_LEGACY_USE_ONLY as HMAC_SHA1, HMAC_SHA224, HMAC_SHA256, HMAC_SHA384,
    HMAC_SHA512,
};
use pkcs8::ObjectIdentifier;
use x509_cert::der::Tag;

use super::super::elements::{Elements, oid};
use super::super::error::{Fault, ImportError};
use super::super::password::Password;
use super::super::pbes2::Pbkdf2;
use super::super::work::Work;
use super::kdf::{Purpose, derive};
use slotfs_object::secret::{SecretBytes, wipe_stack};

/// Digests, and the library's algorithms for the key derivation and for the MAC.
const DIGESTS: &[(ObjectIdentifier, &digest::Algorithm, hmac::Algorithm)] = &[
    (oid("1.3.14.3.2.26"), &SHA1, HMAC_SHA1),
    (oid("2.16.840.1.101.3.4.2.4"), &SHA224, HMAC_SHA224),
    (oid("2.16.840.1.101.3.4.2.1"), &SHA256, HMAC_SHA256),
    (oid("2.16.840.1.101.3.4.2.2"), &SHA384, HMAC_SHA384),
    (oid("2.16.840.1.101.3.4.2.3"), &SHA512, HMAC_SHA512),
];

const PBMAC1: ObjectIdentifier = oid("1.2.840.113549.1.5.14");

/// The MACs of PBMAC1 (RFC 8018 appendix B.1).
const HMACS: &[(ObjectIdentifier, hmac::Algorithm)] = &[
    (oid("1.2.840.113549.2.8"), HMAC_SHA224),
    (oid("1.2.840.113549.2.9"), HMAC_SHA256),
    (oid("1.2.840.113549.2.10"), HMAC_SHA384),
    (oid("1.2.840.113549.2.11"), HMAC_SHA512),
];

/// Checks the MAC over `safe`; `mac` holds the elements of `MacData`. Of the forms of the password, only the right one
/// is kept.
pub(super) fn verify(
    mut mac: Elements<'_>,
    safe: &[u8],
    password: &mut Password<'_>,
    work: &mut Work,
) -> Result<(), ImportError> {
    let mut info = mac.sequence()?;
    let mut algorithm = info.sequence()?;
    let oid = algorithm.oid()?;
    if oid == PBMAC1 {
        let parameters = algorithm.sequence()?;
        algorithm.end()?;
        let tag = info.next(Tag::OctetString)?;
        info.end()?;
        // The salt and rounds of `MacData` have no meaning here.
        return verify_pbmac1(parameters, safe, tag, password.bytes, work);
    }
    let Some(&(_, digest, hmac)) = DIGESTS.iter().find(|row| row.0 == oid) else {
        return Err(work.unsupported(oid));
    };
    if !algorithm.is_finished() {
        algorithm.next(Tag::Null)?;
    }
    algorithm.end()?;
    let tag = info.next(Tag::OctetString)?;
    info.end()?;
    let salt = mac.next(Tag::OctetString)?;
    let rounds = match mac.is_finished() {
        true => 1,
        false => mac.number()?,
    };
    mac.end()?;
    for (index, form) in password.bmp()?.iter().enumerate() {
        let rounds = work.spend(rounds)?.get();
        let size = digest.output_len();
        let key = derive(digest, Purpose::Mac, form, salt, rounds, size);
        if is_right(hmac, &key, safe, tag) {
            password.settle(index);
            return Ok(());
        }
    }
    Err(ImportError::Password)
}

/// PBMAC1 of RFC 9579: PBKDF2 of the password as given, then HMAC.
fn verify_pbmac1(
    mut parameters: Elements<'_>,
    safe: &[u8],
    tag: &[u8],
    password: &SecretBytes,
    work: &mut Work,
) -> Result<(), ImportError> {
    let derivation = parameters.sequence()?;
    let mut scheme = parameters.sequence()?;
    parameters.end()?;
    let derivation = Pbkdf2::read(derivation, work)?;
    let oid = scheme.oid()?;
    let Some(&(_, hmac)) = HMACS.iter().find(|row| row.0 == oid) else {
        return Err(work.unsupported(oid));
    };
    // Section 5: the length must be present. A short key would allow an attacker to forge the MAC.
    let Some(size @ 20..=64) = derivation.key_bytes else {
        return Err(ImportError::fault("MAC's key length", Fault::Value));
    };
    let key = derivation.derive(size as usize, password, work)?;
    match is_right(hmac, &key, safe, tag) {
        true => Ok(()),
        false => Err(ImportError::Password),
    }
}

fn is_right(algorithm: hmac::Algorithm, key: &SecretBytes, safe: &[u8], tag: &[u8]) -> bool {
    let outcome = hmac::verify(&hmac::Key::new(algorithm, key.bytes()), safe, tag);
    wipe_stack();
    outcome.is_ok()
}
