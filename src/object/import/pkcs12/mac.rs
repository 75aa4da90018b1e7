//! The MAC of a PKCS#12 store: whether the password is right and the store whole (RFC 7292 section 4 and appendix B).

use aws_lc_rs::{digest, hmac};
use pkcs8::ObjectIdentifier;
use x509_cert::der::Tag;

use super::super::elements::Elements;
use super::super::error::{Container, ImportError};
use super::super::password::Password;
use super::super::work::Work;
use super::kdf::{Purpose, derive};
use crate::secret::{SecretBytes, wipe_stack};

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
