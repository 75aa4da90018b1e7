//! PKCS#12 stores (RFC 7292): private keys and certificates under a password.
//!
//! The MAC must be present and right. Entries of other or unsupported kinds are left out and named. Netscape's
//! successors write BER: it is turned into DER before it is read, except the parts that a MAC or a signature covers.

pub(super) mod kdf;
mod mac;

use ::pkcs8::ObjectIdentifier;
use x509_cert::der::{Tag, TagNumber};

use super::elements::{Elements, context, oid};
use super::error::{EXTRACT, Fault, ImportError};
use super::password::Password;
use super::work::Work;
use super::{Imported, LeftOut, ber, certificate, ids, pbe, pkcs8};
use slotfs_object::Object;
use slotfs_object::new::{self, Naming};
use slotfs_object::pkcs11::CKO_CERTIFICATE;
use slotfs_object::secret::SecretBytes;

const WHAT: &str = "PKCS#12 store";

/// Nested stores: a limit that no writer reaches.
const MAX_DEPTH: usize = 4;

const DATA: ObjectIdentifier = oid("1.2.840.113549.1.7.1");
const ENCRYPTED_DATA: ObjectIdentifier = oid("1.2.840.113549.1.7.6");
const KEY_BAG: ObjectIdentifier = oid("1.2.840.113549.1.12.10.1.1");
const SHROUDED_KEY_BAG: ObjectIdentifier = oid("1.2.840.113549.1.12.10.1.2");
const CERTIFICATE_BAG: ObjectIdentifier = oid("1.2.840.113549.1.12.10.1.3");
const REVOCATIONS_BAG: ObjectIdentifier = oid("1.2.840.113549.1.12.10.1.4");
const SECRET_BAG: ObjectIdentifier = oid("1.2.840.113549.1.12.10.1.5");
const SAFE_CONTENTS_BAG: ObjectIdentifier = oid("1.2.840.113549.1.12.10.1.6");
const X509_CERTIFICATE: ObjectIdentifier = oid("1.2.840.113549.1.9.22.1");

/// A store that another program must write in another way.
fn not_read(what: &'static str) -> ImportError {
    ImportError::Unsupported(
        what,
        "write it again under a password with the program that made it",
    )
}

/// Everything in a `PFX`: private keys, then their own certificates, then other certificates; and the entries that are
/// left out. A key and its own certificate share one `CKA_ID`, see [`ids::assign`].
pub(super) fn objects(
    der: &[u8],
    mut password: Password<'_>,
    naming: &Naming,
    work: &mut Work,
) -> Result<Imported, ImportError> {
    let mut pfx = Elements::of_sequence(der, WHAT)?;
    if pfx.number()? != 3 {
        return Err(not_read("a PKCS#12 store of another version than 3"));
    }
    let mut content = pfx.sequence()?;
    if content.oid()? != DATA {
        return Err(not_read("a PKCS#12 store signed with a key"));
    }
    let safe = content.explicit(0, Tag::OctetString)?;
    content.end()?;
    if pfx.is_finished() {
        let what = "a PKCS#12 store without a MAC";
        return Err(ImportError::Unsupported(what, EXTRACT));
    }
    mac::verify(pfx.sequence()?, safe, &mut password, work)?;
    pfx.end()?;

    let mut bags = Bags {
        password,
        work,
        label: naming.without_id(),
        seen: 0,
        keys: Vec::new(),
        certificates: Vec::new(),
        left_out: Vec::new(),
    };
    let safe = canonical(safe);
    let mut contents = Elements::of_sequence(safe.bytes(), WHAT)?;
    while !contents.is_finished() {
        let mut content = contents.sequence()?;
        let plain = match content.oid()? {
            DATA => canonical(content.explicit(0, Tag::OctetString)?),
            ENCRYPTED_DATA => {
                bags.decrypt(Elements::new(content.explicit(0, Tag::Sequence)?, WHAT)?)?
            }
            _ => return Err(not_read("a PKCS#12 store encrypted to a key")),
        };
        bags.read(plain.bytes(), MAX_DEPTH)?;
        content.end()?;
    }
    bags.imported(&naming.id)
}

/// The DER of BER. Anything else stays, and its reader refuses it.
fn canonical(ber: &[u8]) -> SecretBytes {
    ber::to_der(ber).unwrap_or_else(|| SecretBytes::from(ber))
}

/// What was found so far.
struct Bags<'a> {
    password: Password<'a>,
    work: &'a mut Work,
    label: Naming,
    /// Number of entries, of any kind.
    seen: usize,
    keys: Vec<Object>,
    certificates: Vec<Object>,
    left_out: Vec<LeftOut>,
}

impl Bags<'_> {
    /// Decrypts `EncryptedData` (RFC 5652 section 8).
    fn decrypt(&mut self, mut data: Elements<'_>) -> Result<SecretBytes, ImportError> {
        data.number()?;
        let mut content = data.sequence()?;
        if !data.is_finished() {
            // Attributes, which the standard allows and no known program writes.
            data.next(context(1))?;
        }
        data.end()?;
        content.oid()?;
        let algorithm = content.sequence()?;
        let joined;
        let ciphertext = if content.peek() == Some(context(0)) {
            // In BER the string may be in parts, and its implicit tag hides that it is a string.
            joined = ber::octets(content.next(context(0))?)
                .ok_or(ImportError::fault(WHAT, Fault::Structure))?;
            joined.bytes()
        } else {
            content.next(Tag::ContextSpecific {
                constructed: false,
                number: TagNumber(0),
            })?
        };
        content.end()?;
        pbe::decrypt(algorithm, ciphertext, &self.password, self.work)
    }

    /// Reads `SafeContents`, without attributes (names, key ids).
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
                // The user can correct these, and then import the whole store.
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
        let unsupported = |what, hint| Err(ImportError::Unsupported(what, hint));
        let mut value = Elements::new(value, WHAT)?;
        let object = match kind {
            KEY_BAG => pkcs8::private(value.whole()?, &self.label)?,
            SHROUDED_KEY_BAG => {
                let key = pbe::private_key(value.whole()?, &self.password, self.work)?;
                pkcs8::private(key.bytes(), &self.label)?
            }
            CERTIFICATE_BAG => {
                let mut certificate = value.sequence()?;
                if certificate.oid()? != X509_CERTIFICATE {
                    return unsupported(
                        "a certificate that is not X.509",
                        "slots hold only X.509 certificates",
                    );
                }
                let der = certificate.explicit(0, Tag::OctetString)?;
                certificate.end()?;
                certificate::certificate(der, &self.label)?
            }
            SECRET_BAG => {
                return unsupported(
                    "a secret key",
                    "write its value to a file and import that with -type aes or generic",
                );
            }
            REVOCATIONS_BAG => {
                return unsupported(
                    "a certificate revocation list",
                    "slots hold certificates, not revocation lists",
                );
            }
            _ => {
                return unsupported(
                    "an entry of an unknown type",
                    "slots hold keys and certificates",
                );
            }
        };
        value.end()?;
        Ok(new::storable(object)?)
    }

    /// All objects with their `CKA_ID`, in order.
    fn imported(self, id: &[u8]) -> Result<Imported, ImportError> {
        let (own, others): (Vec<_>, Vec<_>) = self.certificates.into_iter().partition(|it| {
            let of = ids::public_key(it);
            self.keys.iter().any(|key| ids::public_key(key) == of)
        });
        // Moved, not copied: there are private keys among them.
        let mut objects: Vec<Object> = [self.keys, own, others].into_iter().flatten().collect();
        if objects.is_empty() {
            return Err(match self.left_out.is_empty() {
                true => ImportError::EMPTY_STORE,
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
