//! What gives a shared secret: ECDH, X25519, HKDF, ML-KEM.

use super::*;

/// A secret that can be read, of the mechanism's own length unless one is given.
fn derived(length: Option<u64>) -> Template {
    let mut template = vec![
        (CKA_CLASS, ck(CKO_SECRET_KEY)),
        (CKA_KEY_TYPE, ck(CKK_GENERIC_SECRET)),
        (CKA_TOKEN, flag(false)),
        (CKA_SENSITIVE, flag(false)),
        (CKA_EXTRACTABLE, flag(true)),
    ];
    template.extend(length.map(|length| (CKA_VALUE_LEN, ck(length))));
    template
}

/// Derives, and compares the value of the key.
fn outcome(
    run: &Run<'_>,
    base: Result<CK_OBJECT_HANDLE, CK_RV>,
    mechanism: &Mechanism,
    length: Option<u64>,
    value: &[u8],
) -> Outcome {
    let base = match base {
        Ok(base) => base,
        Err(rv) => return Outcome::Refused(rv),
    };
    let key = run.session.derive(mechanism, base, &derived(length));
    let outcome = key
        .and_then(|key| {
            let read = run.session.attribute(key, CKA_VALUE);
            let _ = run.session.destroy(key);
            read
        })
        .map_or_else(Outcome::Refused, |read| Outcome::Accepted(read == value));
    let _ = run.session.destroy(base);
    outcome
}

pub fn ecdh(run: &mut Run<'_>) {
    for (name, end) in [
        ("secp256r1", "_ecpoint"),
        ("secp384r1", "_ecpoint"),
        ("secp521r1", "_ecpoint"),
        ("secp256k1", ""),
    ] {
        for (file, groups) in run.files(&format!("ecdh_{name}"), end) {
            let Some((parameters, size)) = curve(name) else {
                continue;
            };
            if !run.has(CKM_ECDH1_DERIVE, &groups) {
                continue;
            }
            for test in groups.iter().flat_map(tests) {
                let mut public = bytes(test, "public");
                if end.is_empty() {
                    // A point without the SubjectPublicKeyInfo, which PKCS#11 does not know.
                    let begin = public.len().saturating_sub(2 * size + 1);
                    let head = &public[..begin];
                    if !head.windows(parameters.len()).any(|at| at == parameters)
                        || head.len() != 23
                        || public[begin] != 4
                    {
                        run.skip("another encoding of the public key", 1);
                        continue;
                    }
                    public.drain(..begin);
                }
                let base = run.create(vec![
                    (CKA_CLASS, ck(CKO_PRIVATE_KEY)),
                    (CKA_KEY_TYPE, ck(CKK_EC)),
                    (CKA_EC_PARAMS, parameters.to_vec()),
                    (CKA_VALUE, padded(&integer(test, "private"), size)),
                    (CKA_DERIVE, flag(true)),
                ]);
                let with_public = mechanism(CKM_ECDH1_DERIVE, Param::Ecdh { public });
                let outcome = outcome(run, base, &with_public, None, &bytes(test, "shared"));
                run.judge(&file, test, outcome);
            }
        }
    }
}

pub fn x25519(run: &mut Run<'_>) {
    for (file, groups) in run.files("x25519", "") {
        if !run.has(CKM_EC_MONTGOMERY_KEY_PAIR_GEN, &groups) {
            continue;
        }
        for test in groups.iter().flat_map(tests) {
            let base = run.create(vec![
                (CKA_CLASS, ck(CKO_PRIVATE_KEY)),
                (CKA_KEY_TYPE, ck(CKK_EC_MONTGOMERY)),
                (CKA_EC_PARAMS, b"\x13\x0acurve25519".to_vec()),
                (CKA_VALUE, bytes(test, "private")),
                (CKA_DERIVE, flag(true)),
            ]);
            let public = bytes(test, "public");
            let with_public = mechanism(CKM_ECDH1_DERIVE, Param::Ecdh { public });
            let outcome = outcome(run, base, &with_public, None, &bytes(test, "shared"));
            run.judge(&file, test, outcome);
        }
    }
}

pub fn hkdf(run: &mut Run<'_>) {
    for hash in HASHES {
        let name = hash.name.replace('-', "").to_lowercase();
        for (file, groups) in run.files(&format!("hkdf_{name}"), "") {
            if !run.has(CKM_HKDF_DERIVE, &groups) {
                continue;
            }
            for test in groups.iter().flat_map(tests) {
                let ikm = bytes(test, "ikm");
                if ikm.is_empty() {
                    run.skip("a key without bytes", 1);
                    continue;
                }
                let base = run.secret(CKK_GENERIC_SECRET, &ikm, &[CKA_DERIVE]);
                let with_info = mechanism(
                    CKM_HKDF_DERIVE,
                    Param::Hkdf {
                        hash: hash.hash,
                        salt: bytes(test, "salt"),
                        info: bytes(test, "info"),
                    },
                );
                let size = test["size"].as_u64();
                let outcome = outcome(run, base, &with_info, size, &bytes(test, "okm"));
                run.judge(&file, test, outcome);
            }
        }
    }
}

/// Decapsulation, by the seed and by the whole private key.
pub fn ml_kem(run: &mut Run<'_>) {
    for (size, set) in [
        ("512", CKP_ML_KEM_512),
        ("768", CKP_ML_KEM_768),
        ("1024", CKP_ML_KEM_1024),
    ] {
        let seeds = run.files(&format!("mlkem_{size}_test"), "");
        let seeds = if seeds.is_empty() {
            run.files(&format!("mlkem_{size}"), size)
        } else {
            seeds
        };
        let whole = run.files(&format!("mlkem_{size}_semi_expanded_decaps"), "");
        for (file, groups) in seeds.into_iter().chain(whole) {
            if !run.has(CKM_ML_KEM, &groups) {
                continue;
            }
            for test in groups.iter().flat_map(tests) {
                let (attribute, value) = if test["seed"].is_string() {
                    (CKA_SEED, bytes(test, "seed"))
                } else {
                    (CKA_VALUE, bytes(test, "dk"))
                };
                let base = run.create(vec![
                    (CKA_CLASS, ck(CKO_PRIVATE_KEY)),
                    (CKA_KEY_TYPE, ck(CKK_ML_KEM)),
                    (CKA_PARAMETER_SET, ck(set)),
                    (attribute, value),
                    (CKA_DECAPSULATE, flag(true)),
                ]);
                let ciphertext = bytes(test, "c");
                let outcome = base
                    .and_then(|base| {
                        let plain = Mechanism::plain(CKM_ML_KEM);
                        let key =
                            run.session
                                .decapsulate(&plain, base, &ciphertext, &derived(None));
                        let _ = run.session.destroy(base);
                        let key = key?;
                        let read = run.session.attribute(key, CKA_VALUE);
                        let _ = run.session.destroy(key);
                        read
                    })
                    .map_or_else(Outcome::Refused, |read| {
                        Outcome::Accepted(read == bytes(test, "K"))
                    });
                run.judge(&file, test, outcome);
            }
        }
    }
}
