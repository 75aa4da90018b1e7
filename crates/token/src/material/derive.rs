//! Keys derived from others.

mod bytes;
mod sp800_108;

use std::collections::BTreeMap;
use std::sync::Arc;

use slotfs_crypto::{Error, Hash, digest, kdf};
use slotfs_keyfile::import::values;
use slotfs_object::Attribute;
use slotfs_object::pkcs11::{
    CKA_EC_PARAMS, CKA_VALUE, CKK_EC, CKK_EC_MONTGOMERY, CKK_GENERIC_SECRET, CKO_DATA,
};
use slotfs_object::secret::SecretBytes;
use slotfs_object::usable::UsableKey;
use slotfs_wire::numbers::{CKD_NULL, CKF_DERIVE};
use slotfs_wire::rv::{
    CKR_ATTRIBUTE_VALUE_INVALID, CKR_FUNCTION_FAILED, CKR_KEY_TYPE_INCONSISTENT,
    CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID, CKR_TEMPLATE_INCOMPLETE,
};
use slotfs_wire::{HkdfSalt, Mechanism, Parameter};
use zeroize::Zeroizing;

use super::shared::{Keep, cut, stretched};
use super::{Material, Wanted};
use crate::error::{Result, Rv};
use crate::mechanism::hash::HASHES;
use crate::mechanism::{self, Algorithm, Derive, hash};
use crate::operation::{Prepared, no_parameter};

/// Keys derived from `base`, as many as are `wanted`: one, but of the functions of SP 800-108. `other_keys` gives the key of
/// a handle in the mechanism's parameter, which the caller has checked.
///
/// # Errors
/// `CKR_MECHANISM_INVALID`, `CKR_MECHANISM_PARAM_INVALID`, `CKR_KEY_TYPE_INCONSISTENT`, `CKR_TEMPLATE_INCOMPLETE`,
/// `CKR_TEMPLATE_INCONSISTENT`, `CKR_ATTRIBUTE_VALUE_INVALID` of the length, and those of `other_keys`.
pub(crate) fn derive(
    mechanism: &Mechanism,
    base: &UsableKey,
    wanted: &[Wanted<'_>],
    other_keys: &dyn Fn(u64) -> Result<Arc<UsableKey>>,
) -> Result<Vec<Material>> {
    let Some(Algorithm::Derive(kind)) = mechanism::with_flag(mechanism.number, CKF_DERIVE) else {
        return Err(Rv(CKR_MECHANISM_INVALID));
    };
    let parameter = &mechanism.parameter;
    if let Derive::Counter | Derive::Feedback = kind {
        return sp800_108::derive(kind, parameter, base, wanted);
    }
    let [wanted] = wanted else {
        return Err(Rv(CKR_MECHANISM_PARAM_INVALID));
    };
    let made = match kind {
        Derive::Ecdh => ecdh(parameter, base, wanted),
        Derive::Hkdf => stretched_hkdf(parameter, base, wanted, other_keys),
        Derive::HkdfData => hkdf_data(parameter, base, wanted, other_keys),
        Derive::Digest(hash) => {
            no_parameter(parameter)?;
            let digest = Zeroizing::new(digest(hash, &value_of(base)?)?);
            cut(&digest, wanted, Keep::First)
        }
        _ => bytes::derive(kind, parameter, base, wanted, other_keys),
    };
    Ok(vec![made?])
}

/// The value of a secret key.
fn value_of(key: &UsableKey) -> Result<Zeroizing<Vec<u8>>> {
    let prepared = Prepared::of(key)?;
    Ok(Zeroizing::new(prepared.secret(|_| true)?.to_vec()))
}

/// A key derivation function over a shared secret.
type Kdf = fn(Hash, &[u8], &[u8], usize) -> Result<Zeroizing<Vec<u8>>, Error>;

fn kdf_of(number: u64) -> Option<(Hash, Kdf)> {
    HASHES.iter().find_map(|row| {
        let (x963, sp800) = row.kdf?;
        if number == x963 {
            Some((row.hash, kdf::x963 as Kdf))
        } else if number == sp800 {
            Some((row.hash, kdf::concat_sp800_56a as Kdf))
        } else {
            None
        }
    })
}

/// ECDH. Without a function the secret loses its first bytes where the template wants fewer, as PKCS#11 3.1 section
/// 6.3.17 says.
fn ecdh(parameter: &Parameter, base: &UsableKey, wanted: &Wanted<'_>) -> Result<Material> {
    let invalid = Rv(CKR_MECHANISM_PARAM_INVALID);
    let Parameter::Ecdh1 {
        kdf,
        shared,
        public,
    } = parameter
    else {
        return Err(invalid);
    };
    let prepared = Prepared::of(base)?;
    let parameters = base.described().bytes(CKA_EC_PARAMS);
    let curve = || values::Curve::of_parameters(parameters?).ok();
    let secret = match (&*prepared, base.described().key_type) {
        (Prepared::EcPrivate(key), Some(CKK_EC)) => {
            let curve = curve().ok_or(Rv(CKR_FUNCTION_FAILED))?;
            key.ecdh(curve.point(public))
        }
        (Prepared::XPrivate(key), Some(CKK_EC_MONTGOMERY)) => {
            let curve = curve().ok_or(Rv(CKR_FUNCTION_FAILED))?;
            key.agree(curve.point(public))
        }
        _ => return Err(Rv(CKR_KEY_TYPE_INCONSISTENT)),
    };
    let secret = secret.map_err(|error| match error {
        Error::BadKey => invalid,
        other => other.into(),
    })?;
    if *kdf == CKD_NULL {
        if !shared.is_empty() {
            return Err(invalid);
        }
        return cut(&secret, wanted, Keep::Last);
    }
    let (hash, function) = kdf_of(*kdf).ok_or(invalid)?;
    stretched(wanted, Some(hash.bytes()), |bytes| {
        Ok(function(hash, &secret, shared, bytes)?)
    })
}

fn stretched_hkdf(
    parameter: &Parameter,
    base: &UsableKey,
    wanted: &Wanted<'_>,
    other_keys: &dyn Fn(u64) -> Result<Arc<UsableKey>>,
) -> Result<Material> {
    let natural = match parameter {
        // An extracted key is as long as a digest.
        Parameter::Hkdf {
            expand: false,
            hash,
            ..
        } => hash::of_prf(*hash).map(Hash::bytes),
        _ => None,
    };
    stretched(wanted, natural, |bytes| {
        hkdf(parameter, base, bytes, other_keys)
    })
}

/// HKDF whose output is a data object.
fn hkdf_data(
    parameter: &Parameter,
    base: &UsableKey,
    wanted: &Wanted<'_>,
    other_keys: &dyn Fn(u64) -> Result<Arc<UsableKey>>,
) -> Result<Material> {
    let bytes = wanted.value_len.ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))?;
    let bytes = usize::try_from(bytes).map_err(|_| Rv(CKR_ATTRIBUTE_VALUE_INVALID))?;
    if bytes == 0 {
        return Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID));
    }
    let mut value = hkdf(parameter, base, bytes, other_keys)?;
    let value = SecretBytes::new(std::mem::take(&mut *value));
    Ok(Material {
        class: CKO_DATA,
        key_type: CKK_GENERIC_SECRET,
        attributes: BTreeMap::from([(CKA_VALUE, Attribute::Secret(value))]),
    })
}

/// HKDF (RFC 5869): extraction, expansion, or both.
fn hkdf(
    parameter: &Parameter,
    base: &UsableKey,
    bytes: usize,
    other_keys: &dyn Fn(u64) -> Result<Arc<UsableKey>>,
) -> Result<Zeroizing<Vec<u8>>> {
    let invalid = Rv(CKR_MECHANISM_PARAM_INVALID);
    let Parameter::Hkdf {
        extract,
        expand,
        hash,
        salt,
        info,
    } = parameter
    else {
        return Err(invalid);
    };
    let hash = hash::of_prf(*hash).ok_or(invalid)?;
    let base = value_of(base)?;
    let key = match extract {
        true => {
            let salt = match salt {
                HkdfSalt::Null => Zeroizing::default(),
                HkdfSalt::Data(salt) => Zeroizing::new(salt.clone()),
                HkdfSalt::Key(handle) => value_of(&*other_keys(*handle)?)?,
            };
            kdf::hkdf_extract(hash, &salt, &base)?
        }
        false => base,
    };
    match (extract, expand) {
        (_, true) => kdf::hkdf_expand(hash, &key, info, bytes).map_err(|error| match error {
            Error::TooLong => Rv(CKR_ATTRIBUTE_VALUE_INVALID),
            other => other.into(),
        }),
        (true, false) if bytes == key.len() => Ok(key),
        (true, false) => Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID)),
        (false, false) => Err(invalid),
    }
}
