//! SubjectPublicKeyInfo: public keys as files, and as `CKA_PUBLIC_KEY_INFO`.

use aws_lc_rs::digest;
use pkcs8::ObjectIdentifier;
use x509_cert::der::asn1::{AnyRef, BitStringRef};
use x509_cert::der::{Decode, Encode};
use x509_cert::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use super::algorithm::Algorithm;
use super::error::ImportError;
use super::{curve25519, ec, rsa};
use slotfs_object::Object;
use slotfs_object::new::Naming;

const WHAT: &str = "public key (SPKI)";

/// A public key of `SubjectPublicKeyInfo` DER (RFC 5280 section 4.1.2.7).
pub(super) fn public(der: &[u8], naming: &Naming) -> Result<Object, ImportError> {
    let info = SubjectPublicKeyInfoRef::from_der(der).map_err(ImportError::der(WHAT))?;
    let key = info.subject_public_key.as_bytes();
    let key = key.ok_or(ImportError::PUBLIC_KEY_FORM)?;
    match Algorithm::of(&info.algorithm)? {
        Algorithm::Rsa => rsa::public(key, naming),
        Algorithm::Ec(curve) => ec::public(key, curve, naming),
        Algorithm::Curve25519(curve) => curve25519::public(key, curve, naming),
    }
}

/// The key identifier of RFC 5280 section 4.2.1.2, method 1: SHA-1 of the public key's bits inside
/// `SubjectPublicKeyInfo` DER. It is only a name, so that the weakness of SHA-1 does not matter.
pub(super) fn key_identifier(der: &[u8]) -> Result<Vec<u8>, ImportError> {
    let info = SubjectPublicKeyInfoRef::from_der(der).map_err(ImportError::der(WHAT))?;
    let digest = digest::digest(
        &digest::SHA1_FOR_LEGACY_USE_ONLY,
        info.subject_public_key.raw_bytes(),
    );
    Ok(digest.as_ref().to_vec())
}

/// `SubjectPublicKeyInfo` DER; `key` is the content of the BIT STRING.
pub(super) fn encode(
    oid: ObjectIdentifier,
    parameters: Option<AnyRef<'_>>,
    key: &[u8],
) -> Result<Vec<u8>, ImportError> {
    let error = ImportError::der(WHAT);
    SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef { oid, parameters },
        subject_public_key: BitStringRef::from_bytes(key).map_err(&error)?,
    }
    .to_der()
    .map_err(&error)
}
