//! X25519 (RFC 7748).

use zeroize::Zeroizing;

use crate::{Error, Result, random, sys};

/// A private key with its public one.
pub struct PrivateKey {
    private: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

impl PrivateKey {
    /// From 32 bytes.
    ///
    /// # Errors
    /// [`Error::BadKey`] for other lengths
    pub fn new(private: &[u8]) -> Result<Self> {
        let private = Zeroizing::new(private.try_into().map_err(|_| Error::BadKey)?);
        let public = sys::x25519_public(&private);
        Ok(Self { private, public })
    }

    /// The public key.
    pub fn public(&self) -> [u8; 32] {
        self.public
    }

    /// The value shared with `peer`, 32 bytes. The all-zero value of a peer of small order is an error.
    ///
    /// # Errors
    /// [`Error::BadKey`]
    pub fn agree(&self, peer: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let peer = peer.try_into().map_err(|_| Error::BadKey)?;
        let shared = sys::x25519(&self.private, peer)?;
        Ok(Zeroizing::new(shared.to_vec()))
    }
}

/// A new private key and its public one, which agree with another pair.
///
/// # Errors
/// [`Error::Library`], [`Error::SelfTest`]
pub fn generate() -> Result<(Zeroizing<Vec<u8>>, Vec<u8>)> {
    let private = random::bytes(32)?;
    let key = PrivateKey::new(&private)?;
    let other = PrivateKey::new(&random::bytes(32)?)?;
    let (here, there) = (key.agree(&other.public())?, other.agree(&key.public())?);
    if here != there {
        return Err(Error::SelfTest("X25519 pair"));
    }
    Ok((private, key.public().to_vec()))
}

/// The public key of a private one of 32 bytes.
///
/// # Errors
/// [`Error::BadKey`]
pub fn public_of(private: &[u8]) -> Result<Vec<u8>> {
    Ok(PrivateKey::new(private)?.public().to_vec())
}

/// [`PrivateKey::agree`] with a key that is not kept.
///
/// # Errors
/// [`Error::BadKey`]
pub fn agree(private: &[u8], peer: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    PrivateKey::new(private)?.agree(peer)
}
