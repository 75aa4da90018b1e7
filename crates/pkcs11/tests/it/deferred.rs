//! A start that was seen before goes with its data.

use std::ptr;
use std::sync::Mutex;

use cryptoki_sys::*;
use slotfs_wire::{Reply, Request};

use crate::fake::{Answer, Fake, Module, call, usual};

fn sign_init(session: CK_SESSION_HANDLE, mechanism: CK_MECHANISM_TYPE, key: u64) -> CK_RV {
    let mut mechanism = CK_MECHANISM {
        mechanism,
        pParameter: ptr::null_mut(),
        ulParameterLen: 0,
    };
    call!(C_SignInit, session, &raw mut mechanism, key)
}

fn sign(session: CK_SESSION_HANDLE) -> CK_RV {
    let (mut data, mut signature) = (*b"data", [0u8; 4]);
    let mut room = 4;
    let (data, signature) = (data.as_mut_ptr(), signature.as_mut_ptr());
    call!(C_Sign, session, data, 4, signature, &raw mut room)
}

/// A server that signs.
fn signer() -> Fake {
    Fake::new(|request, data| match request {
        Request::Whole { room: None, .. } | Request::StartWhole { room: None, .. } => {
            Answer::Reply(Reply::Output { bytes: 4 })
        }
        Request::Whole { .. } | Request::StartWhole { .. } => {
            Answer::WithData(Reply::Output { bytes: 4 }, data.into())
        }
        other => usual(other),
    })
}

/// The names of the requests since the last call. Whether a start went with its data depends on how quick the test was
/// (`deferred::tests` say when it does), so one message is told as two here.
fn asked(fake: &Fake) -> Vec<&'static str> {
    let requests = fake.requests();
    let names = requests.iter().flat_map(|(request, _)| match request {
        Request::StartWhole { .. } => vec!["start", "whole"],
        other => vec![name(other)],
    });
    names.collect()
}

fn name(request: &Request) -> &'static str {
    match request {
        Request::OpenSession { .. } => "open",
        Request::Start { .. } => "start",
        Request::Whole { .. } => "whole",
        Request::Update { .. } => "update",
        Request::Final { .. } => "final",
        Request::Cancel { .. } => "cancel",
        Request::DestroyObject { .. } => "destroy",
        Request::Logout { .. } => "logout",
        Request::Random { .. } => "random",
        _ => "other",
    }
}

#[test]
fn a_repeated_start_goes_with_its_data() {
    let fake = signer();
    let module = Module::new(&fake);
    let session = module.session();
    for _ in 0..3 {
        assert_eq!(sign_init(session, CKM_ECDSA, 3), CKR_OK);
        assert_eq!(sign(session), CKR_OK);
    }
    let (start, whole) = ("start", "whole");
    let expected = ["open", start, whole, start, whole, start, whole];
    assert_eq!(asked(&fake), expected);
    // A length query goes with it too, and leaves the operation running.
    assert_eq!(sign_init(session, CKM_ECDSA, 3), CKR_OK);
    let mut room = 0;
    let mut data = *b"data";
    let query = call!(
        C_Sign,
        session,
        data.as_mut_ptr(),
        4,
        ptr::null_mut(),
        &raw mut room
    );
    assert_eq!((query, room), (CKR_OK, 4));
    assert_eq!(sign(session), CKR_OK);
    assert_eq!(asked(&fake), [start, whole, whole]);
    // Another key or mechanism is another start.
    assert_eq!(sign_init(session, CKM_ECDSA, 4), CKR_OK);
    assert_eq!(sign(session), CKR_OK);
    assert_eq!(sign_init(session, CKM_ECDSA_SHA256, 4), CKR_OK);
    assert_eq!(sign(session), CKR_OK);
    assert_eq!(asked(&fake), ["start", "whole", "start", "whole"]);
}

#[test]
fn what_may_change_its_meaning_sends_it_first() {
    let fake = signer();
    let module = Module::new(&fake);
    let session = module.session();
    let run = || {
        for _ in 0..2 {
            assert_eq!(sign_init(session, CKM_ECDSA, 3), CKR_OK);
            assert_eq!(sign(session), CKR_OK);
        }
        assert_eq!(sign_init(session, CKM_ECDSA, 3), CKR_OK);
        fake.requests();
    };
    run();
    assert_eq!(call!(C_DestroyObject, session, 3), CKR_OK);
    assert_eq!(sign(session), CKR_OK);
    assert_eq!(sign_init(session, CKM_ECDSA, 3), CKR_OK);
    assert_eq!(without_start(&fake), ["destroy", "whole", "start"]);
    assert_eq!(sign(session), CKR_OK);
    run();
    assert_eq!(call!(C_Logout, session), CKR_OK);
    assert_eq!(without_start(&fake), ["logout"]);
    assert_eq!(sign(session), CKR_OK);
    run();
    // What has nothing to do with it does not.
    let mut random = [0u8; 0];
    call!(C_GenerateRandom, session, random.as_mut_ptr(), 0);
    let mut data = *b"data";
    assert_eq!(call!(C_SignUpdate, session, data.as_mut_ptr(), 4), CKR_OK);
    assert_eq!(asked(&fake).last(), Some(&"update"));
    assert_eq!(sign_init(session, CKM_ECDSA, 3), CKR_OK);
    assert_eq!(asked(&fake), ["start"]);
}

#[test]
fn a_second_start_is_the_servers_to_refuse() {
    let running = Mutex::new(false);
    let fake = Fake::new(move |request, data| {
        let mut running = running.lock().unwrap();
        match request {
            Request::Start { .. } if *running => Answer::Reply(Reply::Failed(CKR_OPERATION_ACTIVE)),
            Request::Start { .. } => {
                *running = true;
                Answer::Reply(Reply::Done)
            }
            Request::Whole { .. } | Request::StartWhole { .. } => {
                *running = false;
                Answer::WithData(Reply::Output { bytes: 4 }, data.into())
            }
            other => usual(other),
        }
    });
    let module = Module::new(&fake);
    let session = module.session();
    assert_eq!(sign_init(session, CKM_ECDSA, 3), CKR_OK);
    assert_eq!(sign_init(session, CKM_ECDSA, 3), CKR_OPERATION_ACTIVE);
    assert_eq!(sign(session), CKR_OK);
    assert_eq!(sign_init(session, CKM_ECDSA, 3), CKR_OK);
    assert_eq!(sign_init(session, CKM_ECDSA, 3), CKR_OPERATION_ACTIVE);
    assert_eq!(sign(session), CKR_OK);
}

/// The requests, without a start at the beginning: it has been sent before, or was sent now.
fn without_start(fake: &Fake) -> Vec<&'static str> {
    let asked = asked(fake);
    match asked.split_first() {
        Some((&"start", rest)) => rest.to_vec(),
        _ => asked,
    }
}

#[test]
fn a_start_that_is_refused_late_is_an_error_of_the_data() {
    let gone = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_gone = std::sync::Arc::clone(&gone);
    let fake = Fake::new(move |request, data| {
        let refused = is_gone.load(std::sync::atomic::Ordering::SeqCst);
        match request {
            Request::Start { .. } | Request::StartWhole { .. } if refused => {
                Answer::Reply(Reply::Failed(CKR_KEY_HANDLE_INVALID))
            }
            Request::Whole { .. } | Request::StartWhole { .. } => {
                Answer::WithData(Reply::Output { bytes: 4 }, data.into())
            }
            other => usual(other),
        }
    });
    let module = Module::new(&fake);
    let session = module.session();
    assert_eq!(sign_init(session, CKM_ECDSA, 3), CKR_OK);
    assert_eq!(sign(session), CKR_OK);
    gone.store(true, std::sync::atomic::Ordering::SeqCst);
    let started = sign_init(session, CKM_ECDSA, 3);
    if started == CKR_OK {
        assert_eq!(sign(session), CKR_KEY_HANDLE_INVALID);
    } else {
        assert_eq!(started, CKR_KEY_HANDLE_INVALID);
    }
    assert_eq!(sign_init(session, CKM_ECDSA, 3), CKR_KEY_HANDLE_INVALID);
}
