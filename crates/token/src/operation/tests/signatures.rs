//! Digests, signatures, MACs.

use proptest::prelude::*;
use slotfs_crypto::{Hash, digest};
use slotfs_keyfile::generate::{EcCurve, KeyPairType};
use slotfs_wire::numbers::*;
use slotfs_wire::rv::*;
use slotfs_wire::{Operation as Kind, Parameter};

use super::*;
use crate::error::Rv;
use crate::mechanism::hash::HASHES;
use crate::testing::{aes, generic, hex, mechanism, p256, pair, plain, rsa};

fn pss(number: u64, hash: u64, mgf: u64, salt_bytes: u64) -> Mechanism {
    let parameter = Parameter::Pss {
        hash,
        mgf,
        salt_bytes,
    };
    mechanism(number, parameter)
}

/// Signs and verifies, whole and in parts, and refuses what was changed.
fn signs(mechanism: &Mechanism, private: &UsableKey, public: &UsableKey, data: &[u8]) {
    let number = mechanism.number;
    let signature = whole(Kind::Sign, mechanism, private, data).unwrap();
    assert_eq!(
        verify(mechanism, public, data, &signature),
        Ok(()),
        "{number:x}"
    );
    let mut running = start(Kind::Sign, mechanism, private);
    let mut verifying = start(Kind::Verify, mechanism, public);
    for part in data.chunks(7) {
        assert!(bytes(running.update(part, MUCH).unwrap()).is_empty());
        assert!(bytes(verifying.update(part, Room(None)).unwrap()).is_empty());
    }
    let second = bytes(running.finish(MUCH).unwrap());
    assert_eq!(verifying.verify_finish(&second), Ok(()), "{number:x}");
    let mut bad = signature.clone();
    *bad.last_mut().unwrap() ^= 1;
    let invalid = Err(Rv(CKR_SIGNATURE_INVALID));
    assert_eq!(verify(mechanism, public, data, &bad), invalid, "{number:x}");
    let mut other = data.to_vec();
    other[0] ^= 1;
    assert_eq!(
        verify(mechanism, public, &other, &signature),
        invalid,
        "{number:x}"
    );
    for length in [0, signature.len() - 1, signature.len() + 1] {
        let mut bad = signature.clone();
        bad.resize(length, 0);
        let refused = Err(Rv(CKR_SIGNATURE_LEN_RANGE));
        assert_eq!(verify(mechanism, public, data, &bad), refused, "{number:x}");
    }
}

#[test]
fn every_signature_of_every_family() {
    let (private, public) = rsa();
    let data = b"the message";
    signs(&plain(CKM_RSA_PKCS), &private, &public, data);
    signs(&plain(CKM_RSA_X_509), &private, &public, data);
    let (ec_private, ec_public) = p256();
    signs(&plain(CKM_ECDSA), &ec_private, &ec_public, &[7; 32]);
    for row in HASHES {
        if let Some(number) = row.rsa_pkcs {
            signs(&plain(number), &private, &public, data);
        }
        if let (Some(number), Some(mgf)) = (row.rsa_pss, row.mgf) {
            for salt in [0, 1, row.bytes as u64] {
                signs(&pss(number, row.digest, mgf, salt), &private, &public, data);
            }
            let raw = pss(CKM_RSA_PKCS_PSS, row.digest, CKG_MGF1_SHA1, 20);
            signs(&raw, &private, &public, &vec![3; row.bytes]);
        }
        if let Some(number) = row.ecdsa {
            signs(&plain(number), &ec_private, &ec_public, data);
        }
        let key = generic(b"key");
        signs(&plain(row.hmac), &key, &key, data);
        for bytes in [4, row.bytes as u64] {
            let general = mechanism(row.hmac_general, Parameter::Number(bytes));
            signs(&general, &key, &key, data);
        }
    }
    for curve in [EcCurve::P384, EcCurve::P521, EcCurve::Secp256k1] {
        let (private, public) = pair(KeyPairType::Ec(curve));
        signs(&plain(CKM_ECDSA_SHA512), &private, &public, data);
    }
    let (private, public) = pair(KeyPairType::Ed25519);
    signs(&plain(CKM_EDDSA), &private, &public, data);
    for (prehash, context) in [(false, &b"context"[..]), (true, b""), (true, b"context")] {
        let context = context.to_vec();
        let eddsa = mechanism(CKM_EDDSA, Parameter::Eddsa { prehash, context });
        signs(&eddsa, &private, &public, data);
    }
    let key = aes(&[1; 24]);
    signs(&plain(CKM_AES_CMAC), &key, &key, data);
    let general = mechanism(CKM_AES_CMAC_GENERAL, Parameter::Number(8));
    signs(&general, &key, &key, data);
}

#[test]
fn a_hash_in_the_mechanism_is_the_hash_before_it() {
    let (private, public) = p256();
    let signature = whole(Kind::Sign, &plain(CKM_ECDSA_SHA256), &private, b"abc").unwrap();
    let hashed = digest(Hash::Sha256, b"abc").unwrap();
    assert_eq!(
        verify(&plain(CKM_ECDSA), &public, &hashed, &signature),
        Ok(())
    );
    let (private, public) = rsa();
    let with = pss(CKM_SHA256_RSA_PKCS_PSS, CKM_SHA256, CKG_MGF1_SHA256, 32);
    let signature = whole(Kind::Sign, &with, &private, b"abc").unwrap();
    let without = pss(CKM_RSA_PKCS_PSS, CKM_SHA256, CKG_MGF1_SHA256, 32);
    assert_eq!(verify(&without, &public, &hashed, &signature), Ok(()));
    let info = [&hex("3031300d060960864801650304020105000420")[..], &hashed].concat();
    let one = whole(Kind::Sign, &plain(CKM_SHA256_RSA_PKCS), &private, b"abc").unwrap();
    let two = whole(Kind::Sign, &plain(CKM_RSA_PKCS), &private, &info).unwrap();
    assert_eq!(one, two);
}

#[test]
fn recovery_gives_the_data_back() {
    let (private, public) = rsa();
    let signature = whole(Kind::SignRecover, &plain(CKM_RSA_PKCS), &private, b"data").unwrap();
    let recover = |data: &[u8]| whole(Kind::VerifyRecover, &plain(CKM_RSA_PKCS), &public, data);
    assert_eq!(recover(&signature), Ok(b"data".to_vec()));
    assert_eq!(recover(&signature[1..]), Err(Rv(CKR_SIGNATURE_LEN_RANGE)));
    assert_eq!(recover(&[1; 256]), Err(Rv(CKR_SIGNATURE_INVALID)));
    let raw = whole(
        Kind::VerifyRecover,
        &plain(CKM_RSA_X_509),
        &public,
        &signature,
    )
    .unwrap();
    assert_eq!(raw[..2], [0, 1]);
    // The exact length is known once the signature was opened.
    let mut running = start(Kind::VerifyRecover, &plain(CKM_RSA_PKCS), &public);
    assert_eq!(
        running.whole(&signature, Room(Some(3))),
        Ok(Output::TooSmall(4))
    );
    assert_eq!(running.whole(&signature, Room(None)), Ok(Output::Length(4)));
    assert_eq!(
        bytes(running.whole(&signature, Room(Some(4))).unwrap()),
        b"data"
    );
}

#[test]
fn known_answers() {
    // RFC 4231 test case 2, RFC 4493 examples 1 and 2, RFC 8032 section 7.1 test 2, FIPS 180-4 and 202 of "abc".
    let hmac = whole(
        Kind::Sign,
        &plain(CKM_SHA256_HMAC),
        &generic(b"Jefe"),
        b"what do ya want for nothing?",
    );
    let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    assert_eq!(hmac, Ok(hex(expected)));
    let key = aes(&hex("2b7e151628aed2a6abf7158809cf4f3c"));
    for (data, mac) in [
        ("", "bb1d6929e95937287fa37d129b756746"),
        (
            "6bc1bee22e409f96e93d7e117393172a",
            "070a16b46b4d4144f79bdd9dd04a287c",
        ),
    ] {
        let made = whole(Kind::Sign, &plain(CKM_AES_CMAC), &key, &hex(data));
        assert_eq!(made, Ok(hex(mac)));
    }
    for (number, expected) in [
        (CKM_SHA_1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (
            CKM_SHA3_256,
            "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
        ),
    ] {
        let mut running = Operation::start(Kind::Digest, &plain(number), None).unwrap();
        assert_eq!(bytes(running.whole(b"abc", MUCH).unwrap()), hex(expected));
    }
}

#[test]
fn a_digest_takes_the_value_of_a_key() {
    let mut running = Operation::start(Kind::Digest, &plain(CKM_SHA256), None).unwrap();
    running.update(b"a", MUCH).unwrap();
    running.digest_key(&generic(b"bc")).unwrap();
    let made = bytes(running.finish(MUCH).unwrap());
    assert_eq!(made, digest(Hash::Sha256, b"abc").unwrap());
    let (private, _) = p256();
    let mut running = Operation::start(Kind::Digest, &plain(CKM_SHA256), None).unwrap();
    let refused = Err(Rv(CKR_KEY_INDIGESTIBLE));
    assert_eq!(running.digest_key(&private), refused);
    assert!(running.is_over());
}

#[test]
fn keys_parameters_and_mechanisms_must_fit() {
    let (private, public) = rsa();
    let (ec, ec_public) = p256();
    let (ed, _) = pair(KeyPairType::Ed25519);
    let (aes, generic) = (aes(&[1; 16]), generic(b"k"));
    let inconsistent = CKR_KEY_TYPE_INCONSISTENT;
    for (kind, number, key) in [
        (Kind::Sign, CKM_RSA_PKCS, &ec),
        (Kind::Sign, CKM_RSA_PKCS, &public),
        (Kind::Verify, CKM_RSA_PKCS, &private),
        (Kind::Sign, CKM_ECDSA, &private),
        (Kind::Sign, CKM_ECDSA, &ec_public),
        (Kind::Sign, CKM_ECDSA, &ed),
        (Kind::Sign, CKM_EDDSA, &ec),
        (Kind::Sign, CKM_SHA256_HMAC, &aes),
        (Kind::Sign, CKM_AES_CMAC, &generic),
        (Kind::Sign, CKM_SHA256_HMAC, &ec),
        (Kind::Sign, CKM_ML_DSA, &ec),
    ] {
        assert_eq!(
            refusal(kind, &plain(number), key),
            inconsistent,
            "{number:x}"
        );
    }
    for (kind, number) in [
        (Kind::Encrypt, CKM_RSA_PKCS_PSS),
        (Kind::Sign, CKM_AES_CBC),
        (Kind::Sign, CKM_SHA256),
        (Kind::Sign, CKM_MD5_RSA_PKCS),
        (Kind::Digest, CKM_RSA_PKCS),
        (Kind::SignRecover, CKM_ECDSA),
        (Kind::Sign, CKM_RSA_PKCS_OAEP),
    ] {
        assert_eq!(
            refusal(kind, &plain(number), &private),
            CKR_MECHANISM_INVALID
        );
    }
    for bad in [
        plain(CKM_RSA_PKCS_PSS),
        mechanism(CKM_RSA_PKCS, Parameter::Number(1)),
        mechanism(CKM_SHA256_RSA_PKCS, Parameter::Bytes(vec![1])),
        pss(CKM_RSA_PKCS_PSS, CKM_SHA256, 77, 32),
        pss(CKM_RSA_PKCS_PSS, CKM_MD5, CKG_MGF1_SHA256, 32),
        pss(CKM_SHA256_RSA_PKCS_PSS, CKM_SHA384, CKG_MGF1_SHA256, 32),
        pss(CKM_RSA_PKCS_PSS, CKM_SHA256, CKG_MGF1_SHA256, 223),
        pss(CKM_RSA_PKCS_PSS, CKM_SHA256, CKG_MGF1_SHA256, u64::MAX),
    ] {
        let refused = refusal(Kind::Sign, &bad, &private);
        assert_eq!(refused, CKR_MECHANISM_PARAM_INVALID, "{bad:?}");
    }
    for bytes in [0, 33, u64::MAX] {
        let general = mechanism(CKM_SHA256_HMAC_GENERAL, Parameter::Number(bytes));
        assert_eq!(
            refusal(Kind::Sign, &general, &generic),
            CKR_MECHANISM_PARAM_INVALID
        );
    }
    let long = Parameter::Eddsa {
        prehash: false,
        context: vec![1; 256],
    };
    let refused = refusal(Kind::Sign, &mechanism(CKM_EDDSA, long), &ed);
    assert_eq!(refused, CKR_MECHANISM_PARAM_INVALID);
    let without = Operation::start(Kind::Sign, &plain(CKM_RSA_PKCS), None);
    assert_eq!(without.err(), Some(Rv(CKR_KEY_NEEDED)));
}

#[test]
fn lengths_of_data() {
    let (private, _) = rsa();
    let (ec, _) = p256();
    let refused = Err(Rv(CKR_DATA_LEN_RANGE));
    let pss = pss(CKM_RSA_PKCS_PSS, CKM_SHA256, CKG_MGF1_SHA256, 32);
    for (mechanism, key, length, fits) in [
        (&plain(CKM_RSA_PKCS), &private, 245, true),
        (&plain(CKM_RSA_PKCS), &private, 246, false),
        (&plain(CKM_RSA_PKCS), &private, 0, true),
        (&plain(CKM_RSA_X_509), &private, 257, false),
        (&plain(CKM_ECDSA), &ec, 0, false),
        (&plain(CKM_ECDSA), &ec, 1, true),
        (&plain(CKM_ECDSA), &ec, 64, true),
        (&pss, &private, 31, false),
        (&pss, &private, 33, false),
    ] {
        let made = whole(Kind::Sign, mechanism, key, &vec![0x11; length]);
        match fits {
            true => assert!(made.is_ok(), "{length}"),
            false => assert_eq!(made, refused, "{length}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn updates_are_as_one_call(
        data in proptest::collection::vec(any::<u8>(), 0..600),
        cuts in proptest::collection::vec(any::<usize>(), 0..6),
    ) {
        let (generic, aes) = (generic(b"key"), aes(&[1; 32]));
        for (number, key) in [
            (CKM_SHA256_HMAC, &generic),
            (CKM_SHA3_512_HMAC, &generic),
            (CKM_AES_CMAC, &aes),
        ] {
            let all = whole(Kind::Sign, &plain(number), key, &data).unwrap();
            let mut running = start(Kind::Sign, &plain(number), key);
            let mut pieces = start(Kind::Sign, &plain(number), key);
            let mut verifying = start(Kind::Verify, &plain(number), key);
            let parts = cut(&data, &cuts);
            for part in &parts {
                running.update(part, Room(None)).unwrap();
                verifying.piece(part).unwrap();
            }
            for part in &parts[..parts.len() - 1] {
                pieces.piece(part).unwrap();
            }
            prop_assert_eq!(bytes(running.finish(MUCH).unwrap()), all.clone());
            let last = parts.last().unwrap();
            prop_assert_eq!(bytes(pieces.whole(last, MUCH).unwrap()), all.clone());
            prop_assert_eq!(verifying.verify(b"", &all), Ok(()));
        }
        let mut running = Operation::start(Kind::Digest, &plain(CKM_SHA384), None).unwrap();
        for part in cut(&data, &cuts) {
            running.update(part, MUCH).unwrap();
        }
        prop_assert_eq!(bytes(running.finish(MUCH).unwrap()), digest(Hash::Sha384, &data).unwrap());
    }
}
