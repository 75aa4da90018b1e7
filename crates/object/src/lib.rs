//! Objects as PKCS#11 has them: class, key type, attributes, identity. No I/O, no slots.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::revision::Revision;
use crate::secret::SecretBytes;

pub mod attributes;
pub mod changes;
pub mod codec;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod new;
pub mod partition;
pub mod pkcs11;
pub mod revision;
pub mod sealed;
pub mod secret;
pub mod show;
pub mod shown;
pub mod template;
pub mod usable;

/// A slot's number, as in PKCS#11's `CK_SLOT_ID` and lunacm's `-slot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(pub u32);

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SlotId {
    type Err = String;
    /// Canonical decimal only, so that a slot has one name.
    fn from_str(text: &str) -> Result<Self, String> {
        canonical_u32(text)
            .map(Self)
            .ok_or_else(|| format!("not a slot number (0 to {})", u32::MAX))
    }
}

/// An object's handle: 1 to 4294967295, unique in its slot. 0 is never a handle (docs/architecture.md, "Words").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(NonZeroU32);

impl Handle {
    /// The lowest handle.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// `None` for 0.
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The handle as a number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Handle {
    type Err = String;
    /// Canonical decimal: no sign, no leading zero, not 0.
    fn from_str(text: &str) -> Result<Self, String> {
        canonical_u32(text)
            .and_then(Self::new)
            .ok_or_else(|| format!("not a handle (1 to {})", u32::MAX))
    }
}

/// Decimal digits without sign or leading zero, at most `u32::MAX`.
fn canonical_u32(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    (digits && canonical).then(|| text.parse().ok()).flatten()
}

/// The row of an object in its store. A store never gives the same number to two objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(pub i64);

impl RowId {
    /// Below every row, for a list from the beginning. A damaged row may have any number.
    pub const BELOW_ALL: Self = Self(i64::MIN);
}

impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RowId {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Bytes in an OUID.
pub const OUID_BYTES: usize = 16;

/// An object's identity across slots: 16 random bytes given at birth, kept by every clone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ouid(pub [u8; OUID_BYTES]);

impl Ouid {
    /// A fresh identity.
    ///
    /// # Errors
    /// When the system has no random numbers to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; OUID_BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }
}

impl std::str::FromStr for Ouid {
    type Err = ();

    /// 32 lower-case hexadecimal digits, as it is displayed: one name for each.
    fn from_str(text: &str) -> Result<Self, ()> {
        let bytes = data_encoding::HEXLOWER
            .decode(text.as_bytes())
            .map_err(drop)?;
        bytes.try_into().map(Self).map_err(drop)
    }
}

impl fmt::Display for Ouid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Ouid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A `CK_DATE`: year 0 to 9999, month 1 to 12, day 1 to 31.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// Year, 0 to 9999.
    pub year: u16,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day, 1 to 31.
    pub day: u8,
}

impl Date {
    /// A day of the Gregorian calendar; `None` for a day that does not exist.
    pub fn of_calendar(year: u16, month: u16, day: u16) -> Option<Self> {
        let leap =
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        (year <= 9999 && (1..=days).contains(&day)).then_some(Self {
            year,
            month: month as u8,
            day: day as u8,
        })
    }

    /// Whether the numbers are in the ranges of `CK_DATE`.
    pub fn is_valid(self) -> bool {
        self.year <= 9999 && (1..=12).contains(&self.month) && (1..=31).contains(&self.day)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// An attribute's value, typed as PKCS#11 types it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// `CK_BBOOL`.
    Bool(bool),
    /// `CK_ULONG`.
    Number(u64),
    /// A byte array that may be shown.
    Bytes(Vec<u8>),
    /// An RFC 2279 string.
    Text(String),
    /// `CK_DATE`.
    Date(Date),
    /// A byte array that may not be shown: what [`pkcs11::is_secret`] says of its class.
    Secret(SecretBytes),
}

/// An object, whole. Immutable once stored: a change is a new revision, which replaces it ([`revision`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Identity across slots.
    pub ouid: Ouid,
    /// Creation time, seconds since 1970-01-01 UTC; the mtime of its file until it is changed.
    pub created_secs: u64,
    /// Which description of it this is.
    pub revision: Revision,
    /// `CKA_CLASS`, a CKO number.
    pub class: u32,
    /// `CKA_KEY_TYPE` of keys, a CKK number; `CKA_CERTIFICATE_TYPE` is an attribute.
    pub key_type: Option<u32>,
    /// Every other attribute, by its CKA number.
    pub attributes: BTreeMap<u32, Attribute>,
}

impl Object {
    /// A new object: fresh OUID, created now, no attributes yet.
    ///
    /// # Errors
    /// When the system has no random numbers to give.
    pub fn new(class: u32, key_type: Option<u32>) -> Result<Self, getrandom::Error> {
        Ok(Self {
            ouid: Ouid::random()?,
            created_secs: now_secs(),
            revision: Revision::FIRST,
            class,
            key_type,
            attributes: BTreeMap::new(),
        })
    }

    /// The text of `CKA_LABEL`, empty when it has none.
    pub fn label(&self) -> &str {
        match self.attributes.get(&pkcs11::CKA_LABEL) {
            Some(Attribute::Text(label)) => label,
            _ => "",
        }
    }

    /// Whether it is a private or secret key, or anything else with `CKA_PRIVATE`.
    pub fn is_private(&self) -> bool {
        matches!(self.class, pkcs11::CKO_PRIVATE_KEY | pkcs11::CKO_SECRET_KEY)
            || self.attributes.get(&pkcs11::CKA_PRIVATE) == Some(&Attribute::Bool(true))
    }

    /// Sets an attribute.
    pub fn set(&mut self, number: u32, value: Attribute) {
        self.attributes.insert(number, value);
    }

    /// An attribute that holds bytes; `None` when it is absent or of another type.
    pub fn bytes(&self, number: u32) -> Option<&[u8]> {
        match self.attributes.get(&number) {
            Some(Attribute::Bytes(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// An attribute that holds a secret; `None` when it is absent or of another type.
    pub fn secret(&self, number: u32) -> Option<&SecretBytes> {
        match self.attributes.get(&number) {
            Some(Attribute::Secret(secret)) => Some(secret),
            _ => None,
        }
    }

    /// Whether the object is one a slot may hold: secret attributes, and they alone, are
    /// [`Attribute::Secret`], dates are dates, class and key type are not also attributes, and the revision is one.
    pub fn is_well_formed(&self) -> bool {
        self.revision.is_well_formed()
            && self.attributes.iter().all(|(&number, value)| {
                let secret = matches!(value, Attribute::Secret(_));
                let date = match value {
                    Attribute::Date(date) => date.is_valid(),
                    _ => true,
                };
                let apart = number != pkcs11::CKA_CLASS && number != pkcs11::CKA_KEY_TYPE;
                secret == pkcs11::is_secret(self.class, number) && date && apart
            })
    }
}

/// The time of a file whose object was created `secs` after 1970, as far as the system can say it.
pub fn system_time(secs: u64) -> SystemTime {
    // The kernel's time64_t is signed; a time past it would wrap to before 1970.
    UNIX_EPOCH
        .checked_add(Duration::from_secs(secs.min(i64::MAX as u64)))
        .unwrap_or(UNIX_EPOCH)
}

/// Seconds since 1970 now.
pub fn now_secs() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_have_one_spelling() {
        assert_eq!("124".parse::<Handle>().map(Handle::get), Ok(124));
        assert_eq!(
            "4294967295".parse::<Handle>().map(Handle::get),
            Ok(u32::MAX)
        );
        for bad in ["", "0", "01", "+1", "-1", "1 ", "4294967296", "1e3", "١"] {
            assert!(bad.parse::<Handle>().is_err(), "{bad:?}");
        }
        assert_eq!("0".parse(), Ok(SlotId(0)));
        assert!("00".parse::<SlotId>().is_err());
    }

    #[test]
    fn a_secret_in_the_clear_is_not_well_formed() {
        let mut object = Object::new(pkcs11::CKO_SECRET_KEY, Some(pkcs11::CKK_AES)).unwrap();
        let secret = SecretBytes::new(vec![7; 32]);
        object
            .attributes
            .insert(pkcs11::CKA_VALUE, Attribute::Secret(secret));
        assert!(object.is_well_formed());
        object
            .attributes
            .insert(pkcs11::CKA_VALUE, Attribute::Bytes(vec![7; 32]));
        assert!(!object.is_well_formed());
    }
}
