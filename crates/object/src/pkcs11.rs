//! Numbers and names of PKCS#11 3.1 (OASIS Standard, 23 July 2023), as far as slotfs uses them.

/// One named number.
pub(super) type Name = (u32, &'static str);

macro_rules! numbers {
    ($table:ident: $($name:ident = $number:literal),+ $(,)?) => {
        $(#[doc = concat!("`", stringify!($name), "`")] pub const $name: u32 = $number;)+
        pub(super) const $table: &[Name] = &[$(($name, stringify!($name))),+];
    };
}

numbers! { CLASSES:
    CKO_DATA = 0x0,
    CKO_CERTIFICATE = 0x1,
    CKO_PUBLIC_KEY = 0x2,
    CKO_PRIVATE_KEY = 0x3,
    CKO_SECRET_KEY = 0x4,
}

numbers! { KEY_TYPES:
    CKK_RSA = 0x0,
    CKK_EC = 0x3,
    CKK_GENERIC_SECRET = 0x10,
    CKK_AES = 0x1f,
    CKK_EC_EDWARDS = 0x40,
    CKK_EC_MONTGOMERY = 0x41,
}

/// `CKM_RSA_PKCS_KEY_PAIR_GEN`
pub const CKM_RSA_PKCS_KEY_PAIR_GEN: u64 = 0x0;
/// `CKM_GENERIC_SECRET_KEY_GEN`
pub const CKM_GENERIC_SECRET_KEY_GEN: u64 = 0x350;
/// `CKM_EC_KEY_PAIR_GEN`
pub const CKM_EC_KEY_PAIR_GEN: u64 = 0x1040;
/// `CKM_EC_EDWARDS_KEY_PAIR_GEN`
pub const CKM_EC_EDWARDS_KEY_PAIR_GEN: u64 = 0x1055;
/// `CKM_EC_MONTGOMERY_KEY_PAIR_GEN`
pub const CKM_EC_MONTGOMERY_KEY_PAIR_GEN: u64 = 0x1056;
/// `CKM_AES_KEY_GEN`
pub const CKM_AES_KEY_GEN: u64 = 0x1080;

numbers! { ATTRIBUTES:
    CKA_CLASS = 0x0,
    CKA_TOKEN = 0x1,
    CKA_PRIVATE = 0x2,
    CKA_LABEL = 0x3,
    CKA_APPLICATION = 0x10,
    CKA_VALUE = 0x11,
    CKA_OBJECT_ID = 0x12,
    CKA_CERTIFICATE_TYPE = 0x80,
    CKA_ISSUER = 0x81,
    CKA_SERIAL_NUMBER = 0x82,
    CKA_TRUSTED = 0x86,
    CKA_CERTIFICATE_CATEGORY = 0x87,
    CKA_CHECK_VALUE = 0x90,
    CKA_KEY_TYPE = 0x100,
    CKA_SUBJECT = 0x101,
    CKA_ID = 0x102,
    CKA_SENSITIVE = 0x103,
    CKA_ENCRYPT = 0x104,
    CKA_DECRYPT = 0x105,
    CKA_WRAP = 0x106,
    CKA_UNWRAP = 0x107,
    CKA_SIGN = 0x108,
    CKA_SIGN_RECOVER = 0x109,
    CKA_VERIFY = 0x10a,
    CKA_VERIFY_RECOVER = 0x10b,
    CKA_DERIVE = 0x10c,
    CKA_START_DATE = 0x110,
    CKA_END_DATE = 0x111,
    CKA_MODULUS = 0x120,
    CKA_MODULUS_BITS = 0x121,
    CKA_PUBLIC_EXPONENT = 0x122,
    CKA_PRIVATE_EXPONENT = 0x123,
    CKA_PRIME_1 = 0x124,
    CKA_PRIME_2 = 0x125,
    CKA_EXPONENT_1 = 0x126,
    CKA_EXPONENT_2 = 0x127,
    CKA_COEFFICIENT = 0x128,
    CKA_PUBLIC_KEY_INFO = 0x129,
    CKA_VALUE_LEN = 0x161,
    CKA_EXTRACTABLE = 0x162,
    CKA_LOCAL = 0x163,
    CKA_NEVER_EXTRACTABLE = 0x164,
    CKA_ALWAYS_SENSITIVE = 0x165,
    CKA_KEY_GEN_MECHANISM = 0x166,
    CKA_MODIFIABLE = 0x170,
    CKA_COPYABLE = 0x171,
    CKA_DESTROYABLE = 0x172,
    CKA_EC_PARAMS = 0x180,
    CKA_EC_POINT = 0x181,
    CKA_ALWAYS_AUTHENTICATE = 0x202,
    CKA_WRAP_WITH_TRUSTED = 0x210,
}

/// `CKC_X_509`, the one certificate type slotfs imports.
pub const CKC_X_509: u64 = 0;
/// `CK_UNAVAILABLE_INFORMATION` as stored for `CKA_KEY_GEN_MECHANISM` of imported keys.
pub const CK_UNAVAILABLE_INFORMATION: u64 = u64::MAX;

fn name(table: &[Name], number: u32) -> Option<&'static str> {
    table.iter().find(|row| row.0 == number).map(|row| row.1)
}

/// A class in lunacm's words: `data`, `certificate`, `public key`, `private key`, `secret key`, else its number.
pub fn class_name(class: u32) -> String {
    match name(CLASSES, class) {
        Some(name) => name[4..].to_ascii_lowercase().replace('_', " "),
        None => format!("0x{class:x}"),
    }
}

/// A key type by its PKCS#11 name without `CKK_`, else its number; `-` for what has none.
pub fn key_type_name(key_type: Option<u32>) -> String {
    match key_type.map(|number| (number, name(KEY_TYPES, number))) {
        None => "-".to_owned(),
        Some((_, Some(name))) => name[4..].to_owned(),
        Some((number, None)) => format!("0x{number:x}"),
    }
}

/// An attribute by its PKCS#11 name, else its number.
pub fn attribute_name(number: u32) -> String {
    match name(ATTRIBUTES, number) {
        Some(name) => name.to_owned(),
        None => format!("0x{number:08x}"),
    }
}

/// A value of `CKA_KEY_GEN_MECHANISM` by its PKCS#11 name, else its number.
pub fn mechanism_name(mechanism: u64) -> String {
    match mechanism {
        CKM_RSA_PKCS_KEY_PAIR_GEN => "CKM_RSA_PKCS_KEY_PAIR_GEN".to_owned(),
        CKM_GENERIC_SECRET_KEY_GEN => "CKM_GENERIC_SECRET_KEY_GEN".to_owned(),
        CKM_EC_KEY_PAIR_GEN => "CKM_EC_KEY_PAIR_GEN".to_owned(),
        CKM_EC_EDWARDS_KEY_PAIR_GEN => "CKM_EC_EDWARDS_KEY_PAIR_GEN".to_owned(),
        CKM_EC_MONTGOMERY_KEY_PAIR_GEN => "CKM_EC_MONTGOMERY_KEY_PAIR_GEN".to_owned(),
        CKM_AES_KEY_GEN => "CKM_AES_KEY_GEN".to_owned(),
        CK_UNAVAILABLE_INFORMATION => "CK_UNAVAILABLE_INFORMATION".to_owned(),
        other => format!("0x{other:08x}"),
    }
}

/// A value of `CKA_CERTIFICATE_TYPE` by its PKCS#11 name, else its number.
pub fn certificate_type_name(number: u64) -> String {
    match number {
        CKC_X_509 => "CKC_X_509".to_owned(),
        other => format!("0x{other:08x}"),
    }
}

/// Whether an attribute of a class is secret: the values that PKCS#11 lets `CKA_SENSITIVE` hide
/// (PKCS#11 3.1, footnote 7 of its attribute tables), and the value of a data object, whose owner
/// chose to keep it in an HSM.
pub fn is_secret(class: u32, number: u32) -> bool {
    match class {
        CKO_SECRET_KEY | CKO_DATA => number == CKA_VALUE,
        CKO_PRIVATE_KEY => matches!(
            number,
            CKA_VALUE
                | CKA_PRIVATE_EXPONENT
                | CKA_PRIME_1
                | CKA_PRIME_2
                | CKA_EXPONENT_1
                | CKA_EXPONENT_2
                | CKA_COEFFICIENT
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_standard_ones() {
        assert_eq!(class_name(CKO_SECRET_KEY), "secret key");
        assert_eq!(class_name(0x8000_0000), "0x80000000");
        assert_eq!(key_type_name(Some(CKK_AES)), "AES");
        assert_eq!(key_type_name(None), "-");
        assert_eq!(attribute_name(CKA_EC_POINT), "CKA_EC_POINT");
    }

    #[test]
    fn tables_hold_no_number_twice() {
        for table in [CLASSES, KEY_TYPES, ATTRIBUTES] {
            assert!(table.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
    }
}
