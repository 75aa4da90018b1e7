//! What may leave a slot in the clear: public keys, certificates, the values of data objects. Never a secret or
//! private key, whatever its `CKA_EXTRACTABLE` says: keys leave as sealed blobs.

use slotfs_object::pkcs11::{
    CKA_PUBLIC_KEY_INFO, CKA_VALUE, CKO_CERTIFICATE, CKO_DATA, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY,
    class_name,
};
use slotfs_object::{Attribute, Object};

use super::import;
use slotfs_object::secret::SecretBytes;

/// An object's public content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exported {
    /// DER of a `SubjectPublicKeyInfo`: of a public key, or the public half of a private one.
    PublicKey(Vec<u8>),
    /// DER of an X.509 certificate.
    Certificate(Vec<u8>),
    /// A data object's value.
    Data(SecretBytes),
}

/// Why an object was not exported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// A secret key.
    #[error("the value of a {0} does not leave the slot in the clear")]
    Unextractable(String),
    /// An object of a class, or on a curve, that this build does not know, or without the parts it must have.
    #[error("this {0} has nothing that could be exported")]
    Nothing(String),
}

/// What of `object` may be written to a file. The public half of a private key is computed from its value, not
/// taken from what was stored beside it.
///
/// # Errors
/// [`ExportError`]
pub fn export(object: &Object) -> Result<Exported, ExportError> {
    let nothing = || ExportError::Nothing(class_name(object.class));
    let bytes = |number| match object.attributes.get(&number) {
        Some(Attribute::Bytes(bytes)) => Ok(bytes.clone()),
        _ => Err(nothing()),
    };
    match object.class {
        CKO_PUBLIC_KEY => bytes(CKA_PUBLIC_KEY_INFO).map(Exported::PublicKey),
        CKO_CERTIFICATE => bytes(CKA_VALUE).map(Exported::Certificate),
        CKO_PRIVATE_KEY => import::public_half(object)
            .map(Exported::PublicKey)
            .ok_or_else(nothing),
        CKO_DATA => match object.attributes.get(&CKA_VALUE) {
            Some(Attribute::Secret(value)) => Ok(Exported::Data(value.clone())),
            _ => Err(nothing()),
        },
        other => Err(ExportError::Unextractable(class_name(other))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use slotfs_object::new::{self, Naming, SecretKeyType};
    use slotfs_object::pkcs11::{CKA_EC_PARAMS, CKA_EXTRACTABLE, CKK_EC};

    #[test]
    fn secret_keys_stay_even_when_extractable() {
        let mut key =
            new::generate_secret_key(SecretKeyType::Aes, 256, &Naming::default()).unwrap();
        let refused = ExportError::Unextractable("secret key".to_owned());
        assert_eq!(export(&key), Err(refused.clone()));
        key.attributes
            .insert(CKA_EXTRACTABLE, Attribute::Bool(true));
        assert_eq!(export(&key), Err(refused));
    }

    #[test]
    fn data_is_its_value() {
        let value = SecretBytes::new(vec![1, 2, 3]);
        let data = new::data(value.clone(), &Naming::default()).unwrap();
        assert_eq!(export(&data), Ok(Exported::Data(value)));
    }

    #[test]
    fn an_object_without_its_parts_is_an_error() {
        for class in [CKO_DATA, CKO_CERTIFICATE, CKO_PUBLIC_KEY] {
            let object = Object::new(class, None).unwrap();
            assert!(matches!(export(&object), Err(ExportError::Nothing(_))));
        }
        let mut key = Object::new(CKO_PRIVATE_KEY, Some(CKK_EC)).unwrap();
        for parameters in [&[][..], &[6, 1, 42], &[0x30, 0]] {
            let parameters = Attribute::Bytes(parameters.to_vec());
            key.attributes.insert(CKA_EC_PARAMS, parameters);
            let value = Attribute::Secret(SecretBytes::new(vec![1; 32]));
            key.attributes.insert(CKA_VALUE, value);
            assert!(matches!(export(&key), Err(ExportError::Nothing(_))));
        }
    }
}
