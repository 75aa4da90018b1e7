//! A password after its Argon2id, which is nearly all of what a login costs: done beside other work, before the login.
//! Nothing is checked or counted by it.

use std::fmt;
use std::sync::Arc;

use super::{Binding, Credential, CredentialError, KdfParams, Method, Secret, SlotKey, WrapKeys};

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

impl Credential {
    /// `secret` as this credential makes it ready for [`Self::unwrap`]; as it is where there is nothing to be done.
    ///
    /// # Errors
    /// [`CredentialError::Kdf`]
    pub fn stretch(&self, secret: &Secret) -> Result<Secret, CredentialError> {
        let (Secret::Password(password), Method::Password(params)) = (secret, &self.method) else {
            return Ok(secret.clone());
        };
        let keys =
            WrapKeys::of_password(password, &self.salt, *params).map_err(CredentialError::Kdf)?;
        Ok(Secret::Stretched(Stretched {
            keys: Arc::new(keys),
            salt: self.salt.clone(),
            params: *params,
        }))
    }

    pub(super) fn unwrap_stretched(
        &self,
        it: &Stretched,
        params: KdfParams,
        binding: Binding,
    ) -> Result<SlotKey, CredentialError> {
        // A credential that took the other one's place meanwhile.
        if it.salt != self.salt || it.params != params {
            return Err(CredentialError::OtherMethod);
        }
        self.unwrap_with(&it.keys, binding)
    }
}
