//! Generation of key pairs, with aws-lc-rs. Each new private key passes through [`super::import`]'s strict parsers, so
//! that generated and imported keys are made in one place.

use aws_lc_rs::agreement;
use aws_lc_rs::encoding::{AsBigEndian, AsDer, Curve25519SeedBin, Pkcs8V1Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair};

use super::import::{self, ImportError};
use slotfs_object::Object;
use slotfs_object::new::Naming;
use slotfs_object::pkcs11::{
    CKM_EC_EDWARDS_KEY_PAIR_GEN, CKM_EC_KEY_PAIR_GEN, CKM_EC_MONTGOMERY_KEY_PAIR_GEN,
    CKM_RSA_PKCS_KEY_PAIR_GEN,
};
use slotfs_object::secret::wipe_stack;
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

/// A length of generated RSA keys: 2048, 3072 or 4096 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RsaBits(KeySize);

impl TryFrom<u32> for RsaBits {
    type Error = GenerateError;
    fn try_from(bits: u32) -> Result<Self, GenerateError> {
        Ok(Self(match bits {
            2048 => KeySize::Rsa2048,
            3072 => KeySize::Rsa3072,
            4096 => KeySize::Rsa4096,
            other => return Err(GenerateError::RsaBits(other)),
        }))
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
    /// The curve of Bitcoin, from SEC 2.
    Secp256k1,
}

/// Both halves, with the same `CKA_ID` and label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    /// The private key.
    pub private: Object,
    /// The public key.
    pub public: Object,
}

/// Why a key pair was not generated.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// Not a length of generated RSA keys, bits.
    #[error("a new RSA key has 2048, 3072 or 4096 bits, not {0}")]
    RsaBits(u32),
    /// The library failed and gives no reason.
    #[error("the cryptographic library could not generate the key")]
    Library,
    /// The library made a key that cannot be stored.
    #[error("the new key was refused: {0}")]
    Refused(#[from] ImportError),
}

impl GenerateError {
    /// What the user can do, for the line after the message; lower case, no full stop.
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

/// Generates a key pair. Without an id in `naming`, both halves get the key identifier of RFC 5280 (section 4.2.1.2,
/// method 1), the SHA-1 of the public key's bits. Most certificates for the key hold the same identifier.
///
/// # Errors
/// [`GenerateError`]: a label and id that are too long to store, or a failed random number generator.
pub fn generate_key_pair(kind: KeyPairType, naming: &Naming) -> Result<KeyPair, GenerateError> {
    let private = private(kind, naming)?;
    // The library wipes its own buffers, but leaves copies of the key on the stack.
    wipe_stack();
    let (mut private, mut public) = import::pair(private, naming)?;
    let mechanism = match kind {
        KeyPairType::Rsa(_) => CKM_RSA_PKCS_KEY_PAIR_GEN,
        KeyPairType::Ec(_) => CKM_EC_KEY_PAIR_GEN,
        KeyPairType::Ed25519 => CKM_EC_EDWARDS_KEY_PAIR_GEN,
        KeyPairType::X25519 => CKM_EC_MONTGOMERY_KEY_PAIR_GEN,
    };
    for half in [&mut private, &mut public] {
        template::mark_generated(half, mechanism);
    }
    // The clock may have advanced by a second between the two.
    public.created_secs = private.created_secs;
    Ok(KeyPair { private, public })
}

fn private(kind: KeyPairType, naming: &Naming) -> Result<Object, GenerateError> {
    let private = match kind {
        KeyPairType::Rsa(RsaBits(size)) => {
            let der: Pkcs8V1Der<'_> = rsa::KeyPair::generate(size)?.as_der()?;
            import::pkcs8_private(der.as_ref(), naming)
        }
        KeyPairType::Ec(curve) => {
            let der = EcdsaKeyPair::generate(import::signing(curve))?.to_pkcs8v1()?;
            import::pkcs8_private(der.as_ref(), naming)
        }
        KeyPairType::Ed25519 => {
            let der = Ed25519KeyPair::generate()?.to_pkcs8v1()?;
            import::pkcs8_private(der.as_ref(), naming)
        }
        KeyPairType::X25519 => {
            // The library exports these keys as bare values only.
            let key = agreement::PrivateKey::generate(&agreement::X25519)?;
            let value: Curve25519SeedBin<'_> = key.as_be_bytes()?;
            import::x25519_private(value.as_ref(), naming)
        }
    };
    Ok(private?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use slotfs_object::attributes::{AttributeError, Chosen};
    use slotfs_object::{Attribute, Date};

    use super::*;
    use crate::export::{Exported, export};
    use slotfs_object::codec;
    use slotfs_object::pkcs11::*;

    const KINDS: &[KeyPairType] = &[
        KeyPairType::Rsa(RsaBits(KeySize::Rsa2048)),
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
