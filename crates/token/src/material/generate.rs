//! New keys and pairs. Each pair was tested by the library: what one half makes, the other takes.

use slotfs_crypto::{Curve, Error, ec, edwards, kdf, montgomery, random, rsa};
use slotfs_keyfile::generate::{EcCurve, KeyPairType};
use slotfs_keyfile::import::ImportError;
use slotfs_keyfile::import::values::{self, RsaNumbers};
use slotfs_object::pkcs11::{
    CKK_AES, CKK_EC, CKK_EC_EDWARDS, CKK_EC_MONTGOMERY, CKK_GENERIC_SECRET, CKK_HKDF, CKK_ML_DSA,
    CKK_ML_KEM, CKK_RSA,
};
use slotfs_object::secret::wipe_stack;
use slotfs_wire::numbers::{CKF_GENERATE, CKF_GENERATE_KEY_PAIR, CKZ_SALT_SPECIFIED};
use slotfs_wire::rv::{
    CKR_ATTRIBUTE_VALUE_INVALID, CKR_CURVE_NOT_SUPPORTED, CKR_DOMAIN_PARAMS_INVALID,
    CKR_EXCEEDED_MAX_ITERATIONS, CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID,
    CKR_TEMPLATE_INCOMPLETE, CKR_TEMPLATE_INCONSISTENT,
};
use slotfs_wire::{Mechanism, Parameter};

use super::post_quantum::Set;
use super::{Material, Wanted, check_type, is_generic, length, shared};
use crate::error::{Result, Rv};
use crate::mechanism::{self, Algorithm, Generate, NEW_RSA_BITS, hash};
use crate::operation::{is_hmac_key, no_parameter};

/// Rounds of PBKDF2 that one call may ask for: some seconds. OWASP advises 600,000.
const MAX_ITERATIONS: u64 = 10_000_000;

/// A new secret key.
///
/// # Errors
/// `CKR_MECHANISM_INVALID`, `CKR_MECHANISM_PARAM_INVALID`, `CKR_TEMPLATE_INCOMPLETE`, `CKR_TEMPLATE_INCONSISTENT`,
/// `CKR_ATTRIBUTE_VALUE_INVALID`.
pub(crate) fn generate_key(mechanism: &Mechanism, wanted: &Wanted<'_>) -> Result<Material> {
    let Some(Algorithm::Generate(kind)) = mechanism::with_flag(mechanism.number, CKF_GENERATE)
    else {
        return Err(Rv(CKR_MECHANISM_INVALID));
    };
    if kind == Generate::Pbkdf2 {
        return pbkdf2(&mechanism.parameter, wanted);
    }
    no_parameter(&mechanism.parameter)?;
    let (key_type, natural) = match kind {
        Generate::Aes => (CKK_AES, None),
        Generate::Hkdf => (CKK_HKDF, None),
        Generate::Generic => (wanted.key_type.unwrap_or(CKK_GENERIC_SECRET), None),
        Generate::Hmac(hash) => {
            let row = hash::row(hash).ok_or(Rv(CKR_MECHANISM_INVALID))?;
            let key_type = wanted.key_type.unwrap_or(row.key_type);
            if !is_hmac_key(key_type, hash) {
                return Err(Rv(CKR_TEMPLATE_INCONSISTENT));
            }
            (key_type, Some(row.bytes))
        }
        _ => return Err(Rv(CKR_MECHANISM_INVALID)),
    };
    check_type(wanted, key_type)?;
    if kind == Generate::Generic && !is_generic(key_type) {
        return Err(Rv(CKR_TEMPLATE_INCONSISTENT));
    }
    let bytes = length(key_type, wanted, natural)?;
    Ok(Material::secret(key_type, random::bytes(bytes)?))
}

fn pbkdf2(parameter: &Parameter, wanted: &Wanted<'_>) -> Result<Material> {
    let invalid = Rv(CKR_MECHANISM_PARAM_INVALID);
    let Parameter::Pbkdf2 {
        source,
        salt,
        iterations,
        prf,
        password,
    } = parameter
    else {
        return Err(invalid);
    };
    let hash = hash::of_pbkdf2(*prf).ok_or(invalid)?;
    if *source != CKZ_SALT_SPECIFIED || *iterations == 0 {
        return Err(invalid);
    }
    if *iterations > MAX_ITERATIONS {
        return Err(Rv(CKR_EXCEEDED_MAX_ITERATIONS));
    }
    let iterations = u32::try_from(*iterations).map_err(|_| invalid)?;
    shared::stretched(wanted, None, |bytes| {
        // Each block of output costs all the rounds again.
        let blocks = bytes.div_ceil(hash.bytes()) as u64;
        if blocks.saturating_mul(iterations.into()) > MAX_ITERATIONS {
            return Err(Rv(CKR_EXCEEDED_MAX_ITERATIONS));
        }
        Ok(kdf::pbkdf2(
            hash,
            password.bytes(),
            salt,
            iterations,
            bytes,
        )?)
    })
}

/// A new pair: the public half, then the private one. The public template says what is made; the private one may repeat
/// it.
///
/// # Errors
/// As [`generate_key`]; `CKR_CURVE_NOT_SUPPORTED`, `CKR_DOMAIN_PARAMS_INVALID`, `CKR_PARAMETER_SET_NOT_SUPPORTED`.
pub(crate) fn generate_pair(
    mechanism: &Mechanism,
    public_wanted: &Wanted<'_>,
    private_wanted: &Wanted<'_>,
) -> Result<(Material, Material)> {
    let algorithm = mechanism::with_flag(mechanism.number, CKF_GENERATE_KEY_PAIR);
    let Some(Algorithm::Generate(kind)) = algorithm else {
        return Err(Rv(CKR_MECHANISM_INVALID));
    };
    no_parameter(&mechanism.parameter)?;
    let key_type = match kind {
        Generate::RsaPair => CKK_RSA,
        Generate::EcPair => CKK_EC,
        Generate::EdwardsPair => CKK_EC_EDWARDS,
        Generate::MontgomeryPair => CKK_EC_MONTGOMERY,
        Generate::MlKemPair => CKK_ML_KEM,
        Generate::MlDsaPair => CKK_ML_DSA,
        _ => return Err(Rv(CKR_MECHANISM_INVALID)),
    };
    check_type(public_wanted, key_type)?;
    check_type(private_wanted, key_type)?;
    let pair = match kind {
        Generate::RsaPair => rsa_pair(public_wanted),
        Generate::MlKemPair | Generate::MlDsaPair => {
            let set = one_of(public_wanted.parameter_set, private_wanted.parameter_set)?;
            Set::of(key_type, set)?.generate()
        }
        _ => {
            let parameters = one_of(public_wanted.ec_params, private_wanted.ec_params)?;
            curve_pair(key_type, parameters.ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))?)
        }
    };
    // The library wipes its own buffers, but leaves copies of the key on the stack.
    wipe_stack();
    pair
}

/// What one of both templates says, or both the same.
fn one_of<T: PartialEq>(public: Option<T>, private: Option<T>) -> Result<Option<T>> {
    match (public, private) {
        (Some(public), Some(private)) if public != private => Err(Rv(CKR_TEMPLATE_INCONSISTENT)),
        (public, private) => Ok(public.or(private)),
    }
}

fn rsa_pair(wanted: &Wanted<'_>) -> Result<(Material, Material)> {
    let invalid = Rv(CKR_ATTRIBUTE_VALUE_INVALID);
    let bits = wanted.modulus_bits.ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))?;
    if !(NEW_RSA_BITS.0..=NEW_RSA_BITS.1).contains(&bits) {
        return Err(invalid);
    }
    let bits = u32::try_from(bits).map_err(|_| invalid)?;
    let exponent = wanted.public_exponent.unwrap_or(&[1, 0, 1]);
    let parts = rsa::generate(bits, exponent).map_err(|error| match error {
        Error::BadParameter => invalid,
        other => other.into(),
    })?;
    let private = values::rsa_private(&RsaNumbers {
        modulus: &parts.n,
        public_exponent: &parts.e,
        private_exponent: &parts.d,
        primes: Some((&parts.p, &parts.q)),
        coefficient: Some(&parts.qinv),
    })?;
    let public = values::rsa_public(&parts.n, &parts.e)?;
    Ok((Material::of(public)?, Material::of(private)?))
}

fn curve_pair(key_type: u32, parameters: &[u8]) -> Result<(Material, Material)> {
    let curve = values::Curve::of_parameters(parameters).map_err(curve_error)?;
    if curve.key_type() != key_type {
        return Err(Rv(CKR_CURVE_NOT_SUPPORTED));
    }
    let (value, point) = match curve.pair_type() {
        KeyPairType::Ec(EcCurve::P256) => ec::generate(Curve::P256),
        KeyPairType::Ec(EcCurve::P384) => ec::generate(Curve::P384),
        KeyPairType::Ec(EcCurve::P521) => ec::generate(Curve::P521),
        KeyPairType::Ec(EcCurve::Secp256k1) => ec::generate(Curve::Secp256k1),
        KeyPairType::Ed25519 => edwards::generate(),
        KeyPairType::X25519 => montgomery::generate(),
        KeyPairType::Rsa(_) => return Err(Rv(CKR_CURVE_NOT_SUPPORTED)),
    }?;
    let (public, private) = (curve.public(&point)?, curve.private(&value)?);
    Ok((Material::of(public)?, Material::of(private)?))
}

/// The answer to `CKA_EC_PARAMS` that name no curve of slotfs.
pub(super) fn curve_error(error: ImportError) -> Rv {
    Rv(match error {
        ImportError::Curve(_) => CKR_CURVE_NOT_SUPPORTED,
        _ => CKR_DOMAIN_PARAMS_INVALID,
    })
}
