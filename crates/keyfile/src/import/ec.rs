//! Keys on Weierstrass curves: SEC1 and RFC 5915 to PKCS#11 section 6.3.
//!
//! `CKA_EC_PARAMS` is the DER of the curve's object identifier, `CKA_EC_POINT` the DER OCTET STRING of
//! the uncompressed point, `CKA_VALUE` the private value at the length of the field.

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

use super::error::ImportError;
use super::spki;
use slotfs_object::new::Naming;
use slotfs_object::pkcs11::{
    CKA_DERIVE, CKA_EC_PARAMS, CKA_EC_POINT, CKA_PUBLIC_KEY_INFO, CKA_SIGN, CKA_VALUE, CKA_VERIFY,
    CKK_EC,
};
use slotfs_object::secret::SecretBytes;
use slotfs_object::template;
use slotfs_object::{Attribute, Object};

/// `id-ecPublicKey`, RFC 5480.
pub(super) const OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// A Weierstrass curve by name.
pub(super) struct Curve {
    name: &'static str,
    oid: ObjectIdentifier,
    /// The order of its group, big-endian; as long as the field for each of these curves.
    order: &'static [u8],
    /// How the library knows it.
    signing: &'static EcdsaSigningAlgorithm,
}

/// Orders: SEC 2 version 2.
const CURVES: &[Curve] = &[
    Curve {
        name: "P-256",
        oid: ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"),
        order: &[
            0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2,
            0xfc, 0x63, 0x25, 0x51,
        ],
        signing: &ECDSA_P256_SHA256_ASN1_SIGNING,
    },
    Curve {
        name: "P-384",
        oid: ObjectIdentifier::new_unwrap("1.3.132.0.34"),
        order: &[
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81,
            0xf4, 0x37, 0x2d, 0xdf, 0x58, 0x1a, 0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec,
            0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
        ],
        signing: &ECDSA_P384_SHA384_ASN1_SIGNING,
    },
    Curve {
        name: "P-521",
        oid: ObjectIdentifier::new_unwrap("1.3.132.0.35"),
        order: &[
            0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            0xff, 0xff, 0xff, 0xff, 0xff, 0xfa, 0x51, 0x86, 0x87, 0x83, 0xbf, 0x2f, 0x96, 0x6b,
            0x7f, 0xcc, 0x01, 0x48, 0xf7, 0x09, 0xa5, 0xd0, 0x3b, 0xb5, 0xc9, 0xb8, 0x89, 0x9c,
            0x47, 0xae, 0xbb, 0x6f, 0xb7, 0x1e, 0x91, 0x38, 0x64, 0x09,
        ],
        signing: &ECDSA_P521_SHA512_ASN1_SIGNING,
    },
    Curve {
        name: "secp256k1",
        oid: ObjectIdentifier::new_unwrap("1.3.132.0.10"),
        order: &[
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            0xff, 0xfe, 0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c,
            0xd0, 0x36, 0x41, 0x41,
        ],
        signing: &ECDSA_P256K1_SHA256_ASN1_SIGNING,
    },
];

/// The curve that EC algorithm parameters name.
pub(super) fn curve_of(parameters: Option<AnyRef<'_>>) -> Result<&'static Curve, ImportError> {
    match parameters.map(|parameters| (parameters.tag(), parameters)) {
        None | Some((Tag::Null, _)) => Err(ImportError::NoCurve),
        Some((Tag::ObjectIdentifier, oid)) => {
            let oid = oid.decode_as::<ObjectIdentifier>();
            curve(oid.map_err(ImportError::der("EC curve"))?)
        }
        Some((Tag::Sequence, _)) => Err(ImportError::ExplicitCurve),
        Some(_) => Err(ImportError::Parameters),
    }
}

/// The curve of this name.
pub(super) fn curve_named(name: &str) -> Result<&'static Curve, ImportError> {
    CURVES
        .iter()
        .find(|curve| curve.name == name)
        .ok_or(ImportError::NoCurve)
}

fn curve(oid: ObjectIdentifier) -> Result<&'static Curve, ImportError> {
    CURVES
        .iter()
        .find(|curve| curve.oid == oid)
        .ok_or(ImportError::Curve(oid))
}

/// A private key of an `ECPrivateKey` file of its own, which must name its curve.
pub(super) fn sec1_private(der: &[u8], naming: &Naming) -> Result<Object, ImportError> {
    private(der, None, None, naming)
}

/// A private key of `ECPrivateKey` DER. `around` is the curve that the PKCS#8 file around it names,
/// `beside` the public key that it also holds.
pub(super) fn private(
    der: &[u8],
    around: Option<&'static Curve>,
    beside: Option<&[u8]>,
    naming: &Naming,
) -> Result<Object, ImportError> {
    let key = EcPrivateKey::from_der(der).map_err(|error| match error.kind() {
        // Where an identifier must stand, a curve spelled out is the one other thing ever met.
        ErrorKind::TagUnexpected {
            expected: Some(Tag::ObjectIdentifier),
            actual: Tag::Sequence,
        } => ImportError::ExplicitCurve,
        _ => ImportError::der("EC private key")(error),
    })?;
    let inside = match key.parameters {
        Some(EcParameters::NamedCurve(oid)) => Some(curve(oid)?),
        None => None,
    };
    let curve = match (around, inside) {
        (Some(around), Some(inside)) if around.oid != inside.oid => {
            return Err(ImportError::Inconsistent);
        }
        (Some(curve), _) | (None, Some(curve)) => curve,
        (None, None) => return Err(ImportError::NoCurve),
    };
    let public = match (beside, key.public_key) {
        (Some(beside), Some(inside)) if beside != inside => return Err(ImportError::Inconsistent),
        (beside, inside) => beside.or(inside),
    };
    of_value(key.private_key, curve, public, naming)
}

/// A private key of its value, and of its point where that is known.
pub(super) fn of_value(
    value: &[u8],
    curve: &'static Curve,
    public: Option<&[u8]>,
    naming: &Naming,
) -> Result<Object, ImportError> {
    let value = scalar(value, curve)?;
    let point = point_of(&value, curve)?;
    match public {
        Some(public) if public.len() != point.len() && public.len() != curve.order.len() + 1 => {
            return Err(ImportError::PublicKeyForm);
        }
        Some(public) if !forms(&point, curve).iter().any(|form| form == public) => {
            return Err(ImportError::Inconsistent);
        }
        _ => {}
    }
    let usage = &[CKA_SIGN, CKA_DERIVE];
    let mut object = template::private_key(CKK_EC, usage, naming)?;
    put_curve(&mut object, &curve.oid)?;
    object
        .attributes
        .insert(CKA_VALUE, Attribute::Secret(value));
    template::put_bytes(&mut object, CKA_PUBLIC_KEY_INFO, &info(&point, curve)?);
    Ok(object)
}

/// The SPKI of a private key object's public half, computed from its value.
pub(super) fn info_of_private(object: &Object) -> Option<Vec<u8>> {
    let Some(Attribute::Bytes(parameters)) = object.attributes.get(&CKA_EC_PARAMS) else {
        return None;
    };
    let Some(Attribute::Secret(value)) = object.attributes.get(&CKA_VALUE) else {
        return None;
    };
    let curve = curve(ObjectIdentifier::from_der(parameters).ok()?).ok()?;
    let value = scalar(value.bytes(), curve).ok()?;
    info(&point_of(&value, curve).ok()?, curve).ok()
}

/// A public key of an encoded point.
pub(super) fn public(
    point: &[u8],
    curve: &'static Curve,
    naming: &Naming,
) -> Result<Object, ImportError> {
    let point = &*uncompressed(point, curve)?;
    if UnparsedPublicKey::new(&**curve.signing, point)
        .parse()
        .is_err()
    {
        return Err(ImportError::NotOnCurve(curve.name));
    }
    let mut object = template::public_key(CKK_EC, &[CKA_VERIFY], naming)?;
    put_curve(&mut object, &curve.oid)?;
    let octets = OctetStringRef::new(point)
        .and_then(|octets| octets.to_der())
        .map_err(ImportError::der("EC point"))?;
    template::put_bytes(&mut object, CKA_EC_POINT, &octets);
    template::put_bytes(&mut object, CKA_PUBLIC_KEY_INFO, &info(point, curve)?);
    Ok(object)
}

fn info(point: &[u8], curve: &Curve) -> Result<Vec<u8>, ImportError> {
    spki::encode(OID, Some((&curve.oid).into()), point)
}

/// The uncompressed point of a private value as [`scalar`] gives it.
fn point_of(scalar: &SecretBytes, curve: &'static Curve) -> Result<Vec<u8>, ImportError> {
    const HEADER_BYTES: usize = 7;
    let size = scalar.bytes().len();
    // ECPrivateKey (RFC 5915) of version and value alone: below 128 bytes, so that each length is one byte.
    let mut der = SecretBytes::new(vec![0; HEADER_BYTES + size]);
    der.bytes_mut()[..HEADER_BYTES].copy_from_slice(&[
        0x30,
        5 + size as u8,
        2,
        1,
        1,
        4,
        size as u8,
    ]);
    der.bytes_mut()[HEADER_BYTES..].copy_from_slice(scalar.bytes());
    let pair = EcdsaKeyPair::from_private_key_der(curve.signing, der.bytes())
        .map_err(|_| ImportError::PrivateValue(curve.name))?;
    Ok(pair.public_key().as_ref().to_vec())
}

/// The private value at the length of the field: some writers drop its leading zeros, others put one too many. 0 and what is not
/// below the order are no private values; used as one, they would give an invalid or a known key.
fn scalar(given: &[u8], curve: &'static Curve) -> Result<SecretBytes, ImportError> {
    let refused = ImportError::PrivateValue(curve.name);
    let zeros = given.iter().take_while(|byte| **byte == 0).count();
    let given = &given[zeros..];
    let Some(zeros) = curve.order.len().checked_sub(given.len()) else {
        return Err(refused);
    };
    let mut value = SecretBytes::new(vec![0; curve.order.len()]);
    value.bytes_mut()[zeros..].copy_from_slice(given);
    if value.bytes() >= curve.order || value.bytes().iter().all(|&byte| byte == 0) {
        return Err(refused);
    }
    Ok(value)
}

/// The uncompressed form of SEC1 section 2.3.3, 4 and both coordinates at the length of the field, of it or of X9.62's
/// hybrid form, which differs in its first byte. Of a compressed point the library does not give the other coordinate.
fn uncompressed<'a>(point: &'a [u8], curve: &Curve) -> Result<Cow<'a, [u8]>, ImportError> {
    let whole = point.len() == 1 + 2 * curve.order.len();
    match point {
        [2 | 3, ..] => Err(ImportError::Compressed),
        [4, ..] if whole => Ok(Cow::Borrowed(point)),
        [first @ (6 | 7), rest @ .., last] if whole && first & 1 == last & 1 => {
            Ok(Cow::Owned([&[4], rest, &[*last]].concat()))
        }
        _ => Err(ImportError::PublicKeyForm),
    }
}

/// Every form that the point may have beside its private value: uncompressed, hybrid and compressed.
fn forms(point: &[u8], curve: &Curve) -> [Vec<u8>; 3] {
    let odd = point.last().map_or(0, |last| last & 1);
    let coordinates = &point[1..];
    [
        point.to_vec(),
        [&[6 | odd], coordinates].concat(),
        [&[2 | odd], &coordinates[..curve.order.len()]].concat(),
    ]
}

/// Sets `CKA_EC_PARAMS`.
pub(super) fn put_curve(object: &mut Object, oid: &ObjectIdentifier) -> Result<(), ImportError> {
    let der = oid.to_der().map_err(ImportError::der("EC curve"))?;
    template::put_bytes(object, CKA_EC_PARAMS, &der);
    Ok(())
}
