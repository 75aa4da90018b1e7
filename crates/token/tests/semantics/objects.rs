//! Objects (PKCS#11 3.2 sections 4 and 5.7).

use slotfs_object::pkcs11::*;
use slotfs_wire::rv::*;
use slotfs_wire::{Got, RawValue, Reply, Request, Template};

use crate::fixture::{App, CO, Fixture, boolean, bytes, number, shown};

const AES_KEY_GEN: u64 = 0x1080;

fn data(label: &[u8], token: bool, private: bool) -> Template {
    vec![
        number(CKA_CLASS, CKO_DATA.into()),
        boolean(CKA_TOKEN, token),
        boolean(CKA_PRIVATE, private),
        bytes(CKA_LABEL, label),
        bytes(CKA_VALUE, b"content"),
    ]
}

#[test]
fn objects_of_the_token_and_of_the_session() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let token = app.create(session, data(b"token", true, true)).unwrap();
    let own = app.create(session, data(b"session", false, true)).unwrap();
    assert!(token < 1 << 32 && own >= 1 << 32);
    assert_eq!(app.find(session, vec![]), [token, own]);
    let label = |label: &[u8]| app.find(session, vec![bytes(CKA_LABEL, label)]);
    assert_eq!(
        (label(b"token"), label(b"session")),
        (vec![token], vec![own])
    );
    assert_eq!(app.find(session, vec![boolean(CKA_TOKEN, true)]), [token]);
    // Another application sees the token's, another session of this one sees both, until the session that made it ends.
    let (other, theirs) = it.co();
    assert_eq!(other.find(theirs, vec![]), [token]);
    assert_eq!(
        other.get(theirs, own, CKA_LABEL),
        Err(CKR_OBJECT_HANDLE_INVALID)
    );
    let second = app.open();
    assert_eq!(app.find(second, vec![]), [token, own]);
    app.ask(Request::CloseSession { session }).unwrap();
    assert_eq!(app.find(second, vec![]), [token]);
    app.destroy(second, token).unwrap();
    assert!(other.find(theirs, vec![]).is_empty());
    assert_eq!(app.destroy(second, token), Err(CKR_OBJECT_HANDLE_INVALID));
    // As rm does: into the trash.
    let slot = it.hsm.view();
    let slot = slot.partition(slotfs_object::SlotId(0));
    let secret = crate::fixture::credential(CO);
    slot.login(slotfs_object::partition::Role::Co, &secret)
        .unwrap();
    let trash = slot.list_trash(slotfs_object::RowId::BELOW_ALL, 9).unwrap();
    assert_eq!(trash.len(), 1);
}

#[test]
fn private_objects_need_a_login() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let private = app.create(session, data(b"private", true, true)).unwrap();
    let public = app.create(session, data(b"public", true, false)).unwrap();
    let own = app.create(session, data(b"own", false, true)).unwrap();
    let other = it.application();
    let theirs = other.open();
    // The slot is open by the first application: what is public shows.
    assert_eq!(other.find(theirs, vec![]), [public]);
    assert_eq!(
        other.get(theirs, private, CKA_LABEL),
        Err(CKR_OBJECT_HANDLE_INVALID)
    );
    assert_eq!(other.destroy(theirs, public), Err(CKR_USER_NOT_LOGGED_IN));
    for token in [false, true] {
        let made = other.create(theirs, data(b"x", token, true));
        assert_eq!(made, Err(CKR_USER_NOT_LOGGED_IN));
    }
    let made = other.create(theirs, data(b"x", true, false));
    assert_eq!(made, Err(CKR_USER_NOT_LOGGED_IN));
    let session_object = other.create(theirs, data(b"x", false, false)).unwrap();
    assert_eq!(other.find(theirs, vec![]), [public, session_object]);
    // Private session objects end with the login.
    app.ask(Request::Logout { session }).unwrap();
    app.login(session, 1, CO).unwrap();
    assert_eq!(app.find(session, vec![]), [private, public]);
    assert_eq!(
        app.get(session, own, CKA_LABEL),
        Err(CKR_OBJECT_HANDLE_INVALID)
    );
    app.ask(Request::Logout { session }).unwrap();
    assert!(other.find(theirs, vec![]).contains(&session_object));
    assert!(!other.find(theirs, vec![]).contains(&public));
}

#[test]
fn read_only_sessions_write_no_token_objects() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let token = app.create(session, data(b"token", true, true)).unwrap();
    let read_only = app.open_with(0, 4).unwrap();
    let refused = Err(CKR_SESSION_READ_ONLY);
    assert_eq!(app.create(read_only, data(b"x", true, true)), refused);
    assert_eq!(app.destroy(read_only, token), Err(CKR_SESSION_READ_ONLY));
    let label = vec![bytes(CKA_LABEL, b"new")];
    assert_eq!(app.set(read_only, token, label), Err(CKR_SESSION_READ_ONLY));
    let to_token = vec![boolean(CKA_TOKEN, true)];
    assert_eq!(app.copy(read_only, token, to_token), refused);
    let made = app.create(read_only, data(b"x", false, true)).unwrap();
    app.destroy(read_only, made).unwrap();
}

#[test]
fn attributes_change_and_stay_one_object() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let template = vec![
        boolean(CKA_TOKEN, true),
        number(CKA_VALUE_LEN, 16),
        bytes(CKA_LABEL, b"one"),
        bytes(CKA_ID, &[1]),
    ];
    let key = app.generate(session, AES_KEY_GEN, template).unwrap();
    let unique = app.get(session, key, CKA_UNIQUE_ID).unwrap();
    let copy = app.copy(session, key, vec![]).unwrap();
    for object in [key, copy] {
        let changes = vec![
            bytes(CKA_LABEL, b"two"),
            bytes(CKA_ID, &[2, 2]),
            bytes(CKA_START_DATE, b"20300101"),
        ];
        app.set(session, object, changes).unwrap();
        assert_eq!(shown(app.get(session, object, CKA_LABEL).unwrap()), b"two");
        assert_eq!(
            shown(app.get(session, object, CKA_START_DATE).unwrap()),
            b"20300101"
        );
        assert!(
            !app.find(session, vec![bytes(CKA_ID, &[1])])
                .contains(&object)
        );
        assert!(
            app.find(session, vec![bytes(CKA_ID, &[2, 2])])
                .contains(&object)
        );
        // It may not be used yet.
        let refused = app.start(session, slotfs_wire::Operation::Encrypt, 0x1081, object);
        assert_eq!(refused, Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
        let none = vec![bytes(CKA_START_DATE, b""), bytes(CKA_ID, b"")];
        app.set(session, object, none).unwrap();
        assert_eq!(
            shown(app.get(session, object, CKA_START_DATE).unwrap()),
            b""
        );
        app.start(session, slotfs_wire::Operation::Encrypt, 0x1081, object)
            .unwrap();
        let flags = u64::MAX;
        app.ask(Request::Cancel { session, flags }).unwrap();
    }
    assert_eq!(app.get(session, key, CKA_UNIQUE_ID).unwrap(), unique);
    assert_ne!(app.get(session, copy, CKA_UNIQUE_ID).unwrap(), unique);
    let unknown = app.set(session, key, vec![bytes(CKA_APPLICATION, b"x")]);
    assert_eq!(unknown, Err(CKR_ATTRIBUTE_TYPE_INVALID));
    let wrong = app.set(session, key, vec![bytes(CKA_LABEL, &[0xff])]);
    assert_eq!(wrong, Err(CKR_ATTRIBUTE_VALUE_INVALID));
    // All or nothing.
    let both = vec![bytes(CKA_LABEL, b"three"), boolean(CKA_EXTRACTABLE, true)];
    assert_eq!(app.set(session, key, both), Err(CKR_ATTRIBUTE_READ_ONLY));
    assert_eq!(shown(app.get(session, key, CKA_LABEL).unwrap()), b"two");
}

#[test]
fn templates_that_are_refused() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let class = |class: u32| number(CKA_CLASS, class.into());
    let aes = number(CKA_KEY_TYPE, CKK_AES.into());
    for (template, expected) in [
        (vec![], CKR_TEMPLATE_INCOMPLETE),
        (vec![class(9)], CKR_ATTRIBUTE_VALUE_INVALID),
        (vec![class(CKO_SECRET_KEY)], CKR_TEMPLATE_INCOMPLETE),
        (
            vec![class(CKO_SECRET_KEY), aes.clone()],
            CKR_TEMPLATE_INCOMPLETE,
        ),
        (
            vec![
                class(CKO_SECRET_KEY),
                aes.clone(),
                bytes(CKA_VALUE, &[1; 5]),
            ],
            CKR_ATTRIBUTE_VALUE_INVALID,
        ),
        (
            vec![class(CKO_DATA), boolean(CKA_SIGN, true)],
            CKR_TEMPLATE_INCONSISTENT,
        ),
        (
            vec![class(CKO_DATA), boolean(CKA_LOCAL, true)],
            CKR_ATTRIBUTE_READ_ONLY,
        ),
        (
            vec![class(CKO_DATA), bytes(0x1234, b"")],
            CKR_ATTRIBUTE_TYPE_INVALID,
        ),
        // The token alone names objects.
        (
            vec![class(CKO_DATA), bytes(CKA_UNIQUE_ID, b"1")],
            CKR_ATTRIBUTE_TYPE_INVALID,
        ),
        (
            vec![class(CKO_CERTIFICATE), number(CKA_CERTIFICATE_TYPE, 0)],
            CKR_TEMPLATE_INCOMPLETE,
        ),
        (
            vec![class(CKO_DATA), class(CKO_CERTIFICATE)],
            CKR_TEMPLATE_INCONSISTENT,
        ),
    ] {
        let outcome = app.create(session, template.clone());
        assert_eq!(outcome, Err(expected), "{template:?}");
    }
    let unique = || vec![bytes(CKA_UNIQUE_ID, b"1")];
    let size = number(CKA_VALUE_LEN, 16);
    let named = app.generate(session, 0x1080, [vec![size.clone()], unique()].concat());
    assert_eq!(named, Err(CKR_ATTRIBUTE_TYPE_INVALID));
    let key = app.generate(session, 0x1080, vec![size]).unwrap();
    let copied = app.copy(session, key, unique());
    assert_eq!(copied, Err(CKR_ATTRIBUTE_TYPE_INVALID));
    let set = app.set(session, key, unique());
    assert_eq!(set, Err(CKR_ATTRIBUTE_READ_ONLY));
    let huge = vec![class(CKO_DATA), bytes(CKA_VALUE, &[7; 100_000])];
    assert_eq!(app.create(session, huge), Err(CKR_ATTRIBUTE_VALUE_INVALID));
}

#[test]
fn a_private_key_may_come_with_its_point() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let open = vec![
        boolean(CKA_SENSITIVE, false),
        boolean(CKA_EXTRACTABLE, true),
    ];
    let (public, private) = app.pair(session, vec![], open).unwrap();
    let shown = |object, kind| shown(app.get(session, object, kind).unwrap());
    let mut template = vec![
        number(CKA_CLASS, CKO_PRIVATE_KEY.into()),
        number(CKA_KEY_TYPE, CKK_EC.into()),
        bytes(CKA_EC_PARAMS, &shown(private, CKA_EC_PARAMS)),
        bytes(CKA_VALUE, &shown(private, CKA_VALUE)),
        bytes(CKA_EC_POINT, &shown(public, CKA_EC_POINT)),
    ];
    let created = app.create(session, template.clone()).unwrap();
    assert_eq!(app.get(session, created, CKA_EC_POINT), Ok(Got::Invalid));
    let signature = app.sign(session, 0x1041, created, &[7; 32]).unwrap();
    app.verify(session, 0x1041, public, &[7; 32], &signature)
        .unwrap();
    // That of another key is none of its own.
    let (other, _) = app.pair(session, vec![], vec![]).unwrap();
    template.pop();
    template.push(bytes(CKA_EC_POINT, &shown(other, CKA_EC_POINT)));
    let refused = app.create(session, template);
    assert_eq!(refused, Err(CKR_ATTRIBUTE_VALUE_INVALID));
    // A generated pair has its point from the token.
    let given = vec![bytes(CKA_EC_POINT, &shown(other, CKA_EC_POINT))];
    let generated = app.pair(session, vec![], given);
    assert_eq!(generated, Err(CKR_TEMPLATE_INCONSISTENT));
}

#[test]
fn destroyable_copyable_modifiable() {
    let it = Fixture::new();
    let (app, session) = it.co();
    for token in [false, true] {
        let mut template = data(b"fixed", token, true);
        for kind in [CKA_DESTROYABLE, CKA_COPYABLE, CKA_MODIFIABLE] {
            template.push(boolean(kind, false));
        }
        let object = app.create(session, template).unwrap();
        let refused = CKR_ACTION_PROHIBITED;
        assert_eq!(app.destroy(session, object), Err(refused));
        assert_eq!(app.copy(session, object, vec![]), Err(refused));
        let label = vec![bytes(CKA_LABEL, b"x")];
        assert_eq!(app.set(session, object, label), Err(refused));
    }
}

#[test]
fn nested_templates_and_allowed_mechanisms() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let nested = slotfs_wire::RawAttribute {
        kind: CKA_UNWRAP_TEMPLATE.into(),
        value: RawValue::Template(vec![
            slotfs_wire::NestedAttribute {
                kind: CKA_KEY_TYPE.into(),
                bytes: u64::from(CKK_AES).to_ne_bytes().as_slice().into(),
            },
            slotfs_wire::NestedAttribute {
                kind: CKA_EXTRACTABLE.into(),
                bytes: [0].as_slice().into(),
            },
        ]),
    };
    let allowed = 0x2109u64.to_ne_bytes();
    let template = vec![
        boolean(CKA_TOKEN, true),
        number(CKA_VALUE_LEN, 32),
        nested.clone(),
        bytes(CKA_ALLOWED_MECHANISMS, &allowed),
    ];
    let key = app.generate(session, AES_KEY_GEN, template).unwrap();
    let got = app.get(session, key, CKA_UNWRAP_TEMPLATE).unwrap();
    assert_eq!(got, Got::Value(nested.value));
    let got = app.get(session, key, CKA_ALLOWED_MECHANISMS).unwrap();
    assert_eq!(shown(got), allowed);
    let refused = app.start(session, slotfs_wire::Operation::Encrypt, 0x1081, key);
    assert_eq!(refused, Err(CKR_MECHANISM_INVALID));
    let open = vec![number(CKA_VALUE_LEN, 32), boolean(CKA_EXTRACTABLE, true)];
    let other = app.generate(session, AES_KEY_GEN, open).unwrap();
    let wrapped = app.wrap(session, 0x2109, key, other).unwrap();
    let class = number(CKA_CLASS, CKO_SECRET_KEY.into());
    let unwrap = |more: Template| {
        let template = [vec![class.clone()], more].concat();
        app.unwrap(session, 0x2109, key, &wrapped, template)
    };
    let back = unwrap(vec![]).unwrap();
    let extractable = shown(app.get(session, back, CKA_EXTRACTABLE).unwrap());
    assert_eq!(extractable, [0]);
    let refused = unwrap(vec![boolean(CKA_EXTRACTABLE, true)]);
    assert_eq!(refused, Err(CKR_TEMPLATE_INCONSISTENT));
}

#[test]
fn what_another_process_does_is_seen() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let elsewhere = slotfs_hsm::Hsm::open(&it.path(), slotfs_hsm::Access::ReadWrite).unwrap();
    let slot = elsewhere.partition(slotfs_object::SlotId(0));
    let secret = crate::fixture::credential(CO);
    slot.login(slotfs_object::partition::Role::Co, &secret)
        .unwrap();
    let naming = slotfs_object::new::Naming {
        label: "theirs".into(),
        id: vec![9],
    };
    let kind = slotfs_object::new::SecretKeyType::Aes;
    let key = slotfs_object::new::generate_secret_key(kind, 256, &naming).unwrap();
    let search = || app.find(session, vec![bytes(CKA_ID, &[9])]);
    assert!(search().is_empty());
    let arrived = slotfs_hsm::wait(|done| slot.add(&key, done)).unwrap();
    let handle = u64::from(arrived.handle.get());
    assert_eq!(search(), [handle]);
    app.start(session, slotfs_wire::Operation::Encrypt, 0x1081, handle)
        .unwrap();
    let flags = u64::MAX;
    app.ask(Request::Cancel { session, flags }).unwrap();
    slotfs_hsm::wait(|done| slot.remove(arrived.handle, done)).unwrap();
    assert!(search().is_empty());
    std::thread::sleep(std::time::Duration::from_millis(2));
    let gone = app.start(session, slotfs_wire::Operation::Encrypt, 0x1081, handle);
    assert_eq!(gone, Err(CKR_KEY_HANDLE_INVALID));
}

#[test]
fn both_halves_and_every_type_have_their_attributes() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let (public, private) = app
        .pair(
            session,
            vec![bytes(CKA_ID, &[5])],
            vec![bytes(CKA_ID, &[5])],
        )
        .unwrap();
    for (object, kinds) in [
        (
            public,
            &[
                CKA_CLASS,
                CKA_KEY_TYPE,
                CKA_TOKEN,
                CKA_PRIVATE,
                CKA_MODIFIABLE,
                CKA_LABEL,
                CKA_ID,
                CKA_SUBJECT,
                CKA_START_DATE,
                CKA_END_DATE,
                CKA_DERIVE,
                CKA_LOCAL,
                CKA_KEY_GEN_MECHANISM,
                CKA_VERIFY,
                CKA_ENCRYPT,
                CKA_WRAP,
                CKA_TRUSTED,
                CKA_EC_PARAMS,
                CKA_EC_POINT,
                CKA_PUBLIC_KEY_INFO,
                CKA_UNIQUE_ID,
            ][..],
        ),
        (
            private,
            &[
                CKA_CLASS,
                CKA_KEY_TYPE,
                CKA_ID,
                CKA_SUBJECT,
                CKA_SENSITIVE,
                CKA_DECRYPT,
                CKA_SIGN,
                CKA_SIGN_RECOVER,
                CKA_UNWRAP,
                CKA_EXTRACTABLE,
                CKA_ALWAYS_SENSITIVE,
                CKA_NEVER_EXTRACTABLE,
                CKA_WRAP_WITH_TRUSTED,
                CKA_ALWAYS_AUTHENTICATE,
                CKA_EC_PARAMS,
                CKA_PUBLIC_KEY_INFO,
            ][..],
        ),
    ] {
        for kind in kinds {
            let got = app.get(session, object, *kind).unwrap();
            let name = attribute_name(*kind);
            assert!(matches!(got, Got::Value(_)), "{name}: {got:?}");
        }
    }
    assert_eq!(app.get(session, private, CKA_VALUE), Ok(Got::Sensitive));
    assert_eq!(app.get(session, private, CKA_MODULUS), Ok(Got::Invalid));
    assert_eq!(app.get(session, public, 0x1234), Ok(Got::Invalid));
    let size = app.ask(Request::ObjectSize {
        session,
        object: public,
    });
    assert!(matches!(size, Ok(Reply::Number(bytes)) if bytes > 100));
}

#[test]
fn a_thousand_objects_are_found_in_pages() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let made: Vec<u64> = (0..300)
        .map(|_| app.create(session, data(b"many", false, true)).unwrap())
        .collect();
    assert_eq!(find_by_label(&app, session), made);
    assert_eq!(
        app.ask(Request::Find { session, most: 1 }),
        Err(CKR_OPERATION_NOT_INITIALIZED)
    );
    let init = Request::FindInit {
        session,
        template: vec![],
    };
    app.ask(init.clone()).unwrap();
    assert_eq!(app.ask(init), Err(CKR_OPERATION_ACTIVE));
}

fn find_by_label(app: &App, session: u64) -> Vec<u64> {
    app.find(session, vec![bytes(CKA_LABEL, b"many")])
}
