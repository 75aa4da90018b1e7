//! Several keys of one derivation (PKCS#11 3.2, "Deriving Additional Keys").

use slotfs_object::pkcs11::*;
use slotfs_wire::rv::*;
use slotfs_wire::{Got, KdfPart, Mechanism, Parameter, RawAttribute, Reply, Request, Template};

use crate::fixture::{App, Fixture, boolean, number, shown};

const COUNTER_KDF: u64 = 0x3ac;
const AES_CMAC: u64 = 0x108a;

fn derive(app: &App, session: u64, base: u64, templates: &[Template]) -> Result<Reply, u64> {
    let (template, additional_keys) = templates.split_first().unwrap();
    let parameter = Parameter::CounterKdf {
        prf: AES_CMAC,
        parts: vec![KdfPart::Iteration {
            little_endian: false,
            bits: 32,
        }],
        additional_keys: additional_keys.to_vec(),
    };
    app.ask(Request::DeriveKey {
        session,
        mechanism: Mechanism {
            number: COUNTER_KDF,
            parameter,
        },
        base,
        template: template.clone(),
    })
}

fn base(app: &App, session: u64) -> u64 {
    let template = vec![number(CKA_VALUE_LEN, 32), boolean(CKA_DERIVE, true)];
    app.generate(session, 0x1080, template).unwrap()
}

/// A key that shows its value.
fn open(key_type: u32, bytes: u64) -> Template {
    vec![
        number(CKA_KEY_TYPE, key_type.into()),
        number(CKA_VALUE_LEN, bytes),
        boolean(CKA_SENSITIVE, false),
        boolean(CKA_EXTRACTABLE, true),
    ]
}

#[test]
fn each_template_makes_a_key_of_its_own() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let base = base(&app, session);
    let token = [open(CKK_AES, 16), vec![boolean(CKA_TOKEN, true)]].concat();
    let templates = [open(CKK_AES, 32), token, open(CKK_GENERIC_SECRET, 1)];
    let Reply::Handles(keys) = derive(&app, session, base, &templates).unwrap() else {
        panic!("not several handles");
    };
    let lengths: Vec<_> = keys
        .iter()
        .map(|key| shown(app.get(session, *key, CKA_VALUE_LEN).unwrap()))
        .collect();
    assert_eq!(lengths, [32u64, 16, 1].map(|it| it.to_ne_bytes().to_vec()));
    // The value of a token key is never shown, and a token key's handle is the slot's.
    assert!(keys[0] > 1 << 32 && keys[1] < 1 << 32 && keys[2] > 1 << 32);
    assert_eq!(
        app.get(session, keys[1], CKA_VALUE).unwrap(),
        Got::Sensitive
    );
    let value = |key| shown(app.get(session, key, CKA_VALUE).unwrap());
    // Each begins with an output of the function of its own, the same as if it had come alone.
    let Reply::Handle(alone) = derive(&app, session, base, &[open(CKK_AES, 32)]).unwrap() else {
        panic!("not one handle");
    };
    assert_eq!(value(keys[0]), value(alone));
    let Reply::Handle(long) = derive(&app, session, base, &[open(CKK_GENERIC_SECRET, 64)]).unwrap()
    else {
        panic!("not one handle");
    };
    assert_eq!(value(keys[2])[..], value(long)[48..49]);
}

#[test]
fn a_template_that_does_not_fit_is_named_and_nothing_is_made() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let base = base(&app, session);
    let before = app.find(session, vec![]).len();
    let good = || open(CKK_AES, 16);
    let token = || [good(), vec![boolean(CKA_TOKEN, true)]].concat();
    for (bad, number) in [
        (open(CKK_AES, 17), CKR_ATTRIBUTE_VALUE_INVALID),
        (vec![], CKR_TEMPLATE_INCOMPLETE),
        (open(CKK_EC, 32), CKR_TEMPLATE_INCONSISTENT),
        (
            [good(), vec![boolean(CKA_LOCAL, true)]].concat(),
            CKR_ATTRIBUTE_READ_ONLY,
        ),
    ] {
        for (at, templates) in [
            (0, [bad.clone(), token(), good()]),
            (1, [token(), bad.clone(), good()]),
            (2, [token(), good(), bad]),
        ] {
            let refused = derive(&app, session, base, &templates);
            let template = at;
            assert_eq!(refused, Ok(Reply::NotDerived { number, template }));
        }
    }
    // Where one template is all there is, the error is the whole answer.
    let alone = derive(&app, session, base, &[open(CKK_AES, 17)]);
    assert_eq!(alone, Err(CKR_ATTRIBUTE_VALUE_INVALID));
    // A failure that no template is to blame for.
    let without = derive(&app, session, 0, &[good(), good()]);
    assert_eq!(without, Err(CKR_KEY_HANDLE_INVALID));
    let many = derive(&app, session, base, &vec![good(); 66]);
    assert_eq!(many, Err(CKR_MECHANISM_PARAM_INVALID));
    assert_eq!(app.find(session, vec![]).len(), before);
}

/// The slot refuses its part of the keys, so the session keeps none of its own.
#[test]
fn session_keys_do_not_stay_without_the_token_keys() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let base = base(&app, session);
    let before = app.find(session, vec![]).len();
    let token = [open(CKK_AES, 16), vec![boolean(CKA_TOKEN, true)]].concat();
    // The slot takes 100 objects; 48 at a time are refused the third time.
    let mut templates = vec![open(CKK_AES, 16)];
    templates.extend(vec![token; 48]);
    for _ in 0..2 {
        derive(&app, session, base, &templates).unwrap();
    }
    let full = derive(&app, session, base, &templates);
    assert_eq!(full, Err(CKR_DEVICE_MEMORY));
    assert_eq!(app.find(session, vec![]).len(), before + 2 * 49);
}

#[test]
fn a_derived_key_is_for_what_its_template_names() {
    const USES: [u32; 7] = [
        CKA_ENCRYPT,
        CKA_DECRYPT,
        CKA_SIGN,
        CKA_VERIFY,
        CKA_WRAP,
        CKA_UNWRAP,
        CKA_DERIVE,
    ];
    let it = Fixture::new();
    let (app, session) = it.co();
    let base = base(&app, session);
    let uses = |template: Template| {
        let Reply::Handle(key) = derive(&app, session, base, &[template]).unwrap() else {
            panic!("not one handle");
        };
        USES.map(|it| shown(app.get(session, key, it).unwrap()) == [1])
    };
    let named = |it| [open(CKK_AES, 16), vec![boolean(it, true)]].concat();
    for it in USES {
        assert_eq!(uses(named(it)), USES.map(|other| other == it));
    }
    // One that names none has all that keys of its type have.
    let all = uses(open(CKK_AES, 16));
    assert_eq!(all, USES.map(|it| it != CKA_DERIVE));
    let less = [open(CKK_AES, 16), vec![boolean(CKA_SIGN, false)]].concat();
    assert_eq!(
        uses(less),
        USES.map(|it| it != CKA_DERIVE && it != CKA_SIGN)
    );
}

/// What shows its base is kept as closely as that, if it is a token key: a logged-in application could read one otherwise.
#[test]
fn a_part_of_a_token_key_is_kept_as_closely() {
    let it = Fixture::new();
    let (app, session) = it.co();
    let derive = |base| {
        app.ask(Request::DeriveKey {
            session,
            mechanism: Mechanism {
                number: 0x365, // CKM_EXTRACT_KEY_FROM_KEY
                parameter: Parameter::Number(0),
            },
            base,
            template: vec![
                number(0, 4),
                number(0x100, 0x10),
                number(0x161, 16),
                RawAttribute::bytes(0x103, &[0]),
                RawAttribute::bytes(0x162, &[1]),
            ],
        })
    };
    for token in [0, 1] {
        let template = vec![
            RawAttribute::bytes(1, &[token]),
            number(0x161, 32),
            RawAttribute::bytes(0x10c, &[1]),
        ];
        let base = app.generate(session, 0x350, template).unwrap();
        let derived = derive(base);
        match token {
            // CKR_TEMPLATE_INCONSISTENT
            1 => assert_eq!(derived, Err(0xd1)),
            _ => assert!(matches!(derived, Ok(Reply::Handle(_)))),
        }
    }
}
