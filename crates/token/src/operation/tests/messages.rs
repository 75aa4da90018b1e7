//! Message-based operations.

use slotfs_wire::numbers::*;
use slotfs_wire::rv::*;
use slotfs_wire::{Message, MessagePart, Operation as Kind};

use super::*;
use crate::error::Rv;
use crate::operation::MessageOutput;
use crate::testing::{aes, p256, plain};

fn gcm(iv: &[u8], fixed_bits: u64, generator: u64, tag: &[u8]) -> Message {
    Message::Gcm {
        iv: iv.to_vec(),
        fixed_bits,
        generator,
        tag: tag.to_vec(),
        tag_bits: 128,
    }
}

fn ccm(mac: &[u8]) -> Message {
    Message::Ccm {
        data_bytes: 0,
        nonce: vec![1; 12],
        fixed_bits: 0,
        generator: CKG_NO_GENERATE,
        mac: mac.to_vec(),
        mac_bytes: 16,
    }
}

fn call(
    running: &mut Operation,
    part: MessagePart,
    parameter: &Message,
    aad: &[u8],
    text: &[u8],
) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    match running.message(part, parameter, aad, text, MUCH, &[]) {
        Ok(MessageOutput::Message { text, iv, tag }) => (text.to_vec(), iv, tag),
        other => panic!("{other:?}"),
    }
}

#[test]
fn messages_whole_and_in_parts_are_the_same() {
    let key = aes(&[1; 32]);
    for (number, parameter) in [
        (CKM_AES_GCM, gcm(&[1; 12], 0, CKG_NO_GENERATE, &[])),
        (CKM_AES_CCM, ccm(&[])),
    ] {
        let mut running = start(Kind::MessageEncrypt, &plain(number), &key);
        let (text, iv, tag) = call(
            &mut running,
            MessagePart::Whole,
            &parameter,
            b"aad",
            b"abcdef",
        );
        assert_eq!((iv.len(), tag.len(), text.len()), (12, 16, 6));
        let mut parts = Vec::new();
        call(&mut running, MessagePart::Begin, &parameter, b"aad", b"");
        parts.extend(call(&mut running, MessagePart::Next, &parameter, b"", b"abc").0);
        let (last, _, again) = call(&mut running, MessagePart::Last, &parameter, b"", b"def");
        parts.extend(last);
        assert_eq!((&parts, &again), (&text, &tag));

        let with = |tag: &[u8]| match number {
            CKM_AES_GCM => gcm(&[1; 12], 0, CKG_NO_GENERATE, tag),
            _ => ccm(tag),
        };
        let mut running = start(Kind::MessageDecrypt, &plain(number), &key);
        let opened = call(&mut running, MessagePart::Whole, &with(&tag), b"aad", &text).0;
        assert_eq!(opened, b"abcdef");
        call(&mut running, MessagePart::Begin, &with(&[]), b"aad", b"");
        let early = call(&mut running, MessagePart::Next, &with(&[]), b"", &text[..3]).0;
        assert_eq!(early, b"");
        let opened = call(
            &mut running,
            MessagePart::Last,
            &with(&tag),
            b"",
            &text[3..],
        )
        .0;
        assert_eq!(opened, b"abcdef");
        let failed = Err(Rv(CKR_AEAD_DECRYPT_FAILED));
        let bad = running.message(
            MessagePart::Whole,
            &with(&[0; 16]),
            b"aad",
            &text,
            MUCH,
            &[],
        );
        assert_eq!(bad, failed);
        // A failed message leaves the operation as it was.
        assert!(!running.is_over());
        let opened = call(&mut running, MessagePart::Whole, &with(&tag), b"aad", &text).0;
        assert_eq!(opened, b"abcdef");
        let short = running.message(MessagePart::Whole, &with(&[]), b"aad", &text, MUCH, &[]);
        assert_eq!(short, Err(Rv(CKR_MECHANISM_PARAM_INVALID)));
    }
}

#[test]
fn lengths_are_asked_for() {
    let key = aes(&[1; 32]);
    let mut running = start(Kind::MessageEncrypt, &plain(CKM_AES_GCM), &key);
    let parameter = gcm(&[1; 12], 0, CKG_GENERATE_COUNTER, &[]);
    let parameter = &parameter;
    let mut ask =
        |part, text: &[u8], room| running.message(part, parameter, b"", text, Room(room), &[]);
    let whole = MessagePart::Whole;
    assert_eq!(ask(whole, b"abc", None), Ok(MessageOutput::Length(3)));
    assert_eq!(ask(whole, b"abc", Some(2)), Ok(MessageOutput::TooSmall(3)));
    assert_eq!(
        ask(MessagePart::Next, b"abc", None),
        Err(Rv(CKR_OPERATION_NOT_INITIALIZED))
    );
    ask(MessagePart::Begin, b"", Some(0)).unwrap();
    assert_eq!(
        ask(MessagePart::Next, b"abc", Some(2)),
        Ok(MessageOutput::TooSmall(3))
    );
    ask(MessagePart::Last, b"abc", Some(3)).unwrap();
    ask(MessagePart::Begin, b"", Some(0)).unwrap();
    assert_eq!(ask(whole, b"abc", Some(3)), Err(Rv(CKR_OPERATION_ACTIVE)));
}

#[test]
fn generated_ivs_keep_their_fixed_bits_and_do_not_repeat() {
    let key = aes(&[1; 32]);
    for generator in [
        CKG_GENERATE,
        CKG_GENERATE_COUNTER,
        CKG_GENERATE_RANDOM,
        CKG_GENERATE_COUNTER_XOR,
    ] {
        let mut running = start(Kind::MessageEncrypt, &plain(CKM_AES_GCM), &key);
        let parameter = gcm(&[7; 12], 36, generator, &[]);
        let mut ivs = std::collections::BTreeSet::new();
        for _ in 0..50 {
            let (_, iv, _) = call(&mut running, MessagePart::Whole, &parameter, b"", b"text");
            assert_eq!(iv.len(), 12);
            assert_eq!(iv[..4], [7; 4]);
            assert_eq!(iv[4] >> 4, 0);
            assert!(ivs.insert(iv));
        }
    }
    let mut running = start(Kind::MessageEncrypt, &plain(CKM_AES_GCM), &key);
    for (fixed, generator) in [(97, CKG_GENERATE), (65, CKG_GENERATE), (0, 77)] {
        let bad = gcm(&[7; 12], fixed, generator, &[]);
        let refused = running.message(MessagePart::Whole, &bad, b"", b"", MUCH, &[]);
        assert_eq!(refused, Err(Rv(CKR_MECHANISM_PARAM_INVALID)));
    }
}

#[test]
fn messages_are_signed_one_after_the_other() {
    let (private, public) = p256();
    let mut signing = start(Kind::MessageSign, &plain(CKM_ECDSA_SHA256), &private);
    let mut verifying = start(Kind::MessageVerify, &plain(CKM_ECDSA_SHA256), &public);
    for text in [&b"one"[..], b"two"] {
        let (signature, ..) = call(&mut signing, MessagePart::Whole, &Message::None, b"", text);
        let verdict = verifying.message(
            MessagePart::Whole,
            &Message::None,
            b"",
            text,
            Room(None),
            &signature,
        );
        assert!(verdict.is_ok());
        call(&mut signing, MessagePart::Begin, &Message::None, b"", b"");
        call(
            &mut signing,
            MessagePart::Next,
            &Message::None,
            b"",
            &text[..1],
        );
        let (signature, ..) = call(
            &mut signing,
            MessagePart::Last,
            &Message::None,
            b"",
            &text[1..],
        );
        assert_eq!(
            verify(&plain(CKM_ECDSA_SHA256), &public, text, &signature),
            Ok(())
        );
    }
    let bad = verifying.message(
        MessagePart::Whole,
        &Message::None,
        b"",
        b"x",
        MUCH,
        &[0; 64],
    );
    assert_eq!(bad, Err(Rv(CKR_SIGNATURE_INVALID)));
}
