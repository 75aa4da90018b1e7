//! Wycheproof's vectors through a module: every valid one accepted with the result it has, every invalid one refused. What is
//! called acceptable may be either, but whatever comes out of it must be right.

mod agreement;
mod rsa;
mod signatures;
mod symmetric;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::sys::*;
use crate::{Mechanism, Module, Param, Session, Template, ck, flag};

/// The families, in the order in which they are told.
pub const FAMILIES: &[(&str, fn(&mut Run<'_>))] = &[
    ("ECDSA", signatures::ecdsa),
    ("EdDSA", signatures::eddsa),
    ("RSA PKCS#1 signatures", rsa::signatures),
    ("RSA PSS", rsa::pss),
    ("RSA OAEP", rsa::oaep),
    ("RSA PKCS#1 decryption", rsa::decryption),
    ("ECDH", agreement::ecdh),
    ("X25519", agreement::x25519),
    ("AES-GCM", symmetric::gcm),
    ("AES-CCM", symmetric::ccm),
    ("AES-CBC with padding", symmetric::cbc),
    ("AES-CMAC", symmetric::cmac),
    ("HMAC", symmetric::hmac),
    ("AES key wrap", symmetric::key_wrap),
    ("AES key wrap with padding", symmetric::key_wrap_padded),
    ("HKDF", agreement::hkdf),
    ("ML-DSA", signatures::ml_dsa),
    ("ML-KEM", agreement::ml_kem),
];

/// What one vector says.
#[derive(Clone, Copy, PartialEq)]
enum Expected {
    Valid,
    Invalid,
    Either,
}

/// What the module made of one vector.
enum Outcome {
    /// It took it, and whether the result was right.
    Accepted(bool),
    Refused(CK_RV),
}

impl Outcome {
    /// Of a verification, which has no other result.
    fn of(result: Result<(), CK_RV>) -> Self {
        result.map_or_else(Self::Refused, |()| Self::Accepted(true))
    }
}

/// One family on one module, and its counts.
pub struct Run<'a> {
    folder: &'a Path,
    module: Module,
    slot: CK_SLOT_ID,
    session: &'a Session,
    pub accepted: usize,
    pub refused: usize,
    pub either: usize,
    /// Vectors that could not be put to the module, by the reason.
    pub skipped: BTreeMap<String, usize>,
    pub wrong: Vec<String>,
}

/// A group of tests, or a test, of a file.
type Fields = Value;

fn text<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields[name].as_str().unwrap_or_default()
}

fn bytes(fields: &Fields, name: &str) -> Vec<u8> {
    hex(text(fields, name))
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .filter_map(|i| u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok())
        .collect()
}

/// A big-endian number without its zeros in front.
fn integer(fields: &Fields, name: &str) -> Vec<u8> {
    let bytes = bytes(fields, name);
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes[zeros.min(bytes.len().saturating_sub(1))..].to_vec()
}

/// A number filled with zeros in front to `size` bytes; a larger one as it is.
fn padded(number: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size.saturating_sub(number.len())];
    bytes.extend_from_slice(number);
    bytes
}

impl<'a> Run<'a> {
    pub fn new(folder: &'a Path, module: Module, slot: CK_SLOT_ID, session: &'a Session) -> Self {
        Self {
            folder,
            module,
            slot,
            session,
            accepted: 0,
            refused: 0,
            either: 0,
            skipped: BTreeMap::new(),
            wrong: Vec::new(),
        }
    }

    fn skip(&mut self, why: &str, count: usize) {
        *self.skipped.entry(why.to_owned()).or_default() += count;
    }

    /// Whether the module has a mechanism; if not, the file's vectors are skipped and told.
    fn has(&mut self, mechanism: CK_MECHANISM_TYPE, groups: &[Fields]) -> bool {
        let has = self.module.has(self.slot, mechanism);
        if !has {
            self.skip(&format!("no mechanism {mechanism:#06x}"), count(groups));
        }
        has
    }

    /// The groups of each file whose name begins and ends so.
    fn files(&self, begin: &str, end: &str) -> Vec<(String, Vec<Fields>)> {
        let mut names: Vec<String> = std::fs::read_dir(self.folder)
            .expect("the folder of the vectors")
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with(begin) && name.ends_with(&format!("{end}_test.json")))
            .collect();
        names.sort();
        names
            .into_iter()
            .map(|name| {
                let text = std::fs::read_to_string(self.folder.join(&name)).expect("a file");
                let mut file: Value = serde_json::from_str(&text).expect("JSON");
                let groups = file["testGroups"].as_array_mut().expect("groups");
                (name, std::mem::take(groups))
            })
            .collect()
    }

    fn create(&self, template: Template) -> Result<CK_OBJECT_HANDLE, CK_RV> {
        let mut session: Template = vec![(CKA_TOKEN, flag(false))];
        session.extend(template);
        self.session.create(&session)
    }

    /// A session object for secrets that can be read back.
    fn secret(
        &self,
        kind: CK_KEY_TYPE,
        value: &[u8],
        uses: &[CK_ATTRIBUTE_TYPE],
    ) -> Result<CK_OBJECT_HANDLE, CK_RV> {
        let mut template = vec![
            (CKA_CLASS, ck(CKO_SECRET_KEY)),
            (CKA_KEY_TYPE, ck(kind)),
            (CKA_SENSITIVE, flag(false)),
            (CKA_EXTRACTABLE, flag(true)),
            (CKA_VALUE, value.to_vec()),
        ];
        template.extend(uses.iter().map(|usage| (*usage, flag(true))));
        self.create(template)
    }

    /// Counts what the module made of one vector.
    fn judge(&mut self, file: &str, test: &Fields, outcome: Outcome) {
        let expected = match text(test, "result") {
            "valid" => Expected::Valid,
            "acceptable" => Expected::Either,
            _ => Expected::Invalid,
        };
        let number = &test["tcId"];
        let comment = text(test, "comment");
        match (expected, outcome) {
            (Expected::Valid, Outcome::Accepted(true)) => self.accepted += 1,
            (Expected::Invalid, Outcome::Refused(_)) => self.refused += 1,
            (Expected::Either, Outcome::Accepted(true) | Outcome::Refused(_)) => self.either += 1,
            (Expected::Valid | Expected::Either, Outcome::Accepted(false)) => {
                self.wrong
                    .push(format!("{file} {number}: another result ({comment})"));
            }
            (Expected::Invalid, Outcome::Accepted(_)) => {
                self.wrong.push(format!(
                    "{file} {number}: accepted ({comment} {})",
                    test["flags"]
                ));
            }
            (Expected::Valid, Outcome::Refused(rv)) => {
                self.wrong
                    .push(format!("{file} {number}: refused, {rv:#x} ({comment})"));
            }
        }
    }
}

fn count(groups: &[Fields]) -> usize {
    groups.iter().map(|group| tests(group).len()).sum()
}

fn tests(group: &Fields) -> &[Fields] {
    group["tests"].as_array().map_or(&[], Vec::as_slice)
}

/// What a hash is called in PKCS#11: itself, its MGF1, and where it has them the mechanisms of ECDSA, RSA and HMAC with it.
struct Hash {
    name: &'static str,
    hash: u64,
    mgf: u64,
    ecdsa: u64,
    rsa: u64,
    pss: u64,
    hmac: u64,
    hmac_general: u64,
}

const HASHES: &[Hash] = &[
    Hash {
        name: "SHA-1",
        hash: CKM_SHA_1,
        mgf: CKG_MGF1_SHA1,
        ecdsa: CKM_ECDSA_SHA1,
        rsa: CKM_SHA1_RSA_PKCS,
        pss: CKM_SHA1_RSA_PKCS_PSS,
        hmac: CKM_SHA_1_HMAC,
        hmac_general: CKM_SHA_1_HMAC_GENERAL,
    },
    Hash {
        name: "SHA-224",
        hash: CKM_SHA224,
        mgf: CKG_MGF1_SHA224,
        ecdsa: CKM_ECDSA_SHA224,
        rsa: CKM_SHA224_RSA_PKCS,
        pss: CKM_SHA224_RSA_PKCS_PSS,
        hmac: CKM_SHA224_HMAC,
        hmac_general: CKM_SHA224_HMAC_GENERAL,
    },
    Hash {
        name: "SHA-256",
        hash: CKM_SHA256,
        mgf: CKG_MGF1_SHA256,
        ecdsa: CKM_ECDSA_SHA256,
        rsa: CKM_SHA256_RSA_PKCS,
        pss: CKM_SHA256_RSA_PKCS_PSS,
        hmac: CKM_SHA256_HMAC,
        hmac_general: CKM_SHA256_HMAC_GENERAL,
    },
    Hash {
        name: "SHA-384",
        hash: CKM_SHA384,
        mgf: CKG_MGF1_SHA384,
        ecdsa: CKM_ECDSA_SHA384,
        rsa: CKM_SHA384_RSA_PKCS,
        pss: CKM_SHA384_RSA_PKCS_PSS,
        hmac: CKM_SHA384_HMAC,
        hmac_general: CKM_SHA384_HMAC_GENERAL,
    },
    Hash {
        name: "SHA-512",
        hash: CKM_SHA512,
        mgf: CKG_MGF1_SHA512,
        ecdsa: CKM_ECDSA_SHA512,
        rsa: CKM_SHA512_RSA_PKCS,
        pss: CKM_SHA512_RSA_PKCS_PSS,
        hmac: CKM_SHA512_HMAC,
        hmac_general: CKM_SHA512_HMAC_GENERAL,
    },
    Hash {
        name: "SHA3-224",
        hash: CKM_SHA3_224,
        mgf: CKG_MGF1_SHA3_224,
        ecdsa: CKM_ECDSA_SHA3_224,
        rsa: CKM_SHA3_224_RSA_PKCS,
        pss: CKM_SHA3_224_RSA_PKCS_PSS,
        hmac: CKM_SHA3_224_HMAC,
        hmac_general: CKM_SHA3_224_HMAC_GENERAL,
    },
    Hash {
        name: "SHA3-256",
        hash: CKM_SHA3_256,
        mgf: CKG_MGF1_SHA3_256,
        ecdsa: CKM_ECDSA_SHA3_256,
        rsa: CKM_SHA3_256_RSA_PKCS,
        pss: CKM_SHA3_256_RSA_PKCS_PSS,
        hmac: CKM_SHA3_256_HMAC,
        hmac_general: CKM_SHA3_256_HMAC_GENERAL,
    },
    Hash {
        name: "SHA3-384",
        hash: CKM_SHA3_384,
        mgf: CKG_MGF1_SHA3_384,
        ecdsa: CKM_ECDSA_SHA3_384,
        rsa: CKM_SHA3_384_RSA_PKCS,
        pss: CKM_SHA3_384_RSA_PKCS_PSS,
        hmac: CKM_SHA3_384_HMAC,
        hmac_general: CKM_SHA3_384_HMAC_GENERAL,
    },
    Hash {
        name: "SHA3-512",
        hash: CKM_SHA3_512,
        mgf: CKG_MGF1_SHA3_512,
        ecdsa: CKM_ECDSA_SHA3_512,
        rsa: CKM_SHA3_512_RSA_PKCS,
        pss: CKM_SHA3_512_RSA_PKCS_PSS,
        hmac: CKM_SHA3_512_HMAC,
        hmac_general: CKM_SHA3_512_HMAC_GENERAL,
    },
];

fn hash(name: &str) -> Option<&'static Hash> {
    HASHES.iter().find(|hash| hash.name == name)
}

/// The name of a curve's parameters, DER.
fn curve(name: &str) -> Option<(&'static [u8], usize)> {
    Some(match name {
        "secp256r1" => (&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7], 32),
        "secp384r1" => (&[6, 5, 0x2b, 0x81, 4, 0, 0x22], 48),
        "secp521r1" => (&[6, 5, 0x2b, 0x81, 4, 0, 0x23], 66),
        "secp256k1" => (&[6, 5, 0x2b, 0x81, 4, 0, 0x0a], 32),
        _ => return None,
    })
}

/// An OCTET STRING.
fn octets(bytes: &[u8]) -> Vec<u8> {
    let mut der = match bytes.len() {
        length @ 0..0x80 => vec![4, length as u8],
        length => vec![4, 0x81, length as u8],
    };
    der.extend_from_slice(bytes);
    der
}

fn mechanism(number: u64, param: Param) -> Mechanism {
    Mechanism::new(number, param)
}
