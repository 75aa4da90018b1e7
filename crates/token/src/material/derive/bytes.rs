//! Keys of the bytes of others: joined, mixed, encrypted.

use std::sync::Arc;

use slotfs_crypto::aes::{Cipher, Direction, Mode};
use slotfs_object::pkcs11::CKK_AES;
use slotfs_object::usable::UsableKey;
use slotfs_wire::Parameter;
use slotfs_wire::rv::{CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID};
use zeroize::Zeroizing;

use super::super::shared::{Keep, cut};
use super::super::{Material, Wanted};
use super::value_of;
use crate::error::{Result, Rv};
use crate::mechanism::Derive;
use crate::operation::Prepared;

pub(super) fn derive(
    kind: Derive,
    parameter: &Parameter,
    base: &UsableKey,
    wanted: &Wanted<'_>,
    other_keys: &dyn Fn(u64) -> Result<Arc<UsableKey>>,
) -> Result<Material> {
    let invalid = Rv(CKR_MECHANISM_PARAM_INVALID);
    let data = || match parameter {
        Parameter::DerivationData { iv: None, data } => Ok(data.as_slice()),
        _ => Err(invalid),
    };
    let joined = |one: &[u8], two: &[u8]| {
        let mut all = Zeroizing::new(Vec::with_capacity(one.len() + two.len()));
        all.extend_from_slice(one);
        all.extend_from_slice(two);
        all
    };
    let value = match (kind, parameter) {
        (Derive::AesEcb, Parameter::DerivationData { iv: None, data }) => {
            encrypted(base, Mode::Ecb, data)?
        }
        (Derive::AesCbc, Parameter::DerivationData { iv: Some(iv), data }) => {
            encrypted(base, Mode::Cbc { iv: *iv }, data)?
        }
        (Derive::AesEcb | Derive::AesCbc, _) => return Err(invalid),
        (Derive::ConcatenateKey, Parameter::Number(handle)) => {
            joined(&value_of(base)?, &value_of(&*other_keys(*handle)?)?)
        }
        (Derive::ConcatenateKey, _) => return Err(invalid),
        (Derive::ConcatenateData, _) => joined(&value_of(base)?, data()?),
        (Derive::ConcatenateBefore, _) => joined(data()?, &value_of(base)?),
        (Derive::Xor, _) => {
            let (value, data) = (value_of(base)?, data()?);
            let mixed = value.iter().zip(data).map(|(one, two)| one ^ two);
            Zeroizing::new(mixed.collect())
        }
        (Derive::Extract, Parameter::Number(bit)) => rotated(&value_of(base)?, *bit)?,
        (Derive::Extract, _) => return Err(invalid),
        _ => return Err(Rv(CKR_MECHANISM_INVALID)),
    };
    // The value is as long as what the parameter names, so it is the parameter that is too short. The bits of an
    // extraction come from the base key alone.
    let is_short = wanted
        .value_len
        .is_some_and(|bytes| bytes > value.len() as u64);
    if is_short && kind != Derive::Extract {
        return Err(invalid);
    }
    cut(&value, wanted, Keep::First)
}

/// `data` under the base key.
fn encrypted(base: &UsableKey, mode: Mode, data: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let invalid = Rv(CKR_MECHANISM_PARAM_INVALID);
    let prepared = Prepared::of(base)?;
    let key = prepared.secret(|key_type| key_type == CKK_AES)?;
    if data.is_empty() {
        return Err(invalid);
    }
    let mut cipher = Cipher::new(mode, Direction::Encrypt, key)?;
    let mut out = Zeroizing::new(Vec::with_capacity(data.len() + 16));
    cipher.update_into(data, &mut out)?;
    // A part of a block is left.
    cipher.finish().map_err(|_| invalid)?;
    Ok(out)
}

/// The bits of `value` from one bit on, and around its end (PKCS#11 3.1 section 6.41.7).
fn rotated(value: &[u8], bit: u64) -> Result<Zeroizing<Vec<u8>>> {
    let invalid = Rv(CKR_MECHANISM_PARAM_INVALID);
    let bit = usize::try_from(bit).map_err(|_| invalid)?;
    if bit >= 8 * value.len() {
        return Err(invalid);
    }
    let (first, shift) = (bit / 8, bit % 8);
    let at = |index: usize| value[(first + index) % value.len()];
    let bytes = (0..value.len()).map(|index| {
        let two = u16::from_be_bytes([at(index), at(index + 1)]);
        (two << shift >> 8) as u8
    });
    Ok(Zeroizing::new(bytes.collect()))
}
