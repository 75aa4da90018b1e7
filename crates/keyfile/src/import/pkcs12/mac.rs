//! The MAC of a PKCS#12 store: whether the password is right and the store whole (RFC 7292 section 4 and appendix B).

use aws_lc_rs::{digest, hmac};
use pkcs8::ObjectIdentifier;
use x509_cert::der::Tag;

use super::super::elements::Elements;
use super::super::error::{Container, Fault, ImportError};
use super::super::password::Password;
use super::super::pbes2;
use super::super::work::Work;
use super::kdf::{Purpose, derive};
use slotfs_object::secret::{SecretBytes, wipe_stack};

/// Digests: their identifiers, and both things the library does with them.
const DIGESTS: &[(ObjectIdentifier, &digest::Algorithm, hmac::Algorithm)] = &[
    (
        ObjectIdentifier::new_unwrap("1.3.14.3.2.26"),
        &digest::SHA1_FOR_LEGACY_USE_ONLY,
        hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
    ),
    (
        ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.4"),
        &digest::SHA224,
        hmac::HMAC_SHA224,
    ),
    (
        ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1"),
        &digest::SHA256,
        hmac::HMAC_SHA256,
    ),
    (
        ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2"),
        &digest::SHA384,
        hmac::HMAC_SHA384,
    ),
    (
        ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3"),
        &digest::SHA512,
        hmac::HMAC_SHA512,
    ),
];

const PBMAC1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.14");

/// What PBMAC1 may use: RFC 8018 appendix B.1.
const HMACS: &[(ObjectIdentifier, hmac::Algorithm)] = &[
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.2.8"),
        hmac::HMAC_SHA224,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.2.9"),
        hmac::HMAC_SHA256,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.2.10"),
        hmac::HMAC_SHA384,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.2.11"),
        hmac::HMAC_SHA512,
    ),
];

/// Checks the MAC over `safe`; `mac` are the elements of `MacData`. Leaves of the password the form that is right.
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
        // The salt and rounds that follow are there for readers of the other kind.
        return verify_pbmac1(parameters, safe, tag, password.bytes, work);
    }
    let Some(&(_, digest, hmac)) = DIGESTS.iter().find(|row| row.0 == oid) else {
        return Err(ImportError::Cipher(oid, Container::Pkcs12));
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
    let mut right = None;
    for (index, form) in password.bmp()?.iter().enumerate() {
        let rounds = work.spend(rounds)?.get();
        let size = digest.output_len();
        let key = derive(digest, Purpose::Mac, form, salt, rounds, size);
        let outcome = hmac::verify(&hmac::Key::new(hmac, key.bytes()), safe, tag);
        wipe_stack();
        if outcome.is_ok() {
            right = Some(index);
            break;
        }
    }
    password.settle(right.ok_or(ImportError::Password)?);
    Ok(())
}

/// PBMAC1 of RFC 9579: PBKDF2 of the password as it was given, then HMAC.
fn verify_pbmac1(
    mut parameters: Elements<'_>,
    safe: &[u8],
    tag: &[u8],
    password: &SecretBytes,
    work: &mut Work,
) -> Result<(), ImportError> {
    let mut derivation = parameters.sequence()?;
    let mut scheme = parameters.sequence()?;
    parameters.end()?;
    let kdf = derivation.oid()?;
    if kdf != pbes2::PBKDF2 {
        return Err(ImportError::Cipher(kdf, Container::Pkcs12));
    }
    let oid = scheme.oid()?;
    let Some(&(_, hmac)) = HMACS.iter().find(|row| row.0 == oid) else {
        return Err(ImportError::Cipher(oid, Container::Pkcs12));
    };
    let mut size = derivation.clone().sequence()?;
    size.next(Tag::OctetString)?;
    size.number()?;
    // Section 5: the length must be there. Of less than 20 bytes it is an attack on whoever takes the MAC for one.
    let size = match size.number()? {
        size @ 20..=64 => size as usize,
        _ => {
            return Err(ImportError::Der {
                what: "MAC's key length",
                fault: Fault::Value,
                offset: None,
            });
        }
    };
    let mut key = SecretBytes::new(vec![0; size]);
    pbes2::pbkdf2(derivation, password, work, Container::Pkcs12, &mut key)?;
    let outcome = hmac::verify(&hmac::Key::new(hmac, key.bytes()), safe, tag);
    wipe_stack();
    outcome.map_err(|_| ImportError::Password)
}

#[cfg(any(test, feature = "fuzzing"))]
/// The tag over `safe` by SHA-256, one round and the salt 7, for [`crate::fuzzing`].
pub(in super::super) fn tag(safe: &[u8], password: &SecretBytes) -> Option<Vec<u8>> {
    let password = Password::new(password);
    let form = password.bmp().ok()?.first()?;
    let key = derive(&digest::SHA256, Purpose::Mac, form, &[7], 1, 32);
    Some(
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.bytes()), safe)
            .as_ref()
            .to_vec(),
    )
}
