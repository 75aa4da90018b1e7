//! Verifications whose signature comes first (PKCS#11 3.2, `C_VerifySignatureInit` and what follows it).

use slotfs_object::pkcs11::*;
use slotfs_wire::rv::*;
use slotfs_wire::{Operation, Reply, Request};

use crate::fixture::{App, Fixture, boolean, plain};

const ECDSA_SHA256: u64 = 0x1044;
const KIND: Operation = Operation::VerifySignature;

fn start(app: &App, session: u64, key: u64, signature: &[u8]) -> Result<Reply, u64> {
    let start = Request::Start {
        session,
        operation: KIND,
        mechanism: plain(ECDSA_SHA256),
        key,
    };
    app.ask_with(start, signature).map(|(reply, _)| reply)
}

/// `C_VerifySignature`
fn whole(app: &App, session: u64, data: &[u8]) -> Result<Reply, u64> {
    let whole = Request::Whole {
        session,
        operation: KIND,
        room: None,
        signature: Vec::new(),
    };
    app.ask_with(whole, data).map(|(reply, _)| reply)
}

/// `C_VerifySignatureUpdate`
fn update(app: &App, session: u64, data: &[u8]) -> Result<Reply, u64> {
    let update = Request::Update {
        session,
        operation: KIND,
        room: Some(0),
    };
    app.ask_with(update, data).map(|(reply, _)| reply)
}

/// `C_VerifySignatureFinal`
fn finish(app: &App, session: u64) -> Result<Reply, u64> {
    app.ask(Request::Final {
        session,
        operation: KIND,
        room: None,
    })
}

#[test]
fn the_signature_comes_first() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let (public, private) = app.pair(session, vec![], vec![]).unwrap();
    let signature = app
        .sign(session, ECDSA_SHA256, private, b"some data")
        .unwrap();
    start(&app, session, public, &signature).unwrap();
    assert_eq!(whole(&app, session, b"some data"), Ok(Reply::Done));
    // It is over, and every verification needs its own start.
    let again = whole(&app, session, b"some data");
    assert_eq!(again, Err(CKR_OPERATION_NOT_INITIALIZED));
    start(&app, session, public, &signature).unwrap();
    for part in [&b"some "[..], b"", b"data"] {
        update(&app, session, part).unwrap();
    }
    assert_eq!(finish(&app, session), Ok(Reply::Done));
    start(&app, session, public, &signature).unwrap();
    assert_eq!(
        whole(&app, session, b"other data"),
        Err(CKR_SIGNATURE_INVALID)
    );
    assert_eq!(finish(&app, session), Err(CKR_OPERATION_NOT_INITIALIZED));
    start(&app, session, public, &signature).unwrap();
    update(&app, session, b"some").unwrap();
    assert_eq!(finish(&app, session), Err(CKR_SIGNATURE_INVALID));
    // Data of one call that is longer than a frame.
    let long = vec![7; 3000];
    let of_long = app.sign(session, ECDSA_SHA256, private, &long).unwrap();
    start(&app, session, public, &of_long).unwrap();
    let operation = KIND;
    app.ask_with(Request::Piece { session, operation }, &long[..2000])
        .unwrap();
    assert_eq!(whole(&app, session, &long[2000..]), Ok(Reply::Done));
}

#[test]
fn signatures_of_a_wrong_length() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let (public, _) = app.pair(session, vec![], vec![]).unwrap();
    for length in [0, 63, 65, 64 << 10] {
        start(&app, session, public, &vec![1; length]).unwrap();
        assert_eq!(whole(&app, session, b"data"), Err(CKR_SIGNATURE_LEN_RANGE));
    }
    let longer = start(&app, session, public, &vec![1; (64 << 10) + 1]);
    assert_eq!(longer, Err(CKR_SIGNATURE_LEN_RANGE));
    assert_eq!(
        whole(&app, session, b"data"),
        Err(CKR_OPERATION_NOT_INITIALIZED)
    );
}

#[test]
fn a_session_verifies_one_signature_at_a_time() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let (public, private) = app.pair(session, vec![], vec![]).unwrap();
    let signature = app.sign(session, ECDSA_SHA256, private, b"data").unwrap();
    start(&app, session, public, &signature).unwrap();
    let again = start(&app, session, public, &signature);
    assert_eq!(again, Err(CKR_OPERATION_ACTIVE));
    // The verification whose signature comes last is the same operation, and its functions are not for this one.
    let last = app.start(session, Operation::Verify, ECDSA_SHA256, public);
    assert_eq!(last, Err(CKR_OPERATION_ACTIVE));
    let other = Request::Whole {
        session,
        operation: Operation::Verify,
        room: None,
        signature: signature.clone(),
    };
    let other = app.ask_with(other, b"data").err();
    assert_eq!(other, Some(CKR_OPERATION_NOT_INITIALIZED));
    // None of that ended it.
    assert_eq!(whole(&app, session, b"data"), Ok(Reply::Done));
    app.start(session, Operation::Verify, ECDSA_SHA256, public)
        .unwrap();
    let first = start(&app, session, public, &signature);
    assert_eq!(first, Err(CKR_OPERATION_ACTIVE));
    const CKF_VERIFY: u64 = 0x2000;
    let flags = CKF_VERIFY;
    app.ask(Request::Cancel { session, flags }).unwrap();
    start(&app, session, public, &signature).unwrap();
    app.ask(Request::Cancel { session, flags }).unwrap();
    assert_eq!(
        whole(&app, session, b"data"),
        Err(CKR_OPERATION_NOT_INITIALIZED)
    );
    // Sessions do not know of each other.
    start(&app, session, public, &signature).unwrap();
    let second = app.open();
    assert_eq!(
        whole(&app, second, b"data"),
        Err(CKR_OPERATION_NOT_INITIALIZED)
    );
    assert_eq!(whole(&app, session, b"data"), Ok(Reply::Done));
}

#[test]
fn a_key_that_does_not_verify_is_refused() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let not = vec![boolean(CKA_VERIFY, false)];
    let (public, private) = app.pair(session, not, vec![]).unwrap();
    for key in [public, private] {
        let refused = start(&app, session, key, &[1; 64]);
        assert_eq!(refused, Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
    }
}
