//! Objects from files: raw values, and keys and certificates in PEM or DER.
//!
//! Strict: one object per file (PKCS#12 aside), nothing after it, DER and not BER, one form for each key. What is
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
mod elements;
mod error;
mod form;
pub(crate) mod fuzzing;
mod pbes2;
mod pkcs12;
mod pkcs8;
mod rsa;
mod spki;

pub use error::{Fault, ImportError};

use super::new::{self, Naming, SecretKeyType};
use super::pkcs11::{CKA_ID, CKK_EC, CKK_RSA};
use super::{Object, template};
use crate::secret::SecretBytes;
use form::Form;
use pbes2::Work;

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

/// What to do about an encrypted private key of the kinds that are not read.
const CONVERT: &str = "rewrite it with 'openssl pkcs8 -topk8 -v2 aes256 -in FILE -out NEWFILE', which asks for the \
     password";

/// Makes objects of a file's content.
///
/// With `raw` the bytes are the value. Without, they are one of these, recognised by content:
///
/// | PEM label | DER | becomes |
/// | --- | --- | --- |
/// | `PRIVATE KEY` | PKCS#8 (RFC 5958) | private key: RSA, EC, Ed25519, X25519 |
/// | `ENCRYPTED PRIVATE KEY` | PKCS#8 under PBES2 (RFC 8018) | the same |
/// | `RSA PRIVATE KEY` | PKCS#1 (RFC 8017) | private key: RSA |
/// | `EC PRIVATE KEY` | SEC1 (RFC 5915) | private key: EC |
/// | `PUBLIC KEY` | SPKI (RFC 5280) | public key: RSA, EC, Ed25519, X25519 |
/// | `CERTIFICATE` | X.509 (RFC 5280) | certificate |
/// | | PKCS#12 (RFC 7292) under PBES2 | private keys, their certificates, other certificates, in this order |
///
/// All but PKCS#12 give one object. RSA of 1024 to 8192 bits, EC on P-256, P-384, P-521 and secp256k1. The parts of
/// a private key must belong together, and an EC point must lie on its curve; that the primes of an RSA key are
/// prime is not checked, nor whether 32 bytes are a point of Curve25519 (nearly all that are stand for one). PKCS#8's
/// attributes are dropped.
///
/// `password` is for what [`is_encrypted`] and is not looked at otherwise; one file costs 10,000,000 rounds of key
/// derivation at most.
///
/// # Errors
/// [`ImportError`], which says what is wrong and, by [`ImportError::hint`], what to do, and holds
/// nothing of the file but algorithm identifiers, sizes and offsets.
pub fn import(
    file: &SecretBytes,
    raw: Option<RawType>,
    naming: &Naming,
    password: Option<&SecretBytes>,
) -> Result<Vec<Object>, ImportError> {
    import_within(file, raw, naming, password, Work::new())
}

fn import_within(
    file: &SecretBytes,
    raw: Option<RawType>,
    naming: &Naming,
    password: Option<&SecretBytes>,
    work: Work,
) -> Result<Vec<Object>, ImportError> {
    let bytes = file.bytes();
    if bytes.is_empty() {
        return Err(ImportError::EmptyFile);
    }
    if bytes.len() > MAX_FILE_BYTES {
        return Err(ImportError::FileTooLarge(bytes.len()));
    }
    let value = || SecretBytes::from(bytes);
    let object = match raw {
        Some(RawType::Aes) => new::import_secret_key(SecretKeyType::Aes, value(), naming)?,
        Some(RawType::Generic) => new::import_secret_key(SecretKeyType::Generic, value(), naming)?,
        Some(RawType::Data) => new::data(value(), naming)?,
        None => {
            return match form::is_der(bytes) {
                true => parse(form::of_der(bytes)?, bytes, naming, password, work),
                false => {
                    let (form, der) = form::of_pem(bytes)?;
                    parse(form, der.bytes(), naming, password, work)
                }
            };
        }
    };
    Ok(vec![object])
}

/// Whether [`import`] needs a password for a file, if it can read the file at all.
pub fn is_encrypted(file: &SecretBytes) -> bool {
    let bytes = file.bytes();
    let form = match form::is_der(bytes) {
        true => form::of_der(bytes),
        false => form::of_pem(bytes).map(|(form, _)| form),
    };
    matches!(form, Ok(Form::EncryptedPkcs8 | Form::Pkcs12))
}

fn parse(
    form: Form,
    der: &[u8],
    naming: &Naming,
    password: Option<&SecretBytes>,
    mut work: Work,
) -> Result<Vec<Object>, ImportError> {
    let object = match form {
        Form::Pkcs8 => pkcs8::private(der, naming),
        Form::EncryptedPkcs8 => {
            let password = password.ok_or(ImportError::Encrypted)?;
            let key = pbes2::private_key(der, password, &mut work, CONVERT)?;
            pkcs8::private(key.bytes(), naming)
        }
        Form::Pkcs12 => {
            let password = password.ok_or(ImportError::Encrypted)?;
            return pkcs12::objects(der, password, naming, work);
        }
        Form::Pkcs1 => rsa::private(der, None, naming),
        Form::Sec1 => ec::sec1_private(der, naming),
        Form::Spki => spki::public(der, naming),
        Form::Certificate => certificate::certificate(der, naming),
    }?;
    Ok(vec![new::storable(object)?])
}

/// Both halves of the private key in PKCS#8 DER, under one id: that of `naming`, else
/// [`spki::key_identifier`].
pub(super) fn pair(pkcs8: &SecretBytes, naming: &Naming) -> Result<(Object, Object), ImportError> {
    let mut private = pkcs8::private(pkcs8.bytes(), naming)?;
    let info = public_half(&private).ok_or(ImportError::Inconsistent)?;
    let mut public = spki::public(&info, naming)?;
    if naming.id.is_empty() {
        let id = spki::key_identifier(&info)?;
        template::put_bytes(&mut private, CKA_ID, &id);
        template::put_bytes(&mut public, CKA_ID, &id);
    }
    Ok((new::storable(private)?, new::storable(public)?))
}

/// The SPKI of a private key object's public half, computed from its value; `None` when the object is not such a
/// key as [`import`] makes.
pub(super) fn public_half(private: &Object) -> Option<Vec<u8>> {
    match private.key_type? {
        CKK_RSA => rsa::info_of_private(private),
        CKK_EC => ec::info_of_private(private),
        _ => curve25519::info_of_private(private),
    }
}

#[cfg(test)]
mod tests;
