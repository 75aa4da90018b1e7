//! Objects from files: raw values, and keys and certificates in PEM or DER.
//!
//! The form of a file is found by parsing it. Each kind of key has one form in the slot, whatever the form of the file:
//! BER becomes DER, padding is removed, parts that follow from others are computed or compared. Each refusal says why,
//! and names a tool that rewrites the file if there is one.
//!
//! Private parts are read in place, in the file's [`SecretBytes`] (the `der`, `pkcs8`, `pkcs1` and `sec1` types used
//! here borrow), and copied once, into the object's own. The compiler may spill secrets to the stack, where they cannot
//! be wiped reliably.

mod algorithm;
mod arithmetic;
mod ber;
mod cbc;
mod certificate;
mod curve25519;
mod date;
mod ec;
mod elements;
mod error;
mod foreign;
mod form;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod ids;
mod names;
mod openssh;
mod password;
mod pbe;
mod pbes2;
mod pem;
mod pkcs12;
mod pkcs7;
mod pkcs8;
pub mod post_quantum;
mod rsa;
mod spki;
pub mod values;
mod work;

pub(super) use ec::signing;
pub use error::{ImportError, LeftOut};

use error::Container;
use form::{Form, Part};
use password::Password;
use slotfs_object::new::{self, Naming, SecretKeyType};
use slotfs_object::pkcs11::{CKA_ID, CKK_EC, CKK_RSA};
use slotfs_object::secret::SecretBytes;
use slotfs_object::{Attribute, Object};
use work::Work;

/// The largest file that is read, bytes: room for an object of 64 KiB in base64 and the text that openssl writes above
/// it.
pub const MAX_FILE_BYTES: usize = 256 * 1024;

/// The type of an object whose value is the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawType {
    /// An AES key: 16, 24 or 32 bytes.
    Aes,
    /// A generic secret.
    Generic,
    /// The value of a data object.
    Data,
}

/// The content of a file.
#[derive(Debug, Default)]
pub struct Imported {
    /// In the order of the file; of a PKCS#12 store the private keys, their certificates, the other certificates.
    pub objects: Vec<Object>,
    /// Entries of a PKCS#12 store that were not imported.
    pub left_out: Vec<LeftOut>,
}

impl Imported {
    fn all(objects: Vec<Object>) -> Self {
        let left_out = Vec::new();
        Self { objects, left_out }
    }
}

/// Makes objects of a file's content.
///
/// With `raw`, the bytes are the value of one object. Without, the form of the file is found by parsing it:
///
/// | PEM label | DER | becomes |
/// | --- | --- | --- |
/// | `PRIVATE KEY` | PKCS#8 (RFC 5958) | private key: RSA, EC, Ed25519, X25519 |
/// | `ENCRYPTED PRIVATE KEY` | PKCS#8 under PBES2 (RFC 8018) or 3DES (RFC 7292) | the same |
/// | `RSA PRIVATE KEY` | PKCS#1 (RFC 8017) | private key: RSA |
/// | `EC PRIVATE KEY` | SEC1 (RFC 5915) | private key: EC |
/// | `OPENSSH PRIVATE KEY` | | private key: RSA, EC, Ed25519 |
/// | `PUBLIC KEY` | SPKI (RFC 5280) | public key: RSA, EC, Ed25519, X25519 |
/// | `RSA PUBLIC KEY` | PKCS#1 (RFC 8017) | public key: RSA |
/// | lines of `id_*.pub` | | public key: RSA, EC, Ed25519 |
/// | `CERTIFICATE` | X.509 (RFC 5280) | certificate |
/// | `PKCS7` | PKCS#7 (RFC 5652) | its certificates |
/// | `PKCS12` | PKCS#12 (RFC 7292) | private keys, their certificates, other certificates |
///
/// Several PEM blocks are a list: all of it is imported, or nothing. RSA keys have 1024 to 8192 bits; EC keys are on
/// P-256, P-384, P-521 or secp256k1. The parts of a private key must match, and an EC point must lie on its curve. Not
/// checked are whether the primes of an RSA key are prime, and whether 32 bytes are a point of Curve25519 (almost all
/// are). The attributes of PKCS#8 are dropped.
///
/// `password` is used for files that [`is_encrypted`] and ignored otherwise. One file may use 10,000,000 rounds of key
/// derivation.
///
/// # Errors
/// [`ImportError`], with [`ImportError::hint`]. It holds nothing of the file except algorithm identifiers, sizes and
/// offsets.
pub fn import(
    file: &SecretBytes,
    raw: Option<RawType>,
    naming: &Naming,
    password: Option<&SecretBytes>,
) -> Result<Imported, ImportError> {
    import_within(file, raw, naming, password, Work::new())
}

fn import_within(
    file: &SecretBytes,
    raw: Option<RawType>,
    naming: &Naming,
    password: Option<&SecretBytes>,
    mut work: Work,
) -> Result<Imported, ImportError> {
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
        None => return parsed(&form::parts(bytes)?, naming, password, &mut work),
    };
    Ok(Imported::all(vec![object]))
}

/// Whether [`import`] needs a password for a file; false for a file that cannot be read at all.
pub fn is_encrypted(file: &SecretBytes) -> bool {
    form::parts(file.bytes()).is_ok_and(|parts| parts.iter().any(|part| part.form.is_encrypted()))
}

/// Everything in a file, or the first error.
fn parsed(
    parts: &[Part],
    naming: &Naming,
    password: Option<&SecretBytes>,
    work: &mut Work,
) -> Result<Imported, ImportError> {
    // Before any other error, so that the user is asked for the password once, for the whole file.
    if password.is_none() && parts.iter().any(|part| part.form.is_encrypted()) {
        return Err(ImportError::Encrypted);
    }
    if let [part] = parts {
        return one(part, naming, password, work);
    }
    let label = naming.without_id();
    let mut all = Imported::default();
    for part in parts {
        let imported = one(part, &label, password, work);
        let imported = imported.map_err(|error| error.in_block(part.block))?;
        all.objects.extend(imported.objects);
        all.left_out.extend(imported.left_out);
    }
    ids::assign(&mut all.objects, &naming.id)?;
    Ok(all)
}

/// The content of one block, or of a file without blocks.
fn one(
    part: &Part,
    naming: &Naming,
    password: Option<&SecretBytes>,
    work: &mut Work,
) -> Result<Imported, ImportError> {
    let bytes = part.bytes.bytes();
    let password = || password.ok_or(ImportError::Encrypted);
    let object = match part.form {
        Form::Pkcs8 => pkcs8::private(bytes, naming)?,
        Form::EncryptedPkcs8 => {
            work.container = Container::Pkcs8;
            let key = pbe::private_key(bytes, &Password::new(password()?), work)?;
            pkcs8::private(key.bytes(), naming)?
        }
        Form::Pkcs12 => {
            work.container = Container::Pkcs12;
            return pkcs12::objects(bytes, Password::new(password()?), naming, work);
        }
        Form::Pkcs1 => rsa::private(bytes, None, naming)?,
        Form::Sec1 => ec::private(bytes, None, None, naming)?,
        Form::OpenSsh => openssh::private(bytes, naming)?,
        Form::EncryptedOpenSsh => {
            work.container = Container::OpenSsh;
            openssh::encrypted(bytes, password()?, work, naming)?
        }
        Form::Spki => spki::public(bytes, naming)?,
        Form::Pkcs1Public => rsa::public(bytes, naming)?,
        Form::OpenSshPublic => openssh::public(bytes, naming)?,
        Form::Certificate => certificate::certificate(bytes, naming)?,
        Form::Pkcs7 => return certificates(&pkcs7::certificates(bytes)?, naming),
    };
    Ok(Imported::all(vec![new::storable(object)?]))
}

/// The certificates of a PKCS#7 file.
fn certificates(ders: &[&[u8]], naming: &Naming) -> Result<Imported, ImportError> {
    if ders.is_empty() {
        return Err(ImportError::Unsupported(
            "a PKCS#7 file without certificates",
            "import the certificates or keys that it was made of",
        ));
    }
    let label = naming.without_id();
    let mut objects = Vec::new();
    for der in ders {
        objects.push(new::storable(certificate::certificate(der, &label)?)?);
    }
    ids::assign(&mut objects, &naming.id)?;
    Ok(Imported::all(objects))
}

/// A generated private key, of PKCS#8 DER.
pub(super) fn pkcs8_private(der: &[u8], naming: &Naming) -> Result<Object, ImportError> {
    pkcs8::private(der, naming)
}

/// A generated X25519 private key, of its value.
pub(super) fn x25519_private(value: &[u8], naming: &Naming) -> Result<Object, ImportError> {
    curve25519::private_of_value(value, &curve25519::X25519, None, naming)
}

/// A private key and its public half, with one id: that of `naming`, or if it has none [`spki::key_identifier`].
pub(super) fn pair(mut private: Object, naming: &Naming) -> Result<(Object, Object), ImportError> {
    let info = public_half(&private).ok_or(ImportError::INCONSISTENT)?;
    let mut public = spki::public(&info, naming)?;
    if naming.id.is_empty() {
        let id = Attribute::Bytes(spki::key_identifier(&info)?);
        private.set(CKA_ID, id.clone());
        public.set(CKA_ID, id);
    }
    Ok((new::storable(private)?, new::storable(public)?))
}

/// The SPKI of a private key object's public half, computed from its value; `None` for an object that is not a key of
/// [`import`].
pub(super) fn public_half(private: &Object) -> Option<Vec<u8>> {
    match private.key_type? {
        CKK_RSA => rsa::info_of_private(private),
        CKK_EC => ec::info_of_private(private),
        _ => curve25519::info_of_private(private),
    }
}

#[cfg(test)]
mod tests;
