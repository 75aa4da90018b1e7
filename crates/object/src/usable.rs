//! A key while it is used: what its attributes allow is enforced, and its secret does not leave by a clone of the object.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crate::pkcs11::{
    CKA_ALLOWED_MECHANISMS, CKA_ALWAYS_AUTHENTICATE, CKA_DECAPSULATE, CKA_DECRYPT, CKA_DERIVE,
    CKA_ENCAPSULATE, CKA_ENCRYPT, CKA_END_DATE, CKA_SIGN, CKA_SIGN_RECOVER, CKA_START_DATE,
    CKA_UNWRAP, CKA_VERIFY, CKA_VERIFY_RECOVER, CKA_WRAP, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY,
    CKO_SECRET_KEY, attribute_name,
};
use crate::secret::SecretBytes;
use crate::{Attribute, Date, Object};

/// What a key is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Usage {
    /// `CKA_ENCRYPT`
    Encrypt,
    /// `CKA_DECRYPT`
    Decrypt,
    /// `CKA_SIGN`
    Sign,
    /// `CKA_SIGN_RECOVER`
    SignRecover,
    /// `CKA_VERIFY`
    Verify,
    /// `CKA_VERIFY_RECOVER`
    VerifyRecover,
    /// `CKA_WRAP`
    Wrap,
    /// `CKA_UNWRAP`
    Unwrap,
    /// `CKA_DERIVE`
    Derive,
    /// `CKA_ENCAPSULATE`
    Encapsulate,
    /// `CKA_DECAPSULATE`
    Decapsulate,
}

impl Usage {
    /// The attribute that allows it.
    pub fn attribute(self) -> u32 {
        match self {
            Self::Encrypt => CKA_ENCRYPT,
            Self::Decrypt => CKA_DECRYPT,
            Self::Sign => CKA_SIGN,
            Self::SignRecover => CKA_SIGN_RECOVER,
            Self::Verify => CKA_VERIFY,
            Self::VerifyRecover => CKA_VERIFY_RECOVER,
            Self::Wrap => CKA_WRAP,
            Self::Unwrap => CKA_UNWRAP,
            Self::Derive => CKA_DERIVE,
            Self::Encapsulate => CKA_ENCAPSULATE,
            Self::Decapsulate => CKA_DECAPSULATE,
        }
    }
}

/// Why a key may not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UseFault {
    /// The object is no key.
    #[error("it is no key")]
    NotAKey,
    /// The attribute of the use is not true: its name.
    #[error("{0} is not true")]
    NotPermitted(String),
    /// Not one of its `CKA_ALLOWED_MECHANISMS`: the number.
    #[error("mechanism 0x{0:08x} is not among its CKA_ALLOWED_MECHANISMS")]
    Mechanism(u64),
    /// Before its `CKA_START_DATE`.
    #[error("it may not be used before {0} (CKA_START_DATE)")]
    NotYet(Date),
    /// After its `CKA_END_DATE`.
    #[error("it may not be used after {0} (CKA_END_DATE)")]
    NoMore(Date),
}

/// A key, apart from its secret attributes. It is neither cloned nor printed; dropping it wipes them.
pub struct UsableKey {
    described: Object,
    secrets: BTreeMap<u32, SecretBytes>,
    prepared: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl UsableKey {
    /// Takes `object` apart.
    pub fn new(mut object: Object) -> Self {
        let mut secrets = BTreeMap::new();
        object.attributes.retain(|&number, value| match value {
            Attribute::Secret(secret) => {
                let secret = std::mem::replace(secret, SecretBytes::new(Vec::new()));
                secrets.insert(number, secret);
                false
            }
            _ => true,
        });
        Self {
            described: object,
            secrets,
            prepared: OnceLock::new(),
        }
    }

    /// The object without its secret attributes.
    pub fn described(&self) -> &Object {
        &self.described
    }

    /// The same, with its secret attributes wiped.
    pub fn into_described(self) -> Object {
        self.described
    }

    /// A secret attribute.
    pub fn secret(&self, number: u32) -> Option<&[u8]> {
        self.secrets.get(&number).map(SecretBytes::bytes)
    }

    /// The secret attributes that it has.
    pub fn secret_numbers(&self) -> impl Iterator<Item = u32> {
        self.secrets.keys().copied()
    }

    /// The key in the form that a cryptographic library takes, made at its first use and kept as long as the key.
    ///
    /// # Errors
    /// Those of `make`. Also made anew, and not kept, where it was made as another type before.
    pub fn prepared<P: Any + Send + Sync, E>(
        &self,
        make: impl FnOnce(&Self) -> Result<P, E>,
    ) -> Result<Arc<P>, E> {
        if let Some(Ok(made)) = self.prepared.get().cloned().map(Arc::downcast) {
            return Ok(made);
        }
        let made = Arc::new(make(self)?);
        // Another thread may have been faster.
        let _ = self.prepared.set(Arc::<P>::clone(&made));
        Ok(made)
    }

    /// Whether the key may be used so on that day (UTC), with that mechanism.
    ///
    /// # Errors
    /// [`UseFault`]
    pub fn check(&self, usage: Usage, mechanism: u64, today: Date) -> Result<(), UseFault> {
        let Object {
            class, attributes, ..
        } = &self.described;
        if ![CKO_PUBLIC_KEY, CKO_PRIVATE_KEY, CKO_SECRET_KEY].contains(class) {
            return Err(UseFault::NotAKey);
        }
        let number = usage.attribute();
        if attributes.get(&number) != Some(&Attribute::Bool(true)) {
            return Err(UseFault::NotPermitted(attribute_name(number)));
        }
        if let Some(allowed) = allowed_mechanisms(&self.described)
            && !allowed.contains(&mechanism)
        {
            return Err(UseFault::Mechanism(mechanism));
        }
        let day = |date: Date| (date.year, date.month, date.day);
        match attributes.get(&CKA_START_DATE) {
            Some(Attribute::Date(start)) if day(today) < day(*start) => {
                return Err(UseFault::NotYet(*start));
            }
            _ => {}
        }
        match attributes.get(&CKA_END_DATE) {
            Some(Attribute::Date(end)) if day(today) > day(*end) => Err(UseFault::NoMore(*end)),
            _ => Ok(()),
        }
    }

    /// Whether each use needs a login of its own (`CKA_ALWAYS_AUTHENTICATE`).
    pub fn always_authenticates(&self) -> bool {
        let value = self.described.attributes.get(&CKA_ALWAYS_AUTHENTICATE);
        value == Some(&Attribute::Bool(true))
    }
}

/// The mechanisms that a key is limited to; `None` without a limit. The attribute holds `CK_MECHANISM_TYPE` numbers of 8 bytes,
/// little-endian, so that it means the same on every host.
pub fn allowed_mechanisms(object: &Object) -> Option<Vec<u64>> {
    let bytes = object.bytes(CKA_ALLOWED_MECHANISMS)?;
    let numbers = bytes.chunks_exact(8).filter_map(|it| it.try_into().ok());
    Some(numbers.map(u64::from_le_bytes).collect())
}

/// The day, UTC, `secs` after 1970-01-01 (Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`).
pub fn day_of(secs: u64) -> Date {
    // Years beyond 9999 are all the same day here.
    let days = (secs / 86_400).min(2_932_896) + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    Date {
        year: year as u16,
        month: month as u8,
        day: day as u8,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::new::{Naming, SecretKeyType, generate_secret_key};
    use crate::pkcs11::CKA_VALUE;

    const DAY: Date = Date {
        year: 2026,
        month: 3,
        day: 1,
    };

    fn key() -> Object {
        generate_secret_key(SecretKeyType::Aes, 256, &Naming::default()).unwrap()
    }

    #[test]
    fn days_of_the_calendar() {
        for (secs, day) in [
            (0, (1970, 1, 1)),
            (951_782_399, (2000, 2, 28)),
            (951_782_400, (2000, 2, 29)),
            (951_868_800, (2000, 3, 1)),
            (1_772_323_200, (2026, 3, 1)),
            (4_107_542_399, (2100, 2, 28)),
            (4_107_542_400, (2100, 3, 1)),
            (u64::MAX, (9999, 12, 31)),
        ] {
            let Date {
                year,
                month,
                day: d,
            } = day_of(secs);
            assert_eq!((year, month, d), day, "{secs}");
        }
    }

    #[test]
    fn its_secret_is_apart() {
        let object = key();
        let value = object.secret(CKA_VALUE).unwrap().clone();
        let key = UsableKey::new(object);
        assert_eq!(key.secret(CKA_VALUE), Some(value.bytes()));
        assert!(!key.described().attributes.contains_key(&CKA_VALUE));
    }

    #[test]
    fn its_attributes_are_enforced() {
        let mut object = key();
        let check = |object: &Object, usage, mechanism| {
            UsableKey::new(object.clone()).check(usage, mechanism, DAY)
        };
        assert_eq!(check(&object, Usage::Sign, 1), Ok(()));
        assert!(matches!(
            check(&object, Usage::Derive, 1),
            Err(UseFault::NotPermitted(_))
        ));
        let allowed = [7u64.to_le_bytes(), 9u64.to_le_bytes()].concat();
        object.set(CKA_ALLOWED_MECHANISMS, Attribute::Bytes(allowed));
        assert_eq!(check(&object, Usage::Sign, 9), Ok(()));
        assert_eq!(check(&object, Usage::Sign, 8), Err(UseFault::Mechanism(8)));
        object.set(CKA_ALLOWED_MECHANISMS, Attribute::Bytes(Vec::new()));
        assert_eq!(check(&object, Usage::Sign, 9), Err(UseFault::Mechanism(9)));
        object.attributes.remove(&CKA_ALLOWED_MECHANISMS);
        let date = |day| Attribute::Date(Date { day, ..DAY });
        object.set(CKA_START_DATE, date(1));
        object.set(CKA_END_DATE, date(1));
        assert_eq!(check(&object, Usage::Sign, 1), Ok(()));
        object.set(CKA_START_DATE, date(2));
        assert!(matches!(
            check(&object, Usage::Sign, 1),
            Err(UseFault::NotYet(_))
        ));
        object.attributes.remove(&CKA_START_DATE);
        let before = Date {
            month: 2,
            day: 28,
            ..DAY
        };
        object.set(CKA_END_DATE, Attribute::Date(before));
        assert!(matches!(
            check(&object, Usage::Sign, 1),
            Err(UseFault::NoMore(_))
        ));
    }
}
