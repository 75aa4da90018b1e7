//! The limit on key derivation for one file.

use std::num::NonZeroU32;

use pkcs8::ObjectIdentifier;

use super::error::{Container, Fault, ImportError};

/// The rounds of key derivation that one file may still use. The writer of the file chooses the rounds; the limit stops
/// a small file that keeps the machine busy for days.
pub(super) struct Work {
    left: u64,
    /// The part of the file that is being decrypted, for errors.
    pub(super) container: Container,
}

impl Work {
    /// Takes some seconds. Writers use 2,048 (openssl) to 600,000 (OWASP's advice) rounds for each part.
    pub(super) const MAX_ROUNDS: u64 = 10_000_000;

    /// The limit for one file.
    pub(super) fn new() -> Self {
        Self::of(Self::MAX_ROUNDS)
    }

    /// A lower limit, for fuzzing.
    pub(super) fn of(rounds: u64) -> Self {
        Self {
            left: rounds.min(Self::MAX_ROUNDS),
            container: Container::Pkcs8,
        }
    }

    /// The error of an algorithm that is not supported.
    pub(super) fn unsupported(&self, algorithm: ObjectIdentifier) -> ImportError {
        ImportError::Cipher(algorithm, self.container)
    }

    /// Counts `rounds`, before they are run.
    pub(super) fn spend(&mut self, rounds: u64) -> Result<NonZeroU32, ImportError> {
        self.left = self
            .left
            .checked_sub(rounds)
            .ok_or(ImportError::Work(Self::MAX_ROUNDS, self.container))?;
        u32::try_from(rounds)
            .ok()
            .and_then(NonZeroU32::new)
            .ok_or(ImportError::fault("key derivation", Fault::Value))
    }
}
