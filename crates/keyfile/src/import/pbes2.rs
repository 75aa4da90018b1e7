//! PBES2 (RFC 8018) with PBKDF2 and AES or 3DES: the encryption that openssl, Java and Windows use today.

use aws_lc_rs::cipher::{AES_128, AES_192, AES_256};
use aws_lc_rs::pbkdf2::{
    self, PBKDF2_HMAC_SHA1, PBKDF2_HMAC_SHA256, PBKDF2_HMAC_SHA384, PBKDF2_HMAC_SHA512,
};
use pkcs8::ObjectIdentifier;
use x509_cert::der::Tag;

use super::cbc::Cipher;
use super::elements::{Elements, oid};
use super::error::{Fault, ImportError};
use super::work::Work;
use slotfs_object::secret::{SecretBytes, wipe_stack};

pub(super) const OID: ObjectIdentifier = oid("1.2.840.113549.1.5.13");
const PBKDF2: ObjectIdentifier = oid("1.2.840.113549.1.5.12");

/// The default of PBKDF2 (RFC 8018 appendix A.2).
const HMAC_SHA1: ObjectIdentifier = oid("1.2.840.113549.2.7");

/// Pseudorandom functions of PBKDF2, and the bytes that one run of each gives.
const PRFS: &[(ObjectIdentifier, pbkdf2::Algorithm, u64)] = &[
    (HMAC_SHA1, PBKDF2_HMAC_SHA1, 20),
    (oid("1.2.840.113549.2.9"), PBKDF2_HMAC_SHA256, 32),
    (oid("1.2.840.113549.2.10"), PBKDF2_HMAC_SHA384, 48),
    (oid("1.2.840.113549.2.11"), PBKDF2_HMAC_SHA512, 64),
];

/// Ciphers, and the bytes of their keys.
const CIPHERS: &[(ObjectIdentifier, Cipher, usize)] = &[
    (oid("2.16.840.1.101.3.4.1.2"), Cipher::Aes(&AES_128), 16),
    (oid("2.16.840.1.101.3.4.1.22"), Cipher::Aes(&AES_192), 24),
    (oid("2.16.840.1.101.3.4.1.42"), Cipher::Aes(&AES_256), 32),
    (oid("1.2.840.113549.3.7"), Cipher::TripleDes, 24),
];

/// Decrypts; `scheme` holds the elements of `PBES2-params`.
pub(super) fn decrypt(
    mut scheme: Elements<'_>,
    ciphertext: &[u8],
    password: &SecretBytes,
    work: &mut Work,
) -> Result<SecretBytes, ImportError> {
    let derivation = scheme.sequence()?;
    let mut encryption = scheme.sequence()?;
    scheme.end()?;

    let oid = encryption.oid()?;
    let Some((_, cipher, key_bytes)) = CIPHERS.iter().find(|row| row.0 == oid) else {
        return Err(work.unsupported(oid));
    };
    let iv = encryption.next(Tag::OctetString)?;
    encryption.end()?;

    let key = Pbkdf2::read(derivation, work)?.derive(*key_bytes, password, work)?;
    let plaintext = cipher.decrypt(&key, iv, ciphertext);
    wipe_stack();
    plaintext
}

/// The parameters of PBKDF2.
pub(super) struct Pbkdf2<'a> {
    salt: &'a [u8],
    rounds: u64,
    /// The length of the derived key, which may be absent.
    pub(super) key_bytes: Option<u64>,
    prf: ObjectIdentifier,
}

impl<'a> Pbkdf2<'a> {
    /// Reads an `AlgorithmIdentifier`, given as its elements, which must be PBKDF2.
    pub(super) fn read(mut derivation: Elements<'a>, work: &Work) -> Result<Self, ImportError> {
        let kdf = derivation.oid()?;
        if kdf != PBKDF2 {
            return Err(work.unsupported(kdf));
        }
        let mut parameters = derivation.sequence()?;
        derivation.end()?;
        let mut read = Self {
            salt: parameters.next(Tag::OctetString)?,
            rounds: parameters.number()?,
            key_bytes: None,
            prf: HMAC_SHA1,
        };
        if parameters.peek() == Some(Tag::Integer) {
            read.key_bytes = Some(parameters.number()?);
        }
        if !parameters.is_finished() {
            let mut named = parameters.sequence()?;
            read.prf = named.oid()?;
            if !named.is_finished() {
                named.next(Tag::Null)?;
            }
            named.end()?;
        }
        parameters.end()?;
        Ok(read)
    }

    /// Derives a key of `key_bytes`.
    pub(super) fn derive(
        &self,
        key_bytes: usize,
        password: &SecretBytes,
        work: &mut Work,
    ) -> Result<SecretBytes, ImportError> {
        let size = key_bytes as u64;
        if self.key_bytes.is_some_and(|named| named != size) {
            return Err(ImportError::fault("encryption's key length", Fault::Value));
        }
        let Some(&(_, prf, block_bytes)) = PRFS.iter().find(|row| row.0 == self.prf) else {
            return Err(work.unsupported(self.prf));
        };
        let iterations = work.spend(self.rounds)?;
        for _ in 1..size.div_ceil(block_bytes) {
            work.spend(self.rounds)?;
        }
        let mut key = SecretBytes::new(vec![0; key_bytes]);
        let (password, salt) = (password.bytes(), self.salt);
        pbkdf2::derive(prf, iterations, salt, password, key.bytes_mut());
        Ok(key)
    }
}
