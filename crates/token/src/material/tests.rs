#![allow(clippy::unwrap_used)]

mod creating;
mod deriving;
mod generating;
mod vectors;
mod wrapping;

use std::collections::BTreeMap;
use std::sync::Arc;

use slotfs_object::Object;
use slotfs_object::usable::UsableKey;
use slotfs_wire::Mechanism;

use super::*;

/// A key of it, as an object would be.
fn usable(material: Material) -> UsableKey {
    let mut object = Object::new(material.class, Some(material.key_type)).unwrap();
    object.attributes = material.attributes;
    assert!(object.is_well_formed());
    UsableKey::new(object)
}

fn value(material: &Material) -> Vec<u8> {
    match &material.attributes[&CKA_VALUE] {
        Attribute::Secret(value) => value.bytes().to_vec(),
        other => panic!("{other:?}"),
    }
}

fn of_type(key_type: u32, value_len: Option<u64>) -> Wanted<'static> {
    Wanted {
        key_type: Some(key_type),
        value_len,
        ..Wanted::default()
    }
}

fn no_others(_: u64) -> Result<Arc<UsableKey>> {
    panic!("no other key was named")
}

/// One derived key.
fn derive(
    mechanism: &Mechanism,
    base: &UsableKey,
    wanted: &Wanted<'_>,
    others: &dyn Fn(u64) -> Result<Arc<UsableKey>>,
) -> Result<Material> {
    let made = super::derive(mechanism, base, std::slice::from_ref(wanted), others)?;
    assert_eq!(made.len(), 1);
    Ok(made.into_iter().next().unwrap())
}

fn given(material: &Material) -> BTreeMap<u32, Attribute> {
    material.attributes.clone()
}
