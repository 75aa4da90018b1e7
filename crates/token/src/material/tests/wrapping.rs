use slotfs_keyfile::generate::KeyPairType;
use slotfs_object::pkcs11::{CKK_EC, CKK_RSA, CKO_PRIVATE_KEY};
use slotfs_object::usable::UsableKey;
use slotfs_wire::numbers::*;
use slotfs_wire::rv::*;
use slotfs_wire::{Mechanism, Oaep, Parameter};

use super::super::*;
use super::{of_type, usable, value};
use crate::testing::{aes, generic, mechanism, p256, pair, plain, rsa};

fn oaep() -> Oaep {
    Oaep {
        hash: CKM_SHA256,
        mgf: CKG_MGF1_SHA256,
        source: CKZ_DATA_SPECIFIED,
        label: Vec::new(),
    }
}

fn rsa_aes(aes_bits: u64) -> Mechanism {
    let oaep = oaep();
    mechanism(
        CKM_RSA_AES_KEY_WRAP,
        Parameter::RsaAesKeyWrap { aes_bits, oaep },
    )
}

fn iv(number: u64) -> Mechanism {
    mechanism(number, Parameter::Bytes(vec![1; 16]))
}

fn gcm() -> Mechanism {
    let parameter = Parameter::Gcm {
        iv: vec![1; 12],
        iv_bits: 96,
        aad: Vec::new(),
        tag_bits: 128,
    };
    mechanism(CKM_AES_GCM, parameter)
}

/// Those that wrap keys of any length.
fn any_length() -> Vec<Mechanism> {
    vec![
        plain(CKM_AES_ECB),
        iv(CKM_AES_CBC),
        iv(CKM_AES_CBC_PAD),
        gcm(),
        plain(CKM_AES_KEY_WRAP_PAD),
        plain(CKM_AES_KEY_WRAP_PKCS7),
        plain(CKM_AES_KEY_WRAP_KWP),
    ]
}

#[test]
fn secret_keys_come_back() {
    let outer = aes(&[1; 32]);
    let (private, public) = rsa();
    for (inner, key_type, bytes) in [
        (aes(&[2; 32]), CKK_AES, 32),
        (aes(&[3; 16]), CKK_AES, 16),
        (generic(&[4; 21]), CKK_GENERIC_SECRET, 21),
    ] {
        let wanted = of_type(key_type, Some(bytes));
        let original = inner.secret(CKA_VALUE).unwrap();
        for mechanism in any_length() {
            let wrapped = wrap(&mechanism, &outer, &inner).unwrap();
            let back = unwrap(&mechanism, &outer, &wrapped, CKO_SECRET_KEY, &wanted).unwrap();
            assert_eq!(value(&back), original, "{mechanism:?}");
            assert_eq!(back.key_type, key_type);
        }
        let oaep = mechanism(CKM_RSA_PKCS_OAEP, Parameter::Oaep(oaep()));
        for mechanism in [
            plain(CKM_RSA_PKCS),
            plain(CKM_RSA_X_509),
            oaep,
            rsa_aes(256),
        ] {
            let wrapped = wrap(&mechanism, &public, &inner).unwrap();
            let back = unwrap(&mechanism, &private, &wrapped, CKO_SECRET_KEY, &wanted).unwrap();
            assert_eq!(value(&back), original, "{mechanism:?}");
        }
    }
    let wrapped = wrap(&plain(CKM_AES_KEY_WRAP), &outer, &aes(&[2; 24])).unwrap();
    let wanted = of_type(CKK_AES, None);
    let back = unwrap(
        &plain(CKM_AES_KEY_WRAP),
        &outer,
        &wrapped,
        CKO_SECRET_KEY,
        &wanted,
    )
    .unwrap();
    assert_eq!(value(&back), [2; 24]);
}

#[test]
fn private_keys_come_back() {
    let outer = aes(&[1; 32]);
    let (rsa_private, rsa_public) = rsa();
    let of_set = |number, set| {
        let wanted = Wanted {
            parameter_set: Some(set),
            ..Wanted::default()
        };
        let pair = generate_pair(&plain(number), &wanted, &Wanted::default());
        usable(pair.unwrap().1)
    };
    let keys = [
        rsa().0,
        p256().0,
        pair(KeyPairType::Ed25519).0,
        pair(KeyPairType::X25519).0,
        of_set(CKM_ML_DSA_KEY_PAIR_GEN, CKP_ML_DSA_44),
        of_set(CKM_ML_KEM_KEY_PAIR_GEN, CKP_ML_KEM_512),
    ];
    let same = |back: &Material, key: &UsableKey| {
        let described = key.described();
        assert_eq!(Some(back.key_type), described.key_type);
        for (number, value) in &back.attributes {
            match value {
                Attribute::Secret(value) => assert_eq!(key.secret(*number), Some(value.bytes())),
                value => assert_eq!(described.attributes.get(number), Some(value)),
            }
        }
    };
    for key in &keys {
        for mechanism in any_length() {
            let wrapped = wrap(&mechanism, &outer, key).unwrap();
            let wanted = Wanted::default();
            let back = unwrap(&mechanism, &outer, &wrapped, CKO_PRIVATE_KEY, &wanted).unwrap();
            same(&back, key);
        }
        let wrapped = wrap(&rsa_aes(128), &rsa_public, key).unwrap();
        let wanted = of_type(key.described().key_type.unwrap(), None);
        let back = unwrap(
            &rsa_aes(128),
            &rsa_private,
            &wrapped,
            CKO_PRIVATE_KEY,
            &wanted,
        )
        .unwrap();
        same(&back, key);
    }
    let kwp = plain(CKM_AES_KEY_WRAP_KWP);
    let wrapped = wrap(&kwp, &outer, &keys[0]).unwrap();
    let wanted = of_type(CKK_EC, None);
    let refused = unwrap(&kwp, &outer, &wrapped, CKO_PRIVATE_KEY, &wanted);
    assert_eq!(refused, Err(Rv(CKR_TEMPLATE_INCONSISTENT)));
    // A private key is no secret key, and the other way round.
    let secret = wrap(&kwp, &outer, &aes(&[1; 16])).unwrap();
    let refused = unwrap(&kwp, &outer, &secret, CKO_PRIVATE_KEY, &Wanted::default());
    assert_eq!(refused, Err(Rv(CKR_WRAPPED_KEY_INVALID)));
    let refused = unwrap(
        &kwp,
        &outer,
        &wrapped,
        CKO_SECRET_KEY,
        &of_type(CKK_AES, None),
    );
    assert_eq!(refused, Err(Rv(CKR_WRAPPED_KEY_INVALID)));
}

#[test]
fn wrapping_that_is_refused() {
    let outer = aes(&[1; 32]);
    let (private, public) = rsa();
    let refused = |mechanism: &Mechanism, outer: &UsableKey, key: &UsableKey| {
        wrap(mechanism, outer, key).unwrap_err().0
    };
    let kw = plain(CKM_AES_KEY_WRAP);
    let pkcs = plain(CKM_RSA_PKCS);
    assert_eq!(refused(&kw, &outer, &generic(&[1; 21])), CKR_KEY_SIZE_RANGE);
    assert_eq!(refused(&pkcs, &public, &private), CKR_KEY_SIZE_RANGE);
    assert_eq!(refused(&kw, &outer, &public), CKR_KEY_NOT_WRAPPABLE);
    assert_eq!(
        refused(&kw, &public, &outer),
        CKR_WRAPPING_KEY_TYPE_INCONSISTENT
    );
    assert_eq!(
        refused(&pkcs, &private, &outer),
        CKR_WRAPPING_KEY_TYPE_INCONSISTENT
    );
    assert_eq!(
        refused(&pkcs, &outer, &outer),
        CKR_WRAPPING_KEY_TYPE_INCONSISTENT
    );
    assert_eq!(
        refused(&plain(CKM_SHA256), &outer, &outer),
        CKR_MECHANISM_INVALID
    );
    assert_eq!(
        refused(&plain(CKM_AES_CBC), &outer, &outer),
        CKR_MECHANISM_PARAM_INVALID
    );
    assert_eq!(
        refused(&rsa_aes(100), &public, &outer),
        CKR_MECHANISM_PARAM_INVALID
    );
    let wrapped = wrap(&kw, &outer, &outer).unwrap();
    let secret = CKO_SECRET_KEY;
    let wanted = of_type(CKK_AES, None);
    let refused = |mechanism: &Mechanism, key: &UsableKey, wrapped: &[u8]| {
        unwrap(mechanism, key, wrapped, secret, &wanted)
            .unwrap_err()
            .0
    };
    let mut bad = wrapped.to_vec();
    bad[3] ^= 1;
    assert_eq!(refused(&kw, &outer, &bad), CKR_WRAPPED_KEY_INVALID);
    assert_eq!(
        refused(&kw, &outer, &wrapped[1..]),
        CKR_WRAPPED_KEY_LEN_RANGE
    );
    assert_eq!(
        refused(&kw, &private, &wrapped),
        CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT
    );
    assert_eq!(refused(&pkcs, &private, &[1; 256]), CKR_WRAPPED_KEY_INVALID);
    assert_eq!(
        refused(&pkcs, &private, &[1; 255]),
        CKR_WRAPPED_KEY_LEN_RANGE
    );
    assert_eq!(
        refused(&rsa_aes(256), &private, &[1; 255]),
        CKR_WRAPPED_KEY_LEN_RANGE
    );
    // A padding that is right around a key of a wrong length has the answer of a wrong padding.
    let short = wrap(&pkcs, &public, &generic(&[1; 17])).unwrap();
    assert_eq!(refused(&pkcs, &private, &short), CKR_WRAPPED_KEY_INVALID);
    let no_type = unwrap(&kw, &outer, &wrapped, secret, &Wanted::default());
    assert_eq!(no_type, Err(Rv(CKR_TEMPLATE_INCOMPLETE)));
    let of_rsa = unwrap(&kw, &outer, &wrapped, secret, &of_type(CKK_RSA, None));
    assert_eq!(of_rsa, Err(Rv(CKR_TEMPLATE_INCONSISTENT)));
    let length = unwrap(&kw, &outer, &wrapped, secret, &of_type(CKK_AES, Some(16)));
    assert_eq!(length, Err(Rv(CKR_WRAPPED_KEY_INVALID)));
}
