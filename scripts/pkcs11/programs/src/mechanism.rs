//! Mechanisms with their parameters, owned until the call that reads them is over.

use std::ptr::null_mut;

use crate::sys::*;

/// The parameter of a mechanism, by the structure that carries it.
#[derive(Clone, Debug)]
pub enum Param {
    None,
    /// As it is: an IV, a length, a structure that a test has made by hand.
    Bytes(Vec<u8>),
    Gcm {
        iv: Vec<u8>,
        aad: Vec<u8>,
        tag_bits: u64,
    },
    Ccm {
        data_bytes: u64,
        nonce: Vec<u8>,
        aad: Vec<u8>,
        mac_bytes: u64,
    },
    Pss {
        hash: u64,
        mgf: u64,
        salt_bytes: u64,
    },
    Oaep {
        hash: u64,
        mgf: u64,
        label: Vec<u8>,
    },
    Ecdh {
        public: Vec<u8>,
    },
    Hkdf {
        hash: u64,
        salt: Vec<u8>,
        info: Vec<u8>,
    },
    /// CKM_ML_DSA and the context of its signature.
    Context(Vec<u8>),
}

#[derive(Clone, Debug)]
pub struct Mechanism {
    pub number: CK_MECHANISM_TYPE,
    pub param: Param,
}

impl Mechanism {
    pub fn new(number: CK_MECHANISM_TYPE, param: Param) -> Self {
        Self { number, param }
    }

    pub fn plain(number: CK_MECHANISM_TYPE) -> Self {
        Self::new(number, Param::None)
    }

    /// Hands the C structure to `call`. Pointers in it live until it returns.
    pub fn with<R>(&self, call: impl FnOnce(*mut CK_MECHANISM) -> R) -> R {
        let number = self.number;
        // Modules read parameters and do not write them; the C types have no const.
        let bytes = |bytes: &[u8]| {
            if bytes.is_empty() {
                null_mut()
            } else {
                bytes.as_ptr().cast_mut()
            }
        };
        match &self.param {
            Param::None => call(&mut CK_MECHANISM {
                mechanism: number,
                pParameter: null_mut(),
                ulParameterLen: 0,
            }),
            Param::Bytes(value) => call(&mut CK_MECHANISM {
                mechanism: number,
                pParameter: bytes(value).cast(),
                ulParameterLen: value.len() as CK_ULONG,
            }),
            Param::Gcm { iv, aad, tag_bits } => with_struct(
                number,
                CK_GCM_PARAMS {
                    pIv: bytes(iv),
                    ulIvLen: iv.len() as CK_ULONG,
                    ulIvBits: 8 * iv.len() as CK_ULONG,
                    pAAD: bytes(aad),
                    ulAADLen: aad.len() as CK_ULONG,
                    ulTagBits: *tag_bits,
                },
                call,
            ),
            Param::Ccm {
                data_bytes,
                nonce,
                aad,
                mac_bytes,
            } => with_struct(
                number,
                CK_CCM_PARAMS {
                    ulDataLen: *data_bytes,
                    pNonce: bytes(nonce),
                    ulNonceLen: nonce.len() as CK_ULONG,
                    pAAD: bytes(aad),
                    ulAADLen: aad.len() as CK_ULONG,
                    ulMACLen: *mac_bytes,
                },
                call,
            ),
            Param::Pss {
                hash,
                mgf,
                salt_bytes,
            } => with_struct(
                number,
                CK_RSA_PKCS_PSS_PARAMS {
                    hashAlg: *hash,
                    mgf: *mgf,
                    sLen: *salt_bytes,
                },
                call,
            ),
            Param::Oaep { hash, mgf, label } => with_struct(
                number,
                CK_RSA_PKCS_OAEP_PARAMS {
                    hashAlg: *hash,
                    mgf: *mgf,
                    source: CKZ_DATA_SPECIFIED,
                    pSourceData: bytes(label).cast(),
                    ulSourceDataLen: label.len() as CK_ULONG,
                },
                call,
            ),
            Param::Ecdh { public } => with_struct(
                number,
                CK_ECDH1_DERIVE_PARAMS {
                    kdf: CKD_NULL,
                    ulSharedDataLen: 0,
                    pSharedData: null_mut(),
                    ulPublicDataLen: public.len() as CK_ULONG,
                    pPublicData: bytes(public),
                },
                call,
            ),
            Param::Hkdf { hash, salt, info } => with_struct(
                number,
                CK_HKDF_PARAMS {
                    bExtract: CK_TRUE,
                    bExpand: CK_TRUE,
                    prfHashMechanism: *hash,
                    ulSaltType: if salt.is_empty() {
                        CKF_HKDF_SALT_NULL
                    } else {
                        CKF_HKDF_SALT_DATA
                    },
                    pSalt: bytes(salt),
                    ulSaltLen: salt.len() as CK_ULONG,
                    hSaltKey: 0,
                    pInfo: bytes(info),
                    ulInfoLen: info.len() as CK_ULONG,
                },
                call,
            ),
            Param::Context(context) => with_struct(
                number,
                CK_SIGN_ADDITIONAL_CONTEXT {
                    hedgeVariant: CKH_HEDGE_PREFERRED,
                    pContext: bytes(context),
                    ulContextLen: context.len() as CK_ULONG,
                },
                call,
            ),
        }
    }
}

fn with_struct<T, R>(
    number: CK_MECHANISM_TYPE,
    mut param: T,
    call: impl FnOnce(*mut CK_MECHANISM) -> R,
) -> R {
    call(&mut CK_MECHANISM {
        mechanism: number,
        pParameter: (&raw mut param).cast(),
        ulParameterLen: size_of::<T>() as CK_ULONG,
    })
}
