//! New objects: what a template asks for, over the defaults of its class, with the value that the key has.

use slotfs_object::new::Naming;
use slotfs_object::pkcs11::*;
use slotfs_object::{Attribute, Object, codec, template};
use slotfs_wire::rv::*;

use crate::attributes::Given;
use crate::error::{Result, Rv};
use crate::material::Material;

/// How a key came to be (PKCS#11 3.2 section 4.9, `CKA_LOCAL` and its like).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Birth {
    /// `C_CreateObject`, `C_UnwrapKey`: somebody else knew it.
    Imported,
    /// `C_GenerateKey`, `C_GenerateKeyPair`, by this mechanism.
    Generated(u64),
    /// `C_DeriveKey`, `C_EncapsulateKey` and its like, from a key that was always sensitive, and never extractable.
    Derived {
        /// `CKA_ALWAYS_SENSITIVE` of the base key.
        always_sensitive: bool,
        /// `CKA_NEVER_EXTRACTABLE` of the base key.
        never_extractable: bool,
    },
}

const KEYS: &[u32] = &[CKO_PUBLIC_KEY, CKO_PRIVATE_KEY, CKO_SECRET_KEY];
const HIDDEN: &[u32] = &[CKO_PRIVATE_KEY, CKO_SECRET_KEY];
const OPEN: &[u32] = &[CKO_PUBLIC_KEY, CKO_SECRET_KEY];
const NAMED: &[u32] = &[
    CKO_CERTIFICATE,
    CKO_PUBLIC_KEY,
    CKO_PRIVATE_KEY,
    CKO_SECRET_KEY,
];
const CERTIFIED: &[u32] = &[CKO_CERTIFICATE, CKO_PUBLIC_KEY, CKO_PRIVATE_KEY];
const CERTIFICATE: &[u32] = &[CKO_CERTIFICATE];
const DATA: &[u32] = &[CKO_DATA];
const ALL: &[u32] = &[
    CKO_DATA,
    CKO_CERTIFICATE,
    CKO_PUBLIC_KEY,
    CKO_PRIVATE_KEY,
    CKO_SECRET_KEY,
];

/// The attributes that a template may set, and the classes that have them (PKCS#11 3.2 sections 4.4 to 4.10).
fn classes_of(number: u32) -> &'static [u32] {
    match number {
        CKA_TOKEN | CKA_PRIVATE | CKA_MODIFIABLE | CKA_COPYABLE | CKA_DESTROYABLE | CKA_LABEL => {
            ALL
        }
        CKA_ID | CKA_START_DATE | CKA_END_DATE => NAMED,
        CKA_SUBJECT => CERTIFIED,
        CKA_ENCRYPT | CKA_VERIFY | CKA_WRAP | CKA_WRAP_TEMPLATE => OPEN,
        CKA_DECRYPT
        | CKA_SIGN
        | CKA_UNWRAP
        | CKA_UNWRAP_TEMPLATE
        | CKA_SENSITIVE
        | CKA_EXTRACTABLE
        | CKA_WRAP_WITH_TRUSTED => HIDDEN,
        CKA_SIGN_RECOVER | CKA_ALWAYS_AUTHENTICATE | CKA_DECAPSULATE | CKA_DECAPSULATE_TEMPLATE => {
            &[CKO_PRIVATE_KEY]
        }
        CKA_VERIFY_RECOVER | CKA_ENCAPSULATE | CKA_ENCAPSULATE_TEMPLATE => &[CKO_PUBLIC_KEY],
        CKA_DERIVE | CKA_DERIVE_TEMPLATE | CKA_ALLOWED_MECHANISMS => KEYS,
        CKA_TRUSTED => &[CKO_CERTIFICATE, CKO_PUBLIC_KEY, CKO_SECRET_KEY],
        CKA_CERTIFICATE_TYPE
        | CKA_CERTIFICATE_CATEGORY
        | CKA_JAVA_MIDP_SECURITY_DOMAIN
        | CKA_ISSUER
        | CKA_SERIAL_NUMBER
        | CKA_URL
        | CKA_HASH_OF_SUBJECT_PUBLIC_KEY
        | CKA_HASH_OF_ISSUER_PUBLIC_KEY
        | CKA_NAME_HASH_ALGORITHM => CERTIFICATE,
        CKA_APPLICATION | CKA_OBJECT_ID => DATA,
        _ => &[],
    }
}

/// Attributes that only the token sets.
fn is_the_tokens(number: u32) -> bool {
    matches!(
        number,
        CKA_LOCAL | CKA_KEY_GEN_MECHANISM | CKA_ALWAYS_SENSITIVE | CKA_NEVER_EXTRACTABLE
    )
}

/// What secret keys are for.
const USES: &[u32] = &[
    CKA_ENCRYPT,
    CKA_DECRYPT,
    CKA_SIGN,
    CKA_VERIFY,
    CKA_WRAP,
    CKA_UNWRAP,
    CKA_DERIVE,
];

/// What keys of a type are for, unless the template says otherwise: all that they can do.
fn usages(class: u32, key_type: u32) -> &'static [u32] {
    match (class, key_type) {
        (CKO_PUBLIC_KEY, CKK_RSA) => &[CKA_ENCRYPT, CKA_VERIFY, CKA_VERIFY_RECOVER, CKA_WRAP],
        (CKO_PRIVATE_KEY, CKK_RSA) => &[CKA_DECRYPT, CKA_SIGN, CKA_SIGN_RECOVER, CKA_UNWRAP],
        (CKO_PUBLIC_KEY, CKK_EC | CKK_EC_EDWARDS | CKK_ML_DSA) => &[CKA_VERIFY],
        (CKO_PRIVATE_KEY, CKK_EC) => &[CKA_SIGN, CKA_DERIVE],
        (CKO_PRIVATE_KEY, CKK_EC_EDWARDS | CKK_ML_DSA) => &[CKA_SIGN],
        (CKO_PRIVATE_KEY, CKK_EC_MONTGOMERY) => &[CKA_DERIVE],
        (CKO_PUBLIC_KEY, CKK_ML_KEM) => &[CKA_ENCAPSULATE],
        (CKO_PRIVATE_KEY, CKK_ML_KEM) => &[CKA_DECAPSULATE],
        (CKO_SECRET_KEY, CKK_AES) => &[
            CKA_ENCRYPT,
            CKA_DECRYPT,
            CKA_SIGN,
            CKA_VERIFY,
            CKA_WRAP,
            CKA_UNWRAP,
        ],
        (CKO_SECRET_KEY, CKK_HKDF) => &[CKA_DERIVE],
        (CKO_SECRET_KEY, _) => &[CKA_SIGN, CKA_VERIFY, CKA_DERIVE],
        _ => &[],
    }
}

/// A key of `class` with its value, as the template wants it.
///
/// # Errors
/// `CKR_ATTRIBUTE_READ_ONLY`, `CKR_ATTRIBUTE_TYPE_INVALID`, `CKR_TEMPLATE_INCONSISTENT`.
pub(crate) fn key(class: u32, given: &Given, material: Material, birth: Birth) -> Result<Object> {
    let key_type = material.key_type;
    given.must_be(class, Some(key_type))?;
    // Keys derived from one base are there to be kept apart, so one that is for something is for nothing else.
    let names_a_use = || USES.iter().any(|number| given.bool(*number) == Some(true));
    let uses = match birth {
        Birth::Derived { .. } if names_a_use() => &[],
        _ => usages(class, key_type),
    };
    let mut object = template::key(class, key_type, uses, &Naming::default())
        .map_err(|_| Rv(CKR_DEVICE_ERROR))?;
    let mut own: Vec<u32> = material.attributes.keys().copied().collect();
    let is_curve = matches!(key_type, CKK_EC | CKK_EC_EDWARDS | CKK_EC_MONTGOMERY);
    if birth == Birth::Imported && class == CKO_PRIVATE_KEY && is_curve {
        // Applications give the point with the private key, which does not keep it: material::create has compared the two.
        own.push(CKA_EC_POINT);
    }
    object.attributes.extend(material.attributes);
    settings(&mut object, given, &own)?;
    match birth {
        Birth::Imported => {}
        Birth::Generated(mechanism) => template::mark_generated(&mut object, mechanism),
        Birth::Derived {
            always_sensitive,
            never_extractable,
        } => {
            let is = |number| object.attributes.get(&number) == Some(&Attribute::Bool(true));
            let history = [
                (CKA_ALWAYS_SENSITIVE, always_sensitive && is(CKA_SENSITIVE)),
                (
                    CKA_NEVER_EXTRACTABLE,
                    never_extractable && !is(CKA_EXTRACTABLE),
                ),
            ];
            for (number, value) in history {
                object.set(number, Attribute::Bool(value));
            }
        }
    }
    finished(object)
}

/// A data object or a certificate.
///
/// # Errors
/// As [`key`]; `CKR_TEMPLATE_INCOMPLETE`.
pub(crate) fn other(class: u32, given: &Given) -> Result<Object> {
    given.must_be(class, None)?;
    let mut object = Object::new(class, None).map_err(|_| Rv(CKR_DEVICE_ERROR))?;
    for (number, value) in [
        (CKA_TOKEN, true),
        (CKA_PRIVATE, class == CKO_DATA),
        (CKA_MODIFIABLE, true),
        (CKA_COPYABLE, true),
        (CKA_DESTROYABLE, true),
    ] {
        object.set(number, Attribute::Bool(value));
    }
    object.set(CKA_LABEL, Attribute::Text(String::new()));
    let value = given.attributes.get(&CKA_VALUE).cloned();
    if class == CKO_CERTIFICATE {
        let kind = given.number(CKA_CERTIFICATE_TYPE);
        if kind.ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))? != CKC_X_509 {
            return Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID));
        }
        if value.is_none() || !given.attributes.contains_key(&CKA_SUBJECT) {
            return Err(Rv(CKR_TEMPLATE_INCOMPLETE));
        }
        object.set(CKA_ID, Attribute::Bytes(Vec::new()));
        object.set(CKA_TRUSTED, Attribute::Bool(false));
    }
    // A data object may be empty; a slot stores none without a value.
    let empty = || Attribute::Secret(slotfs_object::secret::SecretBytes::new(Vec::new()));
    object.set(CKA_VALUE, value.unwrap_or_else(empty));
    settings(&mut object, given, &[CKA_VALUE])?;
    finished(object)
}

/// Sets what the template gives. `own` are the attributes of the value, which are set already.
fn settings(object: &mut Object, given: &Given, own: &[u32]) -> Result<()> {
    for (&number, value) in &given.attributes {
        if number == CKA_UNIQUE_ID {
            return Err(Rv(CKR_ATTRIBUTE_TYPE_INVALID));
        }
        if is_the_tokens(number) {
            return Err(Rv(CKR_ATTRIBUTE_READ_ONLY));
        }
        if own.contains(&number) {
            continue;
        }
        if !classes_of(number).contains(&object.class) {
            return Err(Rv(CKR_TEMPLATE_INCONSISTENT));
        }
        // Only this slot's po trusts keys: see pins.rs.
        if number == CKA_TRUSTED && *value == Attribute::Bool(true) {
            return Err(Rv(CKR_ATTRIBUTE_READ_ONLY));
        }
        object.set(number, value.clone());
    }
    for number in [CKA_START_DATE, CKA_END_DATE] {
        // An empty date is none.
        if !given.attributes.contains_key(&number) {
            object.attributes.remove(&number);
        }
    }
    if !given.attributes.contains_key(&CKA_TOKEN) {
        object.set(CKA_TOKEN, Attribute::Bool(false));
    }
    Ok(())
}

/// The object, if a slot could hold it.
fn finished(object: Object) -> Result<Object> {
    if !object.is_well_formed() {
        return Err(Rv(CKR_TEMPLATE_INCONSISTENT));
    }
    let fits = codec::encode(&object).is_some();
    fits.then_some(object)
        .ok_or(Rv(CKR_ATTRIBUTE_VALUE_INVALID))
}

/// Whether it is to be a token object.
pub(crate) fn is_token(object: &Object) -> bool {
    object.attributes.get(&CKA_TOKEN) == Some(&Attribute::Bool(true))
}

/// Whether it shows to those who are logged in alone. A token object with a secret value always does, whatever its
/// `CKA_PRIVATE` says.
pub(crate) fn is_private(object: &Object) -> bool {
    match object.attributes.get(&CKA_PRIVATE) {
        Some(Attribute::Bool(false)) => is_token(object) && object.is_private(),
        _ => object.is_private(),
    }
}
