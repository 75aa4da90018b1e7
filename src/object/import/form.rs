//! Which form a file has, told by its content, and the DER inside a PEM block.

use pem_rfc7468::{Decoder, Error as PemError};
use x509_cert::der::{Decode, Header, Reader, Result as DerResult, SliceReader, Tag};

use super::error::{Fault, ImportError};
use crate::secret::SecretBytes;

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
    /// `ECPrivateKey`, RFC 5915.
    Sec1,
    /// `SubjectPublicKeyInfo`, RFC 5280.
    Spki,
    /// `Certificate`, RFC 5280.
    Certificate,
}

const RSA_PUBLIC_HINT: &str =
    "rewrite it with 'openssl rsa -RSAPublicKey_in -in FILE -pubout -out NEWFILE'";

/// PEM labels that are imported.
const FORMS: &[(&str, Form)] = &[
    ("PRIVATE KEY", Form::Pkcs8),
    ("ENCRYPTED PRIVATE KEY", Form::EncryptedPkcs8),
    ("RSA PRIVATE KEY", Form::Pkcs1),
    ("EC PRIVATE KEY", Form::Sec1),
    ("PUBLIC KEY", Form::Spki),
    ("CERTIFICATE", Form::Certificate),
];

/// PEM labels that are met and not imported: label, what it is, what to do.
const NOT_IMPORTED: &[(&str, &str, &str)] = &[
    ("RSA PUBLIC KEY", "a PKCS#1 public key", RSA_PUBLIC_HINT),
    (
        "OPENSSH PRIVATE KEY",
        "an OpenSSH private key",
        "rewrite a copy of it with 'ssh-keygen -p -N \"\" -m PKCS8 -f COPY'",
    ),
    (
        "TRUSTED CERTIFICATE",
        "an OpenSSL trusted certificate",
        "rewrite it with 'openssl x509 -in FILE -out NEWFILE'",
    ),
    (
        "CERTIFICATE REQUEST",
        "a certificate request",
        "import the certificate that comes back from it",
    ),
    (
        "X509 CRL",
        "a certificate revocation list",
        "slots hold certificates, not revocation lists; -type data stores its bytes",
    ),
    (
        "PKCS7",
        "a PKCS#7 bundle",
        "take the certificates out with 'openssl pkcs7 -in FILE -print_certs' and import each",
    ),
    (
        "DSA PRIVATE KEY",
        "a DSA key",
        "slotfs has RSA, EC, Ed25519 and X25519 keys",
    ),
    (
        "SLOTFS DOMAIN KEY",
        "a domain key file",
        "it is what -domainkey of 'partition init' asks for; a domain is no object",
    ),
];

/// Whether a file is DER rather than PEM: a SEQUENCE that is not also text, so that a file of hexadecimal
/// digits, whose `0` is the tag of a SEQUENCE, is not mistaken for a damaged key.
pub(super) fn is_der(file: &[u8]) -> bool {
    let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    file.first() == Some(&0x30) && !file.iter().all(is_text)
}

/// Tells the form of a DER file by the first elements of its outer SEQUENCE.
pub(super) fn of_der(file: &[u8]) -> Result<Form, ImportError> {
    let shape = shape(file).map_err(ImportError::der("DER file"))?;
    match shape {
        // PKCS#12's version is 3, PKCS#8's 0 or 1.
        Shape(Tag::Integer, &[3], Tag::Sequence, _) => Ok(Form::Pkcs12),
        Shape(Tag::Integer, _, Tag::Sequence, _) => Ok(Form::Pkcs8),
        Shape(Tag::Integer, _, Tag::Integer, Some(Tag::Integer)) => Ok(Form::Pkcs1),
        Shape(Tag::Integer, _, Tag::Integer, None) => Err(ImportError::NotImported(
            "a PKCS#1 public key",
            RSA_PUBLIC_HINT,
        )),
        Shape(Tag::Integer, _, Tag::OctetString, _) => Ok(Form::Sec1),
        Shape(Tag::Sequence, _, Tag::BitString, None) => Ok(Form::Spki),
        Shape(Tag::Sequence, _, Tag::OctetString, None) => Ok(Form::EncryptedPkcs8),
        Shape(Tag::Sequence, _, Tag::Sequence, Some(Tag::BitString)) => Ok(Form::Certificate),
        _ => Err(ImportError::Der {
            what: "DER file",
            fault: Fault::Structure,
            offset: None,
        }),
    }
}

/// First tag and value, second tag, third tag if there is one.
struct Shape<'a>(Tag, &'a [u8], Tag, Option<Tag>);

fn shape(file: &[u8]) -> DerResult<Shape<'_>> {
    let mut reader = SliceReader::new(file)?;
    let outer = Header::decode(&mut reader)?;
    let mut inner = SliceReader::new(reader.read_slice(outer.length())?)?;
    reader.finish()?;
    let first = Header::decode(&mut inner)?;
    let value = inner.read_slice(first.length())?;
    let second = Tag::peek(&inner)?;
    inner.tlv_bytes()?;
    let third = match inner.is_finished() {
        true => None,
        false => Some(Tag::peek(&inner)?),
    };
    Ok(Shape(first.tag(), value, second, third))
}

/// Tells the form of a PEM file by its label and decodes what is in it.
pub(super) fn of_pem(file: &[u8]) -> Result<(Form, SecretBytes), ImportError> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    match count(file, BEGIN) {
        0 => return Err(ImportError::Unrecognised),
        1 => {}
        _ if count(file, b"-----BEGIN EC PARAMETERS-----") > 0 => {
            return Err(ImportError::EcParameters);
        }
        many => return Err(ImportError::SeveralBlocks(many)),
    }
    let has_end = count(file, b"-----END ") > 0;
    // Headers of RFC 1421, which the traditional encrypted keys have and the decoder refuses.
    if count(file, b"Proc-Type: 4,ENCRYPTED") > 0 {
        return Err(ImportError::EncryptedTraditional);
    }
    let mut decoder =
        Decoder::new_detect_wrap(file.trim_ascii_end()).map_err(|error| match error {
            _ if !has_end => ImportError::PemCutShort,
            // "Pre" is what the decoder says of a file that does not end in dashes.
            PemError::PreEncapsulationBoundary | PemError::PostEncapsulationBoundary => {
                ImportError::PemEnd
            }
            PemError::Base64(_) | PemError::Length => ImportError::PemBase64,
            _ => ImportError::PemBegin,
        })?;
    let form = form_of_label(decoder.type_label())?;
    // Of the exact size before decoding: a vector that grows leaves unwiped copies.
    let mut der = SecretBytes::new(vec![0; decoder.remaining_len()]);
    match decoder.decode(der.bytes_mut()) {
        Ok(_) if decoder.is_finished() => Ok((form, der)),
        _ => Err(ImportError::PemBase64),
    }
}

fn form_of_label(label: &str) -> Result<Form, ImportError> {
    if let Some((_, form)) = FORMS.iter().find(|row| row.0 == label) {
        return Ok(*form);
    }
    Err(match label {
        "EC PARAMETERS" => ImportError::NotImported(
            "EC parameters without a key",
            "import the key's file instead",
        ),
        _ => match NOT_IMPORTED.iter().find(|row| row.0 == label) {
            Some((_, what, hint)) => ImportError::NotImported(what, hint),
            // The label is not shown: it may be anything that stands between two dashes.
            None => ImportError::NotImported(
                "a PEM block of a label that slotfs does not know",
                "PRIVATE KEY, ENCRYPTED PRIVATE KEY, RSA PRIVATE KEY, EC PRIVATE KEY, PUBLIC KEY and CERTIFICATE are known",
            ),
        },
    })
}

fn count(haystack: &[u8], needle: &[u8]) -> usize {
    haystack
        .windows(needle.len())
        .filter(|window| *window == needle)
        .count()
}
