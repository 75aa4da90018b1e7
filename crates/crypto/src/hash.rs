//! Hash functions.

use crate::{Error, Result, sys};

/// A hash function (FIPS 180-4, FIPS 202).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SHA-1
    Sha1,
    /// SHA-224
    Sha224,
    /// SHA-256
    Sha256,
    /// SHA-384
    Sha384,
    /// SHA-512
    Sha512,
    /// SHA-512/256
    Sha512_256,
    /// SHA3-224
    Sha3_224,
    /// SHA3-256
    Sha3_256,
    /// SHA3-384
    Sha3_384,
    /// SHA3-512
    Sha3_512,
}

impl Hash {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Sha1,
        Self::Sha224,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
        Self::Sha512_256,
        Self::Sha3_224,
        Self::Sha3_256,
        Self::Sha3_384,
        Self::Sha3_512,
    ];

    /// Bytes of a digest.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha224 | Self::Sha3_224 => 28,
            Self::Sha256 | Self::Sha512_256 | Self::Sha3_256 => 32,
            Self::Sha384 | Self::Sha3_384 => 48,
            Self::Sha512 | Self::Sha3_512 => 64,
        }
    }

    /// Bytes of a block, which is what HMAC pads its key to.
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::Sha1 | Self::Sha224 | Self::Sha256 => 64,
            Self::Sha384 | Self::Sha512 | Self::Sha512_256 => 128,
            Self::Sha3_224 => 144,
            Self::Sha3_256 => 136,
            Self::Sha3_384 => 104,
            Self::Sha3_512 => 72,
        }
    }

    /// The last byte of the object identifier 2.16.840.1.101.3.4.2.x; SHA-1 has another one.
    pub(crate) const fn nist_number(self) -> Option<u8> {
        Some(match self {
            Self::Sha1 => return None,
            Self::Sha256 => 1,
            Self::Sha384 => 2,
            Self::Sha512 => 3,
            Self::Sha224 => 4,
            Self::Sha512_256 => 6,
            Self::Sha3_224 => 7,
            Self::Sha3_256 => 8,
            Self::Sha3_384 => 9,
            Self::Sha3_512 => 10,
        })
    }
}

/// The digest of `data`.
///
/// # Errors
/// [`Error::Library`]
pub fn digest(hash: Hash, data: &[u8]) -> Result<Vec<u8>> {
    let mut hasher = Hasher::new(hash);
    hasher.update(data);
    hasher.finish()
}

/// A digest of data that comes in parts. A failure of the library (no memory) is kept and told by [`Self::finish`].
pub struct Hasher {
    hash: Hash,
    state: Option<sys::Digest>,
}

impl Hasher {
    /// Starts a digest.
    pub fn new(hash: Hash) -> Self {
        let state = sys::Digest::new(hash).ok();
        Self { hash, state }
    }

    /// The hash function.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Takes the next part.
    pub fn update(&mut self, data: &[u8]) {
        if let Some(state) = &mut self.state
            && state.update(data).is_err()
        {
            self.state = None;
        }
    }

    /// The digest of all parts.
    ///
    /// # Errors
    /// [`Error::Library`]
    pub fn finish(self) -> Result<Vec<u8>> {
        self.state.ok_or(Error::Library)?.finish()
    }
}

impl Clone for Hasher {
    fn clone(&self) -> Self {
        let state = self.state.as_ref().and_then(|it| it.copy().ok());
        Self {
            hash: self.hash,
            state,
        }
    }
}
