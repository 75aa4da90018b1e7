//! Mechanisms with their parameters, after the module followed every pointer in them.

use bincode::{Decode, Encode};

use crate::{Secret, Template};

/// One `CK_MECHANISM`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Mechanism {
    /// Its CKM number.
    pub number: u64,
    /// Its parameter.
    pub parameter: Parameter,
}

/// The parameter of a mechanism. The module knows from the mechanism's number which structure is at `pParameter`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Parameter {
    /// `pParameter` is null or `ulParameterLen` is 0.
    None,
    /// Bytes as they are: an IV, or the parameter of a mechanism that the module does not know.
    Bytes(Vec<u8>),
    /// A `CK_ULONG`: `CK_MAC_GENERAL_PARAMS`, `CK_EXTRACT_PARAMS`, a hash mechanism or an object handle.
    Number(u64),
    /// `CK_RSA_PKCS_PSS_PARAMS`.
    Pss {
        /// A CKM number of a hash.
        hash: u64,
        /// A CKG number.
        mgf: u64,
        /// Length of the salt.
        salt_bytes: u64,
    },
    /// `CK_RSA_PKCS_OAEP_PARAMS`.
    Oaep(Oaep),
    /// `CK_AES_CTR_PARAMS`.
    Ctr {
        /// Bits of the block that count.
        counter_bits: u64,
        /// The first block.
        block: [u8; 16],
    },
    /// `CK_GCM_PARAMS`.
    Gcm {
        /// The IV.
        iv: Vec<u8>,
        /// `ulIvBits`.
        iv_bits: u64,
        /// Additional authenticated data.
        aad: Vec<u8>,
        /// `ulTagBits`.
        tag_bits: u64,
    },
    /// `CK_CCM_PARAMS`.
    Ccm {
        /// `ulDataLen`: bytes of the plaintext, or of the ciphertext without its tag.
        data_bytes: u64,
        /// The nonce.
        nonce: Vec<u8>,
        /// Additional authenticated data.
        aad: Vec<u8>,
        /// `ulMACLen`.
        mac_bytes: u64,
    },
    /// `CK_ECDH1_DERIVE_PARAMS`.
    Ecdh1 {
        /// A CKD number.
        kdf: u64,
        /// `pSharedData`.
        shared: Vec<u8>,
        /// The other side's public point or value.
        public: Vec<u8>,
    },
    /// `CK_EDDSA_PARAMS`.
    Eddsa {
        /// `phFlag`.
        prehash: bool,
        /// `pContextData`.
        context: Vec<u8>,
    },
    /// `CK_HKDF_PARAMS`.
    Hkdf {
        /// `bExtract`.
        extract: bool,
        /// `bExpand`.
        expand: bool,
        /// A CKM number of a hash.
        hash: u64,
        /// The salt.
        salt: HkdfSalt,
        /// The info.
        info: Vec<u8>,
    },
    /// `CK_SP800_108_KDF_PARAMS`.
    CounterKdf {
        /// A CKM number of the PRF.
        prf: u64,
        /// The PRF's input, part by part.
        parts: Vec<KdfPart>,
        /// The templates of `pAdditionalDerivedKeys`.
        additional_keys: Vec<Template>,
    },
    /// `CK_SP800_108_FEEDBACK_KDF_PARAMS`.
    FeedbackKdf {
        /// A CKM number of the PRF.
        prf: u64,
        /// The PRF's input, part by part.
        parts: Vec<KdfPart>,
        /// The templates of `pAdditionalDerivedKeys`.
        additional_keys: Vec<Template>,
        /// The IV; empty without one.
        iv: Vec<u8>,
    },
    /// `CK_PKCS5_PBKD2_PARAMS` and `CK_PKCS5_PBKD2_PARAMS2`.
    Pbkdf2 {
        /// `CKZ_SALT_SPECIFIED`.
        source: u64,
        /// The salt.
        salt: Vec<u8>,
        /// Iterations.
        iterations: u64,
        /// A CKP number.
        prf: u64,
        /// The password.
        password: Secret,
    },
    /// `CK_SIGN_ADDITIONAL_CONTEXT` of ML-DSA.
    SignContext {
        /// `CKH_HEDGE_PREFERRED`, `CKH_HEDGE_REQUIRED` or `CKH_DETERMINISTIC_REQUIRED`.
        hedge: u64,
        /// The context.
        context: Vec<u8>,
    },
    /// `CK_HASH_SIGN_ADDITIONAL_CONTEXT` of HashML-DSA.
    HashSignContext {
        /// As in [`Self::SignContext`].
        hedge: u64,
        /// The context.
        context: Vec<u8>,
        /// A CKM number of a hash.
        hash: u64,
    },
    /// `CK_KEY_DERIVATION_STRING_DATA`, and with an IV `CK_AES_CBC_ENCRYPT_DATA_PARAMS`.
    DerivationData {
        /// The IV, where there is one.
        iv: Option<[u8; 16]>,
        /// The data.
        data: Vec<u8>,
    },
    /// `CK_RSA_AES_KEY_WRAP_PARAMS`.
    RsaAesKeyWrap {
        /// Bits of the temporary AES key.
        aes_bits: u64,
        /// `pOAEPParams`.
        oaep: Oaep,
    },
}

impl Parameter {
    /// The templates of the keys that one derivation makes beside its first.
    pub fn additional_keys(&self) -> &[Template] {
        match self {
            Self::CounterKdf {
                additional_keys, ..
            }
            | Self::FeedbackKdf {
                additional_keys, ..
            } => additional_keys,
            _ => &[],
        }
    }
}

/// `CK_RSA_PKCS_OAEP_PARAMS`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Oaep {
    /// A CKM number of a hash.
    pub hash: u64,
    /// A CKG number.
    pub mgf: u64,
    /// `CKZ_DATA_SPECIFIED`, or 0 without a label.
    pub source: u64,
    /// The label.
    pub label: Vec<u8>,
}

/// The salt of HKDF.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum HkdfSalt {
    /// `CKF_HKDF_SALT_NULL`.
    Null,
    /// `CKF_HKDF_SALT_DATA`.
    Data(Vec<u8>),
    /// `CKF_HKDF_SALT_KEY`: an object handle.
    Key(u64),
}

/// One `CK_PRF_DATA_PARAM`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum KdfPart {
    /// `CK_SP800_108_ITERATION_VARIABLE` with `CK_SP800_108_COUNTER_FORMAT`.
    Iteration {
        /// `bLittleEndian`.
        little_endian: bool,
        /// Width of the counter, bits; 0 without a format, as feedback mode has it.
        bits: u64,
    },
    /// `CK_SP800_108_COUNTER`, refused in counter mode.
    Counter {
        /// `bLittleEndian`.
        little_endian: bool,
        /// Width, bits.
        bits: u64,
    },
    /// `CK_SP800_108_DKM_LENGTH`.
    Length {
        /// `CK_SP800_108_DKM_LENGTH_SUM_OF_KEYS` or `…_SUM_OF_SEGMENTS`.
        method: u64,
        /// `bLittleEndian`.
        little_endian: bool,
        /// Width, bits.
        bits: u64,
    },
    /// `CK_SP800_108_BYTE_ARRAY`.
    Bytes(Vec<u8>),
}
