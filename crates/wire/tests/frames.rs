//! Frames and messages: what is sent is what arrives, and no bytes make a reader allocate more than a frame or panic.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use slotfs_wire::frame::{LENGTHS_BYTES, Lengths, decode, encode};
use slotfs_wire::{
    FrameError, Got, Hello, KdfPart, MAX_DATA_BYTES, MAX_HEADER_BYTES, Mechanism, NestedAttribute,
    Operation, PREAMBLE_BYTES, Parameter, Preamble, RawAttribute, RawValue, Reply, Request, Secret,
    StoreId, Who,
};

fn attribute() -> impl Strategy<Value = RawAttribute> {
    let plain = (any::<u64>(), any::<Vec<u8>>())
        .prop_map(|(kind, bytes)| RawAttribute::bytes(kind, &bytes));
    let inside = (any::<u64>(), any::<Vec<u8>>()).prop_map(|(kind, bytes)| NestedAttribute {
        kind,
        bytes: Secret::from(bytes),
    });
    let nested = (any::<u64>(), proptest::collection::vec(inside, 0..4));
    prop_oneof![
        plain,
        nested.prop_map(|(kind, template)| RawAttribute {
            kind,
            value: RawValue::Template(template),
        })
    ]
}

fn parameter() -> impl Strategy<Value = Parameter> {
    prop_oneof![
        Just(Parameter::None),
        any::<Vec<u8>>().prop_map(Parameter::Bytes),
        any::<u64>().prop_map(Parameter::Number),
        (any::<u64>(), any::<[u8; 16]>()).prop_map(|(counter_bits, block)| Parameter::Ctr {
            counter_bits,
            block
        }),
        (any::<Vec<u8>>(), any::<u64>(), any::<Vec<u8>>()).prop_map(|(iv, bits, aad)| {
            Parameter::Gcm {
                iv,
                iv_bits: bits,
                aad,
                tag_bits: bits,
            }
        }),
    ]
}

/// The parameter with templates of its own.
fn kdf() -> impl Strategy<Value = Parameter> {
    let template = proptest::collection::vec(attribute(), 0..4);
    let keys = proptest::collection::vec(template, 0..4);
    (any::<u64>(), keys, any::<Vec<u8>>()).prop_map(|(prf, additional_keys, iv)| {
        Parameter::FeedbackKdf {
            prf,
            parts: vec![KdfPart::Bytes(iv.clone())],
            additional_keys,
            iv,
        }
    })
}

fn request() -> impl Strategy<Value = Request> {
    let template = || proptest::collection::vec(attribute(), 0..6);
    prop_oneof![
        any::<(u64, u64, bool, bool)>().prop_map(|(device, inode, first, wants_door)| {
            Request::Hello(Hello {
                store: StoreId { device, inode },
                application: (!first).then_some([7; 16]),
                user: Who::Cu,
                wants_door,
            })
        }),
        (any::<u64>(), template())
            .prop_map(|(session, template)| Request::CreateObject { session, template }),
        (any::<u64>(), any::<u64>(), any::<u64>(), parameter()).prop_map(
            |(session, key, number, parameter)| Request::Start {
                session,
                operation: Operation::Sign,
                mechanism: Mechanism { number, parameter },
                key,
            }
        ),
        (any::<u64>(), any::<u64>(), kdf(), template()).prop_map(
            |(session, base, parameter, template)| Request::DeriveKey {
                session,
                mechanism: Mechanism {
                    number: base,
                    parameter,
                },
                base,
                template,
            }
        ),
        (any::<u64>(), any::<Option<Vec<u8>>>()).prop_map(|(session, pin)| Request::Login {
            session,
            user: 1,
            pin: pin.map(Secret::from),
            name: None,
        }),
    ]
}

/// The header of an encoded message.
fn header(frame: &[u8], data_bytes: usize) -> &[u8] {
    let (lengths, header) = frame.split_first_chunk::<LENGTHS_BYTES>().unwrap();
    let lengths = Lengths::parse(*lengths).unwrap();
    assert_eq!((lengths.header, lengths.data), (header.len(), data_bytes));
    header
}

proptest! {
    #[test]
    fn requests_arrive(request in request(), data_bytes in 0..=MAX_DATA_BYTES) {
        let frame = encode(&request, data_bytes).unwrap();
        prop_assert_eq!(decode::<Request>(header(&frame, data_bytes)).unwrap(), request);
    }

    #[test]
    fn replies_arrive(values in proptest::collection::vec(any::<Vec<u8>>(), 0..5)) {
        let got = values.iter().map(|it| Got::Value(RawValue::Bytes(Secret::from(it.as_slice()))));
        let reply = Reply::Attributes(got.chain([Got::Sensitive, Got::Invalid]).collect());
        let frame = encode(&reply, 0).unwrap();
        prop_assert_eq!(decode::<Reply>(header(&frame, 0)).unwrap(), reply);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        // One message has one form.
        if let Ok(request) = decode::<Request>(&bytes) {
            let frame = encode(&request, 0).unwrap();
            prop_assert_eq!(decode::<Request>(header(&frame, 0)).unwrap(), request);
        }
        if let Ok(reply) = decode::<Reply>(&bytes) {
            let frame = encode(&reply, 0).unwrap();
            prop_assert_eq!(decode::<Reply>(header(&frame, 0)).unwrap(), reply);
        }
    }

    #[test]
    fn a_cut_or_longer_header_is_refused(request in request(), more: u8) {
        let frame = encode(&request, 0).unwrap();
        let whole = header(&frame, 0);
        let cut = whole.split_last().unwrap().1;
        prop_assert_eq!(decode::<Request>(cut).unwrap_err(), FrameError::Header);
        let longer = [whole, &[more]].concat();
        prop_assert_eq!(decode::<Request>(&longer).unwrap_err(), FrameError::Header);
    }
}

#[test]
fn lengths_have_limits() {
    let lengths = |header: u32, data: u32| {
        let mut bytes = [0; LENGTHS_BYTES];
        bytes[..4].copy_from_slice(&header.to_le_bytes());
        bytes[4..].copy_from_slice(&data.to_le_bytes());
        Lengths::parse(bytes)
    };
    let (header, data) = (MAX_HEADER_BYTES as u32, MAX_DATA_BYTES as u32);
    assert!(lengths(header, data).is_ok());
    for (header, data) in [(header + 1, 0), (0, data + 1), (u32::MAX, u32::MAX)] {
        let refused = lengths(header, data).unwrap_err();
        let sum = u64::from(header) + u64::from(data);
        assert_eq!(refused, FrameError::TooLong(sum));
    }
    let long = Request::CreateObject {
        session: 1,
        template: vec![RawAttribute::bytes(0x11, &vec![0; MAX_HEADER_BYTES])],
    };
    assert!(matches!(encode(&long, 0), Err(FrameError::TooLong(_))));
    assert!(encode(&Reply::Done, MAX_DATA_BYTES + 1).is_err());
}

/// A vector that says that it has 2^60 elements is refused before memory is taken for them.
#[test]
fn a_length_that_lies() {
    let honest = encode(&Reply::Handles(vec![1, 2]), 0).unwrap();
    let mut header = header(&honest, 0).to_vec();
    // The variant, then the number of elements: 253 announces 8 bytes.
    header.truncate(1);
    header.push(253);
    header.extend_from_slice(&(1u64 << 60).to_le_bytes());
    assert_eq!(decode::<Reply>(&header).unwrap_err(), FrameError::Header);
}

#[test]
fn a_preamble_is_known_whatever_the_version() {
    let other = Preamble { version: 77 };
    for preamble in [Preamble::OURS, other] {
        let bytes = preamble.to_bytes();
        assert_eq!(Preamble::parse(&bytes), Some(preamble));
        for at in 0..8 {
            let mut wrong = bytes;
            wrong[at] ^= 1;
            assert_eq!(Preamble::parse(&wrong), None, "{at}");
        }
    }
    assert_eq!(PREAMBLE_BYTES, 12);
}

#[test]
fn secrets_are_not_printed() {
    let secret = Secret::from(b"a PIN".as_slice());
    let login = Request::Login {
        session: 1,
        user: 1,
        pin: Some(secret),
        name: None,
    };
    let text = format!("{login:?}");
    assert!(
        text.contains("Secret(5 bytes)") && !text.contains("PIN"),
        "{text}"
    );
}
