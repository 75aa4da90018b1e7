//! Known answers of other libraries (known.json says which) and of RFC 8032.

use data_encoding::HEXLOWER;
use serde_json::Value;

use crate::aes::{Cipher, Direction, Mode};
use crate::edwards::{PrivateKey, PublicKey, Variant};
use crate::pq::ml_dsa;
use crate::{Hash, digest, kdf, wrap};

fn answers() -> Value {
    serde_json::from_str(include_str!("known.json")).unwrap()
}

fn message() -> Vec<u8> {
    (0..300_u32).map(|it| (it * 7) as u8).collect()
}

fn key() -> Vec<u8> {
    (0..32).collect()
}

fn hex(value: &Value) -> Vec<u8> {
    decode(value.as_str().unwrap())
}

fn decode(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn hash(value: &Value) -> Hash {
    let named = |it: &Hash| format!("{it:?}") == value.as_str().unwrap();
    Hash::ALL.into_iter().find(named).unwrap()
}

#[test]
fn hashes_and_their_derivations() {
    let answers = answers();
    let all = answers["hashes"].as_array().unwrap();
    assert_eq!(all.len(), Hash::ALL.len());
    for answer in all {
        let hash = hash(&answer["hash"]);
        assert_eq!(digest(hash, &message()).unwrap(), hex(&answer["digest"]));
        for length in [0, 1, 64, 150] {
            let x963 = kdf::x963(hash, &key(), b"info", length).unwrap();
            assert_eq!(*x963, hex(&answer["x963"])[..length]);
            let concat = kdf::concat_sp800_56a(hash, &key(), b"info", length).unwrap();
            assert_eq!(*concat, hex(&answer["concat"])[..length]);
        }
    }
}

#[test]
fn aes_modes_and_padded_key_wrap() {
    let answers = answers();
    let message = message();
    let iv: [u8; 16] = std::array::from_fn(|it| it as u8);
    for answer in answers["aes"].as_array().unwrap() {
        let key = hex(&answer["key"]);
        let counter_bits = 128;
        let ctr = Mode::Ctr {
            block: iv,
            counter_bits,
        };
        for (mode, name, bytes) in [
            (Mode::Ecb, "ecb", 160),
            (Mode::Cbc { iv }, "cbc", 160),
            (Mode::CbcPad { iv }, "cbc_pad", 300),
            (ctr, "ctr", 300),
        ] {
            let mut cipher = Cipher::new(mode, Direction::Encrypt, &key).unwrap();
            let mut made = cipher.update(&message[..bytes]).unwrap();
            made.extend(cipher.finish().unwrap());
            assert_eq!(made, hex(&answer[name]), "{name}");
        }
        for answer in answer["kw_pad"].as_array().unwrap() {
            let bytes = answer["bytes"].as_u64().unwrap() as usize;
            let wrapped = wrap::kw_pad_wrap(&key, None, &message[..bytes]).unwrap();
            assert_eq!(wrapped, hex(&answer["wrapped"]));
        }
    }
}

#[test]
fn hash_ml_dsa() {
    let answers = answers();
    let set = ml_dsa::ParameterSet::MlDsa44;
    let private = ml_dsa::PrivateKey::from_seed(set, &key()).unwrap();
    let public = ml_dsa::PublicKey::new(set, private.public()).unwrap();
    let all = answers["hash_ml_dsa_44"].as_array().unwrap();
    assert_eq!(all.len(), 4);
    for answer in all {
        let (hash, context) = (hash(&answer["hash"]), hex(&answer["context"]));
        let digest = digest(hash, &message()).unwrap();
        let hedge = ml_dsa::Hedge::Hedged;
        let signature = private.sign_digest(hash, &digest, &context, hedge);
        assert!(public.verify_mu(&hex(&answer["mu"]), &signature.unwrap()));
        let signature = private.sign_mu(&hex(&answer["mu"]), hedge).unwrap();
        assert!(public.verify_digest(hash, &digest, &context, &signature));
    }
}

/// RFC 8032, 7.2 (the message of 16 bytes, "foo") and 7.3.
#[test]
fn ed25519_with_context_and_of_a_digest() {
    for (seed, message, variant, signature) in [
        (
            "0305334e381af78f141cb666f6199f57bc3495335a256a95bd2a55bf546663f6",
            "f726936d19c800494e3fdaff20b276a8",
            Variant::Context(b"foo"),
            "55a4cc2f70a54e04288c5f4cd1e45a7bb520b36292911876cada7323198dd87a\
             8b36950b95130022907a7fb7c4e9b2d5f6cca685a587b4b21f4b888e4e7edb0d",
        ),
        (
            "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
            "616263",
            Variant::Prehash(b""),
            "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41\
             31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406",
        ),
    ] {
        let private = PrivateKey::new(&decode(seed)).unwrap();
        let made = private.sign(&decode(message), variant).unwrap();
        assert_eq!(HEXLOWER.encode(&made), signature);
        let public = PublicKey::new(&private.public()).unwrap();
        assert!(public.verify(&decode(message), variant, &made));
    }
}
