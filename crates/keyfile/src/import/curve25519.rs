//! Ed25519 and X25519 keys: RFC 8410 to PKCS#11 3.1 section 6.3.
//!
//! `CKA_EC_PARAMS` is the DER of RFC 8410's object identifier. `CKA_EC_POINT` and `CKA_VALUE` are the 32 bytes of the
//! key, as PKCS#11 3.1 requires (3.0 wraps the point in a BIT STRING, SoftHSM in an OCTET STRING).

use aws_lc_rs::agreement;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use pkcs8::ObjectIdentifier;
use x509_cert::der::Decode;
use x509_cert::der::asn1::OctetStringRef;

use super::elements::oid;
use super::error::ImportError;
use super::{ec, spki};
use slotfs_object::new::Naming;
use slotfs_object::pkcs11::{
    CKA_DERIVE, CKA_EC_PARAMS, CKA_EC_POINT, CKA_PUBLIC_KEY_INFO, CKA_SIGN, CKA_VALUE, CKA_VERIFY,
    CKK_EC_EDWARDS, CKK_EC_MONTGOMERY, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY,
};
use slotfs_object::secret::SecretBytes;
use slotfs_object::template;
use slotfs_object::{Attribute, Object};

/// One of the two curves.
pub(super) struct Curve {
    name: &'static str,
    oid: ObjectIdentifier,
    pub(super) key_type: u32,
    private_usage: &'static [u32],
    public_usage: &'static [u32],
    /// The public key of a private key of [`KEY_BYTES`].
    public_of: fn(&[u8]) -> Option<Vec<u8>>,
}

/// Length of private and of public keys.
pub(super) const KEY_BYTES: usize = 32;

pub(super) static ED25519: Curve = Curve {
    name: "Ed25519",
    oid: oid("1.3.101.112"),
    key_type: CKK_EC_EDWARDS,
    private_usage: &[CKA_SIGN],
    public_usage: &[CKA_VERIFY],
    public_of: |seed| {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        Some(pair.public_key().as_ref().to_vec())
    },
};

pub(super) static X25519: Curve = Curve {
    name: "X25519",
    oid: oid("1.3.101.110"),
    key_type: CKK_EC_MONTGOMERY,
    private_usage: &[CKA_DERIVE],
    public_usage: &[],
    public_of: |value| {
        let key = agreement::PrivateKey::from_private_key(&agreement::X25519, value).ok()?;
        Some(key.compute_public_key().ok()?.as_ref().to_vec())
    },
};

static CURVES: [&Curve; 2] = [&ED25519, &X25519];

/// The curve of an algorithm of RFC 8410, if slotfs supports it.
pub(super) fn of_algorithm(algorithm: ObjectIdentifier) -> Option<&'static Curve> {
    CURVES.into_iter().find(|curve| curve.oid == algorithm)
}

/// A private key of `CurvePrivateKey` DER (RFC 8410 section 7).
pub(super) fn private(
    der: &[u8],
    curve: &'static Curve,
    public: Option<&[u8]>,
    naming: &Naming,
) -> Result<Object, ImportError> {
    let value = <&OctetStringRef>::from_der(der)
        .map_err(ImportError::der("Ed25519 or X25519 private key"))?;
    private_of_value(value.as_bytes(), curve, public, naming)
}

/// A private key of its value, and of its public key if that is known.
pub(super) fn private_of_value(
    value: &[u8],
    curve: &'static Curve,
    public: Option<&[u8]>,
    naming: &Naming,
) -> Result<Object, ImportError> {
    let computed = curve.public_key(value);
    let computed = computed.ok_or(ImportError::PrivateValue(curve.name))?;
    match public {
        Some(public) if public.len() != KEY_BYTES => return Err(ImportError::PUBLIC_KEY_FORM),
        Some(public) if public != computed => return Err(ImportError::INCONSISTENT),
        _ => {}
    }
    let usage = curve.private_usage;
    let mut object = template::key(CKO_PRIVATE_KEY, curve.key_type, usage, naming)?;
    object.set(CKA_EC_PARAMS, ec::parameters(&curve.oid)?);
    object.set(CKA_VALUE, Attribute::Secret(SecretBytes::from(value)));
    let info = Attribute::Bytes(info(&computed, curve)?);
    object.set(CKA_PUBLIC_KEY_INFO, info);
    Ok(object)
}

/// The SPKI of a private key object's public half, computed from its value.
pub(super) fn info_of_private(object: &Object) -> Option<Vec<u8>> {
    let key_type = object.key_type?;
    let mut curves = CURVES.into_iter();
    let curve = curves.find(|curve| curve.key_type == key_type)?;
    let public = curve.public_key(object.secret(CKA_VALUE)?.bytes())?;
    info(&public, curve).ok()
}

/// A public key of its 32 bytes.
pub(super) fn public(
    key: &[u8],
    curve: &'static Curve,
    naming: &Naming,
) -> Result<Object, ImportError> {
    let info = info(key, curve)?;
    let usage = curve.public_usage;
    let mut object = template::key(CKO_PUBLIC_KEY, curve.key_type, usage, naming)?;
    object.set(CKA_EC_PARAMS, ec::parameters(&curve.oid)?);
    object.set(CKA_EC_POINT, Attribute::Bytes(key.to_vec()));
    object.set(CKA_PUBLIC_KEY_INFO, Attribute::Bytes(info));
    Ok(object)
}

impl Curve {
    fn public_key(&self, private: &[u8]) -> Option<Vec<u8>> {
        (private.len() == KEY_BYTES).then(|| (self.public_of)(private))?
    }
}

fn info(key: &[u8], curve: &Curve) -> Result<Vec<u8>, ImportError> {
    if key.len() != KEY_BYTES {
        return Err(ImportError::PUBLIC_KEY_FORM);
    }
    spki::encode(curve.oid, None, key)
}
