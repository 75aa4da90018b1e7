//! The numbers of each hash function: its mechanisms, its mask generation functions, its key derivation functions.

use slotfs_crypto::Hash;
use slotfs_wire::numbers::*;

/// The mechanisms and parameters that a hash function is in.
pub(crate) struct HashNumbers {
    pub(crate) hash: Hash,
    /// Bytes of a digest.
    pub(crate) bytes: usize,
    pub(crate) digest: u64,
    pub(crate) hmac: u64,
    pub(crate) hmac_general: u64,
    /// `CKM_…_KEY_GEN`, and the key type that it makes.
    pub(crate) key_gen: u64,
    pub(crate) key_type: u32,
    /// `CKM_…_KEY_DERIVATION`
    pub(crate) derivation: u64,
    pub(crate) rsa_pkcs: Option<u64>,
    pub(crate) rsa_pss: Option<u64>,
    pub(crate) ecdsa: Option<u64>,
    pub(crate) ml_dsa: Option<u64>,
    pub(crate) mgf: Option<u64>,
    /// CKD numbers: of X9.63, and of SP 800-56A.
    pub(crate) kdf: Option<(u64, u64)>,
    /// A CKP number of PBKDF2.
    pub(crate) pbkdf2: Option<u64>,
}

/// Every hash function.
pub(crate) static HASHES: &[HashNumbers] = &[
    HashNumbers {
        hash: Hash::Sha1,
        bytes: 20,
        digest: CKM_SHA_1,
        hmac: CKM_SHA_1_HMAC,
        hmac_general: CKM_SHA_1_HMAC_GENERAL,
        key_gen: CKM_SHA_1_KEY_GEN,
        key_type: 0x28,
        derivation: CKM_SHA1_KEY_DERIVATION,
        rsa_pkcs: Some(CKM_SHA1_RSA_PKCS),
        rsa_pss: Some(CKM_SHA1_RSA_PKCS_PSS),
        ecdsa: Some(CKM_ECDSA_SHA1),
        ml_dsa: None,
        mgf: Some(CKG_MGF1_SHA1),
        kdf: Some((CKD_SHA1_KDF, CKD_SHA1_KDF_SP800)),
        pbkdf2: Some(CKP_PKCS5_PBKD2_HMAC_SHA1),
    },
    HashNumbers {
        hash: Hash::Sha224,
        bytes: 28,
        digest: CKM_SHA224,
        hmac: CKM_SHA224_HMAC,
        hmac_general: CKM_SHA224_HMAC_GENERAL,
        key_gen: CKM_SHA224_KEY_GEN,
        key_type: 0x2e,
        derivation: CKM_SHA224_KEY_DERIVATION,
        rsa_pkcs: Some(CKM_SHA224_RSA_PKCS),
        rsa_pss: Some(CKM_SHA224_RSA_PKCS_PSS),
        ecdsa: Some(CKM_ECDSA_SHA224),
        ml_dsa: Some(CKM_HASH_ML_DSA_SHA224),
        mgf: Some(CKG_MGF1_SHA224),
        kdf: Some((CKD_SHA224_KDF, CKD_SHA224_KDF_SP800)),
        pbkdf2: Some(CKP_PKCS5_PBKD2_HMAC_SHA224),
    },
    HashNumbers {
        hash: Hash::Sha256,
        bytes: 32,
        digest: CKM_SHA256,
        hmac: CKM_SHA256_HMAC,
        hmac_general: CKM_SHA256_HMAC_GENERAL,
        key_gen: CKM_SHA256_KEY_GEN,
        key_type: 0x2b,
        derivation: CKM_SHA256_KEY_DERIVATION,
        rsa_pkcs: Some(CKM_SHA256_RSA_PKCS),
        rsa_pss: Some(CKM_SHA256_RSA_PKCS_PSS),
        ecdsa: Some(CKM_ECDSA_SHA256),
        ml_dsa: Some(CKM_HASH_ML_DSA_SHA256),
        mgf: Some(CKG_MGF1_SHA256),
        kdf: Some((CKD_SHA256_KDF, CKD_SHA256_KDF_SP800)),
        pbkdf2: Some(CKP_PKCS5_PBKD2_HMAC_SHA256),
    },
    HashNumbers {
        hash: Hash::Sha384,
        bytes: 48,
        digest: CKM_SHA384,
        hmac: CKM_SHA384_HMAC,
        hmac_general: CKM_SHA384_HMAC_GENERAL,
        key_gen: CKM_SHA384_KEY_GEN,
        key_type: 0x2c,
        derivation: CKM_SHA384_KEY_DERIVATION,
        rsa_pkcs: Some(CKM_SHA384_RSA_PKCS),
        rsa_pss: Some(CKM_SHA384_RSA_PKCS_PSS),
        ecdsa: Some(CKM_ECDSA_SHA384),
        ml_dsa: Some(CKM_HASH_ML_DSA_SHA384),
        mgf: Some(CKG_MGF1_SHA384),
        kdf: Some((CKD_SHA384_KDF, CKD_SHA384_KDF_SP800)),
        pbkdf2: Some(CKP_PKCS5_PBKD2_HMAC_SHA384),
    },
    HashNumbers {
        hash: Hash::Sha512,
        bytes: 64,
        digest: CKM_SHA512,
        hmac: CKM_SHA512_HMAC,
        hmac_general: CKM_SHA512_HMAC_GENERAL,
        key_gen: CKM_SHA512_KEY_GEN,
        key_type: 0x2d,
        derivation: CKM_SHA512_KEY_DERIVATION,
        rsa_pkcs: Some(CKM_SHA512_RSA_PKCS),
        rsa_pss: Some(CKM_SHA512_RSA_PKCS_PSS),
        ecdsa: Some(CKM_ECDSA_SHA512),
        ml_dsa: Some(CKM_HASH_ML_DSA_SHA512),
        mgf: Some(CKG_MGF1_SHA512),
        kdf: Some((CKD_SHA512_KDF, CKD_SHA512_KDF_SP800)),
        pbkdf2: Some(CKP_PKCS5_PBKD2_HMAC_SHA512),
    },
    HashNumbers {
        hash: Hash::Sha512_256,
        bytes: 32,
        digest: CKM_SHA512_256,
        hmac: CKM_SHA512_256_HMAC,
        hmac_general: CKM_SHA512_256_HMAC_GENERAL,
        key_gen: CKM_SHA512_256_KEY_GEN,
        key_type: 0x44,
        derivation: CKM_SHA512_256_KEY_DERIVATION,
        rsa_pkcs: None,
        rsa_pss: None,
        ecdsa: None,
        ml_dsa: None,
        mgf: None,
        kdf: None,
        pbkdf2: Some(CKP_PKCS5_PBKD2_HMAC_SHA512_256),
    },
    HashNumbers {
        hash: Hash::Sha3_224,
        bytes: 28,
        digest: CKM_SHA3_224,
        hmac: CKM_SHA3_224_HMAC,
        hmac_general: CKM_SHA3_224_HMAC_GENERAL,
        key_gen: CKM_SHA3_224_KEY_GEN,
        key_type: 0x36,
        derivation: CKM_SHA3_224_KEY_DERIVATION,
        rsa_pkcs: Some(CKM_SHA3_224_RSA_PKCS),
        rsa_pss: Some(CKM_SHA3_224_RSA_PKCS_PSS),
        ecdsa: Some(CKM_ECDSA_SHA3_224),
        ml_dsa: Some(CKM_HASH_ML_DSA_SHA3_224),
        mgf: Some(CKG_MGF1_SHA3_224),
        kdf: Some((CKD_SHA3_224_KDF, CKD_SHA3_224_KDF_SP800)),
        pbkdf2: None,
    },
    HashNumbers {
        hash: Hash::Sha3_256,
        bytes: 32,
        digest: CKM_SHA3_256,
        hmac: CKM_SHA3_256_HMAC,
        hmac_general: CKM_SHA3_256_HMAC_GENERAL,
        key_gen: CKM_SHA3_256_KEY_GEN,
        key_type: 0x37,
        derivation: CKM_SHA3_256_KEY_DERIVATION,
        rsa_pkcs: Some(CKM_SHA3_256_RSA_PKCS),
        rsa_pss: Some(CKM_SHA3_256_RSA_PKCS_PSS),
        ecdsa: Some(CKM_ECDSA_SHA3_256),
        ml_dsa: Some(CKM_HASH_ML_DSA_SHA3_256),
        mgf: Some(CKG_MGF1_SHA3_256),
        kdf: Some((CKD_SHA3_256_KDF, CKD_SHA3_256_KDF_SP800)),
        pbkdf2: None,
    },
    HashNumbers {
        hash: Hash::Sha3_384,
        bytes: 48,
        digest: CKM_SHA3_384,
        hmac: CKM_SHA3_384_HMAC,
        hmac_general: CKM_SHA3_384_HMAC_GENERAL,
        key_gen: CKM_SHA3_384_KEY_GEN,
        key_type: 0x38,
        derivation: CKM_SHA3_384_KEY_DERIVATION,
        rsa_pkcs: Some(CKM_SHA3_384_RSA_PKCS),
        rsa_pss: Some(CKM_SHA3_384_RSA_PKCS_PSS),
        ecdsa: Some(CKM_ECDSA_SHA3_384),
        ml_dsa: Some(CKM_HASH_ML_DSA_SHA3_384),
        mgf: Some(CKG_MGF1_SHA3_384),
        kdf: Some((CKD_SHA3_384_KDF, CKD_SHA3_384_KDF_SP800)),
        pbkdf2: None,
    },
    HashNumbers {
        hash: Hash::Sha3_512,
        bytes: 64,
        digest: CKM_SHA3_512,
        hmac: CKM_SHA3_512_HMAC,
        hmac_general: CKM_SHA3_512_HMAC_GENERAL,
        key_gen: CKM_SHA3_512_KEY_GEN,
        key_type: 0x39,
        derivation: CKM_SHA3_512_KEY_DERIVATION,
        rsa_pkcs: Some(CKM_SHA3_512_RSA_PKCS),
        rsa_pss: Some(CKM_SHA3_512_RSA_PKCS_PSS),
        ecdsa: Some(CKM_ECDSA_SHA3_512),
        ml_dsa: Some(CKM_HASH_ML_DSA_SHA3_512),
        mgf: Some(CKG_MGF1_SHA3_512),
        kdf: Some((CKD_SHA3_512_KDF, CKD_SHA3_512_KDF_SP800)),
        pbkdf2: None,
    },
];

fn find(is: impl Fn(&HashNumbers) -> bool) -> Option<&'static HashNumbers> {
    HASHES.iter().find(|row| is(row))
}

/// The hash function of a digest mechanism.
pub(crate) fn of_digest(mechanism: u64) -> Option<Hash> {
    find(|row| row.digest == mechanism).map(|row| row.hash)
}

/// The hash function of an HMAC mechanism, as the PRF of key derivation names it: also by the digest's number.
pub(crate) fn of_prf(mechanism: u64) -> Option<Hash> {
    find(|row| row.hmac == mechanism || row.digest == mechanism).map(|row| row.hash)
}

/// The hash function of a mask generation function.
pub(crate) fn of_mgf(mgf: u64) -> Option<Hash> {
    find(|row| row.mgf == Some(mgf)).map(|row| row.hash)
}

/// The hash function of a PRF of PBKDF2.
pub(crate) fn of_pbkdf2(prf: u64) -> Option<Hash> {
    find(|row| row.pbkdf2 == Some(prf)).map(|row| row.hash)
}

/// The row of a hash function.
pub(crate) fn row(hash: Hash) -> Option<&'static HashNumbers> {
    find(|row| row.hash == hash)
}

/// The row of a key type of HMAC keys.
pub(crate) fn of_key_type(key_type: u32) -> Option<&'static HashNumbers> {
    find(|row| row.key_type == key_type)
}
