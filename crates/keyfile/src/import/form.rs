//! Which form a file has, told by parsing it, and the DER inside.
//!
//! PEM says by its label what it is. DER does not: a file is of the form whose structure it has from its first byte
//! to its last. Where it has none, the nearest one is named, and its parser says what is wrong.

use pkcs1::{RsaPrivateKeyRef, RsaPublicKeyRef};
use pkcs8::{ObjectIdentifier, PrivateKeyInfoRef};
use sec1::EcPrivateKey;
use x509_cert::der::{Decode, Tag};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use super::elements::{Elements, context};
use super::error::ImportError;
use super::{ber, certificate, foreign, openssh, pem, pkcs7};
use slotfs_object::secret::SecretBytes;

/// A form of file that is imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `OneAsymmetricKey`, RFC 5958.
    Pkcs8,
    /// `EncryptedPrivateKeyInfo`, RFC 5958.
    EncryptedPkcs8,
    /// `PFX`, RFC 7292.
    Pkcs12,
    /// `RSAPrivateKey`, RFC 8017.
    Pkcs1,
    /// `RSAPublicKey`, RFC 8017.
    Pkcs1Public,
    /// `ECPrivateKey`, RFC 5915.
    Sec1,
    /// `SubjectPublicKeyInfo`, RFC 5280.
    Spki,
    /// `Certificate`, RFC 5280.
    Certificate,
    /// `SignedData` of RFC 5652 that carries certificates.
    Pkcs7,
    /// OpenSSH's own form of private keys, PROTOCOL.key.
    OpenSsh,
    /// The same under a password.
    EncryptedOpenSsh,
    /// A line of `id_*.pub`.
    OpenSshPublic,
}

impl Form {
    /// Whether a password opens it.
    pub(super) fn is_encrypted(self) -> bool {
        match self {
            Self::EncryptedPkcs8 | Self::Pkcs12 | Self::EncryptedOpenSsh => true,
            Self::Pkcs8
            | Self::Pkcs1
            | Self::Pkcs1Public
            | Self::Sec1
            | Self::Spki
            | Self::Certificate
            | Self::Pkcs7
            | Self::OpenSsh
            | Self::OpenSshPublic => false,
        }
    }
}

/// PEM labels that are imported.
const FORMS: &[(&[u8], Form)] = &[
    (b"PRIVATE KEY", Form::Pkcs8),
    (b"ENCRYPTED PRIVATE KEY", Form::EncryptedPkcs8),
    (b"RSA PRIVATE KEY", Form::Pkcs1),
    (b"EC PRIVATE KEY", Form::Sec1),
    (b"OPENSSH PRIVATE KEY", Form::OpenSsh),
    (b"PUBLIC KEY", Form::Spki),
    (b"RSA PUBLIC KEY", Form::Pkcs1Public),
    (b"CERTIFICATE", Form::Certificate),
    // Of openssl before 0.9.5, and of some that copied it.
    (b"X509 CERTIFICATE", Form::Certificate),
    // certtool's.
    (b"PKCS12", Form::Pkcs12),
    (b"PKCS7", Form::Pkcs7),
    (b"CMS", Form::Pkcs7),
];

/// What is before a key in the files of `openssl ecparam -genkey`: the key says it too.
const EC_PARAMETERS: &[u8] = b"EC PARAMETERS";

/// One object of a file, or one store of several.
pub(super) struct Part {
    pub(super) form: Form,
    /// DER, or what OpenSSH writes.
    pub(super) bytes: SecretBytes,
    /// The block, its number and its line, in a file of several.
    pub(super) block: Option<(usize, usize)>,
}

/// What a file is made of.
pub(super) fn parts(file: &[u8]) -> Result<Vec<Part>, ImportError> {
    if is_der(file) {
        let (form, bytes) = of_der(file)?;
        return Ok(vec![Part {
            form,
            bytes,
            block: None,
        }]);
    }
    let text = pem::text(file)?;
    let blocks = match pem::blocks(text.bytes()) {
        Ok(blocks) => blocks,
        Err(damage) if damage.block == 1 => return Err(damage.error),
        Err(pem::Damage { block, line, error }) => return Err(error.in_block(block, line)),
    };
    let mut parts = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        if block.label == EC_PARAMETERS && blocks.len() > 1 {
            continue;
        }
        let place = (index + 1, block.line);
        let (form, bytes) = of_block(block).map_err(|error| match blocks.len() {
            1 => error,
            _ => error.in_block(place.0, place.1),
        })?;
        parts.push(Part {
            form,
            bytes,
            block: (blocks.len() > 1).then_some(place),
        });
    }
    match parts.is_empty() {
        true if blocks.is_empty() => of_lines(text.bytes()),
        true => Err(foreign::of_label(EC_PARAMETERS)),
        false => Ok(parts),
    }
}

/// OpenSSH's public keys, each on a line: the one text that is imported without PEM around it.
fn of_lines(text: &[u8]) -> Result<Vec<Part>, ImportError> {
    let lines: Vec<_> = pem::lines(text)
        .filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"))
        .collect();
    if !lines.iter().all(|(_, line)| openssh::is_public(line)) || lines.is_empty() {
        return Err(foreign::of_beginning(text));
    }
    let several = lines.len() > 1;
    let parts = lines
        .iter()
        .enumerate()
        .map(|(index, (number, line))| Part {
            form: Form::OpenSshPublic,
            bytes: SecretBytes::from(*line),
            block: several.then_some((index + 1, *number)),
        });
    Ok(parts.collect())
}

/// Whether a file is DER or BER rather than text: a SEQUENCE that is not also text, so that a file of hexadecimal
/// digits, whose `0` is the tag of a SEQUENCE, is not mistaken for a damaged key.
fn is_der(file: &[u8]) -> bool {
    let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    file.first() == Some(&0x30) && !file.iter().all(is_text)
}

fn of_block(block: &pem::Block<'_>) -> Result<(Form, SecretBytes), ImportError> {
    let Some((_, form)) = FORMS.iter().find(|row| row.0 == block.label) else {
        return Err(foreign::of_label(block.label));
    };
    if let Some(error) = foreign::of_headers(&block.headers) {
        return Err(error);
    }
    let bytes = block.decode()?;
    Ok(match form {
        Form::OpenSsh if openssh::is_encrypted(bytes.bytes()) => (Form::EncryptedOpenSsh, bytes),
        Form::OpenSsh => (Form::OpenSsh, bytes),
        _ => (*form, canonical(*form, bytes)),
    })
}

/// DER, where the file is BER of the form.
fn canonical(form: Form, bytes: SecretBytes) -> SecretBytes {
    match ber::to_der(bytes.bytes()) {
        Some(der) if !fits(form, bytes.bytes()) && keeps_signed(form, bytes.bytes(), &der) => der,
        _ => bytes,
    }
}

/// Whether DER that was made of BER holds what a signature covers as it was.
fn keeps_signed(form: Form, ber: &[u8], der: &SecretBytes) -> bool {
    form != Form::Certificate
        || certificate::signed(der.bytes())
            .is_ok_and(|signed| ber.windows(signed.len()).any(|window| window == signed))
}

/// The form of a DER file by what it holds.
fn of_der(file: &[u8]) -> Result<(Form, SecretBytes), ImportError> {
    const ALL: &[Form] = &[
        Form::Certificate,
        Form::Pkcs12,
        Form::Pkcs8,
        Form::EncryptedPkcs8,
        Form::Pkcs1,
        Form::Sec1,
        Form::Spki,
        Form::Pkcs7,
        Form::Pkcs1Public,
    ];
    let form_of = |der: &[u8]| ALL.iter().find(|form| fits(**form, der)).copied();
    if let Some(form) = form_of(file) {
        return Ok((form, SecretBytes::from(file)));
    }
    if let Some(error) = foreign::of_der(file) {
        return Err(error);
    }
    if let Some(der) = ber::to_der(file) {
        match form_of(der.bytes()) {
            Some(form) if keeps_signed(form, file, &der) => return Ok((form, der)),
            Some(form) => return Ok((form, SecretBytes::from(file))),
            None => {}
        }
    }
    Ok((nearest(file)?, SecretBytes::from(file)))
}

/// Whether DER has the structure of a form, whatever its numbers are.
fn fits(form: Form, der: &[u8]) -> bool {
    match form {
        Form::Pkcs8 => PrivateKeyInfoRef::from_der(der).is_ok(),
        Form::EncryptedPkcs8 => is_encrypted_key(der).is_ok(),
        Form::Pkcs12 => is_store(der).is_ok(),
        Form::Pkcs1 => RsaPrivateKeyRef::from_der(der).is_ok(),
        // With an even number it is a group of Diffie-Hellman.
        Form::Pkcs1Public => RsaPublicKeyRef::from_der(der).is_ok_and(|key| {
            let exponent = key.public_exponent.as_bytes();
            exponent.last().is_some_and(|byte| byte & 1 == 1)
        }),
        Form::Sec1 => EcPrivateKey::from_der(der).is_ok(),
        Form::Spki => SubjectPublicKeyInfoRef::from_der(der).is_ok(),
        Form::Certificate => certificate::is_one(der),
        Form::Pkcs7 => pkcs7::is_one(der),
        Form::OpenSsh | Form::EncryptedOpenSsh | Form::OpenSshPublic => false,
    }
}

fn is_encrypted_key(der: &[u8]) -> Result<(), ImportError> {
    let mut info = Elements::of_sequence(der, "encrypted private key")?;
    info.sequence()?.oid()?;
    info.next(Tag::OctetString)?;
    info.end()
}

fn is_store(der: &[u8]) -> Result<ObjectIdentifier, ImportError> {
    let mut store = Elements::of_sequence(der, "PKCS#12 store")?;
    store.number()?;
    let mut content = store.sequence()?;
    let kind = content.oid()?;
    content.next(context(0))?;
    content.end()?;
    if !store.is_finished() {
        store.sequence()?;
    }
    store.end()?;
    Ok(kind)
}

/// The form that DER of no form is nearly of, by its first elements.
fn nearest(file: &[u8]) -> Result<Form, ImportError> {
    const INTEGERS_OF_RSA: usize = 9;
    let mut inside = Elements::of_sequence(file, "DER file")?;
    let mut tags = Vec::new();
    let mut first = &[][..];
    while let (Some(tag), true) = (inside.peek(), tags.len() < INTEGERS_OF_RSA) {
        let element = inside.next(tag)?;
        if tags.is_empty() {
            first = element;
        }
        tags.push(tag);
    }
    Ok(match (&tags[..], first) {
        (all, _) if all.len() == INTEGERS_OF_RSA && all.iter().all(|it| *it == Tag::Integer) => {
            Form::Pkcs1
        }
        ([Tag::Integer, Tag::Sequence] | [Tag::Integer, Tag::Sequence, Tag::Sequence], [3]) => {
            Form::Pkcs12
        }
        ([Tag::Integer, Tag::Sequence, Tag::OctetString, ..], _) => Form::Pkcs8,
        ([Tag::Integer, Tag::Integer], _) => Form::Pkcs1Public,
        ([Tag::Integer, Tag::OctetString, ..], _) => Form::Sec1,
        ([Tag::Sequence, Tag::BitString], _) => Form::Spki,
        ([Tag::Sequence, Tag::OctetString], _) => Form::EncryptedPkcs8,
        ([Tag::Sequence, Tag::Sequence, Tag::BitString], _) => Form::Certificate,
        _ => return Err(ImportError::OtherDer),
    })
}
