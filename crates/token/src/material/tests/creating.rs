use slotfs_object::pkcs11::CKK_EC;
use slotfs_object::secret::SecretBytes;
use slotfs_wire::numbers::*;
use slotfs_wire::rv::*;

use super::super::*;
use super::given;
use crate::testing::plain;

fn pair(number: u64, wanted: Wanted<'_>) -> (Material, Material) {
    generate_pair(&plain(number), &wanted, &Wanted::default()).unwrap()
}

fn rsa() -> (Material, Material) {
    let wanted = Wanted {
        modulus_bits: Some(2048),
        ..Wanted::default()
    };
    pair(CKM_RSA_PKCS_KEY_PAIR_GEN, wanted)
}

fn secret(bytes: &[u8]) -> Attribute {
    Attribute::Secret(SecretBytes::from(bytes))
}

/// What is answered to `material` with these changes.
fn changed(material: &Material, changes: &[(u32, Option<Attribute>)]) -> Result<Material> {
    let mut all = given(material);
    for (number, value) in changes {
        match value {
            Some(value) => all.insert(*number, value.clone()),
            None => all.remove(number),
        };
    }
    create(material.class, material.key_type, &all)
}

#[test]
fn an_rsa_key_is_completed() {
    let (public, private) = rsa();
    let crt = [
        CKA_PRIME_1,
        CKA_PRIME_2,
        CKA_EXPONENT_1,
        CKA_EXPONENT_2,
        CKA_COEFFICIENT,
    ];
    let without: Vec<_> = crt.iter().map(|number| (*number, None)).collect();
    assert_eq!(changed(&private, &without).as_ref(), Ok(&private));
    assert_eq!(changed(&private, &without[2..]).as_ref(), Ok(&private));
    // Java and others write the numbers with a leading zero, or leave attributes empty.
    let zero = |number: u32| match &private.attributes[&number] {
        Attribute::Secret(value) => secret(&[&[0], value.bytes()].concat()),
        Attribute::Bytes(value) => Attribute::Bytes([&[0], value.as_slice()].concat()),
        other => panic!("{other:?}"),
    };
    let zeros: Vec<_> = [CKA_MODULUS, CKA_PRIVATE_EXPONENT]
        .iter()
        .chain(&crt)
        .map(|number| (*number, Some(zero(*number))))
        .collect();
    assert_eq!(changed(&private, &zeros).as_ref(), Ok(&private));
    let empty: Vec<_> = crt
        .iter()
        .map(|number| (*number, Some(secret(&[]))))
        .collect();
    assert_eq!(changed(&private, &empty).as_ref(), Ok(&private));
    let no_exponent = [(CKA_PUBLIC_EXPONENT, None), (CKA_PUBLIC_KEY_INFO, None)];
    assert_eq!(changed(&private, &no_exponent).as_ref(), Ok(&private));
    let no_bits = [(CKA_MODULUS_BITS, None)];
    assert_eq!(changed(&public, &no_bits).as_ref(), Ok(&public));
}

#[test]
fn rsa_keys_that_are_refused() {
    let ((public, private), (other, _)) = (rsa(), rsa());
    let invalid = Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID));
    let incomplete = Err(Rv(CKR_TEMPLATE_INCOMPLETE));
    for (number, value, answer) in [
        (CKA_MODULUS, None, &incomplete),
        (CKA_PRIVATE_EXPONENT, None, &incomplete),
        (CKA_PRIVATE_EXPONENT, Some(secret(&[3])), &invalid),
        (CKA_PRIME_1, Some(secret(&[3])), &invalid),
        (CKA_EXPONENT_1, Some(secret(&[3])), &invalid),
        (CKA_EXPONENT_2, Some(secret(&[3])), &invalid),
        (CKA_COEFFICIENT, Some(secret(&[3])), &invalid),
        (
            CKA_MODULUS,
            Some(other.attributes[&CKA_MODULUS].clone()),
            &invalid,
        ),
        (
            CKA_PUBLIC_KEY_INFO,
            Some(other.attributes[&CKA_PUBLIC_KEY_INFO].clone()),
            &invalid,
        ),
    ] {
        assert_eq!(&changed(&private, &[(number, value)]), answer, "{number:x}");
    }
    let short = Attribute::Bytes(vec![0xff; 64]);
    let refused = changed(&public, &[(CKA_MODULUS, Some(short))]);
    assert_eq!(refused, Err(Rv(CKR_KEY_SIZE_RANGE)));
    let bits = [(CKA_MODULUS_BITS, Some(Attribute::Number(2047)))];
    assert_eq!(changed(&public, &bits), invalid);
}

#[test]
fn points_and_curves_in_both_spellings() {
    for (number, wanted, spelled) in [
        (
            CKM_EC_KEY_PAIR_GEN,
            &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7][..],
            None,
        ),
        (
            CKM_EC_EDWARDS_KEY_PAIR_GEN,
            &[6, 3, 0x2b, 0x65, 0x70],
            Some(&b"\x13\x0cedwards25519"[..]),
        ),
        (
            CKM_EC_MONTGOMERY_KEY_PAIR_GEN,
            &[6, 3, 0x2b, 0x65, 0x6e],
            Some(b"\x13\x0acurve25519"),
        ),
    ] {
        let wanted = Wanted {
            ec_params: Some(wanted),
            ..Wanted::default()
        };
        let (public, private) = pair(number, wanted);
        let Attribute::Bytes(point) = public.attributes[&CKA_EC_POINT].clone() else {
            panic!()
        };
        let other = match public.key_type {
            CKK_EC => point[2..].to_vec(),
            _ => [&[4, 32], point.as_slice()].concat(),
        };
        let mut both = vec![(CKA_EC_POINT, Some(Attribute::Bytes(other)))];
        assert_eq!(changed(&public, &both).as_ref(), Ok(&public));
        // A private key may come with its point; it is compared, and not kept.
        assert_eq!(changed(&private, &both).as_ref(), Ok(&private));
        if let Some(spelled) = spelled {
            both.push((CKA_EC_PARAMS, Some(Attribute::Bytes(spelled.to_vec()))));
            assert_eq!(changed(&public, &both).as_ref(), Ok(&public));
            assert_eq!(changed(&private, &both).as_ref(), Ok(&private));
        }
        let invalid = Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID));
        for bad in [vec![], vec![4, 1, 2], vec![2; 31]] {
            let point = [(CKA_EC_POINT, Some(Attribute::Bytes(bad)))];
            assert_eq!(changed(&public, &point), invalid);
        }
        let wrong = [(CKA_VALUE, Some(secret(&[0; 33])))];
        assert_eq!(changed(&private, &wrong), invalid);
        let without = [(CKA_EC_PARAMS, None)];
        assert_eq!(
            changed(&private, &without),
            Err(Rv(CKR_TEMPLATE_INCOMPLETE))
        );
        let curve = Attribute::Bytes(vec![6, 5, 0x2b, 0x81, 4, 0, 34]);
        let refused = changed(&private, &[(CKA_EC_PARAMS, Some(curve))]);
        assert!(refused.is_err());
    }
}

#[test]
fn secret_keys_have_lengths() {
    let of = |key_type, bytes: usize| {
        let value = BTreeMap::from([(CKA_VALUE, secret(&vec![1; bytes]))]);
        create(CKO_SECRET_KEY, key_type, &value)
    };
    assert!(of(CKK_AES, 16).is_ok() && of(CKK_GENERIC_SECRET, 1).is_ok() && of(0x2b, 20).is_ok());
    let invalid = Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID));
    assert_eq!(of(CKK_AES, 17), invalid);
    assert_eq!(of(CKK_GENERIC_SECRET, 0), invalid);
    assert_eq!(of(CKK_GENERIC_SECRET, 16385), invalid);
    assert_eq!(of(0x13, 8), Err(Rv(CKR_TEMPLATE_INCONSISTENT)));
    let none = create(CKO_SECRET_KEY, CKK_AES, &BTreeMap::new());
    assert_eq!(none, Err(Rv(CKR_TEMPLATE_INCOMPLETE)));
    let aes = of(CKK_AES, 16).unwrap();
    assert_eq!(
        changed(&aes, &[(CKA_VALUE_LEN, Some(Attribute::Number(24)))]),
        invalid
    );
}

#[test]
fn post_quantum_keys_of_a_seed_or_of_a_value() {
    for (number, set) in [
        (CKM_ML_DSA_KEY_PAIR_GEN, CKP_ML_DSA_65),
        (CKM_ML_KEM_KEY_PAIR_GEN, CKP_ML_KEM_768),
    ] {
        let wanted = Wanted {
            parameter_set: Some(set),
            ..Wanted::default()
        };
        let (public, private) = pair(number, wanted);
        let of_seed = changed(&private, &[(CKA_VALUE, None)]);
        assert_eq!(of_seed.as_ref(), Ok(&private));
        let mut of_value = changed(&private, &[(CKA_SEED, None)]).unwrap();
        assert!(!of_value.attributes.contains_key(&CKA_SEED));
        let seed = private.attributes[&CKA_SEED].clone();
        of_value.attributes.insert(CKA_SEED, seed);
        assert_eq!(of_value, private);
        let invalid = Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID));
        assert_eq!(
            changed(&private, &[(CKA_SEED, Some(secret(&[1; 32])))]),
            invalid
        );
        assert_eq!(
            changed(&private, &[(CKA_SEED, Some(secret(&[1; 64])))]),
            invalid
        );
        let none = [(CKA_SEED, None), (CKA_VALUE, None)];
        assert_eq!(changed(&private, &none), Err(Rv(CKR_TEMPLATE_INCOMPLETE)));
        for half in [&public, &private] {
            let unknown = [(CKA_PARAMETER_SET, Some(Attribute::Number(9)))];
            assert_eq!(
                changed(half, &unknown),
                Err(Rv(CKR_PARAMETER_SET_NOT_SUPPORTED))
            );
            let other = [(CKA_PARAMETER_SET, Some(Attribute::Number(1)))];
            assert!(changed(half, &other).is_err());
            let missing = [(CKA_PARAMETER_SET, None)];
            assert_eq!(changed(half, &missing), Err(Rv(CKR_TEMPLATE_INCOMPLETE)));
        }
    }
}
