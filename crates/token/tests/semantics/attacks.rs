//! Known attacks on the API: Clulow (2003), Bortolozzo, Centenaro, Focardi and Steel (2010).

use slotfs_object::pkcs11::*;
use slotfs_wire::rv::*;
use slotfs_wire::{Got, Request, Template};

use crate::fixture::{App, CO, CU, Fixture, PO, boolean, bytes, number, shown};

const AES_KEY_GEN: u64 = 0x1080;
const KEY_WRAP: u64 = 0x2109;
const KWP: u64 = 0x210b;

fn aes(more: &[(u32, bool)]) -> Template {
    let all = more.iter().map(|(kind, value)| boolean(*kind, *value));
    let mut template: Template = all.collect();
    template.push(number(CKA_VALUE_LEN, 32));
    template
}

/// A sensitive token key that may be wrapped.
fn victim(app: &App, session: u64) -> u64 {
    let template = aes(&[(CKA_TOKEN, true), (CKA_EXTRACTABLE, true)]);
    app.generate(session, AES_KEY_GEN, template).unwrap()
}

#[test]
fn the_value_of_a_token_key_is_never_shown() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let open = &[
        (CKA_TOKEN, true),
        (CKA_EXTRACTABLE, true),
        (CKA_SENSITIVE, false),
    ];
    let key = app.generate(session, AES_KEY_GEN, aes(open)).unwrap();
    assert_eq!(app.get(session, key, CKA_VALUE), Ok(Got::Sensitive));
    // Nor that of a copy, and of a copy of it.
    let copy = app.copy(session, key, vec![]).unwrap();
    assert_eq!(app.get(session, copy, CKA_VALUE), Ok(Got::Sensitive));
    let again = app.copy(session, copy, vec![]).unwrap();
    assert_eq!(app.get(session, again, CKA_VALUE), Ok(Got::Sensitive));
    // That of a session key that allows it is.
    let own = app.generate(session, AES_KEY_GEN, aes(&open[1..])).unwrap();
    assert_eq!(shown(app.get(session, own, CKA_VALUE).unwrap()).len(), 32);
    let hidden = app.generate(session, AES_KEY_GEN, aes(&[])).unwrap();
    assert_eq!(app.get(session, hidden, CKA_VALUE), Ok(Got::Sensitive));
    // A search does not tell it either.
    let value = shown(app.get(session, own, CKA_VALUE).unwrap());
    assert!(app.find(session, vec![bytes(CKA_VALUE, &value)]).is_empty());
}

#[test]
fn wrap_and_decrypt() {
    let it = Fixture::wrapping();
    let (app, session) = it.co();
    let key = victim(&app, session);
    let copy = app.copy(session, key, vec![]).unwrap();
    let both = &[(CKA_TOKEN, true), (CKA_WRAP, true), (CKA_DECRYPT, true)];
    // It is made, as applications do by default, and wraps no token key.
    let both = app.generate(session, AES_KEY_GEN, aes(both)).unwrap();
    for key in [key, copy] {
        let refused = app.wrap(session, KEY_WRAP, both, key);
        assert_eq!(refused, Err(CKR_KEY_NOT_WRAPPABLE));
    }
    // Taking DECRYPT away is one way of making it fit.
    app.set(session, both, vec![boolean(CKA_DECRYPT, false)])
        .unwrap();
    assert_eq!(app.wrap(session, KEY_WRAP, both, key).unwrap().len(), 40);
    // And it cannot come back.
    let back = app.set(session, both, vec![boolean(CKA_DECRYPT, true)]);
    assert_eq!(back, Err(CKR_ATTRIBUTE_READ_ONLY));
    let copy_back = app.copy(session, both, vec![boolean(CKA_DECRYPT, true)]);
    assert_eq!(copy_back, Err(CKR_ATTRIBUTE_READ_ONLY));
}

#[test]
fn wrap_under_a_key_whose_value_is_known() {
    let it = Fixture::wrapping();
    let (app, session) = it.co();
    let key = victim(&app, session);
    let known = |token: bool| {
        vec![
            number(CKA_CLASS, CKO_SECRET_KEY.into()),
            number(CKA_KEY_TYPE, CKK_AES.into()),
            boolean(CKA_TOKEN, token),
            boolean(CKA_WRAP, true),
            boolean(CKA_DECRYPT, false),
            bytes(CKA_VALUE, &[7; 32]),
        ]
    };
    for token in [false, true] {
        let known = app.create(session, known(token)).unwrap();
        let refused = app.wrap(session, KEY_WRAP, known, key);
        assert_eq!(refused, Err(CKR_KEY_NOT_WRAPPABLE), "{token}");
        // A session key of the application's own goes by its attributes.
        let open = aes(&[(CKA_EXTRACTABLE, true)]);
        let own = app.generate(session, AES_KEY_GEN, open).unwrap();
        assert_eq!(app.wrap(session, KEY_WRAP, known, own).unwrap().len(), 40);
    }
}

#[test]
fn po_trusts_a_key() {
    let it = Fixture::wrapping();
    let (app, session) = it.co();
    let key = victim(&app, session);
    let known = vec![
        number(CKA_CLASS, CKO_SECRET_KEY.into()),
        number(CKA_KEY_TYPE, CKK_AES.into()),
        boolean(CKA_TOKEN, true),
        boolean(CKA_WRAP, true),
        boolean(CKA_DECRYPT, false),
        boolean(CKA_PRIVATE, false),
        bytes(CKA_VALUE, &[7; 32]),
    ];
    let mut trusted = known.clone();
    trusted.push(boolean(CKA_TRUSTED, true));
    assert_eq!(app.create(session, trusted), Err(CKR_ATTRIBUTE_READ_ONLY));
    let by = app.create(session, known).unwrap();
    let trust = |value| vec![boolean(CKA_TRUSTED, value)];
    assert_eq!(
        app.set(session, by, trust(true)),
        Err(CKR_ATTRIBUTE_READ_ONLY)
    );
    let only = aes(&[
        (CKA_TOKEN, true),
        (CKA_EXTRACTABLE, true),
        (CKA_WRAP_WITH_TRUSTED, true),
    ]);
    let only = app.generate(session, AES_KEY_GEN, only).unwrap();
    let officer = it.application();
    let theirs = officer.open();
    officer.login(theirs, 0, PO).unwrap();
    for (value, outcome) in [(true, Ok(40)), (false, Err(CKR_KEY_NOT_WRAPPABLE))] {
        officer.set(theirs, by, trust(value)).unwrap();
        let got = shown(app.get(session, by, CKA_TRUSTED).unwrap());
        assert_eq!(got, [u8::from(value)]);
        for key in [key, only] {
            let wrapped = app.wrap(session, KEY_WRAP, by, key);
            assert_eq!(wrapped.map(|it| it.len()), outcome);
        }
    }
    // A key that was generated here wraps, but not one that asks for a trusted one.
    let local = aes(&[(CKA_TOKEN, true), (CKA_WRAP, true), (CKA_DECRYPT, false)]);
    let local = app.generate(session, AES_KEY_GEN, local).unwrap();
    assert_eq!(app.wrap(session, KEY_WRAP, local, key).unwrap().len(), 40);
    assert_eq!(
        app.wrap(session, KEY_WRAP, local, only),
        Err(CKR_KEY_NOT_WRAPPABLE)
    );
}

#[test]
fn wrapping_needs_a_policy_and_the_crypto_officer() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let key = victim(&app, session);
    let by = aes(&[(CKA_TOKEN, true), (CKA_WRAP, true), (CKA_DECRYPT, false)]);
    let by = app.generate(session, AES_KEY_GEN, by).unwrap();
    assert_eq!(
        app.wrap(session, KEY_WRAP, by, key),
        Err(CKR_KEY_NOT_WRAPPABLE)
    );
    let it = Fixture::wrapping();
    let (app, session) = it.co();
    let (key, closed) = (victim(&app, session), {
        let closed = aes(&[(CKA_TOKEN, true)]);
        app.generate(session, AES_KEY_GEN, closed).unwrap()
    });
    let by = aes(&[(CKA_TOKEN, true), (CKA_WRAP, true), (CKA_DECRYPT, false)]);
    let by = app.generate(session, AES_KEY_GEN, by).unwrap();
    assert_eq!(
        app.wrap(session, KEY_WRAP, by, closed),
        Err(CKR_KEY_UNEXTRACTABLE)
    );
    let cu = it.application();
    let theirs = cu.open();
    cu.login(theirs, 0x8000_0001, CU).unwrap();
    assert_eq!(
        cu.wrap(theirs, KEY_WRAP, by, key),
        Err(CKR_KEY_NOT_WRAPPABLE)
    );
    app.wrap(session, KWP, by, key).unwrap();
}

#[test]
fn a_known_value_does_not_become_a_token_key() {
    let it = Fixture::wrapping();
    let (app, session) = it.co();
    let both = aes(&[
        (CKA_TOKEN, true),
        (CKA_UNWRAP, true),
        (CKA_ENCRYPT, true),
        (CKA_WRAP, true),
        (CKA_DECRYPT, false),
    ]);
    let both = app.generate(session, AES_KEY_GEN, both).unwrap();
    let key = victim(&app, session);
    let wrapped = app.wrap(session, KEY_WRAP, both, key).unwrap();
    let template = |token| {
        vec![
            number(CKA_CLASS, CKO_SECRET_KEY.into()),
            number(CKA_KEY_TYPE, CKK_AES.into()),
            boolean(CKA_TOKEN, token),
        ]
    };
    let refused = app.unwrap(session, KEY_WRAP, both, &wrapped, template(true));
    assert_eq!(refused, Err(CKR_ACTION_PROHIBITED));
    app.unwrap(session, KEY_WRAP, both, &wrapped, template(false))
        .unwrap();
    app.set(session, both, vec![boolean(CKA_ENCRYPT, false)])
        .unwrap();
    let back = app
        .unwrap(session, KEY_WRAP, both, &wrapped, template(true))
        .unwrap();
    let local = shown(app.get(session, back, CKA_LOCAL).unwrap());
    assert_eq!(local, [0]);
}

#[test]
fn attributes_only_become_stricter() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let made = aes(&[(CKA_TOKEN, true), (CKA_SIGN, false)]);
    let key = app.generate(session, AES_KEY_GEN, made).unwrap();
    for (kind, value) in [
        (CKA_SENSITIVE, false),
        (CKA_EXTRACTABLE, true),
        (CKA_SIGN, true),
        (CKA_PRIVATE, false),
        (CKA_LOCAL, false),
        (CKA_NEVER_EXTRACTABLE, false),
        (CKA_ALWAYS_SENSITIVE, false),
        (CKA_TOKEN, false),
    ] {
        let name = attribute_name(kind);
        let set = app.set(session, key, vec![boolean(kind, value)]);
        assert_eq!(set, Err(CKR_ATTRIBUTE_READ_ONLY), "{name}");
        if ![CKA_TOKEN].contains(&kind) {
            let copied = app.copy(session, key, vec![boolean(kind, value)]);
            assert_eq!(copied, Err(CKR_ATTRIBUTE_READ_ONLY), "{name}");
        }
    }
    for (kind, value) in [(CKA_VALUE, &[7; 32][..]), (CKA_VALUE_LEN, &[0; 8])] {
        let set = app.set(session, key, vec![bytes(kind, value)]);
        assert_eq!(set, Err(CKR_ATTRIBUTE_READ_ONLY));
    }
}

#[test]
fn a_crypto_user_takes_no_private_data_out() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let data = |private| {
        vec![
            number(CKA_CLASS, CKO_DATA.into()),
            boolean(CKA_TOKEN, true),
            boolean(CKA_PRIVATE, private),
            bytes(CKA_VALUE, b"content"),
        ]
    };
    let private = app.create(session, data(true)).unwrap();
    let public = app.create(session, data(false)).unwrap();
    for object in [private, public] {
        let value = shown(app.get(session, object, CKA_VALUE).unwrap());
        assert_eq!(value, b"content");
    }
    let cu = it.application();
    let theirs = cu.open();
    cu.login(theirs, 0x8000_0001, CU).unwrap();
    // Policy 1000 is off by default? It says so in docs/kinds.md; the session knows.
    let confined = it
        .hsm
        .partition(slotfs_object::SlotId(0))
        .row()
        .unwrap()
        .policies;
    let got = cu.get(theirs, private, CKA_VALUE).unwrap();
    match confined.allow_crypto_user_cloning() {
        true => assert_eq!(shown(got), b"content"),
        false => assert_eq!(got, Got::Sensitive),
    }
    let value = shown(cu.get(theirs, public, CKA_VALUE).unwrap());
    assert_eq!(value, b"content");
    let _ = CO;
    let finalize = cu.ask(Request::Finalize);
    assert!(finalize.is_ok());
}
