//! Decryption of key files: the choice of the scheme and of the encoding of the password. No scheme is authenticated: a
//! wrong password gives bad padding, or bytes that are not DER.

use aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY as SHA1;
use pkcs8::ObjectIdentifier;
use x509_cert::der::Tag;

use super::cbc::Cipher;
use super::elements::{Elements, oid};
use super::error::ImportError;
use super::password::Password;
use super::pkcs12::kdf::{self, Purpose};
use super::work::Work;
use super::{ber, pbes2};
use slotfs_object::secret::{SecretBytes, wipe_stack};

/// The supported schemes of PKCS#12 with SHA-1 (RFC 7292 appendix C), and the bytes of their keys.
const PKCS12_SCHEMES: &[(ObjectIdentifier, Cipher, usize)] = &[
    (oid("1.2.840.113549.1.12.1.3"), Cipher::TripleDes, 24),
    (oid("1.2.840.113549.1.12.1.4"), Cipher::TwoKeyTripleDes, 16),
];
/// Length of an initial vector of DES.
const IV_BYTES: usize = 8;

/// The parts of `EncryptedPrivateKeyInfo` DER (RFC 5958 section 3): the elements of the algorithm, and the ciphertext.
pub(super) fn parts(der: &[u8]) -> Result<(Elements<'_>, &[u8]), ImportError> {
    let mut info = Elements::of_sequence(der, "encrypted private key")?;
    let algorithm = info.sequence()?;
    let ciphertext = info.next(Tag::OctetString)?;
    info.end()?;
    Ok((algorithm, ciphertext))
}

/// The PKCS#8 private key inside `EncryptedPrivateKeyInfo` DER.
pub(super) fn private_key(
    der: &[u8],
    password: &Password<'_>,
    work: &mut Work,
) -> Result<SecretBytes, ImportError> {
    let (algorithm, ciphertext) = parts(der)?;
    decrypt(algorithm, ciphertext, password, work)
}

/// Decrypts to DER, a single element; `algorithm` holds the elements of the `AlgorithmIdentifier`.
pub(super) fn decrypt(
    mut algorithm: Elements<'_>,
    ciphertext: &[u8],
    password: &Password<'_>,
    work: &mut Work,
) -> Result<SecretBytes, ImportError> {
    let oid = algorithm.oid()?;
    if oid == pbes2::OID {
        let scheme = algorithm.sequence()?;
        algorithm.end()?;
        return first_right([password.bytes].into_iter(), |password| {
            pbes2::decrypt(scheme.clone(), ciphertext, password, work)
        });
    }
    let Some((_, cipher, key_bytes)) = PKCS12_SCHEMES.iter().find(|row| row.0 == oid) else {
        return Err(work.unsupported(oid));
    };
    let mut parameters = algorithm.sequence()?;
    algorithm.end()?;
    let salt = parameters.next(Tag::OctetString)?;
    let rounds = parameters.number()?;
    parameters.end()?;
    first_right(password.bmp()?.iter(), |form| {
        // One run for the initial vector.
        let iterations = work.spend(rounds)?.get();
        for _ in 0..kdf::blocks(&SHA1, *key_bytes) {
            work.spend(rounds)?;
        }
        let derive = |purpose, size| kdf::derive(&SHA1, purpose, form, salt, iterations, size);
        let key = derive(Purpose::Key, *key_bytes);
        let iv = derive(Purpose::InitialVector, IV_BYTES);
        let plaintext = cipher.decrypt(&key, iv.bytes(), ciphertext);
        wipe_stack();
        plaintext
    })
}

/// The plaintext by the first form of the password that gives one.
fn first_right<'a>(
    forms: impl Iterator<Item = &'a SecretBytes>,
    mut open: impl FnMut(&SecretBytes) -> Result<SecretBytes, ImportError>,
) -> Result<SecretBytes, ImportError> {
    for form in forms {
        match open(form) {
            // With one wrong key in 256 the padding is right, but the plaintext is not an element.
            Ok(plaintext) => {
                if let Some(der) = ber::to_der(plaintext.bytes()) {
                    return Ok(der);
                }
            }
            Err(ImportError::Password) => {}
            Err(error) => return Err(error),
        }
    }
    Err(ImportError::Password)
}
