//! ML-KEM (FIPS 203).

use zeroize::Zeroizing;

use super::Generated;
use crate::mac::equal;
use crate::sys::{Key, kem_nid};
use crate::{Error, Result, random};

/// Bytes of a shared secret.
pub const SECRET_BYTES: usize = 32;
/// Bytes of a seed: d, then z.
pub const SEED_BYTES: usize = 64;

/// A parameter set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParameterSet {
    /// ML-KEM-512
    MlKem512,
    /// ML-KEM-768
    MlKem768,
    /// ML-KEM-1024
    MlKem1024,
}

impl ParameterSet {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::MlKem512, Self::MlKem768, Self::MlKem1024];

    /// The last byte of the object identifier 2.16.840.1.101.3.4.4.x.
    const fn number(self) -> u8 {
        match self {
            Self::MlKem512 => 1,
            Self::MlKem768 => 2,
            Self::MlKem1024 => 3,
        }
    }

    /// Bytes of each vector's encoding, 384 for each polynomial.
    const fn vector_bytes(self) -> usize {
        match self {
            Self::MlKem512 => 2 * 384,
            Self::MlKem768 => 3 * 384,
            Self::MlKem1024 => 4 * 384,
        }
    }

    /// Bytes of an encoded public key.
    pub const fn public_bytes(self) -> usize {
        self.vector_bytes() + 32
    }

    /// Bytes of an encoded, expanded private key.
    pub const fn private_bytes(self) -> usize {
        2 * self.vector_bytes() + 96
    }

    /// Bytes of a ciphertext.
    pub const fn ciphertext_bytes(self) -> usize {
        match self {
            Self::MlKem512 => 768,
            Self::MlKem768 => 1088,
            Self::MlKem1024 => 1568,
        }
    }
}

/// A private key.
pub struct PrivateKey {
    set: ParameterSet,
    key: Key,
}

impl PrivateKey {
    /// From the encoded, expanded private key, which holds the public one; it is checked as FIPS 203, 7.3, says.
    ///
    /// # Errors
    /// [`Error::BadKey`], [`Error::Library`]
    pub fn new(set: ParameterSet, private: &[u8]) -> Result<Self> {
        let start = set.vector_bytes();
        let public = private.get(start..start + set.public_bytes());
        let key = Key::kem_pair(kem_nid(set), public.ok_or(Error::BadKey)?, private)?;
        Ok(Self { set, key })
    }

    /// From a seed of [`SEED_BYTES`].
    ///
    /// # Errors
    /// [`Error::BadKey`], [`Error::Library`]
    pub fn from_seed(set: ParameterSet, seed: &[u8]) -> Result<Self> {
        if seed.len() != SEED_BYTES {
            return Err(Error::BadKey);
        }
        // aws-lc takes a seed in PKCS#8 alone (RFC 9935): version, algorithm, [0] seed.
        let mut der = Zeroizing::new(Vec::with_capacity(86));
        der.extend([0x30, 84, 0x02, 1, 0, 0x30, 11, 0x06, 9]);
        der.extend([0x60, 0x86, 0x48, 1, 0x65, 3, 4, 4, set.number()]);
        der.extend([0x04, 66, 0x80, 64]);
        der.extend(seed);
        let key = Key::from_pkcs8(&der)?;
        Ok(Self { set, key })
    }

    /// The parameter set.
    pub fn set(&self) -> ParameterSet {
        self.set
    }

    /// The encoded public key.
    ///
    /// # Errors
    /// [`Error::Library`]
    pub fn public(&self) -> Result<Vec<u8>> {
        self.key.public_bytes()
    }

    /// The encoded, expanded private key.
    ///
    /// # Errors
    /// [`Error::Library`]
    pub fn expanded(&self) -> Result<Zeroizing<Vec<u8>>> {
        self.key.private_bytes()
    }

    /// The secret in `ciphertext`. A ciphertext that was not made for this key gives a secret that nobody else has
    /// (implicit rejection).
    ///
    /// # Errors
    /// [`Error::BadLength`]
    pub fn decapsulate(&self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        self.key.decapsulate(ciphertext)
    }
}

/// A public key.
pub struct PublicKey {
    set: ParameterSet,
    key: Key,
}

impl PublicKey {
    /// From its encoding, which is checked as FIPS 203, 7.2, says.
    ///
    /// # Errors
    /// [`Error::BadKey`], [`Error::Library`]
    pub fn new(set: ParameterSet, public: &[u8]) -> Result<Self> {
        let key = Key::kem_public(kem_nid(set), public)?;
        Ok(Self { set, key })
    }

    /// The parameter set.
    pub fn set(&self) -> ParameterSet {
        self.set
    }

    /// A ciphertext and the secret in it, [`SECRET_BYTES`].
    ///
    /// # Errors
    /// [`Error::Library`]
    pub fn encapsulate(&self) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>)> {
        self.key.encapsulate(self.set.ciphertext_bytes())
    }
}

/// A new pair; a secret went through it.
///
/// # Errors
/// [`Error::Library`], [`Error::SelfTest`]
pub fn generate(set: ParameterSet) -> Result<Generated> {
    let seed = random::bytes(SEED_BYTES)?;
    let key = PrivateKey::from_seed(set, &seed)?;
    let (private, public) = (key.expanded()?, key.public()?);
    let (ciphertext, secret) = PublicKey::new(set, &public)?.encapsulate()?;
    if !equal(&key.decapsulate(&ciphertext)?, &secret) {
        return Err(Error::SelfTest("ML-KEM pair"));
    }
    Ok(Generated {
        seed,
        private,
        public,
    })
}

/// The public key of an encoded, expanded private key.
///
/// # Errors
/// [`Error::BadKey`]
pub fn public_of(set: ParameterSet, private: &[u8]) -> Result<Vec<u8>> {
    PrivateKey::new(set, private)?.public()
}
