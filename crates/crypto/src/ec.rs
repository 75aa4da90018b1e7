//! ECDSA and ECDH on curves over prime fields (FIPS 186-5, SP 800-56A, SEC 2).

use zeroize::Zeroizing;

use crate::{Error, Result, sys};

/// A curve; its cofactor is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Curve {
    /// NIST P-256
    P256,
    /// NIST P-384
    P384,
    /// NIST P-521
    P521,
    /// secp256k1
    Secp256k1,
}

impl Curve {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::P256, Self::P384, Self::P521, Self::Secp256k1];

    /// Bytes of a scalar, and of a coordinate, which have the same length here.
    pub const fn bytes(self) -> usize {
        match self {
            Self::P256 | Self::Secp256k1 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// Whether `point` has the form of one of SEC 1's encodings, without infinity and the hybrid ones.
    fn is_encoding(self, point: &[u8]) -> bool {
        match point.first() {
            Some(4) => point.len() == 1 + 2 * self.bytes(),
            Some(2 | 3) => point.len() == 1 + self.bytes(),
            _ => false,
        }
    }
}

/// A private key, with its public point.
pub struct PrivateKey {
    curve: Curve,
    key: sys::EcKey,
    point: Vec<u8>,
}

impl PrivateKey {
    /// From the scalar, big-endian, 1 to the order less 1; leading zeros do not matter.
    ///
    /// # Errors
    /// [`Error::BadKey`], [`Error::Library`]
    pub fn new(curve: Curve, scalar: &[u8]) -> Result<Self> {
        if scalar.len() > 2 * curve.bytes() {
            return Err(Error::BadKey);
        }
        Self::with(curve, sys::EcKey::private(curve, scalar)?)
    }

    fn with(curve: Curve, key: sys::EcKey) -> Result<Self> {
        let point = key.point(curve)?;
        Ok(Self { curve, key, point })
    }

    /// The curve.
    pub fn curve(&self) -> Curve {
        self.curve
    }

    /// The public point, uncompressed: 4, x, y.
    pub fn public_point(&self) -> &[u8] {
        &self.point
    }

    /// A signature of `digest`, of any length; ECDSA uses as many of its leading bits as the order has. r, then s, each
    /// of [`Curve::bytes`].
    ///
    /// # Errors
    /// [`Error::Library`]
    pub fn sign(&self, digest: &[u8]) -> Result<Vec<u8>> {
        self.key.sign(self.curve, digest)
    }

    /// The x coordinate of the point shared with `peer`, whose point is uncompressed or compressed.
    ///
    /// # Errors
    /// [`Error::BadKey`] if `peer` is not a point of the curve
    pub fn ecdh(&self, peer: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        if !self.curve.is_encoding(peer) {
            return Err(Error::BadKey);
        }
        self.key.agree(self.curve, peer)
    }
}

/// A public key.
pub struct PublicKey {
    curve: Curve,
    key: sys::EcKey,
}

impl PublicKey {
    /// From a point of the curve, uncompressed or compressed.
    ///
    /// # Errors
    /// [`Error::BadKey`], [`Error::Library`]
    pub fn new(curve: Curve, point: &[u8]) -> Result<Self> {
        if !curve.is_encoding(point) {
            return Err(Error::BadKey);
        }
        let key = sys::EcKey::public(curve, point)?;
        Ok(Self { curve, key })
    }

    /// The curve.
    pub fn curve(&self) -> Curve {
        self.curve
    }

    /// The point, uncompressed: 4, x, y.
    ///
    /// # Errors
    /// [`Error::Library`]
    pub fn point(&self) -> Result<Vec<u8>> {
        self.key.point(self.curve)
    }

    /// Whether `signature`, r and s of [`Curve::bytes`] each, is one of `digest`.
    pub fn verify(&self, digest: &[u8], signature: &[u8]) -> bool {
        let bytes = self.curve.bytes();
        match signature.split_at_checked(bytes) {
            Some((r, s)) if s.len() == bytes => self.key.verify(digest, r, s).unwrap_or(false),
            _ => false,
        }
    }
}

/// A new scalar of [`Curve::bytes`] and its public point, uncompressed; a signature with them was verified.
///
/// # Errors
/// [`Error::Library`], [`Error::SelfTest`]
pub fn generate(curve: Curve) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>)> {
    let key = sys::EcKey::generate(curve)?;
    let scalar = key.scalar(curve)?;
    let key = PrivateKey::with(curve, key)?;
    let digest = [0x5a; 32];
    let signature = key.sign(&digest)?;
    if !PublicKey::new(curve, &key.point)?.verify(&digest, &signature) {
        return Err(Error::SelfTest("ECDSA pair"));
    }
    Ok((scalar, key.point))
}
