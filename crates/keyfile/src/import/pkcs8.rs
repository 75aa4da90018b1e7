//! PKCS#8 private keys.

use pkcs8::PrivateKeyInfoRef;
use x509_cert::der::Decode;

use super::algorithm::Algorithm;
use super::error::ImportError;
use super::{curve25519, ec, rsa};
use slotfs_object::Object;
use slotfs_object::new::Naming;

/// A private key of `OneAsymmetricKey` DER (RFC 5958).
pub(super) fn private(der: &[u8], naming: &Naming) -> Result<Object, ImportError> {
    let info = PrivateKeyInfoRef::from_der(der).map_err(ImportError::der("PKCS#8 private key"))?;
    let key = info.private_key.as_bytes();
    let public = match info.public_key {
        Some(bits) => Some(bits.as_bytes().ok_or(ImportError::PUBLIC_KEY_FORM)?),
        None => None,
    };
    match Algorithm::of(&info.algorithm)? {
        Algorithm::Rsa => rsa::private(key, public, naming),
        Algorithm::Ec(curve) => ec::private(key, Some(curve), public, naming),
        Algorithm::Curve25519(curve) => curve25519::private(key, curve, public, naming),
    }
}
