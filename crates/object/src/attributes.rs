//! Attributes that the user chooses when an object is made. A stored object is immutable, so this is the one time:
//! PKCS#11's one-way rules (never from sensitive back, never to extractable) hold because nothing can change.

use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};
use x509_cert::name::Name;

use super::pkcs11::{
    ATTRIBUTES, CKA_APPLICATION, CKA_DECRYPT, CKA_DERIVE, CKA_ENCRYPT, CKA_END_DATE,
    CKA_EXTRACTABLE, CKA_OBJECT_ID, CKA_PRIVATE, CKA_SENSITIVE, CKA_SIGN, CKA_SIGN_RECOVER,
    CKA_START_DATE, CKA_SUBJECT, CKA_UNWRAP, CKA_VERIFY, CKA_VERIFY_RECOVER, CKA_WRAP,
    CKA_WRAP_WITH_TRUSTED, CKK_AES, CKK_EC, CKK_EC_MONTGOMERY, CKO_CERTIFICATE, CKO_DATA,
    CKO_PRIVATE_KEY, CKO_PUBLIC_KEY, CKO_SECRET_KEY, attribute_name, class_name, key_type_name,
};
use super::{Attribute, Date, Object, template};
use crate::codec;

/// What values an attribute takes.
#[derive(Clone, Copy)]
enum Kind {
    Bool,
    /// A boolean that says what a key is for: only what its type can do may be true.
    Usage,
    Date,
    Text,
    /// DER of a distinguished name, in hexadecimal.
    Name,
    /// An object identifier in dotted decimal, stored as DER.
    Oid,
}

const ALL: &[u32] = &[
    CKO_DATA,
    CKO_CERTIFICATE,
    CKO_PUBLIC_KEY,
    CKO_PRIVATE_KEY,
    CKO_SECRET_KEY,
];
const KEYS: &[u32] = &[CKO_PUBLIC_KEY, CKO_PRIVATE_KEY, CKO_SECRET_KEY];
const HIDDEN: &[u32] = &[CKO_PRIVATE_KEY, CKO_SECRET_KEY];
const OPEN: &[u32] = &[CKO_PUBLIC_KEY, CKO_SECRET_KEY];
const PAIRS: &[u32] = &[CKO_PUBLIC_KEY, CKO_PRIVATE_KEY];

/// What may be chosen, and for objects of which classes (PKCS#11 3.1 sections 4.4 to 4.10).
const CHOOSABLE: &[(u32, Kind, &[u32])] = &[
    (CKA_PRIVATE, Kind::Bool, ALL),
    (CKA_SENSITIVE, Kind::Bool, HIDDEN),
    (CKA_EXTRACTABLE, Kind::Bool, HIDDEN),
    (CKA_WRAP_WITH_TRUSTED, Kind::Bool, HIDDEN),
    (CKA_ENCRYPT, Kind::Usage, OPEN),
    (CKA_DECRYPT, Kind::Usage, HIDDEN),
    (CKA_WRAP, Kind::Usage, OPEN),
    (CKA_UNWRAP, Kind::Usage, HIDDEN),
    (CKA_SIGN, Kind::Usage, HIDDEN),
    (CKA_SIGN_RECOVER, Kind::Usage, &[CKO_PRIVATE_KEY]),
    (CKA_VERIFY, Kind::Usage, OPEN),
    (CKA_VERIFY_RECOVER, Kind::Usage, &[CKO_PUBLIC_KEY]),
    (CKA_DERIVE, Kind::Usage, KEYS),
    (CKA_START_DATE, Kind::Date, KEYS),
    (CKA_END_DATE, Kind::Date, KEYS),
    (CKA_SUBJECT, Kind::Name, PAIRS),
    (CKA_APPLICATION, Kind::Text, &[CKO_DATA]),
    (CKA_OBJECT_ID, Kind::Oid, &[CKO_DATA]),
];

/// What may not be chosen, by name without `CKA_`, and why not. For what is in neither list, see [`why_fixed`].
const FIXED: &[(&str, &str)] = &[
    ("LABEL", "-label sets it"),
    ("ID", "-id sets it"),
    ("TOKEN", "every object of a slot is a token object"),
    (
        "MODIFIABLE",
        "a stored object is immutable; a change is a new object",
    ),
    ("COPYABLE", "the slot's policy says what may be cloned"),
    ("DESTROYABLE", "every object can be destroyed"),
    ("TRUSTED", "only a security officer may trust a key"),
    (
        "ALWAYS_AUTHENTICATE",
        "a slot does not ask for each use of a key",
    ),
    ("LOCAL", "it says whether the key was generated here"),
    ("KEY_GEN_MECHANISM", "it says how the key was generated"),
    (
        "ALWAYS_SENSITIVE",
        "it follows from SENSITIVE and where the key comes from",
    ),
    (
        "NEVER_EXTRACTABLE",
        "it follows from EXTRACTABLE and where the key comes from",
    ),
];

fn why_fixed(name: &str) -> &'static str {
    match FIXED.iter().find(|row| row.0 == name) {
        Some((_, why)) => why,
        None => "it follows from the key or file itself",
    }
}

/// Why a choice of attributes was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttributeError {
    /// Not `NAME=VALUE`.
    #[error("'{0}' is not an attribute with its value, NAME=VALUE")]
    Form(String),
    /// No attribute that slotfs knows.
    #[error("there is no attribute {0}")]
    Unknown(String),
    /// An attribute that is not the user's to choose: its name, and why.
    #[error("{0} cannot be chosen: {1}")]
    ReadOnly(String, &'static str),
    /// A value that the attribute does not take: its name, and what it takes.
    #[error("{0} takes {1}")]
    Value(String, &'static str),
    /// The same attribute twice.
    #[error("{0} is given twice")]
    Twice(String),
    /// An attribute that objects of the class do not have, or not to choose: its name, the classes.
    #[error("{0} cannot be chosen for a {1}")]
    NotOfClass(String, String),
    /// A use that the key type is not capable of: attribute, key type, class.
    #[error("{0} cannot be true: a {2} of type {1} cannot do that")]
    Incapable(String, String, String),
    /// A validity that ends before it starts.
    #[error("CKA_END_DATE is before CKA_START_DATE")]
    Dates,
    /// The object would not fit.
    #[error("the object would take more than {} bytes", codec::MAX_PAYLOAD_BYTES)]
    TooLarge,
}

impl AttributeError {
    /// What to do about it, for the line after the message; a lower-case sentence without full stop.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Form(_) => Some("an example: -attribute extractable=true,sign=false"),
            Self::Unknown(_) => {
                Some("names are PKCS#11's without CKA_; docs/objects.md lists what can be chosen")
            }
            Self::NotOfClass(..) => {
                Some("docs/objects.md lists what can be chosen for which class")
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

/// Attributes chosen by the user, not yet those of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen(Vec<Choice>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Choice {
    number: u32,
    value: Attribute,
}

impl Chosen {
    /// Of texts like `extractable=true,sign=false`: PKCS#11's names with or without `CKA_`, in any case.
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
        for text in texts.into_iter().flat_map(|text| text.split(',')) {
            let (name, value) = text
                .split_once('=')
                .ok_or_else(|| AttributeError::Form(text.to_owned()))?;
            let choice = choice(name.trim(), value.trim())?;
            if chosen.0.iter().any(|other| other.number == choice.number) {
                return Err(AttributeError::Twice(attribute_name(choice.number)));
            }
            chosen.0.push(choice);
        }
        Ok(chosen)
    }

    /// Sets what was chosen on each of `objects` whose class has it: of a key pair, `sign` is the private key's and
    /// `verify` the public one's.
    ///
    /// # Errors
    /// [`AttributeError`]: one that none of them has among others. Then some may have been changed already.
    pub fn apply(&self, objects: &mut [Object]) -> Result<(), AttributeError> {
        for choice in &self.0 {
            let mut taken = false;
            for object in objects.iter_mut() {
                taken |= choice.apply(object)?;
            }
            if !taken {
                let mut classes: Vec<String> =
                    objects.iter().map(|it| class_name(it.class)).collect();
                classes.dedup();
                return Err(AttributeError::NotOfClass(
                    attribute_name(choice.number),
                    classes.join(" or "),
                ));
            }
        }
        for object in objects {
            check_dates(object)?;
            template::remember_birth(object);
            if codec::encode(object).is_none() {
                return Err(AttributeError::TooLarge);
            }
        }
        Ok(())
    }
}

impl Choice {
    /// Whether `object` has it, and then sets it.
    fn apply(&self, object: &mut Object) -> Result<bool, AttributeError> {
        let Some((_, kind, _)) = CHOOSABLE
            .iter()
            .find(|row| row.0 == self.number && row.2.contains(&object.class))
        else {
            return Ok(false);
        };
        let asks = matches!(kind, Kind::Usage) && self.value == Attribute::Bool(true);
        if asks && !is_capable(object, self.number) {
            return Err(AttributeError::Incapable(
                attribute_name(self.number),
                key_type_name(object.key_type),
                class_name(object.class),
            ));
        }
        object.attributes.insert(self.number, self.value.clone());
        Ok(true)
    }
}

/// What a key of this type can be used for: all that it is by default, and derivation where PKCS#11 has a
/// mechanism for it that is rarely wanted.
fn is_capable(object: &Object, usage: u32) -> bool {
    let derives = match object.class {
        CKO_SECRET_KEY => object.key_type == Some(CKK_AES),
        CKO_PUBLIC_KEY => matches!(object.key_type, Some(CKK_EC | CKK_EC_MONTGOMERY)),
        _ => false,
    };
    object.attributes.get(&usage) == Some(&Attribute::Bool(true))
        || (usage == CKA_DERIVE && derives)
}

fn check_dates(object: &Object) -> Result<(), AttributeError> {
    let date = |number| match object.attributes.get(&number) {
        Some(Attribute::Date(date)) => Some((date.year, date.month, date.day)),
        _ => None,
    };
    match (date(CKA_START_DATE), date(CKA_END_DATE)) {
        // A certificate's dates are its own.
        (Some(start), Some(end)) if end < start && object.class != CKO_CERTIFICATE => {
            Err(AttributeError::Dates)
        }
        _ => Ok(()),
    }
}

fn choice(name: &str, value: &str) -> Result<Choice, AttributeError> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CKA_").unwrap_or(&upper);
    let full = format!("CKA_{short}");
    let Some(&(number, _)) = ATTRIBUTES.iter().find(|row| row.1 == full) else {
        return Err(AttributeError::Unknown(name.to_owned()));
    };
    let Some((_, kind, _)) = CHOOSABLE.iter().find(|row| row.0 == number) else {
        return Err(AttributeError::ReadOnly(full, why_fixed(short)));
    };
    let refused = |takes| AttributeError::Value(full.clone(), takes);
    let value = match kind {
        Kind::Bool | Kind::Usage => match value.to_ascii_lowercase().as_str() {
            "true" => Attribute::Bool(true),
            "false" => Attribute::Bool(false),
            _ => return Err(refused("true or false")),
        },
        Kind::Date => date(value)
            .map(Attribute::Date)
            .ok_or_else(|| refused("a date like 2026-12-31"))?,
        Kind::Text => Attribute::Text(value.to_owned()),
        Kind::Name => data_encoding::HEXLOWER_PERMISSIVE
            .decode(value.as_bytes())
            .ok()
            .filter(|der| Name::from_der(der).is_ok())
            .map(Attribute::Bytes)
            .ok_or_else(|| refused("the DER of a distinguished name, in hexadecimal"))?,
        Kind::Oid => ObjectIdentifier::new(value)
            .ok()
            .and_then(|oid| oid.to_der().ok())
            .map(Attribute::Bytes)
            .ok_or_else(|| refused("an object identifier like 1.2.840.113549"))?,
    };
    Ok(Choice { number, value })
}

/// `YYYY-MM-DD`, a day that there is.
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
    let (year, month, day) = (
        number(&[y1, y2, y3, y4])?,
        number(&[m1, m2])? as u8,
        number(&[d1, d2])? as u8,
    );
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => return None,
    };
    (1..=days)
        .contains(&day)
        .then_some(Date { year, month, day })
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
            ("", "'' is not an attribute with its value, NAME=VALUE"),
            (
                "sign",
                "'sign' is not an attribute with its value, NAME=VALUE",
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
                "modifiable=true",
                "CKA_MODIFIABLE cannot be chosen: a stored object is immutable; a change is a new object",
            ),
            (
                "local=true",
                "CKA_LOCAL cannot be chosen: it says whether the key was generated here",
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
            "CKA_ENCRYPT cannot be true: a secret key of type GENERIC_SECRET cannot do that"
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
