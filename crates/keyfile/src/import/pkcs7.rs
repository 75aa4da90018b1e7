//! Certificates in PKCS#7 files (`SignedData`, RFC 5652 section 5.1): chains as Windows and `openssl crl2pkcs7` write
//! them. Signatures are ignored.

use pkcs8::ObjectIdentifier;
use x509_cert::der::Tag;

use super::elements::{Elements, context, oid};
use super::error::ImportError;

const WHAT: &str = "PKCS#7 file";
const SIGNED_DATA: ObjectIdentifier = oid("1.2.840.113549.1.7.2");

/// The DER of the certificates, in the order of the file.
pub(super) fn certificates(der: &[u8]) -> Result<Vec<&[u8]>, ImportError> {
    let mut info = Elements::of_sequence(der, WHAT)?;
    if info.oid()? != SIGNED_DATA {
        return Err(ImportError::Unsupported(
            "a PKCS#7 file that is not signed data",
            "extract the certificates with the program that made it",
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
        // The other, obsolete kinds of certificates have other tags, and are refused.
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
