//! A key in the form that the library takes: parsed at its first use, kept with the key, shared by every operation.

use std::sync::Arc;

use slotfs_crypto::pq::{ml_dsa, ml_kem};
use slotfs_crypto::rsa::RsaParts;
use slotfs_crypto::{Curve, edwards, montgomery, rsa};
use slotfs_crypto::{Error, ec};
use slotfs_keyfile::generate::{EcCurve, KeyPairType};
use slotfs_keyfile::import::values;
use slotfs_object::Attribute;
use slotfs_object::pkcs11::{
    CKA_COEFFICIENT, CKA_EC_PARAMS, CKA_EC_POINT, CKA_EXPONENT_1, CKA_EXPONENT_2, CKA_MODULUS,
    CKA_PARAMETER_SET, CKA_PRIME_1, CKA_PRIME_2, CKA_PRIVATE_EXPONENT, CKA_PUBLIC_EXPONENT,
    CKA_VALUE, CKK_EC, CKK_EC_EDWARDS, CKK_EC_MONTGOMERY, CKK_ML_DSA, CKK_ML_KEM, CKK_RSA,
    CKO_PRIVATE_KEY, CKO_PUBLIC_KEY, CKO_SECRET_KEY,
};
use slotfs_object::usable::UsableKey;
use slotfs_wire::numbers::{
    CKP_ML_DSA_44, CKP_ML_DSA_65, CKP_ML_DSA_87, CKP_ML_KEM_512, CKP_ML_KEM_768, CKP_ML_KEM_1024,
};
use slotfs_wire::rv::{CKR_FUNCTION_FAILED, CKR_KEY_TYPE_INCONSISTENT};
use zeroize::Zeroizing;

use crate::error::{Result, Rv};

/// A key, prepared.
pub(crate) enum Prepared {
    Secret(SecretKey),
    RsaPrivate(rsa::PrivateKey),
    RsaPublic(rsa::PublicKey),
    EcPrivate(ec::PrivateKey),
    EcPublic(ec::PublicKey),
    EdPrivate(edwards::PrivateKey),
    EdPublic(edwards::PublicKey),
    XPrivate(montgomery::PrivateKey),
    MlDsaPrivate(ml_dsa::PrivateKey),
    MlDsaPublic(ml_dsa::PublicKey),
    MlKemPrivate(ml_kem::PrivateKey),
    MlKemPublic(ml_kem::PublicKey),
}

/// A secret key.
pub(crate) struct SecretKey {
    /// A CKK number.
    pub(crate) key_type: u32,
    /// `CKA_VALUE`
    pub(crate) value: Zeroizing<Vec<u8>>,
}

impl Prepared {
    /// `key`, prepared now or at an earlier use.
    ///
    /// # Errors
    /// `CKR_KEY_TYPE_INCONSISTENT` for a key that no mechanism takes.
    pub(crate) fn of(key: &UsableKey) -> Result<Arc<Self>> {
        key.prepared(Self::make)
    }

    fn make(key: &UsableKey) -> Result<Self> {
        let object = key.described();
        let key_type = object.key_type.ok_or(Rv(CKR_KEY_TYPE_INCONSISTENT))?;
        // A stored key has the attributes of its type: without them it is damaged.
        let damaged = || Rv(CKR_FUNCTION_FAILED);
        let public = |number| object.bytes(number).ok_or_else(damaged);
        let secret = |number| key.secret(number).ok_or_else(damaged);
        let broken = |_: Error| damaged();
        let set = || match object.attributes.get(&CKA_PARAMETER_SET) {
            Some(Attribute::Number(number)) => Ok(*number),
            _ => Err(damaged()),
        };
        let kem = || set().and_then(|number| kem_set(number).ok_or_else(damaged));
        let dsa = || set().and_then(|number| dsa_set(number).ok_or_else(damaged));
        Ok(match (object.class, key_type) {
            (CKO_SECRET_KEY, key_type) => Self::Secret(SecretKey {
                key_type,
                value: Zeroizing::new(secret(CKA_VALUE)?.to_vec()),
            }),
            (CKO_PRIVATE_KEY, CKK_RSA) => {
                let optional =
                    |number| Zeroizing::new(key.secret(number).unwrap_or_default().to_vec());
                let parts = RsaParts {
                    n: public(CKA_MODULUS)?.to_vec(),
                    e: public(CKA_PUBLIC_EXPONENT)?.to_vec(),
                    d: Zeroizing::new(secret(CKA_PRIVATE_EXPONENT)?.to_vec()),
                    p: optional(CKA_PRIME_1),
                    q: optional(CKA_PRIME_2),
                    dp: optional(CKA_EXPONENT_1),
                    dq: optional(CKA_EXPONENT_2),
                    qinv: optional(CKA_COEFFICIENT),
                };
                Self::RsaPrivate(rsa::PrivateKey::new(&parts).map_err(broken)?)
            }
            (CKO_PUBLIC_KEY, CKK_RSA) => {
                let (n, e) = (public(CKA_MODULUS)?, public(CKA_PUBLIC_EXPONENT)?);
                Self::RsaPublic(rsa::PublicKey::new(n, e).map_err(broken)?)
            }
            (CKO_PRIVATE_KEY, CKK_EC) => {
                let curve = curve(public(CKA_EC_PARAMS)?).ok_or_else(damaged)?.0;
                let key = ec::PrivateKey::new(curve, secret(CKA_VALUE)?);
                Self::EcPrivate(key.map_err(broken)?)
            }
            (CKO_PUBLIC_KEY, CKK_EC) => {
                let (curve, spelling) = curve(public(CKA_EC_PARAMS)?).ok_or_else(damaged)?;
                let point = spelling.point(public(CKA_EC_POINT)?);
                Self::EcPublic(ec::PublicKey::new(curve, point).map_err(broken)?)
            }
            (CKO_PRIVATE_KEY, CKK_EC_EDWARDS) => {
                let key = edwards::PrivateKey::new(secret(CKA_VALUE)?);
                Self::EdPrivate(key.map_err(broken)?)
            }
            (CKO_PUBLIC_KEY, CKK_EC_EDWARDS) => {
                let key = edwards::PublicKey::new(public(CKA_EC_POINT)?);
                Self::EdPublic(key.map_err(broken)?)
            }
            (CKO_PRIVATE_KEY, CKK_EC_MONTGOMERY) => {
                let key = montgomery::PrivateKey::new(secret(CKA_VALUE)?);
                Self::XPrivate(key.map_err(broken)?)
            }
            (CKO_PRIVATE_KEY, CKK_ML_DSA) => {
                let key = ml_dsa::PrivateKey::new(dsa()?, secret(CKA_VALUE)?);
                Self::MlDsaPrivate(key.map_err(broken)?)
            }
            (CKO_PUBLIC_KEY, CKK_ML_DSA) => {
                let key = ml_dsa::PublicKey::new(dsa()?, public(CKA_VALUE)?);
                Self::MlDsaPublic(key.map_err(broken)?)
            }
            (CKO_PRIVATE_KEY, CKK_ML_KEM) => {
                let key = ml_kem::PrivateKey::new(kem()?, secret(CKA_VALUE)?);
                Self::MlKemPrivate(key.map_err(broken)?)
            }
            (CKO_PUBLIC_KEY, CKK_ML_KEM) => {
                let key = ml_kem::PublicKey::new(kem()?, public(CKA_VALUE)?);
                Self::MlKemPublic(key.map_err(broken)?)
            }
            _ => return Err(Rv(CKR_KEY_TYPE_INCONSISTENT)),
        })
    }

    /// The value of a secret key of one of these types.
    ///
    /// # Errors
    /// `CKR_KEY_TYPE_INCONSISTENT`
    pub(crate) fn secret(&self, fits: impl Fn(u32) -> bool) -> Result<&[u8]> {
        match self {
            Self::Secret(key) if fits(key.key_type) => Ok(&key.value),
            _ => Err(Rv(CKR_KEY_TYPE_INCONSISTENT)),
        }
    }
}

/// A Weierstrass curve of `CKA_EC_PARAMS`, and the curve that knows its spellings.
fn curve(parameters: &[u8]) -> Option<(Curve, values::Curve)> {
    let spelling = values::Curve::of_parameters(parameters).ok()?;
    let curve = match spelling.pair_type() {
        KeyPairType::Ec(EcCurve::P256) => Curve::P256,
        KeyPairType::Ec(EcCurve::P384) => Curve::P384,
        KeyPairType::Ec(EcCurve::P521) => Curve::P521,
        KeyPairType::Ec(EcCurve::Secp256k1) => Curve::Secp256k1,
        _ => return None,
    };
    Some((curve, spelling))
}

/// A parameter set of ML-KEM of a CKP number.
pub(crate) fn kem_set(number: u64) -> Option<ml_kem::ParameterSet> {
    Some(match number {
        CKP_ML_KEM_512 => ml_kem::ParameterSet::MlKem512,
        CKP_ML_KEM_768 => ml_kem::ParameterSet::MlKem768,
        CKP_ML_KEM_1024 => ml_kem::ParameterSet::MlKem1024,
        _ => return None,
    })
}

/// A parameter set of ML-DSA of a CKP number.
pub(crate) fn dsa_set(number: u64) -> Option<ml_dsa::ParameterSet> {
    Some(match number {
        CKP_ML_DSA_44 => ml_dsa::ParameterSet::MlDsa44,
        CKP_ML_DSA_65 => ml_dsa::ParameterSet::MlDsa65,
        CKP_ML_DSA_87 => ml_dsa::ParameterSet::MlDsa87,
        _ => return None,
    })
}
