//! Keys under other keys: secret keys by their value, private keys as PKCS#8.

use slotfs_crypto::random;
use slotfs_keyfile::import::values;
use slotfs_object::Attribute;
use slotfs_object::pkcs11::{
    CKA_PARAMETER_SET, CKA_SEED, CKA_VALUE, CKK_AES, CKK_ML_DSA, CKK_ML_KEM, CKO_PRIVATE_KEY,
    CKO_SECRET_KEY,
};
use slotfs_object::usable::UsableKey;
use slotfs_wire::numbers::{CKF_UNWRAP, CKF_WRAP};
use slotfs_wire::rv::{
    CKR_DATA_LEN_RANGE, CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_LEN_RANGE,
    CKR_FUNCTION_FAILED, CKR_KEY_NOT_WRAPPABLE, CKR_KEY_SIZE_RANGE, CKR_KEY_TYPE_INCONSISTENT,
    CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID, CKR_TEMPLATE_INCOMPLETE,
    CKR_TEMPLATE_INCONSISTENT, CKR_UNWRAPPING_KEY_SIZE_RANGE, CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT,
    CKR_WRAPPED_KEY_INVALID, CKR_WRAPPED_KEY_LEN_RANGE, CKR_WRAPPING_KEY_SIZE_RANGE,
    CKR_WRAPPING_KEY_TYPE_INCONSISTENT,
};
use slotfs_wire::{Mechanism, Parameter};
use zeroize::Zeroizing;

use super::post_quantum::Set;
use super::{Material, Wanted, check_length, check_type};
use crate::error::{Result, Rv};
use crate::mechanism::{self, AesMode, Algorithm};
use crate::operation::{Cipher, Direction, Key, Prepared, SecretKey};

/// `key` under `wrapping`. The caller has checked that it may leave.
///
/// # Errors
/// `CKR_MECHANISM_INVALID`, `CKR_MECHANISM_PARAM_INVALID`, `CKR_WRAPPING_KEY_TYPE_INCONSISTENT`,
/// `CKR_WRAPPING_KEY_SIZE_RANGE`, `CKR_KEY_NOT_WRAPPABLE` for public keys, `CKR_KEY_SIZE_RANGE` for a key that is too long or
/// too short.
pub(crate) fn wrap(
    mechanism: &Mechanism,
    wrapping: &UsableKey,
    key: &UsableKey,
) -> Result<Zeroizing<Vec<u8>>> {
    let algorithm = mechanism::with_flag(mechanism.number, CKF_WRAP);
    let algorithm = algorithm.ok_or(Rv(CKR_MECHANISM_INVALID))?;
    let mut text = text_of(key)?;
    // PKCS#11 3.1 sections 6.11 and 6.13: modes of whole blocks get zeros at the end.
    if let Algorithm::Aes(AesMode::Ecb | AesMode::Cbc) = algorithm {
        let bytes = text.len().next_multiple_of(16);
        let mut padded = Zeroizing::new(Vec::with_capacity(bytes));
        padded.extend_from_slice(&text);
        padded.resize(bytes, 0);
        text = padded;
    }
    let outer = Prepared::of(wrapping).map_err(wrapping_error)?;
    let wrapped = match (algorithm, &mechanism.parameter) {
        (Algorithm::RsaAesKeyWrap, Parameter::RsaAesKeyWrap { aes_bits, oaep }) => {
            let oaep = Parameter::Oaep(oaep.clone());
            rsa_aes(*aes_bits, &oaep, outer, &text)
        }
        (Algorithm::RsaAesKeyWrap, _) => return Err(Rv(CKR_MECHANISM_PARAM_INVALID)),
        (algorithm, parameter) => crypt(algorithm, parameter, outer, Direction::Encrypt, &text),
    };
    wrapped.map_err(wrapping_error)
}

/// The key that [`wrap`] put into `wrapped`.
///
/// # Errors
/// `CKR_MECHANISM_INVALID`, `CKR_MECHANISM_PARAM_INVALID`, `CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT`,
/// `CKR_UNWRAPPING_KEY_SIZE_RANGE`, `CKR_WRAPPED_KEY_LEN_RANGE`, `CKR_WRAPPED_KEY_INVALID`, `CKR_TEMPLATE_INCOMPLETE`,
/// `CKR_TEMPLATE_INCONSISTENT`.
pub(crate) fn unwrap(
    mechanism: &Mechanism,
    unwrapping: &UsableKey,
    wrapped: &[u8],
    class: u32,
    wanted: &Wanted<'_>,
) -> Result<Material> {
    let algorithm = mechanism::with_flag(mechanism.number, CKF_UNWRAP);
    let algorithm = algorithm.ok_or(Rv(CKR_MECHANISM_INVALID))?;
    if class == CKO_SECRET_KEY {
        let key_type = wanted.key_type.ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))?;
        // Types whose keys are no bytes, before anything is decrypted.
        if check_length(key_type, 16) == Err(Rv(CKR_TEMPLATE_INCONSISTENT)) {
            return Err(Rv(CKR_TEMPLATE_INCONSISTENT));
        }
    } else if class != CKO_PRIVATE_KEY {
        return Err(Rv(CKR_TEMPLATE_INCONSISTENT));
    }
    let outer = Prepared::of(unwrapping).map_err(unwrapping_error)?;
    let text = match (algorithm, &mechanism.parameter) {
        (Algorithm::RsaAesKeyWrap, Parameter::RsaAesKeyWrap { aes_bits, oaep }) => {
            let oaep = Parameter::Oaep(oaep.clone());
            rsa_aes_opened(*aes_bits, &oaep, outer, wrapped)
        }
        (Algorithm::RsaAesKeyWrap, _) => return Err(Rv(CKR_MECHANISM_PARAM_INVALID)),
        (algorithm, parameter) => crypt(algorithm, parameter, outer, Direction::Decrypt, wrapped),
    };
    let text = text.map_err(unwrapping_error)?;
    match class {
        CKO_SECRET_KEY => secret_of(algorithm, &text, wanted),
        _ => private_of(algorithm, &text, wanted),
    }
}

/// What of a key is encrypted.
fn text_of(key: &UsableKey) -> Result<Zeroizing<Vec<u8>>> {
    let described = key.described();
    match (described.class, described.key_type) {
        (CKO_SECRET_KEY, _) => {
            let value = key.secret(CKA_VALUE).ok_or(Rv(CKR_FUNCTION_FAILED))?;
            Ok(Zeroizing::new(value.to_vec()))
        }
        (CKO_PRIVATE_KEY, Some(key_type @ (CKK_ML_DSA | CKK_ML_KEM))) => {
            let number = match described.attributes.get(&CKA_PARAMETER_SET) {
                Some(Attribute::Number(number)) => Some(*number),
                _ => None,
            };
            let set = Set::of(key_type, number)?;
            let value = key.secret(CKA_VALUE).ok_or(Rv(CKR_FUNCTION_FAILED))?;
            let der = set.algorithm().pkcs8(key.secret(CKA_SEED), value);
            let der = der.ok_or(Rv(CKR_FUNCTION_FAILED))?;
            Ok(Zeroizing::new(der.bytes().to_vec()))
        }
        (CKO_PRIVATE_KEY, _) => {
            let der = values::pkcs8_of(described, |number| key.secret(number));
            let der = der.ok_or(Rv(CKR_KEY_NOT_WRAPPABLE))?;
            Ok(Zeroizing::new(der.bytes().to_vec()))
        }
        _ => Err(Rv(CKR_KEY_NOT_WRAPPABLE)),
    }
}

/// All of `data` at once.
fn crypt(
    algorithm: Algorithm,
    parameter: &Parameter,
    key: Key,
    direction: Direction,
    data: &[u8],
) -> Result<Zeroizing<Vec<u8>>> {
    let mut cipher = Cipher::new(algorithm, parameter, key, direction)?;
    cipher.all(data)
}

/// `CKM_RSA_AES_KEY_WRAP`: a new AES key under RSA, then the text under that key.
fn rsa_aes(aes_bits: u64, oaep: &Parameter, outer: Key, text: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let bytes = aes_bytes(aes_bits)?;
    let value = random::bytes(bytes)?;
    let mut wrapped = crypt(Algorithm::RsaOaep, oaep, outer, Direction::Encrypt, &value)?;
    let inner = Key::new(Prepared::Secret(SecretKey {
        key_type: CKK_AES,
        value,
    }));
    let kwp = Algorithm::Aes(AesMode::Kwp);
    let second = crypt(kwp, &Parameter::None, inner, Direction::Encrypt, text)?;
    wrapped.extend_from_slice(&second);
    Ok(wrapped)
}

fn rsa_aes_opened(
    aes_bits: u64,
    oaep: &Parameter,
    outer: Key,
    wrapped: &[u8],
) -> Result<Zeroizing<Vec<u8>>> {
    let bytes = aes_bytes(aes_bits)?;
    let modulus = match &*outer {
        Prepared::RsaPrivate(key) => key.modulus_bytes(),
        _ => return Err(Rv(CKR_KEY_TYPE_INCONSISTENT)),
    };
    let (first, second) = wrapped
        .split_at_checked(modulus)
        .ok_or(Rv(CKR_ENCRYPTED_DATA_LEN_RANGE))?;
    let value = crypt(Algorithm::RsaOaep, oaep, outer, Direction::Decrypt, first)?;
    if value.len() != bytes {
        return Err(Rv(CKR_ENCRYPTED_DATA_INVALID));
    }
    let inner = Key::new(Prepared::Secret(SecretKey {
        key_type: CKK_AES,
        value,
    }));
    let kwp = Algorithm::Aes(AesMode::Kwp);
    crypt(kwp, &Parameter::None, inner, Direction::Decrypt, second)
}

fn aes_bytes(bits: u64) -> Result<usize> {
    match bits {
        128 | 192 | 256 => Ok((bits / 8) as usize),
        _ => Err(Rv(CKR_MECHANISM_PARAM_INVALID)),
    }
}

/// A secret key of what was decrypted. Every fault of a text has one answer: with PKCS#1 v1.5 more would be an oracle.
fn secret_of(algorithm: Algorithm, text: &[u8], wanted: &Wanted<'_>) -> Result<Material> {
    let key_type = wanted.key_type.ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))?;
    let invalid = Rv(CKR_WRAPPED_KEY_INVALID);
    let length = wanted.value_len.map(usize::try_from).transpose();
    let length = length.map_err(|_| invalid)?;
    let value = match (algorithm, length) {
        // Zeros after the key, or before it.
        (Algorithm::Aes(AesMode::Ecb | AesMode::Cbc), Some(bytes)) => text.get(..bytes),
        (Algorithm::RsaRaw, Some(bytes)) => {
            let from = text.len().checked_sub(bytes);
            from.and_then(|from| text.get(from..))
        }
        (_, Some(bytes)) if bytes != text.len() => None,
        _ => Some(text),
    };
    let value = value.ok_or(invalid)?;
    check_length(key_type, value.len()).map_err(|_| invalid)?;
    Ok(Material::secret(key_type, Zeroizing::new(value.to_vec())))
}

/// A private key of what was decrypted.
fn private_of(algorithm: Algorithm, text: &[u8], wanted: &Wanted<'_>) -> Result<Material> {
    let invalid = Rv(CKR_WRAPPED_KEY_INVALID);
    let der = match algorithm {
        Algorithm::Aes(AesMode::Ecb | AesMode::Cbc) => without_zeros(text).ok_or(invalid)?,
        _ => text,
    };
    let made = match Set::unwrapped(der).map_err(|_| invalid)? {
        Some(made) => made,
        None => Material::of(values::pkcs8_private(der).map_err(|_| invalid)?)?,
    };
    check_type(wanted, made.key_type)?;
    Ok(made)
}

/// The DER at the start of a text that ends in zeros.
fn without_zeros(text: &[u8]) -> Option<&[u8]> {
    let (header, length) = match text {
        [_, short @ 0..=0x7f, ..] => (2, usize::from(*short)),
        [_, 0x81, a, ..] => (3, usize::from(*a)),
        [_, 0x82, a, b, ..] => (4, usize::from(u16::from_be_bytes([*a, *b]))),
        _ => return None,
    };
    let (der, zeros) = text.split_at_checked(header + length)?;
    zeros.iter().all(|byte| *byte == 0).then_some(der)
}

fn wrapping_error(rv: Rv) -> Rv {
    Rv(match rv.0 {
        CKR_KEY_TYPE_INCONSISTENT => CKR_WRAPPING_KEY_TYPE_INCONSISTENT,
        CKR_KEY_SIZE_RANGE => CKR_WRAPPING_KEY_SIZE_RANGE,
        CKR_DATA_LEN_RANGE => CKR_KEY_SIZE_RANGE,
        other => other,
    })
}

fn unwrapping_error(rv: Rv) -> Rv {
    Rv(match rv.0 {
        CKR_KEY_TYPE_INCONSISTENT => CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT,
        CKR_KEY_SIZE_RANGE => CKR_UNWRAPPING_KEY_SIZE_RANGE,
        CKR_ENCRYPTED_DATA_INVALID => CKR_WRAPPED_KEY_INVALID,
        CKR_ENCRYPTED_DATA_LEN_RANGE => CKR_WRAPPED_KEY_LEN_RANGE,
        other => other,
    })
}
