//! ML-DSA and ML-KEM keys. The private half holds the expanded key, and its seed where that is known.

use std::collections::BTreeMap;

use slotfs_crypto::pq::{ml_dsa, ml_kem};
use slotfs_crypto::{Error, pq};
use slotfs_keyfile::import::post_quantum::{Parts, PostQuantum};
use slotfs_object::Attribute;
use slotfs_object::pkcs11::{
    CKA_PARAMETER_SET, CKA_PUBLIC_KEY_INFO, CKA_SEED, CKA_VALUE, CKK_ML_DSA, CKK_ML_KEM,
    CKO_PRIVATE_KEY, CKO_PUBLIC_KEY,
};
use slotfs_object::secret::SecretBytes;
use slotfs_wire::numbers::{
    CKP_ML_DSA_44, CKP_ML_DSA_65, CKP_ML_DSA_87, CKP_ML_KEM_512, CKP_ML_KEM_768, CKP_ML_KEM_1024,
};
use slotfs_wire::rv::{
    CKR_ATTRIBUTE_VALUE_INVALID, CKR_FUNCTION_FAILED, CKR_PARAMETER_SET_NOT_SUPPORTED,
    CKR_TEMPLATE_INCOMPLETE,
};
use zeroize::Zeroizing;

use super::Material;
use crate::error::{Result, Rv};
use crate::operation::{dsa_set, kem_set};

/// A parameter set of one of both algorithms.
#[derive(Clone, Copy)]
pub(super) enum Set {
    Dsa(ml_dsa::ParameterSet),
    Kem(ml_kem::ParameterSet),
}

impl Set {
    /// Of a key type and its `CKA_PARAMETER_SET`.
    ///
    /// # Errors
    /// `CKR_TEMPLATE_INCOMPLETE`, `CKR_PARAMETER_SET_NOT_SUPPORTED`
    pub(super) fn of(key_type: u32, number: Option<u64>) -> Result<Self> {
        let number = number.ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))?;
        let set = match key_type {
            CKK_ML_DSA => dsa_set(number).map(Self::Dsa),
            _ => kem_set(number).map(Self::Kem),
        };
        set.ok_or(Rv(CKR_PARAMETER_SET_NOT_SUPPORTED))
    }

    pub(super) fn key_type(self) -> u32 {
        match self {
            Self::Dsa(_) => CKK_ML_DSA,
            Self::Kem(_) => CKK_ML_KEM,
        }
    }

    fn number(self) -> u64 {
        use ml_dsa::ParameterSet::{MlDsa44, MlDsa65, MlDsa87};
        use ml_kem::ParameterSet::{MlKem512, MlKem768, MlKem1024};
        match self {
            Self::Dsa(MlDsa44) => CKP_ML_DSA_44,
            Self::Dsa(MlDsa65) => CKP_ML_DSA_65,
            Self::Dsa(MlDsa87) => CKP_ML_DSA_87,
            Self::Kem(MlKem512) => CKP_ML_KEM_512,
            Self::Kem(MlKem768) => CKP_ML_KEM_768,
            Self::Kem(MlKem1024) => CKP_ML_KEM_1024,
        }
    }

    /// Its name in files.
    pub(super) fn algorithm(self) -> PostQuantum {
        use ml_dsa::ParameterSet::{MlDsa44, MlDsa65, MlDsa87};
        use ml_kem::ParameterSet::{MlKem512, MlKem768, MlKem1024};
        match self {
            Self::Dsa(MlDsa44) => PostQuantum::MlDsa44,
            Self::Dsa(MlDsa65) => PostQuantum::MlDsa65,
            Self::Dsa(MlDsa87) => PostQuantum::MlDsa87,
            Self::Kem(MlKem512) => PostQuantum::MlKem512,
            Self::Kem(MlKem768) => PostQuantum::MlKem768,
            Self::Kem(MlKem1024) => PostQuantum::MlKem1024,
        }
    }

    fn of_algorithm(algorithm: PostQuantum) -> Self {
        match algorithm {
            PostQuantum::MlDsa44 => Self::Dsa(ml_dsa::ParameterSet::MlDsa44),
            PostQuantum::MlDsa65 => Self::Dsa(ml_dsa::ParameterSet::MlDsa65),
            PostQuantum::MlDsa87 => Self::Dsa(ml_dsa::ParameterSet::MlDsa87),
            PostQuantum::MlKem512 => Self::Kem(ml_kem::ParameterSet::MlKem512),
            PostQuantum::MlKem768 => Self::Kem(ml_kem::ParameterSet::MlKem768),
            PostQuantum::MlKem1024 => Self::Kem(ml_kem::ParameterSet::MlKem1024),
        }
    }

    /// A new pair, tested.
    pub(super) fn generate(self) -> Result<(Material, Material)> {
        let pq::Generated {
            seed,
            private,
            public,
        } = match self {
            Self::Dsa(set) => ml_dsa::generate(set)?,
            Self::Kem(set) => ml_kem::generate(set)?,
        };
        let info = self.info(&public)?;
        let private = self.private_material(Some(&seed), &private, info.clone());
        Ok((self.public_material(public, info), private))
    }

    /// A public key of its value.
    pub(super) fn public(self, value: &[u8]) -> Result<Material> {
        let checked = match self {
            Self::Dsa(set) => ml_dsa::PublicKey::new(set, value).map(drop),
            Self::Kem(set) => ml_kem::PublicKey::new(set, value).map(drop),
        };
        checked.map_err(invalid)?;
        let info = self.info(value)?;
        Ok(self.public_material(value.to_vec(), info))
    }

    /// A private key of its seed or its expanded value, or of both if they belong together.
    pub(super) fn private(self, seed: Option<&[u8]>, value: Option<&[u8]>) -> Result<Material> {
        let (expanded, public) = match (seed, value) {
            (Some(seed), value) => {
                let (expanded, public) = self.expand(seed).map_err(invalid)?;
                if value.is_some_and(|value| value != expanded.as_slice()) {
                    return Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID));
                }
                (expanded, public)
            }
            (None, Some(value)) => {
                let public = match self {
                    Self::Dsa(set) => ml_dsa::public_of(set, value),
                    Self::Kem(set) => ml_kem::public_of(set, value),
                };
                (Zeroizing::new(value.to_vec()), public.map_err(invalid)?)
            }
            (None, None) => return Err(Rv(CKR_TEMPLATE_INCOMPLETE)),
        };
        let info = self.info(&public)?;
        Ok(self.private_material(seed, &expanded, info))
    }

    /// A private key of PKCS#8; `None` if that is one of another algorithm.
    pub(super) fn unwrapped(der: &[u8]) -> Result<Option<Material>> {
        let Some(Parts {
            algorithm,
            seed,
            expanded,
        }) = PostQuantum::of_pkcs8(der)?
        else {
            return Ok(None);
        };
        let seed = seed.as_ref().map(SecretBytes::bytes);
        let expanded = expanded.as_ref().map(SecretBytes::bytes);
        Self::of_algorithm(algorithm)
            .private(seed, expanded)
            .map(Some)
    }

    fn expand(self, seed: &[u8]) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>), Error> {
        match self {
            Self::Dsa(set) => {
                let key = ml_dsa::PrivateKey::from_seed(set, seed)?;
                Ok((key.expanded()?, key.public().to_vec()))
            }
            Self::Kem(set) => {
                let key = ml_kem::PrivateKey::from_seed(set, seed)?;
                Ok((key.expanded()?, key.public()?))
            }
        }
    }

    fn info(self, public: &[u8]) -> Result<Vec<u8>> {
        self.algorithm().info(public).map_err(Rv::from)
    }

    fn public_material(self, value: Vec<u8>, info: Vec<u8>) -> Material {
        Material {
            class: CKO_PUBLIC_KEY,
            key_type: self.key_type(),
            attributes: BTreeMap::from([
                (CKA_PARAMETER_SET, Attribute::Number(self.number())),
                (CKA_VALUE, Attribute::Bytes(value)),
                (CKA_PUBLIC_KEY_INFO, Attribute::Bytes(info)),
            ]),
        }
    }

    fn private_material(self, seed: Option<&[u8]>, value: &[u8], info: Vec<u8>) -> Material {
        let secret = |bytes: &[u8]| Attribute::Secret(SecretBytes::from(bytes));
        let mut attributes = BTreeMap::from([
            (CKA_PARAMETER_SET, Attribute::Number(self.number())),
            (CKA_VALUE, secret(value)),
            (CKA_PUBLIC_KEY_INFO, Attribute::Bytes(info)),
        ]);
        if let Some(seed) = seed {
            attributes.insert(CKA_SEED, secret(seed));
        }
        Material {
            class: CKO_PRIVATE_KEY,
            key_type: self.key_type(),
            attributes,
        }
    }
}

fn invalid(error: Error) -> Rv {
    Rv(match error {
        Error::Library => CKR_FUNCTION_FAILED,
        _ => CKR_ATTRIBUTE_VALUE_INVALID,
    })
}
