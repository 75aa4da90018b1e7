#![allow(unused)]
use crate::error::*;
use slotfs_object::{Attribute, usable::UsableKey};
use slotfs_wire::Mechanism;
use std::collections::BTreeMap;
use std::sync::Arc;
use zeroize::Zeroizing;
pub(crate) struct Material {
    pub key_type: u32,
    pub attributes: BTreeMap<u32, Attribute>,
}
pub(crate) struct Wanted<'a> {
    pub key_type: Option<u32>,
    pub value_len: Option<u64>,
    pub modulus_bits: Option<u64>,
    pub public_exponent: Option<&'a [u8]>,
    pub ec_params: Option<&'a [u8]>,
    pub parameter_set: Option<u64>,
}
pub(crate) fn generate_key(mechanism: &Mechanism, wanted: &Wanted) -> Result<Material> {
    Err(Rv(1))
}
pub(crate) fn generate_pair(
    mechanism: &Mechanism,
    p: &Wanted,
    q: &Wanted,
) -> Result<(Material, Material)> {
    Err(Rv(1))
}
pub(crate) fn create(
    class: u32,
    key_type: u32,
    given: &BTreeMap<u32, Attribute>,
) -> Result<Material> {
    Err(Rv(1))
}
pub(crate) fn derive(
    mechanism: &Mechanism,
    base: &UsableKey,
    wanted: &Wanted,
    other_keys: &dyn Fn(u64) -> Result<Arc<UsableKey>>,
) -> Result<Material> {
    Err(Rv(1))
}
pub(crate) fn wrap(
    mechanism: &Mechanism,
    wrapping: &UsableKey,
    key: &UsableKey,
) -> Result<Zeroizing<Vec<u8>>> {
    Err(Rv(1))
}
pub(crate) fn unwrap(
    mechanism: &Mechanism,
    unwrapping: &UsableKey,
    wrapped: &[u8],
    class: u32,
    wanted: &Wanted,
) -> Result<Material> {
    Err(Rv(1))
}
pub(crate) fn encapsulate(
    mechanism: &Mechanism,
    public: &UsableKey,
    wanted: &Wanted,
) -> Result<(Material, Vec<u8>)> {
    Err(Rv(1))
}
pub(crate) fn decapsulate(
    mechanism: &Mechanism,
    private: &UsableKey,
    ciphertext: &[u8],
    wanted: &Wanted,
) -> Result<Material> {
    Err(Rv(1))
}
