//! Attributes: from the bytes that an application has in memory to those of an object, and back (PKCS#11 3.2 section 4).

use std::collections::BTreeMap;

use slotfs_object::pkcs11::*;
use slotfs_object::secret::SecretBytes;
use slotfs_object::{Attribute, Date, Object};
use slotfs_wire::numbers::CKM_SHA_1;
use slotfs_wire::rv::{
    CKR_ATTRIBUTE_TYPE_INVALID, CKR_ATTRIBUTE_VALUE_INVALID, CKR_TEMPLATE_INCOMPLETE,
    CKR_TEMPLATE_INCONSISTENT,
};
use slotfs_wire::{RawAttribute, RawValue, Secret, Template};

use crate::error::{Result, Rv};

mod nested;

pub(crate) use nested::{
    decode as decode_nested, encode as encode_nested, template as nested_template,
};

/// How an attribute's value lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `CK_BBOOL`
    Bool,
    /// `CK_ULONG`
    Number,
    /// `CK_DATE`, or nothing
    Date,
    /// UTF-8
    Text,
    /// Bytes, secret in some classes
    Bytes,
    /// `CK_MECHANISM_TYPE`s
    Mechanisms,
    /// Attributes
    Template,
}

/// What NSS sets on keys that it imports: its own name for them, which nothing reads.
const CKA_NSS_DB: u64 = 0xd5a0_db00;

/// The attributes that objects may have, and how each lies in memory.
fn kind(number: u32) -> Option<Kind> {
    Some(match number {
        CKA_TOKEN
        | CKA_PRIVATE
        | CKA_TRUSTED
        | CKA_SENSITIVE
        | CKA_ENCRYPT
        | CKA_DECRYPT
        | CKA_WRAP
        | CKA_UNWRAP
        | CKA_SIGN
        | CKA_SIGN_RECOVER
        | CKA_VERIFY
        | CKA_VERIFY_RECOVER
        | CKA_DERIVE
        | CKA_EXTRACTABLE
        | CKA_LOCAL
        | CKA_NEVER_EXTRACTABLE
        | CKA_ALWAYS_SENSITIVE
        | CKA_MODIFIABLE
        | CKA_COPYABLE
        | CKA_DESTROYABLE
        | CKA_ALWAYS_AUTHENTICATE
        | CKA_WRAP_WITH_TRUSTED
        | CKA_ENCAPSULATE
        | CKA_DECAPSULATE => Kind::Bool,
        CKA_CLASS
        | CKA_KEY_TYPE
        | CKA_CERTIFICATE_TYPE
        | CKA_CERTIFICATE_CATEGORY
        | CKA_JAVA_MIDP_SECURITY_DOMAIN
        | CKA_NAME_HASH_ALGORITHM
        | CKA_MODULUS_BITS
        | CKA_VALUE_LEN
        | CKA_KEY_GEN_MECHANISM
        | CKA_PARAMETER_SET => Kind::Number,
        CKA_START_DATE | CKA_END_DATE => Kind::Date,
        CKA_LABEL | CKA_APPLICATION | CKA_URL => Kind::Text,
        CKA_VALUE
        | CKA_OBJECT_ID
        | CKA_ISSUER
        | CKA_SERIAL_NUMBER
        | CKA_CHECK_VALUE
        | CKA_SUBJECT
        | CKA_ID
        | CKA_MODULUS
        | CKA_PUBLIC_EXPONENT
        | CKA_PRIVATE_EXPONENT
        | CKA_PRIME_1
        | CKA_PRIME_2
        | CKA_EXPONENT_1
        | CKA_EXPONENT_2
        | CKA_COEFFICIENT
        | CKA_PUBLIC_KEY_INFO
        | CKA_EC_PARAMS
        | CKA_EC_POINT
        | CKA_SEED
        | CKA_HASH_OF_SUBJECT_PUBLIC_KEY
        | CKA_HASH_OF_ISSUER_PUBLIC_KEY
        | CKA_UNIQUE_ID => Kind::Bytes,
        CKA_ALLOWED_MECHANISMS => Kind::Mechanisms,
        CKA_WRAP_TEMPLATE
        | CKA_UNWRAP_TEMPLATE
        | CKA_DERIVE_TEMPLATE
        | CKA_ENCAPSULATE_TEMPLATE
        | CKA_DECAPSULATE_TEMPLATE => Kind::Template,
        _ => return None,
    })
}

/// A template, read: class and key type apart, every other attribute as an object has it.
#[derive(Default)]
pub(crate) struct Given {
    /// `CKA_CLASS`
    pub(crate) class: Option<u32>,
    /// `CKA_KEY_TYPE`
    pub(crate) key_type: Option<u32>,
    /// All others.
    pub(crate) attributes: BTreeMap<u32, Attribute>,
}

impl Given {
    /// Reads a template for an object of `class`, if the template itself does not say of which.
    ///
    /// # Errors
    /// `CKR_ATTRIBUTE_TYPE_INVALID`, `CKR_ATTRIBUTE_VALUE_INVALID`, `CKR_TEMPLATE_INCONSISTENT` for an attribute that is
    /// there twice with two values.
    pub(crate) fn parse(template: &Template, class: Option<u32>) -> Result<Self> {
        let mut given = Self::default();
        for number in [CKA_CLASS, CKA_KEY_TYPE] {
            let mut all = template
                .iter()
                .filter(|it| it.kind == u64::from(number))
                .map(|it| number_of(&it.value));
            let Some(first) = all.next() else { continue };
            let first = first?;
            if !all.all(|other| other == Ok(first)) {
                return Err(Rv(CKR_TEMPLATE_INCONSISTENT));
            }
            let value = u32::try_from(first).map_err(|_| Rv(CKR_ATTRIBUTE_VALUE_INVALID))?;
            match number {
                CKA_CLASS => given.class = Some(value),
                _ => given.key_type = Some(value),
            }
        }
        let class = given.class.or(class);
        for it in template {
            if it.kind == CKA_NSS_DB {
                continue;
            }
            let number = u32::try_from(it.kind).map_err(|_| Rv(CKR_ATTRIBUTE_TYPE_INVALID))?;
            if number == CKA_CLASS || number == CKA_KEY_TYPE {
                continue;
            }
            let Some(value) = read(class, number, &it.value)? else {
                continue;
            };
            match given.attributes.insert(number, value) {
                Some(before) if Some(&before) != given.attributes.get(&number) => {
                    return Err(Rv(CKR_TEMPLATE_INCONSISTENT));
                }
                _ => {}
            }
        }
        Ok(given)
    }

    /// The class that the template names.
    ///
    /// # Errors
    /// `CKR_TEMPLATE_INCOMPLETE`
    pub(crate) fn class(&self) -> Result<u32> {
        self.class.ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))
    }

    /// Refuses another class than `class`, and another key type than `key_type`, where there is one.
    pub(crate) fn must_be(&self, class: u32, key_type: Option<u32>) -> Result<()> {
        let other_class = self.class.is_some_and(|it| it != class);
        let other_type = key_type.is_some() && self.key_type.is_some() && self.key_type != key_type;
        match other_class || other_type {
            true => Err(Rv(CKR_TEMPLATE_INCONSISTENT)),
            false => Ok(()),
        }
    }

    /// A boolean attribute, where it is given.
    pub(crate) fn bool(&self, number: u32) -> Option<bool> {
        match self.attributes.get(&number) {
            Some(Attribute::Bool(value)) => Some(*value),
            _ => None,
        }
    }

    /// A number.
    pub(crate) fn number(&self, number: u32) -> Option<u64> {
        match self.attributes.get(&number) {
            Some(Attribute::Number(value)) => Some(*value),
            _ => None,
        }
    }

    /// Bytes that are not secret.
    pub(crate) fn bytes(&self, number: u32) -> Option<&[u8]> {
        match self.attributes.get(&number) {
            Some(Attribute::Bytes(bytes)) => Some(bytes),
            _ => None,
        }
    }
}

fn number_of(value: &RawValue) -> Result<u64> {
    let RawValue::Bytes(bytes) = value else {
        return Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID));
    };
    let bytes = bytes.bytes().try_into();
    bytes
        .map(u64::from_ne_bytes)
        .map_err(|_| Rv(CKR_ATTRIBUTE_VALUE_INVALID))
}

/// The value of one attribute, as an object has it; `None` where an empty value means that it has none.
pub(crate) fn read(class: Option<u32>, number: u32, value: &RawValue) -> Result<Option<Attribute>> {
    let kind = kind(number).ok_or(Rv(CKR_ATTRIBUTE_TYPE_INVALID))?;
    let bad = || Rv(CKR_ATTRIBUTE_VALUE_INVALID);
    let bytes = match (kind, value) {
        (Kind::Template, RawValue::Template(template)) => {
            return encode_nested(template).map(|it| Some(Attribute::Bytes(it)));
        }
        // An empty template has no pointer that the module could follow.
        (Kind::Template, RawValue::Bytes(bytes)) if bytes.bytes().is_empty() => {
            return encode_nested(&[]).map(|it| Some(Attribute::Bytes(it)));
        }
        (Kind::Template, _) | (_, RawValue::Template(_)) => return Err(bad()),
        (_, RawValue::Bytes(bytes)) => bytes.bytes(),
    };
    Ok(match kind {
        Kind::Bool => match bytes {
            [0] => Some(Attribute::Bool(false)),
            // CK_TRUE is 1; applications with a C `int` of any other value mean it too.
            [_] => Some(Attribute::Bool(true)),
            _ => return Err(bad()),
        },
        Kind::Number => Some(Attribute::Number(number_of(value)?)),
        Kind::Date => match bytes {
            [] => None,
            bytes => Some(Attribute::Date(date(bytes).ok_or_else(bad)?)),
        },
        Kind::Text => {
            let text = std::str::from_utf8(bytes).map_err(|_| bad())?;
            Some(Attribute::Text(text.to_owned()))
        }
        Kind::Mechanisms if !bytes.len().is_multiple_of(8) => return Err(bad()),
        // As usable.rs of slotfs-object reads them.
        Kind::Mechanisms => {
            let (numbers, _) = bytes.as_chunks::<8>();
            let numbers = numbers.iter().map(|it| u64::from_ne_bytes(*it));
            Some(Attribute::Bytes(
                numbers.flat_map(u64::to_le_bytes).collect(),
            ))
        }
        Kind::Bytes if class.is_some_and(|class| is_secret(class, number)) => {
            Some(Attribute::Secret(SecretBytes::from(bytes)))
        }
        Kind::Bytes => Some(Attribute::Bytes(bytes.to_vec())),
        Kind::Template => return Err(bad()),
    })
}

fn date(bytes: &[u8]) -> Option<Date> {
    let text = std::str::from_utf8(bytes).ok()?;
    if text.len() != 8 || !text.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    let part = |range: std::ops::Range<usize>| text.get(range)?.parse().ok();
    Date::of_calendar(part(0..4)?, part(4..6)?, part(6..8)?)
}

/// Attributes that every object of a class has, with nothing in them where slotfs stores none (PKCS#11 3.2, the tables of
/// section 4).
fn is_empty_default(object: &Object, number: u32) -> bool {
    let classes: &[u32] = match number {
        CKA_START_DATE | CKA_END_DATE => &[
            CKO_CERTIFICATE,
            CKO_PUBLIC_KEY,
            CKO_PRIVATE_KEY,
            CKO_SECRET_KEY,
        ],
        CKA_ID => &[
            CKO_CERTIFICATE,
            CKO_PUBLIC_KEY,
            CKO_PRIVATE_KEY,
            CKO_SECRET_KEY,
        ],
        CKA_SUBJECT => &[CKO_CERTIFICATE, CKO_PUBLIC_KEY, CKO_PRIVATE_KEY],
        CKA_ISSUER
        | CKA_SERIAL_NUMBER
        | CKA_URL
        | CKA_HASH_OF_SUBJECT_PUBLIC_KEY
        | CKA_HASH_OF_ISSUER_PUBLIC_KEY => &[CKO_CERTIFICATE],
        CKA_APPLICATION | CKA_OBJECT_ID => &[CKO_DATA],
        CKA_LABEL => return true,
        _ => return false,
    };
    classes.contains(&object.class)
}

/// Whether objects of these classes have the attribute with the value false where slotfs stores none.
fn default_bool(object: &Object, number: u32) -> Option<bool> {
    let hidden = [CKO_PRIVATE_KEY, CKO_SECRET_KEY].contains(&object.class);
    match number {
        CKA_TOKEN | CKA_MODIFIABLE | CKA_COPYABLE | CKA_DESTROYABLE => Some(true),
        CKA_PRIVATE => Some(object.is_private()),
        CKA_TRUSTED => {
            let classes = [CKO_PUBLIC_KEY, CKO_SECRET_KEY, CKO_CERTIFICATE];
            classes.contains(&object.class).then_some(false)
        }
        CKA_ENCAPSULATE => (object.class == CKO_PUBLIC_KEY).then_some(false),
        CKA_DECAPSULATE | CKA_ALWAYS_AUTHENTICATE => {
            (object.class == CKO_PRIVATE_KEY).then_some(false)
        }
        CKA_WRAP_WITH_TRUSTED => hidden.then_some(false),
        _ => None,
    }
}

/// The bytes of an attribute as an application gets them; `None` where the object has none, or does not show it. Secret
/// attributes are never shown here.
pub(crate) fn encode(object: &Object, number: u32) -> Option<Vec<u8>> {
    let ulong = |value: u64| value.to_ne_bytes().to_vec();
    match number {
        CKA_CLASS => return Some(ulong(u64::from(object.class))),
        CKA_KEY_TYPE => return object.key_type.map(|it| ulong(u64::from(it))),
        CKA_UNIQUE_ID => return Some(object.ouid.to_string().into_bytes()),
        _ => {}
    }
    let Some(value) = object.attributes.get(&number) else {
        return default_bytes(object, number);
    };
    Some(match value {
        Attribute::Bool(value) => vec![u8::from(*value)],
        Attribute::Number(value) => ulong(*value),
        Attribute::Bytes(bytes) => bytes.clone(),
        Attribute::Text(text) => text.clone().into_bytes(),
        Attribute::Date(date) => {
            format!("{:04}{:02}{:02}", date.year, date.month, date.day).into_bytes()
        }
        Attribute::Secret(_) => return None,
    })
}

fn default_bytes(object: &Object, number: u32) -> Option<Vec<u8>> {
    if let Some(value) = default_bool(object, number) {
        return Some(vec![u8::from(value)]);
    }
    match number {
        CKA_MODULUS_BITS if object.class == CKO_PUBLIC_KEY => {
            let modulus = object.bytes(CKA_MODULUS)?;
            let first = modulus.iter().position(|byte| *byte != 0)?;
            let bits = (modulus.len() - first) * 8 - modulus[first].leading_zeros() as usize;
            Some((bits as u64).to_ne_bytes().to_vec())
        }
        CKA_CERTIFICATE_CATEGORY | CKA_JAVA_MIDP_SECURITY_DOMAIN
            if object.class == CKO_CERTIFICATE =>
        {
            Some(0u64.to_ne_bytes().to_vec())
        }
        CKA_NAME_HASH_ALGORITHM if object.class == CKO_CERTIFICATE => {
            Some(CKM_SHA_1.to_ne_bytes().to_vec())
        }
        _ => is_empty_default(object, number).then(Vec::new),
    }
}

/// An attribute as `C_GetAttributeValue` returns it: nested templates are taken apart.
pub(crate) fn shown(object: &Object, number: u32) -> Option<RawValue> {
    if kind(number) == Some(Kind::Template) {
        let stored = object.bytes(number)?;
        return decode_nested(stored).ok().map(RawValue::Template);
    }
    let bytes = encode(object, number)?;
    Some(RawValue::Bytes(Secret::from(bytes)))
}

/// The attributes of a search, in the bytes that the index compares; `None` when no object can have them.
pub(crate) fn wanted(template: &[RawAttribute]) -> Option<Vec<(u32, Vec<u8>)>> {
    let one = |it: &RawAttribute| {
        let number = u32::try_from(it.kind).ok()?;
        let bytes = match &it.value {
            RawValue::Bytes(bytes) => bytes.bytes().to_vec(),
            RawValue::Template(template) => encode_nested(template).ok()?,
        };
        // CK_TRUE has many spellings in applications.
        let bytes = match (kind(number), bytes.as_slice()) {
            (Some(Kind::Bool), [value]) => vec![u8::from(*value != 0)],
            _ => bytes,
        };
        Some((number, bytes))
    };
    template.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn raw(kind: u32, bytes: &[u8]) -> RawAttribute {
        RawAttribute::bytes(u64::from(kind), bytes)
    }

    #[test]
    fn a_template_is_read_and_shown_again() {
        let template = vec![
            raw(CKA_CLASS, &u64::from(CKO_SECRET_KEY).to_ne_bytes()),
            raw(CKA_KEY_TYPE, &u64::from(CKK_AES).to_ne_bytes()),
            raw(CKA_LABEL, b"one"),
            raw(CKA_SIGN, &[1]),
            raw(CKA_START_DATE, b"20260131"),
            raw(CKA_END_DATE, b""),
            raw(CKA_ALLOWED_MECHANISMS, &0x1082u64.to_ne_bytes()),
            raw(CKA_VALUE, &[7; 16]),
        ];
        let given = Given::parse(&template, None).unwrap();
        assert_eq!(
            (given.class, given.key_type),
            (Some(CKO_SECRET_KEY), Some(CKK_AES))
        );
        let mut object = Object::new(CKO_SECRET_KEY, given.key_type).unwrap();
        object.attributes = given.attributes;
        assert!(object.is_well_formed());
        for it in &template {
            let number = u32::try_from(it.kind).unwrap();
            let RawValue::Bytes(bytes) = &it.value else {
                unreachable!()
            };
            let want = (number != CKA_VALUE).then(|| bytes.bytes().to_vec());
            assert_eq!(encode(&object, number), want, "{}", attribute_name(number));
        }
    }

    #[test]
    fn values_that_are_none() {
        for (number, bytes) in [
            (CKA_SIGN, &[][..]),
            (CKA_SIGN, &[1, 0]),
            (CKA_KEY_TYPE, &[0; 4]),
            (CKA_LABEL, &[0xff]),
            (CKA_START_DATE, b"2026013"),
            (CKA_START_DATE, b"20260230"),
            (CKA_START_DATE, b"2026+130"),
            (CKA_ALLOWED_MECHANISMS, &[0; 7]),
            (CKA_WRAP_TEMPLATE, &[1]),
        ] {
            let refused = Given::parse(&vec![raw(number, bytes)], None).err();
            let name = attribute_name(number);
            assert_eq!(refused, Some(Rv(CKR_ATTRIBUTE_VALUE_INVALID)), "{name}");
        }
        let unknown = Given::parse(&vec![raw(0x1234, &[])], None).err();
        assert_eq!(unknown, Some(Rv(CKR_ATTRIBUTE_TYPE_INVALID)));
        let twice = vec![raw(CKA_LABEL, b"a"), raw(CKA_LABEL, b"b")];
        let refused = Given::parse(&twice, None).err();
        assert_eq!(refused, Some(Rv(CKR_TEMPLATE_INCONSISTENT)));
    }
}
