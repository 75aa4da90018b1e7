//! Ed25519 and X25519 keys: RFC 8410 to PKCS#11 3.1 section 6.3.
//!
//! `CKA_EC_PARAMS` is the DER of RFC 8410's object identifier. `CKA_EC_POINT` and `CKA_VALUE` are the
//! key's 32 bytes themselves, as 3.1 has it (3.0 wrapped the point in a BIT STRING, SoftHSM wraps it in an
//! OCTET STRING).

use aws_lc_rs::agreement::{self, X25519};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use pkcs8::ObjectIdentifier;
use x509_cert::der::Decode;
use x509_cert::der::asn1::{AnyRef, OctetStringRef};

use super::error::ImportError;
use super::{ec, spki};
use slotfs_object::new::Naming;
use slotfs_object::pkcs11::{
    CKA_DERIVE, CKA_EC_POINT, CKA_PUBLIC_KEY_INFO, CKA_SIGN, CKA_VALUE, CKA_VERIFY, CKK_EC_EDWARDS,
    CKK_EC_MONTGOMERY,
};
use slotfs_object::secret::SecretBytes;
use slotfs_object::template;
use slotfs_object::{Attribute, Object};

/// One of the two.
pub(super) struct Curve {
    name: &'static str,
    oid: ObjectIdentifier,
    key_type: u32,
    private_usage: u32,
    public_usage: Option<u32>,
    /// The public key of a private one of [`KEY_BYTES`].
    public_of: fn(&[u8]) -> Option<Vec<u8>>,
}

/// Of a private and of a public key alike.
const KEY_BYTES: usize = 32;

pub(super) static ED25519: Curve = Curve {
    name: "Ed25519",
    oid: ObjectIdentifier::new_unwrap("1.3.101.112"),
    key_type: CKK_EC_EDWARDS,
    private_usage: CKA_SIGN,
    public_usage: Some(CKA_VERIFY),
    public_of: |seed| {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        Some(pair.public_key().as_ref().to_vec())
    },
};

static X25519_CURVE: Curve = Curve {
    name: "X25519",
    oid: ObjectIdentifier::new_unwrap("1.3.101.110"),
    key_type: CKK_EC_MONTGOMERY,
    private_usage: CKA_DERIVE,
    public_usage: None,
    public_of: |value| {
        let key = agreement::PrivateKey::from_private_key(&X25519, value).ok()?;
        Some(key.compute_public_key().ok()?.as_ref().to_vec())
    },
};

static CURVES: [&Curve; 2] = [&ED25519, &X25519_CURVE];

/// The curve of an algorithm, if it is one of RFC 8410's that slotfs knows.
pub(super) fn of_algorithm(algorithm: ObjectIdentifier) -> Option<&'static Curve> {
    CURVES.iter().copied().find(|curve| curve.oid == algorithm)
}

/// RFC 8410 section 3: the parameters are absent.
pub(super) fn check_parameters(parameters: Option<AnyRef<'_>>) -> Result<(), ImportError> {
    match parameters {
        None => Ok(()),
        Some(_) => Err(ImportError::Parameters),
    }
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
    of_value(value.as_bytes(), curve, public, naming)
}

/// A private key of its value, and of its public key where that is known.
pub(super) fn of_value(
    value: &[u8],
    curve: &'static Curve,
    public: Option<&[u8]>,
    naming: &Naming,
) -> Result<Object, ImportError> {
    if value.len() != KEY_BYTES {
        return Err(ImportError::PrivateValue(curve.name));
    }
    let computed = (curve.public_of)(value).ok_or(ImportError::PrivateValue(curve.name))?;
    match public {
        Some(public) if public.len() != KEY_BYTES => return Err(ImportError::PublicKeyForm),
        Some(public) if public != computed => return Err(ImportError::Inconsistent),
        _ => {}
    }
    let usage = &[curve.private_usage];
    let mut object = template::private_key(curve.key_type, usage, naming)?;
    ec::put_curve(&mut object, &curve.oid)?;
    let value = Attribute::Secret(SecretBytes::from(value));
    object.attributes.insert(CKA_VALUE, value);
    template::put_bytes(&mut object, CKA_PUBLIC_KEY_INFO, &info(&computed, curve)?);
    Ok(object)
}

/// The SPKI of a private key object's public half, computed from its value.
pub(super) fn info_of_private(object: &Object) -> Option<Vec<u8>> {
    let curve = CURVES
        .iter()
        .copied()
        .find(|curve| Some(curve.key_type) == object.key_type)?;
    match object.attributes.get(&CKA_VALUE) {
        Some(Attribute::Secret(value)) if value.bytes().len() == KEY_BYTES => {
            info(&(curve.public_of)(value.bytes())?, curve).ok()
        }
        _ => None,
    }
}

/// A public key of its 32 bytes.
pub(super) fn public(
    key: &[u8],
    curve: &'static Curve,
    naming: &Naming,
) -> Result<Object, ImportError> {
    let info = info(key, curve)?;
    let usage = curve.public_usage.as_slice();
    let mut object = template::public_key(curve.key_type, usage, naming)?;
    ec::put_curve(&mut object, &curve.oid)?;
    template::put_bytes(&mut object, CKA_EC_POINT, key);
    template::put_bytes(&mut object, CKA_PUBLIC_KEY_INFO, &info);
    Ok(object)
}

fn info(key: &[u8], curve: &Curve) -> Result<Vec<u8>, ImportError> {
    if key.len() != KEY_BYTES {
        return Err(ImportError::PublicKeyForm);
    }
    spki::encode(curve.oid, None, key)
}
