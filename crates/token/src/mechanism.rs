//! The one table of mechanisms: what each is, and what `C_GetMechanismInfo` says of it.

pub(crate) mod hash;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use slotfs_crypto::Hash;
use slotfs_wire::MechanismInfo;
use slotfs_wire::numbers::*;

use hash::HASHES;

/// What a mechanism does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// A digest.
    Digest(Hash),
    /// HMAC; general: with a length that the parameter gives.
    Hmac { hash: Hash, general: bool },
    /// RSASSA-PKCS1-v1_5 and RSAES-PKCS1-v1_5. Without a hash the data is what gets padded.
    RsaPkcs(Option<Hash>),
    /// RSA without padding.
    RsaRaw,
    /// RSASSA-PSS.
    RsaPss(Option<Hash>),
    /// RSAES-OAEP.
    RsaOaep,
    /// AES under RSA, KWP under AES.
    RsaAesKeyWrap,
    /// ECDSA.
    Ecdsa(Option<Hash>),
    /// Ed25519.
    Eddsa,
    /// ML-DSA.
    MlDsa,
    /// HashML-DSA; without a hash, the parameter names it and the data is the digest.
    HashMlDsa(Option<Hash>),
    /// ML-KEM.
    MlKem,
    /// AES in this mode.
    Aes(AesMode),
    /// CMAC with AES; general as with HMAC.
    Cmac { general: bool },
    /// A new key or pair.
    Generate(Generate),
    /// A key derived from another.
    Derive(Derive),
}

/// A mode of AES.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AesMode {
    Ecb,
    Cbc,
    CbcPad,
    Ctr,
    Gcm,
    Ccm,
    /// RFC 3394
    KeyWrap,
    /// RFC 3394 with the padding of PKCS#7 before it.
    KeyWrapPkcs7,
    /// PKCS#11 2.40 describes it as [`Self::KeyWrapPkcs7`], and SoftHSM2 made it [`Self::Kwp`], which later editions
    /// chose the two other names for. It wraps as SoftHSM2 does, and unwraps both.
    KeyWrapPad,
    /// RFC 5649
    Kwp,
}

/// What kind of key a mechanism generates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generate {
    Aes,
    Generic,
    /// A key for the HMAC of one hash function.
    Hmac(Hash),
    Hkdf,
    Pbkdf2,
    RsaPair,
    EcPair,
    EdwardsPair,
    MontgomeryPair,
    MlKemPair,
    MlDsaPair,
}

/// How a key is derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Derive {
    /// ECDH on a Weierstrass or Montgomery curve. Their cofactors are 1, or are in the scalar.
    Ecdh,
    Hkdf,
    /// HKDF whose output is a data object.
    HkdfData,
    /// SP 800-108, counter mode.
    Counter,
    /// SP 800-108, feedback mode.
    Feedback,
    AesEcb,
    AesCbc,
    ConcatenateKey,
    ConcatenateData,
    ConcatenateBefore,
    Xor,
    Extract,
    /// The digest of the base key's value.
    Digest(Hash),
}

/// Largest key of HMAC, HKDF and generic secrets, bytes. An object of 64 KiB has room for it.
pub(crate) const MAX_SECRET_BYTES: u64 = 16384;
/// Lengths of RSA keys that are used, bits.
pub(crate) const RSA_BITS: (u64, u64) = (1024, 8192);
/// Lengths of RSA keys that are made, bits.
pub(crate) const NEW_RSA_BITS: (u64, u64) = (1024, 4096);
/// The shortest RSA key that is made for a slot, bits. Shorter ones are for sessions: tests and old peers want them, and
/// no key that lasts should be one.
pub(crate) const LEAST_TOKEN_RSA_BITS: u64 = 2048;

/// Numbers of mechanisms without a hash function in their name.
const PLAIN: &[(u64, Algorithm)] = &[
    (
        CKM_RSA_PKCS_KEY_PAIR_GEN,
        Algorithm::Generate(Generate::RsaPair),
    ),
    (CKM_RSA_PKCS, Algorithm::RsaPkcs(None)),
    (CKM_RSA_X_509, Algorithm::RsaRaw),
    (CKM_RSA_PKCS_OAEP, Algorithm::RsaOaep),
    (CKM_RSA_PKCS_PSS, Algorithm::RsaPss(None)),
    (CKM_RSA_AES_KEY_WRAP, Algorithm::RsaAesKeyWrap),
    (CKM_EC_KEY_PAIR_GEN, Algorithm::Generate(Generate::EcPair)),
    (
        CKM_EC_KEY_PAIR_GEN_W_EXTRA_BITS,
        Algorithm::Generate(Generate::EcPair),
    ),
    (
        CKM_EC_EDWARDS_KEY_PAIR_GEN,
        Algorithm::Generate(Generate::EdwardsPair),
    ),
    (
        CKM_EC_MONTGOMERY_KEY_PAIR_GEN,
        Algorithm::Generate(Generate::MontgomeryPair),
    ),
    (CKM_ECDSA, Algorithm::Ecdsa(None)),
    (CKM_EDDSA, Algorithm::Eddsa),
    (CKM_ECDH1_DERIVE, Algorithm::Derive(Derive::Ecdh)),
    (CKM_ECDH1_COFACTOR_DERIVE, Algorithm::Derive(Derive::Ecdh)),
    (
        CKM_ML_KEM_KEY_PAIR_GEN,
        Algorithm::Generate(Generate::MlKemPair),
    ),
    (CKM_ML_KEM, Algorithm::MlKem),
    (
        CKM_ML_DSA_KEY_PAIR_GEN,
        Algorithm::Generate(Generate::MlDsaPair),
    ),
    (CKM_ML_DSA, Algorithm::MlDsa),
    (CKM_HASH_ML_DSA, Algorithm::HashMlDsa(None)),
    (CKM_AES_KEY_GEN, Algorithm::Generate(Generate::Aes)),
    (CKM_AES_ECB, Algorithm::Aes(AesMode::Ecb)),
    (CKM_AES_CBC, Algorithm::Aes(AesMode::Cbc)),
    (CKM_AES_CBC_PAD, Algorithm::Aes(AesMode::CbcPad)),
    (CKM_AES_CTR, Algorithm::Aes(AesMode::Ctr)),
    (CKM_AES_GCM, Algorithm::Aes(AesMode::Gcm)),
    (CKM_AES_CCM, Algorithm::Aes(AesMode::Ccm)),
    (CKM_AES_KEY_WRAP, Algorithm::Aes(AesMode::KeyWrap)),
    (CKM_AES_KEY_WRAP_PAD, Algorithm::Aes(AesMode::KeyWrapPad)),
    (
        CKM_AES_KEY_WRAP_PKCS7,
        Algorithm::Aes(AesMode::KeyWrapPkcs7),
    ),
    (CKM_AES_KEY_WRAP_KWP, Algorithm::Aes(AesMode::Kwp)),
    (CKM_AES_CMAC, Algorithm::Cmac { general: false }),
    (CKM_AES_CMAC_GENERAL, Algorithm::Cmac { general: true }),
    (CKM_AES_ECB_ENCRYPT_DATA, Algorithm::Derive(Derive::AesEcb)),
    (CKM_AES_CBC_ENCRYPT_DATA, Algorithm::Derive(Derive::AesCbc)),
    (
        CKM_GENERIC_SECRET_KEY_GEN,
        Algorithm::Generate(Generate::Generic),
    ),
    (CKM_HKDF_KEY_GEN, Algorithm::Generate(Generate::Hkdf)),
    (CKM_PKCS5_PBKD2, Algorithm::Generate(Generate::Pbkdf2)),
    (CKM_HKDF_DERIVE, Algorithm::Derive(Derive::Hkdf)),
    (CKM_HKDF_DATA, Algorithm::Derive(Derive::HkdfData)),
    (
        CKM_SP800_108_COUNTER_KDF,
        Algorithm::Derive(Derive::Counter),
    ),
    (
        CKM_SP800_108_FEEDBACK_KDF,
        Algorithm::Derive(Derive::Feedback),
    ),
    (
        CKM_CONCATENATE_BASE_AND_KEY,
        Algorithm::Derive(Derive::ConcatenateKey),
    ),
    (
        CKM_CONCATENATE_BASE_AND_DATA,
        Algorithm::Derive(Derive::ConcatenateData),
    ),
    (
        CKM_CONCATENATE_DATA_AND_BASE,
        Algorithm::Derive(Derive::ConcatenateBefore),
    ),
    (CKM_XOR_BASE_AND_DATA, Algorithm::Derive(Derive::Xor)),
    (CKM_EXTRACT_KEY_FROM_KEY, Algorithm::Derive(Derive::Extract)),
];

fn table() -> &'static BTreeMap<u64, Algorithm> {
    static TABLE: OnceLock<BTreeMap<u64, Algorithm>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table: BTreeMap<u64, Algorithm> = PLAIN.iter().copied().collect();
        for row in HASHES {
            let hash = row.hash;
            let general = Algorithm::Hmac {
                hash,
                general: true,
            };
            let hmac = Algorithm::Hmac {
                hash,
                general: false,
            };
            let rows = [
                (Some(row.digest), Algorithm::Digest(hash)),
                (Some(row.hmac), hmac),
                (Some(row.hmac_general), general),
                (Some(row.key_gen), Algorithm::Generate(Generate::Hmac(hash))),
                (
                    Some(row.derivation),
                    Algorithm::Derive(Derive::Digest(hash)),
                ),
                (row.rsa_pkcs, Algorithm::RsaPkcs(Some(hash))),
                (row.rsa_pss, Algorithm::RsaPss(Some(hash))),
                (row.ecdsa, Algorithm::Ecdsa(Some(hash))),
                (row.ml_dsa, Algorithm::HashMlDsa(Some(hash))),
            ];
            for (number, algorithm) in rows {
                if let Some(number) = number {
                    table.insert(number, algorithm);
                }
            }
        }
        table
    })
}

/// Every mechanism, for `C_GetMechanismList`. `CKM_RSA_PKCS` is the first that signs: some tools try the first.
pub(crate) fn list() -> Vec<u64> {
    table().keys().copied().collect()
}

/// What a mechanism is; `None` for an unknown one.
pub(crate) fn algorithm(mechanism: u64) -> Option<Algorithm> {
    table().get(&mechanism).copied()
}

/// For `C_GetMechanismInfo`; `None` for an unknown mechanism.
pub(crate) fn info(mechanism: u64) -> Option<MechanismInfo> {
    algorithm(mechanism).map(Algorithm::info)
}

/// What a mechanism is, if it has the flag of what is asked of it (`CKF_SIGN`, `CKF_WRAP` …).
pub(crate) fn with_flag(mechanism: u64, flag: u64) -> Option<Algorithm> {
    algorithm(mechanism).filter(|algorithm| algorithm.info().flags & flag != 0)
}

const SIGN: u64 = CKF_SIGN | CKF_VERIFY | CKF_MESSAGE_SIGN | CKF_MESSAGE_VERIFY;
const RECOVER: u64 = CKF_SIGN_RECOVER | CKF_VERIFY_RECOVER;
const ENCRYPT: u64 = CKF_ENCRYPT | CKF_DECRYPT;
const WRAP: u64 = CKF_WRAP | CKF_UNWRAP;
const MESSAGES: u64 = CKF_MESSAGE_ENCRYPT | CKF_MESSAGE_DECRYPT | CKF_MULTI_MESSAGE;
const EC: u64 = CKF_EC_F_P | CKF_EC_OID | CKF_EC_UNCOMPRESS;

impl Algorithm {
    /// Sizes of keys are in bits for RSA, curves and generic secrets, in bytes of the public key for ML-KEM and ML-DSA,
    /// and else in bytes, as the standard has it.
    pub(crate) fn info(self) -> MechanismInfo {
        const AES: (u64, u64) = (16, 32);
        const EC_BITS: (u64, u64) = (256, 521);
        const ML_DSA: (u64, u64) = (1312, 2592);
        const ML_KEM: (u64, u64) = (800, 1568);
        const SECRET: (u64, u64) = (1, MAX_SECRET_BYTES);
        let ((min, max), flags) = match self {
            Self::Digest(_) => ((0, 0), CKF_DIGEST),
            Self::Hmac { .. } => (SECRET, SIGN),
            Self::RsaPkcs(None) => (RSA_BITS, SIGN | RECOVER | ENCRYPT | WRAP),
            Self::RsaRaw => (RSA_BITS, SIGN | RECOVER | ENCRYPT | WRAP),
            Self::RsaPkcs(Some(_)) | Self::RsaPss(_) => (RSA_BITS, SIGN),
            Self::RsaOaep => (RSA_BITS, ENCRYPT | WRAP),
            Self::RsaAesKeyWrap => (RSA_BITS, WRAP),
            Self::Ecdsa(_) => (EC_BITS, SIGN | EC),
            Self::Eddsa => (
                (255, 255),
                SIGN | CKF_EC_F_P | CKF_EC_OID | CKF_EC_CURVENAME,
            ),
            Self::MlDsa | Self::HashMlDsa(_) => (ML_DSA, SIGN),
            Self::MlKem => (ML_KEM, CKF_ENCAPSULATE | CKF_DECAPSULATE),
            Self::Aes(AesMode::Gcm | AesMode::Ccm) => (AES, ENCRYPT | WRAP | MESSAGES),
            Self::Aes(_) => (AES, ENCRYPT | WRAP),
            Self::Cmac { .. } => (AES, SIGN),
            Self::Generate(kind) => match kind {
                Generate::Aes => (AES, CKF_GENERATE),
                Generate::Generic => ((8, 8 * MAX_SECRET_BYTES), CKF_GENERATE),
                Generate::Hmac(_) | Generate::Hkdf | Generate::Pbkdf2 => (SECRET, CKF_GENERATE),
                Generate::RsaPair => (NEW_RSA_BITS, CKF_GENERATE_KEY_PAIR),
                Generate::EcPair => (EC_BITS, CKF_GENERATE_KEY_PAIR | EC),
                Generate::EdwardsPair | Generate::MontgomeryPair => (
                    (255, 255),
                    CKF_GENERATE_KEY_PAIR | CKF_EC_F_P | CKF_EC_OID | CKF_EC_CURVENAME,
                ),
                Generate::MlKemPair => (ML_KEM, CKF_GENERATE_KEY_PAIR),
                Generate::MlDsaPair => (ML_DSA, CKF_GENERATE_KEY_PAIR),
            },
            Self::Derive(kind) => match kind {
                Derive::Ecdh => ((255, 521), CKF_DERIVE | EC),
                Derive::AesEcb | Derive::AesCbc => (AES, CKF_DERIVE),
                _ => (SECRET, CKF_DERIVE),
            },
        };
        MechanismInfo { min, max, flags }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_mechanism_of_the_list_has_its_info() {
        let list = list();
        assert_eq!(
            list.len(),
            list.iter().filter_map(|number| info(*number)).count()
        );
        assert!(list.len() > 120, "{}", list.len());
        assert_eq!(info(CKM_MD5), None);
    }

    #[test]
    fn the_first_mechanism_that_signs_is_rsa() {
        let signs = |number: &&u64| info(**number).is_some_and(|it| it.flags & CKF_SIGN != 0);
        assert_eq!(list().iter().find(signs), Some(&CKM_RSA_PKCS));
    }

    #[test]
    fn infos_of_families() {
        for (number, min, max, flags) in [
            (CKM_SHA256, 0, 0, CKF_DIGEST),
            (CKM_RSA_PKCS_KEY_PAIR_GEN, 1024, 4096, CKF_GENERATE_KEY_PAIR),
            (CKM_AES_KEY_GEN, 16, 32, CKF_GENERATE),
            (CKM_SHA256_HMAC, 1, 16384, SIGN),
        ] {
            assert_eq!(info(number), Some(MechanismInfo { min, max, flags }));
        }
        assert_eq!(with_flag(CKM_SHA256, CKF_SIGN), None);
        assert!(with_flag(CKM_AES_GCM, CKF_ENCRYPT).is_some());
        assert!(with_flag(CKM_RSA_PKCS_PSS, CKF_ENCRYPT).is_none());
    }

    #[test]
    fn no_two_hashes_share_a_number() {
        let count = PLAIN.len()
            + HASHES
                .iter()
                .map(|row| {
                    let optional = [row.rsa_pkcs, row.rsa_pss, row.ecdsa, row.ml_dsa];
                    5 + optional.iter().flatten().count()
                })
                .sum::<usize>();
        assert_eq!(list().len(), count);
    }
}
