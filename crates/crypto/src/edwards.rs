//! Ed25519 (RFC 8032).

use zeroize::Zeroizing;

use crate::{Error, Hash, Result, digest, random, sys};

/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// How a message is signed. A context has at most 255 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant<'a> {
    /// Ed25519
    Pure,
    /// Ed25519ctx, with its context, which must not be empty: aws-lc follows RFC 8032's advice.
    Context(&'a [u8]),
    /// Ed25519ph, with its context, which may be empty.
    Prehash(&'a [u8]),
}

impl<'a> Variant<'a> {
    fn context(self) -> &'a [u8] {
        match self {
            Self::Pure => &[],
            Self::Context(context) | Self::Prehash(context) => context,
        }
    }

    /// Calls `then` with what aws-lc takes of the message.
    fn with<T>(
        self,
        message: &[u8],
        then: impl FnOnce(&[u8], sys::Ed25519<'a>) -> Result<T>,
    ) -> Result<T> {
        if self.context().len() > 255 {
            return Err(Error::BadParameter);
        }
        match self {
            Self::Pure => then(message, sys::Ed25519::Pure),
            Self::Context(context) => then(message, sys::Ed25519::Context(context)),
            Self::Prehash(context) => {
                let digest = digest(Hash::Sha512, message)?;
                then(&digest, sys::Ed25519::Digest(context))
            }
        }
    }
}

/// A private key with its public one.
pub struct PrivateKey {
    expanded: Zeroizing<[u8; 64]>,
    public: [u8; 32],
}

impl PrivateKey {
    /// From the seed, 32 bytes.
    ///
    /// # Errors
    /// [`Error::BadKey`] for other lengths
    pub fn new(seed: &[u8]) -> Result<Self> {
        let seed = seed.try_into().map_err(|_| Error::BadKey)?;
        let (public, expanded) = sys::ed25519_expand(seed);
        Ok(Self { expanded, public })
    }

    /// The public key's encoding.
    pub fn public(&self) -> [u8; 32] {
        self.public
    }

    /// A signature of `message`.
    ///
    /// # Errors
    /// [`Error::BadParameter`] for a context that is too long, [`Error::Library`]
    pub fn sign(&self, message: &[u8], variant: Variant<'_>) -> Result<Vec<u8>> {
        variant.with(message, |message, how| {
            Ok(sys::ed25519_sign(&self.expanded, message, how)?.to_vec())
        })
    }

    /// As [`Self::sign`] with [`Variant::Prehash`], from the SHA-512 digest of the message.
    ///
    /// # Errors
    /// [`Error::BadLength`] of the digest, [`Error::BadParameter`] for a context that is too long
    pub fn sign_digest(&self, digest: &[u8], context: &[u8]) -> Result<Vec<u8>> {
        if context.len() > 255 {
            return Err(Error::BadParameter);
        }
        let how = sys::Ed25519::Digest(context);
        Ok(sys::ed25519_sign(&self.expanded, digest, how)?.to_vec())
    }
}

/// A public key.
#[derive(Clone, Debug)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// From its encoding, 32 bytes. That it is a point is seen when a signature is verified.
    ///
    /// # Errors
    /// [`Error::BadKey`] for other lengths
    pub fn new(public: &[u8]) -> Result<Self> {
        Ok(Self(public.try_into().map_err(|_| Error::BadKey)?))
    }

    /// Whether `signature` is one of `message`.
    pub fn verify(&self, message: &[u8], variant: Variant<'_>, signature: &[u8]) -> bool {
        let Ok(signature) = signature.try_into() else {
            return false;
        };
        variant
            .with(message, |message, how| {
                Ok(sys::ed25519_verify(&self.0, message, how, signature))
            })
            .unwrap_or(false)
    }

    /// As [`Self::verify`] with [`Variant::Prehash`], from the SHA-512 digest of the message.
    pub fn verify_digest(&self, digest: &[u8], context: &[u8], signature: &[u8]) -> bool {
        let Ok(signature) = signature.try_into() else {
            return false;
        };
        let how = sys::Ed25519::Digest(context);
        context.len() <= 255 && sys::ed25519_verify(&self.0, digest, how, signature)
    }
}

/// A new seed and its public key; a signature with them was verified.
///
/// # Errors
/// [`Error::Library`], [`Error::SelfTest`]
pub fn generate() -> Result<(Zeroizing<Vec<u8>>, Vec<u8>)> {
    let seed = random::bytes(32)?;
    let key = PrivateKey::new(&seed)?;
    let signature = key.sign(b"pair", Variant::Pure)?;
    if !PublicKey(key.public()).verify(b"pair", Variant::Pure, &signature) {
        return Err(Error::SelfTest("Ed25519 pair"));
    }
    Ok((seed, key.public().to_vec()))
}
