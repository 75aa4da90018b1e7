//! Encapsulation and decapsulation with ML-KEM.

use slotfs_object::usable::UsableKey;
use slotfs_wire::Mechanism;
use slotfs_wire::numbers::{CKF_DECAPSULATE, CKF_ENCAPSULATE};
use slotfs_wire::rv::{
    CKR_ENCRYPTED_DATA_LEN_RANGE, CKR_KEY_TYPE_INCONSISTENT, CKR_MECHANISM_INVALID,
};

use super::shared::{Keep, cut};
use super::{Material, Wanted};
use crate::error::{Result, Rv};
use crate::mechanism::{self, Algorithm};
use crate::operation::{Prepared, no_parameter};

fn check(mechanism: &Mechanism, flag: u64) -> Result<()> {
    match mechanism::with_flag(mechanism.number, flag) {
        Some(Algorithm::MlKem) => no_parameter(&mechanism.parameter),
        _ => Err(Rv(CKR_MECHANISM_INVALID)),
    }
}

/// A new secret key, and the ciphertext that holds it.
///
/// # Errors
/// `CKR_MECHANISM_INVALID`, `CKR_MECHANISM_PARAM_INVALID`, `CKR_KEY_TYPE_INCONSISTENT`, `CKR_ATTRIBUTE_VALUE_INVALID` of
/// the length.
pub(crate) fn encapsulate(
    mechanism: &Mechanism,
    public: &UsableKey,
    wanted: &Wanted<'_>,
) -> Result<(Material, Vec<u8>)> {
    check(mechanism, CKF_ENCAPSULATE)?;
    let Prepared::MlKemPublic(key) = &*Prepared::of(public)? else {
        return Err(Rv(CKR_KEY_TYPE_INCONSISTENT));
    };
    let (ciphertext, secret) = key.encapsulate()?;
    Ok((cut(&secret, wanted, Keep::First)?, ciphertext))
}

/// The secret key in a ciphertext. Of a ciphertext for another key it is one that nobody else has.
///
/// # Errors
/// As [`encapsulate`]; `CKR_ENCRYPTED_DATA_LEN_RANGE`.
pub(crate) fn decapsulate(
    mechanism: &Mechanism,
    private: &UsableKey,
    ciphertext: &[u8],
    wanted: &Wanted<'_>,
) -> Result<Material> {
    check(mechanism, CKF_DECAPSULATE)?;
    let Prepared::MlKemPrivate(key) = &*Prepared::of(private)? else {
        return Err(Rv(CKR_KEY_TYPE_INCONSISTENT));
    };
    let secret = key.decapsulate(ciphertext);
    let secret = secret.map_err(|_| Rv(CKR_ENCRYPTED_DATA_LEN_RANGE))?;
    cut(&secret, wanted, Keep::First)
}
