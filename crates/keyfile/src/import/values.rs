//! Keys of their numbers, as the attributes of PKCS#11 give them, and private keys as PKCS#8.
//!
//! Each key becomes the same object as one of a file: numbers without leading zeros, values at the length of the field,
//! one spelling of curves and points.

use pkcs1::RsaPrivateKeyRef;
use pkcs8::{ObjectIdentifier, PrivateKeyInfoRef};
use sec1::EcPrivateKey;
use x509_cert::der::asn1::{OctetStringRef, PrintableStringRef, UintRef};
use x509_cert::der::{Decode, Encode};
use x509_cert::spki::AlgorithmIdentifierRef;

use super::arithmetic::Number;
use super::elements::oid;
use super::error::ImportError;
use super::{curve25519, ec, pkcs8 as pkcs8_file, rsa, spki};

use crate::generate::KeyPairType;
use slotfs_object::Object;
use slotfs_object::new::Naming;
use slotfs_object::pkcs11::{
    CKA_COEFFICIENT, CKA_EC_PARAMS, CKA_EXPONENT_1, CKA_EXPONENT_2, CKA_MODULUS, CKA_PRIME_1,
    CKA_PRIME_2, CKA_PRIVATE_EXPONENT, CKA_PUBLIC_EXPONENT, CKA_VALUE, CKK_EC, CKK_EC_EDWARDS,
    CKK_EC_MONTGOMERY, CKK_RSA,
};
use slotfs_object::secret::SecretBytes;

/// The numbers of an RSA private key, big-endian, with or without leading zeros.
#[derive(Clone, Copy)]
pub struct RsaNumbers<'a> {
    /// n
    pub modulus: &'a [u8],
    /// e
    pub public_exponent: &'a [u8],
    /// d
    pub private_exponent: &'a [u8],
    /// p and q. Without them, they are computed from the others.
    pub primes: Option<(&'a [u8], &'a [u8])>,
    /// The inverse of q modulo p, if the primes are given. Without it, it is computed.
    pub coefficient: Option<&'a [u8]>,
}

/// An RSA private key of its numbers. The numbers of the Chinese remainder form are computed.
///
/// # Errors
/// [`ImportError`]: numbers that do not belong together, or a length that is not supported.
pub fn rsa_private(numbers: &RsaNumbers<'_>) -> Result<Object, ImportError> {
    let [n, e, d] = [
        numbers.modulus,
        numbers.public_exponent,
        numbers.private_exponent,
    ]
    .map(significant);
    rsa::check_sizes(n, e)?;
    if d.is_empty() || d.len() > n.len() {
        return Err(ImportError::INCONSISTENT);
    }
    let (p, q) = match numbers.primes {
        Some((p, q)) => {
            let (p, q) = (significant(p), significant(q));
            if [p, q].iter().any(|prime| prime.len() > n.len()) {
                return Err(ImportError::INCONSISTENT);
            }
            (Number::new(p), Number::new(q))
        }
        None => {
            let primes = Number::new(n).primes(&Number::new(e), &Number::new(d));
            primes.ok_or(ImportError::INCONSISTENT)?
        }
    };
    let coefficient = match (numbers.primes, numbers.coefficient) {
        (Some(_), Some(coefficient)) if coefficient.len() <= n.len() => Number::new(coefficient),
        (Some(_), Some(_)) => return Err(ImportError::INCONSISTENT),
        _ => {
            let inverse = q.inverse_modulo_prime(&p);
            inverse.ok_or(ImportError::INCONSISTENT)?
        }
    };
    let coefficient = coefficient.big_endian();
    let (p, q) = (p.big_endian(), q.big_endian());
    let [p, q, coefficient] = [&p, &q, &coefficient].map(|number| significant(number.bytes()));
    rsa::private_of_numbers([n, e, d, p, q, coefficient], &Naming::default())
}

/// An RSA public key of its numbers, big-endian, with or without leading zeros.
///
/// # Errors
/// [`ImportError`]: a length that is not supported, or impossible numbers.
pub fn rsa_public(modulus: &[u8], exponent: &[u8]) -> Result<Object, ImportError> {
    rsa::public_of_numbers(
        significant(modulus),
        significant(exponent),
        &Naming::default(),
    )
}

/// A private key of `OneAsymmetricKey` DER (RFC 5958): RSA, EC, Ed25519, X25519.
///
/// # Errors
/// [`ImportError`]
pub fn pkcs8_private(der: &[u8]) -> Result<Object, ImportError> {
    pkcs8_file::private(der, &Naming::default())
}

/// A public key of `SubjectPublicKeyInfo` DER: RSA, EC, Ed25519, X25519.
///
/// # Errors
/// [`ImportError`]
pub fn spki_public(der: &[u8]) -> Result<Object, ImportError> {
    spki::public(der, &Naming::default())
}

/// The SPKI of a private key object's public half, computed from its value; `None` for an object that is not a key of
/// [`import`](super::import).
pub fn public_half(private: &Object) -> Option<Vec<u8>> {
    super::public_half(private)
}

/// A curve of `CKA_EC_PARAMS`.
#[derive(Clone, Copy)]
pub struct Curve(Form);

#[derive(Clone, Copy)]
enum Form {
    Weierstrass(&'static ec::Curve),
    Curve25519(&'static curve25519::Curve),
}

/// Names that PKCS#11 3.1 section 6.3 and its predecessors use in a PrintableString.
const NAMES: &[(&str, ObjectIdentifier)] = &[
    ("edwards25519", oid("1.3.101.112")),
    ("Ed25519", oid("1.3.101.112")),
    ("curve25519", oid("1.3.101.110")),
    ("X25519", oid("1.3.101.110")),
    ("secp256r1", oid("1.2.840.10045.3.1.7")),
    ("secp384r1", oid("1.3.132.0.34")),
    ("secp521r1", oid("1.3.132.0.35")),
    ("secp256k1", oid("1.3.132.0.10")),
];

/// Identifiers that came before those of RFC 8410: GnuPG's of Ed25519 and of Curve25519.
const OLDER: &[(ObjectIdentifier, ObjectIdentifier)] = &[
    (oid("1.3.6.1.4.1.11591.15.1"), oid("1.3.101.112")),
    (oid("1.3.6.1.4.1.3029.1.5.1"), oid("1.3.101.110")),
];

impl Curve {
    /// The curve of `CKA_EC_PARAMS` in each of its spellings: an object identifier, or a PrintableString.
    ///
    /// # Errors
    /// [`ImportError`]: another curve, explicit parameters, or no DER.
    pub fn of_parameters(der: &[u8]) -> Result<Self, ImportError> {
        let error = ImportError::der("EC curve");
        let named = match der.first() {
            Some(0x13) => {
                let name = PrintableStringRef::from_der(der).map_err(error)?;
                let row = NAMES.iter().find(|row| row.0 == name.as_str());
                row.map(|row| row.1).ok_or(ImportError::PARAMETERS)?
            }
            Some(0x30) => return Err(ImportError::EXPLICIT_CURVE),
            _ => ObjectIdentifier::from_der(der).map_err(error)?,
        };
        let older = OLDER.iter().find(|row| row.0 == named);
        let named = older.map_or(named, |row| row.1);
        if let Some(curve) = curve25519::of_algorithm(named) {
            return Ok(Self(Form::Curve25519(curve)));
        }
        ec::curve(named).map(Form::Weierstrass).map(Self)
    }

    /// `CKA_KEY_TYPE` of its keys.
    pub fn key_type(self) -> u32 {
        match self.0 {
            Form::Weierstrass(_) => CKK_EC,
            Form::Curve25519(curve) => curve.key_type,
        }
    }

    /// What [`generate_key_pair`](crate::generate::generate_key_pair) makes on it.
    pub fn pair_type(self) -> KeyPairType {
        match self.0 {
            Form::Weierstrass(curve) => KeyPairType::Ec(ec::kind(curve)),
            Form::Curve25519(curve) if curve.key_type == CKK_EC_EDWARDS => KeyPairType::Ed25519,
            Form::Curve25519(_) => KeyPairType::X25519,
        }
    }

    /// A private key of its value.
    ///
    /// # Errors
    /// [`ImportError::PrivateValue`]
    pub fn private(self, value: &[u8]) -> Result<Object, ImportError> {
        let naming = Naming::default();
        match self.0 {
            Form::Weierstrass(curve) => ec::private_of_value(value, curve, None, &naming),
            Form::Curve25519(curve) => curve25519::private_of_value(value, curve, None, &naming),
        }
    }

    /// A public key of its point, raw or in an OCTET STRING.
    ///
    /// # Errors
    /// [`ImportError`]: no point of the curve, or a compressed one.
    pub fn public(self, point: &[u8]) -> Result<Object, ImportError> {
        let point = self.point(point);
        match self.0 {
            Form::Weierstrass(curve) => ec::public(point, curve, &Naming::default()),
            Form::Curve25519(curve) => curve25519::public(point, curve, &Naming::default()),
        }
    }

    /// A point without the OCTET STRING that it may be in. The spellings differ in their length: of a raw point, too,
    /// the first byte may be 4.
    pub fn point(self, spelled: &[u8]) -> &[u8] {
        let is_raw = match self.0 {
            Form::Weierstrass(curve) => {
                [1 + 2 * curve.bytes, 1 + curve.bytes].contains(&spelled.len())
            }
            Form::Curve25519(_) => spelled.len() == curve25519::KEY_BYTES,
        };
        match <&OctetStringRef>::from_der(spelled) {
            Ok(octets) if !is_raw => octets.as_bytes(),
            _ => spelled,
        }
    }
}

/// PKCS#8 of a private key: `described` are its attributes, `secret` gives its secret ones. `None` for an object that
/// is not a key of [`import`](super::import).
pub fn pkcs8_of<'a>(
    described: &Object,
    secret: impl Fn(u32) -> Option<&'a [u8]>,
) -> Option<SecretBytes> {
    match described.key_type? {
        CKK_RSA => {
            let public = |number| UintRef::new(described.bytes(number)?).ok();
            let hidden = |number| UintRef::new(secret(number)?).ok();
            let key = RsaPrivateKeyRef {
                modulus: public(CKA_MODULUS)?,
                public_exponent: public(CKA_PUBLIC_EXPONENT)?,
                private_exponent: hidden(CKA_PRIVATE_EXPONENT)?,
                prime1: hidden(CKA_PRIME_1)?,
                prime2: hidden(CKA_PRIME_2)?,
                exponent1: hidden(CKA_EXPONENT_1)?,
                exponent2: hidden(CKA_EXPONENT_2)?,
                coefficient: hidden(CKA_COEFFICIENT)?,
                other_prime_infos: None,
            };
            let parameters = Some(x509_cert::der::asn1::AnyRef::NULL);
            let oid = rsa::OID;
            wrapped(AlgorithmIdentifierRef { oid, parameters }, &key)
        }
        CKK_EC => {
            let curve: ObjectIdentifier =
                ObjectIdentifier::from_der(described.bytes(CKA_EC_PARAMS)?).ok()?;
            let key = EcPrivateKey {
                private_key: secret(CKA_VALUE)?,
                parameters: None,
                public_key: None,
            };
            let algorithm = AlgorithmIdentifierRef {
                oid: ec::OID,
                parameters: Some((&curve).into()),
            };
            wrapped(algorithm, &key)
        }
        CKK_EC_EDWARDS | CKK_EC_MONTGOMERY => {
            let oid = ObjectIdentifier::from_der(described.bytes(CKA_EC_PARAMS)?).ok()?;
            let parameters = None;
            let value = OctetStringRef::new(secret(CKA_VALUE)?).ok()?;
            wrapped(AlgorithmIdentifierRef { oid, parameters }, &value)
        }
        _ => None,
    }
}

/// `OneAsymmetricKey` around a key.
pub(super) fn wrapped(
    algorithm: AlgorithmIdentifierRef<'_>,
    key: &impl Encode,
) -> Option<SecretBytes> {
    let inner = encoded(key)?;
    let inner = OctetStringRef::new(inner.bytes()).ok()?;
    encoded(&PrivateKeyInfoRef::new(algorithm, inner))
}

/// DER in memory of its final size: nothing is left behind by growing.
pub(super) fn encoded(value: &impl Encode) -> Option<SecretBytes> {
    let bytes = usize::try_from(u32::from(value.encoded_len().ok()?)).ok()?;
    let mut der = SecretBytes::new(vec![0; bytes]);
    value.encode_to_slice(der.bytes_mut()).ok()?;
    Some(der)
}

/// A number without leading zeros.
fn significant(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::generate::{EcCurve, RsaBits, generate_key_pair};
    use slotfs_object::Attribute;

    fn pair(kind: KeyPairType) -> (Object, Object) {
        let pair = generate_key_pair(kind, &Naming::default()).unwrap();
        (pair.private, pair.public)
    }

    fn rsa_pair() -> (Object, Object) {
        pair(KeyPairType::Rsa(RsaBits::try_from(2048).unwrap()))
    }

    /// What the value consists of, without names and history.
    fn value_of(object: &Object) -> Vec<(u32, &Attribute)> {
        const NUMBERS: [u32; 14] = [
            CKA_MODULUS,
            CKA_PUBLIC_EXPONENT,
            CKA_PRIVATE_EXPONENT,
            CKA_PRIME_1,
            CKA_PRIME_2,
            CKA_EXPONENT_1,
            CKA_EXPONENT_2,
            CKA_COEFFICIENT,
            CKA_EC_PARAMS,
            CKA_VALUE,
            slotfs_object::pkcs11::CKA_EC_POINT,
            slotfs_object::pkcs11::CKA_PUBLIC_KEY_INFO,
            slotfs_object::pkcs11::CKA_MODULUS_BITS,
            slotfs_object::pkcs11::CKA_KEY_TYPE,
        ];
        let of = |number| Some((number, object.attributes.get(&number)?));
        NUMBERS.into_iter().filter_map(of).collect()
    }

    #[test]
    fn rsa_keys_without_their_primes_get_them() {
        let (private, _) = rsa_pair();
        let secret = |number| private.secret(number).unwrap().bytes();
        let numbers = RsaNumbers {
            modulus: private.bytes(CKA_MODULUS).unwrap(),
            public_exponent: &[0, 1, 0, 1],
            private_exponent: secret(CKA_PRIVATE_EXPONENT),
            primes: None,
            coefficient: None,
        };
        let primes = Some((secret(CKA_PRIME_1), secret(CKA_PRIME_2)));
        let computed = rsa_private(&numbers).unwrap();
        assert_eq!(value_of(&computed), value_of(&private));
        let given = rsa_private(&RsaNumbers { primes, ..numbers }).unwrap();
        assert_eq!(value_of(&given), value_of(&private));
        let coefficient = Some(secret(CKA_COEFFICIENT));
        let whole = RsaNumbers {
            primes,
            coefficient,
            ..numbers
        };
        assert_eq!(value_of(&rsa_private(&whole).unwrap()), value_of(&private));
        let wrong = RsaNumbers {
            coefficient: Some(&[3]),
            ..whole
        };
        assert!(rsa_private(&wrong).is_err());
        let zeros = [&[0, 0][..], numbers.private_exponent].concat();
        let padded = RsaNumbers {
            private_exponent: &zeros,
            ..numbers
        };
        assert_eq!(value_of(&rsa_private(&padded).unwrap()), value_of(&private));
    }

    #[test]
    fn rsa_numbers_that_do_not_belong_together() {
        let (private, _) = rsa_pair();
        let (other, _) = rsa_pair();
        let secret = |key: &Object, number| key.secret(number).unwrap().clone();
        let modulus = private.bytes(CKA_MODULUS).unwrap();
        let (d, foreign) = (
            secret(&private, CKA_PRIVATE_EXPONENT),
            secret(&other, CKA_PRIVATE_EXPONENT),
        );
        let (p, q) = (secret(&other, CKA_PRIME_1), secret(&other, CKA_PRIME_2));
        let even = [&modulus[..modulus.len() - 1], &[0]].concat();
        let e = [1, 0, 1];
        let own = RsaNumbers {
            modulus,
            public_exponent: &e,
            private_exponent: d.bytes(),
            primes: None,
            coefficient: None,
        };
        for refused in [
            RsaNumbers {
                private_exponent: foreign.bytes(),
                ..own
            },
            RsaNumbers {
                private_exponent: &[],
                ..own
            },
            RsaNumbers {
                private_exponent: &[1],
                ..own
            },
            RsaNumbers {
                public_exponent: &[3],
                ..own
            },
            RsaNumbers {
                public_exponent: &[],
                ..own
            },
            RsaNumbers {
                modulus: &even,
                ..own
            },
            RsaNumbers {
                modulus: &[],
                ..own
            },
            RsaNumbers {
                primes: Some((p.bytes(), q.bytes())),
                ..own
            },
            RsaNumbers {
                primes: Some((&[], &[2])),
                ..own
            },
        ] {
            assert!(rsa_private(&refused).is_err());
        }
    }

    #[test]
    fn private_keys_as_pkcs8_come_back_the_same() {
        for kind in [
            KeyPairType::Rsa(RsaBits::try_from(2048).unwrap()),
            KeyPairType::Ec(EcCurve::P256),
            KeyPairType::Ec(EcCurve::P521),
            KeyPairType::Ec(EcCurve::Secp256k1),
            KeyPairType::Ed25519,
            KeyPairType::X25519,
        ] {
            let (private, _) = pair(kind);
            let secret = |number| private.secret(number).map(SecretBytes::bytes);
            let der = pkcs8_of(&private, secret).unwrap();
            let back = pkcs8_private(der.bytes()).unwrap();
            assert_eq!(value_of(&back), value_of(&private), "{kind:?}");
        }
    }

    #[test]
    fn curves_and_points_have_several_spellings() {
        let (private, public) = pair(KeyPairType::Ed25519);
        let oid = public.bytes(CKA_EC_PARAMS).unwrap();
        let point = public.bytes(slotfs_object::pkcs11::CKA_EC_POINT).unwrap();
        let octets = [&[4, 32], point].concat();
        for parameters in [oid, b"\x13\x0cedwards25519"] {
            let curve = Curve::of_parameters(parameters).unwrap();
            assert_eq!(curve.key_type(), CKK_EC_EDWARDS);
            assert_eq!(curve.pair_type(), KeyPairType::Ed25519);
            for spelled in [point, &octets] {
                let made = curve.public(spelled).unwrap();
                assert_eq!(value_of(&made), value_of(&public));
            }
            let value = private.secret(CKA_VALUE).unwrap();
            let made = curve.private(value.bytes()).unwrap();
            assert_eq!(value_of(&made), value_of(&private));
        }
        let (_, public) = pair(KeyPairType::Ec(EcCurve::P256));
        let octets = public.bytes(slotfs_object::pkcs11::CKA_EC_POINT).unwrap();
        let curve = Curve::of_parameters(public.bytes(CKA_EC_PARAMS).unwrap()).unwrap();
        for spelled in [octets, &octets[2..]] {
            assert_eq!(value_of(&curve.public(spelled).unwrap()), value_of(&public));
        }
        for none in [
            &b"\x13\x04none"[..],
            &[0x30, 0],
            &[6, 1, 42],
            &[],
            &[5, 0],
            b"\x13\x0cedwards2551",
        ] {
            assert!(Curve::of_parameters(none).is_err());
        }
    }
}
