//! Decryption of key files under a password: which scheme, and which encoding of the password. None of the schemes is
//! authenticated by itself: a wrong password shows as bad padding, or as what is no DER.

use aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY as SHA1;
use pkcs8::ObjectIdentifier;
use x509_cert::der::Tag;

use super::cbc::Cipher;
use super::elements::Elements;
use super::error::{Container, ImportError};
use super::password::Password;
use super::pkcs12::kdf::{self, Purpose};
use super::work::Work;
use super::{ber, pbes2};
use slotfs_object::secret::{SecretBytes, wipe_stack};

/// The schemes of PKCS#12 (RFC 7292 appendix C) that are read, by SHA-1; and their keys' bytes.
const PKCS12_SCHEMES: &[(ObjectIdentifier, Cipher, usize)] = &[
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.3"),
        Cipher::TripleDes,
        24,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.4"),
        Cipher::TwoKeyTripleDes,
        16,
    ),
];
/// Of an initial vector of DES.
const IV_BYTES: usize = 8;

/// The PKCS#8 private key inside `EncryptedPrivateKeyInfo` DER (RFC 5958 section 3).
pub(super) fn private_key(
    der: &[u8],
    password: &Password<'_>,
    work: &mut Work,
    container: Container,
) -> Result<SecretBytes, ImportError> {
    let mut info = Elements::of_sequence(der, "encrypted private key")?;
    let algorithm = info.sequence()?;
    let ciphertext = info.next(Tag::OctetString)?;
    info.end()?;
    decrypt(algorithm, ciphertext, password, work, container)
}

/// Decrypts what an `AlgorithmIdentifier`, of which `algorithm` are the elements, says it is encrypted by: one
/// SEQUENCE, given as DER. `container` is what the file is.
pub(super) fn decrypt(
    mut algorithm: Elements<'_>,
    ciphertext: &[u8],
    password: &Password<'_>,
    work: &mut Work,
    container: Container,
) -> Result<SecretBytes, ImportError> {
    let oid = algorithm.oid()?;
    if oid == pbes2::OID {
        let scheme = algorithm.sequence()?;
        algorithm.end()?;
        return first_right([password.bytes].into_iter(), |password| {
            pbes2::decrypt(scheme.clone(), ciphertext, password, work, container)
        });
    }
    let Some((_, cipher, key_bytes)) = PKCS12_SCHEMES.iter().find(|row| row.0 == oid) else {
        return Err(ImportError::Cipher(oid, container));
    };
    let mut parameters = algorithm.sequence()?;
    algorithm.end()?;
    let salt = parameters.next(Tag::OctetString)?;
    let rounds = parameters.number()?;
    parameters.end()?;
    first_right(password.bmp()?.iter(), |form| {
        let iterations = work.spend(rounds)?.get();
        for _ in 0..kdf::blocks(&SHA1, *key_bytes) {
            work.spend(rounds)?;
        }
        let key = kdf::derive(&SHA1, Purpose::Key, form, salt, iterations, *key_bytes);
        let purpose = Purpose::InitialVector;
        let iv = kdf::derive(&SHA1, purpose, form, salt, iterations, IV_BYTES);
        let plaintext = cipher.decrypt(&key, iv.bytes(), ciphertext);
        wipe_stack();
        plaintext
    })
}

/// What the first form of a password opens that opens anything.
fn first_right<'a>(
    forms: impl Iterator<Item = &'a SecretBytes>,
    mut open: impl FnMut(&SecretBytes) -> Result<SecretBytes, ImportError>,
) -> Result<SecretBytes, ImportError> {
    for form in forms {
        match open(form) {
            // By a wrong key one in 256 has the right padding, but is no whole element.
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
