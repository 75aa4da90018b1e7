//! The public content of objects: public keys, certificates, and the values of data objects. The values of secret and
//! private keys are never exported, whatever `CKA_EXTRACTABLE` says: keys leave a slot only as sealed blobs.

use slotfs_object::Object;
use slotfs_object::pkcs11::{
    CKA_PUBLIC_KEY_INFO, CKA_VALUE, CKO_CERTIFICATE, CKO_DATA, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY,
    class_name,
};

use super::import;
use slotfs_object::secret::SecretBytes;

/// An object's public content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exported {
    /// DER of a `SubjectPublicKeyInfo`: of a public key, or of the public half of a private key.
    PublicKey(Vec<u8>),
    /// DER of an X.509 certificate.
    Certificate(Vec<u8>),
    /// The value of a data object.
    Data(SecretBytes),
}

/// Why an object was not exported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// A secret key.
    #[error("the value of a {0} cannot be exported in the clear")]
    Unextractable(String),
    /// An object of an unknown class or curve, or without the attributes it must have.
    #[error("this {0} has no content that can be exported")]
    Nothing(String),
}

/// The content of `object` that may be written to a file. The public half of a private key is computed from the
/// private value, not taken from the stored `CKA_PUBLIC_KEY_INFO`.
///
/// # Errors
/// [`ExportError`]
pub fn export(object: &Object) -> Result<Exported, ExportError> {
    let bytes = |number| object.bytes(number).map(<[u8]>::to_vec);
    let exported = match object.class {
        CKO_PUBLIC_KEY => bytes(CKA_PUBLIC_KEY_INFO).map(Exported::PublicKey),
        CKO_CERTIFICATE => bytes(CKA_VALUE).map(Exported::Certificate),
        CKO_PRIVATE_KEY => import::public_half(object).map(Exported::PublicKey),
        CKO_DATA => object.secret(CKA_VALUE).cloned().map(Exported::Data),
        other => return Err(ExportError::Unextractable(class_name(other))),
    };
    exported.ok_or_else(|| ExportError::Nothing(class_name(object.class)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use slotfs_object::Attribute;
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
