//! The numbers and names of PKCS#11 3.1 (OASIS Standard, 23 July 2023) that slotfs uses, and those of 3.2 for post-quantum
//! keys.

/// Declares the numbers of a kind as constants, and a table of their names.
macro_rules! numbers {
    ($table:ident: $type:ty, $($name:ident = $number:expr),+ $(,)?) => {
        $(#[doc = concat!("`", stringify!($name), "`")] pub const $name: $type = $number;)+
        const $table: &[($type, &str)] = &[$(($name, stringify!($name))),+];
    };
}

numbers! { CLASSES: u32,
    CKO_DATA = 0x0,
    CKO_CERTIFICATE = 0x1,
    CKO_PUBLIC_KEY = 0x2,
    CKO_PRIVATE_KEY = 0x3,
    CKO_SECRET_KEY = 0x4,
}

numbers! { KEY_TYPES: u32,
    CKK_RSA = 0x0,
    CKK_EC = 0x3,
    CKK_GENERIC_SECRET = 0x10,
    CKK_AES = 0x1f,
    CKK_EC_EDWARDS = 0x40,
    CKK_EC_MONTGOMERY = 0x41,
    CKK_HKDF = 0x42,
    CKK_ML_KEM = 0x49,
    CKK_ML_DSA = 0x4a,
}

// Of imported keys, CKA_KEY_GEN_MECHANISM is CK_UNAVAILABLE_INFORMATION.
numbers! { MECHANISMS: u64,
    CKM_RSA_PKCS_KEY_PAIR_GEN = 0x0,
    CKM_ML_KEM_KEY_PAIR_GEN = 0xf,
    CKM_ML_DSA_KEY_PAIR_GEN = 0x1c,
    CKM_GENERIC_SECRET_KEY_GEN = 0x350,
    CKM_EC_KEY_PAIR_GEN = 0x1040,
    CKM_EC_EDWARDS_KEY_PAIR_GEN = 0x1055,
    CKM_EC_MONTGOMERY_KEY_PAIR_GEN = 0x1056,
    CKM_AES_KEY_GEN = 0x1080,
    CK_UNAVAILABLE_INFORMATION = u64::MAX,
}

// X.509 is the only certificate type that slotfs imports.
numbers! { CERTIFICATE_TYPES: u64,
    CKC_X_509 = 0x0,
}

numbers! { ATTRIBUTES: u32,
    CKA_CLASS = 0x0,
    CKA_TOKEN = 0x1,
    CKA_PRIVATE = 0x2,
    CKA_LABEL = 0x3,
    CKA_UNIQUE_ID = 0x4,
    CKA_APPLICATION = 0x10,
    CKA_VALUE = 0x11,
    CKA_OBJECT_ID = 0x12,
    CKA_CERTIFICATE_TYPE = 0x80,
    CKA_ISSUER = 0x81,
    CKA_SERIAL_NUMBER = 0x82,
    CKA_TRUSTED = 0x86,
    CKA_CERTIFICATE_CATEGORY = 0x87,
    CKA_JAVA_MIDP_SECURITY_DOMAIN = 0x88,
    CKA_URL = 0x89,
    CKA_HASH_OF_SUBJECT_PUBLIC_KEY = 0x8a,
    CKA_HASH_OF_ISSUER_PUBLIC_KEY = 0x8b,
    CKA_NAME_HASH_ALGORITHM = 0x8c,
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
    CKA_PARAMETER_SET = 0x61d,
    CKA_ENCAPSULATE_TEMPLATE = 0x62a,
    CKA_DECAPSULATE_TEMPLATE = 0x62b,
    CKA_ENCAPSULATE = 0x633,
    CKA_DECAPSULATE = 0x634,
    CKA_SEED = 0x637,
    CKA_WRAP_TEMPLATE = 0x4000_0211,
    CKA_UNWRAP_TEMPLATE = 0x4000_0212,
    CKA_DERIVE_TEMPLATE = 0x4000_0213,
    CKA_ALLOWED_MECHANISMS = 0x4000_0600,
}

fn name<N: PartialEq>(table: &[(N, &'static str)], number: N) -> Option<&'static str> {
    table.iter().find(|row| row.0 == number).map(|row| row.1)
}

/// The name of a class as lunacm writes it, such as `secret key`; the number of an unknown class.
pub fn class_name(class: u32) -> String {
    match name(CLASSES, class) {
        Some(name) => name[4..].to_ascii_lowercase().replace('_', " "),
        None => format!("0x{class:x}"),
    }
}

/// The PKCS#11 name of a key type without `CKK_`; the number of an unknown type; `-` for no type.
pub fn key_type_name(key_type: Option<u32>) -> String {
    let Some(number) = key_type else {
        return "-".to_owned();
    };
    name(KEY_TYPES, number).map_or_else(|| format!("0x{number:x}"), |name| name[4..].to_owned())
}

/// The PKCS#11 name of an attribute; the number of an unknown one.
pub fn attribute_name(number: u32) -> String {
    name(ATTRIBUTES, number).map_or_else(|| format!("0x{number:08x}"), str::to_owned)
}

/// The attribute of a PKCS#11 name.
pub(super) fn attribute_number(name: &str) -> Option<u32> {
    let row = ATTRIBUTES.iter().find(|row| row.1 == name);
    row.map(|row| row.0)
}

/// The PKCS#11 name of a numeric value of an attribute; the number of an unknown one; `None` if values of the attribute
/// have no names.
pub(super) fn value_name(attribute: u32, value: u64) -> Option<String> {
    let table = match attribute {
        CKA_CERTIFICATE_TYPE => CERTIFICATE_TYPES,
        CKA_KEY_GEN_MECHANISM => MECHANISMS,
        _ => return None,
    };
    Some(name(table, value).map_or_else(|| format!("0x{value:08x}"), str::to_owned))
}

/// Whether an attribute of a class is secret. Secret are the values that PKCS#11 lets `CKA_SENSITIVE` hide
/// (PKCS#11 3.1, footnote 7 of its attribute tables), and the value of a data object.
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
                | CKA_SEED
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
            assert!(table.is_sorted_by(|one, next| one.0 < next.0));
        }
        assert!(MECHANISMS.is_sorted_by(|one, next| one.0 < next.0));
    }
}
