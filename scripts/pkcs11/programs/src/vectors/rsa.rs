//! RSA: signatures of both schemes, decryption of both.

use super::*;

fn public(run: &Run<'_>, group: &Fields) -> Result<CK_OBJECT_HANDLE, CK_RV> {
    run.create(vec![
        (CKA_CLASS, ck(CKO_PUBLIC_KEY)),
        (CKA_KEY_TYPE, ck(CKK_RSA)),
        (CKA_MODULUS, integer(&group["publicKey"], "modulus")),
        (
            CKA_PUBLIC_EXPONENT,
            integer(&group["publicKey"], "publicExponent"),
        ),
        (CKA_VERIFY, flag(true)),
    ])
}

fn private(run: &Run<'_>, group: &Fields) -> Result<CK_OBJECT_HANDLE, CK_RV> {
    let numbers = [
        (CKA_MODULUS, "modulus"),
        (CKA_PUBLIC_EXPONENT, "publicExponent"),
        (CKA_PRIVATE_EXPONENT, "privateExponent"),
        (CKA_PRIME_1, "prime1"),
        (CKA_PRIME_2, "prime2"),
        (CKA_EXPONENT_1, "exponent1"),
        (CKA_EXPONENT_2, "exponent2"),
        (CKA_COEFFICIENT, "coefficient"),
    ];
    let mut template = vec![
        (CKA_CLASS, ck(CKO_PRIVATE_KEY)),
        (CKA_KEY_TYPE, ck(CKK_RSA)),
        (CKA_DECRYPT, flag(true)),
    ];
    template.extend(
        numbers
            .iter()
            .map(|(attribute, name)| (*attribute, integer(&group["privateKey"], name))),
    );
    run.create(template)
}

/// Each test of a group with the group's key, which one of the functions above makes.
fn each(
    run: &mut Run<'_>,
    file: &str,
    group: &Fields,
    key: Result<CK_OBJECT_HANDLE, CK_RV>,
    outcome: impl Fn(&Session, CK_OBJECT_HANDLE, &Fields) -> Outcome,
) {
    for test in tests(group) {
        let outcome = key.map_or_else(Outcome::Refused, |key| outcome(run.session, key, test));
        run.judge(file, test, outcome);
    }
    if let Ok(key) = key {
        let _ = run.session.destroy(key);
    }
}

pub fn signatures(run: &mut Run<'_>) {
    for (file, groups) in run.files("rsa_signature_", "") {
        let Some(hash) = groups.first().and_then(|group| hash(text(group, "sha"))) else {
            run.skip("hash without a mechanism", count(&groups));
            continue;
        };
        if !run.has(hash.rsa, &groups) {
            continue;
        }
        for group in &groups {
            let key = public(run, group);
            each(run, &file, group, key, |session, key, test| {
                let plain = Mechanism::plain(hash.rsa);
                Outcome::of(session.verify(&plain, key, &bytes(test, "msg"), &bytes(test, "sig")))
            });
        }
    }
}

pub fn pss(run: &mut Run<'_>) {
    for (file, groups) in run.files("rsa_pss_", "") {
        for group in &groups {
            let (Some(hash), Some(mgf)) = (hash(text(group, "sha")), hash(text(group, "mgfSha")))
            else {
                run.skip("hash without a mechanism", tests(group).len());
                continue;
            };
            if !run.has(hash.pss, std::slice::from_ref(group)) {
                continue;
            }
            let key = public(run, group);
            let with_salt = mechanism(
                hash.pss,
                Param::Pss {
                    hash: hash.hash,
                    mgf: mgf.mgf,
                    salt_bytes: group["sLen"].as_u64().unwrap_or_default(),
                },
            );
            each(run, &file, group, key, |session, key, test| {
                let (message, signature) = (bytes(test, "msg"), bytes(test, "sig"));
                Outcome::of(session.verify(&with_salt, key, &message, &signature))
            });
        }
    }
}

pub fn oaep(run: &mut Run<'_>) {
    for (file, groups) in run.files("rsa_oaep_", "") {
        if !run.has(CKM_RSA_PKCS_OAEP, &groups) {
            continue;
        }
        for group in &groups {
            let (Some(hash), Some(mgf)) = (hash(text(group, "sha")), hash(text(group, "mgfSha")))
            else {
                run.skip("hash without a mechanism", tests(group).len());
                continue;
            };
            let key = private(run, group);
            each(run, &file, group, key, |session, key, test| {
                let with_label = mechanism(
                    CKM_RSA_PKCS_OAEP,
                    Param::Oaep {
                        hash: hash.hash,
                        mgf: mgf.mgf,
                        label: bytes(test, "label"),
                    },
                );
                session
                    .decrypt(&with_label, key, &bytes(test, "ct"))
                    .map_or_else(Outcome::Refused, |plain| {
                        Outcome::Accepted(plain == bytes(test, "msg"))
                    })
            });
        }
    }
}

pub fn decryption(run: &mut Run<'_>) {
    for (file, groups) in run.files("rsa_pkcs1_", "") {
        if !run.has(CKM_RSA_PKCS, &groups) {
            continue;
        }
        for group in &groups {
            let key = private(run, group);
            each(run, &file, group, key, |session, key, test| {
                session
                    .decrypt(&Mechanism::plain(CKM_RSA_PKCS), key, &bytes(test, "ct"))
                    .map_or_else(Outcome::Refused, |plain| {
                        Outcome::Accepted(plain == bytes(test, "msg"))
                    })
            });
        }
    }
}
