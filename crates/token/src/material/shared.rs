//! Secret keys cut from bytes that were derived, agreed or decapsulated.

use slotfs_object::pkcs11::CKK_GENERIC_SECRET;
use slotfs_wire::rv::CKR_ATTRIBUTE_VALUE_INVALID;
use zeroize::Zeroizing;

use super::{Material, Wanted, check_length, length};
use crate::error::{Result, Rv};

/// Which end of the bytes is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    First,
    /// As ECDH without a key derivation function does.
    Last,
}

/// A key of so many of the bytes as the template says: by default all, and a generic secret.
pub(super) fn cut(value: &[u8], wanted: &Wanted<'_>, keep: Keep) -> Result<Material> {
    let key_type = wanted.key_type.unwrap_or(CKK_GENERIC_SECRET);
    let bytes = length(key_type, wanted, Some(value.len()))?;
    let from = match keep {
        Keep::First => 0,
        Keep::Last => value.len().saturating_sub(bytes),
    };
    let part = value.get(from..from + bytes);
    let part = part.ok_or(Rv(CKR_ATTRIBUTE_VALUE_INVALID))?;
    Ok(Material::secret(key_type, Zeroizing::new(part.to_vec())))
}

/// A key that a function makes as long as the template says; without a length, as long as `natural`.
pub(super) fn stretched(
    wanted: &Wanted<'_>,
    natural: Option<usize>,
    make: impl FnOnce(usize) -> Result<Zeroizing<Vec<u8>>>,
) -> Result<Material> {
    let key_type = wanted.key_type.unwrap_or(CKK_GENERIC_SECRET);
    let bytes = length(key_type, wanted, natural)?;
    let value = make(bytes)?;
    check_length(key_type, value.len())?;
    Ok(Material::secret(key_type, value))
}
