//! Calls become messages, and replies results.

use std::ptr;

use cryptoki_sys::*;
use slotfs_wire::{
    Got, MAX_DATA_BYTES, Mechanism, Message, MessagePart, NestedAttribute, Operation, Parameter,
    RawAttribute, RawValue, Reply, Request, Secret, TokenInfo,
};

use crate::fake::{Answer, Fake, Module, call, usual};

fn bytes(value: &[u8]) -> RawValue {
    RawValue::Bytes(Secret::from(value))
}

fn attribute<T: ?Sized>(kind: CK_ATTRIBUTE_TYPE, value: &mut T) -> CK_ATTRIBUTE {
    CK_ATTRIBUTE {
        type_: kind,
        ulValueLen: size_of_val(value) as CK_ULONG,
        pValue: ptr::from_mut(value).cast(),
    }
}

#[test]
fn lists_are_asked_for_in_two_calls() {
    let fake = Fake::new(|request, _| match request {
        Request::Slots { .. } => Answer::Reply(Reply::Handles(vec![0, 3, 9])),
        other => usual(other),
    });
    let _module = Module::new(&fake);
    let mut count = 77;
    let mut slots = [55; 3];
    assert_eq!(
        call!(C_GetSlotList, 1, ptr::null_mut(), &raw mut count),
        CKR_OK
    );
    assert_eq!(count, 3);
    count = 2;
    assert_eq!(
        call!(C_GetSlotList, 1, slots.as_mut_ptr(), &raw mut count),
        CKR_BUFFER_TOO_SMALL
    );
    assert_eq!((count, slots), (3, [55; 3]));
    assert_eq!(
        call!(C_GetSlotList, 0, slots.as_mut_ptr(), &raw mut count),
        CKR_OK
    );
    assert_eq!((count, slots), (3, [0, 3, 9]));
    let asked: Vec<_> = fake.requests().into_iter().map(|it| it.0).collect();
    assert_eq!(asked[0], Request::Slots { with_token: true });
    assert_eq!(asked[2], Request::Slots { with_token: false });
}

#[test]
fn texts_are_padded_with_blanks_and_cut_between_characters() {
    let fake = Fake::new(|_, _| {
        Answer::Reply(Reply::Token(TokenInfo {
            label: "Schlüssel der Verwaltung von Köln".into(),
            model: "slotfs".into(),
            serial: "12".into(),
            flags: CKF_RNG,
            sessions: 1,
            rw_sessions: 0,
            pin_bytes: (8, 255),
        }))
    });
    let _module = Module::new(&fake);
    let mut info: CK_TOKEN_INFO = unsafe { std::mem::zeroed() };
    assert_eq!(call!(C_GetTokenInfo, 0, &raw mut info), CKR_OK);
    assert_eq!(&info.serialNumber, b"12              ");
    assert_eq!(&info.model, b"slotfs          ");
    assert_eq!(
        &info.label[..],
        "Schlüssel der Verwaltung von K ".as_bytes()
    );
    assert_eq!((info.ulMinPinLen, info.ulMaxPinLen), (8, 255));
    assert_eq!(info.ulFreePublicMemory, CK_UNAVAILABLE_INFORMATION);
}

#[test]
fn a_pin_of_null_is_none() {
    let fake = Fake::new(|request, _| usual(request));
    let module = Module::new(&fake);
    let session = module.session();
    let mut pin = *b"secret pin";
    let length = pin.len() as CK_ULONG;
    call!(C_Login, session, CKU_USER, pin.as_mut_ptr(), length);
    call!(C_Login, session, CKU_SO, ptr::null_mut(), 0);
    let login = |user, pin: Option<&[u8]>| Request::Login {
        session,
        user,
        pin: pin.map(Secret::from),
        name: None,
    };
    let asked: Vec<_> = fake.requests().into_iter().map(|it| it.0).collect();
    assert_eq!(asked[1..], [login(1, Some(b"secret pin")), login(0, None)]);
}

#[test]
fn every_attribute_is_processed() {
    let fake = Fake::new(|request, _| match request {
        Request::GetAttributes { .. } => Answer::Reply(Reply::Attributes(vec![
            Got::Sensitive,
            Got::Value(bytes(b"label")),
            Got::Invalid,
            Got::Value(bytes(b"longer than that")),
            Got::Value(bytes(b"id")),
            Got::Value(RawValue::Template(vec![NestedAttribute {
                kind: CKA_TOKEN,
                bytes: Secret::from(&[1u8][..]),
            }])),
        ])),
        other => usual(other),
    });
    let module = Module::new(&fake);
    let session = module.session();
    let (mut value, mut label, mut short, mut token) = ([0u8; 8], [0u8; 8], [0u8; 4], [9u8; 1]);
    let mut nested = [attribute(0, &mut token)];
    let length_alone = CK_ATTRIBUTE {
        type_: CKA_ID,
        pValue: ptr::null_mut(),
        ulValueLen: 0,
    };
    let mut template = [
        attribute(CKA_VALUE, &mut value),
        attribute(CKA_LABEL, &mut label),
        attribute(CKA_MODULUS, &mut value),
        attribute(CKA_SUBJECT, &mut short),
        length_alone,
        attribute(CKA_WRAP_TEMPLATE, &mut nested),
    ];
    let count = template.len() as CK_ULONG;
    let got = call!(
        C_GetAttributeValue,
        session,
        5,
        template.as_mut_ptr(),
        count
    );
    assert_eq!(got, CKR_ATTRIBUTE_SENSITIVE);
    let lengths = template.map(|it| it.ulValueLen);
    let none = CK_UNAVAILABLE_INFORMATION;
    assert_eq!(lengths, [none, 5, none, none, 2, 24]);
    assert_eq!(&label[..5], b"label");
    assert_eq!(
        (nested[0].type_, nested[0].ulValueLen, token),
        (CKA_TOKEN, 1, [1])
    );
}

#[test]
fn templates_are_sent_with_what_they_point_to() {
    let fake = Fake::new(|request, _| match request {
        Request::CreateObject { .. } => Answer::Reply(Reply::Handle(8)),
        other => usual(other),
    });
    let module = Module::new(&fake);
    let session = module.session();
    let mut mechanisms = [CKM_ECDSA, CKM_EDDSA];
    let mut no: CK_BBOOL = 0;
    let mut inside = [attribute(CKA_EXTRACTABLE, &mut no)];
    let mut template = [
        attribute(CKA_ALLOWED_MECHANISMS, &mut mechanisms),
        attribute(CKA_UNWRAP_TEMPLATE, &mut inside),
    ];
    let mut object = 0;
    let made = call!(
        C_CreateObject,
        session,
        template.as_mut_ptr(),
        2,
        &raw mut object
    );
    assert_eq!((made, object), (CKR_OK, 8));
    let allowed: Vec<u8> = mechanisms.iter().flat_map(|it| it.to_ne_bytes()).collect();
    let nested = NestedAttribute {
        kind: CKA_EXTRACTABLE,
        bytes: Secret::from(&[0u8][..]),
    };
    let expected = Request::CreateObject {
        session,
        template: vec![
            RawAttribute::bytes(CKA_ALLOWED_MECHANISMS, &allowed),
            RawAttribute {
                kind: CKA_UNWRAP_TEMPLATE,
                value: RawValue::Template(vec![nested]),
            },
        ],
    };
    assert_eq!(fake.requests()[1].0, expected);
    // A length without an address, and one that no slot takes.
    template[0].pValue = ptr::null_mut();
    let without = call!(
        C_CreateObject,
        session,
        template.as_mut_ptr(),
        1,
        &raw mut object
    );
    assert_eq!(without, CKR_ARGUMENTS_BAD);
    template[1].ulValueLen = 25;
    let torn = call!(C_FindObjectsInit, session, template[1..].as_mut_ptr(), 1);
    assert_eq!(torn, CKR_ARGUMENTS_BAD);
    let many = call!(
        C_FindObjectsInit,
        session,
        template.as_mut_ptr(),
        CK_ULONG::MAX
    );
    assert_eq!(many, CKR_ARGUMENTS_BAD);
    assert_eq!(fake.requests().len(), 0);
}

#[test]
fn a_search_gives_as_many_handles_as_there_is_room_for() {
    let fake = Fake::new(|request, _| match request {
        Request::Find { .. } => Answer::Reply(Reply::Handles(vec![11, 12])),
        other => usual(other),
    });
    let module = Module::new(&fake);
    let session = module.session();
    let mut class = CKO_PRIVATE_KEY;
    let mut template = [attribute(CKA_CLASS, &mut class)];
    let began = call!(C_FindObjectsInit, session, template.as_mut_ptr(), 1);
    assert_eq!(began, CKR_OK);
    let (mut found, mut count) = ([0; 4], 0);
    let find = call!(
        C_FindObjects,
        session,
        found.as_mut_ptr(),
        4,
        &raw mut count
    );
    assert_eq!((find, count, found), (CKR_OK, 2, [11, 12, 0, 0]));
}

#[test]
fn a_signature_is_asked_for_and_fetched() {
    let fake = Fake::new(|request, data| match request {
        Request::Whole { room: None, .. } => Answer::Reply(Reply::Output { bytes: 4 }),
        Request::Whole {
            room: Some(0..4), ..
        } => Answer::Reply(Reply::TooSmall { bytes: 4 }),
        Request::Whole { .. } => Answer::WithData(Reply::Output { bytes: 4 }, data[..4].into()),
        other => usual(other),
    });
    let module = Module::new(&fake);
    let session = module.session();
    let mut mechanism = CK_MECHANISM {
        mechanism: CKM_ECDSA,
        pParameter: ptr::null_mut(),
        ulParameterLen: 0,
    };
    assert_eq!(call!(C_SignInit, session, &raw mut mechanism, 3), CKR_OK);
    let mut data = *b"data to sign";
    let (pointer, bytes) = (data.as_mut_ptr(), data.len() as CK_ULONG);
    let mut signature = [0u8; 6];
    for (buffer, room, expected, length) in [
        (ptr::null_mut(), 0, CKR_OK, 4),
        (signature.as_mut_ptr(), 3, CKR_BUFFER_TOO_SMALL, 4),
        (signature.as_mut_ptr(), 6, CKR_OK, 4),
    ] {
        assert_eq!(&signature, b"\0\0\0\0\0\0");
        let mut room = room;
        let signed = call!(C_Sign, session, pointer, bytes, buffer, &raw mut room);
        assert_eq!((signed, room), (expected, length));
    }
    assert_eq!(&signature, b"data\0\0");
    let nowhere = ptr::null_mut();
    let without_length = call!(C_Sign, session, pointer, bytes, nowhere, ptr::null_mut());
    assert_eq!(without_length, CKR_ARGUMENTS_BAD);
    let without_data = call!(C_Sign, session, ptr::null_mut(), 5, nowhere, &mut 0);
    assert_eq!(without_data, CKR_ARGUMENTS_BAD);
    assert_eq!(call!(C_SignInit, session, ptr::null_mut(), 0), CKR_OK);
    let asked: Vec<_> = fake.requests().into_iter().map(|it| it.0).collect();
    let start = Request::Start {
        session,
        operation: Operation::Sign,
        mechanism: Mechanism {
            number: CKM_ECDSA,
            parameter: Parameter::None,
        },
        key: 3,
    };
    assert_eq!(asked[1], start);
    let cancel = Request::Cancel {
        session,
        flags: CKF_SIGN,
    };
    assert_eq!(asked.last(), Some(&cancel));
}

/// Data and outputs longer than a frame: pieces in, more out.
#[test]
fn long_data_goes_in_pieces() {
    let whole = |long: u64| Reply::Output { bytes: long };
    let output = |from: usize, to: usize| (from..to).map(|at| (at / 7) as u8).collect::<Vec<_>>();
    let long = 2 * MAX_DATA_BYTES + 5;
    let fake = Fake::new(move |request, data| match request {
        Request::Whole { .. } => {
            assert_eq!(data.len(), 5);
            Answer::WithData(whole(long as u64), output(0, MAX_DATA_BYTES))
        }
        Request::More { offset, .. } => {
            let from = *offset as usize;
            let to = long.min(from + MAX_DATA_BYTES);
            Answer::WithData(whole(long as u64), output(from, to))
        }
        other => usual(other),
    });
    let module = Module::new(&fake);
    let session = module.session();
    let mut data = vec![1u8; long];
    let mut out = vec![0u8; long];
    let mut room = long as CK_ULONG;
    let done = call!(
        C_Encrypt,
        session,
        data.as_mut_ptr(),
        long as CK_ULONG,
        out.as_mut_ptr(),
        &raw mut room
    );
    assert_eq!((done, room), (CKR_OK, long as CK_ULONG));
    assert!(out == output(0, long));
    let asked = fake.requests();
    let kinds: Vec<_> = asked[1..].iter().map(|it| it.1.len()).collect();
    assert_eq!(kinds, [MAX_DATA_BYTES, MAX_DATA_BYTES, 5, 0, 0]);
}

/// An update of any length fits a buffer of that length, if the cipher gives what it takes.
#[test]
fn a_long_update_takes_no_more_room_than_its_output() {
    let fake = Fake::new(|request, data| {
        let output = Reply::Output {
            bytes: data.len() as u64,
        };
        match request {
            Request::Update { room: None, .. } => Answer::Reply(output),
            Request::Update { .. } => Answer::WithData(output, data.into()),
            other => usual(other),
        }
    });
    let module = Module::new(&fake);
    let session = module.session();
    let long = 2 * MAX_DATA_BYTES + MAX_DATA_BYTES / 2 + 3;
    let mut data: Vec<u8> = (0..long).map(|at| (at / 7) as u8).collect();
    let mut out = vec![0u8; long];
    let (pointer, bytes) = (data.as_mut_ptr(), long as CK_ULONG);
    for (buffer, room, expected) in [
        (ptr::null_mut(), 0, CKR_OK),
        (out.as_mut_ptr(), bytes - 1, CKR_BUFFER_TOO_SMALL),
        (out.as_mut_ptr(), bytes, CKR_OK),
    ] {
        let mut room = room;
        let done = call!(
            C_EncryptUpdate,
            session,
            pointer,
            bytes,
            buffer,
            &raw mut room
        );
        assert_eq!((done, room), (expected, bytes));
    }
    assert!(out == data);
}

#[test]
fn a_message_gives_its_iv_and_tag_back() {
    let fake = Fake::new(|request, data| match request {
        Request::Message {
            aad_bytes,
            part: MessagePart::Whole,
            ..
        } => {
            assert_eq!((*aad_bytes, data), (3, &b"aadtext"[..]));
            let reply = Reply::Message {
                bytes: 4,
                iv_bytes: 12,
                tag_bytes: 16,
            };
            let data = [&b"TEXT"[..], &[5; 12], &[6; 16]].concat();
            Answer::WithData(reply, data)
        }
        other => usual(other),
    });
    let module = Module::new(&fake);
    let session = module.session();
    let (mut iv, mut tag) = ([0u8; 12], [0u8; 16]);
    let mut parameter = CK_GCM_MESSAGE_PARAMS {
        pIv: iv.as_mut_ptr(),
        ulIvLen: 12,
        ulIvFixedBits: 0,
        ivGenerator: CKG_GENERATE,
        pTag: tag.as_mut_ptr(),
        ulTagBits: 128,
    };
    let (mut aad, mut text, mut out, mut room) = (*b"aad", *b"text", [0u8; 4], 4);
    let mut encrypt = |parameter: &mut CK_GCM_MESSAGE_PARAMS, length: usize| {
        call!(
            C_EncryptMessage,
            session,
            ptr::from_mut(parameter).cast(),
            length as CK_ULONG,
            aad.as_mut_ptr(),
            3,
            text.as_mut_ptr(),
            4,
            out.as_mut_ptr(),
            &raw mut room
        )
    };
    let length = size_of::<CK_GCM_MESSAGE_PARAMS>();
    assert_eq!(encrypt(&mut parameter, length), CKR_OK);
    assert_eq!(
        encrypt(&mut parameter, length - 1),
        CKR_MECHANISM_PARAM_INVALID
    );
    parameter.pTag = ptr::without_provenance_mut(8);
    assert_eq!(encrypt(&mut parameter, length), CKR_MECHANISM_PARAM_INVALID);
    assert_eq!((iv, tag, &out, room), ([5; 12], [6; 16], b"TEXT", 4));
    let expected = Request::Message {
        session,
        operation: Operation::MessageEncrypt,
        part: MessagePart::Whole,
        parameter: Message::Gcm {
            iv: vec![0; 12],
            fixed_bits: 0,
            generator: CKG_GENERATE,
            tag: Vec::new(),
            tag_bits: 128,
        },
        aad_bytes: 3,
        room: Some(4),
        signature: Vec::new(),
    };
    assert_eq!(fake.requests()[1].0, expected);
}

#[test]
fn what_is_digested_and_encrypted_may_be_one_buffer() {
    let fake = Fake::new(|request, data| match request {
        Request::Update {
            operation: Operation::Encrypt,
            ..
        } => Answer::WithData(Reply::Output { bytes: 4 }, b"BUSY".into()),
        Request::Update { .. } => {
            assert_eq!(data, b"data");
            Answer::Reply(Reply::Done)
        }
        other => usual(other),
    });
    let module = Module::new(&fake);
    let session = module.session();
    let mut buffer = *b"data";
    let (pointer, mut length) = (buffer.as_mut_ptr(), 4);
    let done = call!(
        C_DigestEncryptUpdate,
        session,
        pointer,
        4,
        pointer,
        &raw mut length
    );
    assert_eq!((done, &buffer, length), (CKR_OK, b"BUSY", 4));
    assert_eq!(fake.requests().len(), 3);
}
