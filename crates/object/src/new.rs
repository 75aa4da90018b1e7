//! New secret keys and data objects. `slotfs-keyfile` makes objects of key files.

use super::pkcs11::{
    CKA_DECRYPT, CKA_DERIVE, CKA_ENCRYPT, CKA_SIGN, CKA_UNWRAP, CKA_VALUE, CKA_VALUE_LEN,
    CKA_VERIFY, CKA_WRAP, CKK_AES, CKK_GENERIC_SECRET, CKM_AES_KEY_GEN, CKM_GENERIC_SECRET_KEY_GEN,
    CKO_SECRET_KEY,
};
use super::template;
use super::{Attribute, Object};
use crate::codec;
use crate::secret::SecretBytes;

/// The longest generic secret that [`generate_secret_key`] makes, bits.
const MAX_GENERIC_BITS: u32 = 4096;

/// The names that a user gives a new object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// `CKA_LABEL`, any text.
    pub label: String,
    /// `CKA_ID`, any bytes; empty for none. Data objects have no id.
    pub id: Vec<u8>,
}

impl Naming {
    /// The label alone.
    pub fn without_id(&self) -> Self {
        Self {
            label: self.label.clone(),
            id: Vec::new(),
        }
    }
}

/// A key type of `CKO_SECRET_KEY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKeyType {
    /// `CKK_AES`: 128, 192 or 256 bits.
    Aes,
    /// `CKK_GENERIC_SECRET`: whole bytes.
    Generic,
}

/// Why an object was not made.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// Not a length of AES keys, bits.
    #[error("an AES key has 128, 192 or 256 bits, not {0}")]
    AesBits(u32),
    /// Not a length of AES keys, bytes.
    #[error("an AES key has 16, 24 or 32 bytes, not {0}")]
    AesBytes(usize),
    /// Not a length of generated generic secrets, bits.
    #[error("a generic secret has 8 to {MAX_GENERIC_BITS} bits in whole bytes, not {0} bits")]
    GenericBits(u32),
    /// A value of no bytes.
    #[error("the value is empty")]
    Empty,
    /// Label, id and value together exceed [`codec::MAX_PAYLOAD_BYTES`].
    #[error("the object is larger than {} bytes", codec::MAX_PAYLOAD_BYTES)]
    TooLarge,
    /// An id for a data object.
    #[error("a data object has no id (CKA_ID)")]
    IdOfData,
    /// The system's random number generator failed.
    #[error("the system's random number generator failed: {0}")]
    Random(#[from] getrandom::Error),
}

impl NewError {
    /// What the user can do, for the line after the message; lower case, no full stop.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::AesBytes(_) => Some(
                "a raw AES file holds only the bytes of the key: no hexadecimal, no newline at the end",
            ),
            Self::TooLarge => Some("encrypt large data, store it elsewhere and keep its key here"),
            Self::IdOfData => Some("omit the id and use the label"),
            Self::AesBits(_) | Self::GenericBits(_) | Self::Empty | Self::Random(_) => None,
        }
    }
}

/// Generates a secret key of `bits` random bits, marked as generated in the slot (`CKA_LOCAL`,
/// `CKA_ALWAYS_SENSITIVE`, `CKA_NEVER_EXTRACTABLE`).
///
/// # Errors
/// A length that the type does not have (generic: 8 to 4096 bits in whole bytes), a label and id that are too long to
/// store, or a failed random number generator.
pub fn generate_secret_key(
    kind: SecretKeyType,
    bits: u32,
    naming: &Naming,
) -> Result<Object, NewError> {
    let mechanism = match (kind, bits) {
        (SecretKeyType::Aes, 128 | 192 | 256) => CKM_AES_KEY_GEN,
        (SecretKeyType::Aes, _) => return Err(NewError::AesBits(bits)),
        (SecretKeyType::Generic, 8..=MAX_GENERIC_BITS) if bits.is_multiple_of(8) => {
            CKM_GENERIC_SECRET_KEY_GEN
        }
        (SecretKeyType::Generic, _) => return Err(NewError::GenericBits(bits)),
    };
    let mut value = SecretBytes::new(vec![0; (bits / 8) as usize]);
    getrandom::fill(value.bytes_mut())?;
    let mut object = secret_key(kind, value, naming)?;
    template::mark_generated(&mut object, mechanism);
    Ok(object)
}

/// Makes a secret key of a given value.
///
/// # Errors
/// An AES key that has not 16, 24 or 32 bytes, an empty value, or a value that is too long to store.
pub fn import_secret_key(
    kind: SecretKeyType,
    value: SecretBytes,
    naming: &Naming,
) -> Result<Object, NewError> {
    match (kind, value.bytes().len()) {
        (SecretKeyType::Aes, 16 | 24 | 32) => secret_key(kind, value, naming),
        (SecretKeyType::Aes, other) => Err(NewError::AesBytes(other)),
        (SecretKeyType::Generic, 0) => Err(NewError::Empty),
        (SecretKeyType::Generic, _) => secret_key(kind, value, naming),
    }
}

/// Makes a data object. Its value is as secret as that of a key (`pkcs11::is_secret`).
///
/// # Errors
/// An empty value, a value that is too long to store, or an id: PKCS#11 gives data objects none.
pub fn data(value: SecretBytes, naming: &Naming) -> Result<Object, NewError> {
    if value.bytes().is_empty() {
        return Err(NewError::Empty);
    }
    if !naming.id.is_empty() {
        return Err(NewError::IdOfData);
    }
    let mut object = template::data(&naming.label)?;
    object.set(CKA_VALUE, Attribute::Secret(value));
    storable(object)
}

fn secret_key(
    kind: SecretKeyType,
    value: SecretBytes,
    naming: &Naming,
) -> Result<Object, NewError> {
    const CIPHER: &[u32] = &[
        CKA_ENCRYPT,
        CKA_DECRYPT,
        CKA_SIGN,
        CKA_VERIFY,
        CKA_WRAP,
        CKA_UNWRAP,
    ];
    const MAC: &[u32] = &[CKA_SIGN, CKA_VERIFY, CKA_DERIVE];
    let (key_type, usage) = match kind {
        SecretKeyType::Aes => (CKK_AES, CIPHER),
        SecretKeyType::Generic => (CKK_GENERIC_SECRET, MAC),
    };
    let mut object = template::key(CKO_SECRET_KEY, key_type, usage, naming)?;
    let bytes = value.bytes().len() as u64;
    object.set(CKA_VALUE_LEN, Attribute::Number(bytes));
    object.set(CKA_VALUE, Attribute::Secret(value));
    storable(object)
}

/// `object`, unless it is too large to store. Checked here rather than when the object is sealed, because here the
/// error can still name the input that is too large.
pub fn storable(object: Object) -> Result<Object, NewError> {
    match codec::encode(&object) {
        Some(_) => Ok(object),
        None => Err(NewError::TooLarge),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::pkcs11::*;

    fn naming() -> Naming {
        Naming {
            label: "a key".to_owned(),
            id: vec![0xca, 0xfe],
        }
    }

    fn bool_of(object: &Object, number: u32) -> bool {
        match object.attributes.get(&number) {
            Some(Attribute::Bool(value)) => *value,
            other => unreachable!("{}: {other:?}", attribute_name(number)),
        }
    }

    fn stores(object: &Object) {
        assert!(object.is_well_formed());
        let payload = codec::encode(object).unwrap();
        assert_eq!(codec::decode(payload.bytes()).as_ref(), Ok(object));
    }

    #[test]
    fn a_generated_key_was_never_outside() {
        for (kind, bits) in [
            (SecretKeyType::Aes, 128),
            (SecretKeyType::Aes, 192),
            (SecretKeyType::Aes, 256),
            (SecretKeyType::Generic, 8),
            (SecretKeyType::Generic, 4096),
        ] {
            let key = generate_secret_key(kind, bits, &naming()).unwrap();
            stores(&key);
            let len = Attribute::Number(u64::from(bits / 8));
            assert_eq!(key.attributes.get(&CKA_VALUE_LEN), Some(&len));
            let Some(Attribute::Secret(value)) = key.attributes.get(&CKA_VALUE) else {
                unreachable!()
            };
            assert_eq!(value.bytes().len(), (bits / 8) as usize);
            for on in [
                CKA_TOKEN,
                CKA_PRIVATE,
                CKA_SENSITIVE,
                CKA_ALWAYS_SENSITIVE,
                CKA_NEVER_EXTRACTABLE,
                CKA_LOCAL,
                CKA_COPYABLE,
                CKA_DESTROYABLE,
                CKA_MODIFIABLE,
                CKA_SIGN,
            ] {
                assert!(bool_of(&key, on), "{}", attribute_name(on));
            }
            for off in [CKA_EXTRACTABLE, CKA_WRAP_WITH_TRUSTED] {
                assert!(!bool_of(&key, off), "{}", attribute_name(off));
            }
        }
    }

    #[test]
    fn no_two_generated_keys_are_equal() {
        let make = || generate_secret_key(SecretKeyType::Aes, 128, &naming()).unwrap();
        let (one, two) = (make(), make());
        assert_ne!(one.ouid, two.ouid);
        assert_ne!(
            one.attributes.get(&CKA_VALUE),
            two.attributes.get(&CKA_VALUE)
        );
    }

    #[test]
    fn lengths_that_keys_do_not_have() {
        for bits in [0, 8, 127, 129, 512, u32::MAX] {
            let refused = generate_secret_key(SecretKeyType::Aes, bits, &naming());
            assert!(
                matches!(refused, Err(NewError::AesBits(b)) if b == bits),
                "{bits}"
            );
        }
        for bits in [0, 1, 7, 9, 4097, 4104, u32::MAX] {
            let refused = generate_secret_key(SecretKeyType::Generic, bits, &naming());
            assert!(
                matches!(refused, Err(NewError::GenericBits(b)) if b == bits),
                "{bits}"
            );
        }
        for bytes in [0, 15, 17, 31, 33] {
            let value = SecretBytes::new(vec![1; bytes]);
            let refused = import_secret_key(SecretKeyType::Aes, value, &naming());
            assert!(matches!(refused, Err(NewError::AesBytes(b)) if b == bytes));
        }
    }

    #[test]
    fn an_imported_key_has_an_unknown_past() {
        let value = SecretBytes::new(vec![5; 24]);
        let key = import_secret_key(SecretKeyType::Aes, value, &naming()).unwrap();
        stores(&key);
        for off in [CKA_LOCAL, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE] {
            assert!(!bool_of(&key, off), "{}", attribute_name(off));
        }
        assert!(bool_of(&key, CKA_SENSITIVE));
        let unknown = Attribute::Number(CK_UNAVAILABLE_INFORMATION);
        assert_eq!(key.attributes.get(&CKA_KEY_GEN_MECHANISM), Some(&unknown));
    }

    #[test]
    fn values_end_where_a_payload_ends() {
        let plain = Naming::default();
        let make = |bytes: usize| data(SecretBytes::new(vec![9; bytes]), &plain);
        let largest = (1..=codec::MAX_PAYLOAD_BYTES)
            .rev()
            .find_map(|bytes| make(bytes).ok())
            .unwrap();
        stores(&largest);
        assert!(codec::encode(&largest).unwrap().bytes().len() == codec::MAX_PAYLOAD_BYTES);
        assert!(matches!(make(0), Err(NewError::Empty)));
        assert!(matches!(
            make(codec::MAX_PAYLOAD_BYTES),
            Err(NewError::TooLarge)
        ));
        assert!(matches!(
            data(SecretBytes::new(vec![9]), &naming()),
            Err(NewError::IdOfData)
        ));
        let long = Naming {
            label: "x".repeat(70_000),
            id: Vec::new(),
        };
        let refused = generate_secret_key(SecretKeyType::Aes, 256, &long);
        assert!(matches!(refused, Err(NewError::TooLarge)));
        let empty = import_secret_key(SecretKeyType::Generic, SecretBytes::new(vec![]), &plain);
        assert!(matches!(empty, Err(NewError::Empty)));
    }
}
