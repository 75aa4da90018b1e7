//! X.509 certificates to PKCS#11 section 4.6.3.
//!
//! Read element by element, because the types of the x509-cert crate refuse certificates that are in use: with dates
//! before 1970, serial numbers that are negative or longer than 20 bytes, or sets in another order. The parts that
//! become attributes must follow RFC 5280; the rest is for the programs that trust the certificate to check.

use x509_cert::der::Decode;
use x509_cert::der::Tag;
use x509_cert::der::asn1::BitStringRef;
use x509_cert::spki::SubjectPublicKeyInfoRef;

use super::elements::{Elements, context};
use super::error::{Fault, ImportError};
use super::{ber, date};
use slotfs_object::new::Naming;
use slotfs_object::pkcs11::{
    CKA_CERTIFICATE_CATEGORY, CKA_CERTIFICATE_TYPE, CKA_END_DATE, CKA_ISSUER, CKA_PUBLIC_KEY_INFO,
    CKA_SERIAL_NUMBER, CKA_START_DATE, CKA_SUBJECT, CKA_VALUE, CKC_X_509,
};
use slotfs_object::template;
use slotfs_object::{Attribute, Object};

const WHAT: &str = "certificate";

/// `CK_CERTIFICATE_CATEGORY_UNSPECIFIED`, also for certificates of a CA.
const CATEGORY_UNSPECIFIED: u64 = 0;

/// A certificate object. Its signature is not checked: a slot stores certificates and does not trust them.
pub(super) fn certificate(der: &[u8], naming: &Naming) -> Result<Object, ImportError> {
    let parts = parts(der)?;
    let mut object = template::certificate(naming)?;
    object.set(CKA_CERTIFICATE_TYPE, Attribute::Number(CKC_X_509));
    let category = Attribute::Number(CATEGORY_UNSPECIFIED);
    object.set(CKA_CERTIFICATE_CATEGORY, category);
    for (number, value) in [
        (CKA_VALUE, der),
        (CKA_SERIAL_NUMBER, parts.serial),
        (CKA_ISSUER, parts.issuer),
        (CKA_SUBJECT, parts.subject),
        (CKA_PUBLIC_KEY_INFO, parts.public_key),
    ] {
        object.set(number, Attribute::Bytes(value.to_vec()));
    }
    for (number, (tag, text)) in [
        (CKA_START_DATE, parts.not_before),
        (CKA_END_DATE, parts.not_after),
    ] {
        let date = date::of_time(tag, text).ok_or(ImportError::CERTIFICATE_DATE)?;
        object.set(number, Attribute::Date(date));
    }
    Ok(object)
}

/// Whether DER has the structure of a certificate, with any dates and numbers.
pub(super) fn is_one(der: &[u8]) -> bool {
    parts(der).is_ok()
}

/// `TBSCertificate`, the part that the signature covers.
pub(super) fn signed(der: &[u8]) -> Result<&[u8], ImportError> {
    Elements::of_sequence(der, WHAT)?.element(Tag::Sequence)
}

/// Elements of `TBSCertificate`, as in the file.
struct Parts<'a> {
    serial: &'a [u8],
    issuer: &'a [u8],
    not_before: (Tag, &'a [u8]),
    not_after: (Tag, &'a [u8]),
    subject: &'a [u8],
    public_key: &'a [u8],
}

/// Cuts the elements out instead of encoding them again: names are compared byte by byte, and the issuer chooses the
/// string types in them.
fn parts(der: &[u8]) -> Result<Parts<'_>, ImportError> {
    let mut outer = Elements::of_sequence(der, WHAT)?;
    let mut tbs = outer.sequence()?;
    outer.sequence()?.oid()?;
    BitStringRef::from_der(outer.whole()?).map_err(ImportError::der(WHAT))?;
    outer.end()?;
    if tbs.peek() == Some(context(0)) {
        // Versions 1 to 3 are 0 to 2.
        match tbs.explicit(0, Tag::Integer)? {
            [0..=2] => {}
            _ => return Err(ImportError::fault(WHAT, Fault::Value)),
        }
    }
    let serial = tbs.element(Tag::Integer)?;
    tbs.sequence()?.oid()?;
    let issuer = tbs.element(Tag::Sequence)?;
    let mut validity = tbs.sequence()?;
    let mut time = || match validity.peek() {
        Some(tag @ (Tag::UtcTime | Tag::GeneralizedTime)) => Ok((tag, validity.next(tag)?)),
        _ => Err(ImportError::fault(WHAT, Fault::Structure)),
    };
    let (not_before, not_after) = (time()?, time()?);
    validity.end()?;
    let subject = tbs.element(Tag::Sequence)?;
    let public_key = tbs.element(Tag::Sequence)?;
    SubjectPublicKeyInfoRef::from_der(public_key).map_err(ImportError::der(WHAT))?;
    // Unique ids and extensions.
    let mut before = 0;
    while let Some(Tag::ContextSpecific { number, .. }) = tbs.peek() {
        if !(before + 1..=3).contains(&number.value()) {
            return Err(ImportError::fault(WHAT, Fault::Structure));
        }
        before = number.value();
        tbs.whole()?;
    }
    tbs.end()?;
    if !ber::is_der(der) {
        return Err(ImportError::fault(WHAT, Fault::NotCanonical));
    }
    Ok(Parts {
        serial,
        issuer,
        not_before,
        not_after,
        subject,
        public_key,
    })
}
