use slotfs_crypto::Hash;
use slotfs_keyfile::generate::{EcCurve, KeyPairType};
use slotfs_object::pkcs11::{CKK_EC, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY};
use slotfs_wire::numbers::*;
use slotfs_wire::rv::*;
use slotfs_wire::{Operation as Kind, Parameter, Secret};

use super::super::*;
use super::{of_type, usable, value};
use crate::operation::{Operation, Output, Room};
use crate::testing::{hex, mechanism, plain};

/// `CKA_EC_PARAMS` in each spelling.
const P256: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const ED25519: &[u8] = &[6, 3, 0x2b, 0x65, 0x70];
const X25519: &[u8] = &[6, 3, 0x2b, 0x65, 0x6e];

fn on(parameters: &[u8]) -> Wanted<'_> {
    Wanted {
        ec_params: Some(parameters),
        ..Wanted::default()
    }
}

fn bits(bits: u64) -> Wanted<'static> {
    Wanted {
        modulus_bits: Some(bits),
        ..Wanted::default()
    }
}

fn set(number: u64) -> Wanted<'static> {
    Wanted {
        parameter_set: Some(number),
        ..Wanted::default()
    }
}

fn make(number: u64, wanted: &Wanted<'_>) -> Result<(Material, Material)> {
    generate_pair(&plain(number), wanted, &Wanted::default())
}

#[test]
fn each_pair_signs_and_verifies_and_is_created_again_as_it_is() {
    for (number, wanted, signing) in [
        (
            CKM_RSA_PKCS_KEY_PAIR_GEN,
            bits(2048),
            Some(CKM_SHA256_RSA_PKCS),
        ),
        (CKM_EC_KEY_PAIR_GEN, on(P256), Some(CKM_ECDSA_SHA256)),
        (CKM_EC_EDWARDS_KEY_PAIR_GEN, on(ED25519), Some(CKM_EDDSA)),
        (
            CKM_EC_EDWARDS_KEY_PAIR_GEN,
            on(b"\x13\x0cedwards25519"),
            Some(CKM_EDDSA),
        ),
        (CKM_EC_MONTGOMERY_KEY_PAIR_GEN, on(X25519), None),
        (
            CKM_EC_MONTGOMERY_KEY_PAIR_GEN,
            on(b"\x13\x0acurve25519"),
            None,
        ),
        (
            CKM_ML_DSA_KEY_PAIR_GEN,
            set(CKP_ML_DSA_44),
            Some(CKM_ML_DSA),
        ),
        (
            CKM_ML_DSA_KEY_PAIR_GEN,
            set(CKP_ML_DSA_65),
            Some(CKM_HASH_ML_DSA_SHA256),
        ),
        (
            CKM_ML_DSA_KEY_PAIR_GEN,
            set(CKP_ML_DSA_87),
            Some(CKM_HASH_ML_DSA_SHA3_512),
        ),
        (CKM_ML_KEM_KEY_PAIR_GEN, set(CKP_ML_KEM_512), None),
    ] {
        let (public, private) = make(number, &wanted).unwrap();
        assert_eq!(
            (public.class, private.class),
            (CKO_PUBLIC_KEY, CKO_PRIVATE_KEY)
        );
        let info = |half: &Material| half.attributes[&CKA_PUBLIC_KEY_INFO].clone();
        assert_eq!(info(&public), info(&private));
        for half in [&public, &private] {
            let again = create(half.class, half.key_type, &half.attributes).unwrap();
            assert_eq!(&again, half, "{number:x}");
        }
        let (public, private) = (usable(public), usable(private));
        if let Some(signing) = signing {
            let mut running =
                Operation::start(Kind::Sign, &plain(signing), Some(&private)).unwrap();
            let Ok(Output::Bytes(signature)) = running.whole(b"data", Room(Some(9999))) else {
                panic!()
            };
            let start = || Operation::start(Kind::Verify, &plain(signing), Some(&public)).unwrap();
            assert_eq!(start().verify(b"data", &signature), Ok(()), "{number:x}");
            let invalid = Err(Rv(CKR_SIGNATURE_INVALID));
            assert_eq!(start().verify(b"Data", &signature), invalid);
        }
    }
}

#[test]
fn ml_dsa_with_its_parameters() {
    let (public, private) = make(CKM_ML_DSA_KEY_PAIR_GEN, &set(CKP_ML_DSA_44)).unwrap();
    let (public, private) = (usable(public), usable(private));
    let pure = |hedge, context: &[u8]| {
        let context = context.to_vec();
        mechanism(CKM_ML_DSA, Parameter::SignContext { hedge, context })
    };
    let digest = |hash, context: &[u8]| {
        let parameter = Parameter::HashSignContext {
            hedge: CKH_HEDGE_REQUIRED,
            context: context.to_vec(),
            hash,
        };
        mechanism(CKM_HASH_ML_DSA, parameter)
    };
    let start = |kind, mechanism: &_, key| Operation::start(kind, mechanism, Some(key));
    let sign = |mechanism: &_, data: &[u8]| {
        let mut running = start(Kind::Sign, mechanism, &private)?;
        match running.whole(data, Room(Some(9999)))? {
            Output::Bytes(signature) => Ok(signature),
            other => panic!("{other:?}"),
        }
    };
    let verify = |mechanism: &_, data: &[u8], signature: &[u8]| {
        start(Kind::Verify, mechanism, &public)?.verify(data, signature)
    };
    let signature = sign(&pure(CKH_HEDGE_REQUIRED, b"context"), b"data").unwrap();
    let fixed = || sign(&pure(CKH_DETERMINISTIC_REQUIRED, b"context"), b"data").unwrap();
    assert_eq!(fixed(), fixed());
    assert_ne!(fixed(), signature);
    // Verification does not depend on how random the signature is.
    let same = pure(CKH_DETERMINISTIC_REQUIRED, b"context");
    assert_eq!(verify(&same, b"data", &signature), Ok(()));
    let other = pure(CKH_HEDGE_PREFERRED, b"other");
    assert_eq!(
        verify(&other, b"data", &signature),
        Err(Rv(CKR_SIGNATURE_INVALID))
    );
    // HashML-DSA by its mechanism, and of a digest.
    let signature = sign(&digest(CKM_SHA256, b""), &[7; 32]).unwrap();
    assert_eq!(
        verify(&digest(CKM_SHA256, b""), &[7; 32], &signature),
        Ok(())
    );
    let hashed = slotfs_crypto::digest(Hash::Sha256, b"data").unwrap();
    let signature = sign(&plain(CKM_HASH_ML_DSA_SHA256), b"data").unwrap();
    assert_eq!(
        verify(&digest(CKM_SHA256, b""), &hashed, &signature),
        Ok(())
    );
    let short = sign(&digest(CKM_SHA256, b""), &[7; 31]);
    assert_eq!(short, Err(Rv(CKR_DATA_LEN_RANGE)));
    let mut running = start(Kind::Sign, &digest(CKM_SHA256, b""), &private).unwrap();
    let refused = running.update(&[7; 16], Room(None));
    assert_eq!(refused, Err(Rv(CKR_OPERATION_NOT_INITIALIZED)));
    assert!(running.is_over());
    for bad in [
        pure(77, b""),
        pure(CKH_HEDGE_REQUIRED, &[1; 256]),
        digest(CKM_SHA_1, b""),
        digest(CKM_MD5, b""),
        plain(CKM_HASH_ML_DSA),
    ] {
        assert_eq!(sign(&bad, &[7; 32]), Err(Rv(CKR_MECHANISM_PARAM_INVALID)));
    }
}

#[test]
fn generated_keys_are_those_that_a_command_makes() {
    let pair = slotfs_keyfile::generate::generate_key_pair;
    for kind in [
        KeyPairType::Rsa(2048.try_into().unwrap()),
        KeyPairType::Ec(EcCurve::P521),
        KeyPairType::Ed25519,
        KeyPairType::X25519,
    ] {
        let made = pair(kind, &Default::default()).unwrap();
        for half in [made.public, made.private] {
            let of_file = Material::of(half).unwrap();
            let again = create(of_file.class, of_file.key_type, &of_file.attributes).unwrap();
            assert_eq!(again, of_file, "{kind:?}");
        }
    }
}

#[test]
fn secret_keys_have_the_length_that_is_asked_for() {
    for (number, key_type, bytes, expected) in [
        (CKM_AES_KEY_GEN, None, Some(24), (CKK_AES, 24)),
        (
            CKM_GENERIC_SECRET_KEY_GEN,
            None,
            Some(5),
            (CKK_GENERIC_SECRET, 5),
        ),
        (CKM_GENERIC_SECRET_KEY_GEN, Some(0x2b), Some(7), (0x2b, 7)),
        (CKM_SHA256_KEY_GEN, None, None, (0x2b, 32)),
        (
            CKM_SHA256_KEY_GEN,
            Some(CKK_GENERIC_SECRET),
            Some(256),
            (CKK_GENERIC_SECRET, 256),
        ),
        (CKM_HKDF_KEY_GEN, None, Some(32), (CKK_HKDF, 32)),
    ] {
        let wanted = Wanted {
            key_type,
            value_len: bytes,
            ..Wanted::default()
        };
        let made = generate_key(&plain(number), &wanted).unwrap();
        assert_eq!((made.key_type, value(&made).len()), expected);
        let length = Attribute::Number(expected.1 as u64);
        assert_eq!(made.attributes[&CKA_VALUE_LEN], length);
        assert_ne!(
            value(&made),
            value(&generate_key(&plain(number), &wanted).unwrap())
        );
        usable(made);
    }
}

#[test]
fn templates_that_do_not_fit() {
    let key = |number, wanted: Wanted<'_>| generate_key(&plain(number), &wanted).unwrap_err().0;
    let aes = |bytes| of_type(CKK_AES, Some(bytes));
    assert_eq!(
        key(CKM_AES_KEY_GEN, of_type(CKK_AES, None)),
        CKR_TEMPLATE_INCOMPLETE
    );
    for bytes in [0, 15, 33, u64::MAX] {
        assert_eq!(
            key(CKM_AES_KEY_GEN, aes(bytes)),
            CKR_ATTRIBUTE_VALUE_INVALID
        );
    }
    let generic = of_type(CKK_GENERIC_SECRET, Some(16));
    assert_eq!(key(CKM_AES_KEY_GEN, generic), CKR_TEMPLATE_INCONSISTENT);
    assert_eq!(
        key(CKM_GENERIC_SECRET_KEY_GEN, aes(16)),
        CKR_TEMPLATE_INCONSISTENT
    );
    assert_eq!(
        key(CKM_SHA256_KEY_GEN, of_type(0x2c, Some(16))),
        CKR_TEMPLATE_INCONSISTENT
    );
    assert_eq!(key(CKM_RSA_PKCS, generic), CKR_MECHANISM_INVALID);
    let with = mechanism(CKM_AES_KEY_GEN, Parameter::Number(1));
    let refused = generate_key(&with, &aes(16)).unwrap_err();
    assert_eq!(refused, Rv(CKR_MECHANISM_PARAM_INVALID));

    let pair = |number, wanted: Wanted<'_>| make(number, &wanted).unwrap_err().0;
    let rsa = CKM_RSA_PKCS_KEY_PAIR_GEN;
    assert_eq!(pair(rsa, Wanted::default()), CKR_TEMPLATE_INCOMPLETE);
    for length in [0, 512, 1023, 2049, 4097, 8192, u64::MAX] {
        assert_eq!(pair(rsa, bits(length)), CKR_ATTRIBUTE_VALUE_INVALID);
    }
    let even = Wanted {
        public_exponent: Some(&[1, 0, 0]),
        ..bits(2048)
    };
    assert_eq!(pair(rsa, even), CKR_ATTRIBUTE_VALUE_INVALID);
    assert_eq!(
        pair(CKM_EC_KEY_PAIR_GEN, bits(256)),
        CKR_TEMPLATE_INCOMPLETE
    );
    assert_eq!(
        pair(CKM_EC_KEY_PAIR_GEN, on(ED25519)),
        CKR_CURVE_NOT_SUPPORTED
    );
    assert_eq!(
        pair(CKM_EC_KEY_PAIR_GEN, on(&[6, 1, 42])),
        CKR_CURVE_NOT_SUPPORTED
    );
    assert_eq!(
        pair(CKM_EC_KEY_PAIR_GEN, on(&[0x30, 0])),
        CKR_DOMAIN_PARAMS_INVALID
    );
    assert_eq!(
        pair(CKM_EC_KEY_PAIR_GEN, on(&[])),
        CKR_DOMAIN_PARAMS_INVALID
    );
    let dsa = CKM_ML_DSA_KEY_PAIR_GEN;
    assert_eq!(pair(dsa, Wanted::default()), CKR_TEMPLATE_INCOMPLETE);
    assert_eq!(pair(dsa, set(4)), CKR_PARAMETER_SET_NOT_SUPPORTED);
    let (one, two) = (set(CKP_ML_DSA_44), set(CKP_ML_DSA_65));
    let refused = generate_pair(&plain(dsa), &one, &two).unwrap_err();
    assert_eq!(refused, Rv(CKR_TEMPLATE_INCONSISTENT));
    let refused = generate_pair(&plain(rsa), &bits(2048), &of_type(CKK_EC, None)).unwrap_err();
    assert_eq!(refused, Rv(CKR_TEMPLATE_INCONSISTENT));
    assert_eq!(pair(CKM_AES_KEY_GEN, bits(2048)), CKR_MECHANISM_INVALID);
}

#[test]
fn an_exponent_of_the_template_is_used() {
    let wanted = Wanted {
        public_exponent: Some(&[3]),
        ..bits(2048)
    };
    let (public, _) = make(CKM_RSA_PKCS_KEY_PAIR_GEN, &wanted).unwrap();
    assert_eq!(
        public.attributes[&CKA_PUBLIC_EXPONENT],
        Attribute::Bytes(vec![3])
    );
}

fn pbkdf2(prf: u64, iterations: u64) -> slotfs_wire::Mechanism {
    let parameter = Parameter::Pbkdf2 {
        source: CKZ_SALT_SPECIFIED,
        salt: b"salt".to_vec(),
        iterations,
        prf,
        password: Secret::from(&b"password"[..]),
    };
    mechanism(CKM_PKCS5_PBKD2, parameter)
}

#[test]
fn a_key_of_a_password() {
    // RFC 6070 test 3, RFC 7914 section 11.
    let twenty = of_type(CKK_GENERIC_SECRET, Some(20));
    let made = generate_key(&pbkdf2(CKP_PKCS5_PBKD2_HMAC_SHA1, 4096), &twenty).unwrap();
    assert_eq!(
        value(&made),
        hex("4b007901b765489abead49d926f721d065a429c1")
    );
    let wanted = of_type(CKK_AES, Some(32));
    let made = generate_key(&pbkdf2(CKP_PKCS5_PBKD2_HMAC_SHA256, 1), &wanted).unwrap();
    assert_eq!(made.key_type, CKK_AES);
    let expected = slotfs_crypto::kdf::pbkdf2(Hash::Sha256, b"password", b"salt", 1, 32);
    assert_eq!(value(&made), *expected.unwrap());
    for (prf, iterations, rv) in [
        (
            CKP_PKCS5_PBKD2_HMAC_GOSTR3411,
            1,
            CKR_MECHANISM_PARAM_INVALID,
        ),
        (CKP_PKCS5_PBKD2_HMAC_SHA1, 0, CKR_MECHANISM_PARAM_INVALID),
        (
            CKP_PKCS5_PBKD2_HMAC_SHA1,
            u64::MAX,
            CKR_EXCEEDED_MAX_ITERATIONS,
        ),
        (
            CKP_PKCS5_PBKD2_HMAC_SHA1,
            9_000_000,
            CKR_EXCEEDED_MAX_ITERATIONS,
        ),
    ] {
        let long = of_type(CKK_GENERIC_SECRET, Some(64));
        let refused = generate_key(&pbkdf2(prf, iterations), &long).unwrap_err();
        assert_eq!(refused, Rv(rv));
    }
}
