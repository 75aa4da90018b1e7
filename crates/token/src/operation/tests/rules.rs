//! What holds for every operation: length queries, buffers that are too small, and the order of calls.

use slotfs_wire::numbers::*;
use slotfs_wire::rv::*;
use slotfs_wire::{Operation as Kind, Parameter};

use super::*;
use crate::error::Rv;
use crate::testing::{aes, generic, mechanism, p256, plain, rsa};

/// An operation of each kind with data for it, in a fresh state each time.
fn each(check: impl Fn(&dyn Fn() -> Operation, &[u8])) {
    let (private, public) = rsa();
    let (ec, _) = p256();
    let (aes, generic) = (aes(&[1; 16]), generic(b"k"));
    let cbc = |number| mechanism(number, Parameter::Bytes(vec![1; 16]));
    let gcm = mechanism(
        CKM_AES_GCM,
        Parameter::Gcm {
            iv: vec![1; 12],
            iv_bits: 96,
            aad: Vec::new(),
            tag_bits: 128,
        },
    );
    let pss = mechanism(
        CKM_SHA256_RSA_PKCS_PSS,
        Parameter::Pss {
            hash: CKM_SHA256,
            mgf: CKG_MGF1_SHA256,
            salt_bytes: 32,
        },
    );
    let data = [5; 32];
    let sealed = |mechanism: &Mechanism, key| whole(Kind::Encrypt, mechanism, key, &data).unwrap();
    let signature = whole(Kind::SignRecover, &plain(CKM_RSA_PKCS), &private, &data).unwrap();
    let digest = || Operation::start(Kind::Digest, &plain(CKM_SHA256), None).unwrap();
    check(&digest, &data);
    for (kind, mechanism, key, data) in [
        (Kind::Sign, &plain(CKM_RSA_PKCS), &private, &data[..]),
        (Kind::Sign, &plain(CKM_SHA256_RSA_PKCS), &private, &data),
        (Kind::Sign, &pss, &private, &data),
        (Kind::Sign, &plain(CKM_ECDSA), &ec, &data),
        (Kind::Sign, &plain(CKM_ECDSA_SHA256), &ec, &data),
        (Kind::Sign, &plain(CKM_SHA256_HMAC), &generic, &data),
        (Kind::SignRecover, &plain(CKM_RSA_PKCS), &private, &data),
        (
            Kind::VerifyRecover,
            &plain(CKM_RSA_PKCS),
            &public,
            &signature,
        ),
        (Kind::Encrypt, &plain(CKM_RSA_PKCS), &public, &data),
        (
            Kind::Decrypt,
            &plain(CKM_RSA_PKCS),
            &private,
            &sealed(&plain(CKM_RSA_PKCS), &public),
        ),
        (Kind::Encrypt, &cbc(CKM_AES_CBC), &aes, &data),
        (Kind::Encrypt, &cbc(CKM_AES_CBC_PAD), &aes, &data),
        (
            Kind::Decrypt,
            &cbc(CKM_AES_CBC_PAD),
            &aes,
            &sealed(&cbc(CKM_AES_CBC_PAD), &aes),
        ),
        (Kind::Encrypt, &gcm, &aes, &data),
        (Kind::Decrypt, &gcm, &aes, &sealed(&gcm, &aes)),
        (Kind::Encrypt, &plain(CKM_AES_KEY_WRAP_KWP), &aes, &data),
        (
            Kind::Decrypt,
            &plain(CKM_AES_KEY_WRAP_KWP),
            &aes,
            &sealed(&plain(CKM_AES_KEY_WRAP_KWP), &aes),
        ),
    ] {
        check(&|| start(kind, mechanism, key), data);
    }
}

#[test]
fn length_queries_and_small_buffers_end_nothing() {
    each(|fresh, data| {
        let mut running = fresh();
        let Ok(Output::Length(asked)) = running.whole(data, Room(None)) else {
            panic!()
        };
        let small = running.whole(data, Room(Some(0))).unwrap();
        let Output::TooSmall(needed) = small else {
            panic!("{small:?}")
        };
        assert!(needed <= asked);
        assert!(!running.is_over());
        let one_less = running.whole(data, Room(Some(needed - 1)));
        assert_eq!(one_less, Ok(Output::TooSmall(needed)));
        let out = bytes(running.whole(data, Room(Some(needed))).unwrap());
        assert_eq!(out.len() as u64, needed);
        assert!(running.is_over());
        let over = running.whole(data, MUCH);
        assert_eq!(over, Err(Rv(CKR_OPERATION_NOT_INITIALIZED)));
    });
}

#[test]
fn the_same_with_parts() {
    each(|fresh, data| {
        let mut running = fresh();
        let mut out = Vec::new();
        for part in data.chunks(20) {
            let (small, made) = (
                running.update(part, Room(Some(0))),
                running.update(part, MUCH),
            );
            // An update without output takes its data with any room: then both calls did.
            match small.unwrap() {
                Output::TooSmall(needed) => {
                    let made = bytes(made.unwrap());
                    assert_eq!(made.len() as u64, needed);
                    out.extend(made);
                }
                _ => return,
            }
        }
        let Ok(Output::Length(asked)) = running.finish(Room(None)) else {
            panic!()
        };
        if asked > 0 {
            let small = running.finish(Room(Some(asked - 1)));
            assert_eq!(small, Ok(Output::TooSmall(asked)));
        }
        out.extend(bytes(running.finish(Room(Some(asked))).unwrap()));
        assert!(running.is_over());
    });
}

#[test]
fn a_signature_in_parts_is_fetched_by_the_second_call() {
    let (ec, public) = p256();
    let mut running = start(Kind::Sign, &plain(CKM_ECDSA_SHA256), &ec);
    running.update(b"ab", Room(None)).unwrap();
    assert_eq!(running.finish(Room(None)), Ok(Output::Length(64)));
    // A length query leaves room for more data.
    running.update(b"c", Room(None)).unwrap();
    assert_eq!(running.finish(Room(Some(63))), Ok(Output::TooSmall(64)));
    let signature = bytes(running.finish(Room(Some(64))).unwrap());
    assert_eq!(
        verify(&plain(CKM_ECDSA_SHA256), &public, b"abc", &signature),
        Ok(())
    );
}

#[test]
fn pieces_are_taken_once_although_the_call_is_repeated() {
    let key = generic(b"k");
    let hmac = plain(CKM_SHA256_HMAC);
    let expected = whole(Kind::Sign, &hmac, &key, b"abcd").unwrap();
    let mut running = start(Kind::Sign, &hmac, &key);
    for room in [Room(None), Room(Some(31))] {
        running.piece(b"ab").unwrap();
        assert!(!matches!(running.whole(b"cd", room), Ok(Output::Bytes(_))));
    }
    running.piece(b"ab").unwrap();
    assert_eq!(
        bytes(running.whole(b"cd", Room(Some(32))).unwrap()),
        expected
    );
}

#[test]
fn calls_in_the_wrong_order() {
    let key = generic(b"k");
    let fresh = || start(Kind::Sign, &plain(CKM_SHA256_HMAC), &key);
    let active = Err(Rv(CKR_OPERATION_ACTIVE));
    let mut running = fresh();
    running.update(b"a", MUCH).unwrap();
    assert_eq!(running.whole(b"b", MUCH), active);
    assert!(running.is_over());
    let mut running = fresh();
    running.update(b"a", MUCH).unwrap();
    assert_eq!(running.piece(b"b"), Err(Rv(CKR_OPERATION_ACTIVE)));
    let mut running = fresh();
    running.piece(b"a").unwrap();
    assert_eq!(running.update(b"b", MUCH), active);
    let mut running = fresh();
    running.piece(b"a").unwrap();
    assert_eq!(running.finish(MUCH), active);
    let mut verifying = start(Kind::Verify, &plain(CKM_SHA256_HMAC), &key);
    verifying.update(b"a", MUCH).unwrap();
    assert_eq!(verifying.verify(b"", b""), Err(Rv(CKR_OPERATION_ACTIVE)));
    assert!(verifying.is_over());
    let mut verifying = start(Kind::Verify, &plain(CKM_SHA256_HMAC), &key);
    assert_eq!(
        verifying.finish(MUCH),
        Err(Rv(CKR_OPERATION_NOT_INITIALIZED))
    );
}
