//! Who may open a slot, and the key that opening gives (DESIGN.md 5).
//!
//! A slot has one random slot key. Each role's credential wraps that key under a key derived from the
//! role's password, as LUKS key slots do, so that changing a password touches one row.

use std::fmt;
use std::str::FromStr;

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce, Tag};
use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::secret::{KEY_BYTES, Key, SecretBytes};

pub(crate) mod fuzzing;
pub mod kdf;
mod slot_key;

pub use kdf::{KdfError, KdfParams};
pub use slot_key::{Purpose, SealedRow, SlotKey};

/// Bytes in a password, 8 to 255.
pub const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 8..=255;
/// Bytes in a credential's salt.
pub const SALT_BYTES: usize = 16;
/// Bytes in the commitment to the wrapping key.
pub const COMMITMENT_BYTES: usize = 32;
/// Bytes in a wrapped slot key: nonce, key, tag.
pub const WRAPPED_BYTES: usize = KEY_BYTES + SealedRow::OVERHEAD_BYTES;

/// A role of a slot, lunacm's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Partition officer: domains, policies, reset.
    Po = 1,
    /// Crypto officer: objects.
    Co = 2,
    /// Crypto user: reads, never writes.
    Cu = 3,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Po, Self::Co, Self::Cu];

    /// lunacm's long name of it.
    pub fn long_name(self) -> &'static str {
        match self {
            Self::Po => "Partition SO",
            Self::Co => "Crypto Officer",
            Self::Cu => "Crypto User",
        }
    }

    /// The role that `number` stands for at rest.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|role| *role as u8 == number)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Po => "po",
            Self::Co => "co",
            Self::Cu => "cu",
        })
    }
}

impl FromStr for Role {
    type Err = String;
    /// The short name, or lunacm's long one in any case.
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|role| role.to_string() == text || role.long_name().eq_ignore_ascii_case(text))
            .ok_or_else(|| format!("'{text}' is not a role: po, co or cu"))
    }
}

/// What a credential is bound to: a row put in another place does not open there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The partition's serial.
    pub serial: u64,
    /// The role.
    pub role: Role,
    /// The credential's row id.
    pub id: i64,
}

/// A slot key wrapped by a password, as it is at rest: nothing of it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Cost of the password's Argon2id.
    pub params: KdfParams,
    /// Salt of the same.
    pub salt: Vec<u8>,
    /// Compared before unwrapping, in constant time.
    pub commitment: Vec<u8>,
    /// Nonce, wrapped slot key, tag.
    pub wrapped: Vec<u8>,
}

/// Why a password does not open a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialError {
    /// The password is another.
    Wrong,
    /// The password is right, but the row was changed or moved.
    Damaged,
    /// Argon2 could not run at what the row asks for.
    Kdf(KdfError),
}

impl Credential {
    /// Wraps `slot_key` under `password`.
    ///
    /// # Errors
    /// [`KdfError`] when there is not enough memory or no randomness.
    pub fn wrap(
        password: &SecretBytes,
        slot_key: &SlotKey,
        binding: Binding,
    ) -> Result<Self, KdfError> {
        let params = KdfParams::NEW;
        let mut salt = vec![0; SALT_BYTES];
        let mut nonce = [0; 12];
        getrandom::fill(&mut salt).map_err(|_| KdfError::Random)?;
        getrandom::fill(&mut nonce).map_err(|_| KdfError::Random)?;
        let keys = WrapKeys::derive(password, &salt, params)?;
        Self::wrap_with(&keys, slot_key, binding, params, salt, nonce)
    }

    fn wrap_with(
        keys: &WrapKeys,
        slot_key: &SlotKey,
        binding: Binding,
        params: KdfParams,
        salt: Vec<u8>,
        nonce: [u8; 12],
    ) -> Result<Self, KdfError> {
        let mut wrapped = nonce.to_vec();
        let mut sealed = Zeroizing::new(*slot_key.key().bytes());
        let tag = keys
            .cipher()
            .encrypt_inout_detached(
                &Nonce::from(nonce),
                &aad(binding, params, &salt),
                sealed.as_mut_slice().into(),
            )
            .map_err(|_| KdfError::Memory)?;
        wrapped.extend_from_slice(&*sealed);
        wrapped.extend_from_slice(&tag);
        Ok(Self {
            params,
            salt,
            commitment: keys.commitment().to_vec(),
            wrapped,
        })
    }

    /// Opens the credential with `password`.
    ///
    /// # Errors
    /// [`CredentialError`]
    pub fn unwrap(
        &self,
        password: &SecretBytes,
        binding: Binding,
    ) -> Result<SlotKey, CredentialError> {
        let keys =
            WrapKeys::derive(password, &self.salt, self.params).map_err(CredentialError::Kdf)?;
        self.unwrap_with(&keys, binding)
    }

    fn unwrap_with(&self, keys: &WrapKeys, binding: Binding) -> Result<SlotKey, CredentialError> {
        if !bool::from(keys.commitment().ct_eq(&self.commitment)) {
            return Err(CredentialError::Wrong);
        }
        let damaged = CredentialError::Damaged;
        let (nonce, rest) = self.wrapped.split_first_chunk::<12>().ok_or(damaged)?;
        let (sealed, tag) = rest.split_first_chunk::<KEY_BYTES>().ok_or(damaged)?;
        let tag = Tag::try_from(tag).map_err(|_| damaged)?;
        let mut opened = Ok(());
        let key = Key::make(|key| {
            *key = *sealed;
            opened = keys.cipher().decrypt_inout_detached(
                &Nonce::from(*nonce),
                &aad(binding, self.params, &self.salt),
                key.as_mut_slice().into(),
                &tag,
            );
        });
        opened.map(|()| SlotKey::new(key)).map_err(|_| damaged)
    }
}

/// What a password gives: HKDF(Argon2id(password), "slotfs 1 wrap"), a key and a commitment to it.
struct WrapKeys(Zeroizing<[u8; KEY_BYTES + COMMITMENT_BYTES]>);

impl WrapKeys {
    fn derive(password: &SecretBytes, salt: &[u8], params: KdfParams) -> Result<Self, KdfError> {
        let stretched = kdf::argon2id(password.bytes(), salt, params)?;
        let mut okm = Zeroizing::new([0; KEY_BYTES + COMMITMENT_BYTES]);
        Hkdf::<Sha256>::new(None, stretched.bytes())
            .expand(b"slotfs 1 wrap", okm.as_mut_slice())
            .map_err(|_| KdfError::Memory)?;
        Ok(Self(okm))
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(self.0.first_chunk::<KEY_BYTES>().unwrap_or(&[0; 32]).into())
    }

    fn commitment(&self) -> &[u8] {
        &self.0[KEY_BYTES..]
    }
}

/// serial, role, credential id, KDF parameters, salt, version (DESIGN.md 5).
fn aad(binding: Binding, params: KdfParams, salt: &[u8]) -> Vec<u8> {
    let mut aad = b"slotfs 1 credential".to_vec();
    aad.extend_from_slice(&binding.serial.to_le_bytes());
    aad.push(binding.role as u8);
    aad.extend_from_slice(&binding.id.to_le_bytes());
    for number in [params.memory_kib, params.passes, params.lanes] {
        aad.extend_from_slice(&number.to_le_bytes());
    }
    aad.extend_from_slice(salt);
    aad
}

#[cfg(test)]
mod tests {
    use super::*;

    const BINDING: Binding = Binding {
        serial: 7,
        role: Role::Co,
        id: 1,
    };

    #[test]
    fn roles_have_short_and_long_names() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
            assert_eq!(role.long_name().to_lowercase().parse(), Ok(role));
        }
        assert!("so".parse::<Role>().is_err());
    }

    #[test]
    fn only_the_password_at_its_own_place_opens() {
        let slot_key = SlotKey::random().unwrap();
        let password = SecretBytes::from(b"correct horse".as_slice());
        let credential = Credential::wrap(&password, &slot_key, BINDING).unwrap();
        let opened = credential.unwrap(&password, BINDING).unwrap();
        assert_eq!(opened.key().bytes(), slot_key.key().bytes());

        let other = SecretBytes::from(b"correct horsf".as_slice());
        assert_eq!(
            credential.unwrap(&other, BINDING).err(),
            Some(CredentialError::Wrong)
        );
        for moved in [
            Binding {
                serial: 8,
                ..BINDING
            },
            Binding {
                role: Role::Po,
                ..BINDING
            },
            Binding { id: 2, ..BINDING },
        ] {
            assert_eq!(
                credential.unwrap(&password, moved).err(),
                Some(CredentialError::Damaged)
            );
        }
    }

    #[test]
    fn absurd_costs_are_refused_before_any_memory_is_taken() {
        let slot_key = SlotKey::random().unwrap();
        let password = SecretBytes::from(b"correct horse".as_slice());
        let good = Credential::wrap(&password, &slot_key, BINDING).unwrap();
        for (memory_kib, passes, lanes) in [
            (u32::MAX, 3, 4),
            (8, 1, 1),
            (64 * 1024, 0, 4),
            (64 * 1024, 17, 4),
            (64 * 1024, 3, 0),
            (64 * 1024, 3, 17),
        ] {
            let mut bad = good.clone();
            bad.params = KdfParams {
                memory_kib,
                passes,
                lanes,
            };
            assert_eq!(
                bad.unwrap(&password, BINDING).err(),
                Some(CredentialError::Kdf(KdfError::Cost))
            );
        }
    }
}
