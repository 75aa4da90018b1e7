//! Sessions and logins (PKCS#11 3.2 sections 5.6.1 to 5.6.11).

use slotfs_hsm::Rekey;
use slotfs_object::SlotId;
use slotfs_object::partition::Role;
use slotfs_object::pkcs11::*;
use slotfs_wire::rv::*;
use slotfs_wire::{Reply, Request, Who};

use crate::fixture::{App, CO, CU, Fixture, PO, boolean, credential};

const SO: u64 = 0;
const USER: u64 = 1;
const CONTEXT: u64 = 2;
const LIMITED: u64 = 0x8000_0001;
const READ_ONLY: u64 = 4;

fn state(app: &App, session: u64) -> u64 {
    match app.ask(Request::SessionInfo { session }).unwrap() {
        Reply::Session(info) => info.state,
        other => panic!("{other:?}"),
    }
}

#[test]
fn states_of_a_session() {
    let it = Fixture::new();
    let app = it.application();
    let (ro, rw) = (app.open_with(0, READ_ONLY).unwrap(), app.open());
    assert_eq!((state(&app, ro), state(&app, rw)), (0, 2));
    app.login(rw, USER, CO).unwrap();
    assert_eq!((state(&app, ro), state(&app, rw)), (1, 3));
    assert_eq!(app.login(ro, USER, CO), Err(CKR_USER_ALREADY_LOGGED_IN));
    assert_eq!(
        app.login(ro, SO, PO),
        Err(CKR_USER_ANOTHER_ALREADY_LOGGED_IN)
    );
    app.ask(Request::Logout { session: ro }).unwrap();
    assert_eq!(
        app.ask(Request::Logout { session: ro }),
        Err(CKR_USER_NOT_LOGGED_IN)
    );
    assert_eq!((state(&app, ro), state(&app, rw)), (0, 2));
    assert_eq!(app.login(rw, SO, PO), Err(CKR_SESSION_READ_ONLY_EXISTS));
    app.ask(Request::CloseSession { session: ro }).unwrap();
    app.login(rw, SO, PO).unwrap();
    assert_eq!(state(&app, rw), 4);
    assert_eq!(
        app.open_with(0, READ_ONLY),
        Err(CKR_SESSION_READ_WRITE_SO_EXISTS)
    );
    // The login ends with the last session.
    app.ask(Request::CloseSession { session: rw }).unwrap();
    let rw = app.open();
    assert_eq!(state(&app, rw), 2);
    assert_eq!(
        app.ask(Request::SessionInfo { session: ro }),
        Err(CKR_SESSION_HANDLE_INVALID)
    );
}

#[test]
fn what_is_no_session_and_no_login() {
    let it = Fixture::new();
    let app = it.application();
    assert_eq!(app.open_with(0, 2), Err(CKR_SESSION_PARALLEL_NOT_SUPPORTED));
    assert_eq!(app.open_with(7, 6), Err(CKR_SLOT_ID_INVALID));
    assert_eq!(app.open_with(u64::MAX, 6), Err(CKR_SLOT_ID_INVALID));
    assert_eq!(app.open_with(1, 6), Err(CKR_TOKEN_NOT_RECOGNIZED));
    let session = app.open();
    assert_eq!(app.login(session, 3, CO), Err(CKR_USER_TYPE_INVALID));
    assert_eq!(app.login(session, CONTEXT, CO), Err(CKR_USER_NOT_LOGGED_IN));
    assert_eq!(
        app.login(session, USER, "not the password"),
        Err(CKR_PIN_INCORRECT)
    );
    assert_eq!(app.login(session, USER, ""), Err(CKR_PIN_INCORRECT));
    app.login(session, USER, CO).unwrap();
    assert_eq!(
        app.login(session, CONTEXT, CO),
        Err(CKR_OPERATION_NOT_INITIALIZED)
    );
}

#[test]
fn sessions_are_the_applications_own() {
    let it = Fixture::new();
    let (one, other) = (it.application(), it.application());
    let session = one.open();
    assert_eq!(
        other.ask(Request::SessionInfo { session }),
        Err(CKR_SESSION_HANDLE_INVALID)
    );
    one.login(session, USER, CO).unwrap();
    let theirs = other.open();
    assert_eq!(state(&other, theirs), 2);
    // Logins of several roles at once, each by itself.
    other.login(theirs, SO, PO).unwrap();
    let third = it.application_as(Who::Cu);
    let cu = third.open();
    third.login(cu, USER, CU).unwrap();
    assert_eq!(
        (
            state(&one, session),
            state(&other, theirs),
            state(&third, cu)
        ),
        (3, 4, 3)
    );
    one.ask(Request::Finalize).unwrap();
    assert_eq!((state(&other, theirs), state(&third, cu)), (4, 3));
    assert_eq!(
        one.ask(Request::SessionInfo { session }),
        Err(CKR_SESSION_HANDLE_INVALID)
    );
    assert_eq!(one.open_with(0, 6), Err(CKR_CRYPTOKI_NOT_INITIALIZED));
}

#[test]
fn names_and_numbers_of_the_crypto_user() {
    let it = Fixture::new();
    let app = it.application();
    let session = app.open();
    app.login(session, LIMITED, CU).unwrap();
    app.ask(Request::Logout { session }).unwrap();
    let login = |name: &[u8], pin: &str| {
        app.ask(Request::Login {
            session,
            user: USER,
            pin: Some(pin.as_bytes().into()),
            name: Some(name.to_vec()),
        })
    };
    login(b"cu", CU).unwrap();
    app.ask(Request::Logout { session }).unwrap();
    login(b"co", CO).unwrap();
    app.ask(Request::Logout { session }).unwrap();
    assert_eq!(login(b"someone", CO), Err(CKR_PIN_INCORRECT));
    assert_eq!(login(b"po", PO), Err(CKR_PIN_INCORRECT));
    let other = it.application_as(Who::Cu);
    let session = other.open();
    assert_eq!(other.login(session, USER, CO), Err(CKR_PIN_INCORRECT));
    other.login(session, USER, CU).unwrap();
    // A crypto user writes nothing to the token.
    let made = other.generate(
        session,
        0x1080,
        vec![
            boolean(CKA_TOKEN, true),
            crate::fixture::number(CKA_VALUE_LEN, 32),
        ],
    );
    assert_eq!(made, Err(CKR_TOKEN_WRITE_PROTECTED));
}

#[test]
fn wrong_pins_are_counted_and_lock() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let other = it.application();
    let theirs = other.open();
    let flags = |app: &App| match app.ask(Request::TokenInfo { slot: 0 }).unwrap() {
        Reply::Token(info) => info.flags & 0xf_0000,
        other => panic!("{other:?}"),
    };
    assert_eq!(flags(&app), 0);
    // Also while the slot is open in the server, where a right PIN is cheap.
    assert_eq!(
        other.login(theirs, USER, "a wrong password"),
        Err(CKR_PIN_INCORRECT)
    );
    assert_eq!(flags(&app), 0x1_0000);
    other.login(theirs, USER, CO).unwrap();
    assert_eq!(flags(&app), 0);
    other.ask(Request::Logout { session: theirs }).unwrap();
    let most = it.hsm.partition(SlotId(0)).row().unwrap();
    let most = most.policies.failed_logins;
    for tried in 1..=most {
        let low = match tried {
            1 => 0,
            _ => 0x1_0000,
        };
        let last = match tried == most {
            true => 0x2_0000,
            false => 0,
        };
        assert_eq!(flags(&app), low | last, "{tried}");
        let error = other.login(theirs, USER, "a wrong password").unwrap_err();
        let expected = match tried == most {
            true => CKR_PIN_LOCKED,
            false => CKR_PIN_INCORRECT,
        };
        assert_eq!(error, expected, "{tried}");
    }
    assert_eq!(flags(&app), 0x4_0000);
    assert_eq!(other.login(theirs, USER, CO), Err(CKR_PIN_LOCKED));
    // Who is logged in stays so.
    assert_eq!(state(&app, session), 3);
}

#[test]
fn a_changed_secret_ends_logins_of_the_role_elsewhere() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let (other, theirs) = it.co();
    let set = Request::SetPin {
        session,
        old: Some(CO.as_bytes().into()),
        new: Some("another password".as_bytes().into()),
    };
    app.ask(set).unwrap();
    assert_eq!(state(&app, session), 3);
    assert_eq!(state(&other, theirs), 3);
    other.ask(Request::Logout { session: theirs }).unwrap();
    assert_eq!(other.login(theirs, USER, CO), Err(CKR_PIN_INCORRECT));
    other.login(theirs, USER, "another password").unwrap();
    // By another process.
    let elsewhere = slotfs_hsm::Hsm::open(&it.path(), slotfs_hsm::Access::ReadWrite).unwrap();
    let old = credential("another password");
    let partition = elsewhere.partition(SlotId(0));
    partition
        .change_secret(Role::Co, &old, &credential(CO), Rekey::quiet(false))
        .unwrap();
    it.hsm.refresh().unwrap();
    let listed = app.ask(Request::FindInit {
        session,
        template: Vec::new(),
    });
    assert!(listed.is_ok());
    assert_eq!(state(&app, session), 2);
    assert_eq!(state(&other, theirs), 2);
    other.login(theirs, USER, CO).unwrap();
}

#[test]
fn a_key_that_asks_for_the_pin_each_time() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let always = vec![boolean(CKA_ALWAYS_AUTHENTICATE, true)];
    let (_, key) = app.pair(session, vec![], always).unwrap();
    const ECDSA: u64 = 0x1041;
    assert_eq!(
        app.sign(session, ECDSA, key, &[7; 32]),
        Err(CKR_USER_NOT_LOGGED_IN)
    );
    assert_eq!(
        app.login(session, CONTEXT, "a wrong password"),
        Err(CKR_PIN_INCORRECT)
    );
    app.login(session, CONTEXT, CO).unwrap();
    let whole = Request::Whole {
        session,
        operation: slotfs_wire::Operation::Sign,
        room: Some(64),
        signature: Vec::new(),
    };
    let (_, signature) = app.ask_with(whole, &[7; 32]).unwrap();
    assert_eq!(signature.len(), 64);
    // Once for each use.
    assert_eq!(
        app.sign(session, ECDSA, key, &[7; 32]),
        Err(CKR_USER_NOT_LOGGED_IN)
    );
}
