//! A password after its Argon2id, which is nearly all of what a login costs: done beside other work, before the login.
//! Nothing is checked or counted by it.

use std::fmt;
use std::sync::Arc;

use slotfs_object::sealed::{Credential, KdfParams, Method};

use super::{Binding, CredentialError, Secret, SlotKey, WrapKeys, open_with};

/// What one credential makes of a password. Of no use for another one.
#[derive(Clone)]
pub struct Stretched {
    keys: Arc<WrapKeys>,
    salt: Vec<u8>,
    params: KdfParams,
}

impl fmt::Debug for Stretched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stretched")
    }
}

/// `secret` as `credential` makes it ready for [`super::open`]; as it is where there is nothing to be done.
///
/// # Errors
/// [`CredentialError::Kdf`]
pub fn stretch(credential: &Credential, secret: &Secret) -> Result<Secret, CredentialError> {
    let (Secret::Password(password), Method::Password(params)) = (secret, &credential.method)
    else {
        return Ok(secret.clone());
    };
    let keys =
        WrapKeys::of_password(password, &credential.salt, *params).map_err(CredentialError::Kdf)?;
    Ok(Secret::Stretched(Stretched {
        keys: Arc::new(keys),
        salt: credential.salt.clone(),
        params: *params,
    }))
}

pub(super) fn open(
    credential: &Credential,
    it: &Stretched,
    params: KdfParams,
    binding: Binding,
) -> Result<SlotKey, CredentialError> {
    // A credential that took the other one's place meanwhile.
    if it.salt != credential.salt || it.params != params {
        return Err(CredentialError::OtherMethod);
    }
    open_with(credential, &it.keys, binding)
}
