//! Decryption of key files under a password: PBES2 of RFC 8018 with PBKDF2 and AES-CBC, which is what openssl 3, Java
//! and Windows write. Not authenticated by itself: a wrong password shows as bad padding or bad DER.

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, DecryptionContext, PaddedBlockDecryptingKey,
    UnboundCipherKey,
};
use aws_lc_rs::iv::{FixedLength, IV_LEN_128_BIT};
use aws_lc_rs::pbkdf2::{
    self, PBKDF2_HMAC_SHA1, PBKDF2_HMAC_SHA256, PBKDF2_HMAC_SHA384, PBKDF2_HMAC_SHA512,
};
use pkcs8::ObjectIdentifier;
use x509_cert::der::Tag;

use super::elements::Elements;
use super::error::{Fault, ImportError};
use crate::secret::{SecretBytes, wipe_stack};

const PBES2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.13");
const PBKDF2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.12");

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
const CIPHERS: &[(ObjectIdentifier, &Algorithm, usize)] = &[
    (
        ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.2"),
        &AES_128,
        16,
    ),
    (
        ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.22"),
        &AES_192,
        24,
    ),
    (
        ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.42"),
        &AES_256,
        32,
    ),
];

/// What is left of the rounds of key derivation that one file may cost, which its writer chose. The attack this
/// stops: a small file that keeps the machine busy for days.
pub(super) struct Work(u64);

impl Work {
    /// Some seconds. Writers ask for 2,048 (openssl) to 600,000 (OWASP's advice) rounds for each part.
    pub(super) const MAX_ROUNDS: u64 = 10_000_000;

    /// All of it.
    pub(super) fn new() -> Self {
        Self(Self::MAX_ROUNDS)
    }

    /// So much of it: fuzzers have no seconds to give.
    pub(super) fn of(rounds: u64) -> Self {
        Self(rounds.min(Self::MAX_ROUNDS))
    }

    /// Takes `rounds`, before they are done.
    pub(super) fn spend(&mut self, rounds: u64) -> Result<NonZeroU32, ImportError> {
        self.0 = self
            .0
            .checked_sub(rounds)
            .ok_or(ImportError::Work(Self::MAX_ROUNDS))?;
        u32::try_from(rounds)
            .ok()
            .and_then(NonZeroU32::new)
            .ok_or_else(|| value("key derivation"))
    }
}

fn value(what: &'static str) -> ImportError {
    ImportError::Der {
        what,
        fault: Fault::Value,
        offset: None,
    }
}

/// The PKCS#8 private key inside `EncryptedPrivateKeyInfo` DER (RFC 5958 section 3).
pub(super) fn private_key(
    der: &[u8],
    password: &SecretBytes,
    work: &mut Work,
    advice: &'static str,
) -> Result<SecretBytes, ImportError> {
    let mut info = Elements::of_sequence(der, "encrypted private key")?;
    let algorithm = info.sequence()?;
    let ciphertext = info.next(Tag::OctetString)?;
    info.end()?;
    decrypt(algorithm, ciphertext, password, work, advice)
}

/// Decrypts what an `AlgorithmIdentifier`, of which `algorithm` are the elements, says it is encrypted by; `advice`
/// is what to do about one that is not known.
pub(super) fn decrypt(
    mut algorithm: Elements<'_>,
    ciphertext: &[u8],
    password: &SecretBytes,
    work: &mut Work,
    advice: &'static str,
) -> Result<SecretBytes, ImportError> {
    let known = |oid: ObjectIdentifier, expected| match oid == expected {
        true => Ok(()),
        false => Err(ImportError::Cipher(oid, advice)),
    };
    known(algorithm.oid()?, PBES2)?;
    let mut scheme = algorithm.sequence()?;
    algorithm.end()?;
    let mut derivation = scheme.sequence()?;
    let mut encryption = scheme.sequence()?;
    scheme.end()?;

    let oid = encryption.oid()?;
    let Some(&(_, cipher, key_bytes)) = CIPHERS.iter().find(|row| row.0 == oid) else {
        return Err(ImportError::Cipher(oid, advice));
    };
    let iv: [u8; IV_LEN_128_BIT] = encryption
        .next(Tag::OctetString)?
        .try_into()
        .map_err(|_| value("encryption's initial vector"))?;
    encryption.end()?;

    known(derivation.oid()?, PBKDF2)?;
    let mut parameters = derivation.sequence()?;
    derivation.end()?;
    let salt = parameters.next(Tag::OctetString)?;
    let rounds = parameters.number()?;
    if parameters.peek() == Some(Tag::Integer) && parameters.number()? != key_bytes as u64 {
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
        return Err(ImportError::Cipher(prf, advice));
    };

    let blocks = (key_bytes as u64).div_ceil(block_bytes);
    let iterations = work.spend(rounds)?;
    for _ in 1..blocks {
        work.spend(rounds)?;
    }
    let mut key = SecretBytes::new(vec![0; key_bytes]);
    pbkdf2::derive(prf, iterations, salt, password.bytes(), key.bytes_mut());
    let mut buffer = SecretBytes::from(ciphertext);
    let plaintext = UnboundCipherKey::new(cipher, key.bytes())
        .and_then(PaddedBlockDecryptingKey::cbc_pkcs7)
        .and_then(|key| {
            let context = DecryptionContext::Iv128(FixedLength::from(iv));
            let plaintext = key.decrypt(buffer.bytes_mut(), context)?;
            Ok(SecretBytes::from(&*plaintext))
        })
        .map_err(|_| ImportError::Password);
    wipe_stack();
    plaintext
}
