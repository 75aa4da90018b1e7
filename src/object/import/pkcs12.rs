//! PKCS#12 stores (RFC 7292): private keys and certificates under a password.
//!
//! Strict as all of import: DER, a MAC that holds, and nothing inside but keys and X.509 certificates. What is
//! encrypted must be so by PBES2; the RC2 and 3DES of older writers are refused with the way to convert them.

pub(super) mod mac;

use ::pkcs8::ObjectIdentifier;
use x509_cert::der::Tag;

use super::super::new::{self, Naming};
use super::super::pkcs11::{CKA_ID, CKA_PUBLIC_KEY_INFO};
use super::super::{Attribute, Object, template};
use super::elements::{Elements, context};
use super::error::ImportError;
use super::pbes2::{self, Work};
use super::{certificate, pkcs8, spki};
use crate::secret::SecretBytes;

const WHAT: &str = "PKCS#12 store";

/// What to do about a store of the kinds that are not read.
const CONVERT: &str = "write it anew: 'openssl pkcs12 -legacy -in FILE -noenc -out NEWFILE' and 'openssl \
     pkcs12 -export -in NEWFILE -out STORE', and destroy NEWFILE afterwards";
const LEAVE_OUT: &str =
    "write a store of keys and certificates alone with 'openssl pkcs12 -export'";

const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const ENCRYPTED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.6");
const KEY_BAG: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.1");
const SHROUDED_KEY_BAG: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.2");
const CERTIFICATE_BAG: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.3");
const X509_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.22.1");

/// Everything in a `PFX`: private keys first, then their own certificates, then the others. A key and its own
/// certificate share one `CKA_ID`: the one that is given, else the key identifier of [`spki::key_identifier`],
/// which the other certificates have in any case.
pub(super) fn objects(
    der: &[u8],
    password: &SecretBytes,
    naming: &Naming,
    mut work: Work,
) -> Result<Vec<Object>, ImportError> {
    let mut pfx = Elements::of_sequence(der, WHAT)?;
    if pfx.number()? != 3 {
        return Err(not_imported("a PKCS#12 store of another version than 3"));
    }
    let mut content = pfx.sequence()?;
    if content.oid()? != DATA {
        return Err(not_imported("a PKCS#12 store signed by a key"));
    }
    let safe = content.explicit(0, Tag::OctetString)?;
    content.end()?;
    if pfx.is_finished() {
        return Err(not_imported("a PKCS#12 store without a MAC"));
    }
    mac::verify(pfx.sequence()?, safe, password, &mut work, CONVERT)?;
    pfx.end()?;

    let mut bags = Bags {
        password,
        work,
        label: Naming {
            label: naming.label.clone(),
            id: Vec::new(),
        },
        keys: Vec::new(),
        certificates: Vec::new(),
    };
    let mut contents = Elements::of_sequence(safe, WHAT)?;
    while !contents.is_finished() {
        let mut content = contents.sequence()?;
        match content.oid()? {
            DATA => bags.read(content.explicit(0, Tag::OctetString)?)?,
            ENCRYPTED_DATA => {
                let plaintext =
                    bags.decrypt(Elements::new(content.explicit(0, Tag::Sequence)?, WHAT)?)?;
                bags.read(plaintext.bytes())?;
            }
            _ => return Err(not_imported("a PKCS#12 store encrypted to a key")),
        }
        content.end()?;
    }
    named(bags.keys, bags.certificates, &naming.id)
}

fn not_imported(what: &'static str) -> ImportError {
    ImportError::NotImported(what, CONVERT)
}

/// What was found so far.
struct Bags<'a> {
    password: &'a SecretBytes,
    work: Work,
    label: Naming,
    keys: Vec<Object>,
    certificates: Vec<Object>,
}

impl Bags<'_> {
    /// `EncryptedData` (RFC 5652 section 8).
    fn decrypt(&mut self, mut data: Elements<'_>) -> Result<SecretBytes, ImportError> {
        data.number()?;
        let mut content = data.sequence()?;
        data.end()?;
        content.oid()?;
        let algorithm = content.sequence()?;
        let implicit = Tag::ContextSpecific {
            constructed: false,
            number: x509_cert::der::TagNumber(0),
        };
        let ciphertext = content.next(implicit)?;
        content.end()?;
        pbes2::decrypt(
            algorithm,
            ciphertext,
            self.password,
            &mut self.work,
            CONVERT,
        )
    }

    /// `SafeContents`. Attributes (names, key ids) are dropped.
    fn read(&mut self, der: &[u8]) -> Result<(), ImportError> {
        let mut contents = Elements::of_sequence(der, WHAT)?;
        while !contents.is_finished() {
            let mut bag = contents.sequence()?;
            let kind = bag.oid()?;
            let mut value = Elements::new(bag.next(context(0))?, WHAT)?;
            match kind {
                KEY_BAG => self.keys.push(pkcs8::private(value.whole()?, &self.label)?),
                SHROUDED_KEY_BAG => {
                    let key =
                        pbes2::private_key(value.whole()?, self.password, &mut self.work, CONVERT)?;
                    self.keys.push(pkcs8::private(key.bytes(), &self.label)?);
                }
                CERTIFICATE_BAG => {
                    let mut certificate = value.sequence()?;
                    if certificate.oid()? != X509_CERTIFICATE {
                        return Err(ImportError::NotImported(
                            "a PKCS#12 store with a certificate that is not X.509",
                            LEAVE_OUT,
                        ));
                    }
                    let der = certificate.explicit(0, Tag::OctetString)?;
                    certificate.end()?;
                    self.certificates
                        .push(certificate::certificate(der, &self.label)?);
                }
                _ => {
                    return Err(ImportError::NotImported(
                        "a PKCS#12 store with more than keys and certificates",
                        LEAVE_OUT,
                    ));
                }
            }
            value.end()?;
            if !bag.is_finished() {
                bag.next(Tag::Set)?;
            }
            bag.end()?;
        }
        Ok(())
    }
}

/// Gives everything its `CKA_ID` and puts it in order.
fn named(
    mut keys: Vec<Object>,
    certificates: Vec<Object>,
    id: &[u8],
) -> Result<Vec<Object>, ImportError> {
    let (mut own, others): (Vec<_>, Vec<_>) = certificates
        .into_iter()
        .partition(|it| keys.iter().any(|key| same_key(key, it)));
    let mut others = others;
    let bearers = match keys.len() {
        0 => others.len(),
        keys => keys,
    };
    match bearers {
        0 => return Err(ImportError::Nothing),
        1 => {}
        several if !id.is_empty() => return Err(ImportError::SeveralForId(several)),
        _ => {}
    }
    let mut given = keys.iter_mut().chain(&mut own).collect::<Vec<_>>();
    if given.is_empty() {
        given.extend(&mut others);
        set_ids(given, id)?;
    } else {
        set_ids(given, id)?;
        set_ids(others.iter_mut().collect(), &[])?;
    }
    keys.append(&mut own);
    keys.append(&mut others);
    keys.into_iter()
        .map(|object| Ok(new::storable(object)?))
        .collect()
}

fn same_key(one: &Object, other: &Object) -> bool {
    let info = |object: &Object| object.attributes.get(&CKA_PUBLIC_KEY_INFO).cloned();
    info(one).is_some() && info(one) == info(other)
}

fn set_ids(objects: Vec<&mut Object>, id: &[u8]) -> Result<(), ImportError> {
    for object in objects {
        let id = match object.attributes.get(&CKA_PUBLIC_KEY_INFO) {
            Some(Attribute::Bytes(info)) if id.is_empty() => spki::key_identifier(info)?,
            _ => id.to_vec(),
        };
        template::put_bytes(object, CKA_ID, &id);
    }
    Ok(())
}
