//! Certificates in PKCS#7 files (`SignedData`, RFC 5652 section 5.1): chains as Windows and `openssl crl2pkcs7` write
//! them. A signature in one is not looked at.

use pkcs8::ObjectIdentifier;
use x509_cert::der::Tag;

use super::elements::{Elements, context};
use super::error::ImportError;

const WHAT: &str = "PKCS#7 file";
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");

/// Whether DER has the structure of a file that can hold certificates.
pub(super) fn is_one(der: &[u8]) -> bool {
    certificates(der).is_ok()
}

/// The DER of the certificates, in the order in which they stand there.
pub(super) fn certificates(der: &[u8]) -> Result<Vec<&[u8]>, ImportError> {
    let mut info = Elements::of_sequence(der, WHAT)?;
    if info.oid()? != SIGNED_DATA {
        return Err(ImportError::NotImported(
            "a PKCS#7 file that is not signed data",
            "take the certificates out with the program that made it",
        ));
    }
    let mut inside = Elements::new(info.next(context(0))?, WHAT)?;
    info.end()?;
    let mut signed = inside.sequence()?;
    inside.end()?;
    signed.number()?;
    signed.next(Tag::Set)?;
    signed.sequence()?;
    let mut certificates = Vec::new();
    if signed.peek() == Some(context(0)) {
        let mut set = Elements::new(signed.next(context(0))?, WHAT)?;
        // Other kinds of certificates have tags of their own; nobody writes them.
        while !set.is_finished() {
            certificates.push(set.element(Tag::Sequence)?);
        }
    }
    if signed.peek() == Some(context(1)) {
        signed.next(context(1))?;
    }
    signed.next(Tag::Set)?;
    signed.end()?;
    Ok(certificates)
}
