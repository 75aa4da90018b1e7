//! Operations of a session (PKCS#11 3.2 sections 5.8 to 5.18), as far as sessions and keys go. What mechanisms compute is
//! tested beside them.

use slotfs_object::pkcs11::*;
use slotfs_wire::rv::*;
use slotfs_wire::{Mechanism, Operation, Parameter, Reply, Request};

use crate::fixture::{App, Fixture, boolean, bytes, number};

const ECDSA: u64 = 0x1041;
const SHA256: u64 = 0x250;

fn whole(app: &App, session: u64, room: Option<u64>, data: &[u8]) -> Result<(Reply, Vec<u8>), u64> {
    let whole = Request::Whole {
        session,
        operation: Operation::Sign,
        room,
        signature: Vec::new(),
    };
    app.ask_with(whole, data)
        .map(|(reply, out)| (reply, out.to_vec()))
}

#[test]
fn a_length_and_too_little_room_end_nothing() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let (public, private) = app.pair(session, vec![], vec![]).unwrap();
    app.start(session, Operation::Sign, ECDSA, private).unwrap();
    let data = [7; 32];
    let length = whole(&app, session, None, &data).unwrap();
    assert_eq!(length, (Reply::Output { bytes: 64 }, vec![]));
    let small = whole(&app, session, Some(63), &data).unwrap();
    assert_eq!(small, (Reply::TooSmall { bytes: 64 }, vec![]));
    let (_, signature) = whole(&app, session, Some(64), &data).unwrap();
    app.verify(session, ECDSA, public, &data, &signature)
        .unwrap();
    assert_eq!(
        whole(&app, session, Some(64), &data),
        Err(CKR_OPERATION_NOT_INITIALIZED)
    );
    let mut wrong = signature;
    wrong[5] ^= 1;
    assert_eq!(
        app.verify(session, ECDSA, public, &data, &wrong),
        Err(CKR_SIGNATURE_INVALID)
    );
}

#[test]
fn one_operation_of_a_kind_at_a_time() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let (public, private) = app.pair(session, vec![], vec![]).unwrap();
    app.start(session, Operation::Sign, ECDSA, private).unwrap();
    app.start(session, Operation::Verify, ECDSA, public)
        .unwrap();
    app.start(session, Operation::Digest, SHA256, 0).unwrap();
    let again = app.start(session, Operation::Sign, ECDSA, private);
    assert_eq!(again, Err(CKR_OPERATION_ACTIVE));
    const CKF_SIGN: u64 = 0x800;
    let flags = CKF_SIGN;
    app.ask(Request::Cancel { session, flags }).unwrap();
    app.start(session, Operation::Sign, ECDSA, private).unwrap();
    let again = app.start(session, Operation::Digest, SHA256, 0);
    assert_eq!(again, Err(CKR_OPERATION_ACTIVE));
}

#[test]
fn keys_that_do_not_fit() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let (public, private) = app.pair(session, vec![], vec![]).unwrap();
    let sign = |mechanism, key| app.start(session, Operation::Sign, mechanism, key);
    assert_eq!(sign(ECDSA, public), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
    assert_eq!(sign(ECDSA, 0), Err(CKR_KEY_HANDLE_INVALID));
    assert_eq!(sign(ECDSA, 1 << 40), Err(CKR_KEY_HANDLE_INVALID));
    assert_eq!(sign(0x1, private), Err(CKR_KEY_TYPE_INCONSISTENT));
    assert_eq!(sign(0x7777_7777, private), Err(CKR_MECHANISM_INVALID));
    assert_eq!(sign(SHA256, private), Err(CKR_MECHANISM_INVALID));
    let data = vec![
        number(CKA_CLASS, CKO_DATA.into()),
        bytes(CKA_VALUE, b"content"),
    ];
    let data = app.create(session, data).unwrap();
    assert_eq!(sign(ECDSA, data), Err(CKR_KEY_HANDLE_INVALID));
    let unused = vec![boolean(CKA_SIGN, false)];
    let (_, unused) = app.pair(session, vec![], unused).unwrap();
    assert_eq!(sign(ECDSA, unused), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
}

#[test]
fn an_output_longer_than_a_frame() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let template = vec![number(CKA_VALUE_LEN, 32)];
    let key = app.generate(session, 0x1080, template).unwrap();
    let counter = Mechanism {
        number: 0x1086,
        parameter: Parameter::Ctr {
            counter_bits: 128,
            block: [0; 16],
        },
    };
    let start = Request::Start {
        session,
        operation: Operation::Encrypt,
        mechanism: counter,
        key,
    };
    app.ask(start).unwrap();
    let part = vec![0; slotfs_wire::MAX_DATA_BYTES];
    let operation = Operation::Encrypt;
    for _ in 0..2 {
        app.ask_with(Request::Piece { session, operation }, &part)
            .unwrap();
    }
    let whole = Request::Whole {
        session,
        operation,
        room: Some(1 << 30),
        signature: Vec::new(),
    };
    let (reply, first) = app.ask_with(whole, b"end").unwrap();
    let total = 2 * part.len() as u64 + 3;
    assert_eq!(reply, Reply::Output { bytes: total });
    let mut output = first.to_vec();
    while (output.len() as u64) < total {
        let offset = output.len() as u64;
        let more = Request::More {
            session,
            operation,
            offset,
        };
        let (_, more) = app.ask_with(more, &[]).unwrap();
        assert!(!more.is_empty());
        output.extend_from_slice(&more);
    }
    assert_eq!(output.len() as u64, total);
}

/// Applications ask C_EncryptFinal for the length and come back with a buffer of that length.
#[test]
fn the_rest_of_a_padded_stream_fits_the_length_that_was_told() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let template = vec![number(CKA_VALUE_LEN, 32)];
    let key = app.generate(session, 0x1080, template).unwrap();
    let operation = Operation::Encrypt;
    for last in [0, 10, 16] {
        let start = Request::Start {
            session,
            operation,
            mechanism: Mechanism {
                number: 0x1085,
                parameter: Parameter::Bytes(vec![9; 16]),
            },
            key,
        };
        app.ask(start).unwrap();
        for bytes in [16, last] {
            let room = Some(64);
            let update = Request::Update {
                session,
                operation,
                room,
            };
            app.ask_with(update, &vec![7; bytes]).unwrap();
        }
        let finish = |room| {
            let finish = Request::Final {
                session,
                operation,
                room,
            };
            app.ask_with(finish, &[])
        };
        let (told, _) = finish(None).unwrap();
        assert_eq!(told, Reply::Output { bytes: 16 });
        let (given, rest) = finish(Some(16)).unwrap();
        assert_eq!((given, rest.len()), (Reply::Output { bytes: 16 }, 16));
    }
}

#[test]
fn an_operation_with_a_private_key_ends_at_logout() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let token = || vec![boolean(CKA_TOKEN, true)];
    let (_, private) = app.pair(session, token(), token()).unwrap();
    app.start(session, Operation::Sign, ECDSA, private).unwrap();
    app.start(session, Operation::Digest, SHA256, 0).unwrap();
    app.ask(Request::Logout { session }).unwrap();
    assert_eq!(
        whole(&app, session, Some(64), &[7; 32]),
        Err(CKR_OPERATION_NOT_INITIALIZED)
    );
    let digest = Request::Whole {
        session,
        operation: Operation::Digest,
        room: Some(32),
        signature: Vec::new(),
    };
    app.ask_with(digest, b"abc").unwrap();
}

#[test]
fn random_numbers() {
    let it = Fixture::new();
    let app = it.application();
    let session = app.open();
    let random = |bytes| app.ask_with(Request::Random { session, bytes }, &[]);
    let (_, one) = random(64).unwrap();
    let (_, other) = random(64).unwrap();
    assert!(one.len() == 64 && one != other);
    assert_eq!(random(u64::MAX).err(), Some(CKR_ARGUMENTS_BAD));
    let seed = app.ask_with(Request::SeedRandom { session }, b"seed");
    assert_eq!(seed.unwrap().0, Reply::Done);
    let session = 7 << 40;
    let nowhere = app.ask_with(Request::SeedRandom { session }, b"seed");
    assert_eq!(nowhere.err(), Some(CKR_SESSION_HANDLE_INVALID));
}
