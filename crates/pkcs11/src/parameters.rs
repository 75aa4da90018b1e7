//! Parameters of mechanisms: which structure a mechanism has, and what its pointers point to. Nothing is read from an address
//! that an application names but by the kernel, so that a parameter that lies about its lengths is refused and crashes
//! nothing.

pub(crate) mod kdf;

use std::mem::{MaybeUninit, size_of};

use cryptoki_sys::*;
use slotfs_wire::{HkdfSalt, Oaep, Parameter, Secret};

use crate::memory::probe;

/// Longest IV, nonce or salt.
pub(crate) const SHORT: usize = 1 << 10;
/// Longest label, shared data, info, additional data.
const LONG: usize = 512 << 10;

/// A structure of the interface: numbers and addresses, in which every pattern of bits is a value.
pub(crate) trait Plain: Copy {}
impl Plain for CK_ULONG {}
impl Plain for CK_RSA_PKCS_PSS_PARAMS {}
impl Plain for CK_RSA_PKCS_OAEP_PARAMS {}
impl Plain for CK_AES_CTR_PARAMS {}
impl Plain for CK_GCM_PARAMS {}
impl Plain for CK_GCM_MESSAGE_PARAMS {}
impl Plain for CK_CCM_MESSAGE_PARAMS {}
impl Plain for CK_CCM_PARAMS {}
impl Plain for CK_ECDH1_DERIVE_PARAMS {}
impl Plain for CK_EDDSA_PARAMS {}
impl Plain for CK_HKDF_PARAMS {}
impl Plain for CK_SP800_108_KDF_PARAMS {}
impl Plain for CK_SP800_108_FEEDBACK_KDF_PARAMS {}
impl Plain for CK_DERIVED_KEY {}
impl Plain for CK_ATTRIBUTE {}
impl Plain for CK_PRF_DATA_PARAM {}
impl Plain for CK_SP800_108_COUNTER_FORMAT {}
impl Plain for CK_SP800_108_DKM_LENGTH_FORMAT {}
impl Plain for CK_PKCS5_PBKD2_PARAMS2 {}
impl Plain for CK_SIGN_ADDITIONAL_CONTEXT {}
impl Plain for CK_HASH_SIGN_ADDITIONAL_CONTEXT {}
impl Plain for CK_KEY_DERIVATION_STRING_DATA {}
impl Plain for CK_AES_CBC_ENCRYPT_DATA_PARAMS {}
impl Plain for CK_RSA_AES_KEY_WRAP_PARAMS {}

/// A structure of exactly that length.
pub(crate) fn structure<T: Plain>(address: *const libc::c_void, length: CK_ULONG) -> Option<T> {
    if length as usize != size_of::<T>() {
        return None;
    }
    at(address.cast())
}

fn at<T: Plain>(address: *const T) -> Option<T> {
    let bytes = probe(address.cast(), size_of::<T>())?;
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: as many bytes as a T has are copied into the place of one, and every pattern of bits is a T (`Plain`).
    unsafe {
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), value.as_mut_ptr().cast::<u8>(), bytes.len());
        Some(value.assume_init())
    }
}

pub(crate) fn bytes(address: *const CK_BYTE, length: CK_ULONG, most: usize) -> Option<Vec<u8>> {
    let length = usize::try_from(length).ok()?;
    (length <= most).then(|| probe(address, length))?
}

/// The parameter of a mechanism; `None` for one that is malformed. A mechanism that the module does not know has bytes.
pub(crate) fn read(it: &CK_MECHANISM) -> Option<Parameter> {
    let (address, length) = (it.pParameter.cast_const(), it.ulParameterLen);
    if length == 0 || address.is_null() {
        // A length without an address is a lie.
        return (length == 0).then_some(Parameter::None);
    }
    match it.mechanism {
        CKM_RSA_PKCS_PSS
        | CKM_SHA1_RSA_PKCS_PSS
        | CKM_SHA224_RSA_PKCS_PSS
        | CKM_SHA256_RSA_PKCS_PSS
        | CKM_SHA384_RSA_PKCS_PSS
        | CKM_SHA512_RSA_PKCS_PSS
        | CKM_SHA3_224_RSA_PKCS_PSS
        | CKM_SHA3_256_RSA_PKCS_PSS
        | CKM_SHA3_384_RSA_PKCS_PSS
        | CKM_SHA3_512_RSA_PKCS_PSS => {
            let it: CK_RSA_PKCS_PSS_PARAMS = structure(address, length)?;
            Some(Parameter::Pss {
                hash: it.hashAlg,
                mgf: it.mgf,
                salt_bytes: it.sLen,
            })
        }
        CKM_RSA_PKCS_OAEP => oaep(structure(address, length)?).map(Parameter::Oaep),
        CKM_RSA_AES_KEY_WRAP => {
            let it: CK_RSA_AES_KEY_WRAP_PARAMS = structure(address, length)?;
            Some(Parameter::RsaAesKeyWrap {
                aes_bits: it.ulAESKeyBits,
                oaep: oaep(at(it.pOAEPParams.cast_const())?)?,
            })
        }
        CKM_AES_CTR => {
            let it: CK_AES_CTR_PARAMS = structure(address, length)?;
            Some(Parameter::Ctr {
                counter_bits: it.ulCounterBits,
                block: it.cb,
            })
        }
        CKM_AES_GCM => gcm(structure(address, length)?),
        CKM_AES_CCM => {
            let it: CK_CCM_PARAMS = structure(address, length)?;
            Some(Parameter::Ccm {
                data_bytes: it.ulDataLen,
                nonce: bytes(it.pNonce, it.ulNonceLen, SHORT)?,
                aad: bytes(it.pAAD, it.ulAADLen, LONG)?,
                mac_bytes: it.ulMACLen,
            })
        }
        CKM_ECDH1_DERIVE | CKM_ECDH1_COFACTOR_DERIVE => {
            let it: CK_ECDH1_DERIVE_PARAMS = structure(address, length)?;
            Some(Parameter::Ecdh1 {
                kdf: it.kdf,
                shared: bytes(it.pSharedData, it.ulSharedDataLen, LONG)?,
                public: bytes(it.pPublicData, it.ulPublicDataLen, SHORT)?,
            })
        }
        CKM_EDDSA => {
            let it: CK_EDDSA_PARAMS = structure(address, length)?;
            Some(Parameter::Eddsa {
                prehash: it.phFlag != 0,
                context: bytes(it.pContextData, it.ulContextDataLen, SHORT)?,
            })
        }
        CKM_HKDF_DERIVE | CKM_HKDF_DATA => hkdf(structure(address, length)?),
        CKM_SP800_108_COUNTER_KDF => kdf::counter(structure(address, length)?),
        CKM_SP800_108_FEEDBACK_KDF => kdf::feedback(structure(address, length)?),
        CKM_PKCS5_PBKD2 => pbkdf2(structure(address, length)?),
        CKM_ML_DSA => {
            let it: CK_SIGN_ADDITIONAL_CONTEXT = structure(address, length)?;
            Some(Parameter::SignContext {
                hedge: it.hedgeVariant,
                context: bytes(it.pContext, it.ulContextLen, SHORT)?,
            })
        }
        CKM_HASH_ML_DSA => {
            let it: CK_HASH_SIGN_ADDITIONAL_CONTEXT = structure(address, length)?;
            Some(Parameter::HashSignContext {
                hedge: it.hedgeVariant,
                context: bytes(it.pContext, it.ulContextLen, SHORT)?,
                hash: it.hash,
            })
        }
        CKM_HASH_ML_DSA_SHA224
        | CKM_HASH_ML_DSA_SHA256
        | CKM_HASH_ML_DSA_SHA384
        | CKM_HASH_ML_DSA_SHA512
        | CKM_HASH_ML_DSA_SHA3_224
        | CKM_HASH_ML_DSA_SHA3_256
        | CKM_HASH_ML_DSA_SHA3_384
        | CKM_HASH_ML_DSA_SHA3_512
        | CKM_HASH_ML_DSA_SHAKE128
        | CKM_HASH_ML_DSA_SHAKE256 => {
            let it: CK_SIGN_ADDITIONAL_CONTEXT = structure(address, length)?;
            Some(Parameter::SignContext {
                hedge: it.hedgeVariant,
                context: bytes(it.pContext, it.ulContextLen, SHORT)?,
            })
        }
        CKM_AES_ECB_ENCRYPT_DATA
        | CKM_CONCATENATE_BASE_AND_DATA
        | CKM_CONCATENATE_DATA_AND_BASE
        | CKM_XOR_BASE_AND_DATA => {
            let it: CK_KEY_DERIVATION_STRING_DATA = structure(address, length)?;
            Some(Parameter::DerivationData {
                iv: None,
                data: bytes(it.pData, it.ulLen, LONG)?,
            })
        }
        CKM_AES_CBC_ENCRYPT_DATA => {
            let it: CK_AES_CBC_ENCRYPT_DATA_PARAMS = structure(address, length)?;
            Some(Parameter::DerivationData {
                iv: Some(it.iv),
                data: bytes(it.pData, it.length, LONG)?,
            })
        }
        CKM_AES_CMAC_GENERAL
        | CKM_SHA_1_HMAC_GENERAL
        | CKM_SHA224_HMAC_GENERAL
        | CKM_SHA256_HMAC_GENERAL
        | CKM_SHA384_HMAC_GENERAL
        | CKM_SHA512_HMAC_GENERAL
        | CKM_SHA3_224_HMAC_GENERAL
        | CKM_SHA3_256_HMAC_GENERAL
        | CKM_SHA3_384_HMAC_GENERAL
        | CKM_SHA3_512_HMAC_GENERAL
        | CKM_SHA512_256_HMAC_GENERAL
        | CKM_CONCATENATE_BASE_AND_KEY
        | CKM_EXTRACT_KEY_FROM_KEY => structure(address, length).map(Parameter::Number),
        _ => bytes(address.cast(), length, SHORT).map(Parameter::Bytes),
    }
}

fn oaep(it: CK_RSA_PKCS_OAEP_PARAMS) -> Option<Oaep> {
    Some(Oaep {
        hash: it.hashAlg,
        mgf: it.mgf,
        source: it.source,
        label: bytes(it.pSourceData.cast_const().cast(), it.ulSourceDataLen, LONG)?,
    })
}

fn gcm(it: CK_GCM_PARAMS) -> Option<Parameter> {
    Some(Parameter::Gcm {
        iv: bytes(it.pIv, it.ulIvLen, SHORT)?,
        iv_bits: it.ulIvBits,
        aad: bytes(it.pAAD, it.ulAADLen, LONG)?,
        tag_bits: it.ulTagBits,
    })
}

fn hkdf(it: CK_HKDF_PARAMS) -> Option<Parameter> {
    let salt = match it.ulSaltType {
        CKF_HKDF_SALT_NULL => HkdfSalt::Null,
        CKF_HKDF_SALT_DATA => HkdfSalt::Data(bytes(it.pSalt, it.ulSaltLen, LONG)?),
        CKF_HKDF_SALT_KEY => HkdfSalt::Key(it.hSaltKey),
        _ => return None,
    };
    Some(Parameter::Hkdf {
        extract: it.bExtract != 0,
        expand: it.bExpand != 0,
        hash: it.prfHashMechanism,
        salt,
        info: bytes(it.pInfo, it.ulInfoLen, LONG)?,
    })
}

/// `CK_PKCS5_PBKD2_PARAMS` is as long as `CK_PKCS5_PBKD2_PARAMS2`, and has the address of the password's length where the
/// other has the length: no password is as long as an address is high.
fn pbkdf2(it: CK_PKCS5_PBKD2_PARAMS2) -> Option<Parameter> {
    let length = match usize::try_from(it.ulPasswordLen).ok()? {
        length if length <= LONG => it.ulPasswordLen,
        address => at::<CK_ULONG>(address as *const CK_ULONG)?,
    };
    Some(Parameter::Pbkdf2 {
        source: it.saltSource,
        salt: bytes(
            it.pSaltSourceData.cast_const().cast(),
            it.ulSaltSourceDataLen,
            LONG,
        )?,
        iterations: it.iterations,
        prf: it.prf,
        password: Secret::from(bytes(it.pPassword, length, LONG)?),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Mechanisms with a parameter of their own, and one that is unknown.
    const ALL: [CK_MECHANISM_TYPE; 22] = [
        CKM_RSA_PKCS_PSS,
        CKM_RSA_PKCS_OAEP,
        CKM_RSA_AES_KEY_WRAP,
        CKM_AES_CTR,
        CKM_AES_GCM,
        CKM_AES_CCM,
        CKM_ECDH1_DERIVE,
        CKM_EDDSA,
        CKM_HKDF_DERIVE,
        CKM_HKDF_DATA,
        CKM_SP800_108_COUNTER_KDF,
        CKM_SP800_108_FEEDBACK_KDF,
        CKM_PKCS5_PBKD2,
        CKM_ML_DSA,
        CKM_HASH_ML_DSA,
        CKM_HASH_ML_DSA_SHA256,
        CKM_AES_ECB_ENCRYPT_DATA,
        CKM_AES_CBC_ENCRYPT_DATA,
        CKM_XOR_BASE_AND_DATA,
        CKM_AES_CMAC_GENERAL,
        CKM_AES_CBC,
        CKM_VENDOR_DEFINED,
    ];

    /// Numbers as a careless or hostile application leaves them: small lengths, huge ones, addresses of nothing.
    fn word() -> impl Strategy<Value = u64> {
        prop_oneof![
            0..70u64,
            any::<u64>(),
            Just(u64::MAX),
            Just(1 << 47),
            (0..4096u64).prop_map(|it| it << 12)
        ]
    }

    proptest! {
        /// No parameter of any mechanism crashes the application, whatever it holds and wherever it points.
        #[test]
        fn nothing_that_a_parameter_says_is_believed(
            words in prop::collection::vec(word(), 12),
            which in 0..ALL.len(),
            claimed in prop_oneof![0..=96u64, any::<u64>()],
            itself in any::<[bool; 12]>(),
        ) {
            let mut words = words;
            let own = words.as_ptr() as u64;
            // Some of the addresses are real, so that what is nested there is followed.
            for (word, itself) in words.iter_mut().zip(itself) {
                if itself {
                    *word = own;
                }
            }
            let mechanism = CK_MECHANISM {
                mechanism: ALL[which],
                pParameter: words.as_mut_ptr().cast(),
                ulParameterLen: claimed,
            };
            let _ = read(&mechanism);
            let _ = kdf::places(&mechanism);
            for claimed in (0..=96).step_by(8) {
                let _ = read(&CK_MECHANISM { ulParameterLen: claimed, ..mechanism });
            }
        }
    }
}
