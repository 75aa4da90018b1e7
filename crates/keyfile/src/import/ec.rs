//! Keys on Weierstrass curves: SEC1 and RFC 5915 to PKCS#11 section 6.3.
//!
//! `CKA_EC_PARAMS` is the DER of the curve's object identifier, `CKA_EC_POINT` the DER OCTET STRING of the uncompressed
//! point, `CKA_VALUE` the private value at the length of the field.

use std::borrow::Cow;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256K1_SHA256_ASN1_SIGNING,
    ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair, UnparsedPublicKey,
};
use pkcs8::ObjectIdentifier;
use sec1::{EcParameters, EcPrivateKey};
use x509_cert::der::asn1::{AnyRef, OctetStringRef};
use x509_cert::der::{Decode, Encode, ErrorKind, Tag, Tagged};

use super::super::generate::EcCurve;
use super::elements::oid;
use super::error::ImportError;
use super::spki;
use slotfs_object::new::Naming;
use slotfs_object::pkcs11::{
    CKA_DERIVE, CKA_EC_PARAMS, CKA_EC_POINT, CKA_PUBLIC_KEY_INFO, CKA_SIGN, CKA_VALUE, CKA_VERIFY,
    CKK_EC, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY,
};
use slotfs_object::secret::SecretBytes;
use slotfs_object::template;
use slotfs_object::{Attribute, Object};

/// `id-ecPublicKey`, RFC 5480.
pub(super) const OID: ObjectIdentifier = oid("1.2.840.10045.2.1");

/// A named Weierstrass curve.
pub(super) struct Curve {
    name: &'static str,
    oid: ObjectIdentifier,
    /// Length of a coordinate and of a private value.
    pub(super) bytes: usize,
    /// The library's name for the curve.
    signing: &'static EcdsaSigningAlgorithm,
}

pub(super) static P256: Curve = Curve {
    name: "P-256",
    oid: oid("1.2.840.10045.3.1.7"),
    bytes: 32,
    signing: &ECDSA_P256_SHA256_ASN1_SIGNING,
};

pub(super) static P384: Curve = Curve {
    name: "P-384",
    oid: oid("1.3.132.0.34"),
    bytes: 48,
    signing: &ECDSA_P384_SHA384_ASN1_SIGNING,
};

pub(super) static P521: Curve = Curve {
    name: "P-521",
    oid: oid("1.3.132.0.35"),
    bytes: 66,
    signing: &ECDSA_P521_SHA512_ASN1_SIGNING,
};

static SECP256K1: Curve = Curve {
    name: "secp256k1",
    oid: oid("1.3.132.0.10"),
    bytes: 32,
    signing: &ECDSA_P256K1_SHA256_ASN1_SIGNING,
};

/// The library's name for a curve, to generate keys.
pub(in super::super) fn signing(curve: EcCurve) -> &'static EcdsaSigningAlgorithm {
    let curve = match curve {
        EcCurve::P256 => &P256,
        EcCurve::P384 => &P384,
        EcCurve::P521 => &P521,
        EcCurve::Secp256k1 => &SECP256K1,
    };
    curve.signing
}

/// What generation calls a curve.
pub(super) fn kind(curve: &Curve) -> EcCurve {
    match curve.name {
        "P-256" => EcCurve::P256,
        "P-384" => EcCurve::P384,
        "P-521" => EcCurve::P521,
        _ => EcCurve::Secp256k1,
    }
}

pub(super) fn curve(oid: ObjectIdentifier) -> Result<&'static Curve, ImportError> {
    let curves = [&P256, &P384, &P521, &SECP256K1];
    let curve = curves.into_iter().find(|curve| curve.oid == oid);
    curve.ok_or(ImportError::Curve(oid))
}

/// The curve that EC algorithm parameters name.
pub(super) fn curve_of(parameters: Option<AnyRef<'_>>) -> Result<&'static Curve, ImportError> {
    match parameters.map(|parameters| (parameters.tag(), parameters)) {
        None | Some((Tag::Null, _)) => Err(ImportError::NO_CURVE),
        Some((Tag::ObjectIdentifier, oid)) => {
            curve(oid.decode_as().map_err(ImportError::der("EC curve"))?)
        }
        Some((Tag::Sequence, _)) => Err(ImportError::EXPLICIT_CURVE),
        Some(_) => Err(ImportError::PARAMETERS),
    }
}

/// A private key of `ECPrivateKey` DER. In a PKCS#8 file, `around` is the curve that the file names and `beside` the
/// public key that it holds; otherwise the key must name its curve.
pub(super) fn private(
    der: &[u8],
    around: Option<&'static Curve>,
    beside: Option<&[u8]>,
    naming: &Naming,
) -> Result<Object, ImportError> {
    let key = EcPrivateKey::from_der(der).map_err(|error| match error.kind() {
        // Files in use hold explicit parameters in the place of the identifier.
        ErrorKind::TagUnexpected {
            expected: Some(Tag::ObjectIdentifier),
            actual: Tag::Sequence,
        } => ImportError::EXPLICIT_CURVE,
        _ => ImportError::der("EC private key")(error),
    })?;
    let inside = match key.parameters {
        Some(EcParameters::NamedCurve(oid)) => Some(curve(oid)?),
        None => None,
    };
    let curve = match (around, inside) {
        (Some(around), Some(inside)) if around.oid != inside.oid => {
            return Err(ImportError::INCONSISTENT);
        }
        (around, inside) => around.or(inside).ok_or(ImportError::NO_CURVE)?,
    };
    let public = match (beside, key.public_key) {
        (Some(beside), Some(inside)) if beside != inside => return Err(ImportError::INCONSISTENT),
        (beside, inside) => beside.or(inside),
    };
    private_of_value(key.private_key, curve, public, naming)
}

/// A private key of its value, and of its encoded point if that is known.
pub(super) fn private_of_value(
    value: &[u8],
    curve: &'static Curve,
    public: Option<&[u8]>,
    naming: &Naming,
) -> Result<Object, ImportError> {
    let value = padded(value, curve)?;
    let point = point_of(&value, curve)?;
    match public {
        Some(public) if public.len() != point.len() && public.len() != curve.bytes + 1 => {
            return Err(ImportError::PUBLIC_KEY_FORM);
        }
        Some(public) if !forms(&point, curve).iter().any(|form| form == public) => {
            return Err(ImportError::INCONSISTENT);
        }
        _ => {}
    }
    let usage = &[CKA_SIGN, CKA_DERIVE];
    let mut object = template::key(CKO_PRIVATE_KEY, CKK_EC, usage, naming)?;
    object.set(CKA_EC_PARAMS, parameters(&curve.oid)?);
    object.set(CKA_VALUE, Attribute::Secret(value));
    let info = Attribute::Bytes(info(&point, curve)?);
    object.set(CKA_PUBLIC_KEY_INFO, info);
    Ok(object)
}

/// The SPKI of a private key object's public half, computed from its value.
pub(super) fn info_of_private(object: &Object) -> Option<Vec<u8>> {
    let parameters = object.bytes(CKA_EC_PARAMS)?;
    let curve = curve(ObjectIdentifier::from_der(parameters).ok()?).ok()?;
    let value = padded(object.secret(CKA_VALUE)?.bytes(), curve).ok()?;
    info(&point_of(&value, curve).ok()?, curve).ok()
}

/// A public key of an encoded point.
pub(super) fn public(
    point: &[u8],
    curve: &'static Curve,
    naming: &Naming,
) -> Result<Object, ImportError> {
    let point = &*uncompressed(point, curve)?;
    let key = UnparsedPublicKey::new(&**curve.signing, point);
    if key.parse().is_err() {
        return Err(ImportError::NotOnCurve(curve.name));
    }
    let octets = OctetStringRef::new(point)
        .and_then(|octets| octets.to_der())
        .map_err(ImportError::der("EC point"))?;
    let mut object = template::key(CKO_PUBLIC_KEY, CKK_EC, &[CKA_VERIFY], naming)?;
    object.set(CKA_EC_PARAMS, parameters(&curve.oid)?);
    object.set(CKA_EC_POINT, Attribute::Bytes(octets));
    let info = Attribute::Bytes(info(point, curve)?);
    object.set(CKA_PUBLIC_KEY_INFO, info);
    Ok(object)
}

fn info(point: &[u8], curve: &Curve) -> Result<Vec<u8>, ImportError> {
    spki::encode(OID, Some((&curve.oid).into()), point)
}

/// The uncompressed point of a private value of the length of the field. The library refuses 0 and values that are not
/// below the order of the curve: they would give an invalid key, or the key of another value.
fn point_of(value: &SecretBytes, curve: &'static Curve) -> Result<Vec<u8>, ImportError> {
    let key = EcPrivateKey {
        private_key: value.bytes(),
        parameters: None,
        public_key: None,
    };
    // Longer than the DER of version and value.
    let mut buffer = SecretBytes::new(vec![0; value.bytes().len() + 16]);
    let der = key
        .encode_to_slice(buffer.bytes_mut())
        .map_err(ImportError::der("EC private key"))?;
    let pair = EcdsaKeyPair::from_private_key_der(curve.signing, der)
        .map_err(|_| ImportError::PrivateValue(curve.name))?;
    Ok(pair.public_key().as_ref().to_vec())
}

/// The private value at the length of the field: some writers drop its leading zeros, others add one.
fn padded(value: &[u8], curve: &'static Curve) -> Result<SecretBytes, ImportError> {
    let zeros = value.iter().take_while(|byte| **byte == 0).count();
    let value = &value[zeros..];
    let zeros = curve.bytes.checked_sub(value.len());
    let zeros = zeros.ok_or(ImportError::PrivateValue(curve.name))?;
    let mut whole = SecretBytes::new(vec![0; curve.bytes]);
    whole.bytes_mut()[zeros..].copy_from_slice(value);
    Ok(whole)
}

/// The uncompressed form of a point (SEC1 section 2.3.3): 4 and both coordinates at the length of the field. X9.62's
/// hybrid form differs only in its first byte. The library cannot decompress points.
fn uncompressed<'a>(point: &'a [u8], curve: &Curve) -> Result<Cow<'a, [u8]>, ImportError> {
    let is_whole = point.len() == 1 + 2 * curve.bytes;
    match point {
        [2 | 3, ..] => Err(ImportError::COMPRESSED),
        [4, ..] if is_whole => Ok(Cow::Borrowed(point)),
        [first @ (6 | 7), rest @ .., last] if is_whole && first & 1 == last & 1 => {
            Ok(Cow::Owned([&[4], rest, &[*last]].concat()))
        }
        _ => Err(ImportError::PUBLIC_KEY_FORM),
    }
}

/// The forms that the point may have beside its private value: uncompressed, hybrid and compressed.
fn forms(point: &[u8], curve: &Curve) -> [Vec<u8>; 3] {
    let odd = point.last().map_or(0, |last| last & 1);
    let coordinates = &point[1..];
    [
        point.to_vec(),
        [&[6 | odd], coordinates].concat(),
        [&[2 | odd], &coordinates[..curve.bytes]].concat(),
    ]
}

/// `CKA_EC_PARAMS` of a curve.
pub(super) fn parameters(oid: &ObjectIdentifier) -> Result<Attribute, ImportError> {
    let der = oid.to_der().map_err(ImportError::der("EC curve"))?;
    Ok(Attribute::Bytes(der))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use data_encoding::HEXLOWER_PERMISSIVE;

    use super::*;

    /// Orders: SEC 2 version 2.
    #[test]
    fn private_values_are_1_to_the_order_minus_1() {
        for (curve, order) in [
            (
                &P256,
                "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
            ),
            (
                &P384,
                "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
            ),
            (
                &P521,
                "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
            ),
            (
                &SECP256K1,
                "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
            ),
        ] {
            let order = HEXLOWER_PERMISSIVE.decode(order.as_bytes()).unwrap();
            let of = |value: &[u8]| private_of_value(value, curve, None, &Naming::default());
            let with_last = |add: i16| {
                let mut value = order.clone();
                let last = value.last_mut().unwrap();
                *last = u8::try_from(i16::from(*last) + add).unwrap();
                value
            };
            assert!(of(&[1]).is_ok() && of(&with_last(-1)).is_ok());
            let largest = vec![0xff; curve.bytes];
            let longer = [&[1], &order[1..], &[0]].concat();
            for value in [
                &[][..],
                &[0],
                &vec![0; curve.bytes],
                &order,
                &with_last(1),
                &largest,
                &longer,
            ] {
                let refused = of(value);
                assert!(
                    matches!(refused, Err(ImportError::PrivateValue(name)) if name == curve.name),
                    "{} {value:?}",
                    curve.name
                );
            }
        }
    }
}
