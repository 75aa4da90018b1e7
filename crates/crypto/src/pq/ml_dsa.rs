//! ML-DSA (FIPS 204): pure, and of a digest (HashML-DSA).
//!
//! Both sign a message representative, mu, which [`Representative`] makes from a message in parts.

use zeroize::Zeroizing;

use super::Generated;
use crate::sys::{Key, Shake256, dsa_nid, shake256};
use crate::{Error, Hash, Result, random};

/// Bytes of a seed.
pub const SEED_BYTES: usize = 32;
/// Bytes of a message representative.
pub const MU_BYTES: usize = 64;
/// Bytes of the longest context.
pub const LONGEST_CONTEXT: usize = 255;

/// A parameter set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParameterSet {
    /// ML-DSA-44
    MlDsa44,
    /// ML-DSA-65
    MlDsa65,
    /// ML-DSA-87
    MlDsa87,
}

impl ParameterSet {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::MlDsa44, Self::MlDsa65, Self::MlDsa87];

    /// Bytes of an encoded public key.
    pub const fn public_bytes(self) -> usize {
        match self {
            Self::MlDsa44 => 1312,
            Self::MlDsa65 => 1952,
            Self::MlDsa87 => 2592,
        }
    }

    /// Bytes of an encoded, expanded private key.
    pub const fn private_bytes(self) -> usize {
        match self {
            Self::MlDsa44 => 2560,
            Self::MlDsa65 => 4032,
            Self::MlDsa87 => 4896,
        }
    }

    /// Bytes of a signature.
    pub const fn signature_bytes(self) -> usize {
        match self {
            Self::MlDsa44 => 2420,
            Self::MlDsa65 => 3309,
            Self::MlDsa87 => 4627,
        }
    }
}

/// Whether a signature gets random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hedge {
    /// It does: the normal form.
    Hedged,
    /// It does not: the same message has the same signature.
    Deterministic,
}

/// The message representative mu of a message that comes in parts (FIPS 204, algorithm 7, line 6).
pub struct Representative(Shake256);

impl Representative {
    /// For pure signatures: the parts are those of the message.
    fn pure(tr: &[u8; 64], context: &[u8]) -> Result<Self> {
        Self::start(tr, 0, context)
    }

    fn start(tr: &[u8; 64], domain: u8, context: &[u8]) -> Result<Self> {
        if context.len() > LONGEST_CONTEXT {
            return Err(Error::BadParameter);
        }
        let mut state = Shake256::new()?;
        state.update(tr)?;
        state.update(&[domain, context.len() as u8])?;
        state.update(context)?;
        Ok(Self(state))
    }

    /// Of a digest (HashML-DSA): its object identifier goes before it.
    fn prehashed(tr: &[u8; 64], context: &[u8], hash: Hash, digest: &[u8]) -> Result<[u8; 64]> {
        if digest.len() != hash.bytes() {
            return Err(Error::BadLength);
        }
        let number = hash.nist_number().ok_or(Error::BadParameter)?;
        let mut made = Self::start(tr, 1, context)?;
        made.update(&[6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, number])?;
        made.update(digest)?;
        made.finish()
    }

    /// Takes the next part.
    ///
    /// # Errors
    /// [`Error::Library`]
    pub fn update(&mut self, data: &[u8]) -> Result<()> {
        self.0.update(data)
    }

    /// mu, for `sign_mu` and `verify_mu` of the key it was started with.
    ///
    /// # Errors
    /// [`Error::Library`]
    pub fn finish(self) -> Result<[u8; MU_BYTES]> {
        self.0.finish()
    }
}

/// A private key.
pub struct PrivateKey {
    set: ParameterSet,
    key: Key,
    public: Vec<u8>,
    /// The digest of the public key.
    tr: [u8; 64],
}

impl PrivateKey {
    /// From the encoded, expanded private key.
    ///
    /// # Errors
    /// [`Error::BadKey`], [`Error::Library`]
    pub fn new(set: ParameterSet, private: &[u8]) -> Result<Self> {
        if private.len() != set.private_bytes() {
            return Err(Error::BadKey);
        }
        Self::with(set, private)
    }

    /// From a seed of [`SEED_BYTES`].
    ///
    /// # Errors
    /// [`Error::BadKey`], [`Error::Library`]
    pub fn from_seed(set: ParameterSet, seed: &[u8]) -> Result<Self> {
        if seed.len() != SEED_BYTES {
            return Err(Error::BadKey);
        }
        Self::with(set, seed)
    }

    fn with(set: ParameterSet, bytes: &[u8]) -> Result<Self> {
        let key = Key::dsa_private(dsa_nid(set), bytes)?;
        let public = key.public_bytes()?;
        let tr = shake256(&public)?;
        Ok(Self {
            set,
            key,
            public,
            tr,
        })
    }

    /// The parameter set.
    pub fn set(&self) -> ParameterSet {
        self.set
    }

    /// The encoded public key.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The encoded, expanded private key.
    ///
    /// # Errors
    /// [`Error::Library`]
    pub fn expanded(&self) -> Result<Zeroizing<Vec<u8>>> {
        self.key.private_bytes()
    }

    /// Starts the representative of a message in parts, with a context of at most 255 bytes.
    ///
    /// # Errors
    /// [`Error::BadParameter`], [`Error::Library`]
    pub fn representative(&self, context: &[u8]) -> Result<Representative> {
        Representative::pure(&self.tr, context)
    }

    /// A signature of `message`, with a context of at most 255 bytes.
    ///
    /// # Errors
    /// [`Error::BadParameter`], [`Error::Library`]
    pub fn sign(&self, message: &[u8], context: &[u8], hedge: Hedge) -> Result<Vec<u8>> {
        let mut made = self.representative(context)?;
        made.update(message)?;
        self.sign_mu(&made.finish()?, hedge)
    }

    /// HashML-DSA of `digest`. SHA-1 is refused.
    ///
    /// # Errors
    /// [`Error::BadLength`] of the digest, [`Error::BadParameter`], [`Error::Library`]
    pub fn sign_digest(
        &self,
        hash: Hash,
        digest: &[u8],
        context: &[u8],
        hedge: Hedge,
    ) -> Result<Vec<u8>> {
        let mu = Representative::prehashed(&self.tr, context, hash, digest)?;
        self.sign_mu(&mu, hedge)
    }

    /// A signature of a representative, [`MU_BYTES`], that was made elsewhere.
    ///
    /// # Errors
    /// [`Error::BadLength`], [`Error::Library`]
    pub fn sign_mu(&self, mu: &[u8], hedge: Hedge) -> Result<Vec<u8>> {
        let mu = mu.try_into().map_err(|_| Error::BadLength)?;
        match hedge {
            Hedge::Hedged => self.key.dsa_sign(self.set.signature_bytes(), mu),
            Hedge::Deterministic => self.key.dsa_sign_deterministic(self.set, mu),
        }
    }
}

/// A public key.
pub struct PublicKey {
    set: ParameterSet,
    key: Key,
    tr: [u8; 64],
}

impl PublicKey {
    /// From its encoding.
    ///
    /// # Errors
    /// [`Error::BadKey`], [`Error::Library`]
    pub fn new(set: ParameterSet, public: &[u8]) -> Result<Self> {
        let key = Key::dsa_public(dsa_nid(set), public)?;
        let tr = shake256(public)?;
        Ok(Self { set, key, tr })
    }

    /// The parameter set.
    pub fn set(&self) -> ParameterSet {
        self.set
    }

    /// As [`PrivateKey::representative`].
    ///
    /// # Errors
    /// [`Error::BadParameter`], [`Error::Library`]
    pub fn representative(&self, context: &[u8]) -> Result<Representative> {
        Representative::pure(&self.tr, context)
    }

    /// Whether `signature` is one of `message` with that context.
    pub fn verify(&self, message: &[u8], context: &[u8], signature: &[u8]) -> bool {
        let mu = self.representative(context).and_then(|mut made| {
            made.update(message)?;
            made.finish()
        });
        mu.is_ok_and(|mu| self.verify_mu(&mu, signature))
    }

    /// Whether `signature` is one of `digest` by HashML-DSA.
    pub fn verify_digest(
        &self,
        hash: Hash,
        digest: &[u8],
        context: &[u8],
        signature: &[u8],
    ) -> bool {
        Representative::prehashed(&self.tr, context, hash, digest)
            .is_ok_and(|mu| self.verify_mu(&mu, signature))
    }

    /// Whether `signature` is one of a representative.
    pub fn verify_mu(&self, mu: &[u8], signature: &[u8]) -> bool {
        let Ok(mu) = mu.try_into() else {
            return false;
        };
        self.key.dsa_verify(mu, signature).unwrap_or(false)
    }
}

/// A new pair; a signature with it was verified.
///
/// # Errors
/// [`Error::Library`], [`Error::SelfTest`]
pub fn generate(set: ParameterSet) -> Result<Generated> {
    let seed = random::bytes(SEED_BYTES)?;
    let key = PrivateKey::from_seed(set, &seed)?;
    let signature = key.sign(b"pair", &[], Hedge::Hedged)?;
    if !PublicKey::new(set, &key.public)?.verify(b"pair", &[], &signature) {
        return Err(Error::SelfTest("ML-DSA pair"));
    }
    Ok(Generated {
        private: key.expanded()?,
        public: key.public,
        seed,
    })
}

/// The public key of an encoded, expanded private key.
///
/// # Errors
/// [`Error::BadKey`]
pub fn public_of(set: ParameterSet, private: &[u8]) -> Result<Vec<u8>> {
    Ok(PrivateKey::new(set, private)?.public)
}
