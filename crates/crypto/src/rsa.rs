//! RSA (RFC 8017): signatures with PKCS#1 v1.5 and PSS, encryption with PKCS#1 v1.5 and OAEP, and the operations
//! without padding.
//!
//! aws-lc blinds each private operation and checks its result with the public exponent before it leaves, against
//! faults. Its blindings are kept with the key behind the key's own lock, so one key serves many threads at once.

mod digest_info;
mod unpad;

use zeroize::Zeroizing;

use crate::mac::equal;
use crate::sys::{self, RsaPadding};
use crate::{Error, Hash, Result};
use digest_info::digest_info;

/// Bits of the shortest modulus.
pub const LEAST_BITS: usize = 1024;
/// Bits of the longest modulus.
pub const MOST_BITS: usize = 8192;

/// The longest public exponent, bytes (FIPS 186-5: below 2^256). A longer one only makes the public operation slow.
const MOST_EXPONENT_BYTES: usize = 32;

/// The numbers of a private key, big-endian; leading zeros do not matter.
///
/// The numbers p, q, dp, dq and qinv may be missing, that is empty. If one is, none of them is used: private operations
/// take about four times as long, and the exponent must have at most 33 bits.
#[derive(Clone, Default)]
pub struct RsaParts {
    /// Modulus.
    pub n: Vec<u8>,
    /// Public exponent.
    pub e: Vec<u8>,
    /// Private exponent.
    pub d: Zeroizing<Vec<u8>>,
    /// First prime.
    pub p: Zeroizing<Vec<u8>>,
    /// Second prime.
    pub q: Zeroizing<Vec<u8>>,
    /// d mod p - 1
    pub dp: Zeroizing<Vec<u8>>,
    /// d mod q - 1
    pub dq: Zeroizing<Vec<u8>>,
    /// The inverse of q mod p.
    pub qinv: Zeroizing<Vec<u8>>,
}

/// `number` without leading zeros.
fn strip(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|&&it| it == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// Refuses moduli and exponents out of range.
fn check_public(n: &[u8], e: &[u8]) -> Result<()> {
    let (n, e) = (strip(n), strip(e));
    let bits = match n.first() {
        Some(first) => n.len() * 8 - first.leading_zeros() as usize,
        None => 0,
    };
    let odd = |it: &[u8]| it.last().is_some_and(|last| last % 2 == 1);
    let sizes = (LEAST_BITS..=MOST_BITS).contains(&bits) && e.len() <= MOST_EXPONENT_BYTES;
    if sizes && odd(n) && odd(e) && e != [1] {
        Ok(())
    } else {
        Err(Error::BadKey)
    }
}

/// A private key.
pub struct PrivateKey {
    key: sys::Rsa,
    bytes: usize,
}

impl PrivateKey {
    /// From its numbers, which must fit together.
    ///
    /// # Errors
    /// [`Error::BadKey`], [`Error::Library`]
    pub fn new(parts: &RsaParts) -> Result<Self> {
        check_public(&parts.n, &parts.e)?;
        if parts.d.len() > 2 * MOST_BITS / 8 {
            return Err(Error::BadKey);
        }
        let RsaParts { n, e, d, .. } = parts;
        let more = [&parts.p, &parts.q, &parts.dp, &parts.dq, &parts.qinv];
        if more.iter().all(|it| !it.is_empty()) {
            let [p, q, dp, dq, qinv] = more.map(|it| it.as_slice());
            return sys::Rsa::private([n, e, d, p, q, dp, dq, qinv]).map(Self::with);
        }
        let made = Self::with(sys::Rsa::private_without_primes(n, e, d)?);
        // Nothing has compared d with e yet; the check of each private operation does.
        made.sign_pkcs1_raw(&[]).map_err(|_| Error::BadKey)?;
        Ok(made)
    }

    fn with(key: sys::Rsa) -> Self {
        let bytes = key.bytes();
        Self { key, bytes }
    }

    /// Bytes of the modulus, of a signature and of a ciphertext.
    pub fn modulus_bytes(&self) -> usize {
        self.bytes
    }

    /// PKCS#1 v1.5 over bytes as they are, at most 11 less than the modulus: the caller made its `DigestInfo`, or there
    /// is none.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::Library`]
    pub fn sign_pkcs1_raw(&self, data: &[u8]) -> Result<Vec<u8>> {
        if data.len() + 11 > self.bytes {
            return Err(Error::TooLong);
        }
        // What was given is in range: a failure is one of the library, or of a key whose numbers do not fit together.
        self.key
            .sign_raw(data, RsaPadding::Pkcs1)
            .map_err(|_| Error::Library)
    }

    /// PKCS#1 v1.5 over the `DigestInfo` of `digest`.
    ///
    /// # Errors
    /// [`Error::BadLength`] of the digest, [`Error::TooLong`] for the modulus, [`Error::Library`]
    pub fn sign_pkcs1_digest(&self, hash: Hash, digest: &[u8]) -> Result<Vec<u8>> {
        self.sign_pkcs1_raw(&digest_info(hash, digest)?)
    }

    /// PSS over `digest`, with a random salt of `salt_bytes`, which may be 0. `mgf` is the hash of the mask.
    ///
    /// # Errors
    /// [`Error::BadLength`] of the digest, [`Error::BadParameter`] if the salt does not fit the modulus,
    /// [`Error::Library`]
    pub fn sign_pss(
        &self,
        hash: Hash,
        mgf: Hash,
        salt_bytes: usize,
        digest: &[u8],
    ) -> Result<Vec<u8>> {
        if digest.len() != hash.bytes() {
            return Err(Error::BadLength);
        }
        self.key.sign_pss(hash, mgf, salt_bytes, digest)
    }

    /// The private operation (X.509): `input` as a number, padded with zeros in front. The numbers 0, 1 and n - 1,
    /// which are their own results, are refused.
    ///
    /// # Errors
    /// [`Error::TooLong`] if it is longer than the modulus, [`Error::BadParameter`] if it is not below it
    pub fn raw_private(&self, input: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let block = left_pad(input, self.bytes)?;
        self.key
            .decrypt_raw(&block)
            .map_err(|_| Error::BadParameter)
    }

    /// PKCS#1 v1.5 decryption. The padding is judged in constant time and there is one error; but that there is one is
    /// an oracle (Bleichenbacher 1998), so a protocol on top should not tell it.
    ///
    /// # Errors
    /// [`Error::BadLength`] of the ciphertext, [`Error::DecryptFailed`]
    pub fn decrypt_pkcs1(&self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        if ciphertext.len() != self.bytes {
            return Err(Error::BadLength);
        }
        let mut block = self.key.decrypt_raw(ciphertext)?;
        let kept = unpad::pkcs1_type_2(&block).ok_or(Error::DecryptFailed)?;
        // In place: no second copy of the message to wipe.
        block.drain(..kept);
        Ok(block)
    }

    /// OAEP decryption.
    ///
    /// # Errors
    /// [`Error::BadLength`] of the ciphertext, [`Error::DecryptFailed`]
    pub fn decrypt_oaep(
        &self,
        hash: Hash,
        mgf: Hash,
        label: &[u8],
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>> {
        if ciphertext.len() != self.bytes {
            return Err(Error::BadLength);
        }
        self.key.decrypt_oaep(hash, mgf, label, ciphertext)
    }
}

/// A public key.
pub struct PublicKey {
    key: sys::Rsa,
    bytes: usize,
}

impl PublicKey {
    /// From modulus and exponent: 1024 to 8192 bits, an odd exponent from 3 to 2^256.
    ///
    /// # Errors
    /// [`Error::BadKey`], [`Error::Library`]
    pub fn new(n: &[u8], e: &[u8]) -> Result<Self> {
        check_public(n, e)?;
        let key = sys::Rsa::public(n, e)?;
        let bytes = key.bytes();
        Ok(Self { key, bytes })
    }

    /// Bytes of the modulus, of a signature and of a ciphertext.
    pub fn modulus_bytes(&self) -> usize {
        self.bytes
    }

    /// Whether `signature` is one by [`PrivateKey::sign_pkcs1_raw`] of `data`.
    pub fn verify_pkcs1_raw(&self, data: &[u8], signature: &[u8]) -> bool {
        self.verify_recover(signature)
            .is_ok_and(|signed| equal(&signed, data))
    }

    /// Whether `signature` is one by [`PrivateKey::sign_pkcs1_digest`] of `digest`. The `DigestInfo` is compared byte
    /// for byte; other encodings of it are refused.
    pub fn verify_pkcs1_digest(&self, hash: Hash, digest: &[u8], signature: &[u8]) -> bool {
        digest_info(hash, digest).is_ok_and(|info| self.verify_pkcs1_raw(&info, signature))
    }

    /// Whether `signature` is one by [`PrivateKey::sign_pss`] with the same parameters; the salt's length must be the
    /// one given.
    pub fn verify_pss(
        &self,
        hash: Hash,
        mgf: Hash,
        salt_bytes: usize,
        digest: &[u8],
        signature: &[u8],
    ) -> bool {
        digest.len() == hash.bytes()
            && self
                .key
                .verify_pss(hash, mgf, salt_bytes, digest, signature)
    }

    /// The public operation (X.509): `input` as a number, padded with zeros in front; the result is as long as the
    /// modulus.
    ///
    /// # Errors
    /// [`Error::TooLong`] if it is longer than the modulus, [`Error::BadParameter`] if it is not below it
    pub fn raw_public(&self, input: &[u8]) -> Result<Vec<u8>> {
        let block = left_pad(input, self.bytes)?;
        self.key.encrypt(&block, RsaPadding::None)
    }

    /// What was signed by [`PrivateKey::sign_pkcs1_raw`].
    ///
    /// # Errors
    /// [`Error::BadSignature`]
    pub fn verify_recover(&self, signature: &[u8]) -> Result<Vec<u8>> {
        self.key.verify_raw(signature, RsaPadding::Pkcs1)
    }

    /// PKCS#1 v1.5 encryption of at most 11 bytes less than the modulus.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::Library`]
    pub fn encrypt_pkcs1(&self, message: &[u8]) -> Result<Vec<u8>> {
        if message.len() + 11 > self.bytes {
            return Err(Error::TooLong);
        }
        self.key.encrypt(message, RsaPadding::Pkcs1)
    }

    /// OAEP encryption of at most as many bytes as the modulus has, less two digests and 2.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::Library`]
    pub fn encrypt_oaep(
        &self,
        hash: Hash,
        mgf: Hash,
        label: &[u8],
        message: &[u8],
    ) -> Result<Vec<u8>> {
        self.key.encrypt_oaep(hash, mgf, label, message)
    }
}

/// A new key of 1024 to 4096 bits, a multiple of 128, with an odd exponent of 3 or more and at most 33 bits; a
/// signature with it was verified. Below 2048 bits it resists no attacker with means (SP 800-131A revision 2 section 3):
/// the caller decides where such a key may be.
///
/// # Errors
/// [`Error::BadParameter`], [`Error::Library`], [`Error::SelfTest`]
pub fn generate(bits: u32, exponent: &[u8]) -> Result<RsaParts> {
    // aws-lc would round other lengths down.
    if !(1024..=4096).contains(&bits) || !bits.is_multiple_of(128) {
        return Err(Error::BadParameter);
    }
    let exponent = strip(exponent);
    let odd = exponent.last().is_some_and(|last| last % 2 == 1);
    if !odd || exponent == [1] || exponent.len() > 5 {
        return Err(Error::BadParameter);
    }
    let key = PrivateKey::with(sys::Rsa::generate(bits, exponent)?);
    let [n, e, d, p, q, dp, dq, qinv] = key.key.numbers()?;
    let digest = [0x5a; 32];
    let signature = key.sign_pkcs1_digest(Hash::Sha256, &digest)?;
    if !PublicKey::new(&n, &e)?.verify_pkcs1_digest(Hash::Sha256, &digest, &signature) {
        return Err(Error::SelfTest("RSA pair"));
    }
    Ok(RsaParts {
        n: n.to_vec(),
        e: e.to_vec(),
        d,
        p,
        q,
        dp,
        dq,
        qinv,
    })
}

/// `input` with zeros in front, `bytes` long.
fn left_pad(input: &[u8], bytes: usize) -> Result<Zeroizing<Vec<u8>>> {
    let zeros = bytes.checked_sub(input.len()).ok_or(Error::TooLong)?;
    let mut block = Zeroizing::new(Vec::with_capacity(bytes));
    block.resize(zeros, 0);
    block.extend_from_slice(input);
    Ok(block)
}
