//! Parameters of mechanisms that lie.

use std::ptr;

use cryptoki_sys::*;
use slotfs_wire::{Parameter, Request};

use crate::fake::{Fake, Module, call, usual};

fn start<T>(session: CK_SESSION_HANDLE, mechanism: CK_MECHANISM_TYPE, parameter: &mut T) -> CK_RV {
    start_with(session, mechanism, parameter, size_of::<T>())
}

fn start_with<T>(
    session: CK_SESSION_HANDLE,
    mechanism: CK_MECHANISM_TYPE,
    parameter: &mut T,
    length: usize,
) -> CK_RV {
    let mut mechanism = CK_MECHANISM {
        mechanism,
        pParameter: ptr::from_mut(parameter).cast(),
        ulParameterLen: length as CK_ULONG,
    };
    call!(C_EncryptInit, session, &raw mut mechanism, 1)
}

fn gcm(iv: &mut [u8], aad: &mut [u8]) -> CK_GCM_PARAMS {
    CK_GCM_PARAMS {
        pIv: iv.as_mut_ptr(),
        ulIvLen: iv.len() as CK_ULONG,
        ulIvBits: 96,
        pAAD: aad.as_mut_ptr(),
        ulAADLen: aad.len() as CK_ULONG,
        ulTagBits: 128,
    }
}

#[test]
fn what_pointers_point_to_is_sent() {
    let fake = Fake::new(|request, _| usual(request));
    let module = Module::new(&fake);
    let session = module.session();
    let (mut iv, mut aad) = ([3u8; 12], *b"more");
    assert_eq!(
        start(session, CKM_AES_GCM, &mut gcm(&mut iv, &mut aad)),
        CKR_OK
    );
    let mut block = [9u8; 16];
    assert_eq!(start(session, CKM_AES_CBC, &mut block), CKR_OK);
    let parameter = |at: usize, all: &[(Request, Vec<u8>)]| match &all[at].0 {
        Request::Start { mechanism, .. } => mechanism.parameter.clone(),
        other => unreachable!("{other:?}"),
    };
    let asked = fake.requests();
    let expected = Parameter::Gcm {
        iv: vec![3; 12],
        iv_bits: 96,
        aad: b"more".into(),
        tag_bits: 128,
    };
    assert_eq!(parameter(1, &asked), expected);
    assert_eq!(parameter(2, &asked), Parameter::Bytes(vec![9; 16]));
}

#[test]
fn lies_about_lengths_are_refused() {
    let fake = Fake::new(|request, _| usual(request));
    let module = Module::new(&fake);
    let session = module.session();
    fake.requests();
    let (mut iv, mut aad) = ([3u8; 12], *b"more");
    let honest = gcm(&mut iv, &mut aad);
    let wild = ptr::without_provenance_mut(0x1000);
    for mut lie in [
        CK_GCM_PARAMS {
            ulIvLen: CK_ULONG::MAX,
            ..honest
        },
        CK_GCM_PARAMS {
            ulAADLen: CK_ULONG::MAX,
            ..honest
        },
        CK_GCM_PARAMS {
            ulAADLen: 1 << 40,
            ..honest
        },
        CK_GCM_PARAMS {
            pIv: ptr::null_mut(),
            ..honest
        },
        CK_GCM_PARAMS {
            pIv: wild,
            ..honest
        },
        CK_GCM_PARAMS {
            pAAD: wild,
            ..honest
        },
        CK_GCM_PARAMS {
            pAAD: ptr::without_provenance_mut(usize::MAX),
            ..honest
        },
        CK_GCM_PARAMS {
            pAAD: ptr::null_mut(),
            ..honest
        },
        CK_GCM_PARAMS {
            ulIvLen: 1 << 40,
            ..honest
        },
    ] {
        assert_eq!(
            start(session, CKM_AES_GCM, &mut lie),
            CKR_MECHANISM_PARAM_INVALID
        );
    }
    let size = size_of::<CK_GCM_PARAMS>();
    let mut honest = honest;
    for length in (1..size).chain([size + 1, 1 << 30, usize::MAX]) {
        let started = start_with(session, CKM_AES_GCM, &mut honest, length);
        assert_eq!(started, CKR_MECHANISM_PARAM_INVALID, "{length}");
    }
    let mut mechanism = CK_MECHANISM {
        mechanism: CKM_AES_GCM,
        pParameter: wild.cast(),
        ulParameterLen: size as CK_ULONG,
    };
    let nowhere = call!(C_EncryptInit, session, &raw mut mechanism, 1);
    assert_eq!(nowhere, CKR_MECHANISM_PARAM_INVALID);
    mechanism.pParameter = ptr::null_mut();
    let null = call!(C_EncryptInit, session, &raw mut mechanism, 1);
    assert_eq!(null, CKR_MECHANISM_PARAM_INVALID);
    assert_eq!(fake.requests().len(), 0);
    assert_eq!(start(session, CKM_AES_GCM, &mut honest), CKR_OK);
}

/// `CK_GCM_MESSAGE_PARAMS` is as long as `CK_GCM_PARAMS`, and has numbers where the other has pointers. The parameter of each
/// message is the one that counts.
#[test]
fn what_a_message_based_encryption_starts_with_is_ignored() {
    assert_eq!(
        size_of::<CK_GCM_MESSAGE_PARAMS>(),
        size_of::<CK_GCM_PARAMS>()
    );
    let fake = Fake::new(|request, _| usual(request));
    let module = Module::new(&fake);
    let session = module.session();
    fake.requests();
    let (mut iv, mut tag) = ([3u8; 12], [0u8; 16]);
    let mut parameter = CK_GCM_MESSAGE_PARAMS {
        pIv: iv.as_mut_ptr(),
        ulIvLen: 12,
        ulIvFixedBits: 96,
        ivGenerator: CKG_NO_GENERATE,
        pTag: tag.as_mut_ptr(),
        ulTagBits: 128,
    };
    let mut mechanism = CK_MECHANISM {
        mechanism: CKM_AES_GCM,
        pParameter: (&raw mut parameter).cast(),
        ulParameterLen: size_of::<CK_GCM_MESSAGE_PARAMS>() as CK_ULONG,
    };
    assert_eq!(
        call!(C_MessageEncryptInit, session, &raw mut mechanism, 1),
        CKR_OK
    );
    mechanism.pParameter = ptr::without_provenance_mut(0x1000);
    assert_eq!(
        call!(C_MessageDecryptInit, session, &raw mut mechanism, 1),
        CKR_OK
    );
    for (request, _) in fake.requests() {
        match request {
            Request::Start { mechanism, .. } => assert_eq!(mechanism.parameter, Parameter::None),
            other => unreachable!("{other:?}"),
        }
    }
}

/// The mechanisms that have structures, and some that have none, with memory full of wild pointers and lengths.
#[test]
fn wild_structures_crash_nothing() {
    let fake = Fake::new(|request, _| usual(request));
    let module = Module::new(&fake);
    let session = module.session();
    const MECHANISMS: [CK_MECHANISM_TYPE; 23] = [
        CKM_RSA_PKCS,
        CKM_RSA_PKCS_PSS,
        CKM_SHA3_512_RSA_PKCS_PSS,
        CKM_RSA_PKCS_OAEP,
        CKM_RSA_AES_KEY_WRAP,
        CKM_AES_CBC,
        CKM_AES_CTR,
        CKM_AES_GCM,
        CKM_AES_CCM,
        CKM_ECDH1_DERIVE,
        CKM_EDDSA,
        CKM_HKDF_DERIVE,
        CKM_SP800_108_COUNTER_KDF,
        CKM_SP800_108_FEEDBACK_KDF,
        CKM_PKCS5_PBKD2,
        CKM_ML_DSA,
        CKM_HASH_ML_DSA,
        CKM_HASH_ML_DSA_SHA256,
        CKM_AES_ECB_ENCRYPT_DATA,
        CKM_AES_CBC_ENCRYPT_DATA,
        CKM_SHA256_HMAC_GENERAL,
        CKM_CONCATENATE_BASE_AND_KEY,
        CKM_VENDOR_DEFINED + 7,
    ];
    // The first ones are types of the parts of a KDF's input, too.
    for filling in [
        0u64,
        1,
        2,
        3,
        4,
        8,
        0x1000,
        0x4141_4141_4141_4141,
        u64::MAX,
        1 << 19,
    ] {
        let mut memory = [filling; 16];
        for mechanism in MECHANISMS {
            for words in 1..13 {
                let length = words * size_of::<u64>();
                let started = start_with(session, mechanism, &mut memory, length);
                assert!(
                    [CKR_OK, CKR_MECHANISM_PARAM_INVALID].contains(&started),
                    "{mechanism:#x} {length}: {started:#x}"
                );
            }
        }
    }
}
