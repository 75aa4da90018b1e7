//! What the standard says about arguments.

use std::ffi::c_void;
use std::ptr;

use cryptoki_sys::*;
use slotfs_pkcs11::{C_GetFunctionList, C_GetInterface, C_GetInterfaceList};
use slotfs_wire::{Message, MessagePart, Operation, Request};

use crate::fake::{Fake, Module, call, functions, initialize, turn, usual};

unsafe extern "C" fn create(_: *mut *mut c_void) -> CK_RV {
    CKR_OK
}

unsafe extern "C" fn lock(_: *mut c_void) -> CK_RV {
    CKR_OK
}

#[test]
fn initialize_takes_what_the_standard_says() {
    let _turn = turn();
    let none = CK_C_INITIALIZE_ARGS {
        CreateMutex: None,
        DestroyMutex: None,
        LockMutex: None,
        UnlockMutex: None,
        flags: 0,
        pReserved: ptr::null_mut(),
    };
    let all = CK_C_INITIALIZE_ARGS {
        CreateMutex: Some(create),
        DestroyMutex: Some(lock),
        LockMutex: Some(lock),
        UnlockMutex: Some(lock),
        ..none
    };
    let some = CK_C_INITIALIZE_ARGS {
        LockMutex: None,
        ..all
    };
    let locking = |it: CK_C_INITIALIZE_ARGS| CK_C_INITIALIZE_ARGS {
        flags: CKF_OS_LOCKING_OK,
        ..it
    };
    let reserved = |address: *mut c_void| CK_C_INITIALIZE_ARGS {
        pReserved: address,
        ..none
    };
    let no_text = c"no parameters".as_ptr().cast_mut().cast();
    for (what, mut arguments, expected) in [
        ("nothing", none, CKR_OK),
        ("locking by the system", locking(none), CKR_OK),
        ("callbacks alone", all, CKR_CANT_LOCK),
        ("callbacks or the system", locking(all), CKR_OK),
        ("some callbacks", some, CKR_ARGUMENTS_BAD),
        ("some or the system", locking(some), CKR_ARGUMENTS_BAD),
        (
            "no address",
            reserved(ptr::without_provenance_mut(1)),
            CKR_ARGUMENTS_BAD,
        ),
        ("no parameters", reserved(no_text), CKR_ARGUMENTS_BAD),
    ] {
        let result = call!(C_Initialize, (&raw mut arguments).cast());
        assert_eq!(result, expected, "{what}");
        if result == CKR_OK {
            assert_eq!(
                call!(C_Initialize, ptr::null_mut()),
                CKR_CRYPTOKI_ALREADY_INITIALIZED
            );
            let not_null = ptr::without_provenance_mut(1);
            assert_eq!(call!(C_Finalize, not_null), CKR_ARGUMENTS_BAD);
            assert_eq!(call!(C_Finalize, ptr::null_mut()), CKR_OK);
        }
        assert_eq!(
            call!(C_Finalize, ptr::null_mut()),
            CKR_CRYPTOKI_NOT_INITIALIZED
        );
    }
}

/// Every function with nothing but zeros: none crashes, and before `C_Initialize` each one says so.
#[test]
fn zeros_crash_nothing() {
    type Any = unsafe extern "C" fn(u64, u64, u64, u64, u64, u64, u64, u64, u64, u64) -> CK_RV;
    let list = functions();
    let size = size_of::<CK_FUNCTION_LIST_3_2>();
    let first = std::mem::offset_of!(CK_FUNCTION_LIST_3_2, C_Initialize);
    let all: Vec<Option<Any>> = (first..size)
        .step_by(size_of::<Option<Any>>())
        .map(|at| unsafe {
            ptr::from_ref(list)
                .byte_add(at)
                .cast::<Option<Any>>()
                .read()
        })
        .collect();
    assert_eq!(all.len(), 104);
    let skipped = [
        ptr::from_ref(&list.C_Initialize).addr(),
        ptr::from_ref(&list.C_Finalize).addr(),
        // These two would wait for a slot event.
        ptr::from_ref(&list.C_WaitForSlotEvent).addr(),
    ];
    let before = [
        ptr::from_ref(&list.C_GetFunctionList).addr(),
        ptr::from_ref(&list.C_GetInterface).addr(),
        ptr::from_ref(&list.C_GetInterfaceList).addr(),
    ];
    let fake = Fake::new(|request, _| usual(request));
    for is_initialized in [false, true] {
        let _turn = turn();
        if is_initialized {
            assert_eq!(initialize(&fake), CKR_OK);
        }
        for (at, function) in all.iter().enumerate() {
            let address = ptr::from_ref(list).addr() + first + at * size_of::<Option<Any>>();
            if skipped.contains(&address) {
                continue;
            }
            let function = function.unwrap();
            let result = unsafe { function(0, 0, 0, 0, 0, 0, 0, 0, 0, 0) };
            let says_so = result == CKR_CRYPTOKI_NOT_INITIALIZED;
            let must = !is_initialized && !before.contains(&address);
            assert_eq!(says_so, must, "function {at}: {result:#x}");
            assert_ne!(result, CKR_GENERAL_ERROR, "function {at}");
        }
        if is_initialized {
            assert_eq!(call!(C_Finalize, ptr::null_mut()), CKR_OK);
        }
    }
}

#[test]
fn interfaces_are_found_by_name_version_and_flags() {
    let get = |name: Option<&std::ffi::CStr>, version: Option<(u8, u8)>, flags| {
        let mut interface = ptr::null_mut();
        let mut version = version.map(|(major, minor)| CK_VERSION { major, minor });
        let name = name.map_or(ptr::null_mut(), |it| it.as_ptr().cast_mut().cast());
        let version = version.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
        match unsafe { C_GetInterface(name, version, &raw mut interface, flags) } {
            CKR_OK => {
                let list = unsafe { (*interface).pFunctionList.cast::<CK_VERSION>() };
                let version = unsafe { list.read() };
                Ok((version.major, version.minor))
            }
            failed => Err(failed),
        }
    };
    let pkcs11 = Some(c"PKCS 11");
    assert_eq!(get(None, None, 0), Ok((3, 2)));
    for version in [(2, 40), (3, 0), (3, 2)] {
        assert_eq!(get(pkcs11, Some(version), 0), Ok(version));
    }
    assert_eq!(get(pkcs11, None, CKF_INTERFACE_FORK_SAFE), Ok((3, 2)));
    for missing in [
        get(Some(c"Vendor"), None, 0),
        get(pkcs11, Some((3, 1)), 0),
        get(pkcs11, None, 2),
    ] {
        assert_eq!(missing, Err(CKR_FUNCTION_FAILED));
    }
    let mut count = 0;
    let list =
        |room: *mut CK_INTERFACE, count: &mut CK_ULONG| unsafe { C_GetInterfaceList(room, count) };
    assert_eq!(list(ptr::null_mut(), &mut count), CKR_OK);
    assert_eq!(count, 3);
    let none = CK_INTERFACE {
        pInterfaceName: ptr::null_mut(),
        pFunctionList: ptr::null_mut(),
        flags: 0,
    };
    let mut all = [none; 3];
    assert_eq!(list(all.as_mut_ptr(), &mut 2), CKR_BUFFER_TOO_SMALL);
    assert_eq!(list(all.as_mut_ptr(), &mut 3), CKR_OK);
    let mut versions = Vec::new();
    for interface in all {
        // Every list begins with its version, and holds pointers from the next multiple of 8 on.
        let version = unsafe { interface.pFunctionList.cast::<CK_VERSION>().read() };
        let bytes = match (version.major, version.minor) {
            (2, 40) => size_of::<CK_FUNCTION_LIST>(),
            (3, 0) => size_of::<CK_FUNCTION_LIST_3_0>(),
            (3, 2) => size_of::<CK_FUNCTION_LIST_3_2>(),
            other => panic!("{other:?}"),
        };
        for at in 1..bytes / 8 {
            let function = unsafe { interface.pFunctionList.cast::<usize>().add(at).read() };
            assert_ne!(function, 0, "function {at} of {version:?}");
        }
        versions.push(bytes);
    }
    versions.dedup();
    assert_eq!(versions.len(), 3);
    assert_eq!(
        unsafe { C_GetFunctionList(ptr::null_mut()) },
        CKR_ARGUMENTS_BAD
    );
}

#[test]
fn arguments_are_checked() {
    let fake = Fake::new(|request, _| usual(request));
    let module = Module::new(&fake);
    let session = module.session();
    fake.requests();
    let none = ptr::null_mut;
    for result in [
        call!(C_GetSlotList, 1, ptr::null_mut(), ptr::null_mut()),
        call!(C_GetInfo, ptr::null_mut()),
        call!(C_OpenSession, 1, 4, none(), None, ptr::null_mut()),
        call!(C_FindObjectsInit, session, ptr::null_mut(), 1),
        call!(C_GenerateRandom, session, ptr::null_mut(), 4),
    ] {
        assert_eq!(result, CKR_ARGUMENTS_BAD);
    }
    assert_eq!(fake.requests().len(), 0);
    // Longer than any message.
    let mut long = vec![0u8; 200 << 10];
    let mut template = [CK_ATTRIBUTE {
        type_: CKA_LABEL,
        pValue: long.as_mut_ptr().cast(),
        ulValueLen: 200 << 10,
    }; 8];
    let found = call!(C_FindObjectsInit, session, template.as_mut_ptr(), 8);
    assert_eq!(found, CKR_ARGUMENTS_BAD);
    assert_eq!(call!(C_FindObjectsFinal, session), CKR_OK);
}

/// Nonsense ends the operation, as every error but too little room does; of messages it ends the one that has begun.
#[test]
fn nonsense_ends_an_operation() {
    let fake = Fake::new(|request, _| usual(request));
    let module = Module::new(&fake);
    let session = module.session();
    fake.requests();
    let (mut text, mut room) = (*b"text", 4);
    let (text, none) = (text.as_mut_ptr(), ptr::null_mut::<u8>());
    let cancel = |flags| Request::Cancel { session, flags };
    let abort = |operation| Request::Message {
        session,
        operation,
        part: MessagePart::Abort,
        parameter: Message::None,
        aad_bytes: 0,
        room: Some(0),
        signature: Vec::new(),
    };
    let long = 1 << 20;
    let mut signature = vec![0u8; long as usize];
    let signature = signature.as_mut_ptr();
    let (no_length, no_parameter) = (ptr::null_mut(), ptr::null_mut());
    let mut wrong = [0u8; 3];
    let wrong = wrong.as_mut_ptr().cast();
    let (bad, range, parameter) = (
        CKR_ARGUMENTS_BAD,
        CKR_SIGNATURE_LEN_RANGE,
        CKR_MECHANISM_PARAM_INVALID,
    );
    let mut expected_requests = Vec::new();
    for (result, expected, told) in [
        (
            call!(C_Sign, session, none, 4, text, &raw mut room),
            bad,
            cancel(CKF_SIGN),
        ),
        (
            call!(C_Digest, session, text, 4, text, no_length),
            bad,
            cancel(CKF_DIGEST),
        ),
        (
            call!(C_EncryptUpdate, session, text, 4, text, no_length),
            bad,
            cancel(CKF_ENCRYPT),
        ),
        (
            call!(C_DecryptFinal, session, text, no_length),
            bad,
            cancel(CKF_DECRYPT),
        ),
        (call!(C_SignUpdate, session, none, 4), bad, cancel(CKF_SIGN)),
        (
            call!(C_SignRecover, session, none, 4, text, &raw mut room),
            bad,
            cancel(CKF_SIGN_RECOVER),
        ),
        (
            call!(C_Verify, session, text, 4, signature, long),
            range,
            cancel(CKF_VERIFY),
        ),
        (
            call!(C_VerifyFinal, session, none, 4),
            bad,
            cancel(CKF_VERIFY),
        ),
        (
            call!(C_DigestEncryptUpdate, session, none, 4, text, &raw mut room),
            bad,
            cancel(CKF_ENCRYPT),
        ),
        (
            call!(
                C_EncryptMessageNext,
                session,
                wrong,
                3,
                text,
                4,
                text,
                &raw mut room,
                0
            ),
            parameter,
            abort(Operation::MessageEncrypt),
        ),
        (
            call!(
                C_DecryptMessageNext,
                session,
                wrong,
                3,
                none,
                4,
                text,
                &raw mut room,
                0
            ),
            bad,
            abort(Operation::MessageDecrypt),
        ),
        (
            call!(
                C_SignMessageNext,
                session,
                wrong,
                3,
                text,
                4,
                text,
                &raw mut room
            ),
            parameter,
            abort(Operation::MessageSign),
        ),
        (
            call!(
                C_VerifyMessageNext,
                session,
                no_parameter,
                0,
                text,
                4,
                signature,
                long
            ),
            range,
            abort(Operation::MessageVerify),
        ),
    ] {
        assert_eq!(result, expected, "{told:?}");
        expected_requests.push(told);
    }
    let asked: Vec<_> = fake.requests().into_iter().map(|it| it.0).collect();
    assert_eq!(asked, expected_requests);
}

#[test]
fn what_there_is_not_says_so() {
    let fake = Fake::new(|request, _| usual(request));
    let module = Module::new(&fake);
    let session = module.session();
    let not_parallel = CKR_FUNCTION_NOT_PARALLEL;
    assert_eq!(call!(C_GetFunctionStatus, session), not_parallel);
    assert_eq!(call!(C_CancelFunction, session), not_parallel);
    let mut slot = 0;
    let event = call!(
        C_WaitForSlotEvent,
        CKF_DONT_BLOCK,
        &raw mut slot,
        ptr::null_mut()
    );
    assert_eq!(event, CKR_NO_EVENT);
    let mut length = 0;
    let state = call!(
        C_GetOperationState,
        session,
        ptr::null_mut(),
        &raw mut length
    );
    assert_eq!(state, CKR_FUNCTION_NOT_SUPPORTED);
}
