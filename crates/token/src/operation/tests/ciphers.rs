//! Encryption and decryption.

use proptest::prelude::*;
use slotfs_wire::numbers::*;
use slotfs_wire::rv::*;
use slotfs_wire::{Operation as Kind, Parameter};

use super::*;
use crate::error::Rv;
use crate::testing::{aes, generic, hex, mechanism, p256, plain, rsa};

fn iv(number: u64) -> Mechanism {
    mechanism(number, Parameter::Bytes(vec![9; 16]))
}

fn ctr(counter_bits: u64, block: [u8; 16]) -> Mechanism {
    mechanism(
        CKM_AES_CTR,
        Parameter::Ctr {
            counter_bits,
            block,
        },
    )
}

fn gcm(tag_bits: u64) -> Mechanism {
    mechanism(
        CKM_AES_GCM,
        Parameter::Gcm {
            iv: vec![5; 12],
            iv_bits: 96,
            aad: b"aad".to_vec(),
            tag_bits,
        },
    )
}

fn ccm(data_bytes: usize) -> Mechanism {
    mechanism(
        CKM_AES_CCM,
        Parameter::Ccm {
            data_bytes: data_bytes as u64,
            nonce: vec![5; 12],
            aad: b"aad".to_vec(),
            mac_bytes: 8,
        },
    )
}

fn oaep(hash: u64, mgf: u64, label: &[u8]) -> Mechanism {
    mechanism(
        CKM_RSA_PKCS_OAEP,
        Parameter::Oaep(slotfs_wire::Oaep {
            hash,
            mgf,
            source: CKZ_DATA_SPECIFIED,
            label: label.to_vec(),
        }),
    )
}

#[test]
fn known_answers_of_modes() {
    // SP 800-38A, F.1.1, F.2.1, F.5.1; RFC 3394 4.1; RFC 5649 section 6.
    let key = aes(&hex("2b7e151628aed2a6abf7158809cf4f3c"));
    let text = hex("6bc1bee22e409f96e93d7e117393172a");
    let cbc = Parameter::Bytes(hex("000102030405060708090a0b0c0d0e0f"));
    let block = hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff").try_into().unwrap();
    for (mechanism, expected) in [
        (plain(CKM_AES_ECB), "3ad77bb40d7a3660a89ecaf32466ef97"),
        (
            mechanism(CKM_AES_CBC, cbc),
            "7649abac8119b246cee98e9b12e9197d",
        ),
        (ctr(128, block), "874d6191b620e3261bef6864990db6ce"),
    ] {
        let made = whole(Kind::Encrypt, &mechanism, &key, &text).unwrap();
        assert_eq!(made, hex(expected));
        assert_eq!(
            whole(Kind::Decrypt, &mechanism, &key, &made),
            Ok(text.clone())
        );
    }
    let key = aes(&hex("000102030405060708090a0b0c0d0e0f"));
    let wrapped = whole(
        Kind::Encrypt,
        &plain(CKM_AES_KEY_WRAP),
        &key,
        &hex("00112233445566778899aabbccddeeff"),
    );
    let expected = "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5";
    assert_eq!(wrapped, Ok(hex(expected)));
    let key = aes(&hex("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8"));
    for number in [CKM_AES_KEY_WRAP_KWP, CKM_AES_KEY_WRAP_PAD] {
        let data = hex("c37b7e6492584340bed12207808941155068f738");
        let expected = "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a";
        assert_eq!(
            whole(Kind::Encrypt, &plain(number), &key, &data),
            Ok(hex(expected))
        );
    }
}

#[test]
fn a_key_that_was_wrapped_with_the_padding_of_pkcs7_unwraps_by_both_names() {
    let key = aes(&[3; 32]);
    for length in [8, 15, 16, 31] {
        let data = vec![7; length];
        let wrapped = whole(Kind::Encrypt, &plain(CKM_AES_KEY_WRAP_PKCS7), &key, &data).unwrap();
        for number in [CKM_AES_KEY_WRAP_PKCS7, CKM_AES_KEY_WRAP_PAD] {
            let made = whole(Kind::Decrypt, &plain(number), &key, &wrapped);
            assert_eq!(made, Ok(data.clone()));
        }
        let refused = whole(Kind::Decrypt, &plain(CKM_AES_KEY_WRAP_KWP), &key, &wrapped);
        assert_eq!(refused, Err(Rv(CKR_ENCRYPTED_DATA_INVALID)));
    }
}

#[test]
fn gcm_is_that_of_its_specification() {
    // McGrew and Viega, test case 4, with a tag of 16 bytes.
    let key = aes(&hex("feffe9928665731c6d6a8f9467308308"));
    let mechanism = mechanism(
        CKM_AES_GCM,
        Parameter::Gcm {
            iv: hex("cafebabefacedbaddecaf888"),
            iv_bits: 96,
            aad: hex("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
            tag_bits: 128,
        },
    );
    let text = hex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72
         1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
    );
    let sealed = hex(
        "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e
         21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091
         5bc94fbc3221a5db94fae95ae7121a47",
    );
    assert_eq!(
        whole(Kind::Encrypt, &mechanism, &key, &text),
        Ok(sealed.clone())
    );
    assert_eq!(whole(Kind::Decrypt, &mechanism, &key, &sealed), Ok(text));
}

#[test]
fn rsa_encryption_and_its_errors() {
    let (private, public) = rsa();
    for mechanism in [
        plain(CKM_RSA_PKCS),
        oaep(CKM_SHA_1, CKG_MGF1_SHA1, b""),
        oaep(CKM_SHA256, CKG_MGF1_SHA1, b"label"),
        oaep(CKM_SHA512, CKG_MGF1_SHA384, b""),
    ] {
        let sealed = whole(Kind::Encrypt, &mechanism, &public, b"secret").unwrap();
        let open = |data: &[u8]| whole(Kind::Decrypt, &mechanism, &private, data);
        assert_eq!(open(&sealed), Ok(b"secret".to_vec()));
        assert_eq!(open(&sealed[1..]), Err(Rv(CKR_ENCRYPTED_DATA_LEN_RANGE)));
        // Each way to be wrong has one answer.
        let mut bad = sealed.clone();
        bad[100] ^= 1;
        for bad in [&bad[..], &[0; 256], &[1; 256], &[0xff; 256]] {
            assert_eq!(
                open(bad),
                Err(Rv(CKR_ENCRYPTED_DATA_INVALID)),
                "{mechanism:?}"
            );
        }
        let long = whole(Kind::Encrypt, &mechanism, &public, &[1; 256]);
        assert_eq!(long, Err(Rv(CKR_DATA_LEN_RANGE)));
    }
    let labels = [
        oaep(CKM_SHA256, CKG_MGF1_SHA256, b"one"),
        oaep(CKM_SHA256, CKG_MGF1_SHA256, b"two"),
    ];
    let sealed = whole(Kind::Encrypt, &labels[0], &public, b"secret").unwrap();
    let refused = whole(Kind::Decrypt, &labels[1], &private, &sealed);
    assert_eq!(refused, Err(Rv(CKR_ENCRYPTED_DATA_INVALID)));
    let raw = plain(CKM_RSA_X_509);
    let sealed = whole(Kind::Encrypt, &raw, &public, &[7; 200]).unwrap();
    let opened = whole(Kind::Decrypt, &raw, &private, &sealed).unwrap();
    assert_eq!(opened, [&[0; 56][..], &[7; 200]].concat());
}

#[test]
fn a_message_of_rsa_is_kept_until_there_is_room() {
    let (private, public) = rsa();
    let sealed = whole(Kind::Encrypt, &plain(CKM_RSA_PKCS), &public, b"secret").unwrap();
    let mut running = start(Kind::Decrypt, &plain(CKM_RSA_PKCS), &private);
    assert_eq!(running.whole(&sealed, Room(None)), Ok(Output::Length(256)));
    assert_eq!(
        running.whole(&sealed, Room(Some(5))),
        Ok(Output::TooSmall(6))
    );
    assert_eq!(running.whole(&sealed, Room(None)), Ok(Output::Length(6)));
    assert!(!running.is_over());
    assert_eq!(
        bytes(running.whole(&sealed, Room(Some(6))).unwrap()),
        b"secret"
    );
    assert!(running.is_over());
}

#[test]
fn the_length_of_the_last_part_with_padding_is_told_exactly() {
    let key = aes(&[1; 16]);
    let mechanism = iv(CKM_AES_CBC_PAD);
    for length in [0, 1, 10, 15, 16, 17, 31, 32] {
        let mut running = start(Kind::Encrypt, &mechanism, &key);
        let begun = bytes(running.update(&vec![7; length], MUCH).unwrap());
        assert_eq!(running.finish(Room(None)), Ok(Output::Length(16)));
        assert_eq!(running.finish(Room(Some(15))), Ok(Output::TooSmall(16)));
        let rest = bytes(running.finish(Room(Some(16))).unwrap());
        let opened = whole(Kind::Decrypt, &mechanism, &key, &[begun, rest].concat());
        assert_eq!(opened, Ok(vec![7; length]));
    }
}

#[test]
fn lengths_that_a_mode_does_not_have() {
    let key = aes(&[1; 16]);
    for (mechanism, length) in [
        (plain(CKM_AES_ECB), 15),
        (iv(CKM_AES_CBC), 17),
        (plain(CKM_AES_KEY_WRAP), 8),
        (plain(CKM_AES_KEY_WRAP), 17),
        (plain(CKM_AES_KEY_WRAP_KWP), 0),
        (ccm(4), 5),
        (ctr(1, [0xff; 16]), 17),
    ] {
        let made = whole(Kind::Encrypt, &mechanism, &key, &vec![1; length]);
        assert_eq!(made, Err(Rv(CKR_DATA_LEN_RANGE)), "{mechanism:?}");
    }
    for (mechanism, length) in [
        (plain(CKM_AES_ECB), 15),
        (iv(CKM_AES_CBC), 17),
        (iv(CKM_AES_CBC_PAD), 0),
        (iv(CKM_AES_CBC_PAD), 15),
        (plain(CKM_AES_KEY_WRAP), 16),
        (gcm(128), 15),
        (ccm(4), 7),
    ] {
        let made = whole(Kind::Decrypt, &mechanism, &key, &vec![1; length]);
        assert_eq!(made, Err(Rv(CKR_ENCRYPTED_DATA_LEN_RANGE)), "{mechanism:?}");
    }
}

#[test]
fn what_was_changed_does_not_decrypt() {
    let key = aes(&[1; 32]);
    for mechanism in [
        gcm(96),
        ccm(32),
        plain(CKM_AES_KEY_WRAP),
        plain(CKM_AES_KEY_WRAP_PAD),
        plain(CKM_AES_KEY_WRAP_KWP),
    ] {
        let sealed = whole(Kind::Encrypt, &mechanism, &key, &[4; 32]).unwrap();
        for at in [0, sealed.len() - 1] {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            let mut running = start(Kind::Decrypt, &mechanism, &key);
            // Nothing comes out before the end.
            let early = running.update(&bad, MUCH).unwrap();
            assert_eq!(bytes(early), b"");
            assert_eq!(running.finish(MUCH), Err(Rv(CKR_ENCRYPTED_DATA_INVALID)));
            assert!(running.is_over());
        }
    }
    let pad = iv(CKM_AES_CBC_PAD);
    let block = whole(Kind::Encrypt, &iv(CKM_AES_CBC), &key, &[0; 16]).unwrap();
    let refused = whole(Kind::Decrypt, &pad, &key, &block);
    assert_eq!(refused, Err(Rv(CKR_ENCRYPTED_DATA_INVALID)));
}

#[test]
fn keys_and_parameters_must_fit() {
    let (key, other) = (aes(&[1; 16]), generic(&[1; 16]));
    let (private, public) = rsa();
    let (ec, _) = p256();
    for mechanism in [plain(CKM_AES_ECB), iv(CKM_AES_CBC), gcm(128), ccm(3)] {
        let refused = refusal(Kind::Encrypt, &mechanism, &other);
        assert_eq!(refused, CKR_KEY_TYPE_INCONSISTENT);
    }
    let refused = [
        refusal(Kind::Encrypt, &plain(CKM_RSA_PKCS), &private),
        refusal(Kind::Decrypt, &plain(CKM_RSA_PKCS), &public),
        refusal(Kind::Decrypt, &plain(CKM_RSA_PKCS), &ec),
        refusal(Kind::Decrypt, &plain(CKM_RSA_X_509), &key),
    ];
    assert_eq!(refused, [CKR_KEY_TYPE_INCONSISTENT; 4]);
    for bad in [
        mechanism(CKM_AES_ECB, Parameter::Bytes(vec![1; 16])),
        plain(CKM_AES_CBC),
        mechanism(CKM_AES_CBC, Parameter::Bytes(vec![1; 15])),
        ctr(0, [0; 16]),
        ctr(129, [0; 16]),
        gcm(8),
        gcm(127),
        gcm(136),
        plain(CKM_AES_GCM),
        plain(CKM_AES_CCM),
        mechanism(CKM_AES_KEY_WRAP, Parameter::Bytes(vec![1; 7])),
        mechanism(CKM_AES_KEY_WRAP_KWP, Parameter::Bytes(vec![1; 4])),
    ] {
        let refused = refusal(Kind::Encrypt, &bad, &key);
        assert_eq!(refused, CKR_MECHANISM_PARAM_INVALID, "{bad:?}");
    }
    for bad in [
        plain(CKM_RSA_PKCS_OAEP),
        oaep(CKM_MD5, CKG_MGF1_SHA1, b""),
        oaep(CKM_SHA_1, 0, b""),
        mechanism(
            CKM_RSA_PKCS_OAEP,
            Parameter::Oaep(slotfs_wire::Oaep {
                hash: CKM_SHA_1,
                mgf: CKG_MGF1_SHA1,
                source: 0,
                label: vec![1],
            }),
        ),
    ] {
        let refused = refusal(Kind::Encrypt, &bad, &public);
        assert_eq!(refused, CKR_MECHANISM_PARAM_INVALID, "{bad:?}");
    }
}

#[test]
fn data_under_a_tag_is_limited() {
    let key = aes(&[1; 16]);
    let part = vec![0; 1 << 20];
    for (kind, rv) in [
        (Kind::Encrypt, CKR_DATA_LEN_RANGE),
        (Kind::Decrypt, CKR_ENCRYPTED_DATA_LEN_RANGE),
    ] {
        let mut running = start(kind, &gcm(128), &key);
        for _ in 0..64 {
            running.update(&part, MUCH).unwrap();
        }
        assert_eq!(running.update(&part, MUCH), Err(Rv(rv)));
        assert!(running.is_over());
    }
    for (kind, rv) in [
        (Kind::Encrypt, CKR_DATA_LEN_RANGE),
        (Kind::Decrypt, CKR_ENCRYPTED_DATA_LEN_RANGE),
    ] {
        let mut running = start(kind, &iv(CKM_AES_CBC), &key);
        for _ in 0..64 {
            running.piece(&part).unwrap();
        }
        assert_eq!(running.piece(&part), Err(Rv(rv)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn parts_are_as_one_call(
        data in proptest::collection::vec(any::<u8>(), 0..200),
        cuts in proptest::collection::vec(any::<usize>(), 0..6),
    ) {
        let key = aes(&[1; 32]);
        let blocks = &data[..data.len() / 16 * 16];
        for (mechanism, data) in [
            (plain(CKM_AES_ECB), blocks),
            (iv(CKM_AES_CBC), blocks),
            (iv(CKM_AES_CBC_PAD), &data[..]),
            (ctr(64, [1; 16]), &data[..]),
            (gcm(128), &data[..]),
            (gcm(32), &data[..]),
            (ccm(data.len()), &data[..]),
        ] {
            let sealed = whole(Kind::Encrypt, &mechanism, &key, data).unwrap();
            let again = parts(Kind::Encrypt, &mechanism, &key, data, &cuts).unwrap();
            prop_assert_eq!(&again, &sealed);
            let opened = whole(Kind::Decrypt, &mechanism, &key, &sealed).unwrap();
            prop_assert_eq!(&opened, data);
            let opened = parts(Kind::Decrypt, &mechanism, &key, &sealed, &cuts).unwrap();
            prop_assert_eq!(&opened, data);
            for (kind, from, to) in [(Kind::Encrypt, data, &sealed[..]), (Kind::Decrypt, &sealed, data)] {
                let mut running = start(kind, &mechanism, &key);
                let pieces = cut(from, &cuts);
                let (last, first) = pieces.split_last().unwrap();
                for piece in first {
                    running.piece(piece).unwrap();
                }
                prop_assert_eq!(bytes(running.whole(last, MUCH).unwrap()), to);
            }
        }
    }
}
