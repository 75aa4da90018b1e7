//! The default attributes of each class: PKCS#11 3.1 section 4, as a Luna slot sets them.
//!
//! Every object is a token object that can be copied and destroyed but not modified (docs/architecture.md, "Words":
//! immutable once stored). Keys that hide something are private, sensitive and not extractable:
//! cloning seals them under a domain and needs no extraction. Because no later change is possible,
//! usage flags allow all that the key type can do.
//!
//! An attribute whose default is empty (dates and subject of keys, application and object id of
//! data) is left out; absent means that default. `CKA_ID` is always there where the class has one.

use super::new::{Naming, NewError};
use super::pkcs11::{
    CK_UNAVAILABLE_INFORMATION, CKA_ALWAYS_AUTHENTICATE, CKA_ALWAYS_SENSITIVE, CKA_COPYABLE,
    CKA_DECRYPT, CKA_DERIVE, CKA_DESTROYABLE, CKA_ENCRYPT, CKA_EXTRACTABLE, CKA_ID,
    CKA_KEY_GEN_MECHANISM, CKA_LABEL, CKA_LOCAL, CKA_MODIFIABLE, CKA_NEVER_EXTRACTABLE,
    CKA_PRIVATE, CKA_SENSITIVE, CKA_SIGN, CKA_SIGN_RECOVER, CKA_TOKEN, CKA_TRUSTED, CKA_UNWRAP,
    CKA_VERIFY, CKA_VERIFY_RECOVER, CKA_WRAP, CKA_WRAP_WITH_TRUSTED, CKO_CERTIFICATE, CKO_DATA,
    CKO_PRIVATE_KEY, CKO_PUBLIC_KEY, CKO_SECRET_KEY,
};
use super::{Attribute, Object};

/// Makes of an imported key one that was generated here by `mechanism` and was never outside.
pub fn mark_generated(object: &mut Object, mechanism: u64) {
    put_bool(object, CKA_LOCAL, true);
    put_number(object, CKA_KEY_GEN_MECHANISM, mechanism);
    remember_birth(object);
}

/// Sets `CKA_ALWAYS_SENSITIVE` and `CKA_NEVER_EXTRACTABLE` of a key generated here from what it is born with:
/// nothing changes it afterwards. Those of a key from a file cannot be known and stay false.
pub fn remember_birth(object: &mut Object) {
    let is = |number| match object.attributes.get(&number) {
        Some(Attribute::Bool(value)) => Some(*value),
        _ => None,
    };
    if let (Some(true), Some(sensitive), Some(extractable)) =
        (is(CKA_LOCAL), is(CKA_SENSITIVE), is(CKA_EXTRACTABLE))
    {
        put_bool(object, CKA_ALWAYS_SENSITIVE, sensitive);
        put_bool(object, CKA_NEVER_EXTRACTABLE, !extractable);
    }
}

/// A secret key without its value, as from a file. `usage` are the CKA numbers of what it may be used for.
pub fn secret_key(key_type: u32, usage: &[u32], naming: &Naming) -> Result<Object, NewError> {
    let mut object = storage(CKO_SECRET_KEY, Some(key_type), true, &naming.label)?;
    key(&mut object, naming);
    sensitive(&mut object);
    put_bool(&mut object, CKA_TRUSTED, false);
    for flag in [
        CKA_ENCRYPT,
        CKA_DECRYPT,
        CKA_SIGN,
        CKA_VERIFY,
        CKA_WRAP,
        CKA_UNWRAP,
        CKA_DERIVE,
    ] {
        put_bool(&mut object, flag, usage.contains(&flag));
    }
    Ok(object)
}

/// A private key without its value, as from a file. `usage` as for [`secret_key`].
pub fn private_key(key_type: u32, usage: &[u32], naming: &Naming) -> Result<Object, NewError> {
    let mut object = storage(CKO_PRIVATE_KEY, Some(key_type), true, &naming.label)?;
    key(&mut object, naming);
    sensitive(&mut object);
    put_bool(&mut object, CKA_ALWAYS_AUTHENTICATE, false);
    for flag in [
        CKA_DECRYPT,
        CKA_SIGN,
        CKA_SIGN_RECOVER,
        CKA_UNWRAP,
        CKA_DERIVE,
    ] {
        put_bool(&mut object, flag, usage.contains(&flag));
    }
    Ok(object)
}

/// A public key without its value, as from a file. `usage` as for [`secret_key`].
pub fn public_key(key_type: u32, usage: &[u32], naming: &Naming) -> Result<Object, NewError> {
    let mut object = storage(CKO_PUBLIC_KEY, Some(key_type), false, &naming.label)?;
    key(&mut object, naming);
    put_bool(&mut object, CKA_TRUSTED, false);
    for flag in [
        CKA_ENCRYPT,
        CKA_VERIFY,
        CKA_VERIFY_RECOVER,
        CKA_WRAP,
        CKA_DERIVE,
    ] {
        put_bool(&mut object, flag, usage.contains(&flag));
    }
    Ok(object)
}

/// A certificate without its content.
pub fn certificate(naming: &Naming) -> Result<Object, NewError> {
    let mut object = storage(CKO_CERTIFICATE, None, false, &naming.label)?;
    put_bytes(&mut object, CKA_ID, &naming.id);
    put_bool(&mut object, CKA_TRUSTED, false);
    Ok(object)
}

/// A data object without its value. PKCS#11 gives data no `CKA_ID`.
pub fn data(label: &str) -> Result<Object, NewError> {
    storage(CKO_DATA, None, true, label)
}

/// Sets a boolean.
pub fn put_bool(object: &mut Object, number: u32, value: bool) {
    object.attributes.insert(number, Attribute::Bool(value));
}

/// Sets a number.
pub fn put_number(object: &mut Object, number: u32, value: u64) {
    object.attributes.insert(number, Attribute::Number(value));
}

/// Sets bytes that may be shown.
pub fn put_bytes(object: &mut Object, number: u32, value: &[u8]) {
    object
        .attributes
        .insert(number, Attribute::Bytes(value.to_vec()));
}

/// What every class has (PKCS#11 3.1 section 4.4, storage objects).
fn storage(
    class: u32,
    key_type: Option<u32>,
    private: bool,
    label: &str,
) -> Result<Object, NewError> {
    let mut object = Object::new(class, key_type)?;
    let text = Attribute::Text(label.to_owned());
    object.attributes.insert(CKA_LABEL, text);
    put_bool(&mut object, CKA_TOKEN, true);
    put_bool(&mut object, CKA_PRIVATE, private);
    put_bool(&mut object, CKA_MODIFIABLE, false);
    put_bool(&mut object, CKA_COPYABLE, true);
    put_bool(&mut object, CKA_DESTROYABLE, true);
    Ok(object)
}

/// What every key has (section 4.7).
fn key(object: &mut Object, naming: &Naming) {
    put_bytes(object, CKA_ID, &naming.id);
    put_bool(object, CKA_LOCAL, false);
    put_number(object, CKA_KEY_GEN_MECHANISM, CK_UNAVAILABLE_INFORMATION);
}

/// What private and secret keys have (sections 4.9 and 4.10). The "always" and "never" of a key that
/// came from a file cannot be known, so they are false, as `C_CreateObject` sets them.
fn sensitive(object: &mut Object) {
    put_bool(object, CKA_SENSITIVE, true);
    put_bool(object, CKA_EXTRACTABLE, false);
    put_bool(object, CKA_ALWAYS_SENSITIVE, false);
    put_bool(object, CKA_NEVER_EXTRACTABLE, false);
    put_bool(object, CKA_WRAP_WITH_TRUSTED, false);
}
