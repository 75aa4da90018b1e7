//! Requests that make no sense, in any order: each gets an answer that fits a frame, and nothing panics.

use proptest::prelude::*;
use slotfs_wire::{
    HkdfSalt, KdfPart, MAX_DATA_BYTES, Mechanism, Message, MessagePart, NestedAttribute, Oaep,
    Operation, Parameter, RawAttribute, RawValue, Request, Secret, Template, frame,
};

use crate::fixture::Fixture;

/// Numbers of attributes, classes, key types and mechanisms, and some that are none.
fn kind() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..0x12u64,
        0x80..0x91u64,
        0x100..0x182u64,
        Just(0x202),
        Just(0x210),
        Just(0x61d),
        Just(0x633),
        Just(0x637),
        Just(0x4000_0211),
        Just(0x4000_0600),
        any::<u64>(),
    ]
}

fn mechanism_number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..0x30u64,
        0x220..0x400u64,
        0x1040..0x1060u64,
        0x1080..0x10b0u64,
        0x2100..0x2110u64,
        0x4000..0x4040u64,
        any::<u64>(),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        any::<bool>().prop_map(|it| vec![u8::from(it)]),
        (0..64u64).prop_map(|it| it.to_ne_bytes().to_vec()),
        any::<u64>().prop_map(|it| it.to_ne_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..80),
        Just(vec![6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]),
    ]
}

fn template() -> impl Strategy<Value = Template> {
    let nested = (kind(), value()).prop_map(|(kind, bytes)| NestedAttribute {
        kind,
        bytes: Secret::from(bytes),
    });
    let value = prop_oneof![
        9 => value().prop_map(|it| RawValue::Bytes(Secret::from(it))),
        1 => proptest::collection::vec(nested, 0..3).prop_map(RawValue::Template),
    ];
    let one = (kind(), value).prop_map(|(kind, value)| RawAttribute { kind, value });
    proptest::collection::vec(one, 0..6)
}

fn parameter() -> impl Strategy<Value = Parameter> {
    let number = || prop_oneof![0..32u64, any::<u64>()];
    let bytes = || proptest::collection::vec(any::<u8>(), 0..40);
    let oaep = (mechanism_number(), number(), bytes()).prop_map(|(hash, mgf, label)| Oaep {
        hash,
        mgf,
        source: 1,
        label,
    });
    prop_oneof![
        Just(Parameter::None),
        bytes().prop_map(Parameter::Bytes),
        number().prop_map(Parameter::Number),
        (mechanism_number(), number(), number()).prop_map(|(hash, mgf, salt_bytes)| {
            Parameter::Pss {
                hash,
                mgf,
                salt_bytes,
            }
        }),
        oaep.prop_map(Parameter::Oaep),
        (number(), any::<[u8; 16]>()).prop_map(|(counter_bits, block)| Parameter::Ctr {
            counter_bits,
            block
        }),
        (bytes(), number(), bytes(), number()).prop_map(|(iv, iv_bits, aad, tag_bits)| {
            Parameter::Gcm {
                iv,
                iv_bits,
                aad,
                tag_bits,
            }
        }),
        (number(), bytes(), bytes(), number()).prop_map(|(data_bytes, nonce, aad, mac_bytes)| {
            Parameter::Ccm {
                data_bytes,
                nonce,
                aad,
                mac_bytes,
            }
        }),
        (number(), bytes(), bytes()).prop_map(|(kdf, shared, public)| Parameter::Ecdh1 {
            kdf,
            shared,
            public
        }),
        (any::<bool>(), bytes())
            .prop_map(|(prehash, context)| Parameter::Eddsa { prehash, context }),
        (any::<(bool, bool)>(), mechanism_number(), bytes()).prop_map(
            |((extract, expand), hash, info)| Parameter::Hkdf {
                extract,
                expand,
                hash,
                salt: HkdfSalt::Key(hash),
                info,
            }
        ),
        (mechanism_number(), number(), bytes()).prop_map(|(prf, bits, part)| {
            Parameter::CounterKdf {
                prf,
                parts: vec![
                    KdfPart::Iteration {
                        little_endian: false,
                        bits,
                    },
                    KdfPart::Bytes(part),
                ],
                additional_keys: Vec::new(),
            }
        }),
        (number(), bytes()).prop_map(|(hedge, context)| Parameter::SignContext { hedge, context }),
    ]
}

fn mechanism() -> impl Strategy<Value = Mechanism> {
    (mechanism_number(), parameter())
        .prop_map(|(number, parameter)| Mechanism { number, parameter })
}

fn operation() -> impl Strategy<Value = Operation> {
    proptest::sample::select(vec![
        Operation::Encrypt,
        Operation::Decrypt,
        Operation::Digest,
        Operation::Sign,
        Operation::SignRecover,
        Operation::Verify,
        Operation::VerifyRecover,
        Operation::MessageEncrypt,
        Operation::MessageDecrypt,
        Operation::MessageSign,
        Operation::MessageVerify,
        Operation::VerifySignature,
    ])
}

fn room() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![Just(None), (0..600u64).prop_map(Some), Just(Some(u64::MAX))]
}

/// An object: 0 to 7 stand for those that the test made, 8 and above are themselves.
fn object() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..8u64, 1 => any::<u64>()]
}

/// Requests over session 0, which stands for the test's own.
fn request() -> impl Strategy<Value = Request> {
    let session = 0u64;
    prop_oneof![
        template().prop_map(move |template| Request::CreateObject { session, template }),
        (object(), template()).prop_map(move |(object, template)| Request::CopyObject {
            session,
            object,
            template
        }),
        (object(), proptest::collection::vec(kind(), 0..5)).prop_map(move |(object, kinds)| {
            Request::GetAttributes {
                session,
                object,
                kinds,
            }
        }),
        (object(), template()).prop_map(move |(object, template)| Request::SetAttributes {
            session,
            object,
            template
        }),
        template().prop_map(move |template| Request::FindInit { session, template }),
        any::<u64>().prop_map(move |most| Request::Find { session, most }),
        (operation(), mechanism(), object()).prop_map(move |(operation, mechanism, key)| {
            Request::Start {
                session,
                operation,
                mechanism,
                key,
            }
        }),
        (operation(), room(), value()).prop_map(move |(operation, room, signature)| {
            Request::Whole {
                session,
                operation,
                room,
                signature,
            }
        }),
        operation().prop_map(move |operation| Request::Piece { session, operation }),
        (operation(), room()).prop_map(move |(operation, room)| Request::Update {
            session,
            operation,
            room
        }),
        (operation(), room()).prop_map(move |(operation, room)| Request::Final {
            session,
            operation,
            room
        }),
        (operation(), any::<u64>()).prop_map(move |(operation, offset)| Request::More {
            session,
            operation,
            offset
        }),
        object().prop_map(move |key| Request::DigestKey { session, key }),
        (operation(), value(), any::<u64>(), room()).prop_map(
            move |(operation, iv, bits, room)| Request::Message {
                session,
                operation,
                part: MessagePart::Whole,
                parameter: Message::Gcm {
                    iv,
                    fixed_bits: bits,
                    generator: bits % 5,
                    tag: vec![0; 16],
                    tag_bits: 128,
                },
                aad_bytes: bits % 9,
                room,
                signature: Vec::new(),
            }
        ),
        (mechanism(), template()).prop_map(move |(mechanism, template)| Request::GenerateKey {
            session,
            mechanism,
            template
        }),
        (mechanism(), object(), object(), room()).prop_map(
            move |(mechanism, wrapping, key, room)| Request::WrapKey {
                session,
                mechanism,
                wrapping,
                key,
                room,
            }
        ),
        (mechanism(), object(), template()).prop_map(move |(mechanism, unwrapping, template)| {
            Request::UnwrapKey {
                session,
                mechanism,
                unwrapping,
                template,
            }
        }),
        (mechanism(), object(), template()).prop_map(move |(mechanism, base, template)| {
            Request::DeriveKey {
                session,
                mechanism,
                base,
                template,
            }
        }),
        (mechanism(), object(), template(), room()).prop_map(
            move |(mechanism, public, template, room)| Request::Encapsulate {
                session,
                mechanism,
                public,
                template,
                room,
            }
        ),
        (mechanism(), object(), template()).prop_map(move |(mechanism, private, template)| {
            Request::Decapsulate {
                session,
                mechanism,
                private,
                template,
            }
        }),
        any::<u64>().prop_map(move |flags| Request::Cancel { session, flags }),
    ]
}

/// Puts the session and the objects of the test in the place of the numbers that stand for them.
fn placed(request: Request, own: u64, objects: &[u64]) -> Request {
    let it = |number: u64| {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        objects.get(index).copied().unwrap_or(number)
    };
    use Request as R;
    match request {
        R::CreateObject { template, .. } => R::CreateObject {
            session: own,
            template,
        },
        R::CopyObject {
            object, template, ..
        } => R::CopyObject {
            session: own,
            object: it(object),
            template,
        },
        R::GetAttributes { object, kinds, .. } => R::GetAttributes {
            session: own,
            object: it(object),
            kinds,
        },
        R::SetAttributes {
            object, template, ..
        } => R::SetAttributes {
            session: own,
            object: it(object),
            template,
        },
        R::FindInit { template, .. } => R::FindInit {
            session: own,
            template,
        },
        R::Find { most, .. } => R::Find { session: own, most },
        R::Start {
            operation,
            mechanism,
            key,
            ..
        } => R::Start {
            session: own,
            operation,
            mechanism,
            key: it(key),
        },
        R::Whole {
            operation,
            room,
            signature,
            ..
        } => R::Whole {
            session: own,
            operation,
            room,
            signature,
        },
        R::Piece { operation, .. } => R::Piece {
            session: own,
            operation,
        },
        R::Update {
            operation, room, ..
        } => R::Update {
            session: own,
            operation,
            room,
        },
        R::Final {
            operation, room, ..
        } => R::Final {
            session: own,
            operation,
            room,
        },
        R::More {
            operation, offset, ..
        } => R::More {
            session: own,
            operation,
            offset,
        },
        R::DigestKey { key, .. } => R::DigestKey {
            session: own,
            key: it(key),
        },
        R::Message {
            operation,
            part,
            parameter,
            aad_bytes,
            room,
            signature,
            ..
        } => R::Message {
            session: own,
            operation,
            part,
            parameter,
            aad_bytes,
            room,
            signature,
        },
        R::GenerateKey {
            mechanism,
            template,
            ..
        } => R::GenerateKey {
            session: own,
            mechanism,
            template,
        },
        R::WrapKey {
            mechanism,
            wrapping,
            key,
            room,
            ..
        } => R::WrapKey {
            session: own,
            mechanism,
            wrapping: it(wrapping),
            key: it(key),
            room,
        },
        R::UnwrapKey {
            mechanism,
            unwrapping,
            template,
            ..
        } => R::UnwrapKey {
            session: own,
            mechanism,
            unwrapping: it(unwrapping),
            template,
        },
        R::DeriveKey {
            mechanism,
            base,
            template,
            ..
        } => R::DeriveKey {
            session: own,
            mechanism,
            base: it(base),
            template,
        },
        R::Encapsulate {
            mechanism,
            public,
            template,
            room,
            ..
        } => R::Encapsulate {
            session: own,
            mechanism,
            public: it(public),
            template,
            room,
        },
        R::Decapsulate {
            mechanism,
            private,
            template,
            ..
        } => R::Decapsulate {
            session: own,
            mechanism,
            private: it(private),
            template,
        },
        R::Cancel { flags, .. } => R::Cancel {
            session: own,
            flags,
        },
        other => other,
    }
}

#[test]
fn any_requests_get_answers() {
    let it = Fixture::wrapping();
    let (app, session) = it.co();
    let aes = vec![crate::fixture::number(0x161, 32)];
    let aes = app.generate(session, 0x1080, aes).unwrap();
    let secret = vec![crate::fixture::number(0x161, 48)];
    let secret = app.generate(session, 0x350, secret).unwrap();
    let (public, private) = app.pair(session, vec![], vec![]).unwrap();
    let objects = [aes, secret, public, private];
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 600,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let requests = proptest::collection::vec((request(), value()), 1..12);
    let outcome = runner.run(&requests, |requests| {
        for (request, data) in requests {
            let request = placed(request, session, &objects);
            let mut out = zeroize::Zeroizing::default();
            let reply = app.0.answer(request, &data, &mut out);
            prop_assert!(out.len() <= MAX_DATA_BYTES);
            prop_assert!(frame::encode(&reply, out.len()).is_ok());
        }
        Ok(())
    });
    outcome.unwrap();
}
