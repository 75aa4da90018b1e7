//! X.509 certificates to PKCS#11 section 4.6.3.
//!
//! Read element by element and not by a crate's types, which refuse what certificates in use have: dates before 1970,
//! serial numbers of more than 20 bytes or below zero, sets in another order. Of RFC 5280 only what an attribute is
//! made of is asked for; what a certificate is good for is for whoever trusts it to say.

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
use slotfs_object::{Attribute, Date, Object};

const WHAT: &str = "certificate";

/// `CK_CERTIFICATE_CATEGORY_UNSPECIFIED`: what a CA's certificate is good for is for its user to say.
const CATEGORY_UNSPECIFIED: u64 = 0;

/// A certificate object. Its signature is not checked: a slot holds certificates, it does not trust them.
pub(super) fn certificate(der: &[u8], naming: &Naming) -> Result<Object, ImportError> {
    let parts = parts(der)?;
    let mut object = template::certificate(naming)?;
    template::put_number(&mut object, CKA_CERTIFICATE_TYPE, CKC_X_509);
    template::put_number(&mut object, CKA_CERTIFICATE_CATEGORY, CATEGORY_UNSPECIFIED);
    for (number, value) in [
        (CKA_VALUE, der),
        (CKA_SERIAL_NUMBER, parts.serial),
        (CKA_ISSUER, parts.issuer),
        (CKA_SUBJECT, parts.subject),
        (CKA_PUBLIC_KEY_INFO, parts.public_key),
    ] {
        template::put_bytes(&mut object, number, value);
    }
    for (number, (tag, text)) in [
        (CKA_START_DATE, parts.not_before),
        (CKA_END_DATE, parts.not_after),
    ] {
        let date: Date = date::of_time(tag, text).ok_or(ImportError::CertificateDate)?;
        object.attributes.insert(number, Attribute::Date(date));
    }
    Ok(object)
}

/// Whether DER has a certificate's structure, whatever its dates and numbers are.
pub(super) fn is_one(der: &[u8]) -> bool {
    parts(der).is_ok()
}

/// `TBSCertificate`, which the signature covers.
pub(super) fn signed(der: &[u8]) -> Result<&[u8], ImportError> {
    Elements::of_sequence(der, WHAT)?.element(Tag::Sequence)
}

/// Elements of `TBSCertificate` as they stand in the file.
struct Parts<'a> {
    serial: &'a [u8],
    issuer: &'a [u8],
    not_before: (Tag, &'a [u8]),
    not_after: (Tag, &'a [u8]),
    subject: &'a [u8],
    public_key: &'a [u8],
}

/// Cut out rather than encoded anew from what was parsed: names are matched byte by byte, and their
/// string types are the issuer's choice.
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
            _ => return Err(fault(Fault::Value)),
        }
    }
    let serial = tbs.element(Tag::Integer)?;
    tbs.sequence()?.oid()?;
    let issuer = tbs.element(Tag::Sequence)?;
    let mut validity = tbs.sequence()?;
    let mut time = || match validity.peek() {
        Some(tag @ (Tag::UtcTime | Tag::GeneralizedTime)) => Ok((tag, validity.next(tag)?)),
        _ => Err(fault(Fault::Structure)),
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
            return Err(fault(Fault::Structure));
        }
        before = number.value();
        tbs.whole()?;
    }
    tbs.end()?;
    if !ber::is_der(der) {
        return Err(fault(Fault::NotCanonical));
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

fn fault(fault: Fault) -> ImportError {
    ImportError::Der {
        what: WHAT,
        fault,
        offset: None,
    }
}
