//! The default attributes of each class: PKCS#11 3.1 section 4, as a Luna slot sets them.
//!
//! Every object is a token object that can be copied, destroyed and modified. Secret and private keys are private,
//! sensitive and not extractable, because a clone is sealed under a domain and needs no extraction. Usage flags allow
//! all that the key type can do, because a use that is off can never be turned on.
//!
//! An attribute whose default is empty (dates and subject of keys, application and object id of data) is left out.
//! `CKA_ID` is always set where the class has one.

use super::new::{Naming, NewError};
use super::pkcs11::{
    CK_UNAVAILABLE_INFORMATION, CKA_ALWAYS_AUTHENTICATE, CKA_ALWAYS_SENSITIVE, CKA_COPYABLE,
    CKA_DECAPSULATE, CKA_DECRYPT, CKA_DERIVE, CKA_DESTROYABLE, CKA_ENCAPSULATE, CKA_ENCRYPT,
    CKA_EXTRACTABLE, CKA_ID, CKA_KEY_GEN_MECHANISM, CKA_LABEL, CKA_LOCAL, CKA_MODIFIABLE,
    CKA_NEVER_EXTRACTABLE, CKA_PRIVATE, CKA_SENSITIVE, CKA_SIGN, CKA_SIGN_RECOVER, CKA_TOKEN,
    CKA_TRUSTED, CKA_UNWRAP, CKA_VERIFY, CKA_VERIFY_RECOVER, CKA_WRAP, CKA_WRAP_WITH_TRUSTED,
    CKK_ML_KEM, CKO_CERTIFICATE, CKO_DATA, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY, CKO_SECRET_KEY,
};
use super::{Attribute, Object};

/// Classes of keys with secret values.
pub(super) const HIDDEN: &[u32] = &[CKO_PRIVATE_KEY, CKO_SECRET_KEY];
/// Classes of keys that encrypt and verify.
const OPEN: &[u32] = &[CKO_PUBLIC_KEY, CKO_SECRET_KEY];
/// All classes of keys.
pub(super) const KEYS: &[u32] = &[CKO_PUBLIC_KEY, CKO_PRIVATE_KEY, CKO_SECRET_KEY];

/// The flags that say what a key may be used for, and the classes that have them (PKCS#11 3.1 sections 4.8 to 4.10).
pub(super) const USAGES: &[(u32, &[u32])] = &[
    (CKA_ENCRYPT, OPEN),
    (CKA_DECRYPT, HIDDEN),
    (CKA_WRAP, OPEN),
    (CKA_UNWRAP, HIDDEN),
    (CKA_SIGN, HIDDEN),
    (CKA_SIGN_RECOVER, &[CKO_PRIVATE_KEY]),
    (CKA_VERIFY, OPEN),
    (CKA_VERIFY_RECOVER, &[CKO_PUBLIC_KEY]),
    (CKA_DERIVE, KEYS),
];

/// The uses of keys for encapsulation (PKCS#11 3.2). Only such keys store them, so that other objects are as they were before
/// 3.2.
pub(super) const KEM_USAGES: &[(u32, &[u32])] = &[
    (CKA_ENCAPSULATE, &[CKO_PUBLIC_KEY]),
    (CKA_DECAPSULATE, &[CKO_PRIVATE_KEY]),
];

/// A key of class `class` without its value, marked as imported. `usage` lists the CKA numbers of the allowed uses.
pub fn key(class: u32, key_type: u32, usage: &[u32], naming: &Naming) -> Result<Object, NewError> {
    let hidden = HIDDEN.contains(&class);
    let mut object = storage(class, Some(key_type), hidden, &naming.label)?;
    object.set(CKA_ID, Attribute::Bytes(naming.id.clone()));
    object.set(CKA_LOCAL, Attribute::Bool(false));
    let mechanism = Attribute::Number(CK_UNAVAILABLE_INFORMATION);
    object.set(CKA_KEY_GEN_MECHANISM, mechanism);
    if hidden {
        // The history of an imported key is unknown; C_CreateObject sets the last two to false as well.
        object.set(CKA_SENSITIVE, Attribute::Bool(true));
        for number in [
            CKA_EXTRACTABLE,
            CKA_WRAP_WITH_TRUSTED,
            CKA_ALWAYS_SENSITIVE,
            CKA_NEVER_EXTRACTABLE,
        ] {
            object.set(number, Attribute::Bool(false));
        }
    }
    let number = match class {
        CKO_PRIVATE_KEY => CKA_ALWAYS_AUTHENTICATE,
        _ => CKA_TRUSTED,
    };
    object.set(number, Attribute::Bool(false));
    let kem = match key_type {
        CKK_ML_KEM => KEM_USAGES,
        _ => &[],
    };
    let usages = USAGES.iter().chain(kem);
    for (number, _) in usages.filter(|row| row.1.contains(&class)) {
        object.set(*number, Attribute::Bool(usage.contains(number)));
    }
    Ok(object)
}

/// A certificate without its content.
pub fn certificate(naming: &Naming) -> Result<Object, NewError> {
    let mut object = storage(CKO_CERTIFICATE, None, false, &naming.label)?;
    object.set(CKA_ID, Attribute::Bytes(naming.id.clone()));
    object.set(CKA_TRUSTED, Attribute::Bool(false));
    Ok(object)
}

/// A data object without its value. PKCS#11 gives data no `CKA_ID`.
pub(super) fn data(label: &str) -> Result<Object, NewError> {
    storage(CKO_DATA, None, true, label)
}

/// The attributes of every class (PKCS#11 3.1 section 4.4, storage objects).
fn storage(
    class: u32,
    key_type: Option<u32>,
    private: bool,
    label: &str,
) -> Result<Object, NewError> {
    let mut object = Object::new(class, key_type)?;
    object.set(CKA_LABEL, Attribute::Text(label.to_owned()));
    for (number, value) in [
        (CKA_TOKEN, true),
        (CKA_PRIVATE, private),
        (CKA_MODIFIABLE, true),
        (CKA_COPYABLE, true),
        (CKA_DESTROYABLE, true),
    ] {
        object.set(number, Attribute::Bool(value));
    }
    Ok(object)
}

/// Marks a new key as generated in this slot by `mechanism`.
pub fn mark_generated(object: &mut Object, mechanism: u64) {
    object.set(CKA_LOCAL, Attribute::Bool(true));
    object.set(CKA_KEY_GEN_MECHANISM, Attribute::Number(mechanism));
    set_history(object);
}

/// Sets `CKA_ALWAYS_SENSITIVE` and `CKA_NEVER_EXTRACTABLE` of a generated key from its first attributes. The history of an imported key is unknown, and its two attributes stay false.
pub(super) fn set_history(object: &mut Object) {
    let is = |number| match object.attributes.get(&number) {
        Some(Attribute::Bool(value)) => Some(*value),
        _ => None,
    };
    if let (Some(true), Some(sensitive), Some(extractable)) =
        (is(CKA_LOCAL), is(CKA_SENSITIVE), is(CKA_EXTRACTABLE))
    {
        object.set(CKA_ALWAYS_SENSITIVE, Attribute::Bool(sensitive));
        object.set(CKA_NEVER_EXTRACTABLE, Attribute::Bool(!extractable));
    }
}
