//! What the value of a key consists of: generated, given by an application, derived, wrapped, unwrapped, encapsulated.
//!
//! A key has one form, whatever it came from: that of `slotfs-keyfile`, so that imported, generated and cloned objects
//! and those of PKCS#11 are one kind.

mod create;
mod derive;
mod generate;
mod kem;
mod post_quantum;
mod shared;
#[cfg(test)]
mod tests;
mod wrap;

use std::collections::BTreeMap;

use slotfs_object::pkcs11::{
    CKA_COEFFICIENT, CKA_EC_PARAMS, CKA_EC_POINT, CKA_EXPONENT_1, CKA_EXPONENT_2, CKA_MODULUS,
    CKA_MODULUS_BITS, CKA_PARAMETER_SET, CKA_PRIME_1, CKA_PRIME_2, CKA_PRIVATE_EXPONENT,
    CKA_PUBLIC_EXPONENT, CKA_PUBLIC_KEY_INFO, CKA_SEED, CKA_VALUE, CKA_VALUE_LEN, CKK_AES,
    CKK_GENERIC_SECRET, CKK_HKDF, CKO_SECRET_KEY,
};
use slotfs_object::secret::SecretBytes;
use slotfs_object::{Attribute, Object};
use slotfs_wire::rv::{
    CKR_ATTRIBUTE_VALUE_INVALID, CKR_FUNCTION_FAILED, CKR_TEMPLATE_INCOMPLETE,
    CKR_TEMPLATE_INCONSISTENT,
};
use zeroize::Zeroizing;

use crate::error::{Result, Rv};
use crate::mechanism::{MAX_SECRET_BYTES, hash};

pub(crate) use create::create;
pub(crate) use derive::derive;
pub(crate) use generate::{generate_key, generate_pair};
pub(crate) use kem::{decapsulate, encapsulate};
pub(crate) use wrap::{unwrap, wrap};

/// The attributes that a key's value consists of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Material {
    /// A CKO number: `CKO_DATA` of `CKM_HKDF_DATA`, else that of the call.
    pub(crate) class: u32,
    /// A CKK number.
    pub(crate) key_type: u32,
    /// The attributes.
    pub(crate) attributes: BTreeMap<u32, Attribute>,
}

/// What the template of a new key says of its value.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wanted<'a> {
    pub(crate) key_type: Option<u32>,
    pub(crate) value_len: Option<u64>,
    pub(crate) modulus_bits: Option<u64>,
    pub(crate) public_exponent: Option<&'a [u8]>,
    pub(crate) ec_params: Option<&'a [u8]>,
    pub(crate) parameter_set: Option<u64>,
}

/// The attributes of a value, of every type of key.
const OF_VALUES: &[u32] = &[
    CKA_VALUE,
    CKA_VALUE_LEN,
    CKA_MODULUS,
    CKA_MODULUS_BITS,
    CKA_PUBLIC_EXPONENT,
    CKA_PRIVATE_EXPONENT,
    CKA_PRIME_1,
    CKA_PRIME_2,
    CKA_EXPONENT_1,
    CKA_EXPONENT_2,
    CKA_COEFFICIENT,
    CKA_EC_PARAMS,
    CKA_EC_POINT,
    CKA_PUBLIC_KEY_INFO,
    CKA_PARAMETER_SET,
    CKA_SEED,
];

impl Material {
    /// What an object's value consists of.
    fn of(object: Object) -> Result<Self> {
        let mut attributes = object.attributes;
        attributes.retain(|number, _| OF_VALUES.contains(number));
        Ok(Self {
            class: object.class,
            key_type: object.key_type.ok_or(Rv(CKR_FUNCTION_FAILED))?,
            attributes,
        })
    }

    /// A secret key of a value whose length was checked.
    fn secret(key_type: u32, mut value: Zeroizing<Vec<u8>>) -> Self {
        let bytes = value.len() as u64;
        let value = SecretBytes::new(std::mem::take(&mut *value));
        Self {
            class: CKO_SECRET_KEY,
            key_type,
            attributes: BTreeMap::from([
                (CKA_VALUE, Attribute::Secret(value)),
                (CKA_VALUE_LEN, Attribute::Number(bytes)),
            ]),
        }
    }
}

/// Whether keys of this type are bytes of any length.
fn is_generic(key_type: u32) -> bool {
    matches!(key_type, CKK_GENERIC_SECRET | CKK_HKDF) || hash::of_key_type(key_type).is_some()
}

/// Refuses lengths that secret keys of this type do not have, and types of other keys.
fn check_length(key_type: u32, bytes: usize) -> Result<()> {
    let fits = match key_type {
        CKK_AES => matches!(bytes, 16 | 24 | 32),
        other if is_generic(other) => (1..=MAX_SECRET_BYTES).contains(&(bytes as u64)),
        _ => return Err(Rv(CKR_TEMPLATE_INCONSISTENT)),
    };
    fits.then_some(()).ok_or(Rv(CKR_ATTRIBUTE_VALUE_INVALID))
}

/// The length of a new secret key: that of its template, or else `natural`.
fn length(key_type: u32, wanted: &Wanted<'_>, natural: Option<usize>) -> Result<usize> {
    let bytes = match (wanted.value_len, natural) {
        (Some(bytes), _) => usize::try_from(bytes).map_err(|_| Rv(CKR_ATTRIBUTE_VALUE_INVALID))?,
        (None, Some(bytes)) => bytes,
        (None, None) => return Err(Rv(CKR_TEMPLATE_INCOMPLETE)),
    };
    check_length(key_type, bytes)?;
    Ok(bytes)
}

/// Type and length of a secret key whose template must say how long it is.
///
/// # Errors
/// `CKR_TEMPLATE_INCOMPLETE`, `CKR_TEMPLATE_INCONSISTENT` of the type, `CKR_ATTRIBUTE_VALUE_INVALID` of the length.
pub(crate) fn secret_length(wanted: &Wanted<'_>) -> Result<(u32, usize)> {
    let key_type = wanted.key_type.unwrap_or(CKK_GENERIC_SECRET);
    Ok((key_type, length(key_type, wanted, None)?))
}

/// Refuses a template for keys of another type.
fn check_type(wanted: &Wanted<'_>, key_type: u32) -> Result<()> {
    match wanted.key_type {
        Some(other) if other != key_type => Err(Rv(CKR_TEMPLATE_INCONSISTENT)),
        _ => Ok(()),
    }
}
