//! PKCS#8 private keys: which algorithm's key is inside.

use pkcs8::PrivateKeyInfoRef;
use x509_cert::der::Decode;

use super::error::ImportError;
use super::{curve25519, ec, rsa};
use slotfs_object::Object;
use slotfs_object::new::Naming;

/// A private key of `OneAsymmetricKey` DER (RFC 5958).
pub(super) fn private(der: &[u8], naming: &Naming) -> Result<Object, ImportError> {
    let info = PrivateKeyInfoRef::from_der(der).map_err(ImportError::der("PKCS#8 private key"))?;
    let key = info.private_key.as_bytes();
    let public = match info.public_key {
        Some(bits) => Some(bits.as_bytes().ok_or(ImportError::PublicKeyForm)?),
        None => None,
    };
    match info.algorithm.oid {
        rsa::OID => {
            rsa::check_parameters(info.algorithm.parameters)?;
            rsa::private(key, public, naming)
        }
        ec::OID => {
            let curve = ec::curve_of(info.algorithm.parameters)?;
            ec::private(key, Some(curve), public, naming)
        }
        other => match curve25519::of_algorithm(other) {
            Some(curve) => {
                curve25519::check_parameters(info.algorithm.parameters)?;
                curve25519::private(key, curve, public, naming)
            }
            None => Err(ImportError::Algorithm(other)),
        },
    }
}
