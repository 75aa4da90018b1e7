//! X.509 certificates to PKCS#11 section 4.6.3.

use x509_cert::Certificate;
use x509_cert::der::{Decode, Header, Reader, Result as DerResult, SliceReader, Tag, TagNumber};
use x509_cert::time::Time;

use super::super::new::Naming;
use super::super::pkcs11::{
    CKA_CERTIFICATE_CATEGORY, CKA_CERTIFICATE_TYPE, CKA_END_DATE, CKA_ISSUER, CKA_PUBLIC_KEY_INFO,
    CKA_SERIAL_NUMBER, CKA_START_DATE, CKA_SUBJECT, CKA_VALUE, CKC_X_509,
};
use super::super::template;
use super::super::{Attribute, Date, Object};
use super::error::ImportError;

const WHAT: &str = "certificate";

/// `CK_CERTIFICATE_CATEGORY_UNSPECIFIED`: what a CA's certificate is good for is for its user to say.
const CATEGORY_UNSPECIFIED: u64 = 0;

/// A certificate object. Its signature is not checked: a slot holds certificates, it does not trust them.
pub(super) fn certificate(der: &[u8], naming: &Naming) -> Result<Object, ImportError> {
    let parsed = Certificate::from_der(der).map_err(ImportError::der(WHAT))?;
    let parts = parts(der).map_err(ImportError::der(WHAT))?;
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
    let validity = parsed.tbs_certificate().validity();
    for (number, time) in [
        (CKA_START_DATE, validity.not_before),
        (CKA_END_DATE, validity.not_after),
    ] {
        object
            .attributes
            .insert(number, Attribute::Date(date(time)));
    }
    Ok(object)
}

fn date(time: Time) -> Date {
    let time = time.to_date_time();
    Date {
        year: time.year(),
        month: time.month(),
        day: time.day(),
    }
}

/// Elements of `TBSCertificate` as they stand in the file.
struct Parts<'a> {
    serial: &'a [u8],
    issuer: &'a [u8],
    subject: &'a [u8],
    public_key: &'a [u8],
}

/// Cut out rather than encoded anew from what was parsed: names are matched byte by byte, and their
/// string types are the issuer's choice.
fn parts(der: &[u8]) -> DerResult<Parts<'_>> {
    let mut outer = SliceReader::new(der)?;
    Header::decode(&mut outer)?;
    let tbs = Header::decode(&mut outer)?;
    let mut tbs = SliceReader::new(outer.read_slice(tbs.length())?)?;
    let version = Tag::ContextSpecific {
        constructed: true,
        number: TagNumber(0),
    };
    if Tag::peek(&tbs)? == version {
        tbs.tlv_bytes()?;
    }
    let serial = tbs.tlv_bytes()?;
    let _signature = tbs.tlv_bytes()?;
    let issuer = tbs.tlv_bytes()?;
    let _validity = tbs.tlv_bytes()?;
    let subject = tbs.tlv_bytes()?;
    let public_key = tbs.tlv_bytes()?;
    Ok(Parts {
        serial,
        issuer,
        subject,
        public_key,
    })
}
