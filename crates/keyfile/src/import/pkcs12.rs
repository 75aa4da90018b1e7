//! PKCS#12 stores (RFC 7292): private keys and certificates under a password.
//!
//! The MAC must be there and hold. What a store also has, or has of kinds that slotfs does not, is left out by name.
//! Netscape's successors write BER: whatever is read is turned into DER first, but never what the MAC or a signature
//! covers.

pub(super) mod kdf;
pub(super) mod mac;

use ::pkcs8::ObjectIdentifier;
use x509_cert::der::{Tag, TagNumber};

use super::elements::{Elements, context};
use super::error::{Container, Fault, ImportError};
use super::password::Password;
use super::work::Work;
use super::{Imported, LeftOut, ber, certificate, ids, pbe, pkcs8};
use slotfs_object::Object;
use slotfs_object::new::{self, Naming};
use slotfs_object::pkcs11::CKO_CERTIFICATE;
use slotfs_object::secret::SecretBytes;

const WHAT: &str = "PKCS#12 store";

/// What to do about a store of the kinds that are not read.
const CONVERT: &str = "take its keys and certificates out with 'openssl pkcs12 -in FILE -aes256 -out NEWFILE' and \
     import that";
const ANEW: &str = "write it anew under a password with the program that made it";

/// Stores in stores: one is more than anybody writes.
const MAX_DEPTH: usize = 4;

const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const ENCRYPTED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.6");
const KEY_BAG: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.1");
const SHROUDED_KEY_BAG: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.2");
const CERTIFICATE_BAG: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.3");
const X509_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.22.1");

/// What else a store may hold.
const OTHER_BAGS: &[(ObjectIdentifier, &str, &str)] = &[
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.5"),
        "a secret key",
        "write its value to a file and import that with -type aes or generic",
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.4"),
        "a certificate revocation list",
        "slots hold certificates, not revocation lists",
    ),
];
const SAFE_CONTENTS_BAG: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.6");

/// Everything in a `PFX`: private keys first, then their own certificates, then the others; and what is left out. A
/// key and its own certificate share one `CKA_ID`, as [`ids::assign`] has it.
pub(super) fn objects(
    der: &[u8],
    password: Password<'_>,
    naming: &Naming,
    work: &mut Work,
) -> Result<Imported, ImportError> {
    let mut pfx = Elements::of_sequence(der, WHAT)?;
    if pfx.number()? != 3 {
        let what = "a PKCS#12 store of another version than 3";
        return Err(ImportError::NotImported(what, ANEW));
    }
    let mut content = pfx.sequence()?;
    if content.oid()? != DATA {
        let what = "a PKCS#12 store signed by a key";
        return Err(ImportError::NotImported(what, ANEW));
    }
    let safe = content.explicit(0, Tag::OctetString)?;
    content.end()?;
    if pfx.is_finished() {
        let what = "a PKCS#12 store without a MAC";
        return Err(ImportError::NotImported(what, CONVERT));
    }
    let mut password = password;
    mac::verify(pfx.sequence()?, safe, &mut password, work)?;
    pfx.end()?;

    let mut bags = Bags {
        password,
        work,
        label: Naming {
            label: naming.label.clone(),
            id: Vec::new(),
        },
        seen: 0,
        keys: Vec::new(),
        certificates: Vec::new(),
        left_out: Vec::new(),
    };
    let safe = canonical(safe);
    let mut contents = Elements::of_sequence(safe.bytes(), WHAT)?;
    while !contents.is_finished() {
        let mut content = contents.sequence()?;
        match content.oid()? {
            DATA => {
                let plain = canonical(content.explicit(0, Tag::OctetString)?);
                bags.read(plain.bytes(), MAX_DEPTH)?;
            }
            ENCRYPTED_DATA => {
                let plaintext =
                    bags.decrypt(Elements::new(content.explicit(0, Tag::Sequence)?, WHAT)?)?;
                bags.read(plaintext.bytes(), MAX_DEPTH)?;
            }
            _ => {
                let what = "a PKCS#12 store encrypted to a key";
                return Err(ImportError::NotImported(what, ANEW));
            }
        }
        content.end()?;
    }
    bags.imported(&naming.id)
}

/// As DER; what is none of either is left for its reader to refuse.
fn canonical(ber: &[u8]) -> SecretBytes {
    ber::to_der(ber).unwrap_or_else(|| SecretBytes::from(ber))
}

/// What was found so far.
struct Bags<'a> {
    password: Password<'a>,
    work: &'a mut Work,
    label: Naming,
    /// Entries, of whatever kind.
    seen: usize,
    keys: Vec<Object>,
    certificates: Vec<Object>,
    left_out: Vec<LeftOut>,
}

impl Bags<'_> {
    /// `EncryptedData` (RFC 5652 section 8).
    fn decrypt(&mut self, mut data: Elements<'_>) -> Result<SecretBytes, ImportError> {
        data.number()?;
        let mut content = data.sequence()?;
        if !data.is_finished() {
            // Attributes, which nobody writes.
            data.next(context(1))?;
        }
        data.end()?;
        content.oid()?;
        let algorithm = content.sequence()?;
        let joined;
        let ciphertext = if content.peek() == Some(context(0)) {
            // In BER the string may be in parts, and its tag does not say that it is a string.
            joined = ber::octets(content.next(context(0))?).ok_or(ImportError::Der {
                what: WHAT,
                fault: Fault::Structure,
                offset: None,
            })?;
            joined.bytes()
        } else {
            content.next(Tag::ContextSpecific {
                constructed: false,
                number: TagNumber(0),
            })?
        };
        content.end()?;
        let container = Container::Pkcs12;
        pbe::decrypt(algorithm, ciphertext, &self.password, self.work, container)
    }

    /// `SafeContents`. Attributes (names, key ids) are dropped.
    fn read(&mut self, der: &[u8], depth: usize) -> Result<(), ImportError> {
        let mut contents = Elements::of_sequence(der, WHAT)?;
        while !contents.is_finished() {
            let mut bag = contents.sequence()?;
            let kind = bag.oid()?;
            let value = bag.next(context(0))?;
            if !bag.is_finished() {
                bag.next(Tag::Set)?;
            }
            bag.end()?;
            if kind == SAFE_CONTENTS_BAG && depth > 0 {
                self.read(value, depth - 1)?;
                continue;
            }
            self.seen += 1;
            match self.object(kind, value) {
                Ok(object) if object.class == CKO_CERTIFICATE => self.certificates.push(object),
                Ok(object) => self.keys.push(object),
                // Something is to be done about these, and then all can be imported.
                Err(
                    error @ (ImportError::Password
                    | ImportError::PasswordText
                    | ImportError::Work(..)
                    | ImportError::Cipher(..)),
                ) => return Err(error),
                Err(why) => self.left_out.push(LeftOut {
                    entry: self.seen,
                    why,
                }),
            }
        }
        Ok(())
    }

    /// The object in a bag of this kind.
    fn object(&mut self, kind: ObjectIdentifier, value: &[u8]) -> Result<Object, ImportError> {
        let mut value = Elements::new(value, WHAT)?;
        let object = match kind {
            KEY_BAG => pkcs8::private(value.whole()?, &self.label)?,
            SHROUDED_KEY_BAG => {
                let key =
                    pbe::private_key(value.whole()?, &self.password, self.work, Container::Pkcs12)?;
                pkcs8::private(key.bytes(), &self.label)?
            }
            CERTIFICATE_BAG => {
                let mut certificate = value.sequence()?;
                if certificate.oid()? != X509_CERTIFICATE {
                    return Err(ImportError::Entry(
                        "a certificate that is not X.509",
                        "slots hold X.509 certificates alone",
                    ));
                }
                let der = certificate.explicit(0, Tag::OctetString)?;
                certificate.end()?;
                certificate::certificate(der, &self.label)?
            }
            _ => {
                let known = OTHER_BAGS.iter().find(|row| row.0 == kind);
                let (what, hint) = known.map_or(
                    (
                        "of a kind that slotfs does not know",
                        "slots hold keys and certificates",
                    ),
                    |row| (row.1, row.2),
                );
                return Err(ImportError::Entry(what, hint));
            }
        };
        value.end()?;
        Ok(new::storable(object)?)
    }

    /// All of it with its `CKA_ID`, in order.
    fn imported(self, id: &[u8]) -> Result<Imported, ImportError> {
        let (own, others): (Vec<_>, Vec<_>) = self.certificates.into_iter().partition(|it| {
            let of = ids::info(it);
            self.keys.iter().any(|key| ids::info(key) == of)
        });
        let mut objects = [self.keys, own, others]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>();
        if objects.is_empty() {
            return Err(match self.left_out.is_empty() {
                true => ImportError::Nothing,
                false => ImportError::NothingElse(self.left_out),
            });
        }
        ids::assign(&mut objects, id)?;
        Ok(Imported {
            objects,
            left_out: self.left_out,
        })
    }
}
