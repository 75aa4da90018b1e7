//! ML-DSA and ML-KEM keys as SPKI and PKCS#8 (RFC 9881, RFC 9935). The values are not checked here.

use pkcs8::{ObjectIdentifier, PrivateKeyInfoRef};
use x509_cert::der::asn1::{ContextSpecific, OctetStringRef};
use x509_cert::der::{Decode, Tag, TagMode, TagNumber};
use x509_cert::spki::AlgorithmIdentifierRef;

use super::elements::{Elements, oid};
use super::error::ImportError;
use super::spki;
use super::values::wrapped;
use slotfs_object::secret::SecretBytes;

/// An algorithm with its parameter set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostQuantum {
    /// ML-DSA-44
    MlDsa44,
    /// ML-DSA-65
    MlDsa65,
    /// ML-DSA-87
    MlDsa87,
    /// ML-KEM-512
    MlKem512,
    /// ML-KEM-768
    MlKem768,
    /// ML-KEM-1024
    MlKem1024,
}

const ALL: [(PostQuantum, ObjectIdentifier); 6] = [
    (PostQuantum::MlDsa44, oid("2.16.840.1.101.3.4.3.17")),
    (PostQuantum::MlDsa65, oid("2.16.840.1.101.3.4.3.18")),
    (PostQuantum::MlDsa87, oid("2.16.840.1.101.3.4.3.19")),
    (PostQuantum::MlKem512, oid("2.16.840.1.101.3.4.4.1")),
    (PostQuantum::MlKem768, oid("2.16.840.1.101.3.4.4.2")),
    (PostQuantum::MlKem1024, oid("2.16.840.1.101.3.4.4.3")),
];

/// A private key of a PKCS#8 file; at least one of both is there.
pub struct Parts {
    /// Its algorithm.
    pub algorithm: PostQuantum,
    /// The seed.
    pub seed: Option<SecretBytes>,
    /// The expanded private key.
    pub expanded: Option<SecretBytes>,
}

const WHAT: &str = "post-quantum private key";

impl PostQuantum {
    fn oid(self) -> ObjectIdentifier {
        let row = ALL.iter().find(|row| row.0 == self);
        row.map_or(ALL[0].1, |row| row.1)
    }

    /// `CKA_PUBLIC_KEY_INFO` of an encoded public key.
    ///
    /// # Errors
    /// [`ImportError`]: too long to encode.
    pub fn info(self, public: &[u8]) -> Result<Vec<u8>, ImportError> {
        spki::encode(self.oid(), None, public)
    }

    /// PKCS#8 of the seed, or of the expanded key of a key without a known seed.
    pub fn pkcs8(self, seed: Option<&[u8]>, expanded: &[u8]) -> Option<SecretBytes> {
        let algorithm = AlgorithmIdentifierRef {
            oid: self.oid(),
            parameters: None,
        };
        match seed {
            Some(seed) => {
                let choice = ContextSpecific {
                    tag_number: TagNumber(0),
                    tag_mode: TagMode::Implicit,
                    value: OctetStringRef::new(seed).ok()?,
                };
                wrapped(algorithm, &choice)
            }
            None => wrapped(algorithm, &OctetStringRef::new(expanded).ok()?),
        }
    }

    /// The parts of a PKCS#8 file, in each of the three forms; `None` for one of another algorithm.
    ///
    /// # Errors
    /// [`ImportError`]: no PKCS#8, or another structure inside.
    pub fn of_pkcs8(der: &[u8]) -> Result<Option<Parts>, ImportError> {
        let info = PrivateKeyInfoRef::from_der(der).map_err(ImportError::der(WHAT))?;
        let row = ALL.iter().find(|row| row.1 == info.algorithm.oid);
        let Some(&(algorithm, _)) = row else {
            return Ok(None);
        };
        if info.algorithm.parameters.is_some() {
            return Err(ImportError::PARAMETERS);
        }
        let seed_tag = Tag::ContextSpecific {
            constructed: false,
            number: TagNumber(0),
        };
        let mut outer = Elements::new(info.private_key.as_bytes(), WHAT)?;
        let (seed, expanded) = match outer.peek() {
            Some(Tag::Sequence) => {
                let mut both = outer.sequence()?;
                let seed = both.next(Tag::OctetString)?;
                let expanded = both.next(Tag::OctetString)?;
                both.end()?;
                (Some(seed), Some(expanded))
            }
            Some(tag) if tag == seed_tag => (Some(outer.next(seed_tag)?), None),
            _ => (None, Some(outer.next(Tag::OctetString)?)),
        };
        outer.end()?;
        Ok(Some(Parts {
            algorithm,
            seed: seed.map(SecretBytes::from),
            expanded: expanded.map(SecretBytes::from),
        }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_form_is_read() {
        let algorithm = PostQuantum::MlKem768;
        let of = |der: &[u8]| {
            let parts = PostQuantum::of_pkcs8(der).unwrap().unwrap();
            assert_eq!(parts.algorithm, algorithm);
            let bytes = |it: Option<SecretBytes>| it.map(|it| it.bytes().to_vec());
            (bytes(parts.seed), bytes(parts.expanded))
        };
        let seed = algorithm.pkcs8(Some(&[1; 64]), &[]).unwrap();
        // RFC 9935 appendix C.1.2: version, algorithm, [0] of 64 bytes.
        assert_eq!(seed.bytes()[..5], [0x30, 84, 2, 1, 0]);
        assert_eq!(of(seed.bytes()), (Some(vec![1; 64]), None));
        let expanded = algorithm.pkcs8(None, &[2; 2400]).unwrap();
        assert_eq!(of(expanded.bytes()), (None, Some(vec![2; 2400])));
        let both = [
            &[0x30, 28, 2, 1, 0][..],
            &[0x30, 11, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 4, 2],
            &[4, 10, 0x30, 8, 4, 2, 7, 7, 4, 2, 9, 9],
        ]
        .concat();
        let mut both = both;
        both[1] = u8::try_from(both.len() - 2).unwrap();
        assert_eq!(of(&both), (Some(vec![7; 2]), Some(vec![9; 2])));
        both.push(0);
        assert!(PostQuantum::of_pkcs8(&both).is_err());
    }

    #[test]
    fn public_keys_are_named_by_their_algorithm() {
        let info = PostQuantum::MlDsa65.info(&[3; 1952]).unwrap();
        assert_eq!(info.len(), 1974);
        assert_eq!(
            info[4..17],
            [0x30, 11, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 18]
        );
    }
}
