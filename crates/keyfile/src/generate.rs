//! Generating key pairs, with aws-lc-rs. What it hands out goes through [`super::import`]'s strict parser, so that
//! a generated key and an imported one are made in one place.

use aws_lc_rs::agreement;
use aws_lc_rs::encoding::{AsBigEndian, AsDer, Curve25519SeedBin, Pkcs8V1Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256K1_SHA256_ASN1_SIGNING,
    ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
};

use super::import::{self, ImportError};
use slotfs_object::Object;
use slotfs_object::new::Naming;
use slotfs_object::pkcs11::{
    CKM_EC_EDWARDS_KEY_PAIR_GEN, CKM_EC_KEY_PAIR_GEN, CKM_EC_MONTGOMERY_KEY_PAIR_GEN,
    CKM_RSA_PKCS_KEY_PAIR_GEN,
};
use slotfs_object::secret::{SecretBytes, wipe_stack};
use slotfs_object::template;

/// A kind of key pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPairType {
    /// RSA with the public exponent 65537.
    Rsa(RsaBits),
    /// ECDSA and ECDH on a Weierstrass curve.
    Ec(EcCurve),
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// X25519 (RFC 7748).
    X25519,
}

/// A length of generated RSA keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RsaBits {
    /// 2048 bits.
    Rsa2048,
    /// 3072 bits.
    Rsa3072,
    /// 4096 bits.
    Rsa4096,
}

impl TryFrom<u32> for RsaBits {
    type Error = GenerateError;
    fn try_from(bits: u32) -> Result<Self, GenerateError> {
        match bits {
            2048 => Ok(Self::Rsa2048),
            3072 => Ok(Self::Rsa3072),
            4096 => Ok(Self::Rsa4096),
            other => Err(GenerateError::RsaBits(other)),
        }
    }
}

/// A Weierstrass curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EcCurve {
    /// NIST P-256, secp256r1.
    P256,
    /// NIST P-384, secp384r1.
    P384,
    /// NIST P-521, secp521r1.
    P521,
    /// Bitcoin's curve, of SEC 2.
    Secp256k1,
}

/// Both halves, with one `CKA_ID` and one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    /// The private key.
    pub private: Object,
    /// The public key.
    pub public: Object,
}

/// Why no key pair was made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// Not a length of generated RSA keys, bits.
    #[error("a new RSA key has 2048, 3072 or 4096 bits, not {0}")]
    RsaBits(u32),
    /// The library could not.
    #[error("the cryptographic library made no key")]
    Library,
    /// What the library made is not a key that a slot takes.
    #[error("the new key was refused: {0}")]
    Refused(#[from] ImportError),
}

impl GenerateError {
    /// What to do about it, for the line after the message; a lower-case sentence without full stop.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Refused(error) => error.hint(),
            Self::RsaBits(_) | Self::Library => None,
        }
    }
}

impl From<Unspecified> for GenerateError {
    fn from(_: Unspecified) -> Self {
        Self::Library
    }
}

/// Makes a key pair. Without an id in `naming`, both halves get the key identifier of RFC 5280 (section 4.2.1.2,
/// method 1), which is also what a certificate for the key most often holds: SHA-1 of the public key's bits.
///
/// # Errors
/// [`GenerateError`]: a label and id too long to store, no random numbers.
pub fn generate_key_pair(kind: KeyPairType, naming: &Naming) -> Result<KeyPair, GenerateError> {
    let pkcs8 = pkcs8(kind)?;
    // What the library worked on went through this stack.
    wipe_stack();
    let (mut private, mut public) = import::pair(&pkcs8, naming)?;
    for half in [&mut private, &mut public] {
        template::mark_generated(half, kind.mechanism());
    }
    // One birth, also when a second ended between the two.
    public.created_secs = private.created_secs;
    Ok(KeyPair { private, public })
}

impl KeyPairType {
    fn mechanism(self) -> u64 {
        match self {
            Self::Rsa(_) => CKM_RSA_PKCS_KEY_PAIR_GEN,
            Self::Ec(_) => CKM_EC_KEY_PAIR_GEN,
            Self::Ed25519 => CKM_EC_EDWARDS_KEY_PAIR_GEN,
            Self::X25519 => CKM_EC_MONTGOMERY_KEY_PAIR_GEN,
        }
    }
}

/// A new private key in PKCS#8. The library wipes its own buffers when they are dropped.
fn pkcs8(kind: KeyPairType) -> Result<SecretBytes, GenerateError> {
    Ok(match kind {
        KeyPairType::Rsa(bits) => {
            let pair = rsa::KeyPair::generate(match bits {
                RsaBits::Rsa2048 => KeySize::Rsa2048,
                RsaBits::Rsa3072 => KeySize::Rsa3072,
                RsaBits::Rsa4096 => KeySize::Rsa4096,
            })?;
            let der: Pkcs8V1Der<'static> = pair.as_der()?;
            SecretBytes::from(der.as_ref())
        }
        KeyPairType::Ec(curve) => {
            let pair = EcdsaKeyPair::generate(match curve {
                EcCurve::P256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
                EcCurve::P384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
                EcCurve::P521 => &ECDSA_P521_SHA512_ASN1_SIGNING,
                EcCurve::Secp256k1 => &ECDSA_P256K1_SHA256_ASN1_SIGNING,
            })?;
            SecretBytes::from(pair.to_pkcs8v1()?.as_ref())
        }
        KeyPairType::Ed25519 => {
            SecretBytes::from(Ed25519KeyPair::generate()?.to_pkcs8v1()?.as_ref())
        }
        KeyPairType::X25519 => {
            let key = agreement::PrivateKey::generate(&agreement::X25519)?;
            let value: Curve25519SeedBin<'static> = key.as_be_bytes()?;
            pkcs8_of_x25519(value.as_ref())
        }
    })
}

/// RFC 8410 section 7: the library exports X25519 keys as bare values only.
fn pkcs8_of_x25519(value: &[u8]) -> SecretBytes {
    const BEFORE: [u8; 16] = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x04, 0x22, 0x04,
        0x20,
    ];
    let mut der = SecretBytes::new(vec![0; BEFORE.len() + value.len()]);
    let (before, after) = der.bytes_mut().split_at_mut(BEFORE.len());
    before.copy_from_slice(&BEFORE);
    after.copy_from_slice(value);
    der
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::export::{Exported, export};
    use slotfs_object::attributes::{AttributeError, Chosen};
    use slotfs_object::codec;
    use slotfs_object::pkcs11::*;
    use slotfs_object::{Attribute, Date};

    const KINDS: &[KeyPairType] = &[
        KeyPairType::Rsa(RsaBits::Rsa2048),
        KeyPairType::Ec(EcCurve::P256),
        KeyPairType::Ec(EcCurve::P384),
        KeyPairType::Ec(EcCurve::P521),
        KeyPairType::Ec(EcCurve::Secp256k1),
        KeyPairType::Ed25519,
        KeyPairType::X25519,
    ];

    fn is(object: &Object, number: u32) -> bool {
        object.attributes[&number] == Attribute::Bool(true)
    }

    #[test]
    fn a_pair_shares_what_is_chosen() {
        let pair = generate_key_pair(KeyPairType::Ec(EcCurve::P256), &Naming::default()).unwrap();
        let mut halves = [pair.private, pair.public];
        let chosen = Chosen::parse(["derive=false", "verify=false,end_date=2030-01-31"]).unwrap();
        chosen.apply(&mut halves).unwrap();
        let [private, public] = &halves;
        assert!(is(private, CKA_SIGN) && !is(private, CKA_DERIVE));
        assert!(!is(public, CKA_VERIFY) && !is(public, CKA_DERIVE));
        for half in &halves {
            assert_eq!(
                half.attributes[&CKA_END_DATE],
                Attribute::Date(Date {
                    year: 2030,
                    month: 1,
                    day: 31
                })
            );
        }
        let refused = Chosen::parse(["encrypt=true"]).unwrap().apply(&mut halves);
        assert!(matches!(refused, Err(AttributeError::Incapable(..))));
        let refused = Chosen::parse(["application=x"]).unwrap().apply(&mut halves);
        let error = refused.unwrap_err().to_string();
        assert_eq!(
            error,
            "CKA_APPLICATION cannot be chosen for a private key or public key"
        );
        let named = Chosen::parse(["subject=300c310a300806035504030c0178"]).unwrap();
        named.apply(&mut halves[1..]).unwrap();
        assert!(halves[1].attributes.contains_key(&CKA_SUBJECT));
    }

    #[test]
    fn the_halves_of_a_pair_belong_together() {
        let naming = Naming {
            label: "pair".to_owned(),
            id: Vec::new(),
        };
        for &kind in KINDS {
            let KeyPair { private, public } = generate_key_pair(kind, &naming).unwrap();
            assert_eq!(private.class, CKO_PRIVATE_KEY);
            assert_eq!(public.class, CKO_PUBLIC_KEY);
            assert_eq!(private.key_type, public.key_type);
            assert_ne!(private.ouid, public.ouid);
            assert_eq!(private.created_secs, public.created_secs);
            for number in [
                CKA_ID,
                CKA_LABEL,
                CKA_PUBLIC_KEY_INFO,
                CKA_KEY_GEN_MECHANISM,
            ] {
                assert_eq!(private.attributes[&number], public.attributes[&number]);
            }
            let Attribute::Bytes(id) = &private.attributes[&CKA_ID] else {
                unreachable!()
            };
            assert_eq!(id.len(), 20, "{kind:?}");
            let [one, two] = [&private, &public].map(|half| match export(half).unwrap() {
                Exported::PublicKey(der) => der,
                _ => unreachable!(),
            });
            assert_eq!(one, two);
            for half in [&private, &public] {
                assert_eq!(half.attributes[&CKA_LOCAL], Attribute::Bool(true));
                let payload = codec::encode(half).unwrap();
                assert_eq!(codec::decode(payload.bytes()).as_ref(), Ok(half));
            }
            for on in [CKA_SENSITIVE, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE] {
                assert_eq!(private.attributes[&on], Attribute::Bool(true));
            }
            assert!(!public.attributes.contains_key(&CKA_ALWAYS_SENSITIVE));
        }
    }

    #[test]
    fn an_id_that_is_given_is_kept_and_no_two_pairs_are_equal() {
        let naming = Naming {
            label: String::new(),
            id: vec![7],
        };
        let make = || generate_key_pair(KeyPairType::Ed25519, &naming).unwrap();
        let (one, two) = (make(), make());
        assert_eq!(one.private.attributes[&CKA_ID], Attribute::Bytes(vec![7]));
        assert_eq!(one.public.attributes[&CKA_ID], Attribute::Bytes(vec![7]));
        assert_ne!(
            one.public.attributes[&CKA_EC_POINT],
            two.public.attributes[&CKA_EC_POINT]
        );
    }

    #[test]
    fn lengths_that_new_rsa_keys_do_not_have() {
        for bits in [0, 512, 1024, 2047, 8192, u32::MAX] {
            let refused = RsaBits::try_from(bits);
            assert!(matches!(refused, Err(GenerateError::RsaBits(b)) if b == bits));
        }
    }
}
