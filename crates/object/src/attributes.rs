//! Attributes that the user chooses for a new object.

use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};
use x509_cert::name::Name;

use super::pkcs11::{
    CKA_APPLICATION, CKA_DERIVE, CKA_END_DATE, CKA_EXTRACTABLE, CKA_MODIFIABLE, CKA_OBJECT_ID,
    CKA_PRIVATE, CKA_SENSITIVE, CKA_START_DATE, CKA_SUBJECT, CKA_WRAP_WITH_TRUSTED, CKK_AES,
    CKK_EC, CKK_EC_MONTGOMERY, CKO_CERTIFICATE, CKO_DATA, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY,
    CKO_SECRET_KEY, attribute_name, attribute_number, class_name, key_type_name,
};
use super::template::{self, HIDDEN, KEYS, USAGES};
use super::{Attribute, Date, Object};
use crate::codec;

/// The values that an attribute takes.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Bool,
    /// One of [`USAGES`]: true only if keys of the type can do it.
    Usage,
    Date,
    Text,
    /// DER of a distinguished name, in hexadecimal.
    Name,
    /// An object identifier in dotted decimal, stored as DER.
    Oid,
    /// Bytes in hexadecimal.
    Hex,
}

const ALL: &[u32] = &[
    CKO_DATA,
    CKO_CERTIFICATE,
    CKO_PUBLIC_KEY,
    CKO_PRIVATE_KEY,
    CKO_SECRET_KEY,
];

/// The attributes beside [`USAGES`] that can be chosen, and the classes that have them (PKCS#11 3.1 sections 4.4 to
/// 4.10).
const CHOOSABLE: &[(u32, Kind, &[u32])] = &[
    (CKA_PRIVATE, Kind::Bool, ALL),
    (CKA_MODIFIABLE, Kind::Bool, ALL),
    (CKA_SENSITIVE, Kind::Bool, HIDDEN),
    (CKA_EXTRACTABLE, Kind::Bool, HIDDEN),
    (CKA_WRAP_WITH_TRUSTED, Kind::Bool, HIDDEN),
    (CKA_START_DATE, Kind::Date, KEYS),
    (CKA_END_DATE, Kind::Date, KEYS),
    (CKA_SUBJECT, Kind::Name, &[CKO_PUBLIC_KEY, CKO_PRIVATE_KEY]),
    (CKA_APPLICATION, Kind::Text, &[CKO_DATA]),
    (CKA_OBJECT_ID, Kind::Oid, &[CKO_DATA]),
];

/// The kind of an attribute that can be chosen, and the classes that have it.
fn choosable(number: u32) -> Option<(Kind, &'static [u32])> {
    let usages = USAGES
        .iter()
        .map(|&(usage, classes)| (usage, Kind::Usage, classes));
    let mut all = CHOOSABLE.iter().copied().chain(usages);
    all.find(|row| row.0 == number)
        .map(|(_, kind, classes)| (kind, classes))
}

/// Attributes that cannot be chosen, by name without `CKA_`, and why. All others follow from the key or file.
const FIXED: &[(&str, &str)] = &[
    ("LABEL", "-label sets it"),
    ("ID", "-id sets it"),
    ("TOKEN", "every object in a slot is a token object"),
    ("COPYABLE", "the policy of the slot decides what is cloned"),
    ("DESTROYABLE", "every object can be destroyed"),
    ("TRUSTED", "only a security officer can trust a key"),
    (
        "ALWAYS_AUTHENTICATE",
        "a slot does not ask for the password at each use of a key",
    ),
    ("LOCAL", "it records whether the key was generated here"),
    ("KEY_GEN_MECHANISM", "it records how the key was generated"),
    (
        "ALWAYS_SENSITIVE",
        "it follows from SENSITIVE and the origin of the key",
    ),
    (
        "NEVER_EXTRACTABLE",
        "it follows from EXTRACTABLE and the origin of the key",
    ),
];

/// Why a choice of attributes was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttributeError {
    /// Not `NAME=VALUE`: which of the list, from 1. The text is not repeated: it may be part of a value.
    #[error("attribute {0} is not of the form NAME=VALUE")]
    Form(usize),
    /// No attribute that slotfs knows.
    #[error("there is no attribute {0}")]
    Unknown(String),
    /// An attribute that cannot be chosen: its name, and why.
    #[error("{0} cannot be chosen: {1}")]
    ReadOnly(String, &'static str),
    /// A value that the attribute does not take: its name, and what it takes.
    #[error("{0} takes {1}")]
    Value(String, &'static str),
    /// The same attribute twice.
    #[error("{0} is given twice")]
    Twice(String),
    /// An attribute that cannot be chosen for objects of the class: its name, the classes.
    #[error("{0} cannot be chosen for a {1}")]
    NotOfClass(String, String),
    /// A use that the key type does not have: attribute, key type, class.
    #[error("{0} cannot be true for a {2} of type {1}")]
    Incapable(String, String, String),
    /// A validity that ends before it starts.
    #[error("CKA_END_DATE is before CKA_START_DATE")]
    Dates,
    /// The object is too large to store.
    #[error("the object is larger than {} bytes", codec::MAX_PAYLOAD_BYTES)]
    TooLarge,
}

impl AttributeError {
    /// What the user can do, for the line after the message; lower case, no full stop.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Form(_) => Some("for example -attribute extractable=true,sign=false"),
            Self::Unknown(_) => Some(
                "use PKCS#11 names without CKA_; docs/objects.md lists the attributes that can be chosen",
            ),
            Self::NotOfClass(..) => {
                Some("docs/objects.md lists the attributes that can be chosen for each class")
            }
            Self::ReadOnly(..)
            | Self::Value(..)
            | Self::Twice(_)
            | Self::Incapable(..)
            | Self::Dates
            | Self::TooLarge => None,
        }
    }
}

/// Attributes that the user chose, numbers and values, before they are set on an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen(Vec<(u32, Attribute)>);

impl Chosen {
    /// Parses texts like `extractable=true,sign=false`: PKCS#11 names with or without `CKA_`, in any case.
    ///
    /// | attribute | value |
    /// | --- | --- |
    /// | booleans | `true` or `false` |
    /// | dates | `2026-12-31` |
    /// | `APPLICATION` | text without commas |
    /// | `SUBJECT` | DER in hexadecimal |
    /// | `OBJECT_ID` | dotted decimal |
    ///
    /// # Errors
    /// [`AttributeError`]
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, AttributeError> {
        let mut chosen = Self::default();
        for part in parts(texts) {
            let (number, value) = parse(part?)?;
            if chosen.0.iter().any(|other| other.0 == number) {
                return Err(AttributeError::Twice(attribute_name(number)));
            }
            chosen.0.push((number, value));
        }
        Ok(chosen)
    }

    /// Sets each chosen attribute on the `objects` whose class has it: for a key pair, `sign` on the private key and
    /// `verify` on the public key.
    ///
    /// # Errors
    /// [`AttributeError`], also when none of the objects has a chosen attribute. Some objects may be changed by then.
    pub fn apply(&self, objects: &mut [Object]) -> Result<(), AttributeError> {
        for (number, value) in &self.0 {
            let mut used = false;
            for object in objects.iter_mut() {
                used |= apply(*number, value, object)?;
            }
            if !used {
                let mut classes: Vec<String> =
                    objects.iter().map(|it| class_name(it.class)).collect();
                classes.dedup();
                return Err(AttributeError::NotOfClass(
                    attribute_name(*number),
                    classes.join(" or "),
                ));
            }
        }
        for object in objects {
            check_dates(object)?;
            template::set_history(object);
            if codec::encode(object).is_none() {
                return Err(AttributeError::TooLarge);
            }
        }
        Ok(())
    }
}

/// Sets the attribute if the class of `object` has it, and says whether it does.
fn apply(number: u32, value: &Attribute, object: &mut Object) -> Result<bool, AttributeError> {
    let kind = match choosable(number) {
        Some((kind, classes)) if classes.contains(&object.class) => kind,
        _ => return Ok(false),
    };
    let allows = matches!(kind, Kind::Usage) && *value == Attribute::Bool(true);
    if allows && !is_capable(object, number) {
        return Err(AttributeError::Incapable(
            attribute_name(number),
            key_type_name(object.key_type),
            class_name(object.class),
        ));
    }
    object.set(number, value.clone());
    Ok(true)
}

/// Whether a key of this type can be used so: the default uses, and derivation where PKCS#11 has a rarely wanted
/// mechanism for it.
fn is_capable(object: &Object, usage: u32) -> bool {
    let derives = match object.class {
        CKO_SECRET_KEY => object.key_type == Some(CKK_AES),
        CKO_PUBLIC_KEY => matches!(object.key_type, Some(CKK_EC | CKK_EC_MONTGOMERY)),
        _ => false,
    };
    object.attributes.get(&usage) == Some(&Attribute::Bool(true))
        || (usage == CKA_DERIVE && derives)
}

pub(super) fn check_dates(object: &Object) -> Result<(), AttributeError> {
    let date = |number| match object.attributes.get(&number) {
        Some(Attribute::Date(date)) => Some((date.year, date.month, date.day)),
        _ => None,
    };
    match (date(CKA_START_DATE), date(CKA_END_DATE)) {
        // The dates of a certificate come from its issuer.
        (Some(start), Some(end)) if end < start && object.class != CKO_CERTIFICATE => {
            Err(AttributeError::Dates)
        }
        _ => Ok(()),
    }
}

fn parse(part: Part<'_>) -> Result<(u32, Attribute), AttributeError> {
    let Part {
        number,
        name,
        value,
    } = part;
    let Some((kind, _)) = choosable(number) else {
        return Err(fixed(&name));
    };
    Ok((number, value_of(kind, name, value)?))
}

/// One `NAME=VALUE` of a list.
pub(super) struct Part<'a> {
    pub(super) number: u32,
    /// The attribute's PKCS#11 name.
    pub(super) name: String,
    pub(super) value: &'a str,
}

/// The parts of texts like `sign=false,derive=true`. Names are with or without `CKA_`, in any case.
pub(super) fn parts<'a>(
    texts: impl IntoIterator<Item = &'a str>,
) -> impl Iterator<Item = Result<Part<'a>, AttributeError>> {
    let split = |text: &'a str| text.split(',').enumerate();
    let all = texts.into_iter().flat_map(split).enumerate();
    all.map(|(index, (in_text, text))| {
        let form = AttributeError::Form(index + 1);
        let Some((name, value)) = text.split_once('=') else {
            return Err(form);
        };
        let upper = name.trim().to_ascii_uppercase();
        let short = upper.strip_prefix("CKA_").unwrap_or(&upper);
        let full = format!("CKA_{short}");
        match attribute_number(&full) {
            Some(number) => Ok(Part {
                number,
                name: full,
                value: value.trim(),
            }),
            None if in_text == 0 => Err(AttributeError::Unknown(name.trim().to_owned())),
            // It may be a part of a value with a comma in it, and values are not repeated.
            None => Err(form),
        }
    })
}

/// Why nobody can choose the attribute of that name.
pub(super) fn fixed(full: &str) -> AttributeError {
    let fixed = FIXED
        .iter()
        .find(|row| full.strip_prefix("CKA_") == Some(row.0));
    let why = fixed.map_or("it follows from the key or file itself", |row| row.1);
    AttributeError::ReadOnly(full.to_owned(), why)
}

pub(super) fn value_of(kind: Kind, full: String, value: &str) -> Result<Attribute, AttributeError> {
    let hex = || {
        data_encoding::HEXLOWER_PERMISSIVE
            .decode(value.as_bytes())
            .ok()
    };
    let (value, takes) = match kind {
        Kind::Bool | Kind::Usage => {
            let value = value.to_ascii_lowercase().parse().ok();
            (value.map(Attribute::Bool), "true or false")
        }
        Kind::Date => (date(value).map(Attribute::Date), "a date like 2026-12-31"),
        Kind::Text => (Some(Attribute::Text(value.to_owned())), "text"),
        Kind::Name => {
            let name = hex().filter(|der| Name::from_der(der).is_ok());
            let takes = "the DER of a distinguished name, in hexadecimal";
            (name.map(Attribute::Bytes), takes)
        }
        Kind::Oid => {
            let oid = ObjectIdentifier::new(value).ok();
            let der = oid.and_then(|oid| oid.to_der().ok());
            let takes = "an object identifier like 1.2.840.113549";
            (der.map(Attribute::Bytes), takes)
        }
        Kind::Hex => (hex().map(Attribute::Bytes), "bytes in hexadecimal"),
    };
    value.ok_or(AttributeError::Value(full, takes))
}

/// `YYYY-MM-DD`, a day that exists.
fn date(text: &str) -> Option<Date> {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text.as_bytes() else {
        return None;
    };
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0u16, |sum, digit| {
            digit
                .is_ascii_digit()
                .then(|| sum * 10 + u16::from(digit - b'0'))
        })
    };
    let (year, month, day) = (&[y1, y2, y3, y4], &[m1, m2], &[d1, d2]);
    Date::of_calendar(number(year)?, number(month)?, number(day)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::new::{Naming, SecretKeyType, data, generate_secret_key, import_secret_key};
    use crate::pkcs11::{CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE};
    use crate::secret::SecretBytes;

    fn aes() -> Object {
        generate_secret_key(SecretKeyType::Aes, 128, &Naming::default()).unwrap()
    }

    fn apply(text: &str, object: Object) -> Result<Object, AttributeError> {
        let mut objects = [object];
        Chosen::parse([text])?.apply(&mut objects)?;
        let [object] = objects;
        Ok(object)
    }

    fn is(object: &Object, number: u32) -> bool {
        object.attributes[&number] == Attribute::Bool(true)
    }

    #[test]
    fn what_a_key_is_born_with_is_remembered() {
        for (text, always, never) in [
            ("sign=false", true, true),
            ("sensitive=false", false, true),
            ("extractable=true", true, false),
            ("CKA_Sensitive=FALSE, CKA_EXTRACTABLE=True", false, false),
        ] {
            let key = apply(text, aes()).unwrap();
            assert_eq!(is(&key, CKA_ALWAYS_SENSITIVE), always, "{text}");
            assert_eq!(is(&key, CKA_NEVER_EXTRACTABLE), never, "{text}");
        }
        let value = SecretBytes::new(vec![1; 16]);
        let imported = import_secret_key(SecretKeyType::Aes, value, &Naming::default()).unwrap();
        let imported = apply("sensitive=true,extractable=false", imported).unwrap();
        assert!(!is(&imported, CKA_ALWAYS_SENSITIVE) && !is(&imported, CKA_NEVER_EXTRACTABLE));
    }

    #[test]
    fn what_is_refused_and_how() {
        for (text, says) in [
            ("", "attribute 1 is not of the form NAME=VALUE"),
            (
                "application=a,s3cret",
                "attribute 2 is not of the form NAME=VALUE",
            ),
            ("sign=yes", "CKA_SIGN takes true or false"),
            ("sing=true", "there is no attribute sing"),
            ("sign=true,cka_sign=false", "CKA_SIGN is given twice"),
            (
                "start_date=2026-02-29",
                "CKA_START_DATE takes a date like 2026-12-31",
            ),
            (
                "start_date=2026-2-1",
                "CKA_START_DATE takes a date like 2026-12-31",
            ),
            (
                "start_date=2026-01-02,end_date=2026-01-01",
                "CKA_END_DATE is before CKA_START_DATE",
            ),
            (
                "copyable=false",
                "CKA_COPYABLE cannot be chosen: the policy of the slot decides what is cloned",
            ),
            (
                "local=true",
                "CKA_LOCAL cannot be chosen: it records whether the key was generated here",
            ),
            (
                "value=00",
                "CKA_VALUE cannot be chosen: it follows from the key or file itself",
            ),
            (
                "subject=00",
                "CKA_SUBJECT takes the DER of a distinguished name, in hexadecimal",
            ),
            (
                "sign_recover=true",
                "CKA_SIGN_RECOVER cannot be chosen for a secret key",
            ),
        ] {
            let error = apply(text, aes()).unwrap_err();
            assert_eq!(error.to_string(), says, "{text}");
        }
        let generic = generate_secret_key(SecretKeyType::Generic, 128, &Naming::default()).unwrap();
        assert_eq!(
            apply("encrypt=true", generic).unwrap_err().to_string(),
            "CKA_ENCRYPT cannot be true for a secret key of type GENERIC_SECRET"
        );
        assert!(is(&apply("derive=true", aes()).unwrap(), CKA_DERIVE));
        let long = format!("application={}", "x".repeat(70_000));
        let note = data(SecretBytes::new(vec![1]), &Naming::default()).unwrap();
        assert_eq!(apply(&long, note), Err(AttributeError::TooLarge));
    }

    #[test]
    fn texts_names_and_identifiers() {
        let note = || data(SecretBytes::new(vec![1]), &Naming::default()).unwrap();
        let note = apply(
            "application=backup tool,object_id=2.5.4.3,private=false",
            note(),
        )
        .unwrap();
        assert_eq!(
            note.attributes[&CKA_APPLICATION],
            Attribute::Text("backup tool".to_owned())
        );
        let oid = Attribute::Bytes(vec![6, 3, 0x55, 4, 3]);
        assert_eq!(note.attributes[&CKA_OBJECT_ID], oid);
        assert!(!is(&note, CKA_PRIVATE));
    }

    #[test]
    fn dates_are_days_that_there_are() {
        for good in ["2024-02-29", "2000-02-29", "0001-01-01", "9999-12-31"] {
            assert_eq!(date(good).unwrap().to_string(), good);
        }
        for bad in [
            "1900-02-29",
            "2026-04-31",
            "2026-00-01",
            "2026-13-01",
            "2026-01-00",
            "+026-01-01",
            "2026-01-1",
            "26-01-01",
            "",
            "2026/01/01",
        ] {
            assert_eq!(date(bad), None, "{bad}");
        }
    }
}
