//! Finds the form of a file by parsing it, and the DER inside.
//!
//! The label of a PEM block names its form. A DER file has the form whose structure it has from its first byte to its
//! last. If it has none, it gets the most similar form, whose parser then reports what is wrong.

use pkcs1::{RsaPrivateKeyRef, RsaPublicKeyRef};
use pkcs8::PrivateKeyInfoRef;
use sec1::EcPrivateKey;
use x509_cert::der::{Decode, Tag};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use super::elements::{Elements, context};
use super::error::ImportError;
use super::{ber, certificate, foreign, openssh, pbe, pem, pkcs7};
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
    /// `SignedData` with certificates, RFC 5652.
    Pkcs7,
    /// OpenSSH's own format of private keys, PROTOCOL.key.
    OpenSsh,
    /// The same, encrypted.
    EncryptedOpenSsh,
    /// A line of `id_*.pub`.
    OpenSshPublic,
}

impl Form {
    /// Whether the form needs a password.
    pub(super) fn is_encrypted(self) -> bool {
        matches!(
            self,
            Self::EncryptedPkcs8 | Self::Pkcs12 | Self::EncryptedOpenSsh
        )
    }
}

/// PEM labels that can be imported.
const FORMS: &[(&[u8], Form)] = &[
    (b"PRIVATE KEY", Form::Pkcs8),
    (b"ENCRYPTED PRIVATE KEY", Form::EncryptedPkcs8),
    (b"RSA PRIVATE KEY", Form::Pkcs1),
    (b"EC PRIVATE KEY", Form::Sec1),
    (b"OPENSSH PRIVATE KEY", Form::OpenSsh),
    (b"PUBLIC KEY", Form::Spki),
    (b"RSA PUBLIC KEY", Form::Pkcs1Public),
    (b"CERTIFICATE", Form::Certificate),
    // Written by openssl before 0.9.5 and programs that copied it.
    (b"X509 CERTIFICATE", Form::Certificate),
    // Written by certtool.
    (b"PKCS12", Form::Pkcs12),
    (b"PKCS7", Form::Pkcs7),
    (b"CMS", Form::Pkcs7),
];

/// The block before the key in files of `openssl ecparam -genkey`; the key holds the same parameters.
const EC_PARAMETERS: &[u8] = b"EC PARAMETERS";

/// One object of a file, or one store of several objects.
pub(super) struct Part {
    pub(super) form: Form,
    /// DER, or the bytes of an OpenSSH form.
    pub(super) bytes: SecretBytes,
    /// Number and line of the block, in a file of several.
    pub(super) block: Option<(usize, usize)>,
}

/// The parts of a file.
pub(super) fn parts(file: &[u8]) -> Result<Vec<Part>, ImportError> {
    if is_der(file) {
        let (form, bytes) = form_of_der(file)?;
        let block = None;
        return Ok(vec![Part { form, bytes, block }]);
    }
    let text = pem::text(file)?;
    let blocks = pem::blocks(text.bytes())?;
    let several = blocks.len() > 1;
    let mut parts = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        if block.label == EC_PARAMETERS && several {
            continue;
        }
        let place = several.then_some((index + 1, block.line));
        let (form, bytes) = form_of_block(block).map_err(|error| error.in_block(place))?;
        parts.push(Part {
            form,
            bytes,
            block: place,
        });
    }
    match parts.is_empty() {
        true if blocks.is_empty() => parts_of_lines(text.bytes()),
        true => Err(foreign::error_of_label(EC_PARAMETERS)),
        false => Ok(parts),
    }
}

/// OpenSSH's public keys, one on each line: the only text that is imported without PEM.
fn parts_of_lines(text: &[u8]) -> Result<Vec<Part>, ImportError> {
    let lines: Vec<_> = pem::lines(text)
        .filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"))
        .collect();
    if !lines.iter().all(|(_, line)| openssh::is_public(line)) || lines.is_empty() {
        return Err(foreign::error_of_beginning(text));
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

/// Whether a file is DER or BER and not text. The tag of a SEQUENCE is also the digit `0`, so a file of hexadecimal
/// digits must not pass for a damaged key.
fn is_der(file: &[u8]) -> bool {
    let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    file.first() == Some(&0x30) && !file.iter().all(is_text)
}

fn form_of_block(block: &pem::Block<'_>) -> Result<(Form, SecretBytes), ImportError> {
    let Some((_, form)) = FORMS.iter().find(|row| row.0 == block.label) else {
        return Err(foreign::error_of_label(block.label));
    };
    if let Some(error) = foreign::error_of_headers(&block.headers) {
        return Err(error);
    }
    let bytes = block.decode()?;
    Ok(match form {
        Form::OpenSsh if openssh::is_encrypted(bytes.bytes()) => (Form::EncryptedOpenSsh, bytes),
        Form::OpenSsh => (Form::OpenSsh, bytes),
        _ => (*form, canonical(*form, bytes)),
    })
}

/// The bytes as DER, if they are BER of the form.
fn canonical(form: Form, bytes: SecretBytes) -> SecretBytes {
    match ber::to_der(bytes.bytes()) {
        Some(der) if !fits(form, bytes.bytes()) && keeps_signed(form, bytes.bytes(), &der) => der,
        _ => bytes,
    }
}

/// Whether DER that was made of BER still holds the signed bytes unchanged.
fn keeps_signed(form: Form, ber: &[u8], der: &SecretBytes) -> bool {
    form != Form::Certificate
        || certificate::signed(der.bytes())
            .is_ok_and(|signed| ber.windows(signed.len()).any(|window| window == signed))
}

/// The form of a DER file, and its DER.
fn form_of_der(file: &[u8]) -> Result<(Form, SecretBytes), ImportError> {
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
    if let Some(error) = foreign::error_of_der(file) {
        return Err(error);
    }
    if let Some(der) = ber::to_der(file) {
        match form_of(der.bytes()) {
            Some(form) if keeps_signed(form, file, &der) => return Ok((form, der)),
            Some(form) => return Ok((form, SecretBytes::from(file))),
            None => {}
        }
    }
    Ok((most_similar(file)?, SecretBytes::from(file)))
}

/// Whether DER has the structure of a form, with any numbers.
fn fits(form: Form, der: &[u8]) -> bool {
    match form {
        Form::Pkcs8 => PrivateKeyInfoRef::from_der(der).is_ok(),
        Form::EncryptedPkcs8 => {
            pbe::parts(der).is_ok_and(|(mut algorithm, _)| algorithm.oid().is_ok())
        }
        Form::Pkcs12 => read_store(der).is_ok(),
        Form::Pkcs1 => RsaPrivateKeyRef::from_der(der).is_ok(),
        // With an even exponent it holds Diffie-Hellman parameters.
        Form::Pkcs1Public => RsaPublicKeyRef::from_der(der).is_ok_and(|key| {
            let exponent = key.public_exponent.as_bytes();
            exponent.last().is_some_and(|byte| byte & 1 == 1)
        }),
        Form::Sec1 => EcPrivateKey::from_der(der).is_ok(),
        Form::Spki => SubjectPublicKeyInfoRef::from_der(der).is_ok(),
        Form::Certificate => certificate::is_one(der),
        Form::Pkcs7 => pkcs7::certificates(der).is_ok(),
        Form::OpenSsh | Form::EncryptedOpenSsh | Form::OpenSshPublic => false,
    }
}

fn read_store(der: &[u8]) -> Result<(), ImportError> {
    let mut store = Elements::of_sequence(der, "PKCS#12 store")?;
    store.number()?;
    let mut content = store.sequence()?;
    content.oid()?;
    content.next(context(0))?;
    content.end()?;
    if !store.is_finished() {
        store.sequence()?;
    }
    store.end()
}

/// The most similar form of DER that has no form, by its first elements.
fn most_similar(file: &[u8]) -> Result<Form, ImportError> {
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
        _ => return Err(ImportError::OTHER_DER),
    })
}
