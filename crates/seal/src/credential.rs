//! Credentials: what a role logs in with, and the slot key that a login gives (docs/format.md, "Credentials").
//!
//! A slot has one random slot key. Each role has a key pair, to which the slot key is encapsulated ([`pair`]). The role's
//! credential wraps the secret half of the pair under a key derived from its password. In a quorum slot the wrapping key
//! comes from a secret that M of N key shares make (docs/kinds.md, "Quorum"). Up to schema 3 a credential wrapped the slot
//! key itself.

use std::sync::Arc;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use slotfs_object::partition::{Role, SlotKind};
use slotfs_object::sealed::{COMMITMENT_BYTES, Credential, KdfParams, Method, PartId, SALT_BYTES};
use slotfs_object::secret::{KEY_BYTES, Key, SecretBytes};

use crate::primitives::{
    MAC_BYTES, NONCE_BYTES, TAG_BYTES, decrypt, encrypt, expand, extract, hmac,
};

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod kdf;
pub mod pair;
mod quorum;
mod share;
mod slot_key;
mod stretched;
mod verifier;

pub use kdf::KdfError;
pub use pair::PairSecret;
pub use quorum::QuorumSecret;
pub use share::{KeyShare, ShareFault};
pub use slot_key::{Purpose, SlotKey};
pub use stretched::{Stretched, stretch};
pub use verifier::Verifier;

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

/// What a credential wraps.
#[derive(Clone, Debug)]
pub enum Contents {
    /// The slot key, up to schema 3.
    SlotKey(SlotKey),
    /// The secret half of the role's pair.
    Pair(PairSecret),
}

/// An opened credential.
#[derive(Clone)]
pub struct Opened {
    /// What it wraps.
    pub contents: Contents,
    keys: Arc<WrapKeys>,
    method: Method,
    salt: Vec<u8>,
}

impl Opened {
    /// Wraps the secret half of a pair under the same password or shares.
    ///
    /// # Errors
    /// When the system has no random numbers to give.
    pub fn wrap(&self, pair: &PairSecret, binding: Binding) -> Result<Credential, KdfError> {
        let (method, salt) = (self.method.clone(), self.salt.clone());
        wrap_with(&self.keys, &pair.bytes(), binding, method, salt)
    }
}

/// Wraps the secret half of a pair under `secret`.
///
/// # Errors
/// [`KdfError`] when there is not enough memory or no randomness.
pub fn wrap(secret: &Secret, pair: &PairSecret, binding: Binding) -> Result<Credential, KdfError> {
    let mut salt = vec![0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(KdfError::Random)?;
    let (keys, method) = match secret {
        Secret::Password(password) => {
            let params = KdfParams::NEW;
            let keys = WrapKeys::of_password(password, &salt, params)?;
            (keys, Method::Password(params))
        }
        Secret::Quorum(secret) => {
            let keys = WrapKeys::of_quorum(secret, &salt);
            (keys, Method::Quorum(secret.set().clone()))
        }
        // A stretched password belongs to an existing credential.
        Secret::Stretched(_) => return Err(KdfError::Cost),
    };
    wrap_with(&keys, &pair.bytes(), binding, method, salt)
}

fn wrap_with(
    keys: &WrapKeys,
    plain: &[u8],
    binding: Binding,
    method: Method,
    salt: Vec<u8>,
) -> Result<Credential, KdfError> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(KdfError::Random)?;
    wrap_under(keys, plain, binding, method, salt, &random)
}

/// `plain` is a slot key or a pair.
fn wrap_under(
    keys: &WrapKeys,
    plain: &[u8],
    binding: Binding,
    method: Method,
    salt: Vec<u8>,
    random: &[u8; 32],
) -> Result<Credential, KdfError> {
    let is_pair = plain.len() != KEY_BYTES;
    let aad = aad(binding, is_pair, &method, &salt);
    // As the nonce of a row: a login can wrap another authentication key under the same password.
    let aad_bytes = (aad.len() as u64).to_le_bytes();
    let mac = hmac(&keys.nonce, &[random, &aad_bytes, &aad, plain]);
    let mut nonce = [0; NONCE_BYTES];
    nonce.copy_from_slice(&mac[..NONCE_BYTES]);
    let mut sealed = Zeroizing::new(plain.to_vec());
    let tag = encrypt(&keys.key, nonce, &aad, &mut sealed)
        .ok_or(KdfError::Random(getrandom::Error::UNEXPECTED))?;
    Ok(Credential {
        method,
        salt,
        commitment: keys.commitment().to_vec(),
        wrapped: [&nonce[..], &sealed, &tag].concat(),
    })
}

/// Opens a credential with `secret`. `is_pair`: whether a pair belongs to it.
///
/// # Errors
/// [`CredentialError`]
pub fn open(
    credential: &Credential,
    is_pair: bool,
    secret: &Secret,
    binding: Binding,
) -> Result<Opened, CredentialError> {
    let keys = match (secret, &credential.method) {
        (Secret::Password(password), Method::Password(params)) => {
            let keys = WrapKeys::of_password(password, &credential.salt, *params);
            Arc::new(keys.map_err(CredentialError::Kdf)?)
        }
        (Secret::Quorum(secret), Method::Quorum(set)) if secret.set() == set => {
            Arc::new(WrapKeys::of_quorum(secret, &credential.salt))
        }
        (Secret::Stretched(it), Method::Password(params)) => it.keys_for(credential, *params)?,
        _ => return Err(CredentialError::OtherMethod),
    };
    let opened = open_with(credential, is_pair, &keys, binding);
    let contents = opened.map_err(|why| match &credential.method {
        Method::Password(_) => why,
        // Each share was checked, so the secret is right and the row must be wrong.
        Method::Quorum(_) => CredentialError::Damaged,
    })?;
    Ok(Opened {
        contents,
        keys,
        method: credential.method.clone(),
        salt: credential.salt.clone(),
    })
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
    is_pair: bool,
    keys: &WrapKeys,
    binding: Binding,
) -> Result<Contents, CredentialError> {
    if !bool::from(keys.commitment().ct_eq(&credential.commitment)) {
        return Err(CredentialError::Wrong);
    }
    let damaged = CredentialError::Damaged;
    let (nonce, rest) = credential
        .wrapped
        .split_first_chunk::<NONCE_BYTES>()
        .ok_or(damaged)?;
    let (sealed, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(damaged)?;
    let mut plain = SecretBytes::from(sealed);
    let aad = aad(binding, is_pair, &credential.method, &credential.salt);
    decrypt(&keys.key, *nonce, &aad, plain.bytes_mut(), *tag).ok_or(damaged)?;
    match is_pair {
        true => PairSecret::from_bytes(plain.bytes()).map(Contents::Pair),
        false => Key::from_slice(plain.bytes()).map(|key| Contents::SlotKey(SlotKey::new(key))),
    }
    .ok_or(damaged)
}

/// A key and a commitment to it: HKDF(Argon2id(password), "slotfs 1 wrap"), or HKDF(salt, the shares' secret,
/// "slotfs 1 quorum wrap"), whose 256 random bits need no stretching; and a key for nonces.
struct WrapKeys {
    key: Zeroizing<[u8; KEY_BYTES]>,
    nonce: Zeroizing<[u8; KEY_BYTES]>,
    commitment: [u8; COMMITMENT_BYTES],
}

impl WrapKeys {
    fn of_password(
        password: &SecretBytes,
        salt: &[u8],
        params: KdfParams,
    ) -> Result<Self, KdfError> {
        let stretched = kdf::argon2id(password.bytes(), salt, params)?;
        // RFC 5869, 2.2: no salt is as many zeros as the hash has bytes.
        let prk = extract(&[0; MAC_BYTES], &[stretched.bytes()]);
        Ok(Self::of(&prk, b"slotfs 1 wrap"))
    }

    fn of_quorum(secret: &QuorumSecret, salt: &[u8]) -> Self {
        let prk = extract(salt, &[secret.key().bytes()]);
        Self::of(&prk, b"slotfs 1 quorum wrap")
    }

    fn of(prk: &[u8; KEY_BYTES], info: &[u8]) -> Self {
        let mut okm = Zeroizing::new([0; KEY_BYTES + COMMITMENT_BYTES]);
        expand(prk, &[info], &mut okm);
        let mut keys = Self {
            key: Zeroizing::default(),
            nonce: Zeroizing::default(),
            commitment: [0; COMMITMENT_BYTES],
        };
        // The two parts have the total length: a copy between different lengths would panic.
        let (key, commitment) = okm.split_at(KEY_BYTES);
        keys.key.copy_from_slice(key);
        keys.commitment.copy_from_slice(commitment);
        expand(prk, &[b"slotfs 2 wrap nonce"], &mut keys.nonce);
        keys
    }

    fn commitment(&self) -> &[u8; COMMITMENT_BYTES] {
        &self.commitment
    }
}

/// Identifies a credential in the slot's header: SHA-256 of its associated data, commitment and wrapped bytes.
pub fn hash(credential: &Credential, is_pair: bool, binding: Binding) -> [u8; 32] {
    let mut bytes = aad(binding, is_pair, &credential.method, &credential.salt);
    bytes.extend_from_slice(&credential.commitment);
    bytes.extend_from_slice(&credential.wrapped);
    pair::hash(&bytes)
}

/// serial, role, credential id, KDF parameters or share set, salt; the version, 2 for a pair, is in the label
/// (docs/format.md, "Credentials").
fn aad(binding: Binding, is_pair: bool, method: &Method, salt: &[u8]) -> Vec<u8> {
    let mut aad = match (method, is_pair) {
        (Method::Password(_), false) => b"slotfs 1 credential".to_vec(),
        (Method::Quorum(_), false) => b"slotfs 1 quorum credential".to_vec(),
        (Method::Password(_), true) => b"slotfs 2 credential".to_vec(),
        (Method::Quorum(_), true) => b"slotfs 2 quorum credential".to_vec(),
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

    fn bytes_of(contents: &Contents) -> Zeroizing<Vec<u8>> {
        match contents {
            Contents::SlotKey(key) => Zeroizing::new(key.key().bytes().to_vec()),
            Contents::Pair(pair) => pair.bytes(),
        }
    }

    #[test]
    fn only_the_password_at_its_own_place_opens() {
        let pair = PairSecret::random().unwrap();
        let password = Secret::from(SecretBytes::from(b"correct horse".as_slice()));
        let credential = wrap(&password, &pair, BINDING).unwrap();
        let opened = open(&credential, true, &password, BINDING).unwrap();
        assert_eq!(bytes_of(&opened.contents), pair.bytes());

        // What was wrapped for a pair is no slot key.
        assert_eq!(
            open(&credential, false, &password, BINDING).err(),
            Some(CredentialError::Damaged)
        );
        let again = opened.wrap(&pair, BINDING).unwrap();
        assert_ne!(again.wrapped, credential.wrapped);
        let again = open(&again, true, &password, BINDING).unwrap();
        assert_eq!(bytes_of(&again.contents), pair.bytes());

        let other = Secret::from(SecretBytes::from(b"correct horsf".as_slice()));
        assert_eq!(
            open(&credential, true, &other, BINDING).err(),
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
                open(&credential, true, &password, moved).err(),
                Some(CredentialError::Damaged)
            );
        }
    }

    #[test]
    fn absurd_costs_are_refused_before_any_memory_is_taken() {
        let pair = PairSecret::random().unwrap();
        let password = Secret::from(SecretBytes::from(b"correct horse".as_slice()));
        let good = wrap(&password, &pair, BINDING).unwrap();
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
                open(&bad, true, &password, BINDING).err(),
                Some(CredentialError::Kdf(KdfError::Cost))
            );
        }
    }

    #[test]
    fn a_quorum_opens_its_own_credential_and_no_other() {
        let pair = PairSecret::random().unwrap();
        let quorum: Quorum = "2/3".parse().unwrap();
        let (secret, _) = QuorumSecret::random(quorum, BINDING.serial).unwrap();
        let (other, _) = QuorumSecret::random(quorum, BINDING.serial).unwrap();
        let (secret, other) = (Secret::Quorum(secret), Secret::Quorum(other));
        let credential = wrap(&secret, &pair, BINDING).unwrap();
        let opened = open(&credential, true, &secret, BINDING).unwrap();
        assert_eq!(bytes_of(&opened.contents), pair.bytes());
        for wrong in [other, SecretBytes::from(b"correct horse".as_slice()).into()] {
            assert_eq!(
                open(&credential, true, &wrong, BINDING).err(),
                Some(CredentialError::OtherMethod)
            );
        }
        let moved = Binding {
            id: PartId(2),
            ..BINDING
        };
        assert_eq!(
            open(&credential, true, &secret, moved).err(),
            Some(CredentialError::Damaged)
        );
    }
}
