//! The vectors of Project Wycheproof (tests/vectors/README.md), run against the functions that blobs and rows are made
//! with.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use data_encoding::HEXLOWER;
use serde_json::Value;

use super::{decrypt, encrypt, expand, expand_into, extract, hmac};

/// The tests of one file, of which there must be this many.
fn load(file: &str, algorithm: &str, count: usize) -> Vec<Value> {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/vectors/wycheproof"
    );
    let text = std::fs::read_to_string(format!("{folder}/{file}")).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(file["algorithm"], algorithm);
    let tests = file["tests"].as_array().unwrap().clone();
    assert_eq!(tests.len(), count);
    tests
}

fn hex(test: &Value, field: &str) -> Vec<u8> {
    let text = test[field].as_str().unwrap();
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn sized<const N: usize>(test: &Value, field: &str) -> [u8; N] {
    hex(test, field).try_into().unwrap()
}

/// Whether the vector is a right one; any other result than these two would have to be decided about.
fn is_valid(test: &Value) -> bool {
    match test["result"].as_str().unwrap() {
        "valid" => true,
        "invalid" => false,
        other => panic!("{other}: {test}"),
    }
}

#[test]
fn aes_256_gcm() {
    let mut valid = 0;
    for test in load("aes_gcm.json", "AES-GCM", 66) {
        let (key, nonce) = (sized(&test, "key"), sized(&test, "iv"));
        let (aad, plain) = (hex(&test, "aad"), hex(&test, "msg"));
        let (sealed, tag) = (hex(&test, "ct"), sized(&test, "tag"));
        let mut opened = sealed.clone();
        let outcome = decrypt(&key, nonce, &aad, &mut opened, tag);
        assert_eq!(outcome.is_some(), is_valid(&test), "{test}");
        let mut made = plain.clone();
        let made_tag = encrypt(&key, nonce, &aad, &mut made).unwrap();
        assert_eq!((made, made_tag) == (sealed, tag), is_valid(&test), "{test}");
        if is_valid(&test) {
            assert_eq!(opened, plain, "{test}");
            valid += 1;
        }
    }
    assert_eq!(valid, 39);
}

#[test]
fn hmac_sha_256() {
    let mut valid = 0;
    for test in load("hmac_sha256.json", "HMACSHA256", 81) {
        let (key, message) = (sized(&test, "key"), hex(&test, "msg"));
        let right = hmac(&key, &[&message]) == sized(&test, "tag");
        assert_eq!(right, is_valid(&test), "{test}");
        // The parts of a message are one message.
        let (first, second) = message.split_at(message.len() / 2);
        assert_eq!(hmac(&key, &[first, second]), hmac(&key, &[&message]));
        valid += usize::from(right);
    }
    assert_eq!(valid, 27);
}

/// `expand` for the sizes of output that the vectors have.
fn expand_sized(prk: &[u8; 32], info: &[u8], size: usize) -> Option<Vec<u8>> {
    fn of<const N: usize>(prk: &[u8; 32], info: &[u8]) -> Option<Vec<u8>> {
        let mut okm = [0; N];
        expand(prk, &[info], &mut okm);
        Some(okm.to_vec())
    }
    match size {
        20 => of::<20>(prk, info),
        32 => of::<32>(prk, info),
        42 => of::<42>(prk, info),
        64 => of::<64>(prk, info),
        80 => of::<80>(prk, info),
        _ => None,
    }
}

#[test]
fn hkdf_sha_256() {
    let (mut valid, mut as_used) = (0, 0);
    for test in load("hkdf_sha256.json", "HKDF-SHA-256", 83) {
        let (ikm, salt, info) = (hex(&test, "ikm"), hex(&test, "salt"), hex(&test, "info"));
        let size = usize::try_from(test["size"].as_u64().unwrap()).unwrap();
        let prk = extract(&salt, &[&ikm]);
        let (first, second) = ikm.split_at(ikm.len() / 2);
        assert_eq!(*prk, *extract(&salt, &[first, second]), "{test}");
        let mut okm = vec![0; size];
        let expanded = expand_into(&prk, &[&info], &mut okm);
        assert_eq!(expanded.is_some(), is_valid(&test), "{test}");
        if is_valid(&test) {
            assert_eq!(okm, hex(&test, "okm"), "{test}");
            valid += 1;
            if let Some(okm) = expand_sized(&prk, &info, size) {
                assert_eq!(okm, hex(&test, "okm"), "{test}");
                as_used += 1;
            }
        }
    }
    assert_eq!((valid, as_used), (80, 77));
}
