//! Keys whose value attributes an application gives: checked, completed, and spelled in one way.

use std::collections::BTreeMap;

use slotfs_keyfile::import::values::{self, Curve, RsaNumbers};
use slotfs_object::Attribute;
use slotfs_object::pkcs11::{
    CKA_COEFFICIENT, CKA_EC_PARAMS, CKA_EC_POINT, CKA_EXPONENT_1, CKA_EXPONENT_2, CKA_MODULUS,
    CKA_MODULUS_BITS, CKA_PARAMETER_SET, CKA_PRIME_1, CKA_PRIME_2, CKA_PRIVATE_EXPONENT,
    CKA_PUBLIC_EXPONENT, CKA_PUBLIC_KEY_INFO, CKA_SEED, CKA_VALUE, CKA_VALUE_LEN, CKK_EC,
    CKK_EC_EDWARDS, CKK_EC_MONTGOMERY, CKK_ML_DSA, CKK_ML_KEM, CKK_RSA, CKO_PRIVATE_KEY,
    CKO_PUBLIC_KEY, CKO_SECRET_KEY,
};
use slotfs_wire::rv::{
    CKR_ATTRIBUTE_VALUE_INVALID, CKR_CURVE_NOT_SUPPORTED, CKR_FUNCTION_FAILED,
    CKR_TEMPLATE_INCOMPLETE, CKR_TEMPLATE_INCONSISTENT,
};
use zeroize::Zeroizing;

use super::generate::curve_error;
use super::post_quantum::Set;
use super::{Material, check_length};
use crate::error::{Result, Rv};

/// The key of the attributes that an application gives; other attributes than those of values are ignored.
///
/// # Errors
/// `CKR_TEMPLATE_INCOMPLETE`, `CKR_ATTRIBUTE_VALUE_INVALID` for parts that do not belong together,
/// `CKR_TEMPLATE_INCONSISTENT`, `CKR_CURVE_NOT_SUPPORTED`, `CKR_DOMAIN_PARAMS_INVALID`, `CKR_KEY_SIZE_RANGE`.
pub(crate) fn create(
    class: u32,
    key_type: u32,
    given: &BTreeMap<u32, Attribute>,
) -> Result<Material> {
    let given = Given(given);
    let made = match (class, key_type) {
        (CKO_SECRET_KEY, _) => {
            let value = given.required(CKA_VALUE)?;
            check_length(key_type, value.len())?;
            given.agrees(CKA_VALUE_LEN, value.len() as u64)?;
            Material::secret(key_type, Zeroizing::new(value.to_vec()))
        }
        (CKO_PUBLIC_KEY, CKK_RSA) => {
            let (modulus, exponent) = (CKA_MODULUS, CKA_PUBLIC_EXPONENT);
            let key = values::rsa_public(given.required(modulus)?, given.required(exponent)?)?;
            if let Some(Attribute::Number(bits)) = key.attributes.get(&CKA_MODULUS_BITS) {
                given.agrees(CKA_MODULUS_BITS, *bits)?;
            }
            Material::of(key)?
        }
        (CKO_PRIVATE_KEY, CKK_RSA) => rsa_private(given)?,
        (CKO_PUBLIC_KEY | CKO_PRIVATE_KEY, CKK_EC | CKK_EC_EDWARDS | CKK_EC_MONTGOMERY) => {
            let parameters = given.required(CKA_EC_PARAMS)?;
            let curve = Curve::of_parameters(parameters).map_err(curve_error)?;
            if curve.key_type() != key_type {
                return Err(Rv(CKR_CURVE_NOT_SUPPORTED));
            }
            match class {
                CKO_PUBLIC_KEY => Material::of(curve.public(given.required(CKA_EC_POINT)?)?)?,
                _ => curve_private(curve, given)?,
            }
        }
        (CKO_PUBLIC_KEY, CKK_ML_DSA | CKK_ML_KEM) => {
            let set = Set::of(key_type, given.number(CKA_PARAMETER_SET))?;
            set.public(given.required(CKA_VALUE)?)?
        }
        (CKO_PRIVATE_KEY, CKK_ML_DSA | CKK_ML_KEM) => {
            let set = Set::of(key_type, given.number(CKA_PARAMETER_SET))?;
            set.private(given.bytes(CKA_SEED), given.bytes(CKA_VALUE))?
        }
        _ => return Err(Rv(CKR_TEMPLATE_INCONSISTENT)),
    };
    if class != CKO_SECRET_KEY
        && let Some(info) = given.bytes(CKA_PUBLIC_KEY_INFO)
        && made.attributes.get(&CKA_PUBLIC_KEY_INFO) != Some(&Attribute::Bytes(info.to_vec()))
    {
        return Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID));
    }
    Ok(made)
}

fn rsa_private(given: Given<'_>) -> Result<Material> {
    let primes = match (given.bytes(CKA_PRIME_1), given.bytes(CKA_PRIME_2)) {
        (Some(p), Some(q)) => Some((p, q)),
        _ => None,
    };
    // The standard lets an application leave the public exponent out; this is the one in use.
    let exponent = given.bytes(CKA_PUBLIC_EXPONENT).unwrap_or(&[1, 0, 1]);
    let key = values::rsa_private(&RsaNumbers {
        modulus: given.required(CKA_MODULUS)?,
        public_exponent: exponent,
        private_exponent: given.required(CKA_PRIVATE_EXPONENT)?,
        primes,
        coefficient: given.bytes(CKA_COEFFICIENT).filter(|_| primes.is_some()),
    })?;
    // What the application gives beside must be right too, if its primes are in the order of those that are kept.
    if primes.is_some() {
        for number in [CKA_EXPONENT_1, CKA_EXPONENT_2] {
            let kept = key.secret(number).map(|it| significant(it.bytes()));
            match given.bytes(number).map(significant) {
                Some(other) if Some(other) != kept => {
                    return Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID));
                }
                _ => {}
            }
        }
    }
    Material::of(key)
}

fn curve_private(curve: Curve, given: Given<'_>) -> Result<Material> {
    let private = curve.private(given.required(CKA_VALUE)?)?;
    if let Some(point) = given.bytes(CKA_EC_POINT) {
        let info = values::public_half(&private).ok_or(Rv(CKR_FUNCTION_FAILED))?;
        let public = curve.public(point)?;
        if public.bytes(CKA_PUBLIC_KEY_INFO) != Some(info.as_slice()) {
            return Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID));
        }
    }
    Material::of(private)
}

/// A number without leading zeros.
fn significant(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// The attributes that an application gives. An empty value counts as none: applications fill templates with them.
#[derive(Clone, Copy)]
struct Given<'a>(&'a BTreeMap<u32, Attribute>);

impl<'a> Given<'a> {
    fn bytes(self, number: u32) -> Option<&'a [u8]> {
        let bytes = match self.0.get(&number)? {
            Attribute::Bytes(bytes) => bytes.as_slice(),
            Attribute::Secret(secret) => secret.bytes(),
            _ => return None,
        };
        (!bytes.is_empty()).then_some(bytes)
    }

    fn required(self, number: u32) -> Result<&'a [u8]> {
        match self.0.get(&number) {
            None => Err(Rv(CKR_TEMPLATE_INCOMPLETE)),
            Some(_) => self.bytes(number).ok_or(Rv(CKR_ATTRIBUTE_VALUE_INVALID)),
        }
    }

    fn number(self, number: u32) -> Option<u64> {
        match self.0.get(&number)? {
            Attribute::Number(value) => Some(*value),
            _ => None,
        }
    }

    /// Refuses a number that contradicts the value.
    fn agrees(self, number: u32, value: u64) -> Result<()> {
        match self.number(number) {
            Some(other) if other != value => Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID)),
            _ => Ok(()),
        }
    }
}
