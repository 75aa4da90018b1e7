//! Recognises a password that opened a credential, as long as the slot stays open: without Argon2id.

use subtle::ConstantTimeEq;

use super::Secret;
use crate::primitives::hmac;
use slotfs_object::secret::Key;

/// What a password is compared with. Its key is random and never leaves locked memory, so that a copy of the other part is of
/// no use for guesses.
pub struct Verifier {
    key: Key,
    mac: Key,
}

impl Verifier {
    /// Of a password that was right; `None` for another kind of secret, which is cheap to check.
    ///
    /// # Errors
    /// When the system has no random numbers to give.
    pub fn new(secret: &Secret) -> Result<Option<Self>, getrandom::Error> {
        let Secret::Password(password) = secret else {
            return Ok(None);
        };
        let key = Key::random()?;
        let mac = Key::make(|mac| *mac = hmac(key.bytes(), &[password.bytes()]));
        Ok(Some(Self { key, mac }))
    }

    /// Whether it is the same password, in time that does not depend on where the two differ.
    pub fn accepts(&self, secret: &Secret) -> bool {
        let Secret::Password(password) = secret else {
            return false;
        };
        let mac = Key::make(|mac| *mac = hmac(self.key.bytes(), &[password.bytes()]));
        mac.bytes().ct_eq(self.mac.bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use slotfs_object::secret::SecretBytes;

    #[test]
    fn it_knows_one_password() {
        let of = |text: &str| Secret::Password(SecretBytes::from(text.as_bytes()));
        let verifier = Verifier::new(&of("correct horse")).unwrap().unwrap();
        assert!(verifier.accepts(&of("correct horse")));
        for other in ["", "correct hors", "correct horse ", "Correct horse"] {
            assert!(!verifier.accepts(&of(other)), "{other}");
        }
    }
}
