//! Objects from files: raw values, and keys and certificates in PEM or DER.
//!
//! What a file is, is decided by parsing it, and each kind of key has one form in the slot, whatever form the file
//! has: BER becomes DER, padding goes, parts that follow from others are computed or compared. What is refused says
//! why, and how to rewrite it with a tool where one can.
//!
//! Private parts are read where they lie in the file's [`SecretBytes`] (the `der`, `pkcs8`, `pkcs1` and
//! `sec1` types used here borrow) and copied once, into the object's own. Two things cannot be wiped:
//! the up to four bytes that `base64ct` keeps on the stack while it decodes PEM, and what the compiler
//! spills.

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
mod openssh;
mod password;
mod pbe;
mod pbes2;
mod pem;
mod pkcs12;
mod pkcs7;
mod pkcs8;
mod rsa;
mod spki;
mod work;

pub use error::{Container, Fault, ImportError, LeftOut};

use form::{Form, Part};
use password::Password;
use slotfs_object::new::{self, Naming, SecretKeyType};
use slotfs_object::pkcs11::{CKA_ID, CKK_EC, CKK_RSA};
use slotfs_object::secret::SecretBytes;
use slotfs_object::{Object, template};
use work::Work;

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

/// What a file gave.
#[derive(Debug)]
pub struct Imported {
    /// In the file's order; of a PKCS#12 store the private keys, their certificates, the other certificates.
    pub objects: Vec<Object>,
    /// Entries of a PKCS#12 store that are not imported.
    pub left_out: Vec<LeftOut>,
}

/// Makes objects of a file's content.
///
/// With `raw` the bytes are the value. Without, what the file is, is decided by parsing it:
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
/// Several PEM blocks are a list, all of it imported or nothing. RSA of 1024 to 8192 bits, EC on P-256, P-384, P-521
/// and secp256k1. The parts of
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
        None => return all(&form::parts(bytes)?, naming, password, &mut work),
    };
    Ok(Imported {
        objects: vec![object],
        left_out: Vec::new(),
    })
}

/// Whether [`import`] needs a password for a file, if it can read the file at all.
pub fn is_encrypted(file: &SecretBytes) -> bool {
    form::parts(file.bytes()).is_ok_and(|parts| parts.iter().any(|part| part.form.is_encrypted()))
}

/// Everything in a file, or the first error.
fn all(
    parts: &[Part],
    naming: &Naming,
    password: Option<&SecretBytes>,
    work: &mut Work,
) -> Result<Imported, ImportError> {
    // Before anything else is said: whoever has the password is asked for it once, for all of the file.
    if password.is_none() && parts.iter().any(|part| part.form.is_encrypted()) {
        return Err(ImportError::Encrypted);
    }
    if let [part] = parts {
        return one(part, naming, password, work);
    }
    let label = Naming {
        label: naming.label.clone(),
        id: Vec::new(),
    };
    let mut objects = Vec::new();
    let mut left_out = Vec::new();
    for part in parts {
        let imported = one(part, &label, password, work).map_err(|error| match part.block {
            Some((block, line)) => error.in_block(block, line),
            None => error,
        })?;
        objects.extend(imported.objects);
        left_out.extend(imported.left_out);
    }
    ids::assign(&mut objects, &naming.id)?;
    Ok(Imported { objects, left_out })
}

/// What one block, or a file without blocks, gives.
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
            work.advise(
                "rewrite it with 'openssl pkcs8 -topk8 -v2 aes256 -iter 600000 -in FILE -out NEWFILE'",
            );
            let password = Password::new(password()?);
            let key = pbe::private_key(bytes, &password, work, Container::Pkcs8)?;
            pkcs8::private(key.bytes(), naming)?
        }
        Form::Pkcs12 => {
            work.advise(
                "write it anew with fewer rounds: 600000 is plenty, by -iter of openssl pkcs12 -export",
            );
            return pkcs12::objects(bytes, Password::new(password()?), naming, work);
        }
        Form::Pkcs1 => rsa::private(bytes, None, naming)?,
        Form::Sec1 => ec::sec1_private(bytes, naming)?,
        Form::OpenSsh => openssh::private(bytes, naming)?,
        Form::EncryptedOpenSsh => {
            work.advise(
                "change it with 'ssh-keygen -p -a 100 -f FILE', which asks for the password",
            );
            openssh::encrypted(bytes, password()?, work, naming)?
        }
        Form::Spki => spki::public(bytes, naming)?,
        Form::Pkcs1Public => rsa::public(bytes, naming)?,
        Form::OpenSshPublic => openssh::public(bytes, naming)?,
        Form::Certificate => certificate::certificate(bytes, naming)?,
        Form::Pkcs7 => return certificates(&pkcs7::certificates(bytes)?, naming),
    };
    Ok(Imported {
        objects: vec![new::storable(object)?],
        left_out: Vec::new(),
    })
}

/// Several certificates that come together.
fn certificates(all: &[&[u8]], naming: &Naming) -> Result<Imported, ImportError> {
    let label = Naming {
        label: naming.label.clone(),
        id: Vec::new(),
    };
    if all.is_empty() {
        return Err(ImportError::NotImported(
            "a PKCS#7 file without certificates",
            "import the certificates or keys that it was made of",
        ));
    }
    let objects = all
        .iter()
        .map(|der| Ok(new::storable(certificate::certificate(der, &label)?)?));
    let mut objects = objects.collect::<Result<Vec<_>, ImportError>>()?;
    ids::assign(&mut objects, &naming.id)?;
    Ok(Imported {
        objects,
        left_out: Vec::new(),
    })
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
