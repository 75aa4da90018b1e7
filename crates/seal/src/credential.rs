//! Credentials: what a role logs in with, and the slot key that a login gives (docs/format.md, "Credentials").
//!
//! A slot has one random slot key. Each role's credential wraps that key under a key derived from the
//! role's password, as LUKS key slots do, so that changing a password touches one row. In a quorum slot the
//! wrapping key comes from a secret that M of N key shares make (docs/kinds.md, "Quorum").

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce, Tag};
use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use slotfs_object::partition::{Role, SlotKind};
use slotfs_object::sealed::{COMMITMENT_BYTES, Credential, KdfParams, Method, PartId, SALT_BYTES};
use slotfs_object::secret::{KEY_BYTES, Key, SecretBytes};

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod kdf;
mod quorum;
mod share;
mod slot_key;
mod stretched;

pub use kdf::KdfError;
pub use quorum::QuorumSecret;
pub use share::{KeyShare, ShareFault};
pub use slot_key::{Purpose, SlotKey};
pub use stretched::{Stretched, stretch};

/// Bytes in a password, 8 to 255.
pub const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 8..=255;
/// The place that a credential is bound to: a row that is moved elsewhere does not open there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The partition's serial.
    pub serial: u64,
    /// The role.
    pub role: Role,
    /// The credential's row id.
    pub id: PartId,
}

/// What a role logs in with.
#[derive(Clone, Debug)]
pub enum Secret {
    /// Its password.
    Password(SecretBytes),
    /// The secret that enough of its key shares give.
    Quorum(QuorumSecret),
    /// Its password, stretched for one credential.
    Stretched(Stretched),
}

impl Secret {
    /// The kind of slot that takes it.
    pub fn kind(&self) -> SlotKind {
        match self {
            Self::Password(_) | Self::Stretched(_) => SlotKind::Password,
            Self::Quorum(_) => SlotKind::Quorum,
        }
    }
}

impl From<SecretBytes> for Secret {
    fn from(password: SecretBytes) -> Self {
        Self::Password(password)
    }
}

/// Why a secret does not open a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialError {
    /// The password is wrong.
    Wrong,
    /// The password or every share is right, but the row was changed or moved.
    Damaged,
    /// The credential takes shares and not a password, or the reverse, or shares of another set.
    OtherMethod,
    /// Argon2 could not run with the parameters of the row.
    Kdf(KdfError),
}

/// Wraps `slot_key` under `secret`.
///
/// # Errors
/// [`KdfError`] when there is not enough memory or no randomness.
pub fn wrap(secret: &Secret, slot_key: &SlotKey, binding: Binding) -> Result<Credential, KdfError> {
    let method = match secret {
        Secret::Password(_) => Method::Password(KdfParams::NEW),
        Secret::Quorum(secret) => Method::Quorum(secret.set().clone()),
        // A stretched password belongs to an existing credential.
        Secret::Stretched(_) => return Err(KdfError::Cost),
    };
    let mut salt = vec![0; SALT_BYTES];
    let mut nonce = [0; 12];
    getrandom::fill(&mut salt).map_err(KdfError::Random)?;
    getrandom::fill(&mut nonce).map_err(KdfError::Random)?;
    let keys = match (secret, &method) {
        (Secret::Password(password), Method::Password(params)) => {
            WrapKeys::of_password(password, &salt, *params)?
        }
        (Secret::Quorum(secret), _) => WrapKeys::of_quorum(secret, &salt)?,
        (Secret::Password(_) | Secret::Stretched(_), _) => return Err(KdfError::Cost),
    };
    wrap_with(&keys, slot_key, binding, method, salt, nonce)
}

fn wrap_with(
    keys: &WrapKeys,
    slot_key: &SlotKey,
    binding: Binding,
    method: Method,
    salt: Vec<u8>,
    nonce: [u8; 12],
) -> Result<Credential, KdfError> {
    let mut wrapped = nonce.to_vec();
    let mut sealed = Zeroizing::new(*slot_key.key().bytes());
    let tag = keys
        .cipher()
        .encrypt_inout_detached(
            &Nonce::from(nonce),
            &aad(binding, &method, &salt),
            sealed.as_mut_slice().into(),
        )
        .map_err(|_| KdfError::Random(getrandom::Error::UNEXPECTED))?;
    wrapped.extend_from_slice(&*sealed);
    wrapped.extend_from_slice(&tag);
    Ok(Credential {
        method,
        salt,
        commitment: keys.commitment().to_vec(),
        wrapped,
    })
}

/// Opens a credential with `secret`.
///
/// # Errors
/// [`CredentialError`]
pub fn open(
    credential: &Credential,
    secret: &Secret,
    binding: Binding,
) -> Result<SlotKey, CredentialError> {
    match (secret, &credential.method) {
        (Secret::Password(password), Method::Password(params)) => {
            let keys = WrapKeys::of_password(password, &credential.salt, *params)
                .map_err(CredentialError::Kdf)?;
            open_with(credential, &keys, binding)
        }
        (Secret::Quorum(secret), Method::Quorum(set)) if secret.set() == set => {
            let keys =
                WrapKeys::of_quorum(secret, &credential.salt).map_err(CredentialError::Kdf)?;
            // Each share was checked, so the secret is right and the row must be wrong.
            open_with(credential, &keys, binding).map_err(|_| CredentialError::Damaged)
        }
        (Secret::Stretched(it), Method::Password(params)) => {
            stretched::open(credential, it, *params, binding)
        }
        _ => Err(CredentialError::OtherMethod),
    }
}

/// The memory in KiB that an attempt needs, if it is not available now.
pub fn lacks_memory(credential: &Credential) -> Option<u32> {
    match &credential.method {
        Method::Password(params) if !kdf::has_memory(*params) => Some(params.memory_kib),
        Method::Password(_) | Method::Quorum(_) => None,
    }
}

fn open_with(
    credential: &Credential,
    keys: &WrapKeys,
    binding: Binding,
) -> Result<SlotKey, CredentialError> {
    if !bool::from(keys.commitment().ct_eq(&credential.commitment)) {
        return Err(CredentialError::Wrong);
    }
    let damaged = CredentialError::Damaged;
    let (nonce, rest) = credential
        .wrapped
        .split_first_chunk::<12>()
        .ok_or(damaged)?;
    let (sealed, tag) = rest.split_first_chunk::<KEY_BYTES>().ok_or(damaged)?;
    let tag = Tag::try_from(tag).map_err(|_| damaged)?;
    let mut opened = Ok(());
    let key = Key::make(|key| {
        *key = *sealed;
        opened = keys.cipher().decrypt_inout_detached(
            &Nonce::from(*nonce),
            &aad(binding, &credential.method, &credential.salt),
            key.as_mut_slice().into(),
            &tag,
        );
    });
    opened.map(|()| SlotKey::new(key)).map_err(|_| damaged)
}

/// A key and a commitment to it: HKDF(Argon2id(password), "slotfs 1 wrap"), or HKDF(salt, the shares' secret,
/// "slotfs 1 quorum wrap"), whose 256 random bits need no stretching.
struct WrapKeys {
    key: Zeroizing<[u8; KEY_BYTES]>,
    commitment: [u8; COMMITMENT_BYTES],
}

impl WrapKeys {
    fn of_password(
        password: &SecretBytes,
        salt: &[u8],
        params: KdfParams,
    ) -> Result<Self, KdfError> {
        let stretched = kdf::argon2id(password.bytes(), salt, params)?;
        Self::expand(None, stretched.bytes(), b"slotfs 1 wrap")
    }

    fn of_quorum(secret: &QuorumSecret, salt: &[u8]) -> Result<Self, KdfError> {
        Self::expand(Some(salt), secret.key().bytes(), b"slotfs 1 quorum wrap")
    }

    fn expand(salt: Option<&[u8]>, ikm: &[u8], info: &[u8]) -> Result<Self, KdfError> {
        let mut okm = Zeroizing::new([0; KEY_BYTES + COMMITMENT_BYTES]);
        Hkdf::<Sha256>::new(salt, ikm)
            .expand(info, okm.as_mut_slice())
            .map_err(|_| KdfError::Random(getrandom::Error::UNEXPECTED))?;
        // The two parts have the total length: a copy between different lengths would panic.
        let (key, commitment) = okm.split_at(KEY_BYTES);
        let mut parts = Self {
            key: Zeroizing::default(),
            commitment: [0; COMMITMENT_BYTES],
        };
        parts.key.copy_from_slice(key);
        parts.commitment.copy_from_slice(commitment);
        Ok(parts)
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new((&*self.key).into())
    }

    fn commitment(&self) -> &[u8; COMMITMENT_BYTES] {
        &self.commitment
    }
}

/// serial, role, credential id, KDF parameters or share set, salt, version (docs/format.md, "Credentials").
fn aad(binding: Binding, method: &Method, salt: &[u8]) -> Vec<u8> {
    let mut aad = match method {
        Method::Password(_) => b"slotfs 1 credential".to_vec(),
        Method::Quorum(_) => b"slotfs 1 quorum credential".to_vec(),
    };
    aad.extend_from_slice(&binding.serial.to_le_bytes());
    aad.push(binding.role as u8);
    aad.extend_from_slice(&binding.id.0.to_le_bytes());
    match method {
        Method::Password(params) => {
            for number in [params.memory_kib, params.passes, params.lanes] {
                aad.extend_from_slice(&number.to_le_bytes());
            }
        }
        Method::Quorum(set) => aad.extend_from_slice(&quorum::set_bytes(set)),
    }
    aad.extend_from_slice(salt);
    aad
}

#[cfg(test)]
mod tests {
    use slotfs_object::sealed::Quorum;

    use super::*;

    const BINDING: Binding = Binding {
        serial: 7,
        role: Role::Co,
        id: PartId(1),
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
        let password = Secret::from(SecretBytes::from(b"correct horse".as_slice()));
        let credential = wrap(&password, &slot_key, BINDING).unwrap();
        let opened = open(&credential, &password, BINDING).unwrap();
        assert_eq!(opened.key().bytes(), slot_key.key().bytes());

        let other = Secret::from(SecretBytes::from(b"correct horsf".as_slice()));
        assert_eq!(
            open(&credential, &other, BINDING).err(),
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
            Binding {
                id: PartId(2),
                ..BINDING
            },
        ] {
            assert_eq!(
                open(&credential, &password, moved).err(),
                Some(CredentialError::Damaged)
            );
        }
    }

    #[test]
    fn absurd_costs_are_refused_before_any_memory_is_taken() {
        let slot_key = SlotKey::random().unwrap();
        let password = Secret::from(SecretBytes::from(b"correct horse".as_slice()));
        let good = wrap(&password, &slot_key, BINDING).unwrap();
        for (memory_kib, passes, lanes) in [
            (u32::MAX, 3, 4),
            (8, 1, 1),
            (64 * 1024, 0, 4),
            (64 * 1024, 17, 4),
            (64 * 1024, 3, 0),
            (64 * 1024, 3, 17),
        ] {
            let mut bad = good.clone();
            bad.method = Method::Password(KdfParams {
                memory_kib,
                passes,
                lanes,
            });
            assert_eq!(
                open(&bad, &password, BINDING).err(),
                Some(CredentialError::Kdf(KdfError::Cost))
            );
        }
    }

    #[test]
    fn a_quorum_opens_its_own_credential_and_no_other() {
        let slot_key = SlotKey::random().unwrap();
        let quorum: Quorum = "2/3".parse().unwrap();
        let (secret, _) = QuorumSecret::random(quorum, BINDING.serial).unwrap();
        let (other, _) = QuorumSecret::random(quorum, BINDING.serial).unwrap();
        let (secret, other) = (Secret::Quorum(secret), Secret::Quorum(other));
        let credential = wrap(&secret, &slot_key, BINDING).unwrap();
        let opened = open(&credential, &secret, BINDING).unwrap();
        assert_eq!(opened.key().bytes(), slot_key.key().bytes());
        for wrong in [other, SecretBytes::from(b"correct horse".as_slice()).into()] {
            assert_eq!(
                open(&credential, &wrong, BINDING).err(),
                Some(CredentialError::OtherMethod)
            );
        }
        let moved = Binding {
            id: PartId(2),
            ..BINDING
        };
        assert_eq!(
            open(&credential, &secret, moved).err(),
            Some(CredentialError::Damaged)
        );
    }
}
