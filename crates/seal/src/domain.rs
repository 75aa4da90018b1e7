//! Cloning domains: the secret two slots must share, from a string or a key file (docs/format.md, "Domain keys").

use data_encoding::BASE32_NOPAD;
use pem_rfc7468::LineEnding;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::credential::kdf;
use slotfs_object::partition::DomainKind;
use slotfs_object::sealed::KdfParams;
use slotfs_object::secret::{Key, SecretBytes};

/// Label of a domain key file's PEM block.
const PEM_LABEL: &str = "SLOTFS DOMAIN KEY";
/// One salt for all stores: two stores must derive the same key from the same string.
const STRING_SALT: &[u8] = b"slotfs domain string 1";
/// Costly, because of the common salt: one guess at a string tests it for every store.
const STRING_COST: KdfParams = KdfParams {
    memory_kib: 256 * 1024,
    passes: 3,
    lanes: 4,
};
/// Characters in a domain string.
const STRING_CHARS: std::ops::RangeInclusive<usize> = 1..=128;
/// A string estimated below this many bits is weak. A guess costs about a third of a millionth of a dollar and tests every blob
/// of every user (docs/domains.md, "How good a domain string is").
pub const STRONG_BITS: u32 = 60;
/// Random bits in a string that slotfs makes.
const NEW_STRING_BITS: usize = 130;
/// The same bits as characters of base32.
const NEW_STRING_CHARS: usize = NEW_STRING_BITS / 5;

/// Why a string or file is no domain. Holds no part of the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DomainError {
    /// Too short or too long.
    #[error("a domain string has 1 to 128 characters")]
    Length,
    /// Not a key file.
    #[error(
        "it is not a domain key file: one PEM block 'SLOTFS DOMAIN KEY' of 32 bytes, as 'slotfs domain newkey' writes"
    )]
    KeyFile,
    /// Argon2 could not run.
    #[error("not enough memory to derive the domain key: it takes 256 MiB")]
    Memory,
}

/// A domain's key D, 32 bytes, and its origin.
#[derive(Clone, Debug)]
pub struct DomainKey {
    kind: DomainKind,
    key: Key,
}

impl DomainKey {
    /// D of a domain string: Argon2id over exactly its bytes, about a second.
    ///
    /// # Errors
    /// [`DomainError::Length`], [`DomainError::Memory`]
    pub fn from_string(string: &str) -> Result<Self, DomainError> {
        if !STRING_CHARS.contains(&string.chars().count()) {
            return Err(DomainError::Length);
        }
        let key = kdf::argon2id(string.as_bytes(), STRING_SALT, STRING_COST)
            .map_err(|_| DomainError::Memory)?;
        Ok(Self {
            kind: DomainKind::String,
            key,
        })
    }

    /// D of a domain key file's content: the 32 bytes of its PEM block.
    ///
    /// # Errors
    /// [`DomainError::KeyFile`]
    pub fn from_pem(pem: &[u8]) -> Result<Self, DomainError> {
        let (label, bytes) = pem_rfc7468::decode_vec(pem).map_err(|_| DomainError::KeyFile)?;
        let bytes = Zeroizing::new(bytes);
        if label != PEM_LABEL {
            return Err(DomainError::KeyFile);
        }
        let key = Key::from_slice(&bytes).ok_or(DomainError::KeyFile)?;
        Ok(Self {
            kind: DomainKind::KeyFile,
            key,
        })
    }

    /// A domain key as it was stored.
    pub fn from_stored(kind: DomainKind, key: Key) -> Self {
        Self { kind, key }
    }

    /// Its origin.
    pub fn kind(&self) -> DomainKind {
        self.kind
    }

    /// Whether D is one byte repeated. A failed disk or a script without random numbers leaves such keys, and an attacker
    /// who guesses the key opens every blob.
    pub fn is_one_byte(&self) -> bool {
        let bytes = self.key.bytes();
        bytes.iter().all(|byte| Some(byte) == bytes.first())
    }

    /// D.
    pub fn key(&self) -> &Key {
        &self.key
    }
}

/// The content of a new domain key file.
///
/// # Errors
/// When the system has no random numbers to give.
pub fn new_key_file() -> Result<SecretBytes, getrandom::Error> {
    let key = Key::random()?;
    // Encoding 32 bytes under a constant label cannot fail. A fallback to an empty file would look like a key.
    let pem = pem_rfc7468::encode_string(PEM_LABEL, LineEnding::LF, key.bytes())
        .map_err(|_| getrandom::Error::UNEXPECTED)?;
    Ok(SecretBytes::new(pem.into_bytes()))
}

/// A new domain string: 130 random bits in base32, 26 characters.
///
/// # Errors
/// When the system has no random numbers to give.
pub fn new_string() -> Result<Zeroizing<String>, getrandom::Error> {
    let mut random = Zeroizing::new([0u8; NEW_STRING_BITS.div_ceil(8)]);
    getrandom::fill(&mut *random)?;
    let mut string = Zeroizing::new(BASE32_NOPAD.encode(&*random));
    string.truncate(NEW_STRING_CHARS);
    Ok(string)
}

/// The estimated entropy of a domain string in whole bits, if it is below [`STRONG_BITS`]. The estimate counts the guesses of
/// somebody who knows common words, names, dates and patterns. It is too high for a string that means something to its
/// author: lines of songs, or words that were chosen by a person.
pub fn weakness(string: &str) -> Option<u32> {
    let bits = zxcvbn::zxcvbn(string, &[]).guesses_log10() * std::f64::consts::LOG2_10;
    // Not a number would count as weak too.
    let strong = bits >= f64::from(STRONG_BITS);
    (!strong).then_some(bits as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_reads_back_and_nothing_else_does() {
        let file = new_key_file().unwrap();
        let text = std::str::from_utf8(file.bytes()).unwrap();
        assert!(text.starts_with("-----BEGIN SLOTFS DOMAIN KEY-----\n"));
        let domain = DomainKey::from_pem(file.bytes()).unwrap();
        assert_eq!(domain.kind(), DomainKind::KeyFile);
        for bad in [
            text.replace("DOMAIN", "OTHER"),
            text.lines().take(1).collect(),
            String::new(),
            text.replace("-----END", "AAAA\n-----END"),
        ] {
            assert_eq!(
                DomainKey::from_pem(bad.as_bytes()).err(),
                Some(DomainError::KeyFile)
            );
        }
    }

    /// tests/vectors/README.md: made by an implementation of its own.
    #[test]
    fn golden_vectors() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/vectors/domain.json"
        );
        let file: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let vectors = file["vectors"].as_array().unwrap();
        let mut accepted = 0;
        for vector in vectors {
            let name = &vector["name"];
            let domain = match vector["string"].as_str() {
                Some(string) => DomainKey::from_string(string),
                None => DomainKey::from_pem(vector["pem"].as_str().unwrap().as_bytes()),
            };
            if vector["refused"] == true {
                assert!(domain.is_err(), "{name}");
                continue;
            }
            let domain = domain.unwrap();
            let root = crate::blob::Root::of_domain(domain.key());
            let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
            assert_eq!(hex(domain.key().bytes()), vector["d"], "{name}");
            assert_eq!(hex(&root.fingerprint()), vector["fingerprint"], "{name}");
            accepted += 1;
        }
        assert_eq!((accepted, vectors.len()), (7, 21));
    }

    #[test]
    fn new_strings_are_strong_and_weak_ones_are_told() {
        let string = new_string().unwrap();
        assert_eq!(string.len(), 26);
        assert!(
            string
                .chars()
                .all(|c| c.is_ascii_uppercase() || ('2'..='7').contains(&c))
        );
        assert_eq!(weakness(&string), None);
        assert!(weakness("password").is_some());
    }
}
