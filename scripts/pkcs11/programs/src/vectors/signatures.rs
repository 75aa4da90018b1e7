//! ECDSA, EdDSA and ML-DSA.

use super::*;

/// By the mechanism that hashes, and by CKM_ECDSA with the digest of another call.
pub fn ecdsa(run: &mut Run<'_>) {
    for begin in [
        "ecdsa_secp256r1_",
        "ecdsa_secp384r1_",
        "ecdsa_secp521r1_",
        "ecdsa_secp256k1_",
    ] {
        let raw = run.files(begin, "_p1363");
        // What is there for SHA-3 has signatures in DER alone.
        let der = run.files(&format!("{begin}sha3_"), "");
        for (file, groups) in raw.into_iter().chain(der) {
            let Some(hash) = groups.first().and_then(|group| hash(text(group, "sha"))) else {
                run.skip("hash without a mechanism", count(&groups));
                continue;
            };
            let hashes = run.module.has(run.slot, hash.ecdsa);
            if !hashes {
                run.skip(&format!("no mechanism {:#06x}", hash.ecdsa), count(&groups));
            }
            for group in &groups {
                let is_der = text(group, "type") == "EcdsaVerify";
                let Some((parameters, size)) = curve(text(&group["publicKey"], "curve")) else {
                    continue;
                };
                let key = run.create(vec![
                    (CKA_CLASS, ck(CKO_PUBLIC_KEY)),
                    (CKA_KEY_TYPE, ck(CKK_EC)),
                    (CKA_EC_PARAMS, parameters.to_vec()),
                    (
                        CKA_EC_POINT,
                        octets(&bytes(&group["publicKey"], "uncompressed")),
                    ),
                    (CKA_VERIFY, flag(true)),
                ]);
                for test in tests(group) {
                    let key = match key {
                        Ok(key) => key,
                        Err(rv) => {
                            run.judge(&file, test, Outcome::Refused(rv));
                            continue;
                        }
                    };
                    let mut signature = bytes(test, "sig");
                    if is_der {
                        // PKCS#11 knows no DER: what is wrong with the encoding cannot be put to it.
                        let Some(raw) = from_der(&signature, size) else {
                            run.skip("malformed DER", 1);
                            continue;
                        };
                        signature = raw;
                    }
                    let message = bytes(test, "msg");
                    if hashes {
                        let plain = Mechanism::plain(hash.ecdsa);
                        let result = run.session.verify(&plain, key, &message, &signature);
                        run.judge(&file, test, Outcome::of(result));
                    }
                    let digest = run.session.digest(&Mechanism::plain(hash.hash), &message);
                    if let Ok(digest) = digest {
                        let plain = Mechanism::plain(CKM_ECDSA);
                        let result = run.session.verify(&plain, key, &digest, &signature);
                        run.judge(&file, test, Outcome::of(result));
                    }
                }
                if let Ok(key) = key {
                    let _ = run.session.destroy(key);
                }
            }
        }
    }
}

/// Both numbers of a strictly encoded signature, `size` bytes each.
fn from_der(der: &[u8], size: usize) -> Option<Vec<u8>> {
    fn taken(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
        let (length, rest) = match der {
            [first, 0x81, length, rest @ ..] if *first == tag && *length >= 0x80 => (*length, rest),
            [first, length, rest @ ..] if *first == tag && *length < 0x80 => (*length, rest),
            _ => return None,
        };
        rest.split_at_checked(usize::from(length))
    }
    let (inner, []) = taken(der, 0x30)? else {
        return None;
    };
    let (r, inner) = taken(inner, 2)?;
    let (s, []) = taken(inner, 2)? else {
        return None;
    };
    let mut raw = Vec::new();
    for number in [r, s] {
        let number = match number {
            [0, first, ..] if first & 0x80 != 0 => &number[1..],
            [0] => number,
            [first, ..] if first & 0x80 == 0 && *first != 0 => number,
            _ => return None,
        };
        if number.len() > size {
            return None;
        }
        raw.extend(padded(number, size));
    }
    Some(raw)
}

pub fn eddsa(run: &mut Run<'_>) {
    for (file, groups) in run.files("ed25519", "") {
        if !run.has(CKM_EDDSA, &groups) {
            continue;
        }
        for group in &groups {
            let key = run.create(vec![
                (CKA_CLASS, ck(CKO_PUBLIC_KEY)),
                (CKA_KEY_TYPE, ck(CKK_EC_EDWARDS)),
                (CKA_EC_PARAMS, b"\x13\x0cedwards25519".to_vec()),
                (CKA_EC_POINT, octets(&bytes(&group["publicKey"], "pk"))),
                (CKA_VERIFY, flag(true)),
            ]);
            for test in tests(group) {
                let (message, signature) = (bytes(test, "msg"), bytes(test, "sig"));
                let result = key.and_then(|key| {
                    run.session
                        .verify(&Mechanism::plain(CKM_EDDSA), key, &message, &signature)
                });
                run.judge(&file, test, Outcome::of(result));
            }
            if let Ok(key) = key {
                let _ = run.session.destroy(key);
            }
        }
    }
}

pub fn ml_dsa(run: &mut Run<'_>) {
    for (size, set) in [
        ("44", CKP_ML_DSA_44),
        ("65", CKP_ML_DSA_65),
        ("87", CKP_ML_DSA_87),
    ] {
        for (file, groups) in run.files(&format!("mldsa_{size}_verify"), "") {
            if !run.has(CKM_ML_DSA, &groups) {
                continue;
            }
            for group in &groups {
                let key = run.create(vec![
                    (CKA_CLASS, ck(CKO_PUBLIC_KEY)),
                    (CKA_KEY_TYPE, ck(CKK_ML_DSA)),
                    (CKA_PARAMETER_SET, ck(set)),
                    (CKA_VALUE, bytes(group, "publicKey")),
                    (CKA_VERIFY, flag(true)),
                ]);
                for test in tests(group) {
                    let context = bytes(test, "ctx");
                    let (message, signature) = (bytes(test, "msg"), bytes(test, "sig"));
                    let result = key.and_then(|key| {
                        let with_context = mechanism(CKM_ML_DSA, Param::Context(context));
                        run.session.verify(&with_context, key, &message, &signature)
                    });
                    run.judge(&file, test, Outcome::of(result));
                }
                if let Ok(key) = key {
                    let _ = run.session.destroy(key);
                }
            }
        }
    }
}
