//! Keys for the tests of this crate.
#![allow(clippy::unwrap_used)]

use slotfs_keyfile::generate::{EcCurve, KeyPairType, RsaBits, generate_key_pair};
use slotfs_object::new::{Naming, SecretKeyType, import_secret_key};
use slotfs_object::secret::SecretBytes;
use slotfs_object::usable::UsableKey;
use slotfs_wire::{Mechanism, Parameter};

/// The private and the public half of a new pair.
pub(crate) fn pair(kind: KeyPairType) -> (UsableKey, UsableKey) {
    let pair = generate_key_pair(kind, &Naming::default()).unwrap();
    (UsableKey::new(pair.private), UsableKey::new(pair.public))
}

pub(crate) fn rsa() -> (UsableKey, UsableKey) {
    pair(KeyPairType::Rsa(RsaBits::try_from(2048).unwrap()))
}

pub(crate) fn p256() -> (UsableKey, UsableKey) {
    pair(KeyPairType::Ec(EcCurve::P256))
}

pub(crate) fn aes(value: &[u8]) -> UsableKey {
    secret(SecretKeyType::Aes, value)
}

pub(crate) fn generic(value: &[u8]) -> UsableKey {
    secret(SecretKeyType::Generic, value)
}

fn secret(kind: SecretKeyType, value: &[u8]) -> UsableKey {
    let value = SecretBytes::from(value);
    UsableKey::new(import_secret_key(kind, value, &Naming::default()).unwrap())
}

pub(crate) fn mechanism(number: u64, parameter: Parameter) -> Mechanism {
    Mechanism { number, parameter }
}

/// Without a parameter.
pub(crate) fn plain(number: u64) -> Mechanism {
    mechanism(number, Parameter::None)
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let text: String = text.split_whitespace().collect();
    data_encoding::HEXLOWER_PERMISSIVE
        .decode(text.as_bytes())
        .unwrap()
}
