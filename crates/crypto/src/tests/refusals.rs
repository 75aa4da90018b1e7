//! Keys and parameters that are refused.

use crate::mac::{Cmac, equal};
use crate::pq::ml_dsa;
use crate::rsa::{PrivateKey, PublicKey, RsaParts};
use crate::{Error, Hash, aead, aes, edwards, kdf, montgomery, rsa, wrap};

/// An odd number of `bits` bits.
fn odd(bits: usize) -> Vec<u8> {
    let mut number = vec![0xff; bits.div_ceil(8)];
    number[0] >>= (8 - bits % 8) % 8;
    number
}

#[test]
fn rsa_public_keys() {
    for (bits, exponent, good) in [
        (1024, vec![3], true),
        (8192, vec![1, 0, 1], true),
        (2047, vec![0, 0, 3], true),
        (2048, vec![0xff; 32], true),
        (1023, vec![3], false),
        (8193, vec![3], false),
        (8, vec![3], false),
        (2048, vec![], false),
        (2048, vec![1], false),
        (2048, vec![0, 1], false),
        (2048, vec![4], false),
        (2048, vec![0xff; 33], false),
    ] {
        let key = PublicKey::new(&odd(bits), &exponent);
        let expected = (!good).then_some(Error::BadKey);
        assert_eq!(key.err(), expected, "{bits} {exponent:?}");
    }
    let mut even = odd(2048);
    even[255] = 0xfe;
    assert_eq!(PublicKey::new(&even, &[3]).err(), Some(Error::BadKey));
    // Leading zeros do not count.
    let padded = [vec![0; 9], odd(1024)].concat();
    assert_eq!(PublicKey::new(&padded, &[3]).unwrap().modulus_bytes(), 128);
}

#[test]
fn rsa_private_keys_whose_numbers_do_not_fit() {
    let whole = rsa::generate(2048, &[1, 0, 1]).unwrap();
    let spoil: [fn(&mut RsaParts); 9] = [
        |it| it.n[100] ^= 1,
        |it| it.e = vec![3],
        |it| it.d[100] ^= 1,
        |it| it.p[50] ^= 1,
        |it| it.q[50] ^= 1,
        |it| it.dp[50] ^= 1,
        |it| it.dq[50] ^= 1,
        |it| it.qinv[50] ^= 1,
        |it| *it.d = vec![1; 5000],
    ];
    for (at, spoil) in spoil.into_iter().enumerate() {
        let mut parts = whole.clone();
        spoil(&mut parts);
        assert_eq!(PrivateKey::new(&parts).err(), Some(Error::BadKey), "{at}");
    }
    let empty = PrivateKey::new(&RsaParts::default());
    assert_eq!(empty.err(), Some(Error::BadKey));
}

#[test]
fn rsa_inputs_out_of_range() {
    let parts = rsa::generate(2048, &[1, 0, 1]).unwrap();
    let private = PrivateKey::new(&parts).unwrap();
    let public = PublicKey::new(&parts.n, &parts.e).unwrap();
    for bytes in [0, 255, 257] {
        let data = vec![1; bytes];
        assert_eq!(private.decrypt_pkcs1(&data), Err(Error::BadLength));
        let oaep = private.decrypt_oaep(Hash::Sha1, Hash::Sha1, b"", &data);
        assert_eq!(oaep, Err(Error::BadLength));
        assert_eq!(public.verify_recover(&data), Err(Error::BadSignature));
        assert!(!public.verify_pkcs1_raw(b"", &data));
    }
    // Ciphertexts that are not below the modulus, and the three that are their own results
    let mut less = parts.n.clone();
    less[255] -= 1;
    for data in [vec![0xff; 256], parts.n.clone(), less, vec![0; 256]] {
        assert_eq!(private.decrypt_pkcs1(&data), Err(Error::DecryptFailed));
        assert_eq!(private.raw_private(&data), Err(Error::BadParameter));
    }
    assert_eq!(private.raw_private(&[0; 257]), Err(Error::TooLong));
    assert_eq!(public.raw_public(&[0; 257]), Err(Error::TooLong));
    assert_eq!(public.raw_public(&parts.n), Err(Error::BadParameter));
    assert_eq!(public.encrypt_pkcs1(&[0; 246]), Err(Error::TooLong));
    let long = public.encrypt_oaep(Hash::Sha256, Hash::Sha256, b"", &[0; 191]);
    assert_eq!(long, Err(Error::TooLong));
    let digest = [0; 31];
    let signed = private.sign_pkcs1_digest(Hash::Sha256, &digest);
    assert_eq!(signed, Err(Error::BadLength));
    let signed = private.sign_pss(Hash::Sha256, Hash::Sha1, 0, &digest);
    assert_eq!(signed, Err(Error::BadLength));
    assert!(!public.verify_pss(Hash::Sha256, Hash::Sha1, usize::MAX, &[0; 32], &[0; 256]));
    for bits in [512, 1023, 1088, 2047, 2049, 2112, 4224, u32::MAX] {
        assert!(rsa::generate(bits, &[3]).is_err(), "{bits}");
    }
    for exponent in [&[][..], &[1], &[4], &[1; 6]] {
        let made = rsa::generate(2048, exponent);
        assert_eq!(made.err(), Some(Error::BadParameter), "{exponent:?}");
    }
}

#[test]
fn keys_of_wrong_lengths() {
    let iv = [0; 12];
    for bytes in [0, 15, 17, 33, 64] {
        let key = vec![1; bytes];
        let cipher = aes::Cipher::new(aes::Mode::Ecb, aes::Direction::Encrypt, &key);
        assert_eq!(cipher.err(), Some(Error::BadKey));
        assert_eq!(Cmac::new(&key).err(), Some(Error::BadKey));
        assert_eq!(aead::gcm_seal(&key, &iv, b"", b"", 16), Err(Error::BadKey));
        assert_eq!(aead::ccm_seal(&key, &iv, b"", b"", 16), Err(Error::BadKey));
        assert_eq!(wrap::kw_wrap(&key, None, &[0; 16]), Err(Error::BadKey));
        assert_eq!(wrap::kwp_unwrap(&key, &[0; 16]), Err(Error::BadKey));
        let private = edwards::PrivateKey::new(&key);
        assert_eq!(private.err(), Some(Error::BadKey));
        assert_eq!(edwards::PublicKey::new(&key).err(), Some(Error::BadKey));
        assert_eq!(montgomery::public_of(&key), Err(Error::BadKey));
        let set = ml_dsa::ParameterSet::MlDsa44;
        assert_eq!(ml_dsa::public_of(set, &key), Err(Error::BadKey));
    }
}

#[test]
fn derived_lengths() {
    let hash = Hash::Sha256;
    let most = 255 * 32;
    assert_eq!(kdf::hkdf_expand(hash, b"k", b"", most).unwrap().len(), most);
    let more = kdf::hkdf_expand(hash, b"k", b"", most + 1);
    assert_eq!(more, Err(Error::TooLong));
    assert_eq!(kdf::pbkdf2(hash, b"", b"", 0, 1), Err(Error::BadParameter));
    assert_eq!(kdf::pbkdf2(hash, b"", b"", 1, 1 << 21), Err(Error::TooLong));
    assert_eq!(kdf::x963(hash, b"", b"", 1 << 21), Err(Error::TooLong));
    assert!(kdf::pbkdf2(hash, b"", b"", 1, 0).unwrap().is_empty());
}

#[test]
fn comparison() {
    assert!(equal(b"", b"") && equal(b"ab", b"ab"));
    assert!(!equal(b"ab", b"ac") && !equal(b"ab", b"abc"));
}

#[test]
fn nothing_is_released_before_the_tag_is_verified() {
    let (key, iv) = ([1; 16], [2; 12]);
    let sealed = aead::gcm_seal(&key, &iv, b"", &[9; 100], 16).unwrap();
    let mut out = b"before".to_vec();
    let (body, tag) = sealed.split_at(100);
    let opened = aead::gcm_open_into(&key, &iv, b"", &body[..99], tag, &mut out);
    assert_eq!(
        (opened, out.as_slice()),
        (Err(Error::DecryptFailed), b"before".as_slice())
    );
    aead::gcm_open_into(&key, &iv, b"", body, tag, &mut out).unwrap();
    assert_eq!(out.len(), 106);
}
