use slotfs_object::pkcs11::CKO_DATA;
use slotfs_wire::numbers::*;
use slotfs_wire::rv::*;
use slotfs_wire::{HkdfSalt, KdfPart, Mechanism, Parameter};

use super::super::*;
use super::{derive, no_others, of_type, usable, value};
use crate::testing::{aes, generic, hex, mechanism, p256, pair, plain, rsa};
use slotfs_keyfile::generate::KeyPairType;
use slotfs_object::usable::UsableKey;
use std::sync::Arc;

fn ecdh(kdf: u64, shared: &[u8], public: &[u8]) -> Mechanism {
    let parameter = Parameter::Ecdh1 {
        kdf,
        shared: shared.to_vec(),
        public: public.to_vec(),
    };
    mechanism(CKM_ECDH1_DERIVE, parameter)
}

fn by(mechanism: &Mechanism, base: &UsableKey, wanted: &Wanted<'_>) -> Result<Material> {
    derive(mechanism, base, wanted, &no_others)
}

fn point(key: &UsableKey) -> Vec<u8> {
    key.described().bytes(CKA_EC_POINT).unwrap().to_vec()
}

#[test]
fn two_sides_agree() {
    let ((one, one_public), (two, two_public)) = (p256(), p256());
    let (here, there) = (point(&two_public), point(&one_public));
    let all = Wanted::default();
    let first = by(&ecdh(CKD_NULL, b"", &here), &one, &all).unwrap();
    // Raw as well as in an OCTET STRING.
    let second = by(&ecdh(CKD_NULL, b"", &there[2..]), &two, &all).unwrap();
    assert_eq!(first, second);
    assert_eq!(
        (first.key_type, value(&first).len()),
        (CKK_GENERIC_SECRET, 32)
    );
    let short = by(
        &ecdh(CKD_NULL, b"", &here),
        &one,
        &of_type(CKK_AES, Some(16)),
    )
    .unwrap();
    assert_eq!(value(&short), value(&first)[16..]);
    for (kdf, expected) in [
        (
            CKD_SHA256_KDF,
            slotfs_crypto::kdf::x963 as fn(_, &_, &_, _) -> _,
        ),
        (CKD_SHA256_KDF_SP800, slotfs_crypto::kdf::concat_sp800_56a),
    ] {
        let made = by(
            &ecdh(kdf, b"info", &here),
            &one,
            &of_type(CKK_AES, Some(32)),
        )
        .unwrap();
        let hash = slotfs_crypto::Hash::Sha256;
        let expected: slotfs_crypto::Result<Zeroizing<Vec<u8>>> =
            expected(hash, &value(&first), b"info", 32);
        assert_eq!(value(&made), *expected.unwrap());
    }
    let invalid = Err(Rv(CKR_MECHANISM_PARAM_INVALID));
    for bad in [
        ecdh(CKD_NULL, b"shared", &here),
        ecdh(99, b"", &here),
        ecdh(CKD_NULL, b"", &here[..40]),
        ecdh(CKD_NULL, b"", &[]),
        ecdh(CKD_NULL, b"", &[4; 65]),
        plain(CKM_ECDH1_DERIVE),
    ] {
        assert_eq!(by(&bad, &one, &all), invalid);
    }
    let long = by(
        &ecdh(CKD_NULL, b"", &here),
        &one,
        &of_type(CKK_GENERIC_SECRET, Some(33)),
    );
    assert_eq!(long, Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID)));
    for base in [&rsa().0, &one_public, &aes(&[1; 16])] {
        let refused = by(&ecdh(CKD_NULL, b"", &here), base, &all);
        assert_eq!(refused, Err(Rv(CKR_KEY_TYPE_INCONSISTENT)));
    }
}

#[test]
fn two_sides_agree_with_x25519() {
    let (one, one_public) = pair(KeyPairType::X25519);
    let (two, two_public) = pair(KeyPairType::X25519);
    let all = Wanted::default();
    let octets = [&[4, 32], point(&two_public).as_slice()].concat();
    let first = by(&ecdh(CKD_NULL, b"", &octets), &one, &all).unwrap();
    let second = by(&ecdh(CKD_NULL, b"", &point(&one_public)), &two, &all).unwrap();
    assert_eq!(first, second);
    // A peer of small order gives everyone the same secret.
    let refused = by(&ecdh(CKD_NULL, b"", &[0; 32]), &one, &all);
    assert_eq!(refused, Err(Rv(CKR_MECHANISM_PARAM_INVALID)));
}

fn hkdf(number: u64, extract: bool, expand: bool, salt: HkdfSalt, info: &str) -> Mechanism {
    let parameter = Parameter::Hkdf {
        extract,
        expand,
        hash: CKM_SHA256,
        salt,
        info: hex(info),
    };
    mechanism(number, parameter)
}

#[test]
fn hkdf_is_that_of_its_standard() {
    // RFC 5869 appendix A.1.
    let base = generic(&[0x0b; 22]);
    let salt = HkdfSalt::Data(hex("000102030405060708090a0b0c"));
    let info = "f0f1f2f3f4f5f6f7f8f9";
    let okm =
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
    let prk = "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5";
    let wanted = of_type(CKK_GENERIC_SECRET, Some(42));
    let number = CKM_HKDF_DERIVE;
    let both = by(
        &hkdf(number, true, true, salt.clone(), info),
        &base,
        &wanted,
    )
    .unwrap();
    assert_eq!(value(&both), hex(okm));
    let extracted = hkdf(number, true, false, salt.clone(), "");
    let extracted = by(&extracted, &base, &of_type(CKK_HKDF, None)).unwrap();
    assert_eq!(value(&extracted), hex(prk));
    let expand = hkdf(number, false, true, HkdfSalt::Null, info);
    let expanded = by(&expand, &usable(extracted), &wanted).unwrap();
    assert_eq!(value(&expanded), hex(okm));
    let key = Arc::new(generic(&hex("000102030405060708090a0b0c")));
    let with_key = hkdf(number, true, true, HkdfSalt::Key(7), info);
    let made = derive(&with_key, &base, &wanted, &|handle| {
        assert_eq!(handle, 7);
        Ok(Arc::clone(&key))
    });
    assert_eq!(value(&made.unwrap()), hex(okm));
    let data = by(
        &hkdf(CKM_HKDF_DATA, true, true, salt.clone(), info),
        &base,
        &wanted,
    )
    .unwrap();
    assert_eq!((data.class, value(&data)), (CKO_DATA, hex(okm)));
    let neither = by(
        &hkdf(number, false, false, salt.clone(), ""),
        &base,
        &wanted,
    );
    assert_eq!(neither, Err(Rv(CKR_MECHANISM_PARAM_INVALID)));
    let no_length = by(&expand, &base, &Wanted::default());
    assert_eq!(no_length, Err(Rv(CKR_TEMPLATE_INCOMPLETE)));
    let long = by(
        &expand,
        &base,
        &of_type(CKK_GENERIC_SECRET, Some(255 * 32 + 1)),
    );
    assert_eq!(long, Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID)));
    let extract = hkdf(number, true, false, salt, "");
    let other_length = by(&extract, &base, &wanted);
    assert_eq!(other_length, Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID)));
    let of_pair = by(&expand, &p256().0, &wanted);
    assert_eq!(of_pair, Err(Rv(CKR_KEY_TYPE_INCONSISTENT)));
}

fn counter(prf: u64, parts: Vec<KdfPart>) -> Mechanism {
    let parameter = Parameter::CounterKdf {
        prf,
        parts,
        additional_keys: Vec::new(),
    };
    mechanism(CKM_SP800_108_COUNTER_KDF, parameter)
}

const COUNTER: KdfPart = KdfPart::Iteration {
    little_endian: false,
    bits: 32,
};

#[test]
fn the_counter_mode_is_that_of_its_vectors() {
    // NIST's CAVP, KDFCTR_gen: HMAC_SHA256, counter before the data, 32 bits, L = 128, COUNT = 0.
    let base = generic(&hex(
        "dd1d91b7d90b2bd3138533ce92b272fbf8a369316aefe242e659cc0ae238afe0",
    ));
    let data = hex(
        "01322b96b30acd197979444e468e1c5c6859bf1b1cf951b7e725303e237e46b8
         64a145fab25e517b08f8683d0315bb2911d80a0e8aba17f3b413faac",
    );
    let parts = vec![COUNTER, KdfPart::Bytes(data)];
    let wanted = of_type(CKK_AES, Some(16));
    let made = by(&counter(CKM_SHA256_HMAC, parts), &base, &wanted).unwrap();
    assert_eq!(value(&made), hex("10621342bfb0fd40046c0e29f2cfdbf0"));
}

#[test]
fn the_counter_mode_by_its_definition() {
    let base = aes(&[7; 32]);
    let length = KdfPart::Length {
        method: 2,
        little_endian: true,
        bits: 16,
    };
    let parts = vec![KdfPart::Bytes(b"label".to_vec()), COUNTER, length.clone()];
    let wanted = of_type(CKK_GENERIC_SECRET, Some(40));
    let made = by(&counter(CKM_AES_CMAC, parts.clone()), &base, &wanted).unwrap();
    let mut expected = Vec::new();
    for segment in 1..=3u8 {
        let mut cmac = slotfs_crypto::mac::Cmac::new(&[7; 32]).unwrap();
        cmac.update(b"label");
        cmac.update(&[0, 0, 0, segment]);
        // Three segments of 128 bits.
        cmac.update(&[0x80, 1]);
        expected.extend_from_slice(&cmac.finish().unwrap());
    }
    assert_eq!(value(&made), expected[..40]);
    let invalid = Err(Rv(CKR_MECHANISM_PARAM_INVALID));
    let bits = |bits| KdfPart::Iteration {
        little_endian: false,
        bits,
    };
    let extra = KdfPart::Counter {
        little_endian: false,
        bits: 8,
    };
    for bad in [
        vec![],
        vec![length.clone()],
        vec![COUNTER, COUNTER],
        vec![COUNTER, extra],
        vec![COUNTER, length.clone(), length],
        vec![bits(0)],
        vec![bits(12)],
        vec![bits(40)],
    ] {
        assert_eq!(by(&counter(CKM_AES_CMAC, bad), &base, &wanted), invalid);
    }
    assert_eq!(
        by(&counter(CKM_RSA_PKCS, parts.clone()), &base, &wanted),
        invalid
    );
    let refused = by(&counter(CKM_AES_CMAC, parts), &generic(&[1; 16]), &wanted);
    assert_eq!(refused, Err(Rv(CKR_KEY_TYPE_INCONSISTENT)));
}

/// PKCS#11 3.2, "Deriving Additional Keys", has this example: 48 bytes and 16 with HMAC-SHA256 take three outputs, of which the
/// third is the second key's, and are 512 bits of keys or 768 of segments.
#[test]
fn no_two_keys_share_an_output() {
    let base = generic(&[7; 32]);
    for (method, length) in [(1, 512u32), (2, 768)] {
        let length_part = KdfPart::Length {
            method,
            little_endian: false,
            bits: 32,
        };
        let wanted = [
            of_type(CKK_GENERIC_SECRET, Some(48)),
            of_type(CKK_AES, Some(16)),
        ];
        let mechanism = counter(CKM_SHA256_HMAC, vec![COUNTER, length_part]);
        let made = super::super::derive(&mechanism, &base, &wanted, &no_others).unwrap();
        let outputs: Vec<u8> = (1..=3u32)
            .flat_map(|count| {
                let mut hmac = slotfs_crypto::mac::Hmac::new(slotfs_crypto::Hash::Sha256, &[7; 32]);
                hmac.update(&count.to_be_bytes());
                hmac.update(&length.to_be_bytes());
                hmac.finish().unwrap().to_vec()
            })
            .collect();
        let values: Vec<_> = made.iter().map(value).collect();
        assert_eq!(values, [outputs[..48].to_vec(), outputs[64..80].to_vec()]);
        assert_eq!(
            (made[0].key_type, made[1].key_type),
            (CKK_GENERIC_SECRET, CKK_AES)
        );
    }
    let two = [of_type(CKK_AES, Some(16)), of_type(CKK_AES, Some(16))];
    let digest = super::super::derive(&plain(CKM_SHA256_KEY_DERIVATION), &base, &two, &no_others);
    assert_eq!(digest.err(), Some(Rv(CKR_MECHANISM_PARAM_INVALID)));
}

#[test]
fn the_feedback_mode_by_its_definition() {
    let base = aes(&[7; 32]);
    let feedback = |parts, iv: &[u8]| {
        let parameter = Parameter::FeedbackKdf {
            prf: CKM_AES_CMAC,
            parts,
            additional_keys: Vec::new(),
            iv: iv.to_vec(),
        };
        mechanism(CKM_SP800_108_FEEDBACK_KDF, parameter)
    };
    let previous = KdfPart::Iteration {
        little_endian: false,
        bits: 0,
    };
    let count = KdfPart::Counter {
        little_endian: false,
        bits: 16,
    };
    let length = KdfPart::Length {
        method: 1,
        little_endian: false,
        bits: 32,
    };
    let wanted = of_type(CKK_GENERIC_SECRET, Some(40));
    for iv in [&b""[..], b"sixteen bytes iv"] {
        let label = KdfPart::Bytes(b"label".to_vec());
        let parts = vec![previous.clone(), count.clone(), label, length.clone()];
        let made = by(&feedback(parts, iv), &base, &wanted).unwrap();
        let (mut expected, mut last) = (Vec::new(), iv.to_vec());
        for segment in 1..=3u8 {
            let mut cmac = slotfs_crypto::mac::Cmac::new(&[7; 32]).unwrap();
            cmac.update(&last);
            cmac.update(&[0, segment]);
            cmac.update(b"label");
            // The key's own length: 40 bytes.
            cmac.update(&[0, 0, 1, 0x40]);
            last = cmac.finish().unwrap().to_vec();
            expected.extend_from_slice(&last);
        }
        assert_eq!(value(&made), expected[..40]);
    }
    for bad in [
        vec![count.clone()],
        vec![COUNTER, count.clone()],
        vec![previous.clone(), previous.clone()],
        vec![previous.clone(), count.clone(), count],
        vec![previous.clone(), length.clone(), length],
    ] {
        let refused = by(&feedback(bad, b""), &base, &wanted);
        assert_eq!(refused, Err(Rv(CKR_MECHANISM_PARAM_INVALID)));
    }
    let other = by(&counter(CKM_AES_CMAC, vec![previous]), &base, &wanted);
    assert_eq!(other, Err(Rv(CKR_MECHANISM_PARAM_INVALID)));
}

#[test]
fn keys_of_the_bytes_of_others() {
    let base = generic(&[0b1010_0101, 0xff, 0x00]);
    let all = Wanted::default();
    let data = |iv: Option<[u8; 16]>, data: &[u8]| Parameter::DerivationData {
        iv,
        data: data.to_vec(),
    };
    for (number, parameter, expected) in [
        (
            CKM_CONCATENATE_BASE_AND_DATA,
            data(None, &[1, 2]),
            vec![0xa5, 0xff, 0, 1, 2],
        ),
        (
            CKM_CONCATENATE_DATA_AND_BASE,
            data(None, &[1, 2]),
            vec![1, 2, 0xa5, 0xff, 0],
        ),
        (CKM_XOR_BASE_AND_DATA, data(None, &[1, 2]), vec![0xa4, 0xfd]),
        (
            CKM_CONCATENATE_BASE_AND_KEY,
            Parameter::Number(5),
            vec![0xa5, 0xff, 0, 9],
        ),
        (
            CKM_EXTRACT_KEY_FROM_KEY,
            Parameter::Number(4),
            vec![0x5f, 0xf0, 0x0a],
        ),
        (
            CKM_EXTRACT_KEY_FROM_KEY,
            Parameter::Number(16),
            vec![0, 0xa5, 0xff],
        ),
    ] {
        let other = Arc::new(generic(&[9]));
        let made = derive(&mechanism(number, parameter), &base, &all, &|_| {
            Ok(other.clone())
        });
        assert_eq!(value(&made.unwrap()), expected, "{number:x}");
    }
    let far = mechanism(CKM_EXTRACT_KEY_FROM_KEY, Parameter::Number(24));
    assert_eq!(by(&far, &base, &all), Err(Rv(CKR_MECHANISM_PARAM_INVALID)));
    let digest = by(
        &plain(CKM_SHA256_KEY_DERIVATION),
        &base,
        &of_type(CKK_AES, Some(16)),
    )
    .unwrap();
    let expected = slotfs_crypto::digest(slotfs_crypto::Hash::Sha256, &[0xa5, 0xff, 0]).unwrap();
    assert_eq!(value(&digest), expected[..16]);

    // SP 800-38A, F.1.1 and F.2.1.
    let base = aes(&hex("2b7e151628aed2a6abf7158809cf4f3c"));
    let text = hex("6bc1bee22e409f96e93d7e117393172a");
    let iv = hex("000102030405060708090a0b0c0d0e0f").try_into().unwrap();
    let ecb = mechanism(CKM_AES_ECB_ENCRYPT_DATA, data(None, &text));
    let made = by(&ecb, &base, &of_type(CKK_AES, None)).unwrap();
    assert_eq!(value(&made), hex("3ad77bb40d7a3660a89ecaf32466ef97"));
    let cbc = mechanism(CKM_AES_CBC_ENCRYPT_DATA, data(Some(iv), &text));
    let made = by(&cbc, &base, &all).unwrap();
    assert_eq!(value(&made), hex("7649abac8119b246cee98e9b12e9197d"));
    for bad in [
        mechanism(CKM_AES_ECB_ENCRYPT_DATA, data(None, &text[..15])),
        mechanism(CKM_AES_ECB_ENCRYPT_DATA, data(None, &[])),
        mechanism(CKM_AES_ECB_ENCRYPT_DATA, data(Some(iv), &text)),
        mechanism(CKM_AES_CBC_ENCRYPT_DATA, data(None, &text)),
    ] {
        assert_eq!(by(&bad, &base, &all), Err(Rv(CKR_MECHANISM_PARAM_INVALID)));
    }
    // Too little data for the key: the parameter's fault, and not the template's.
    for (mechanism, bytes) in [
        (ecb, 32),
        (cbc, 32),
        (mechanism(CKM_XOR_BASE_AND_DATA, data(None, &[1, 2])), 3),
        (
            mechanism(CKM_CONCATENATE_BASE_AND_DATA, data(None, &[1])),
            18,
        ),
    ] {
        let short = by(&mechanism, &base, &of_type(CKK_GENERIC_SECRET, Some(bytes)));
        assert_eq!(short, Err(Rv(CKR_MECHANISM_PARAM_INVALID)));
    }
    let bit = mechanism(CKM_EXTRACT_KEY_FROM_KEY, Parameter::Number(0));
    let short = by(&bit, &base, &of_type(CKK_GENERIC_SECRET, Some(17)));
    assert_eq!(short, Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID)));
    assert_eq!(
        by(&plain(CKM_AES_CBC), &base, &all),
        Err(Rv(CKR_MECHANISM_INVALID))
    );
}

#[test]
fn encapsulated_secrets_come_out_again() {
    for set in [CKP_ML_KEM_512, CKP_ML_KEM_768, CKP_ML_KEM_1024] {
        let wanted = Wanted {
            parameter_set: Some(set),
            ..Wanted::default()
        };
        let number = plain(CKM_ML_KEM_KEY_PAIR_GEN);
        let (public, private) = generate_pair(&number, &wanted, &Wanted::default()).unwrap();
        let (public, private) = (usable(public), usable(private));
        let kem = plain(CKM_ML_KEM);
        let aes = of_type(CKK_AES, Some(32));
        let (one, ciphertext) = encapsulate(&kem, &public, &aes).unwrap();
        assert_eq!(
            decapsulate(&kem, &private, &ciphertext, &aes).as_ref(),
            Ok(&one)
        );
        let mut bad = ciphertext.clone();
        bad[0] ^= 1;
        assert_ne!(decapsulate(&kem, &private, &bad, &aes), Ok(one));
        let short = decapsulate(&kem, &private, &ciphertext[1..], &aes);
        assert_eq!(short, Err(Rv(CKR_ENCRYPTED_DATA_LEN_RANGE)));
        let inconsistent = Rv(CKR_KEY_TYPE_INCONSISTENT);
        assert_eq!(encapsulate(&kem, &private, &aes), Err(inconsistent));
        assert_eq!(
            decapsulate(&kem, &public, &ciphertext, &aes),
            Err(inconsistent)
        );
        let long = encapsulate(&kem, &public, &of_type(CKK_GENERIC_SECRET, Some(33)));
        assert_eq!(long, Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID)));
        let other = encapsulate(&plain(CKM_RSA_PKCS), &public, &aes);
        assert_eq!(other, Err(Rv(CKR_MECHANISM_INVALID)));
    }
}
