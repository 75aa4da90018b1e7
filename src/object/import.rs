//! Objects from files: raw values, and keys and certificates in PEM or DER.
//!
//! Strict: one object per file, nothing after it, DER and not BER, one form for each key. What is
//! refused says how to rewrite it with openssl, so that only one form is ever stored and no parser here
//! has to guess.
//!
//! Private parts are read where they lie in the file's [`SecretBytes`] (the `der`, `pkcs8`, `pkcs1` and
//! `sec1` types used here borrow) and copied once, into the object's own. Two things cannot be wiped:
//! the up to four bytes that `base64ct` keeps on the stack while it decodes PEM, and what the compiler
//! spills.

mod arithmetic;
mod certificate;
mod curve25519;
mod ec;
mod error;
mod form;
mod pkcs8;
mod rsa;
mod spki;

pub use error::{Fault, ImportError};

use super::Object;
use super::new::{self, Naming, SecretKeyType};
use crate::secret::SecretBytes;
use form::Form;

/// The largest file worth reading, bytes: an object of at most 64 KiB, in base64, with room for the text
/// that openssl writes above it.
pub const MAX_FILE_BYTES: usize = 256 * 1024;

/// What a file's bytes are, when they are the value itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawType {
    /// An AES key: 16, 24 or 32 bytes.
    Aes,
    /// A generic secret.
    Generic,
    /// The value of a data object.
    Data,
}

/// Makes an object of a file's content.
///
/// With `raw` the bytes are the value. Without, they are one of these, recognised by content:
///
/// | PEM label | DER | becomes |
/// | --- | --- | --- |
/// | `PRIVATE KEY` | PKCS#8 (RFC 5958) | private key: RSA, EC, Ed25519, X25519 |
/// | `RSA PRIVATE KEY` | PKCS#1 (RFC 8017) | private key: RSA |
/// | `EC PRIVATE KEY` | SEC1 (RFC 5915) | private key: EC |
/// | `PUBLIC KEY` | SPKI (RFC 5280) | public key: RSA, EC, Ed25519, X25519 |
/// | `CERTIFICATE` | X.509 (RFC 5280) | certificate |
///
/// RSA of 1024 to 8192 bits, EC on P-256, P-384, P-521 and secp256k1. The numbers of an RSA private key
/// must belong together; that an EC point lies on its curve, or belongs to the private key beside it, is
/// not checked, as that takes curve arithmetic. PKCS#8's attributes are dropped.
///
/// # Errors
/// [`ImportError`], which says what is wrong and, by [`ImportError::hint`], what to do, and holds
/// nothing of the file but algorithm identifiers, sizes and offsets.
pub fn import(
    file: &SecretBytes,
    raw: Option<RawType>,
    naming: &Naming,
) -> Result<Object, ImportError> {
    let bytes = file.bytes();
    if bytes.is_empty() {
        return Err(ImportError::EmptyFile);
    }
    if bytes.len() > MAX_FILE_BYTES {
        return Err(ImportError::FileTooLarge(bytes.len()));
    }
    match raw {
        Some(RawType::Aes) => {
            let value = SecretBytes::from(bytes);
            Ok(new::import_secret_key(SecretKeyType::Aes, value, naming)?)
        }
        Some(RawType::Generic) => {
            let value = SecretBytes::from(bytes);
            Ok(new::import_secret_key(
                SecretKeyType::Generic,
                value,
                naming,
            )?)
        }
        Some(RawType::Data) => Ok(new::data(SecretBytes::from(bytes), naming)?),
        None if form::is_der(bytes) => parse(form::of_der(bytes)?, bytes, naming),
        None => {
            let (form, der) = form::of_pem(bytes)?;
            parse(form, der.bytes(), naming)
        }
    }
}

fn parse(form: Form, der: &[u8], naming: &Naming) -> Result<Object, ImportError> {
    let object = match form {
        Form::Pkcs8 => pkcs8::private(der, naming),
        Form::Pkcs1 => rsa::private(der, None, naming),
        Form::Sec1 => ec::sec1_private(der, naming),
        Form::Spki => spki::public(der, naming),
        Form::Certificate => certificate::certificate(der, naming),
    }?;
    Ok(new::storable(object)?)
}

#[cfg(test)]
mod tests;
