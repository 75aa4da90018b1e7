//! Slots and tokens (PKCS#11 3.2 section 5.5).

use slotfs_object::SlotId;
use slotfs_object::pkcs11::*;
use slotfs_token::Peer;
use slotfs_wire::rv::*;
use slotfs_wire::{Reply, Request, Who};

use crate::fixture::{App, CO, CU, Fixture, PO, boolean, number};

fn slots(app: &App) -> Vec<u64> {
    match app.ask(Request::Slots { with_token: true }).unwrap() {
        Reply::Handles(slots) => slots,
        other => panic!("{other:?}"),
    }
}

fn token(app: &App, slot: u64) -> slotfs_wire::TokenInfo {
    match app.ask(Request::TokenInfo { slot }).unwrap() {
        Reply::Token(info) => info,
        other => panic!("{other:?}"),
    }
}

fn init(app: &App, slot: u64, pin: &str, label: &str) -> Result<Reply, u64> {
    let mut padded = [b' '; 32];
    padded[..label.len()].copy_from_slice(label.as_bytes());
    app.ask(Request::InitToken {
        slot,
        pin: Some(pin.as_bytes().into()),
        label: padded,
    })
}

#[test]
fn a_token_is_made_and_its_user_gets_a_pin() {
    let it = Fixture::new();
    let app = it.application();
    assert_eq!(slots(&app), [0, 1]);
    let empty = token(&app, 1);
    assert_eq!((empty.label.as_str(), empty.flags & 0x408), ("", 0));
    assert_eq!(init(&app, 1, "short", "new"), Err(CKR_PIN_LEN_RANGE));
    init(&app, 1, PO, "new").unwrap();
    // The next free number.
    assert_eq!(slots(&app), [0, 1, 2]);
    let made = token(&app, 1);
    assert_eq!((made.label.as_str(), made.flags & 0x408), ("new", 0x400));
    let session = app.open_with(1, 6).unwrap();
    assert_eq!(app.login(session, 1, CO), Err(CKR_USER_PIN_NOT_INITIALIZED));
    let pin = |pin: &str| Request::InitPin {
        session,
        pin: Some(pin.as_bytes().into()),
    };
    assert_eq!(app.ask(pin(CO)), Err(CKR_USER_NOT_LOGGED_IN));
    app.login(session, 0, PO).unwrap();
    assert_eq!(app.ask(pin("short")), Err(CKR_PIN_LEN_RANGE));
    app.ask(pin(CO)).unwrap();
    app.ask(Request::Logout { session }).unwrap();
    app.login(session, 1, CO).unwrap();
    assert_eq!(token(&app, 1).flags & 0x408, 0x408);
    app.ask(Request::Logout { session }).unwrap();
    // C_InitPIN resets a PIN that is there.
    app.login(session, 0, PO).unwrap();
    app.ask(pin("another password")).unwrap();
    app.ask(Request::Logout { session }).unwrap();
    assert_eq!(app.login(session, 1, CO), Err(CKR_PIN_INCORRECT));
    app.login(session, 1, "another password").unwrap();
}

#[test]
fn a_token_is_initialized_again() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let template = vec![boolean(CKA_TOKEN, true), number(CKA_VALUE_LEN, 32)];
    app.generate(session, 0x1080, template).unwrap();
    assert_eq!(init(&app, 0, PO, "again"), Err(CKR_SESSION_EXISTS));
    app.ask(Request::CloseAllSessions { slot: 0 }).unwrap();
    assert_eq!(
        init(&app, 0, "not the password", "again"),
        Err(CKR_PIN_INCORRECT)
    );
    init(&app, 0, PO, "again").unwrap();
    let after = token(&app, 0);
    assert_eq!(after.label, "again");
    assert_eq!(after.flags & 8, 0);
    let session = app.open();
    assert_eq!(app.login(session, 1, CO), Err(CKR_USER_PIN_NOT_INITIALIZED));
    app.login(session, 0, PO).unwrap();
    assert!(app.find(session, vec![]).is_empty());
}

#[test]
fn other_users_see_their_slots_alone() {
    let it = Fixture::new();
    let them = |uid, gids: &[u32]| {
        let gids = gids.to_vec();
        App(it.provider.application(Peer::Slots { uid, gids }, Who::Co))
    };
    let app = them(1000, &[1000]);
    assert!(slots(&app).is_empty());
    assert_eq!(app.open_with(0, 6), Err(CKR_SLOT_ID_INVALID));
    assert_eq!(init(&app, 1, PO, "mine"), Err(CKR_SLOT_ID_INVALID));
    let slot = it.hsm.partition(SlotId(0));
    let po = crate::fixture::credential(PO);
    slot.login(slotfs_object::partition::Role::Po, &po).unwrap();
    slot.set(slotfs_hsm::Settings {
        uid: Some(Some(1000)),
        gid: Some(Some(50)),
        retention_secs: None,
    })
    .unwrap();
    assert_eq!(slots(&app), [0]);
    app.open_with(0, 6).unwrap();
    assert_eq!(slots(&them(1001, &[1001, 50])), [0]);
    assert!(slots(&them(1001, &[1001])).is_empty());
    let all = it.application();
    assert_eq!(slots(&all), [0, 1]);
}

#[test]
fn mechanisms_say_what_they_are() {
    let it = Fixture::new();
    let app = it.application();
    let Reply::Handles(all) = app.ask(Request::Mechanisms { slot: 0 }).unwrap() else {
        panic!("no list");
    };
    assert!(all.len() > 60, "{}", all.len());
    for mechanism in all {
        let info = app.ask(Request::MechanismInfo { slot: 0, mechanism });
        let Ok(Reply::Mechanism(info)) = info else {
            panic!("0x{mechanism:x}");
        };
        assert!(info.flags != 0 && info.min <= info.max, "0x{mechanism:x}");
    }
    let unknown = Request::MechanismInfo {
        slot: 0,
        mechanism: 0x7fff_ffff,
    };
    assert_eq!(app.ask(unknown), Err(CKR_MECHANISM_INVALID));
}

#[test]
fn a_slot_that_is_kept_open_shows_its_public_objects() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let token = || vec![boolean(CKA_TOKEN, true)];
    let (public, private) = app.pair(session, token(), token()).unwrap();
    app.ask(Request::Finalize).unwrap();
    let app = it.application();
    let session = app.open();
    assert!(app.find(session, vec![]).is_empty());
    let operator = it.application();
    operator
        .ask(Request::OpenSlot {
            slot: 0,
            user: 0x8000_0001,
            secret: CU.as_bytes().into(),
        })
        .unwrap();
    assert!(it.provider.is_kept_open());
    operator.ask(Request::Finalize).unwrap();
    assert_eq!(app.find(session, vec![]), [public]);
    assert_eq!(
        app.get(session, private, CKA_LABEL),
        Err(CKR_OBJECT_HANDLE_INVALID)
    );
    assert_eq!(
        app.sign(session, 0x1041, private, &[7; 32]),
        Err(CKR_KEY_HANDLE_INVALID)
    );
    let operator = it.application();
    let shut = Request::CloseSlot {
        slot: 0,
        user: 0x8000_0001,
    };
    assert_eq!(operator.ask(shut.clone()), Ok(Reply::Number(1)));
    assert_eq!(operator.ask(shut), Ok(Reply::Number(0)));
    assert!(!it.provider.is_kept_open());
    assert!(app.find(session, vec![]).is_empty());
}
