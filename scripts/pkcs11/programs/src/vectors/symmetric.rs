//! AES in its modes, HMAC, and keys wrapped by AES.

use super::*;

/// Each test of `groups` with an AES key of its own.
fn with_aes(
    run: &mut Run<'_>,
    file: &str,
    groups: &[Fields],
    uses: &[CK_ATTRIBUTE_TYPE],
    outcome: impl Fn(&Run<'_>, CK_OBJECT_HANDLE, &Fields) -> Outcome,
) {
    for test in groups.iter().flat_map(tests) {
        let outcome = match run.secret(CKK_AES, &bytes(test, "key"), uses) {
            Ok(key) => {
                let outcome = outcome(run, key, test);
                let _ = run.session.destroy(key);
                outcome
            }
            Err(rv) => Outcome::Refused(rv),
        };
        run.judge(file, test, outcome);
    }
}

/// Both ways: what comes out of encryption must be the vector's, and what is in the vector must decrypt to its message.
fn both_ways(
    session: &Session,
    mechanism: &Mechanism,
    key: CK_OBJECT_HANDLE,
    test: &Fields,
) -> Outcome {
    let (message, mut ciphertext) = (bytes(test, "msg"), bytes(test, "ct"));
    ciphertext.extend(bytes(test, "tag"));
    let plain = match session.decrypt(mechanism, key, &ciphertext) {
        Ok(plain) => plain,
        Err(rv) => return Outcome::Refused(rv),
    };
    if text(test, "result") == "invalid" {
        return Outcome::Accepted(false);
    }
    let encrypted = session.encrypt(mechanism, key, &message);
    Outcome::Accepted(plain == message && encrypted == Ok(ciphertext))
}

pub fn gcm(run: &mut Run<'_>) {
    for (file, groups) in run.files("aes_gcm", "gcm") {
        if !run.has(CKM_AES_GCM, &groups) {
            continue;
        }
        with_aes(
            run,
            &file,
            &groups,
            &[CKA_ENCRYPT, CKA_DECRYPT],
            |run, key, test| {
                let aead = mechanism(
                    CKM_AES_GCM,
                    Param::Gcm {
                        iv: bytes(test, "iv"),
                        aad: bytes(test, "aad"),
                        tag_bits: 4 * text(test, "tag").len() as u64,
                    },
                );
                both_ways(run.session, &aead, key, test)
            },
        );
    }
}

pub fn ccm(run: &mut Run<'_>) {
    for (file, groups) in run.files("aes_ccm", "") {
        if !run.has(CKM_AES_CCM, &groups) {
            continue;
        }
        with_aes(
            run,
            &file,
            &groups,
            &[CKA_ENCRYPT, CKA_DECRYPT],
            |run, key, test| {
                let aead = mechanism(
                    CKM_AES_CCM,
                    Param::Ccm {
                        data_bytes: text(test, "ct").len() as u64 / 2,
                        nonce: bytes(test, "iv"),
                        aad: bytes(test, "aad"),
                        mac_bytes: text(test, "tag").len() as u64 / 2,
                    },
                );
                both_ways(run.session, &aead, key, test)
            },
        );
    }
}

pub fn cbc(run: &mut Run<'_>) {
    for (file, groups) in run.files("aes_cbc_pkcs5", "") {
        if !run.has(CKM_AES_CBC_PAD, &groups) {
            continue;
        }
        with_aes(
            run,
            &file,
            &groups,
            &[CKA_ENCRYPT, CKA_DECRYPT],
            |run, key, test| {
                let padded = mechanism(CKM_AES_CBC_PAD, Param::Bytes(bytes(test, "iv")));
                both_ways(run.session, &padded, key, test)
            },
        );
    }
}

/// A MAC by the mechanism of its whole length, or by the one that is told a length.
fn mac(whole: u64, general: u64, whole_bytes: usize, tag: &[u8]) -> Mechanism {
    if tag.len() == whole_bytes {
        Mechanism::plain(whole)
    } else {
        mechanism(general, Param::Bytes(ck(tag.len() as u64)))
    }
}

pub fn cmac(run: &mut Run<'_>) {
    for (file, groups) in run.files("aes_cmac", "") {
        if !run.has(CKM_AES_CMAC, &groups) {
            continue;
        }
        with_aes(
            run,
            &file,
            &groups,
            &[CKA_SIGN, CKA_VERIFY],
            |run, key, test| {
                let tag = bytes(test, "tag");
                let mac = mac(CKM_AES_CMAC, CKM_AES_CMAC_GENERAL, 16, &tag);
                Outcome::of(run.session.verify(&mac, key, &bytes(test, "msg"), &tag))
            },
        );
    }
}

pub fn hmac(run: &mut Run<'_>) {
    for hash in HASHES {
        let name = hash
            .name
            .replace("SHA-", "sha")
            .replace('-', "_")
            .to_lowercase();
        for (file, groups) in run.files("hmac_", &name) {
            if file != format!("hmac_{name}_test.json") || !run.has(hash.hmac, &groups) {
                continue;
            }
            let whole = groups
                .iter()
                .filter_map(|group| group["tagSize"].as_u64())
                .max()
                .unwrap_or_default() as usize
                / 8;
            for test in groups.iter().flat_map(tests) {
                let tag = bytes(test, "tag");
                if tag.len() != whole && !run.module.has(run.slot, hash.hmac_general) {
                    run.skip(&format!("no mechanism {:#06x}", hash.hmac_general), 1);
                    continue;
                }
                let mac = mac(hash.hmac, hash.hmac_general, whole, &tag);
                let uses = [CKA_SIGN, CKA_VERIFY];
                let key = run.secret(CKK_GENERIC_SECRET, &bytes(test, "key"), &uses);
                let outcome = key.and_then(|key| {
                    let result = run.session.verify(&mac, key, &bytes(test, "msg"), &tag);
                    let _ = run.session.destroy(key);
                    result
                });
                run.judge(&file, test, Outcome::of(outcome));
            }
        }
    }
}

pub fn key_wrap(run: &mut Run<'_>) {
    wrap(run, "aes_wrap", CKM_AES_KEY_WRAP);
}

pub fn key_wrap_padded(run: &mut Run<'_>) {
    // SoftHSM2 has RFC 5649 under the number of the older draft.
    let number = if run.module.has(run.slot, CKM_AES_KEY_WRAP_KWP) {
        CKM_AES_KEY_WRAP_KWP
    } else {
        CKM_AES_KEY_WRAP_PAD
    };
    wrap(run, "aes_kwp", number);
}

/// Generic secrets: unwrapped they have the vector's value, and wrapped again its ciphertext.
fn wrap(run: &mut Run<'_>, begin: &str, number: u64) {
    for (file, groups) in run.files(begin, "") {
        if !run.has(number, &groups) {
            continue;
        }
        with_aes(
            run,
            &file,
            &groups,
            &[CKA_WRAP, CKA_UNWRAP],
            |run, key, test| {
                let template = vec![
                    (CKA_CLASS, ck(CKO_SECRET_KEY)),
                    (CKA_KEY_TYPE, ck(CKK_GENERIC_SECRET)),
                    (CKA_TOKEN, flag(false)),
                    (CKA_SENSITIVE, flag(false)),
                    (CKA_EXTRACTABLE, flag(true)),
                ];
                let plain = Mechanism::plain(number);
                let unwrapped = run
                    .session
                    .unwrap(&plain, key, &bytes(test, "ct"), &template);
                let unwrapped = match unwrapped {
                    Ok(unwrapped) => unwrapped,
                    Err(rv) => return Outcome::Refused(rv),
                };
                let value = run.session.attribute(unwrapped, CKA_VALUE);
                let wrapped = run.session.wrap(&plain, key, unwrapped);
                let _ = run.session.destroy(unwrapped);
                Outcome::Accepted(
                    value == Ok(bytes(test, "msg")) && wrapped == Ok(bytes(test, "ct")),
                )
            },
        );
    }
}
