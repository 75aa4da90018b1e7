//! A password after its Argon2id, which takes most of the time of a login. It runs beside other work, before the login, and
//! neither checks the password nor counts an attempt.

use std::fmt;
use std::sync::Arc;

use slotfs_object::sealed::{Credential, KdfParams, Method};

use super::{CredentialError, Secret, WrapKeys};

/// A password stretched for one credential; useless for any other.
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

/// Prepares `secret` for [`super::open`] with `credential`. A secret that needs no stretching is returned as it is.
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

impl Stretched {
    /// The keys for `credential`, unless another one replaced it meanwhile.
    pub(super) fn keys_for(
        &self,
        credential: &Credential,
        params: KdfParams,
    ) -> Result<Arc<WrapKeys>, CredentialError> {
        if self.salt != credential.salt || self.params != params {
            return Err(CredentialError::OtherMethod);
        }
        Ok(Arc::clone(&self.keys))
    }
}
