//! PBES2 of RFC 8018 with PBKDF2 and AES or 3DES: what openssl, Java and Windows write today.

use aws_lc_rs::cipher::{AES_128, AES_192, AES_256};
use aws_lc_rs::pbkdf2::{
    self, PBKDF2_HMAC_SHA1, PBKDF2_HMAC_SHA256, PBKDF2_HMAC_SHA384, PBKDF2_HMAC_SHA512,
};
use pkcs8::ObjectIdentifier;
use x509_cert::der::Tag;

use super::cbc::Cipher;
use super::elements::Elements;
use super::error::{Container, Fault, ImportError};
use super::work::Work;
use slotfs_object::secret::{SecretBytes, wipe_stack};

pub(super) const OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.13");
pub(super) const PBKDF2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.12");

/// Pseudorandom functions of PBKDF2, and the bytes that one run of each gives.
const PRFS: &[(ObjectIdentifier, pbkdf2::Algorithm, u64)] = &[
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.2.7"),
        PBKDF2_HMAC_SHA1,
        20,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.2.9"),
        PBKDF2_HMAC_SHA256,
        32,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.2.10"),
        PBKDF2_HMAC_SHA384,
        48,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.2.11"),
        PBKDF2_HMAC_SHA512,
        64,
    ),
];

/// The one that is meant when none is named (RFC 8018 appendix A.2).
const DEFAULT_PRF: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.2.7");

/// Ciphers and their keys' bytes.
const CIPHERS: &[(ObjectIdentifier, Cipher, usize)] = &[
    (
        ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.2"),
        Cipher::Aes(&AES_128),
        16,
    ),
    (
        ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.22"),
        Cipher::Aes(&AES_192),
        24,
    ),
    (
        ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.42"),
        Cipher::Aes(&AES_256),
        32,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.3.7"),
        Cipher::TripleDes,
        24,
    ),
];

fn value(what: &'static str) -> ImportError {
    ImportError::Der {
        what,
        fault: Fault::Value,
        offset: None,
    }
}

/// Decrypts what `PBES2-params`, of which `scheme` are the elements, say it is encrypted by; `container` is
/// what the file is.
pub(super) fn decrypt(
    mut scheme: Elements<'_>,
    ciphertext: &[u8],
    password: &SecretBytes,
    work: &mut Work,
    container: Container,
) -> Result<SecretBytes, ImportError> {
    let mut derivation = scheme.sequence()?;
    let mut encryption = scheme.sequence()?;
    scheme.end()?;

    let oid = encryption.oid()?;
    let Some((_, cipher, key_bytes)) = CIPHERS.iter().find(|row| row.0 == oid) else {
        return Err(ImportError::Cipher(oid, container));
    };
    let iv = encryption.next(Tag::OctetString)?;
    encryption.end()?;

    let kdf = derivation.oid()?;
    if kdf != PBKDF2 {
        return Err(ImportError::Cipher(kdf, container));
    }
    let mut key = SecretBytes::new(vec![0; *key_bytes]);
    pbkdf2(derivation, password, work, container, &mut key)?;
    let plaintext = cipher.decrypt(&key, iv, ciphertext);
    wipe_stack();
    plaintext
}

/// Fills `key` as `derivation`, what follows PBKDF2's identifier, says.
pub(super) fn pbkdf2(
    mut derivation: Elements<'_>,
    password: &SecretBytes,
    work: &mut Work,
    container: Container,
    key: &mut SecretBytes,
) -> Result<(), ImportError> {
    let key_bytes = key.bytes().len() as u64;
    let mut parameters = derivation.sequence()?;
    derivation.end()?;
    let salt = parameters.next(Tag::OctetString)?;
    let rounds = parameters.number()?;
    if parameters.peek() == Some(Tag::Integer) && parameters.number()? != key_bytes {
        return Err(value("encryption's key length"));
    }
    let mut prf = DEFAULT_PRF;
    if !parameters.is_finished() {
        let mut named = parameters.sequence()?;
        prf = named.oid()?;
        if !named.is_finished() {
            named.next(Tag::Null)?;
        }
        named.end()?;
    }
    parameters.end()?;
    let Some(&(_, prf, block_bytes)) = PRFS.iter().find(|row| row.0 == prf) else {
        return Err(ImportError::Cipher(prf, container));
    };
    let iterations = work.spend(rounds)?;
    for _ in 1..key_bytes.div_ceil(block_bytes) {
        work.spend(rounds)?;
    }
    pbkdf2::derive(prf, iterations, salt, password.bytes(), key.bytes_mut());
    Ok(())
}
