//! The costly part of a login, ahead of it.

use super::Partition;
use slotfs_object::partition::Role;
use slotfs_seal::credential::{self, Secret};

impl Partition<'_> {
    /// `secret` with its Argon2id done for the login of `role` to `slot`. Nothing is checked or counted: that is the
    /// login's, which also says what is wrong where this could not be done.
    pub fn stretch(&self, role: Role, secret: &Secret) -> Secret {
        self.credential_of(role)
            .ok()
            .and_then(|stored| credential::stretch(&stored.credential, secret).ok())
            .unwrap_or_else(|| secret.clone())
    }
}
