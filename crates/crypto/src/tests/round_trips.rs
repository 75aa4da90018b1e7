//! What one half makes, the other half takes; and what was changed, it refuses.

use crate::aes::{Cipher, Direction, Mode};
use crate::pq::{ml_dsa, ml_kem};
use crate::{Curve, Error, Hash, aead, digest, ec, edwards, montgomery, rsa, wrap};

#[test]
fn rsa_signs_and_decrypts() {
    let parts = rsa::generate(2048, &[1, 0, 1]).unwrap();
    let private = rsa::PrivateKey::new(&parts).unwrap();
    let public = rsa::PublicKey::new(&parts.n, &parts.e).unwrap();
    assert_eq!(
        (private.modulus_bytes(), public.modulus_bytes()),
        (256, 256)
    );
    for hash in Hash::ALL {
        let message = digest(hash, b"message").unwrap();
        let other = digest(hash, b"other").unwrap();
        let signature = private.sign_pkcs1_digest(hash, &message).unwrap();
        assert!(public.verify_pkcs1_digest(hash, &message, &signature));
        assert!(!public.verify_pkcs1_digest(hash, &other, &signature));
        for mgf in Hash::ALL {
            for salt in [0, 1, hash.bytes(), 254 - hash.bytes()] {
                let signature = private.sign_pss(hash, mgf, salt, &message).unwrap();
                assert!(public.verify_pss(hash, mgf, salt, &message, &signature));
                assert!(!public.verify_pss(hash, mgf, salt + 1, &message, &signature));
                assert!(!public.verify_pss(hash, mgf, salt, &other, &signature));
            }
            let sealed = public.encrypt_oaep(hash, mgf, b"label", b"secret").unwrap();
            let opened = private.decrypt_oaep(hash, mgf, b"label", &sealed);
            assert_eq!(opened.unwrap().as_slice(), b"secret");
            let wrong = private.decrypt_oaep(hash, mgf, b"", &sealed);
            assert_eq!(wrong.unwrap_err(), Error::DecryptFailed);
        }
        let too_long = private.sign_pss(hash, hash, 255 - hash.bytes(), &message);
        assert_eq!(too_long.unwrap_err(), Error::BadParameter);
    }
    for bytes in [0, 1, 245] {
        let data = vec![7; bytes];
        let signature = private.sign_pkcs1_raw(&data).unwrap();
        assert!(public.verify_pkcs1_raw(&data, &signature));
        assert_eq!(public.verify_recover(&signature).unwrap(), data);
        let sealed = public.encrypt_pkcs1(&data).unwrap();
        assert_eq!(*private.decrypt_pkcs1(&sealed).unwrap(), data);
    }
    assert_eq!(private.sign_pkcs1_raw(&[7; 246]), Err(Error::TooLong));
    let block = private.raw_private(&[5, 6]).unwrap();
    assert!(public.raw_public(&block).unwrap().ends_with(&[0, 5, 6]));
    assert_eq!(
        private.raw_private(&parts.n).unwrap_err(),
        Error::BadParameter
    );
}

#[test]
fn rsa_keys_without_primes_or_coefficients_work() {
    let whole = rsa::generate(2048, &[3]).unwrap();
    let public = rsa::PublicKey::new(&whole.n, &whole.e).unwrap();
    let mut without = whole.clone();
    without.qinv.clear();
    let mut bare = without.clone();
    bare.p.clear();
    for parts in [without, bare] {
        let private = rsa::PrivateKey::new(&parts).unwrap();
        let signature = private.sign_pkcs1_raw(b"x").unwrap();
        assert!(public.verify_pkcs1_raw(b"x", &signature));
        let mut wrong = parts.clone();
        wrong.d[3] ^= 4;
        assert_eq!(rsa::PrivateKey::new(&wrong).err(), Some(Error::BadKey));
    }
}

#[test]
fn curves_sign_and_agree() {
    for curve in Curve::ALL {
        let (scalar, point) = ec::generate(curve).unwrap();
        assert_eq!(scalar.len(), curve.bytes());
        let private = ec::PrivateKey::new(curve, &scalar).unwrap();
        assert_eq!(private.public_point(), point);
        let public = ec::PublicKey::new(curve, &point).unwrap();
        for bytes in [0, 1, 20, 32, 64, 100] {
            let digest = vec![3; bytes];
            let mut signature = private.sign(&digest).unwrap();
            assert_eq!(signature.len(), 2 * curve.bytes());
            assert!(public.verify(&digest, &signature));
            signature[5] ^= 1;
            assert!(!public.verify(&digest, &signature));
        }
        let mut compressed = point[..=curve.bytes()].to_vec();
        compressed[0] = 2 + point[point.len() - 1] % 2;
        let same = ec::PublicKey::new(curve, &compressed).unwrap();
        assert_eq!(same.point().unwrap(), point);
        let (other, other_point) = ec::generate(curve).unwrap();
        let other = ec::PrivateKey::new(curve, &other).unwrap();
        let shared = private.ecdh(&other_point).unwrap();
        assert_eq!(shared, other.ecdh(&compressed).unwrap());
        let mut off = point.clone();
        off[9] ^= 1;
        for bad in [&off[..], &[0], &[], &point[..5]] {
            assert_eq!(ec::PublicKey::new(curve, bad).err(), Some(Error::BadKey));
            assert_eq!(private.ecdh(bad).err(), Some(Error::BadKey));
        }
        for bad in [vec![], vec![0; 32], vec![255; curve.bytes()]] {
            assert_eq!(ec::PrivateKey::new(curve, &bad).err(), Some(Error::BadKey));
        }
    }
}

#[test]
fn edwards_and_montgomery() {
    use edwards::Variant::{Context, Prehash, Pure};
    let (seed, public) = edwards::generate().unwrap();
    let private = edwards::PrivateKey::new(&seed).unwrap();
    let public = edwards::PublicKey::new(&public).unwrap();
    let variants = [Pure, Context(b"c"), Prehash(b""), Prehash(b"c")];
    for variant in variants {
        let signature = private.sign(b"m", variant).unwrap();
        for other in variants {
            assert_eq!(public.verify(b"m", other, &signature), variant == other);
        }
        assert!(!public.verify(b"n", variant, &signature));
    }
    let digest = digest(Hash::Sha512, b"m").unwrap();
    let signature = private.sign_digest(&digest, b"c").unwrap();
    assert!(public.verify(b"m", Prehash(b"c"), &signature));
    assert!(public.verify_digest(&digest, b"c", &signature));
    for context in [&[][..], &[0; 256]] {
        let signature = private.sign(b"m", Context(context));
        assert_eq!(signature, Err(Error::BadParameter));
    }

    let (here, here_public) = montgomery::generate().unwrap();
    let (there, there_public) = montgomery::generate().unwrap();
    assert_eq!(montgomery::public_of(&here).unwrap(), here_public);
    let shared = montgomery::agree(&here, &there_public).unwrap();
    assert_eq!(shared, montgomery::agree(&there, &here_public).unwrap());
    assert_eq!(montgomery::agree(&here, &[0; 32]), Err(Error::BadKey));
}

/// Runs `data` through a cipher in parts of `part` bytes.
fn run(mode: &Mode, direction: Direction, part: usize, data: &[u8]) -> Result<Vec<u8>, Error> {
    let mut cipher = Cipher::new(mode.clone(), direction, &[9; 24])?;
    let mut out = Vec::new();
    for part in data.chunks(part) {
        cipher.update_into(part, &mut out)?;
    }
    out.extend(cipher.finish()?);
    Ok(out)
}

#[test]
fn aes_in_parts() {
    let (iv, block) = ([1; 16], [2; 16]);
    let counter_bits = 32;
    let ctr = Mode::Ctr {
        block,
        counter_bits,
    };
    let modes = [Mode::Ecb, Mode::Cbc { iv }, Mode::CbcPad { iv }, ctr];
    for mode in &modes {
        for bytes in 0..70 {
            let data: Vec<u8> = (0..bytes).collect();
            let whole = run(mode, Direction::Encrypt, 1000, &data);
            let blocks = matches!(mode, Mode::Ecb | Mode::Cbc { .. });
            if blocks && bytes % 16 != 0 {
                assert_eq!(whole, Err(Error::BadLength));
                continue;
            }
            let whole = whole.unwrap();
            for part in [1, 7, 15, 16, 17, 33] {
                assert_eq!(run(mode, Direction::Encrypt, part, &data).unwrap(), whole);
                assert_eq!(run(mode, Direction::Decrypt, part, &whole).unwrap(), data);
            }
        }
    }
}

#[test]
fn aes_refuses_paddings_that_are_none() {
    let iv = [0; 16];
    for (last, bad) in [
        (vec![0; 16], true),
        (vec![17; 16], true),
        (vec![16; 16], false),
        (vec![1; 16], false),
        ([vec![9; 13], vec![2, 3, 3]].concat(), true),
        ([vec![9; 13], vec![3, 3, 3]].concat(), false),
    ] {
        let sealed = run(&Mode::Cbc { iv }, Direction::Encrypt, 16, &last).unwrap();
        let opened = run(&Mode::CbcPad { iv }, Direction::Decrypt, 5, &sealed);
        assert_eq!(opened.is_err(), bad, "{last:?}");
    }
    for bytes in [0, 15, 17] {
        let opened = run(&Mode::CbcPad { iv }, Direction::Decrypt, 5, &vec![1; bytes]);
        assert_eq!(opened, Err(Error::BadLength));
    }
}

#[test]
fn the_counter_of_ctr_does_not_start_again() {
    let mut block = [7; 16];
    block[15] = 0xfe;
    let counter_bits = 8;
    let mode = Mode::Ctr {
        block,
        counter_bits,
    };
    assert!(run(&mode, Direction::Encrypt, 9, &[0; 32]).is_ok());
    assert_eq!(
        run(&mode, Direction::Encrypt, 9, &[0; 33]),
        Err(Error::Overflow)
    );
    for (counter_bits, block, most) in [(1, [0; 16], 32), (128, [255; 16], 16), (7, [255; 16], 16)]
    {
        let mode = Mode::Ctr {
            block,
            counter_bits,
        };
        assert!(run(&mode, Direction::Encrypt, 50, &vec![0; most]).is_ok());
        let more = run(&mode, Direction::Encrypt, 50, &vec![0; most + 1]);
        assert_eq!(more, Err(Error::Overflow));
    }
    for counter_bits in [0, 129] {
        let mode = Mode::Ctr {
            block,
            counter_bits,
        };
        assert_eq!(
            run(&mode, Direction::Encrypt, 1, &[]),
            Err(Error::BadParameter)
        );
    }
}

#[test]
fn aead_opens_what_was_sealed() {
    for key in [16, 24, 32].map(|bytes| vec![8; bytes]) {
        for bytes in [0, 1, 16, 100] {
            let data = vec![4; bytes];
            for tag in [4, 8, 12, 13, 14, 15, 16] {
                for iv in [1, 12, 13, 16, 17, 256] {
                    let iv = vec![3; iv];
                    let sealed = aead::gcm_seal(&key, &iv, b"aad", &data, tag).unwrap();
                    let (body, mac) = sealed.split_at(bytes);
                    let open = |aad, mac| aead::gcm_open(&key, &iv, aad, body, mac);
                    assert_eq!(*open(b"aad", mac).unwrap(), data);
                    assert_eq!(open(b"aaX", mac), Err(Error::DecryptFailed));
                    let mut running = aead::GcmEncrypt::new(&key, &iv, b"aad", tag).unwrap();
                    let mut parts = Vec::new();
                    for part in data.chunks(7) {
                        running.update_into(part, &mut parts).unwrap();
                    }
                    parts.extend(running.finish().unwrap());
                    assert_eq!(parts, sealed);
                }
            }
            for nonce in 7..=13 {
                for mac in [4, 6, 8, 10, 12, 14, 16] {
                    let nonce = vec![3; nonce];
                    let sealed = aead::ccm_seal(&key, &nonce, b"aad", &data, mac).unwrap();
                    let (body, mac) = sealed.split_at(bytes);
                    let open = |aad, mac| aead::ccm_open(&key, &nonce, aad, body, mac);
                    assert_eq!(*open(b"aad", mac).unwrap(), data);
                    assert_eq!(open(b"aaX", mac), Err(Error::DecryptFailed));
                }
            }
        }
        assert_eq!(
            aead::gcm_seal(&key, &[], b"", b"", 16),
            Err(Error::BadParameter)
        );
        assert_eq!(
            aead::gcm_seal(&key, &[1; 12], b"", b"", 11),
            Err(Error::BadParameter)
        );
        assert_eq!(
            aead::ccm_seal(&key, &[1; 6], b"", b"", 16),
            Err(Error::BadParameter)
        );
        assert_eq!(
            aead::ccm_seal(&key, &[1; 13], b"", b"", 5),
            Err(Error::BadParameter)
        );
        let long = vec![0; 1 << 16];
        assert_eq!(
            aead::ccm_seal(&key, &[1; 13], b"", &long, 16),
            Err(Error::TooLong)
        );
        assert!(aead::ccm_seal(&key, &[1; 12], b"", &long, 16).is_ok());
    }
}

#[test]
fn keys_wrap() {
    for key in [16, 24, 32].map(|bytes| vec![8; bytes]) {
        for bytes in 0..70 {
            let data = vec![6; bytes];
            for iv in [None, Some(&[5; 8])] {
                let wrapped = wrap::kw_wrap(&key, iv, &data);
                if bytes < 16 || bytes % 8 != 0 {
                    assert_eq!(wrapped, Err(Error::BadLength));
                } else {
                    let wrapped = wrapped.unwrap();
                    assert_eq!(*wrap::kw_unwrap(&key, iv, &wrapped).unwrap(), data);
                    let wrong = wrap::kw_unwrap(&key, Some(&[4; 8]), &wrapped);
                    assert_eq!(wrong, Err(Error::DecryptFailed));
                }
                if bytes >= 8 {
                    let wrapped = wrap::kw_pad_wrap(&key, iv, &data).unwrap();
                    assert_eq!(*wrap::kw_pad_unwrap(&key, iv, &wrapped).unwrap(), data);
                }
            }
            if bytes > 0 {
                let mut wrapped = wrap::kwp_wrap(&key, &data).unwrap();
                assert_eq!(*wrap::kwp_unwrap(&key, &wrapped).unwrap(), data);
                wrapped[3] ^= 1;
                assert_eq!(wrap::kwp_unwrap(&key, &wrapped), Err(Error::DecryptFailed));
            }
        }
        // Data that KW takes but that ends in no padding
        let wrapped = wrap::kw_wrap(&key, None, &[9; 16]).unwrap();
        assert_eq!(
            wrap::kw_pad_unwrap(&key, None, &wrapped),
            Err(Error::DecryptFailed)
        );
    }
}

#[test]
fn ml_kem_shares() {
    for set in ml_kem::ParameterSet::ALL {
        let made = ml_kem::generate(set).unwrap();
        assert_eq!(made.public.len(), set.public_bytes());
        assert_eq!(made.private.len(), set.private_bytes());
        assert_eq!(ml_kem::public_of(set, &made.private).unwrap(), made.public);
        let private = ml_kem::PrivateKey::new(set, &made.private).unwrap();
        let seeded = ml_kem::PrivateKey::from_seed(set, &made.seed).unwrap();
        assert_eq!(seeded.expanded().unwrap(), made.private);
        let public = ml_kem::PublicKey::new(set, &made.public).unwrap();
        let (mut ciphertext, secret) = public.encapsulate().unwrap();
        assert_eq!(ciphertext.len(), set.ciphertext_bytes());
        assert_eq!(private.decapsulate(&ciphertext).unwrap(), secret);
        ciphertext[0] ^= 1;
        assert_ne!(private.decapsulate(&ciphertext).unwrap(), secret);
        assert_eq!(private.decapsulate(&[0; 5]), Err(Error::BadLength));
        let mut wrong = made.private.clone();
        wrong[set.private_bytes() - 40] ^= 1;
        assert_eq!(
            ml_kem::PrivateKey::new(set, &wrong).err(),
            Some(Error::BadKey)
        );
        assert_eq!(
            ml_kem::PublicKey::new(set, &[255; 7]).err(),
            Some(Error::BadKey)
        );
    }
}

#[test]
fn ml_dsa_signs() {
    for set in ml_dsa::ParameterSet::ALL {
        let made = ml_dsa::generate(set).unwrap();
        assert_eq!(made.public.len(), set.public_bytes());
        assert_eq!(made.private.len(), set.private_bytes());
        assert_eq!(ml_dsa::public_of(set, &made.private).unwrap(), made.public);
        let seeded = ml_dsa::PrivateKey::from_seed(set, &made.seed).unwrap();
        assert_eq!(seeded.expanded().unwrap(), made.private);
        let private = ml_dsa::PrivateKey::new(set, &made.private).unwrap();
        let public = ml_dsa::PublicKey::new(set, &made.public).unwrap();
        let hedge = ml_dsa::Hedge::Hedged;
        let signature = private.sign(b"m", b"c", hedge).unwrap();
        assert_eq!(signature.len(), set.signature_bytes());
        assert!(public.verify(b"m", b"c", &signature));
        assert!(!public.verify(b"m", b"", &signature));
        assert!(!public.verify(b"n", b"c", &signature));
        let digest = digest(Hash::Sha512, b"m").unwrap();
        let signature = private
            .sign_digest(Hash::Sha512, &digest, b"c", hedge)
            .unwrap();
        assert!(public.verify_digest(Hash::Sha512, &digest, b"c", &signature));
        assert!(!public.verify(b"m", b"c", &signature));
        let fixed = || {
            private
                .sign(b"m", b"c", ml_dsa::Hedge::Deterministic)
                .unwrap()
        };
        assert_eq!(fixed(), fixed());
        assert!(public.verify(b"m", b"c", &fixed()));
        assert_eq!(
            private.sign(b"m", &[0; 256], hedge),
            Err(Error::BadParameter)
        );
    }
}
