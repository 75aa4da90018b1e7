//! The module through its C interface, with a server that answers as each test says.
#![allow(missing_docs, clippy::unwrap_used)]

mod fake;

use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cryptoki_sys::*;
use fake::{Answer, Module, c};
use slotfs_wire::{
    Got, MAX_DATA_BYTES, Operation, Parameter, Preamble, RawValue, Reply, Request, Secret,
};

fn done() -> Answer {
    Some((Reply::Done, Vec::new()))
}

fn reply(reply: Reply) -> Answer {
    Some((reply, Vec::new()))
}

/// Sessions open, everything else is done.
fn agreeable(request: &Request, _: &[u8]) -> Answer {
    match request {
        Request::OpenSession { .. } => reply(Reply::Handle(5)),
        _ => done(),
    }
}

fn open(module: &Module) -> CK_SESSION_HANDLE {
    let mut session = 0;
    let flags = CKF_SERIAL_SESSION;
    let opened = c!(
        module,
        C_OpenSession,
        1,
        flags,
        null_mut(),
        None,
        &raw mut session
    );
    assert_eq!(opened, CKR_OK);
    session
}

fn mechanism(number: CK_MECHANISM_TYPE) -> CK_MECHANISM {
    CK_MECHANISM {
        mechanism: number,
        pParameter: null_mut(),
        ulParameterLen: 0,
    }
}

#[test]
fn every_function_of_every_list_is_there() {
    let mut count = 0;
    // SAFETY: there is a place for the count, then for the interfaces.
    let all = unsafe {
        assert_eq!(
            slotfs_pkcs11::C_GetInterfaceList(null_mut(), &raw mut count),
            CKR_OK
        );
        let mut all: Vec<CK_INTERFACE> = Vec::with_capacity(count as usize);
        assert_eq!(
            slotfs_pkcs11::C_GetInterfaceList(all.as_mut_ptr(), &raw mut count),
            CKR_OK
        );
        all.set_len(count as usize);
        all
    };
    assert_eq!(all.len(), 3);
    for interface in all {
        // SAFETY: every list begins with its version, and holds pointers from the next multiple of 8 on.
        let (version, bytes) = unsafe {
            let version = *interface.pFunctionList.cast::<CK_VERSION>();
            let bytes = match (version.major, version.minor) {
                (2, 40) => size_of::<CK_FUNCTION_LIST>(),
                (3, 0) => size_of::<CK_FUNCTION_LIST_3_0>(),
                (3, 2) => size_of::<CK_FUNCTION_LIST_3_2>(),
                other => panic!("{other:?}"),
            };
            (version, bytes)
        };
        for at in 1..bytes / 8 {
            // SAFETY: as above.
            let function = unsafe { *interface.pFunctionList.cast::<usize>().add(at) };
            assert_ne!(
                function, 0,
                "function {at} of {}.{}",
                version.major, version.minor
            );
        }
    }
}

#[test]
fn calls_become_requests() {
    let module = Module::new(|request, data| match request {
        Request::Find { .. } => reply(Reply::Handles(vec![11, 12])),
        Request::Whole { .. } => Some((Reply::Output { bytes: 3 }, data[..3].to_vec())),
        request => agreeable(request, data),
    });
    let session = open(&module);
    let mut pin = *b"12345678";
    assert_eq!(
        c!(module, C_Login, session, CKU_USER, pin.as_mut_ptr(), 8),
        CKR_OK
    );
    let mut class = CKO_PRIVATE_KEY;
    let mut template = [CK_ATTRIBUTE {
        type_: CKA_CLASS,
        pValue: (&raw mut class).cast(),
        ulValueLen: 8,
    }];
    assert_eq!(
        c!(module, C_FindObjectsInit, session, template.as_mut_ptr(), 1),
        CKR_OK
    );
    let (mut found, mut count) = ([0; 4], 0);
    let find = c!(
        module,
        C_FindObjects,
        session,
        found.as_mut_ptr(),
        4,
        &raw mut count
    );
    assert_eq!((find, count, found), (CKR_OK, 2, [11, 12, 0, 0]));
    let mut ecdsa = mechanism(CKM_ECDSA);
    assert_eq!(c!(module, C_SignInit, session, &raw mut ecdsa, 11), CKR_OK);
    let (mut data, mut signature, mut length) = (*b"hash", [0u8; 8], 8);
    let signed = c!(
        module,
        C_Sign,
        session,
        data.as_mut_ptr(),
        4,
        signature.as_mut_ptr(),
        &raw mut length
    );
    assert_eq!((signed, length, &signature[..3]), (CKR_OK, 3, &b"has"[..]));

    let asked: Vec<Request> = module.asked().into_iter().map(|it| it.0).collect();
    let Request::Login { pin, name, .. } = &asked[1] else {
        panic!("{asked:?}")
    };
    assert_eq!(
        (pin.as_ref().unwrap().bytes(), name),
        (&b"12345678"[..], &None)
    );
    let Request::Start {
        operation,
        mechanism,
        key,
        ..
    } = &asked[4]
    else {
        panic!("{asked:?}")
    };
    assert_eq!((*operation, *key), (Operation::Sign, 11));
    assert_eq!(
        (mechanism.number, &mechanism.parameter),
        (CKM_ECDSA, &Parameter::None)
    );
    let Request::Whole { room, .. } = &asked[5] else {
        panic!("{asked:?}")
    };
    assert_eq!(*room, Some(8));
}

/// "NULL output = length query", "CKR_BUFFER_TOO_SMALL with the length set": PKCS#11 3.2 section 5.2.
#[test]
fn lengths_are_asked_for_and_told() {
    let module = Module::new(|request, data| match request {
        Request::Whole { room: None, .. } => reply(Reply::Output { bytes: 64 }),
        Request::Whole {
            room: Some(room), ..
        } if *room < 64 => reply(Reply::TooSmall { bytes: 64 }),
        Request::Whole { .. } => Some((Reply::Output { bytes: 64 }, vec![9; 64])),
        request => agreeable(request, data),
    });
    let session = open(&module);
    let (mut data, mut out, mut length) = ([1u8; 4], [0u8; 64], 0);
    let data = data.as_mut_ptr();
    let query = c!(
        module,
        C_Sign,
        session,
        data,
        4,
        null_mut(),
        &raw mut length
    );
    assert_eq!((query, length), (CKR_OK, 64));
    length = 63;
    let small = c!(
        module,
        C_Sign,
        session,
        data,
        4,
        out.as_mut_ptr(),
        &raw mut length
    );
    assert_eq!((small, length, out), (CKR_BUFFER_TOO_SMALL, 64, [0; 64]));
    let whole = c!(
        module,
        C_Sign,
        session,
        data,
        4,
        out.as_mut_ptr(),
        &raw mut length
    );
    assert_eq!((whole, length, out), (CKR_OK, 64, [9; 64]));
}

#[test]
fn data_longer_than_a_frame_goes_in_pieces_both_ways() {
    const LENGTH: usize = 2 * MAX_DATA_BYTES + 5;
    let module = Module::new(|request, data| match request {
        Request::Whole { .. } => Some((
            Reply::Output {
                bytes: LENGTH as u64,
            },
            vec![1; MAX_DATA_BYTES],
        )),
        Request::More { offset, .. } => {
            let bytes = (LENGTH - *offset as usize).min(MAX_DATA_BYTES);
            Some((
                Reply::Output {
                    bytes: LENGTH as u64,
                },
                vec![2; bytes],
            ))
        }
        request => agreeable(request, data),
    });
    let session = open(&module);
    let mut data = vec![3u8; LENGTH];
    let (mut out, mut length) = (vec![0u8; LENGTH], LENGTH as CK_ULONG);
    let input = data.as_mut_ptr();
    let encrypted = c!(
        module,
        C_Encrypt,
        session,
        input,
        LENGTH as CK_ULONG,
        out.as_mut_ptr(),
        &raw mut length
    );
    assert_eq!((encrypted, length), (CKR_OK, LENGTH as CK_ULONG));
    assert!(out[..MAX_DATA_BYTES].iter().all(|it| *it == 1));
    assert!(out[MAX_DATA_BYTES..].iter().all(|it| *it == 2));
    let sent: Vec<usize> = module.asked().iter().skip(1).map(|it| it.1.len()).collect();
    assert_eq!(sent, [MAX_DATA_BYTES, MAX_DATA_BYTES, 5, 0, 0]);
}

/// "the call must process every attribute": PKCS#11 3.2 section 5.7.5.
#[test]
fn every_attribute_is_processed() {
    let module = Module::new(|request, data| match request {
        Request::GetAttributes { .. } => {
            let value = || Got::Value(RawValue::Bytes(Secret::from(&b"label"[..])));
            reply(Reply::Attributes(vec![
                Got::Sensitive,
                Got::Invalid,
                value(),
                value(),
                value(),
            ]))
        }
        request => agreeable(request, data),
    });
    let session = open(&module);
    let (mut short, mut room) = ([0u8; 2], [0u8; 9]);
    let attribute = |pointer: *mut u8, bytes| CK_ATTRIBUTE {
        type_: CKA_LABEL,
        pValue: pointer.cast(),
        ulValueLen: bytes,
    };
    let mut all = [
        attribute(null_mut(), 0),
        attribute(null_mut(), 0),
        attribute(short.as_mut_ptr(), 2),
        attribute(room.as_mut_ptr(), 9),
        attribute(null_mut(), 0),
    ];
    let got = c!(module, C_GetAttributeValue, session, 3, all.as_mut_ptr(), 5);
    assert_eq!(got, CKR_ATTRIBUTE_SENSITIVE);
    let lengths = all.map(|it| it.ulValueLen);
    const NONE: CK_ULONG = CK_UNAVAILABLE_INFORMATION;
    assert_eq!(lengths, [NONE, NONE, NONE, 5, 5]);
    assert_eq!((short, &room[..5]), ([0, 0], &b"label"[..]));
}

#[test]
fn a_lost_server_loses_its_sessions_and_the_next_one_is_found() {
    let module = Module::new(|request, data| match request {
        Request::Whole { .. } => None,
        request => agreeable(request, data),
    });
    let session = open(&module);
    let (mut out, mut length) = ([0u8; 8], 8);
    let sign = || {
        c!(
            module,
            C_Sign,
            session,
            null_mut(),
            0,
            out.as_mut_ptr(),
            &raw mut length
        )
    };
    let mut sign = sign;
    assert_eq!(sign(), CKR_DEVICE_ERROR);
    assert_eq!(sign(), CKR_SESSION_HANDLE_INVALID);
    open(&module);
}

#[test]
fn the_end_wakes_calls_that_wait() {
    static ASKED: AtomicBool = AtomicBool::new(false);
    let module = Module::new(|request, data| match request {
        Request::Whole { .. } => {
            ASKED.store(true, Ordering::Release);
            std::thread::sleep(Duration::from_secs(3600));
            None
        }
        request => agreeable(request, data),
    });
    let session = open(&module);
    let list = module.list;
    let sign = std::thread::spawn(move || {
        let (mut out, mut length) = ([0u8; 8], 8);
        // SAFETY: there is a buffer, and its length.
        unsafe { list.C_Sign.unwrap()(session, null_mut(), 0, out.as_mut_ptr(), &raw mut length) }
    });
    let wait = std::thread::spawn(move || {
        let mut slot = 0;
        // SAFETY: there is a place for the slot.
        unsafe { list.C_WaitForSlotEvent.unwrap()(0, &raw mut slot, null_mut()) }
    });
    while !ASKED.load(Ordering::Acquire) {
        std::thread::yield_now();
    }
    assert_eq!(c!(module, C_Finalize, null_mut()), CKR_OK);
    assert_eq!(sign.join().unwrap(), CKR_CRYPTOKI_NOT_INITIALIZED);
    assert_eq!(wait.join().unwrap(), CKR_CRYPTOKI_NOT_INITIALIZED);
}

#[test]
fn arguments_too_long_for_a_message_lose_no_server() {
    let module = Module::new(agreeable);
    let session = open(&module);
    let mut long = vec![0u8; 200 << 10];
    let mut template = [CK_ATTRIBUTE {
        type_: CKA_LABEL,
        pValue: long.as_mut_ptr().cast(),
        ulValueLen: 200 << 10,
    }; 8];
    let found = c!(module, C_FindObjectsInit, session, template.as_mut_ptr(), 8);
    assert_eq!(found, CKR_ARGUMENTS_BAD);
    assert_eq!(c!(module, C_FindObjectsFinal, session), CKR_OK);
}

#[test]
fn a_server_of_another_version_is_a_device_error() {
    let version = Preamble { version: 99 };
    let module = Module::with_version(version, agreeable);
    assert_eq!(c!(module, C_Initialize, null_mut()), CKR_OK);
    let mut count = 0;
    let slots = c!(module, C_GetSlotList, 1, null_mut(), &raw mut count);
    assert_eq!(slots, CKR_DEVICE_ERROR);
}

#[test]
fn arguments_are_checked() {
    let module = Module::new(agreeable);
    let session = open(&module);
    let bad = CKR_ARGUMENTS_BAD;
    assert_eq!(c!(module, C_Finalize, 8 as *mut _), bad);
    assert_eq!(c!(module, C_GetSlotList, 1, null_mut(), null_mut()), bad);
    assert_eq!(c!(module, C_GetInfo, null_mut()), bad);
    assert_eq!(
        c!(module, C_OpenSession, 1, 4, null_mut(), None, null_mut()),
        bad
    );
    assert_eq!(c!(module, C_FindObjectsInit, session, null_mut(), 1), bad);
    assert_eq!(
        c!(
            module,
            C_Sign,
            session,
            null_mut(),
            4,
            null_mut(),
            null_mut()
        ),
        bad
    );
    assert_eq!(c!(module, C_GenerateRandom, session, null_mut(), 4), bad);
    let mut slot = 0;
    let event = c!(
        module,
        C_WaitForSlotEvent,
        CKF_DONT_BLOCK,
        &raw mut slot,
        null_mut()
    );
    assert_eq!(event, CKR_NO_EVENT);
    assert_eq!(
        c!(module, C_GetFunctionStatus, session),
        CKR_FUNCTION_NOT_PARALLEL
    );
    assert_eq!(
        c!(module, C_CancelFunction, session),
        CKR_FUNCTION_NOT_PARALLEL
    );
    // A null mechanism cancels (PKCS#11 3.0).
    module.asked();
    assert_eq!(c!(module, C_SignInit, session, null_mut(), 1), CKR_OK);
    let cancel = Request::Cancel {
        session,
        flags: CKF_SIGN,
    };
    assert_eq!(module.asked(), [(cancel, Vec::new())]);
}

#[test]
fn initialisation_as_the_standard_says() {
    unsafe extern "C" fn mutex(_: CK_VOID_PTR) -> CK_RV {
        CKR_OK
    }
    unsafe extern "C" fn create(_: *mut CK_VOID_PTR) -> CK_RV {
        CKR_OK
    }
    let module = Module::with_version(Preamble::OURS, agreeable);
    let mut arguments = CK_C_INITIALIZE_ARGS {
        CreateMutex: Some(create),
        DestroyMutex: Some(mutex),
        LockMutex: Some(mutex),
        UnlockMutex: None,
        flags: CKF_OS_LOCKING_OK,
        // A public suite passes this, which is no address of a text.
        pReserved: 1 as CK_VOID_PTR,
    };
    let initialize = |arguments: &mut CK_C_INITIALIZE_ARGS| {
        c!(module, C_Initialize, (&raw mut *arguments).cast())
    };
    let mut count = 0;
    let early = c!(module, C_GetSlotList, 1, null_mut(), &raw mut count);
    assert_eq!(early, CKR_CRYPTOKI_NOT_INITIALIZED);
    assert_eq!(initialize(&mut arguments), CKR_ARGUMENTS_BAD);
    arguments.UnlockMutex = Some(mutex);
    arguments.flags = 0;
    assert_eq!(initialize(&mut arguments), CKR_CANT_LOCK);
    arguments.flags = CKF_OS_LOCKING_OK;
    assert_eq!(initialize(&mut arguments), CKR_ARGUMENTS_BAD);
    arguments.pReserved = null_mut();
    assert_eq!(initialize(&mut arguments), CKR_OK);
    assert_eq!(initialize(&mut arguments), CKR_CRYPTOKI_ALREADY_INITIALIZED);
}

/// A child of fork is a new application, and its end is not the parent's.
#[test]
fn a_forked_child_initialises_for_itself() {
    let module = Module::new(agreeable);
    let session = open(&module);
    let list = module.list;
    // SAFETY: the child calls the module alone, which takes no lock that it inherited, and ends without destructors.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: null arguments are allowed here.
        let seen = unsafe {
            [
                list.C_FindObjectsFinal.unwrap()(session),
                list.C_Initialize.unwrap()(null_mut()),
                list.C_FindObjectsFinal.unwrap()(session),
                list.C_Finalize.unwrap()(null_mut()),
            ]
        };
        // The server of the test does not tell a child's sessions from the parent's.
        let right = [CKR_CRYPTOKI_NOT_INITIALIZED, CKR_OK, CKR_OK, CKR_OK];
        // SAFETY: it ends the child.
        unsafe { libc::_exit(i32::from(seen != right)) }
    }
    let mut status = 0;
    // SAFETY: there is a place for the status.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
    assert_eq!(c!(module, C_FindObjectsFinal, session), CKR_OK);
}

/// A parameter that lies about an address or a length is refused by the module; nothing crashes, and nothing is asked.
#[test]
fn lying_parameters_are_refused() {
    let module = Module::new(agreeable);
    let session = open(&module);
    module.asked();
    let mut iv = [0u8; 12];
    let right = CK_GCM_PARAMS {
        pIv: iv.as_mut_ptr(),
        ulIvLen: 12,
        ulIvBits: 96,
        pAAD: null_mut(),
        ulAADLen: 0,
        ulTagBits: 128,
    };
    let start = |mut it: CK_GCM_PARAMS, length: usize| {
        let mut gcm = CK_MECHANISM {
            mechanism: CKM_AES_GCM,
            pParameter: (&raw mut it).cast(),
            ulParameterLen: length as CK_ULONG,
        };
        c!(module, C_EncryptInit, session, &raw mut gcm, 1)
    };
    let size = size_of::<CK_GCM_PARAMS>();
    let wild = |it: CK_GCM_PARAMS| assert_eq!(start(it, size), CKR_MECHANISM_PARAM_INVALID);
    wild(CK_GCM_PARAMS {
        pIv: 8 as *mut u8,
        ..right
    });
    wild(CK_GCM_PARAMS {
        pIv: null::<u8>().cast_mut(),
        ..right
    });
    wild(CK_GCM_PARAMS {
        ulIvLen: 1 << 40,
        ..right
    });
    wild(CK_GCM_PARAMS {
        ulIvLen: CK_ULONG::MAX,
        ..right
    });
    wild(CK_GCM_PARAMS {
        ulAADLen: 1,
        ..right
    });
    wild(CK_GCM_PARAMS {
        pAAD: usize::MAX as *mut u8,
        ulAADLen: 1,
        ..right
    });
    for length in (1..size).chain([size + 1, 1 << 30]) {
        assert_eq!(
            start(right, length),
            CKR_MECHANISM_PARAM_INVALID,
            "{length}"
        );
    }
    assert_eq!(module.asked().len(), 0);
    assert_eq!(start(right, size), CKR_OK);
}
