//! New keys: what is generated, and where it may be (PKCS#11 3.2 sections 5.18.1 and 5.18.2).

use slotfs_object::pkcs11::*;
use slotfs_wire::rv::*;
use slotfs_wire::{Reply, Request};

use crate::fixture::{App, Fixture, boolean, bytes, number, plain, shown};

const RSA_PAIR: u64 = 0x0;
const SHA256_RSA: u64 = 0x40;

fn rsa(app: &App, session: u64, bits: u64, tokens: [bool; 2]) -> Result<(u64, u64), u64> {
    let made = app.ask(Request::GenerateKeyPair {
        session,
        mechanism: plain(RSA_PAIR),
        public: vec![
            number(CKA_MODULUS_BITS, bits),
            boolean(CKA_TOKEN, tokens[0]),
        ],
        private: vec![boolean(CKA_TOKEN, tokens[1])],
    })?;
    match made {
        Reply::Pair(public, private) => Ok((public, private)),
        other => panic!("{other:?}"),
    }
}

/// docs/pkcs11.md: "2048 to 4096 bits are generated, and 1024 or more for session objects".
#[test]
fn short_rsa_keys_are_for_sessions_alone() {
    let it = Fixture::new();
    let (app, session) = it.co();
    for bits in [1024, 1536, 1920] {
        for tokens in [[true, true], [true, false], [false, true]] {
            let refused = rsa(&app, session, bits, tokens);
            assert_eq!(refused, Err(CKR_KEY_SIZE_RANGE), "{bits} {tokens:?}");
        }
    }
    assert!(app.find(session, vec![]).is_empty());
    rsa(&app, session, 2048, [true, true]).unwrap();

    let (public, private) = rsa(&app, session, 1024, [false, false]).unwrap();
    let signature = app.sign(session, SHA256_RSA, private, b"data").unwrap();
    assert_eq!(signature.len(), 128);
    app.verify(session, SHA256_RSA, public, b"data", &signature)
        .unwrap();
    // Nor does a copy come into the slot.
    for key in [public, private] {
        let copy = app.copy(session, key, vec![boolean(CKA_TOKEN, true)]);
        assert_eq!(copy, Err(CKR_KEY_SIZE_RANGE));
        app.copy(session, key, vec![]).unwrap();
    }
    for bits in [512, 1023, 1100, 4224] {
        let refused = rsa(&app, session, bits, [false, false]);
        assert_eq!(refused, Err(CKR_ATTRIBUTE_VALUE_INVALID), "{bits}");
    }
}

/// docs/pkcs11.md: "1024 to 8192 are imported and used".
#[test]
fn short_rsa_keys_of_others_can_be_kept() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let (public, private) = rsa(&app, session, 1024, [false, false]).unwrap();
    let signature = app.sign(session, SHA256_RSA, private, b"data").unwrap();
    let part = |kind| shown(app.get(session, public, kind).unwrap());
    let template = vec![
        number(CKA_CLASS, CKO_PUBLIC_KEY.into()),
        number(CKA_KEY_TYPE, CKK_RSA.into()),
        boolean(CKA_TOKEN, true),
        bytes(CKA_MODULUS, &part(CKA_MODULUS)),
        bytes(CKA_PUBLIC_EXPONENT, &part(CKA_PUBLIC_EXPONENT)),
    ];
    let kept = app.create(session, template).unwrap();
    app.verify(session, SHA256_RSA, kept, b"data", &signature)
        .unwrap();
}
